/** Ledger lines as a table. Owns: its columns. Refuses to know: which lines were asked for. */
import { Link } from "wouter";
import type { Transfer } from "../http/billing.ts";
import { useFormats } from "../i18n/formats.ts";
import type { Money } from "../i18n/money.ts";
import { useWords } from "../i18n/words-context.tsx";

const HEAD = "px-3 py-2 text-xs font-medium whitespace-nowrap text-ink-3 sm:px-4";
const CELL = "px-3 py-2.5 whitespace-nowrap sm:px-4";

function Row(props: { line: Transfer; money: Money; pathOf: ((line: Transfer) => string) | undefined }) {
  const words = useWords();
  const formats = useFormats();
  const { line, money, pathOf } = props;
  const { reason } = line.details;
  return (
    <tr className="border-b border-line last:border-0">
      <td className={CELL}>{formats.dayTime(new Date(line.atMs))}</td>
      <td className={`${CELL} text-right`}>{money.exact(line.amountMicros)}</td>
      <td className={CELL}>{words.ledger.kinds[line.kind] ?? line.kind}</td>
      <td className={`${CELL} font-mono text-s`}>{line.from}</td>
      <td className={`${CELL} font-mono text-s`}>{line.to}</td>
      <td className={`${CELL} max-w-56 truncate font-mono text-xs text-ink-2`} title={line.sourceId}>
        {pathOf && line.runId !== null ? (
          <Link href={pathOf(line)} className="text-accent underline-offset-4 hover:underline">
            {line.runId}
          </Link>
        ) : (
          `${line.source} ${line.sourceId}`
        )}
        {typeof reason === "string" ? (
          <span className="block truncate font-sans text-s text-ink-2" title={reason}>
            {reason}
          </span>
        ) : null}
      </td>
      <td className={`${CELL} text-right text-ink-3`}>{line.seq}</td>
    </tr>
  );
}

/** The lines, every amount with all its digits; `pathOf` is where the turn of a line is. */
export function TransferTable(props: {
  label: string;
  transfers: readonly Transfer[];
  money: Money;
  pathOf?: (line: Transfer) => string;
  /** What was used up by the lines, as a last row. */
  usedMicros?: number | undefined;
}) {
  const words = useWords();
  const { money, usedMicros } = props;
  const { ledger } = words;
  const last = props.pathOf ? words.drill.groups.run : ledger.source;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
    <section className="overflow-x-auto" tabIndex={0} aria-label={props.label}>
      <table className="w-full border-collapse text-m">
        <thead className="border-b border-line">
          <tr>
            {[ledger.when, ledger.amount, ledger.kind, ledger.from, ledger.to, last, ledger.line].map(
              (head) => (
                <th
                  key={head}
                  scope="col"
                  className={`${HEAD} ${head === ledger.amount || head === ledger.line ? "text-right" : "text-left"}`}
                >
                  {head}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>
          {props.transfers.map((line) => (
            <Row key={line.seq} line={line} money={money} pathOf={props.pathOf} />
          ))}
        </tbody>
        {usedMicros === undefined ? null : (
          <tfoot className="border-t border-line">
            <tr className="font-semibold">
              <td className={CELL}>{ledger.used}</td>
              <td className={`${CELL} text-right`}>{money.exact(usedMicros)}</td>
              <td colSpan={5} />
            </tr>
          </tfoot>
        )}
      </table>
    </section>
  );
}
