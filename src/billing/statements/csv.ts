/** A statement as a table. Owns: its columns. Refuses to know: transports. Texts are made harmless as in the audit export. */
import { csvCell } from "../../audit/export.ts";
import { type Statement, type StatementLine, showMicros } from "./statement.ts";

const COLUMNS: readonly (readonly [string, (line: StatementLine) => string | number])[] = [
  ["kind", (line) => line.kind],
  ["for_month", (line) => line.forMonth],
  ["provider", (line) => line.provider],
  ["model", (line) => line.model],
  ["tool", (line) => line.toolName],
  ["price_version", (line) => line.priceVersion],
  ["key_owner", (line) => line.keyOwner],
  ["calls", (line) => line.calls],
  ["input_tokens", (line) => line.inputTokens],
  ["output_tokens", (line) => line.outputTokens],
  ["cache_read_tokens", (line) => line.cacheReadTokens],
  ["cache_write_tokens", (line) => line.cacheWriteTokens],
  ["estimated_calls", (line) => line.estimatedCalls],
  ["cost_micros", (line) => line.costMicros],
  ["charged_micros", (line) => line.chargedMicros],
];

/** CSV (RFC 4180) with a byte order mark, one row per line and a last one with the total. */
export function statementCsv(statement: Statement): string {
  const head = ["tenant", "month", "state", "currency", ...COLUMNS.map(([name]) => name), "charged"];
  const own = [statement.tenant.slug, statement.month, statement.state, statement.currency];
  const rows = statement.lines.map((line) => [
    ...own,
    ...COLUMNS.map(([, read]) => read(line)),
    decimal(line.chargedMicros),
  ]);
  const { calls, costMicros, chargedMicros } = statement.totals;
  const sums: Readonly<Record<string, string | number>> = {
    ...{ kind: "total", calls, cost_micros: costMicros, charged_micros: chargedMicros },
  };
  rows.push([...own, ...COLUMNS.map(([name]) => sums[name] ?? ""), decimal(chargedMicros)]);
  return `\uFEFF${[head, ...rows].map((row) => row.map(csvCell).join(",")).join("\r\n")}\r\n`;
}

/** A number for the spreadsheet; 15 digits are what it keeps, the exact figure is beside it in micro-units. */
function decimal(micros: number): number {
  return Number(showMicros(micros));
}
