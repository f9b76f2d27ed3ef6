/** Usage as tables. Owns: their columns. Refuses to know: how the numbers were made. */
import { type ReactNode, useState } from "react";
import { Link } from "wouter";
import type { UsageTotals } from "../gateway/wire.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import type { UsageDay, UsageLine } from "./usage-numbers.ts";

const HEAD = "px-3 sm:px-4 py-2 text-right text-xs font-medium whitespace-nowrap text-ink-3 first:text-left";
const CELL = "px-3 sm:px-4 py-2.5 text-right whitespace-nowrap first:text-left";
const WAY = "text-accent underline-offset-4 hover:underline";
const FIRST_LINES = 8;

function Frame(props: { label: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
    <section className="overflow-x-auto" tabIndex={0} aria-label={props.label}>
      <table className="w-full border-collapse text-m">{props.children}</table>
    </section>
  );
}

/** The table behind the chart. */
export function DayTable(props: { days: readonly UsageDay[]; pathOf: (date: string) => string }) {
  const words = useWords();
  const formats = useFormats();
  const used = props.days
    .filter((day) => day.totals.totalTokens > 0 || day.totals.totalCost > 0)
    .toReversed();
  const columns: [string, (totals: UsageTotals) => string][] = [
    [words.usage.input, (totals) => formats.count(totals.input)],
    [words.usage.output, (totals) => formats.count(totals.output)],
    [words.usage.cacheRead, (totals) => formats.count(totals.cacheRead)],
    [words.usage.cacheWrite, (totals) => formats.count(totals.cacheWrite)],
    [words.usage.total, (totals) => formats.count(totals.totalTokens)],
    [words.usage.cost, (totals) => formats.money(totals.totalCost)],
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
    </Frame>
  );
}

/** Lines of models, agents or conversations, the dearest first. */
export function LineTable(props: {
  title: string;
  column: string;
  lines: readonly UsageLine[];
  total: UsageTotals;
  /** Where the figures of a line are followed. */
  pathOf: (id: string) => string;
  render?: (line: UsageLine) => ReactNode;
}) {
  const words = useWords();
  const formats = useFormats();
  const [all, setAll] = useState(false);
  const shown = all ? props.lines : props.lines.slice(0, FIRST_LINES);
  const withCalls = props.lines.some((line) => line.calls !== undefined);
  const share = (line: UsageLine) =>
    props.total.totalCost > 0
      ? line.totals.totalCost / props.total.totalCost
      : line.totals.totalTokens / Math.max(1, props.total.totalTokens);
  return (
    <Sheet className="overflow-hidden">
      <h2 className="px-3 pt-4 pb-2 sm:px-4 text-l font-semibold">{props.title}</h2>
      <Frame label={props.title}>
        <thead className="border-b border-line">
          <tr>
            <th className={HEAD}>{props.column}</th>
            {withCalls ? <th className={HEAD}>{words.usage.calls}</th> : null}
            <th className={HEAD}>{words.usage.tokens}</th>
            <th className={HEAD}>{words.usage.cost}</th>
            <th className={HEAD}>{words.usage.share}</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((line) => (
            <tr key={line.id} className="border-b border-line last:border-0">
              <td className={`${CELL} max-w-32 truncate sm:max-w-64`} title={line.name}>
                {props.render ? props.render(line) : line.name}
              </td>
              {withCalls ? (
                <td className={CELL}>{line.calls === undefined ? "" : formats.count(line.calls)}</td>
              ) : null}
              <td className={CELL}>{formats.count(line.totals.totalTokens)}</td>
              <td className={CELL}>
                <Link
                  href={props.pathOf(line.id)}
                  aria-label={words.drill.follow(formats.money(line.totals.totalCost), line.name)}
                  className={WAY}
                >
                  {formats.money(line.totals.totalCost)}
                </Link>
              </td>
              <td className={`${CELL} sm:w-28`}>
                <span className="flex items-center justify-end gap-2">
                  <span aria-hidden className="h-1.5 w-12 overflow-hidden rounded-full bg-sunk max-sm:hidden">
                    <span
                      className="block h-full rounded-full bg-accent"
                      style={{ width: `${share(line) * 100}%` }}
                    />
                  </span>
                  <span className="w-10">{formats.percent(share(line))}</span>
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </Frame>
      {props.lines.length > FIRST_LINES && !all ? (
        <div className="border-t border-line p-2 text-center">
          <Button small tone="quiet" onClick={() => setAll(true)}>
            {words.usage.showAll(props.lines.length)}
          </Button>
        </div>
      ) : null}
    </Sheet>
  );
}
