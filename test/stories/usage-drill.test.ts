/**
 * A figure on screen followed down: whatever total is picked, the rows below it add up to the same micro-unit, from a
 * month to a turn, and the protocol's own answers agree. And: rebuilding what is derived changes nothing.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Calendars } from "#src/billing/calendar.ts";
import { rebuildUsage } from "#src/billing/drill/rebuild-usage.ts";
import { makeDrillRoutes } from "#src/billing/drill/routes.ts";
import {
  DRILL_GROUPS,
  type DrillFilter,
  type DrillGroup,
  readDrill,
} from "#src/billing/drill/usage-drill.ts";
import { readWindow } from "#src/billing/usage-window.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import type { TenantRouteCall } from "#src/protocol/routes.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { openUsageWorld, type UsageWorld } from "../support/usage-world.ts";

const NOW = Date.UTC(2026, 10, 22, 12);
const DAY_MS = 86_400_000;
const clock: Clock = { ...systemClock, nowMs: () => NOW };
const calendars = new Calendars();

let world: UsageWorld;
let scope: TenantScope;
let neighbour: TenantScope;

/** Numbers that look random and are the same every time (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const random = seeded(20_261_122);
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
const upTo = (most: number) => Math.floor(random() * most);

async function seed(tenant: TenantScope, events: number): Promise<void> {
  for (let at = 0; at < events; at++) {
    const agentId = pick(["main", "research", "support"]);
    const session = upTo(12);
    const where = {
      ...{ agentId, sessionKey: `agent:${agentId}:s${session}`, runId: `run-${upTo(300)}`, step: at },
      ...{ sessionId: `00000000-0000-4000-8000-0000000${agentId.length}${1000 + session}` },
      ...{ userId: pick(["user-1", "user-2", "user-3"]), channel: pick(["webchat", "api", "telegram"]) },
      atMs: NOW - upTo(28 * DAY_MS),
    } as object;
    if (random() < 0.2) await world.tool(tenant, where);
    else
      await world.model(tenant, {
        ...where,
        ...pick([
          { provider: "mock", model: "mock-1" },
          { provider: "mock", model: "org/mock-2" },
          { provider: "other", model: "mock-1" },
        ]),
        cost: { input: 0.37, output: 1.91, cacheRead: 0.013, cacheWrite: 0.4 },
        keyOwner: pick(["platform", "tenant"] as const),
        usage: {
          ...{ inputTokens: upTo(9_999), outputTokens: upTo(999), cacheReadTokens: upTo(99_999) },
          ...{ cacheWriteTokens: upTo(99), isExact: random() < 0.9 },
        },
      });
  }
}

beforeAll(async () => {
  world = await openUsageWorld();
  scope = world.newTenant("acme", "Asia/Kathmandu");
  neighbour = world.newTenant("globex", "Asia/Kathmandu");
  await seed(scope, 900);
  await seed(neighbour, 30);
});

afterAll(() => world.close());

const drill = async (
  filter: DrillFilter & { day?: string | undefined },
  groupBy: DrillGroup,
  tenant = scope,
) => {
  const { day, ...rest } = filter;
  const window = await readWindow(tenant, { startDate: day, endDate: day }, { calendars, clock });
  return readDrill(tenant, window, rest, groupBy);
};

describe("drilling down", () => {
  it("adds up to the same micro-unit at every level, for 100 random totals", async () => {
    let descents = 0;
    for (let round = 0; round < 100; round++) {
      let filter: DrillFilter & { day?: string } = {};
      const left = new Set<DrillGroup>(DRILL_GROUPS);
      let expected = (await drill(filter, "day")).total;
      while (left.size > 0) {
        const groupBy = pick([...left]);
        left.delete(groupBy);
        const found = await drill(filter, groupBy);
        expect(found.total, JSON.stringify({ filter, groupBy })).toEqual(expected);
        expect(found.rest).toBeUndefined();
        for (const measure of ["costMicros", "inputTokens", "cacheReadTokens", "calls", "toolCalls"] as const)
          expect(found.rows.reduce((sum, row) => sum + row[measure], 0)).toBe(expected[measure]);
        const row = pick(found.rows);
        if (groupBy === "run") break;
        filter = { ...filter, [groupBy]: row.key };
        const { key: _key, name: _name, ...sums } = row;
        expected = sums;
        descents++;
      }
    }
    expect(descents).toBeGreaterThan(200);
  });

  it("agrees with usage.cost and sessions.usage", async () => {
    const byDay = await drill({}, "day");
    const cost = (await world.call(scope, "usage.cost", { days: 30 })) as {
      daily: { date: string; totalCost: number }[];
      totals: { totalCost: number; totalTokens: number };
    };
    expect(byDay.total.costMicros).toBeGreaterThan(0);
    expect(Math.round(cost.totals.totalCost * 1e6)).toBe(byDay.total.costMicros);
    for (const row of byDay.rows)
      expect(Math.round((cost.daily.find((day) => day.date === row.key)?.totalCost ?? -1) * 1e6)).toBe(
        row.costMicros,
      );
    const sessions = (await world.call(scope, "sessions.usage", { range: "30d", limit: 1_000 })) as {
      sessions: { sessionId: string; usage: { totalCost: number } }[];
    };
    const bySession = await drill({}, "session");
    expect(bySession.rows.length).toBe(sessions.sessions.length);
    for (const row of bySession.rows) {
      const same = sessions.sessions.find((session) => session.sessionId === row.key);
      expect(Math.round((same?.usage.totalCost ?? -1) * 1e6)).toBe(row.costMicros);
    }
  });

  it("shows nothing of a neighbour who uses the same names", async () => {
    const own = await drill({ agent: "main" }, "run");
    const theirs = await drill({ agent: "main" }, "run", neighbour);
    expect(theirs.total.costMicros).toBeGreaterThan(0);
    expect(theirs.total.calls + theirs.total.toolCalls).toBeLessThanOrEqual(30);
    expect(own.total.calls).toBeGreaterThan(theirs.total.calls);
  });

  it("finds every turn after the tenant moved from one end of the world to the other", async () => {
    const moved = world.newTenant("moved", "Pacific/Kiritimati");
    const atMs = Date.UTC(2026, 10, 20, 10, 30);
    await world.model(moved, { atMs, runId: "run-moved" as never, cost: { input: 1, output: 1 } });
    // The 21st there, half past midnight; the 19th where the tenant is now.
    const here = { ...moved, tenant: { ...moved.tenant, timeZone: "Pacific/Pago_Pago" } } as TenantScope;
    const day = { day: "2026-11-19" };
    const byDay = await drill(day, "day", here);
    expect(byDay.total.costMicros).toBeGreaterThan(0);
    expect((await drill(day, "run", here)).total).toEqual(byDay.total);
  });

  it("answers by HTTP with names, and refuses what it cannot read", async () => {
    const [route] = makeDrillRoutes({ clock, names: async () => new Map([["main", "Main agent"]]) });
    const call = (query: Record<string, string>) =>
      ({ tenant: scope, query }) as unknown as TenantRouteCall<unknown>;
    const answer = await route!.handler(call({ groupBy: "agent" }));
    const body = answer.body as {
      rows: { key: string; name: string; costMicros: number }[];
      totalMicros: number;
    };
    expect(body.rows.find((row) => row.key === "main")?.name).toBe("Main agent");
    expect(body.rows.find((row) => row.key === "support")?.name).toBe("support");
    expect(body.rows.reduce((sum, row) => sum + row.costMicros, 0)).toBe(body.totalMicros);
    await expect(route!.handler(call({ groupBy: "tenant" }))).rejects.toMatchObject({
      code: "invalid_request",
    });
    await expect(route!.handler(call({ day: "2026-02-30" }))).rejects.toMatchObject({
      code: "invalid_request",
    });
  });
});

describe("rebuilding", () => {
  it("finds a copy whose sums are right and whose columns are not", async () => {
    await world.rollup.pushDirty(scope);
    const before = await derived();
    const mine = "tenant_id = ? AND day = (SELECT max(day) FROM usage_daily WHERE tenant_id = ?)";
    for (const change of [
      "input_tokens = output_tokens, output_tokens = input_tokens",
      "errors = errors + 1",
    ]) {
      const params = [scope.tenantId, scope.tenantId];
      await world.control.write({
        statements: [{ sql: `UPDATE usage_daily SET ${change} WHERE ${mine}`, params }],
      });
      expect(await rebuildUsage(world.rollup, world.control, scope), change).toEqual({
        changed: ["usage_daily"],
      });
      expect(await derived()).toEqual(before);
    }
  });

  it("changes nothing when all is well", async () => {
    await world.rollup.pushDirty(scope);
    const before = await derived();
    expect(await rebuildUsage(world.rollup, world.control, scope)).toEqual({ changed: [] });
    expect(await derived()).toEqual(before);
  });

  it("repairs what does not follow from the events, and names it", async () => {
    await world.rollup.pushDirty(scope);
    const before = await derived();
    await scope.db.write({
      statements: [
        { sql: "UPDATE usage_quarters SET cost_micros = cost_micros + 1 WHERE agent_id = 'support'" },
      ],
    });
    await world.control.write({
      statements: [
        { sql: "UPDATE usage_daily SET cost_micros = 7 WHERE tenant_id = ?", params: [scope.tenantId] },
      ],
    });
    const others = await world.control.list("SELECT * FROM usage_daily WHERE tenant_id <> ?", [
      scope.tenantId,
    ]);
    expect(await rebuildUsage(world.rollup, world.control, scope)).toEqual({
      changed: ["usage_quarters", "usage_daily"],
    });
    expect(await derived()).toEqual(before);
    expect(
      await world.control.list("SELECT * FROM usage_daily WHERE tenant_id <> ?", [scope.tenantId]),
    ).toEqual(others);
    expect(await rebuildUsage(world.rollup, world.control, scope)).toEqual({ changed: [] });
  });
});

async function derived(): Promise<unknown[]> {
  return [
    await scope.db.list("SELECT * FROM usage_days"),
    await scope.db.list("SELECT * FROM usage_quarters"),
    await scope.db.list("SELECT * FROM usage_sessions"),
    await world.control.list("SELECT * FROM usage_daily WHERE tenant_id = ? ORDER BY 1, 2, 3, 4, 5, 6, 7", [
      scope.tenantId,
    ]),
  ];
}
