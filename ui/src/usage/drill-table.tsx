/** Sums of usage by one thing as a table, each row a way down. Owns: its columns. Refuses to know: how sums are made. */
import { useState } from "react";
import { Link } from "wouter";
import { useTenant } from "../gateway/tenant-context.tsx";
import { DEMO_PROVIDER } from "../gateway/wire.ts";
import type { Drill, DrillGroup, DrillSums, Thought } from "../http/billing.ts";
import { useFormats } from "../i18n/formats.ts";
import type { Money } from "../i18n/money.ts";
import { useSpeech, useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { splitKey, titleOf } from "../sessions/session-key.ts";
import { type DrillPlace, drillPath, placeBelow } from "./drill-path.ts";
import { sumOf } from "./usage-numbers.ts";

const HEAD =
  "px-3 first:sm:pl-4 last:sm:pr-4 py-2 text-right text-xs font-medium whitespace-nowrap text-ink-3 first:text-left";
const CELL = "px-3 first:sm:pl-4 last:sm:pr-4 py-2.5 text-right whitespace-nowrap first:text-left";
/** Longer than any account of a person or agent needs; a turn's own id is shown in full. */
const NAME =
  "line-clamp-2 max-w-26 break-words whitespace-normal sm:block sm:max-w-56 sm:truncate sm:whitespace-nowrap";
const FIRST_ROWS = 8;

/** Usage with what it is compared with. */
export interface Comparison {
  /** The days before, by the same thing; undefined while it is not known. */
  before: Drill | undefined;
  days: number;
}

/** What people call the key of a group. */
export function useKeyName(): (group: DrillGroup, key: string, name?: string) => string {
  const words = useWords();
  const formats = useFormats();
  const { shelf } = useTenant();
  return (group, key, name = key) => {
    if (group === "day") return formats.day(new Date(`${key}T12:00:00`));
    if (group === "model" && key === "-") return words.drill.tools;
    if (group === "run") return key;
    if (key === "") return words.drill.nobody;
    if (group !== "session") return name || key;
    return titleOf(shelf.find(name)) ?? (splitKey(name).session === "main" ? words.list.mainSession : name);
  };
}

/** Growth as a signed share; a word for what was not there before. */
function useGrowth(): (now: number, before: number | undefined) => string {
  const { words, language } = useSpeech();
  const format = new Intl.NumberFormat(language, {
    ...{ style: "percent", maximumFractionDigits: 0, signDisplay: "exceptZero" },
  });
  return (now, before) => {
    if (before === undefined) return "";
    if (before > 0) return format.format(now / before - 1);
    return now > 0 ? words.drill.fresh : "";
  };
}

function Share(props: { share: number }) {
  const formats = useFormats();
  return (
    <span className="flex items-center justify-end gap-2">
      <span aria-hidden className="h-1.5 w-10 overflow-hidden rounded-full bg-sunk max-sm:hidden">
        <span
          className="block h-full rounded-full bg-accent"
          style={{ width: `${Math.min(1, Math.max(0, props.share)) * 100}%` }}
        />
      </span>
      <span className="w-10">{formats.percent(props.share)}</span>
    </span>
  );
}

function Figures(props: {
  sums: DrillSums & Thought;
  total: DrillSums;
  money: Money;
  /** Undefined where nothing is compared. */
  growth: string | undefined;
}) {
  const formats = useFormats();
  const words = useWords();
  const { sums, total } = props;
  const { reasoningTokens = 0 } = sums;
  const tokensOf = (all: DrillSums) => all.inputTokens + all.outputTokens;
  const share =
    total.costMicros > 0 ? sums.costMicros / total.costMicros : tokensOf(sums) / Math.max(1, tokensOf(total));
  return (
    <>
      <td className={CELL}>{props.money.exact(sums.costMicros)}</td>
      {props.growth === undefined ? null : <td className={`${CELL} text-ink-2`}>{props.growth}</td>}
      <td className={CELL}>
        <Share share={share} />
      </td>
      <td className={CELL}>{formats.count(sums.calls + sums.toolCalls)}</td>
      <td className={CELL}>{formats.count(sums.inputTokens)}</td>
      <td className={CELL}>
        {formats.count(sums.outputTokens)}
        {reasoningTokens > 0 ? (
          <span className="block text-xs text-ink-3">{words.drill.thought(reasoningTokens)}</span>
        ) : null}
      </td>
      <td className={CELL}>{formats.count(sums.cacheReadTokens + sums.cacheWriteTokens)}</td>
    </>
  );
}

function NameCell(props: { place: DrillPlace; rowKey: string; name: string }) {
  const words = useWords();
  const { place, rowKey, name } = props;
  const isDemo = place.groupBy === "model" && rowKey.startsWith(`${DEMO_PROVIDER}/`);
  return (
    <td className={CELL}>
      <span className="flex items-center gap-2">
        {rowKey === "" ? (
          <span className={NAME}>{name}</span>
        ) : (
          <Link
            href={drillPath(placeBelow(place, rowKey))}
            title={name}
            className={`${NAME} text-accent underline-offset-4 hover:underline`}
          >
            {name}
          </Link>
        )}
        {isDemo ? (
          <span className="max-sm:hidden">
            <Badge tone="willow">{words.chat.demoBadge}</Badge>
          </span>
        ) : null}
      </span>
    </td>
  );
}

function Heads(props: { group: DrillGroup; comparison: Comparison | undefined }) {
  const words = useWords();
  const { usage: u, drill } = words;
  const { comparison } = props;
  const heads = [
    ...[drill.groups[props.group], u.cost],
    ...(comparison ? [drill.growth] : []),
    ...[u.share, drill.calls, u.input, u.output, drill.cached],
  ];
  return (
    <thead className="border-b border-line">
      <tr>
        {heads.map((head) => (
          <th
            key={head}
            scope="col"
            className={HEAD}
            title={head === drill.growth && comparison ? drill.growthHint(comparison.days) : undefined}
          >
            {head}
          </th>
        ))}
      </tr>
    </thead>
  );
}

/** The table; with `isShort` only the first rows until all are wanted, what is left out being summed up. */
export function DrillTable(props: {
  drill: Drill;
  place: DrillPlace;
  label: string;
  money: Money;
  comparison?: Comparison | undefined;
  isShort?: boolean;
  /** Names of keys that are known better elsewhere. */
  names?: ReadonlyMap<string, string> | undefined;
}) {
  const words = useWords();
  const nameOf = useKeyName();
  const growthOf = useGrowth();
  const [isAll, setAll] = useState(false);
  const { drill, place, money, comparison } = props;
  const isCut = props.isShort === true && !isAll && drill.rows.length > FIRST_ROWS + 1;
  const rows = isCut ? drill.rows.slice(0, FIRST_ROWS) : drill.rows;
  const left = [...drill.rows.slice(rows.length), ...(drill.rest ? [drill.rest] : [])];
  const leftRows = drill.rows.length - rows.length + (drill.rest?.rows ?? 0);
  const before = comparison?.before;
  const growth = (now: DrillSums, then: DrillSums | undefined) =>
    comparison === undefined ? undefined : growthOf(now.costMicros, before && (then?.costMicros ?? 0));
  const shared = { total: drill.total, money };
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
      <section className="overflow-x-auto" tabIndex={0} aria-label={props.label}>
        <table className="w-full border-collapse text-m">
          <Heads group={place.groupBy} comparison={comparison} />
          <tbody>
            {rows.map((row) => (
              <tr key={row.key} className="border-b border-line">
                <NameCell
                  place={place}
                  rowKey={row.key}
                  name={props.names?.get(row.name) ?? nameOf(place.groupBy, row.key, row.name)}
                />
                <Figures
                  sums={row}
                  growth={growth(
                    row,
                    before?.rows.find(({ key }) => key === row.key),
                  )}
                  {...shared}
                />
              </tr>
            ))}
            {left.length > 0 ? (
              <tr className="border-b border-line text-ink-2">
                <td className={CELL}>{words.drill.rest(leftRows)}</td>
                <Figures sums={sumOf(left)} growth={comparison ? "" : undefined} {...shared} />
              </tr>
            ) : null}
          </tbody>
          <tfoot>
            <tr className="font-semibold">
              <td className={CELL}>{words.drill.total}</td>
              <Figures sums={drill.total} growth={growth(drill.total, before?.total)} {...shared} />
            </tr>
          </tfoot>
        </table>
      </section>
      {isCut ? (
        <div className="border-t border-line p-2 text-center">
          <Button small tone="quiet" onClick={() => setAll(true)}>
            {words.usage.showAll(drill.rows.length)}
          </Button>
        </div>
      ) : null}
    </>
  );
}
