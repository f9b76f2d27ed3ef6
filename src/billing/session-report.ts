/**
 * What single sessions used. Owns: the session rows of `sessions.usage`, and one session's course over time.
 * Refuses to know: transcripts and the index of sessions; a session without usage does not appear.
 */
import { setImmediate as nextRound } from "node:timers/promises";
import type { TenantScope } from "../tenancy/scoped.ts";
import { QUARTER_MS } from "./calendar.ts";
import { toCurrency } from "./prices.ts";
import { SUMS, Tallies, Tally, type UsageRow } from "./tally.ts";
import {
  FROM_WINDOW,
  filterParams,
  modelKey,
  modelUsage,
  toolUsage,
  type UsageFilter,
} from "./usage-report.ts";
import type { UsageWindow } from "./usage-window.ts";

/** One row per incarnation of a session, or one per session key with all of its incarnations. */
export type SessionGrouping = "instance" | "family";

interface GroupRow {
  id: string;
  first_slot: number;
  last_slot: number;
}

interface SessionRow {
  session_id: string;
  session_key: string;
  agent_id: string;
  channel: string;
  provider: string;
  model: string;
  first_ms: number;
  last_ms: number;
}

type DetailRow = UsageRow & { id: string; day: string; provider: string; model: string; tool_name: string };
type SlotRow = UsageRow & { id: string; slot: number };

/** Sessions whose quarters of an hour are listed; the newest ones. */
const MOST_WITH_SLOTS = 200;
const MOST_ROWS = 100_000;
/** A few milliseconds of the event loop. */
const SESSIONS_AT_ONCE = 50;

/** Sessions with usage in the window, the latest active first and as many as an answer holds, and how many there are in all. */
export async function readSessions(
  scope: TenantScope,
  window: UsageWindow,
  filter: UsageFilter,
  options: { groupBy: SessionGrouping; limit: number },
): Promise<{ count: number; sessions: SessionUsage[] }> {
  const column = options.groupBy === "family" ? "session_key" : "session_id";
  const params = filterParams(window, filter);
  const groups = await scope.db.report<GroupRow>(
    `SELECT q.${column} AS id, min(q.slot) AS first_slot, max(q.slot) AS last_slot ${FROM_WINDOW}
     GROUP BY 1 ORDER BY last_slot DESC, id LIMIT ?`,
    [...params, options.limit],
  );
  const [counted] = await scope.db.report<{ n: number }>(
    `SELECT count(DISTINCT q.${column}) AS n ${FROM_WINDOW}`,
    params,
  );
  const details = await readWhole(groups, (ids) =>
    scope.db.report<DetailRow>(
      `SELECT q.${column} AS id, d.day, q.provider, q.model, q.tool_name, ${SUMS} ${FROM_WINDOW}
       AND q.${column} IN (SELECT value FROM json_each(?)) GROUP BY 1, 2, 3, 4, 5 LIMIT ${MOST_ROWS + 1}`,
      [...params, ids],
    ),
  );
  const slots = await readWhole(details.groups.slice(0, MOST_WITH_SLOTS), (ids) =>
    scope.db.report<SlotRow>(
      `SELECT q.${column} AS id, q.slot, ${SUMS} ${FROM_WINDOW}
       AND q.${column} IN (SELECT value FROM json_each(?)) GROUP BY 1, 2 LIMIT ${MOST_ROWS + 1}`,
      [...params, ids],
    ),
  );
  const identities = await scope.db.list<SessionRow>(
    `SELECT session_id, session_key, agent_id, channel, provider, model, first_ms, last_ms FROM usage_sessions
     WHERE ${column} IN (SELECT value FROM json_each(?)) ORDER BY last_ms DESC LIMIT ${MOST_ROWS}`,
    [idsOf(details.groups)],
  );
  const byId = {
    identities: groupRows(identities, column),
    details: groupById(details.rows),
    slots: groupById(slots.rows),
  };
  const sessions: SessionUsage[] = [];
  for (const [n, group] of details.groups.entries()) {
    // Others are served between pieces of a long list.
    if (n % SESSIONS_AT_ONCE === SESSIONS_AT_ONCE - 1) await nextRound();
    const own = byId.identities.get(group.id) ?? [];
    const usage = new SessionUsage(window, group, own);
    for (const row of byId.details.get(group.id) ?? []) usage.add(row);
    usage.slots = byId.slots.get(group.id) ?? [];
    if (own.length > 0) sessions.push(usage);
  }
  return { count: counted?.n ?? 0, sessions };
}

/**
 * The rows of sessions, all of each: when they are more than one answer can hold, of the first half only, and so on.
 * A session is told whole or not at all; a part of its cost would pass for all of it.
 */
async function readWhole<Row>(
  groups: readonly GroupRow[],
  read: (ids: string) => Promise<Row[]>,
): Promise<{ groups: readonly GroupRow[]; rows: Row[] }> {
  for (let kept = groups; ; kept = kept.slice(0, Math.floor(kept.length / 2))) {
    if (kept.length === 0) return { groups: [], rows: [] };
    const rows = await read(idsOf(kept));
    if (rows.length <= MOST_ROWS) return { groups: kept, rows };
  }
}

function idsOf(groups: readonly GroupRow[]): string {
  return JSON.stringify(groups.map((group) => group.id));
}

function groupById<Row extends { id: string }>(rows: readonly Row[]): Map<string, Row[]> {
  return Map.groupBy(rows, (row) => row.id);
}

function groupRows(
  rows: readonly SessionRow[],
  column: "session_key" | "session_id",
): Map<string, SessionRow[]> {
  return Map.groupBy(rows, (row) => row[column]);
}

/** What one session used within a window. */
export class SessionUsage {
  readonly all = new Tally();
  readonly byDay = new Tallies<string>();
  /** Its quarters of an hour; empty for sessions that are too many. */
  slots: readonly SlotRow[] = [];
  private readonly byModel = new Tallies<string>();
  private readonly byTool = new Tallies<string>();
  private readonly byModelDay = new Tallies<string>();
  private readonly window: UsageWindow;
  private readonly group: GroupRow;
  /** The incarnations, latest active first. */
  private readonly identities: readonly SessionRow[];

  constructor(window: UsageWindow, group: GroupRow, identities: readonly SessionRow[]) {
    this.window = window;
    this.group = group;
    this.identities = identities;
  }

  /** The session's key; the same for all its incarnations. */
  get key(): string {
    return this.identities[0]!.session_key;
  }

  /** Add up a row of it. */
  add(row: DetailRow): void {
    this.all.add(row);
    this.byDay.add(row.day, row);
    if (row.tool_name !== "") {
      this.byTool.add(row.tool_name, row);
      return;
    }
    this.byModel.add(modelKey(row), row);
    this.byModelDay.add(JSON.stringify([row.day, row.provider, row.model]), row);
  }

  /** A row of `sessions.usage`. */
  toWire(groupBy: SessionGrouping): Record<string, unknown> {
    const current = this.identities[0]!;
    const family = {
      scope: "family",
      sessionFamilyKey: current.session_key,
      currentSessionId: current.session_id,
      includedSessionIds: this.identities.map((row) => row.session_id),
      historicalInstanceCount: this.identities.length,
    };
    return {
      key: current.session_key,
      sessionId: current.session_id,
      ...(groupBy === "family" ? family : { scope: "instance" }),
      updatedAt: this.lastMs(),
      agentId: current.agent_id,
      channel: current.channel,
      modelProvider: current.provider,
      model: current.model,
      usage: this.usage(current),
    };
  }

  private usage(current: SessionRow): Record<string, unknown> {
    const firstMs = this.firstMs();
    const lastMs = this.lastMs();
    const days = this.byDay.entries().sort(([left], [right]) => (left < right ? -1 : 1));
    return {
      ...this.all.totals(),
      sessionId: current.session_id,
      firstActivity: firstMs,
      lastActivity: lastMs,
      durationMs: Math.max(0, lastMs - firstMs),
      messageCounts: this.all.messages(),
      toolUsage: toolUsage(this.byTool),
      modelUsage: modelUsage(this.byModel),
      activityDates: days.map(([day]) => day),
      dailyBreakdown: days.map(([date, tally]) => ({
        date,
        tokens: tally.tokens,
        cost: tally.cost,
        ...tally.totals(),
      })),
      dailyMessageCounts: days.map(([date, tally]) => ({ date, ...tally.messages() })),
      dailyModelUsage: this.byModelDay.entries().map(([key, tally]) => {
        const [date, provider, model] = JSON.parse(key) as [string, string, string];
        return { date, provider, model, tokens: tally.tokens, cost: tally.cost, count: tally.calls };
      }),
      ...quarters(this.slots),
    };
  }

  /** Exact where the whole session lies in the window, else to the quarter of an hour. */
  private firstMs(): number {
    const firstMs = Math.min(...this.identities.map((row) => row.first_ms));
    return firstMs >= this.window.spans[0]!.startMs ? firstMs : this.group.first_slot * QUARTER_MS;
  }

  private lastMs(): number {
    const lastMs = Math.max(...this.identities.map((row) => row.last_ms));
    return lastMs < this.window.spans.at(-1)!.endMs ? lastMs : (this.group.last_slot + 1) * QUARTER_MS - 1;
  }
}

/** Activity by quarter of an hour of UTC, from which a client makes hours of any zone. */
function quarters(slots: readonly SlotRow[]): Record<string, unknown> {
  const tallies = slots.map((row) => {
    const tally = new Tally();
    tally.add(row);
    const atMs = row.slot * QUARTER_MS;
    const date = new Date(atMs).toISOString().slice(0, 10);
    return { where: { date, quarterIndex: row.slot % 96 }, tally };
  });
  return {
    utcQuarterHourMessageCounts: tallies.map(({ where, tally }) => ({ ...where, ...tally.messages() })),
    utcQuarterHourTokenUsage: tallies.map(({ where, tally }) => {
      const { input, output, cacheRead, cacheWrite, totalTokens, totalCost } = tally.totals();
      return { ...where, input, output, cacheRead, cacheWrite, totalTokens, totalCost };
    }),
  };
}

interface EventRow {
  session_id: string;
  kind: "model" | "tool";
  provider: string;
  model: string;
  tool_name: string;
  purpose: string;
  is_error: number;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  cost_micros: number;
  at_ms: number;
}

/** Newest events of all incarnations of a session, oldest first. */
async function listEvents(scope: TenantScope, key: string, limit: number, kind: string): Promise<EventRow[]> {
  const rows = await scope.db.list<EventRow>(
    `SELECT e.session_id, e.kind, e.provider, e.model, e.tool_name, e.purpose, e.is_error, e.input_tokens,
       e.output_tokens, e.cache_read_tokens, e.cache_write_tokens, e.cost_micros, e.at_ms
     FROM usage_sessions s CROSS JOIN usage_events e ON e.session_id = s.session_id
     WHERE s.session_key = ? AND (? = '' OR e.kind = ?) ORDER BY e.seq DESC LIMIT ?`,
    [key, kind, kind, limit],
  );
  return rows.reverse();
}

const MOST_EVENTS = 10_000;
const MOST_POINTS = 200;

/** Tokens and cost of a session's model calls over time, at most 200 points; empty when there were none. */
export async function readTimeSeries(scope: TenantScope, key: string): Promise<Record<string, unknown>> {
  const events = await listEvents(scope, key, MOST_EVENTS, "model");
  const perPoint = Math.max(1, Math.ceil(events.length / MOST_POINTS));
  const points: Record<string, unknown>[] = [];
  let cumulativeTokens = 0;
  let cumulativeMicros = 0;
  for (let at = 0; at < events.length; at += perPoint) {
    const chunk = events.slice(at, at + perPoint);
    const sum = (pick: (row: EventRow) => number) => chunk.reduce((total, row) => total + pick(row), 0);
    const totalTokens = sum(tokensOf);
    const costMicros = sum((row) => row.cost_micros);
    cumulativeTokens += totalTokens;
    cumulativeMicros += costMicros;
    points.push({
      timestamp: chunk.at(-1)!.at_ms,
      input: sum((row) => row.input_tokens),
      output: sum((row) => row.output_tokens),
      cacheRead: sum((row) => row.cache_read_tokens),
      cacheWrite: sum((row) => row.cache_write_tokens),
      totalTokens,
      cost: toCurrency(costMicros),
      cumulativeTokens,
      cumulativeCost: toCurrency(cumulativeMicros),
    });
  }
  const sessionId = events.at(-1)?.session_id;
  return { ...(sessionId === undefined ? {} : { sessionId }), points };
}

/** The newest model and tool calls of a session, oldest first; says which, not what was said. */
export async function readLogs(
  scope: TenantScope,
  key: string,
  limit: number,
): Promise<Record<string, unknown>> {
  const events = await listEvents(scope, key, limit, "");
  const logs = events.map((row) => ({
    timestamp: row.at_ms,
    role: row.kind === "model" ? "assistant" : "toolResult",
    content: `${row.kind === "model" ? `${row.provider}/${row.model}` : row.tool_name}${noteOf(row)}`,
    ...(row.kind === "model" ? { tokens: tokensOf(row), cost: toCurrency(row.cost_micros) } : {}),
  }));
  return { logs };
}

function noteOf(row: EventRow): string {
  if (row.is_error === 1) return " (failed)";
  return row.purpose === "compaction" ? " (compaction)" : "";
}

function tokensOf(row: EventRow): number {
  return row.input_tokens + row.output_tokens + row.cache_read_tokens + row.cache_write_tokens;
}
