/** Usage as numbers per day and per thing. Owns: periods, sums, CSV. Refuses to know: charts and words. */
import type { SessionsUsage, UsageTotals } from "../gateway/wire.ts";

/** Numbers of one day. */
export interface UsageDay {
  /** Calendar day, YYYY-MM-DD. */
  date: string;
  totals: UsageTotals;
}

/** One line of a table: a model, an agent or a conversation. */
export interface UsageLine {
  id: string;
  name: string;
  calls: number | undefined;
  totals: UsageTotals;
}

/** Nothing used. */
export const NO_TOTALS: UsageTotals = {
  input: 0,
  output: 0,
  cacheRead: 0,
  cacheWrite: 0,
  totalTokens: 0,
  totalCost: 0,
};

const DAY_MS = 86_400_000;

/** One entry for every day of the answer's period, in the organization's timezone, empty days included. */
export function daysOf(usage: SessionsUsage): UsageDay[] {
  const known = new Map((usage.aggregates.costDaily ?? []).map((day) => [day.date, day]));
  const firstMs = Date.parse(`${usage.startDate}T00:00:00Z`);
  const lastMs = Date.parse(`${usage.endDate}T00:00:00Z`);
  const length = Math.min(400, Math.max(1, Math.round((lastMs - firstMs) / DAY_MS) + 1));
  return Array.from({ length }, (_, index) => {
    const date = new Date(firstMs + index * DAY_MS).toISOString().slice(0, 10);
    return { date, totals: known.get(date) ?? NO_TOTALS };
  });
}

const byCost = (a: UsageLine, b: UsageLine): number =>
  b.totals.totalCost - a.totals.totalCost || b.totals.totalTokens - a.totals.totalTokens;

/** Lines per model, the dearest first. */
export function modelLines(usage: SessionsUsage): UsageLine[] {
  return (usage.aggregates.byModel ?? [])
    .map((entry) => {
      const name = `${entry.provider}/${entry.model}`;
      return { id: name, name, calls: entry.count, totals: entry.totals };
    })
    .sort(byCost);
}

/** Lines per agent, the dearest first. */
export function agentLines(usage: SessionsUsage): UsageLine[] {
  return (usage.aggregates.byAgent ?? [])
    .map((entry) => ({ id: entry.agentId, name: entry.agentId, calls: undefined, totals: entry.totals }))
    .sort(byCost);
}

/** Lines per conversation, the dearest first; `nameOf` turns a key into a title. */
export function sessionLines(usage: SessionsUsage, nameOf: (key: string) => string | undefined): UsageLine[] {
  return usage.sessions
    .map((entry) => ({
      id: entry.key,
      name: entry.label || nameOf(entry.key) || entry.key,
      calls: undefined,
      totals: entry.usage ?? NO_TOTALS,
    }))
    .sort(byCost);
}

/** One CSV cell. A text that a spreadsheet would run as a formula gets an apostrophe in front. */
export function csvCell(value: string | number): string {
  if (typeof value === "number") return String(value);
  const safe = /^[\s]*[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r;]/.test(safe) || safe !== value ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A CSV text of rows. */
export function csvText(rows: readonly (readonly (string | number)[])[]): string {
  return `${rows.map((row) => row.map(csvCell).join(",")).join("\r\n")}\r\n`;
}
