/**
 * The log as a file to take away. Owns: its two forms, JSON lines (which can be checked offline) and CSV (for tables).
 * Refuses to know: transports.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type AuditRow, COLUMNS, FORMAT } from "./chain.ts";
import type { AuditFilter, AuditLog, LogOf } from "./log.ts";

/** The forms of an export. */
export type ExportFormat = "jsonl" | "csv";

const PAGE = 500;

/** All rows that the filter lets through, oldest first, in pieces; ends at the row that is the last when it begins. */
export async function* exportLog(
  log: AuditLog,
  of: LogOf,
  filter: AuditFilter,
  format: ExportFormat,
): AsyncGenerator<string> {
  const last = await log.lastSeq(of);
  const isWhole = Object.values(filter).every((value) => value === undefined);
  const head = { format: FORMAT, chain: log.chainOf(of), whole: isWhole };
  // A byte order mark tells spreadsheets that the text is UTF-8.
  yield format === "csv" ? `\uFEFF${COLUMNS.join(",")}\r\n` : `${JSON.stringify(head)}\n`;
  const before = Math.min(filter.before ?? last + 1, last + 1);
  let after = filter.after ?? 0;
  let rows = 0;
  let end: AuditRow | undefined;
  for (;;) {
    const page = await log.forward(of, { ...filter, after, before }, PAGE);
    if (page.length > 0) yield page.map(format === "csv" ? csvLine : jsonLine).join("");
    rows += page.length;
    end = page.at(-1) ?? end;
    if (page.length < PAGE) break;
    after = end?.seq ?? after;
    await nextTurn();
  }
  // Without its last line a file is known to have been cut on the way.
  if (format === "jsonl")
    yield `${JSON.stringify({ end: true, rows, seq: end?.seq ?? 0, hash: end?.hash ?? null })}\n`;
}

function jsonLine(row: AuditRow): string {
  return `${JSON.stringify(Object.fromEntries(COLUMNS.map((column) => [column, row[column]])))}\n`;
}

function csvLine(row: AuditRow): string {
  return `${COLUMNS.map((column) => csvCell(row[column])).join(",")}\r\n`;
}

/**
 * One cell by RFC 4180. SECURITY: a text that begins like a formula would be run by the spreadsheet that opens it; an
 * apostrophe before it makes it text (OWASP, CSV injection).
 */
export function csvCell(value: string | number | null): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = /^[\s\0]*[=+\-@|%]|^[\t\r\n\0]/.test(value) ? `'${value}` : value;
  return /[",;\r\n\t\0]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""').replaceAll("\0", "")}"` : text;
}
