/**
 * Usage over the protocol. Owns: `usage.*` and `sessions.usage*` (PROTOCOL.md 8.3). Refuses to know: how it is counted.
 */
import { setImmediate as nextRound } from "node:timers/promises";
import { z } from "zod";
import type { Clock } from "../kernel/clock.ts";
import { defineMethod, looseResult, type Method } from "../protocol/methods.ts";
import { Calendars } from "./calendar.ts";
import { type PersonName, SessionCreators } from "./session-creators.ts";
import {
  readLogs,
  readSessions,
  readTimeSeries,
  type SessionGrouping,
  type SessionUsage,
} from "./session-report.ts";
import { readCost, UsageAggregates } from "./usage-report.ts";
import { readWindow } from "./usage-window.ts";

const DATE = z.string().regex(/^\d{4}-\d{2}-\d{2}$/);
const OFFSET = z.string().regex(/^UTC[+-]\d{1,2}(?::[0-5]\d)?$/);
const KEY = z.string().min(1).max(512);

const WINDOW = {
  startDate: DATE.optional(),
  endDate: DATE.optional(),
  mode: z.enum(["utc", "gateway", "specific"]).optional(),
  timeZone: z.string().min(1).max(64).optional(),
  utcOffset: OFFSET.optional(),
};

const TOTALS = looseResult({
  input: z.number(),
  output: z.number(),
  cacheRead: z.number(),
  cacheWrite: z.number(),
  totalTokens: z.number(),
  totalCost: z.number(),
  missingCostEntries: z.number(),
});

/** The methods of this module; without `nameOf` people are called by their ids. */
export function makeBillingMethods(deps: { clock: Clock; nameOf?: PersonName }): Method[] {
  const reading = { ...deps, calendars: new Calendars() };
  return [usageStatus(reading), usageCost(reading), sessionsUsage(reading), timeSeries(), logs()];
}

interface Reading {
  clock: Clock;
  nameOf?: PersonName;
  calendars: Calendars;
}

function usageStatus(reading: Reading): Method {
  return defineMethod({
    name: "usage.status",
    scope: "operator.read",
    params: z.object({}),
    result: looseResult({ updatedAt: z.number(), providers: z.array(z.unknown()) }),
    cost: "free",
    doc: "Subscription windows of providers; always an empty list, because keys are paid by use.",
    handler: async () => ({ updatedAt: reading.clock.nowMs(), providers: [] }),
  });
}

function usageCost(reading: Reading): Method {
  return defineMethod({
    name: "usage.cost",
    scope: "operator.read",
    params: z.object({
      days: z.int().min(1).max(1_827).optional(),
      ...WINDOW,
      agentId: z.string().min(1).max(64).optional(),
    }),
    result: looseResult({
      updatedAt: z.number(),
      days: z.number(),
      daily: z.array(z.unknown()),
      totals: TOTALS,
    }),
    cost: "report",
    doc: "Tokens and cost by day, a zero entry for a day without usage; the last 30 days unless said otherwise, in the tenant's time zone.",
    async handler(params, { tenant }) {
      const window = await readWindow(tenant, params, reading);
      const cost = await readCost(tenant, window, { agentId: params.agentId });
      return { updatedAt: reading.clock.nowMs(), days: window.spans.length, ...cost };
    },
  });
}

function sessionsUsage(reading: Reading): Method {
  return defineMethod({
    name: "sessions.usage",
    scope: "operator.read",
    params: z.object({
      ...WINDOW,
      key: KEY.optional(),
      agentId: z.string().min(1).max(64).optional(),
      agentScope: z.literal("all").optional(),
      range: z.enum(["7d", "30d", "90d", "1y", "all"]).optional(),
      groupBy: z.enum(["instance", "family"]).optional(),
      includeHistorical: z.boolean().optional(),
      limit: z.int().min(1).optional(),
      creatorKey: KEY.optional(),
    }),
    result: looseResult({
      updatedAt: z.number(),
      startDate: z.string(),
      endDate: z.string(),
      sessions: z.array(z.unknown()),
      totals: TOTALS,
      aggregates: looseResult({}),
    }),
    cost: "report",
    doc: "Usage of the sessions active in some days, with sums by day, model, provider, agent, channel, person and tool. Sums cover all sessions; the list holds at most `limit` (50, at most 1000), the latest active first. `byCreator` sums whole sessions by who began them, where all are listed; `creatorKey` asks for those of one.",
    async handler(params, { tenant }) {
      const window = await readWindow(tenant, params, reading);
      const agentId = params.agentScope === "all" ? undefined : params.agentId;
      const all = { agentId, sessionKey: params.key };
      const { creatorKey } = params;
      const chosen = creatorKey && (await SessionCreators.within(tenant, window, all, reading.nameOf));
      const filter = chosen ? { ...all, sessionKeys: chosen.keysOf(creatorKey) } : all;
      const isFamily =
        params.groupBy === "family" || (params.groupBy === undefined && params.includeHistorical);
      const groupBy = isFamily ? "family" : "instance";
      const limit = Math.min(params.limit ?? 50, 1_000);
      const { count, sessions } = await readSessions(tenant, window, filter, { groupBy, limit });
      const keys = [...new Set(sessions.map((session) => session.key))];
      const creators = chosen || (await SessionCreators.of(tenant, keys, reading.nameOf));
      const aggregates = await UsageAggregates.read(tenant, window, filter);
      return {
        updatedAt: reading.clock.nowMs(),
        startDate: window.startDate,
        endDate: window.endDate,
        timeZone: window.timeZone,
        sessions: await listRows(sessions, creators, groupBy),
        totals: aggregates.all.totals(),
        aggregates: {
          ...aggregates.toWire(count),
          ...(count === sessions.length ? { byCreator: await creators.sums(sessions) } : {}),
        },
        creatorOptions: creators.options(),
      };
    },
  });
}

/** A few milliseconds of the event loop. */
const SESSIONS_AT_ONCE = 50;

async function listRows(
  sessions: readonly SessionUsage[],
  creators: SessionCreators,
  groupBy: SessionGrouping,
): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = [];
  for (const [n, session] of sessions.entries()) {
    // Others are served between pieces of a long list.
    if (n % SESSIONS_AT_ONCE === SESSIONS_AT_ONCE - 1) await nextRound();
    const { key: creatorKey, actor } = creators.of(session.key);
    rows.push({ ...session.toWire(groupBy), creatorKey, ...(actor && { createdActor: actor }) });
  }
  return rows;
}

function timeSeries(): Method {
  return defineMethod({
    name: "sessions.usage.timeseries",
    scope: "operator.read",
    params: z.object({ key: KEY }),
    result: looseResult({ points: z.array(z.unknown()) }),
    cost: "read",
    doc: "Tokens and cost of one session over time, at most 200 points; empty for a session without usage.",
    handler: async (params, { tenant }) =>
      readTimeSeries(tenant, params.key) as Promise<{ points: unknown[] }>,
  });
}

function logs(): Method {
  return defineMethod({
    name: "sessions.usage.logs",
    scope: "operator.read",
    params: z.object({ key: KEY, limit: z.int().min(1).optional() }),
    result: looseResult({ logs: z.array(z.unknown()) }),
    cost: "read",
    doc: "The newest model and tool calls of one session (200, at most 1000), oldest first.",
    async handler(params, { tenant }) {
      const limit = Math.min(params.limit ?? 200, 1_000);
      return readLogs(tenant, params.key, limit) as Promise<{ logs: unknown[] }>;
    },
  });
}
