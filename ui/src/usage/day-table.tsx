/** Usage of days as a table. Owns: their columns. Refuses to know: how the numbers were made. */
import type { ReactNode } from "react";
import { Link } from "wouter";
import type { UsageTotals } from "../gateway/wire.ts";
import { useFormats } from "../i18n/formats.ts";
import type { Money } from "../i18n/money.ts";
import { useWords } from "../i18n/words-context.tsx";
import { microsOf, type UsageDay } from "./usage-numbers.ts";

const HEAD = "px-3 sm:px-4 py-2 text-right text-xs font-medium whitespace-nowrap text-ink-3 first:text-left";
const CELL = "px-3 sm:px-4 py-2.5 text-right whitespace-nowrap first:text-left";
const WAY = "text-accent underline-offset-4 hover:underline";

function Frame(props: { label: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
    <section className="overflow-x-auto" tabIndex={0} aria-label={props.label}>
      <table className="w-full border-collapse text-m">{props.children}</table>
    </section>
  );
}

/** The table behind the chart. */
export function DayTable(props: {
  days: readonly UsageDay[];
  pathOf: (date: string) => string;
  money: Money;
  totals: UsageTotals;
}) {
  const words = useWords();
  const formats = useFormats();
  const used = props.days
    .filter((day) => day.totals.totalTokens > 0 || day.totals.totalCost > 0)
    .toReversed();
  const columns: [string, (totals: UsageTotals) => string][] = [
    [words.usage.cost, (totals) => props.money.exact(microsOf(totals.totalCost))],
    [words.usage.input, (totals) => formats.count(totals.input)],
    [words.usage.output, (totals) => formats.count(totals.output)],
    [words.usage.cacheRead, (totals) => formats.count(totals.cacheRead)],
    [words.usage.cacheWrite, (totals) => formats.count(totals.cacheWrite)],
    [words.usage.total, (totals) => formats.count(totals.totalTokens)],
  ];
  return (
    <Frame label={words.usage.daily}>
      <thead className="border-b border-line">
        <tr>
          <th className={HEAD}>{words.usage.date}</th>
          {columns.map(([name]) => (
            <th key={name} className={HEAD}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {used.map((day) => (
          <tr key={day.date} className="border-b border-line last:border-0">
            <td className={CELL}>
              <Link href={props.pathOf(day.date)} className={WAY}>
                {formats.day(new Date(`${day.date}T12:00:00`))}
              </Link>
            </td>
            {columns.map(([name, value]) => (
              <td key={name} className={CELL}>
                {value(day.totals)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
      <tfoot className="border-t border-line">
        <tr className="font-semibold">
          <td className={CELL}>{words.drill.total}</td>
          {columns.map(([name, value]) => (
            <td key={name} className={CELL}>
              {value(props.totals)}
            </td>
          ))}
        </tr>
      </tfoot>
    </Frame>
  );
}
