/** What is stored for each model and tool call, on the real files. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Calendars } from "#src/billing/calendar.ts";
import { readDrill } from "#src/billing/drill/usage-drill.ts";
import { readMessage } from "#src/billing/export/usage-message.ts";
import { readRunUsage } from "#src/billing/run-usage.ts";
import { readWindow } from "#src/billing/usage-window.ts";
import { systemClock } from "#src/kernel/clock.ts";
import type { RunId, SessionId } from "#src/kernel/ids.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { modelInput, openUsageWorld, toolInput, type UsageWorld } from "../support/usage-world.ts";

let world: UsageWorld;
beforeAll(async () => {
  world = await openUsageWorld();
});
afterAll(() => world.close());

const NOW = Date.UTC(2026, 10, 22, 12);

async function rows(scope: TenantScope, table: string): Promise<Record<string, unknown>[]> {
  return scope.db.list(`SELECT * FROM ${table} LIMIT 100`);
}

describe("a usage event", () => {
  it("carries everything that a bill needs", async () => {
    const scope = world.newTenant("carries");
    await world.model(scope, { runId: "run-1" as RunId });
    const [event] = await rows(scope, "usage_events");
    expect(event).toMatchObject({
      tenant_id: scope.tenantId,
      run_id: "run-1",
      kind: "model",
      agent_id: "main",
      session_key: "agent:main:main",
      provider: "mock",
      model: "mock-1",
      user_id: "user-1",
      channel: "webchat",
      input_tokens: 120,
      output_tokens: 20,
      user_messages: 1,
      assistant_messages: 1,
      cost_micros: 160,
      price_origin: "config",
      is_exact: 1,
      day: "2026-11-22",
      at_ms: NOW,
    });
  });

  it("counts once, however often it is written", async () => {
    const scope = world.newTenant("counts-once");
    const model = modelInput(NOW, { runId: "run-1" as RunId });
    const tool = toolInput(NOW, { runId: "run-1" as RunId });
    const statements = [
      ...world.meter.modelCall(scope, model).statements,
      ...world.meter.toolCall(scope, tool).statements,
    ];
    for (let round = 0; round < 3; round++) await scope.db.write({ statements });
    await scope.db.write({ statements: [...statements, ...statements] });
    expect(await rows(scope, "usage_events")).toHaveLength(2);
    const days = await rows(scope, "usage_days");
    expect(days.map((row) => [row["model_calls"], row["tool_calls"], row["cost_micros"]]).sort()).toEqual([
      [0, 1, 0],
      [1, 0, 160],
    ]);
    expect(await rows(scope, "usage_sessions")).toMatchObject([
      { model_calls: 1, tool_calls: 1, input_tokens: 120 },
    ]);
  });

  it("keeps the first values when the same event comes again with others", async () => {
    const scope = world.newTenant("first-wins");
    await world.model(scope, { runId: "run-1" as RunId });
    await world.model(scope, { runId: "run-1" as RunId, model: "mock-2" });
    expect(await rows(scope, "usage_events")).toMatchObject([{ model: "mock-1" }]);
    expect(await rows(scope, "usage_days")).toMatchObject([{ model: "mock-1", model_calls: 1 }]);
  });

  it("tells steps, tools of one step, and a compaction in a turn apart", async () => {
    const scope = world.newTenant("apart");
    const runId = "run-1" as RunId;
    await world.model(scope, { runId, step: 0 });
    await world.tool(scope, { runId, step: 0, ordinal: 0 });
    await world.tool(scope, { runId, step: 0, ordinal: 1, isError: true });
    await world.model(scope, { runId, step: 1 });
    await world.model(scope, { runId, step: 1, purpose: "compaction" });
    expect(await rows(scope, "usage_events")).toHaveLength(5);
    // One person's message, two answers; the summary is no message.
    expect(await rows(scope, "usage_sessions")).toMatchObject([
      { model_calls: 3, tool_calls: 2, user_messages: 1, assistant_messages: 2, errors: 1 },
    ]);
  });

  it("goes with the batch that it is part of, or not at all", async () => {
    const scope = world.newTenant("all-or-nothing");
    const { statements } = world.meter.modelCall(scope, modelInput(NOW, {}));
    const outcome = await scope.db.write({
      statements: [...statements, { sql: "DELETE FROM usage_dirty_days WHERE day = 'none'", expect: 1 }],
    });
    expect(outcome.committed).toBe(false);
    for (const table of [
      "usage_events",
      "usage_days",
      "usage_quarters",
      "usage_sessions",
      "usage_dirty_days",
    ]) {
      expect(await rows(scope, table)).toEqual([]);
    }
  });

  it("never changes and never goes away", async () => {
    const scope = world.newTenant("immutable");
    await world.model(scope);
    for (const sql of ["UPDATE usage_events SET cost_micros = 0", "DELETE FROM usage_events"]) {
      await expect(scope.db.write({ statements: [{ sql }] })).rejects.toThrow();
    }
    expect(await rows(scope, "usage_events")).toMatchObject([{ cost_micros: 160 }]);
  });

  it("is clamped when a provider reports nonsense, and is then not called exact", async () => {
    const scope = world.newTenant("nonsense");
    const nonsense = [-5, Number.NaN, Number.POSITIVE_INFINITY, 1e300, 1.5, "7", null, undefined];
    for (const value of nonsense) {
      const inputTokens = value as number;
      const usage = { inputTokens, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0, isExact: true };
      await world.model(scope, { usage });
    }
    const events = await rows(scope, "usage_events");
    expect(events.map((event) => event["input_tokens"])).toEqual([0, 0, 1e8, 1e8, 2, 0, 0, 0]);
    expect(events.every((event) => event["is_exact"] === 0)).toBe(true);
    expect(await rows(scope, "usage_days")).toMatchObject([{ estimated_calls: nonsense.length }]);
  });

  it("keeps what was thought, so that two answers of one length and two prices can be told apart", async () => {
    const scope = world.newTenant("thought");
    const price = {
      input: 0,
      output: 1_000_000,
      cacheRead: 0,
      cacheWrite: 0,
      reasoning: 9_000_000,
      origin: "row:1",
    };
    const usage = {
      inputTokens: 1,
      outputTokens: 100,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
      isExact: true,
    };
    const runId = "run-1" as RunId;
    for (const [step, reasoningTokens] of [undefined, 50, 900, -3].entries())
      await world.model(scope, { runId, step, price, usage: { ...usage, reasoningTokens } });
    const events = await rows(scope, "usage_events");
    expect(
      events.map((event) => [event["reasoning_tokens"], event["cost_micros"], event["is_exact"]]),
    ).toEqual([
      [0, 100, 1],
      [50, 500, 1],
      [100, 900, 0],
      [0, 100, 0],
    ]);
    const clock = { ...systemClock, nowMs: () => NOW };
    const window = await readWindow(scope, { days: 1 }, { calendars: new Calendars(), clock });
    const [turn] = (await readDrill(scope, window, {}, "run")).rows;
    expect(turn).toMatchObject({ key: "run-1", outputTokens: 400, reasoningTokens: 150, costMicros: 1_600 });
    expect((await readDrill(scope, window, {}, "user")).rows[0]).not.toHaveProperty("reasoningTokens");
    const message = await readMessage(scope, scope.tenantId, 0, null, "USD");
    expect(message?.events.map(({ data }) => data["reasoningTokens"])).toEqual([0, 50, 100, 0]);
    expect(await readRunUsage(scope, "run-1")).toEqual({
      ...{ inputTokens: 4, cachedTokens: 0, outputTokens: 400, reasoningTokens: 150 },
    });
  });

  it("has the price that the call began with", async () => {
    const scope = world.newTenant("begun");
    const price = { input: 5_000_000, output: 0, cacheRead: 0, cacheWrite: 0, origin: "row:7" };
    await world.model(scope, { price });
    expect(await rows(scope, "usage_events")).toMatchObject([{ cost_micros: 600, price_origin: "row:7" }]);
  });

  it("takes our own clock when the time makes no sense, and bounds names", async () => {
    const scope = world.newTenant("time");
    for (const atMs of [Number.NaN, -1, NOW * 10, 1.5]) await world.model(scope, { atMs });
    await world.tool(scope, { toolName: "x".repeat(100_000) });
    const events = await rows(scope, "usage_events");
    expect(events.every((event) => event["at_ms"] === NOW)).toBe(true);
    expect(String(events.at(-1)?.["tool_name"])).toHaveLength(200);
  });

  it("costs nothing and is counted as missing when no price is known", async () => {
    const scope = world.newTenant("unknown-price");
    await world.model(scope, { cost: undefined, provider: "nobody" });
    await world.model(scope, { cost: undefined, provider: "demo", keyOwner: "none" });
    const answer = await world.call(scope, "usage.cost", { days: 1 });
    expect(answer["totals"]).toMatchObject({ input: 240, totalCost: 0, missingCostEntries: 1 });
  });

  it("splits what the platform pays from what the tenant pays to its own provider", async () => {
    const scope = world.newTenant("who-pays");
    await world.model(scope, { keyOwner: "platform" });
    await world.model(scope, { keyOwner: "tenant" });
    expect(await rows(scope, "usage_days")).toMatchObject([{ cost_micros: 320, platform_cost_micros: 160 }]);
  });
});

describe("twin tenants", () => {
  it("never see or share each other's usage, with identical names throughout", async () => {
    const left = world.newTenant("twin-left");
    const right = world.newTenant("twin-right");
    const same = { runId: "run-1" as RunId, sessionId: "00000000-0000-4000-8000-000000000009" as SessionId };
    await world.model(left, same);
    await world.tool(left, { ...same, toolName: "left-canary" });
    await world.model(right, { ...same, cost: { input: 7, output: 7 } });
    for (const method of ["sessions.usage", "sessions.usage.timeseries", "sessions.usage.logs"]) {
      const text = JSON.stringify(await world.call(right, method, { key: "agent:main:main" }));
      expect(text).not.toContain("canary");
    }
    expect((await world.call(right, "usage.cost", {}))["totals"]).toMatchObject({
      input: 120,
      totalCost: 0.00098,
    });
    expect((await world.call(left, "usage.cost", {}))["totals"]).toMatchObject({
      input: 120,
      totalCost: 0.00016,
    });
    await world.rollup.pushDirty(left);
    await world.rollup.pushDirty(right);
    const daily = await world.control.list<{ tenant_id: string; cost: number }>(
      "SELECT tenant_id, sum(cost_micros) AS cost FROM usage_daily WHERE tenant_id IN (?, ?) GROUP BY 1",
      [left.tenantId, right.tenantId],
    );
    const costs = new Map(daily.map((row) => [row.tenant_id, row.cost]));
    expect(costs.get(left.tenantId)).toBe(160);
    expect(costs.get(right.tenantId)).toBe(980);
  });

  it("are kept apart by the file itself: an event made for one is refused by the other", async () => {
    const left = world.newTenant("wall-left");
    const right = world.newTenant("wall-right");
    const { statements } = world.meter.modelCall(left, modelInput(NOW, {}));
    await expect(right.db.write({ statements })).rejects.toThrow();
    expect(await rows(right, "usage_events")).toEqual([]);
    expect(await rows(right, "usage_days")).toEqual([]);
  });
});
