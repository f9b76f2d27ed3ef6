/**
 * What was used over some days, by everything people ask about. Owns: the answers of `usage.cost` and
 * `sessions.usage` but for the list of sessions. Refuses to know: transcripts; all numbers come from usage rows.
 */
import { setImmediate as nextRound } from "node:timers/promises";
import { AppError } from "../kernel/errors.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { SUMS, Tallies, Tally, type UsageRow, type WireTotals } from "./tally.ts";
import type { UsageWindow } from "./usage-window.ts";

/** Which rows count. */
export interface UsageFilter {
  agentId?: string | undefined;
  sessionKey?: string | undefined;
  /** Only these sessions. */
  sessionKeys?: readonly string[] | undefined;
}

/** The days of a window joined to the rows in them; takes the params of `filterParams`. */
export const FROM_WINDOW = `FROM (SELECT value ->> 0 AS day, value ->> 1 AS first_slot, value ->> 2 AS end_slot
    FROM json_each(?)) d
  CROSS JOIN usage_quarters q ON q.slot >= d.first_slot AND q.slot < d.end_slot
  WHERE (? IS NULL OR q.agent_id = ?) AND (? IS NULL OR q.session_key = ?)
    AND (? IS NULL OR q.session_key IN (SELECT value FROM json_each(?)))`;

/** The values for FROM_WINDOW, in its order. */
export function filterParams(window: UsageWindow, filter: UsageFilter): (string | null)[] {
  const agentId = filter.agentId ?? null;
  const sessionKey = filter.sessionKey ?? null;
  const keys = filter.sessionKeys === undefined ? null : JSON.stringify(filter.sessionKeys);
  return [window.slotsJson, agentId, agentId, sessionKey, sessionKey, keys, keys];
}

type DayRow = UsageRow & { day: string };

/** One day of a cost series. */
export type WireDay = { date: string } & WireTotals;

/** Totals by day, a zero entry for a day without usage, and over all days. */
export async function readCost(
  scope: TenantScope,
  window: UsageWindow,
  filter: UsageFilter,
): Promise<{ daily: WireDay[]; totals: WireTotals }> {
  const rows = await scope.db.report<DayRow>(
    `SELECT d.day AS day, ${SUMS} ${FROM_WINDOW} GROUP BY d.day`,
    filterParams(window, filter),
  );
  const byDay = new Tallies<string>();
  const all = new Tally();
  for (const row of rows) {
    byDay.add(row.day, row);
    all.add(row);
  }
  return { daily: costDaily(window, byDay), totals: all.totals() };
}

function costDaily(window: UsageWindow, byDay: Tallies<string>): WireDay[] {
  return window.spans.map(({ day }) => ({ date: day, ...byDay.read(day).totals() }));
}

/** A sum by one thing; what it is not summed by is empty. */
type LevelRow = DayRow & {
  level: "day" | "model" | "tool" | "agent" | "user" | "channel";
  provider: string;
  model: string;
  name: string;
};

/** Most lines of one report: days x models, tools, agents, people and channels that really occurred. */
const MOST_LINES = 200_000;
/** A few milliseconds of the event loop. */
const ROWS_AT_ONCE = 1_000;

const DIMENSIONS = "d.day, q.agent_id, q.user_id, q.channel, q.provider, q.model, q.tool_name";

/** The window's rows are read once; every sum is made beside the event loop, and only sums leave it. */
const LEVELS = `WITH q AS MATERIALIZED (SELECT ${DIMENSIONS}, ${SUMS} ${FROM_WINDOW} GROUP BY ${DIMENSIONS})
  ${[
    levelOf("day", "day", "''", "''", "''", "true"),
    levelOf("model", "day", "provider", "model", "''", "tool_name = ''"),
    levelOf("tool", "''", "''", "''", "tool_name", "tool_name <> ''"),
    levelOf("agent", "''", "''", "''", "agent_id", "agent_id <> ''"),
    levelOf("user", "''", "''", "''", "user_id", "true"),
    levelOf("channel", "''", "''", "''", "channel", "channel <> ''"),
  ].join(" UNION ALL ")} LIMIT ${MOST_LINES + 1}`;

function levelOf(
  ...[level, day, provider, model, name, where]: [LevelRow["level"], string, string, string, string, string]
): string {
  return `SELECT '${level}' AS level, ${day} AS day, ${provider} AS provider, ${model} AS model, ${name} AS name, ${SUMS}
    FROM q WHERE ${where} GROUP BY 2, 3, 4, 5`;
}

/** A provider and a model as one key. */
export function modelKey(row: { provider: string; model: string }): string {
  return JSON.stringify([row.provider, row.model]);
}

/** The two parts of a model key. */
export function readModelKey(key: string): { provider: string; model: string } {
  const [provider, model] = JSON.parse(key) as [string, string];
  return { provider, model };
}

/** Sums of a window by day, model, provider, agent, channel, person and tool. */
export class UsageAggregates {
  readonly all = new Tally();
  private readonly byDay = new Tallies<string>();
  private readonly byModel = new Tallies<string>();
  private readonly byProvider = new Tallies<string>();
  private readonly byAgent = new Tallies<string>();
  private readonly byChannel = new Tallies<string>();
  private readonly byUser = new Tallies<string>();
  private readonly byTool = new Tallies<string>();
  private readonly byModelDay = new Map<string, Tallies<string>>();
  private readonly window: UsageWindow;

  constructor(window: UsageWindow) {
    this.window = window;
  }

  /** Read and add up the rows of a window. Throws `too_large` when there are too many sums to tell; none is left out. */
  static async read(scope: TenantScope, window: UsageWindow, filter: UsageFilter): Promise<UsageAggregates> {
    const rows = await scope.db.report<LevelRow>(LEVELS, filterParams(window, filter));
    if (rows.length > MOST_LINES)
      throw new AppError("too_large", "These days hold more sums than one answer can; ask for fewer days.");
    const aggregates = new UsageAggregates(window);
    for (const [n, row] of rows.entries()) {
      // Others are served between pieces of a long sum.
      if (n % ROWS_AT_ONCE === ROWS_AT_ONCE - 1) await nextRound();
      aggregates.add(row);
    }
    return aggregates;
  }

  private add(row: LevelRow): void {
    if (row.level === "day") {
      this.all.add(row);
      this.byDay.add(row.day, row);
    } else if (row.level === "model") this.addModel(row);
    else if (row.level === "tool") this.byTool.add(row.name, row);
    else if (row.level === "agent") this.byAgent.add(row.name, row);
    else if (row.level === "user") this.byUser.add(row.name, row);
    else this.byChannel.add(row.name, row);
  }

  private addModel(row: LevelRow): void {
    const key = modelKey(row);
    this.byModel.add(key, row);
    this.byProvider.add(row.provider, row);
    const days = this.byModelDay.get(row.day) ?? new Tallies<string>();
    days.add(key, row);
    this.byModelDay.set(row.day, days);
  }

  costDaily(): WireDay[] {
    return costDaily(this.window, this.byDay);
  }

  /** The `aggregates` object of `sessions.usage`. */
  toWire(sessionCount: number): Record<string, unknown> {
    return {
      sessionCount,
      messages: this.all.messages(),
      tools: toolUsage(this.byTool),
      byModel: modelUsage(this.byModel),
      byProvider: this.byProvider
        .ranked()
        .map(([provider, tally]) => ({ provider, count: tally.calls, totals: tally.totals() })),
      byAgent: this.byAgent.ranked().map(([agentId, tally]) => ({ agentId, totals: tally.totals() })),
      byChannel: this.byChannel.ranked().map(([channel, tally]) => ({ channel, totals: tally.totals() })),
      byUser: this.byUser.ranked().map(([userId, tally]) => ({ userId, totals: tally.totals() })),
      costDaily: this.costDaily(),
      modelDaily: this.window.spans.flatMap(({ day }) => this.modelsOf(day)),
      daily: this.window.spans.map(({ day }) => this.dayOf(day)),
    };
  }

  private modelsOf(day: string): Record<string, unknown>[] {
    return (this.byModelDay.get(day)?.ranked() ?? []).map(([key, tally]) => ({
      date: day,
      ...readModelKey(key),
      tokens: tally.tokens,
      cost: tally.cost,
      count: tally.calls,
    }));
  }

  private dayOf(day: string): Record<string, unknown> {
    const tally = this.byDay.read(day);
    const { total, toolCalls, errors } = tally.messages();
    return { date: day, tokens: tally.tokens, cost: tally.cost, messages: total, toolCalls, errors };
  }
}

/** Calls by tool, most used first. */
export function toolUsage(byTool: Tallies<string>): Record<string, unknown> {
  const tools = byTool
    .entries()
    .map(([name, tally]) => ({ name, count: tally.toolCalls }))
    // What is charged like a tool but called by nobody is none.
    .filter(({ count }) => count > 0)
    .sort((left, right) => right.count - left.count || (left.name < right.name ? -1 : 1));
  return {
    totalCalls: tools.reduce((sum, tool) => sum + tool.count, 0),
    uniqueTools: tools.length,
    tools,
  };
}

/** Calls and totals by model, dearest first. */
export function modelUsage(byModel: Tallies<string>): Record<string, unknown>[] {
  return byModel
    .ranked()
    .map(([key, tally]) => ({ ...readModelKey(key), count: tally.calls, totals: tally.totals() }));
}
