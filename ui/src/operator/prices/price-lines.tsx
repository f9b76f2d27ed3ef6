/** The price book as lines of tables. Owns: that reading. Refuses to know: where they are shown. */
import { Link } from "wouter";
import type { MarginRow, PriceBook, PriceRow } from "../../http/operator-prices.ts";
import { useFormats } from "../../i18n/formats.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { type PriceFormat, usePriceFormat } from "./price-format.ts";
import type { Line } from "./price-table.tsx";

/** What a group of lines is of. */
export type LineKind = PriceRow["kind"] | "margin";

/** Amounts of a row, in the order of the columns of its kind. */
function amountsOf(row: Omit<PriceRow, "kind" | "standing">, kind: PriceRow["kind"], format: PriceFormat) {
  const { input, output, cacheRead, cacheWrite, reasoning } = row;
  const shown = kind === "model" ? [input, output, cacheRead, cacheWrite, reasoning] : [input];
  return shown.map(format.price);
}

/** The words over the amounts of a kind. */
export function useHeads(kind: LineKind): readonly string[] {
  const { usage, operatorMoney: m } = useWords();
  if (kind === "margin") return [m.basisPoints];
  if (kind !== "model") return [m.price];
  return [usage.input, usage.output, usage.cacheRead, usage.cacheWrite, m.reasoning];
}

/** Rows of one kind that operators set. */
export function useOwnLines(currency: string, tenants: Record<string, string>) {
  const m = useWords().operatorMoney;
  const format = usePriceFormat(currency);
  const formats = useFormats();
  const ownerOf = (tenantId: string) =>
    tenantId === "" ? {} : { forWhom: <Owner id={tenantId} name={tenants[tenantId]} /> };
  return {
    prices: (rows: readonly PriceRow[], kind: PriceRow["kind"]): Line[] =>
      rows
        .filter((row) => row.kind === kind)
        .map((row) => ({
          ...{ id: `own ${row.seq}`, from: row.fromDay, standing: row.standing, source: row.source },
          name: [row.provider, row.name].filter((part) => part !== "").join("/") || m.kinds[kind],
          ...ownerOf(row.tenantId),
          amounts: amountsOf(row, kind, format),
        })),
    margins: (rows: readonly MarginRow[]): Line[] =>
      rows.map((row) => ({
        ...{ id: `margin ${row.seq}`, name: format.margin(row.basisPoints) },
        ...{ from: row.fromDay, standing: row.standing },
        ...ownerOf(row.tenantId),
        amounts: [formats.count(row.basisPoints)],
      })),
    listed: ({ shipped, table }: PriceBook): Line[] =>
      shipped.map((row) => {
        const { cacheRead = row.input, cacheWrite = row.input } = row;
        const name = `${row.provider}/${row.model}`;
        const whole = { ...row, cacheRead, cacheWrite, reasoning: row.output };
        return {
          ...{ id: `${name} ${row.from}`, name, from: row.from, standing: row.standing },
          ...{ source: row.source, origin: table.isShipped ? m.shipped : m.fromFile(table.version) },
          amounts: amountsOf({ ...whole, seq: 0, tenantId: "", name, fromDay: row.from }, "model", format),
        };
      }),
  };
}

function Owner(props: { id: string; name: string | undefined }) {
  const m = useWords().operatorMoney;
  if (props.name === undefined) return m.goneTenant;
  return (
    <Link href={`/tenants/${encodeURIComponent(props.id)}`} className="underline-offset-4 hover:underline">
      {props.name}
    </Link>
  );
}
