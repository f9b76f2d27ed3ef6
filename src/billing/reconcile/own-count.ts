/**
 * Our own count of one tenant's calls, by day of UTC, provider and model. Owns: reading it from the events.
 * Refuses to know: other tenants, what providers counted.
 *
 * Read beside the event loop, in pieces: a busy tenant's day has hundreds of thousands of events, and other reports wait
 * meanwhile.
 */
import type { TenantScope } from "../../tenancy/scoped.ts";
import { addDays } from "../calendar.ts";
import type { OwnDay } from "./findings.ts";

/** Our count of one model of a provider on one day of UTC. */
export interface OwnCount extends OwnDay {
  provider: string;
  /** `YYYY-MM-DD`, UTC. */
  day: string;
}

/** What is counted: whole days of UTC, calls with the platform's keys or with the tenant's own. */
export interface CountedSpan {
  firstDay: string;
  lastDay: string;
  keyOwner: "platform" | "tenant";
}

const DAY_MS = 86_400_000;
/** Takes some 20 ms. */
const PIECE_EVENTS = 20_000;

/** Numbers of the first and the newest event of some days of the tenant's; asked by day, each is one step in the index. */
export const BOUNDS = `SELECT min(first) AS first, max(last) AS last FROM (SELECT
    (SELECT min(seq) FROM usage_events WHERE day = value) AS first,
    (SELECT max(seq) FROM usage_events WHERE day = value) AS last FROM json_each(?))`;

/** Events between two numbers, summed. */
export const PIECE = `SELECT at_ms / ${DAY_MS} AS dayNumber, provider, model,
    sum(input_tokens + cache_read_tokens + cache_write_tokens) AS inputTokens,
    sum(cache_read_tokens) AS cachedTokens, sum(output_tokens) AS outputTokens,
    sum(NOT is_error OR input_tokens + output_tokens > 0) AS calls,
    sum(NOT is_exact AND (NOT is_error OR input_tokens + output_tokens > 0)) AS estimatedCalls
  FROM usage_events WHERE seq BETWEEN ? AND ? AND at_ms >= ? AND at_ms < ? AND kind = 'model' AND key_owner = ?
  GROUP BY dayNumber, provider, model`;

type Piece = OwnDay & { dayNumber: number; provider: string };

/** Count a tenant's calls. @param pieceEvents events that are looked at with one question */
export async function countOwn(
  scope: TenantScope,
  { firstDay, lastDay, keyOwner }: CountedSpan,
  pieceEvents = PIECE_EVENTS,
): Promise<OwnCount[]> {
  const [startMs, endMs] = [startOfDay(firstDay), startOfDay(lastDay) + DAY_MS];
  const [bounds] = await scope.db.report<{ first: number | null; last: number | null }>(BOUNDS, [
    JSON.stringify(daysAround(firstDay, lastDay)),
  ]);
  const counts = new Map<string, OwnCount>();
  const [first, last] = [bounds?.first ?? 1, bounds?.last ?? 0];
  for (let from = first; from <= last; from += pieceEvents) {
    const to = Math.min(last, from + pieceEvents - 1);
    for (const piece of await scope.db.report<Piece>(PIECE, [from, to, startMs, endMs, keyOwner])) {
      const { dayNumber, ...sums } = piece;
      const day = new Date(dayNumber * DAY_MS).toISOString().slice(0, 10);
      const known = counts.get(`${day} ${sums.provider} ${sums.model}`);
      if (known === undefined) counts.set(`${day} ${sums.provider} ${sums.model}`, { ...sums, day });
      else addTo(known, sums);
    }
  }
  return [...counts.values()];
}

/** Add what another one counted of the same model. */
export function addTo(known: OwnDay, more: OwnDay): void {
  known.calls += more.calls;
  known.estimatedCalls += more.estimatedCalls;
  known.inputTokens += more.inputTokens;
  known.cachedTokens += more.cachedTokens;
  known.outputTokens += more.outputTokens;
}

/** First instant of a day of UTC. */
export function startOfDay(day: string): number {
  return Date.parse(`${day}T00:00:00Z`);
}

/** A day of any zone lies within one day of UTC's. */
function daysAround(firstDay: string, lastDay: string): string[] {
  const days: string[] = [];
  for (let day = addDays(firstDay, -1); day <= addDays(lastDay, 1); day = addDays(day, 1)) days.push(day);
  return days;
}
