/** Ledger lines as a table. Owns: its columns. Refuses to know: which lines were asked for. */
import { Link } from "wouter";
import type { Transfer } from "../http/billing.ts";
import { useFormats } from "../i18n/formats.ts";
import type { Money } from "../i18n/money.ts";
import { useWords } from "../i18n/words-context.tsx";

const HEAD = "px-3 py-2 text-left text-xs font-medium whitespace-nowrap text-ink-3 sm:px-4";
const CELL = "px-3 py-2.5 whitespace-nowrap sm:px-4";

/** The lines, every amount with all its digits; `withRun` links each to its turn. */
export function TransferTable(props: {
  label: string;
  transfers: readonly Transfer[];
  money: Money;
  withRun?: boolean;
}) {
  const words = useWords();
  const formats = useFormats();
  const heads = [words.ledger.line, words.ledger.when, words.ledger.kind, words.ledger.from, words.ledger.to];
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
    <section className="overflow-x-auto" tabIndex={0} aria-label={props.label}>
      <table className="w-full border-collapse text-m">
        <thead className="border-b border-line">
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col" className={HEAD}>
                {head}
              </th>
            ))}
            <th scope="col" className={`${HEAD} text-right`}>
              {words.ledger.amount}
            </th>
            <th scope="col" className={HEAD}>
              {props.withRun ? words.drill.groups.run : words.ledger.source}
            </th>
          </tr>
        </thead>
        <tbody>
          {props.transfers.map((line) => (
            <tr key={line.seq} className="border-b border-line last:border-0">
              <td className={`${CELL} text-ink-3`}>{line.seq}</td>
              <td className={CELL}>{formats.dayTime(new Date(line.atMs))}</td>
              <td className={CELL}>{words.ledger.kinds[line.kind] ?? line.kind}</td>
              <td className={`${CELL} font-mono text-s`}>{line.from}</td>
              <td className={`${CELL} font-mono text-s`}>{line.to}</td>
              <td className={`${CELL} text-right`}>{props.money.exact(line.amountMicros)}</td>
              <td className={`${CELL} max-w-56 truncate font-mono text-xs text-ink-2`} title={line.sourceId}>
                {props.withRun && line.runId !== null ? (
                  <Link
                    href={`/billing/ledger?run=${encodeURIComponent(line.runId)}`}
                    className="text-accent underline-offset-4 hover:underline"
                  >
                    {line.runId}
                  </Link>
                ) : (
                  `${line.source} ${line.sourceId}`
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
