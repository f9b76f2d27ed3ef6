/** Usage as numbers per day and per thing. Owns: periods, sums, CSV. Refuses to know: charts and words. */
import type { SessionsUsage, UsageTotals } from "../gateway/wire.ts";
import type { DrillSums } from "../http/billing.ts";

/** Numbers of one day. */
export interface UsageDay {
  /** Calendar day, YYYY-MM-DD. */
  date: string;
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

/** A cost of the protocol, which counts in whole units, as the micro-units it was made of. */
export function microsOf(cost: number): number {
  return Math.round(cost * 1_000_000);
}

/** As many days as the period has, right before it. */
export function daysBefore(period: { from: string; to: string }): { from: string; to: string; days: number } {
  const [fromMs, toMs] = [period.from, period.to].map((day) => Date.parse(`${day}T00:00:00Z`)) as [
    number,
    number,
  ];
  const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  const days = Math.round((toMs - fromMs) / DAY_MS) + 1;
  return { from: dayOf(fromMs - days * DAY_MS), to: dayOf(fromMs - DAY_MS), days };
}

/** Several sums as one. */
export function sumOf(sums: readonly DrillSums[]): DrillSums {
  const of = (name: keyof DrillSums) => sums.reduce((all, one) => all + one[name], 0);
  return {
    ...{ costMicros: of("costMicros"), calls: of("calls"), toolCalls: of("toolCalls") },
    ...{ inputTokens: of("inputTokens"), outputTokens: of("outputTokens") },
    ...{ cacheReadTokens: of("cacheReadTokens"), cacheWriteTokens: of("cacheWriteTokens") },
  };
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
