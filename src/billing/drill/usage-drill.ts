/**
 * Following a figure down. Owns: sums of usage by one thing after another, to the micro-unit, from a month to a turn.
 * Refuses to know: names of people and agents (asked of a port), prices.
 *
 * Every level but the last is summed from the quarters of an hour that `usage.cost` is summed from; turns are summed
 * from the events that the quarters are derived from. What does not fit a list is in `rest`, so rows and rest always
 * add up to the total.
 */
import type { SqlValue } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { addDays } from "../calendar.ts";
import type { UsageWindow } from "../usage-window.ts";

/** What rows can be made by. */
export const DRILL_GROUPS = ["day", "agent", "user", "model", "channel", "session", "run"] as const;

/** One of them. */
export type DrillGroup = (typeof DRILL_GROUPS)[number];

/** Which usage counts; a model is `provider/model`, or `-` for calls of tools; a session is its id or its key. */
export interface DrillFilter {
  agent?: string | undefined;
  user?: string | undefined;
  model?: string | undefined;
  channel?: string | undefined;
  session?: string | undefined;
  run?: string | undefined;
}

/** Sums in integers; cost in micro-units of the tenant's currency. */
export interface DrillSums {
  costMicros: number;
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
  /** Calls of models. */
  calls: number;
  toolCalls: number;
}

/** One row; `key` is what the next level filters by. */
export interface DrillRow extends DrillSums {
  key: string;
  name: string;
  /** Of the output tokens those that were thought and not said; only where events are summed: turns, or within one. */
  reasoningTokens?: number;
}

/** An answer; `rest` are the rows that did not fit, undefined when all did. */
export interface Drill {
  rows: DrillRow[];
  rest: (DrillSums & { rows: number }) | undefined;
  total: DrillSums;
}

/** Rows of one answer. */
const MOST_ROWS = 1_000;

/** Stands for the model of calls of tools. */
const NO_MODEL = "-";

const MODEL = `iif(u.provider = '' AND u.model = '', '${NO_MODEL}', u.provider || '/' || u.model)`;

const KEYS: Readonly<Record<DrillGroup, { key: string; name: string; order: string }>> = {
  day: { key: "d.day", name: "d.day", order: "key" },
  agent: { key: "u.agent_id", name: "u.agent_id", order: "cost_micros DESC, key" },
  user: { key: "u.user_id", name: "u.user_id", order: "cost_micros DESC, key" },
  model: { key: MODEL, name: MODEL, order: "cost_micros DESC, key" },
  channel: { key: "u.channel", name: "u.channel", order: "cost_micros DESC, key" },
  session: { key: "u.session_id", name: "max(u.session_key)", order: "cost_micros DESC, key" },
  run: { key: "u.run_id", name: "max(u.session_key)", order: "min(u.seq) DESC" },
};

const TOKENS = ["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"] as const;
const SUMMED = ["cost_micros", ...TOKENS] as const;

const DAYS = `(SELECT value ->> 0 AS day, value ->> 1 AS first_slot, value ->> 2 AS end_slot FROM json_each(?)) d`;
const FROM_QUARTERS = `FROM ${DAYS} CROSS JOIN usage_quarters u ON u.slot >= d.first_slot AND u.slot < d.end_slot`;
// An event's own day is that of the zone at its time; between zones from -12 to +14 the days of a moment are up to two apart.
const FROM_EVENTS = `FROM usage_events u CROSS JOIN ${DAYS}
  ON u.at_ms / 900000 >= d.first_slot AND u.at_ms / 900000 < d.end_slot`;

type SumRow = Record<(typeof SUMMED)[number] | "calls" | "tool_calls", number>;
type GroupRow = SumRow & { key: string; name: string; reasoning_tokens?: number };

/** Sum what the filter lets through in the days of the window, by one thing. */
export async function readDrill(
  scope: TenantScope,
  window: UsageWindow,
  filter: DrillFilter,
  groupBy: DrillGroup,
): Promise<Drill> {
  const source = groupBy === "run" || filter.run !== undefined ? eventSource(window) : quarterSource();
  const where = readFilter(filter);
  const from = `${source.from} WHERE ${[...source.conditions, ...where.conditions].join(" AND ")}`;
  const params = [window.slotsJson, ...source.params, ...where.params];
  const { key, name, order } = KEYS[groupBy];
  const rows = await scope.db.report<GroupRow>(
    `SELECT ${key} AS key, ${name} AS name, ${source.sums} ${from} GROUP BY 1 ORDER BY ${order} LIMIT ${MOST_ROWS}`,
    params,
  );
  const [all] = await scope.db.report<SumRow & { groups: number }>(
    `SELECT count(DISTINCT ${key}) AS groups, ${source.sums} ${from}`,
    params,
  );
  const total = toSums(all);
  const shown = rows.map(toRow);
  const left = (all?.groups ?? 0) - shown.length;
  return { rows: shown, rest: left <= 0 ? undefined : { rows: left, ...restOf(total, shown) }, total };
}

interface Source {
  from: string;
  conditions: string[];
  params: SqlValue[];
  sums: string;
}

const TOKEN_SUMS = SUMMED.map((measure) => `coalesce(sum(u.${measure}), 0) AS ${measure}`).join(", ");

function quarterSource(): Source {
  const calls = "coalesce(sum(u.model_calls), 0) AS calls, coalesce(sum(u.tool_calls), 0) AS tool_calls";
  return { from: FROM_QUARTERS, conditions: ["1"], params: [], sums: `${TOKEN_SUMS}, ${calls}` };
}

function eventSource(window: UsageWindow): Source {
  const calls =
    "coalesce(sum(u.kind = 'model'), 0) AS calls, coalesce(sum(u.kind = 'tool' AND u.channel <> 'storage'), 0) AS tool_calls";
  return {
    from: FROM_EVENTS,
    conditions: ["u.day BETWEEN ? AND ?"],
    params: [addDays(window.startDate, -2), addDays(window.endDate, 2)],
    sums: `${TOKEN_SUMS}, coalesce(sum(u.reasoning_tokens), 0) AS reasoning_tokens, ${calls}`,
  };
}

function readFilter(filter: DrillFilter): { conditions: string[]; params: SqlValue[] } {
  const conditions: string[] = [];
  const params: SqlValue[] = [];
  const add = (condition: string, ...values: SqlValue[]) => {
    conditions.push(condition);
    params.push(...values);
  };
  if (filter.agent !== undefined) add("u.agent_id = ?", filter.agent);
  if (filter.user !== undefined) add("u.user_id = ?", filter.user);
  if (filter.model !== undefined) add(`${MODEL} = ?`, filter.model);
  if (filter.channel !== undefined) add("u.channel = ?", filter.channel);
  if (filter.session !== undefined)
    add("(u.session_id = ? OR u.session_key = ?)", filter.session, filter.session);
  if (filter.run !== undefined) add("u.run_id = ?", filter.run);
  return { conditions, params };
}

function toSums(row: SumRow | undefined): DrillSums {
  return {
    costMicros: row?.cost_micros ?? 0,
    inputTokens: row?.input_tokens ?? 0,
    outputTokens: row?.output_tokens ?? 0,
    cacheReadTokens: row?.cache_read_tokens ?? 0,
    cacheWriteTokens: row?.cache_write_tokens ?? 0,
    calls: row?.calls ?? 0,
    toolCalls: row?.tool_calls ?? 0,
  };
}

function toRow(row: GroupRow): DrillRow {
  const { key, name, reasoning_tokens: reasoningTokens } = row;
  return { key, name, ...toSums(row), ...(reasoningTokens === undefined ? {} : { reasoningTokens }) };
}

function restOf(total: DrillSums, rows: readonly DrillSums[]): DrillSums {
  const names = Object.keys(total) as (keyof DrillSums)[];
  const left = names.map((name) => [name, rows.reduce((rest, row) => rest - row[name], total[name])]);
  return Object.fromEntries(left) as unknown as DrillSums;
}
