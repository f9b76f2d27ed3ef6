/** Rows of the price book. Owns: their table. Refuses to know: which holds for whom (the server says it). */
import type { ReactNode } from "react";
import type { Standing } from "../../http/operator-prices.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Badge } from "../../parts/badge.tsx";

/** One row: a name and what belongs to it, amounts as they are shown. */
export interface Line {
  id: string;
  name: string;
  /** Undefined for everybody. */
  forWhom?: ReactNode;
  from: string;
  amounts: readonly string[];
  standing: Standing;
  /** Where it is from; said under the name. */
  source?: string;
  /** Where it is from, when nobody set it here. */
  origin?: string;
}

const TONES = { in_force: "accent", later: "willow", replaced: "plain" } as const;

/** Whether a row holds. */
export function StandingBadge(props: { standing: Standing }) {
  const words = useWords();
  return <Badge tone={TONES[props.standing]}>{words.operatorMoney.standings[props.standing]}</Badge>;
}

/** The table; `heads` name the amounts. */
export function PriceTable(props: {
  label: string;
  what: string;
  heads: readonly string[];
  lines: readonly Line[];
  isOfOne?: boolean;
}) {
  const words = useWords();
  const { heads, lines, isOfOne = false } = props;
  const left = "px-3 py-3 text-left font-medium";
  return (
    <section
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by keyboard too
      tabIndex={0}
      aria-label={props.label}
      className="overflow-x-auto rounded-large border border-line bg-card shadow-1"
    >
      <table className="w-full text-m">
        <thead>
          <tr className="text-xs text-ink-3">
            <th scope="col" className="px-4 py-3 text-left font-medium sm:px-6">
              {props.what}
            </th>
            {isOfOne ? null : (
              <th scope="col" className={left}>
                {words.operatorMoney.forWhom}
              </th>
            )}
            <th scope="col" className={left}>
              {words.money.fromDay}
            </th>
            {heads.map((head) => (
              <th key={head} scope="col" className="px-2 py-3 text-right font-medium last:pr-4 last:sm:pr-6">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <Row key={line.id} line={line} heads={heads} isOfOne={isOfOne} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Row({ line, heads, isOfOne }: { line: Line; heads: readonly string[]; isOfOne: boolean }) {
  const m = useWords().operatorMoney;
  return (
    <tr className={`border-t border-line ${line.standing === "replaced" ? "text-ink-3" : ""}`}>
      <td className="max-w-56 px-4 py-2.5 sm:max-w-72 sm:px-6">
        <span className="flex items-center gap-2">
          <span className="truncate" title={line.name}>
            {line.name}
          </span>
          {line.origin === undefined ? null : <Badge>{line.origin}</Badge>}
        </span>
        {line.source === undefined ? null : (
          <span className="block truncate text-xs text-ink-3" title={line.source}>
            {line.source}
          </span>
        )}
      </td>
      {isOfOne ? null : <td className="max-w-40 truncate px-3 py-2.5">{line.forWhom ?? m.everybody}</td>}
      <td className="px-3 py-2.5 whitespace-nowrap">
        <span className="inline-flex items-center gap-2 tabular-nums">
          {line.from}
          <StandingBadge standing={line.standing} />
        </span>
      </td>
      {heads.map((head, place) => (
        <td
          key={head}
          className="px-2 py-2.5 text-right whitespace-nowrap tabular-nums last:pr-4 last:sm:pr-6"
        >
          {line.amounts[place]}
        </td>
      ))}
    </tr>
  );
}
