/** What clients are told about usage: shapes of PROTOCOL.md 8.3, days of the right time zone, exact sums. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AgentId, RunId, SessionId, SessionKey } from "#src/kernel/ids.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { openUsageWorld, type UsageWorld } from "../support/usage-world.ts";

let world: UsageWorld;
beforeAll(async () => {
  world = await openUsageWorld();
});
afterAll(() => world.close());

type Day = { date: string; input: number; totalCost: number };

const OLD = "00000000-0000-4000-8000-00000000000a" as SessionId;
const NEW = "00000000-0000-4000-8000-00000000000b" as SessionId;
const OTHER = "00000000-0000-4000-8000-00000000000c" as SessionId;

/** One session that was reset once, with a tool, and one of another agent. */
async function twoSessions(slug: string): Promise<TenantScope> {
  const scope = world.newTenant(slug);
  const at = (day: number, hour: number) => Date.UTC(2026, 10, day, hour);
  await world.model(scope, { runId: "r1" as RunId, sessionId: OLD, atMs: at(20, 9) });
  await world.model(scope, { runId: "r2" as RunId, sessionId: NEW, atMs: at(21, 9) });
  await world.tool(scope, { runId: "r2" as RunId, sessionId: NEW, atMs: at(21, 9) + 5, isError: true });
  await world.model(scope, {
    runId: "r2" as RunId,
    step: 1,
    sessionId: NEW,
    atMs: at(21, 10),
    model: "mock-2",
  });
  await world.model(scope, {
    runId: "r3" as RunId,
    agentId: "writer" as AgentId,
    sessionKey: "agent:writer:main" as SessionKey,
    sessionId: OTHER,
    channel: "telegram",
    atMs: at(22, 11),
  });
  return scope;
}

/** The first quarter with usage, repeated as `values` say: a row of SQL expressions over `q` and the number `n.value`. */
async function multiply(
  scope: TenantScope,
  table: "usage_quarters" | "usage_sessions",
  count: number,
  values: Record<string, string>,
): Promise<void> {
  const columns = (
    await scope.db.list<{ name: string }>(`SELECT name FROM pragma_table_info('${table}')`)
  ).map(({ name }) => name);
  const numbers = JSON.stringify(Array.from({ length: count }, (_, n) => n));
  const sql = `INSERT OR IGNORE INTO ${table} (${columns.join(", ")})
    SELECT ${columns.map((name) => values[name] ?? `q.${name}`).join(", ")} FROM ${table} q, json_each(?) n`;
  await scope.db.write({ statements: [{ sql, params: [numbers] }] });
}

describe("answers about very much usage", () => {
  it("tell a session whole or not at all", async () => {
    const scope = world.newTenant("many-sessions");
    await world.model(scope);
    const session = "'agent:main:s' || (n.value % 900)";
    await multiply(scope, "usage_quarters", 108_000, {
      slot: "q.slot - 96 * ((n.value / 900) % 30)",
      model: "'m' || (n.value / 27000)",
      session_id: session,
      session_key: session,
    });
    await multiply(scope, "usage_sessions", 900, { session_id: session, session_key: session });
    const answer = await world.call(scope, "sessions.usage", { range: "30d", limit: 1000 });
    const sessions = answer["sessions"] as { key: string; usage: { totalTokens: number } }[];
    expect((answer["aggregates"] as { sessionCount: number }).sessionCount).toBe(901);
    expect(sessions.length).toBeGreaterThan(400);
    const all = new Set(
      sessions.filter(({ key }) => key !== "agent:main:main").map((one) => one.usage.totalTokens),
    );
    // Each has the same 120 rows.
    expect(all.size).toBe(1);
    expect([...all][0]).toBe(120 * 140);
  }, 60_000);
});

describe("usage.cost", () => {
  it("answers as the recorded gateway does, a zero entry for an empty day", async () => {
    const scope = world.newTenant("cost");
    await world.model(scope);
    await world.model(scope);
    const answer = await world.call(scope, "usage.cost", { days: 2 });
    const zero = {
      input: 0,
      output: 0,
      cacheRead: 0,
      cacheWrite: 0,
      totalTokens: 0,
      totalCost: 0,
      inputCost: 0,
      outputCost: 0,
      cacheReadCost: 0,
      cacheWriteCost: 0,
      missingCostEntries: 0,
    };
    const used = {
      ...zero,
      input: 240,
      output: 40,
      totalTokens: 280,
      totalCost: 0.00032,
      inputCost: 0.00024,
      outputCost: 0.00008,
    };
    expect(answer).toEqual({
      updatedAt: Date.UTC(2026, 10, 22, 12),
      days: 2,
      daily: [
        { date: "2026-11-21", ...zero },
        { date: "2026-11-22", ...used },
      ],
      totals: used,
    });
  });

  it("covers 30 days when it is not told otherwise", async () => {
    const answer = await world.call(world.newTenant("thirty"), "usage.cost", {});
    expect(answer["daily"]).toHaveLength(30);
    expect((answer["daily"] as Day[])[0]?.date).toBe("2026-10-24");
  });

  it("counts days of the tenant's zone, of a given zone, of an offset, or of UTC", async () => {
    const scope = world.newTenant("zones", "Asia/Shanghai");
    // 23:30 on the 20th in UTC is 07:30 on the 21st in Shanghai, and 18:30 on the 20th in New York.
    await world.model(scope, { atMs: Date.UTC(2026, 10, 20, 23, 30) });
    const dayWith = async (params: Record<string, unknown>) => {
      const answer = await world.call(scope, "usage.cost", { days: 5, ...params });
      return (answer["daily"] as Day[]).filter((day) => day.input > 0).map((day) => day.date);
    };
    expect(await dayWith({})).toEqual(["2026-11-21"]);
    expect(await dayWith({ mode: "gateway", timeZone: "America/New_York" })).toEqual(["2026-11-21"]);
    expect(await dayWith({ mode: "utc" })).toEqual(["2026-11-20"]);
    expect(await dayWith({ mode: "specific", timeZone: "America/New_York", utcOffset: "UTC+8" })).toEqual([
      "2026-11-20",
    ]);
    expect(await dayWith({ mode: "specific", utcOffset: "UTC+0:30" })).toEqual(["2026-11-21"]);
  });

  it("loses and doubles nothing on the day that clocks change", async () => {
    const scope = world.newTenant("berlin", "Europe/Berlin");
    // 25 October 2026 runs from 22:00 UTC on the 24th to 23:00 UTC on the 25th.
    const start = Date.UTC(2026, 9, 24, 22);
    for (let quarter = -4; quarter < 104; quarter++)
      await world.model(scope, { atMs: start + quarter * 900_000 });
    const answer = await world.call(scope, "usage.cost", { startDate: "2026-10-24", endDate: "2026-10-26" });
    expect((answer["daily"] as Day[]).map((day) => day.input / 120)).toEqual([4, 100, 4]);
  });

  it("refuses dates and zones that do not exist", async () => {
    const scope = world.newTenant("refuses");
    for (const params of [
      { startDate: "2026-02-30" },
      { startDate: "2026-11-22", endDate: "2026-11-01" },
      { startDate: "1990-01-01" },
      { timeZone: "Mars/Base" },
      { utcOffset: "UTC+5:07" },
    ]) {
      await expect(world.call(scope, "usage.cost", params)).rejects.toMatchObject({
        code: "invalid_request",
      });
    }
  });
});

describe("sessions.usage", () => {
  it("sums by day, model, provider, agent, channel, person and tool", async () => {
    const scope = await twoSessions("sums");
    const answer = await world.call(scope, "sessions.usage", {
      startDate: "2026-11-19",
      endDate: "2026-11-22",
    });
    expect(answer).toMatchObject({ startDate: "2026-11-19", endDate: "2026-11-22" });
    expect(answer["totals"]).toMatchObject({ input: 480, output: 80, totalTokens: 560, totalCost: 0.00064 });
    const aggregates = answer["aggregates"] as Record<string, Record<string, unknown>[]>;
    expect(aggregates).toMatchObject({
      sessionCount: 3,
      messages: { total: 7, user: 3, assistant: 4, toolCalls: 1, toolResults: 1, errors: 1 },
      tools: { totalCalls: 1, uniqueTools: 1, tools: [{ name: "exec", count: 1 }] },
    });
    expect(aggregates["byModel"]).toMatchObject([
      { provider: "mock", model: "mock-1", count: 3, totals: { input: 360 } },
      { provider: "mock", model: "mock-2", count: 1, totals: { input: 120 } },
    ]);
    expect(aggregates["byProvider"]).toMatchObject([{ provider: "mock", count: 4 }]);
    expect(aggregates["byAgent"]).toMatchObject([
      { agentId: "main", totals: { input: 360 } },
      { agentId: "writer", totals: { input: 120 } },
    ]);
    expect(aggregates["byChannel"]).toMatchObject([{ channel: "webchat" }, { channel: "telegram" }]);
    expect(aggregates["byUser"]).toMatchObject([{ userId: "user-1", totals: { input: 480 } }]);
    expect(aggregates["costDaily"]!.map((day) => [day["date"], day["input"]])).toEqual([
      ["2026-11-19", 0],
      ["2026-11-20", 120],
      ["2026-11-21", 240],
      ["2026-11-22", 120],
    ]);
    expect(aggregates["daily"]![2]).toEqual({
      date: "2026-11-21",
      tokens: 280,
      cost: 0.00032,
      messages: 3,
      toolCalls: 1,
      errors: 1,
    });
    expect(aggregates["modelDaily"]).toHaveLength(4);
    expect(JSON.stringify(answer)).not.toContain("refreshing");
  });

  it("joins the incarnations of a session key, or lists each", async () => {
    const scope = await twoSessions("families");
    const range = { startDate: "2026-11-19", endDate: "2026-11-22", limit: 1_000 };
    const families = (await world.call(scope, "sessions.usage", { ...range, groupBy: "family" }))["sessions"];
    expect(families).toMatchObject([
      { key: "agent:writer:main", scope: "family", sessionId: OTHER, channel: "telegram" },
      {
        key: "agent:main:main",
        sessionId: NEW,
        includedSessionIds: [NEW, OLD],
        historicalInstanceCount: 2,
        modelProvider: "mock",
        model: "mock-2",
        updatedAt: Date.UTC(2026, 10, 21, 10),
        usage: {
          input: 360,
          firstActivity: Date.UTC(2026, 10, 20, 9),
          durationMs: 25 * 3_600_000,
          activityDates: ["2026-11-20", "2026-11-21"],
          messageCounts: { total: 5, user: 2, assistant: 3, toolCalls: 1, errors: 1 },
          toolUsage: { totalCalls: 1 },
          dailyBreakdown: [{ tokens: 140 }, { date: "2026-11-21", tokens: 280, cost: 0.00032 }],
        },
      },
    ]);
    const each = (await world.call(scope, "sessions.usage", range))["sessions"] as Record<string, unknown>[];
    expect(each.map((row) => row["sessionId"])).toEqual([OTHER, NEW, OLD]);
  });

  it("narrows by agent, by key and by days, and bounds the list but not the sums", async () => {
    const scope = await twoSessions("narrow");
    const ask = async (params: Record<string, unknown>) => {
      const answer = await world.call(scope, "sessions.usage", { range: "7d", ...params });
      return [(answer["sessions"] as unknown[]).length, (answer["totals"] as Day).input];
    };
    expect(await ask({})).toEqual([3, 480]);
    expect(await ask({ agentId: "writer" })).toEqual([1, 120]);
    expect(await ask({ agentId: "writer", agentScope: "all" })).toEqual([3, 480]);
    expect(await ask({ key: "agent:main:main" })).toEqual([2, 360]);
    expect(await ask({ key: "agent:main:absent" })).toEqual([0, 0]);
    expect(await ask({ endDate: "2026-11-20" })).toEqual([1, 120]);
    expect(await ask({ limit: 1 })).toEqual([1, 480]);
  });

  it("begins with the first use when all of it is asked for", async () => {
    const scope = await twoSessions("all-time");
    expect(await world.call(scope, "sessions.usage", { range: "all" })).toMatchObject({
      startDate: "2026-11-20",
    });
    const empty = await world.call(world.newTenant("empty"), "sessions.usage", { range: "all" });
    expect(empty).toMatchObject({ startDate: "2026-11-22", sessions: [], totals: { totalTokens: 0 } });
  });

  it("gives quarters of an hour of UTC for the clock chart", async () => {
    const scope = world.newTenant("quarters");
    await world.model(scope, { atMs: Date.UTC(2026, 10, 22, 8, 29) });
    const answer = await world.call(scope, "sessions.usage", { range: "7d" });
    expect(answer["sessions"]).toMatchObject([
      {
        usage: {
          utcQuarterHourMessageCounts: [{ date: "2026-11-22", quarterIndex: 33, total: 2, user: 1 }],
          utcQuarterHourTokenUsage: [
            { date: "2026-11-22", quarterIndex: 33, totalTokens: 140, totalCost: 0.00016 },
          ],
        },
      },
    ]);
  });
});

describe("one session over time", () => {
  it("adds up to the session's totals, in at most 200 points", async () => {
    const scope = world.newTenant("series");
    for (let call = 0; call < 450; call++) await world.model(scope, { atMs: Date.UTC(2026, 10, 22) + call });
    const { points, sessionId } = (await world.call(scope, "sessions.usage.timeseries", {
      key: "agent:main:main",
    })) as { points: Record<string, number>[]; sessionId: string };
    expect(sessionId).toBe("00000000-0000-4000-8000-000000000001");
    expect(points).toHaveLength(150);
    expect(points.at(-1)).toMatchObject({
      cumulativeTokens: 450 * 140,
      cumulativeCost: 0.072,
      totalTokens: 420,
    });
  });

  it("lists the newest calls, oldest first, and nothing of other sessions", async () => {
    const scope = await twoSessions("logs");
    const { logs } = await world.call(scope, "sessions.usage.logs", { key: "agent:main:main", limit: 2 });
    expect(logs).toMatchObject([
      { role: "toolResult", content: "exec (failed)" },
      { role: "assistant", content: "mock/mock-2", tokens: 140, cost: 0.00016 },
    ]);
    expect(await world.call(scope, "sessions.usage.logs", { key: "agent:none:main" })).toEqual({ logs: [] });
    expect(await world.call(scope, "sessions.usage.timeseries", { key: "agent:none:main" })).toEqual({
      points: [],
    });
  });
});

describe("usage.status", () => {
  it("has no subscription windows", async () => {
    const answer = await world.call(world.newTenant("status"), "usage.status", {});
    expect(answer).toEqual({ updatedAt: Date.UTC(2026, 10, 22, 12), providers: [] });
  });
});
