/** The part of a budget for work that nobody waits for: it holds also for calls that begin together. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { runInContext } from "#src/tenancy/context.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { COST, LedgerWorld } from "../support/ledger-world.ts";

let world: LedgerWorld;

beforeAll(async () => {
  world = await LedgerWorld.open();
});

afterAll(() => world.close());

function within<T>(scope: TenantScope, work: () => Promise<T>): Promise<T> {
  return runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, work);
}

const USAGE = { inputTokens: 100, outputTokens: 50, cacheReadTokens: 0, cacheWriteTokens: 0, isExact: true };

/** 200 at most: 100 tokens asked, 50 answered. */
const call = (scope: TenantScope, runId: string, isBackground = true) =>
  world.reserve(scope, runId, { isBackground });

it("lets in as many of fifty calls at once as it covers, with what was spent, and people's all", async () => {
  const scope = world.usage.newTenant("together");
  world.backgroundLimitMicros = 1_000;
  await within(scope, async () => {
    // 200 are spent by a schedule, 200 by a person: those do not count.
    for (const channel of ["cron", "webchat"])
      await world.usage.model(scope, { runId: channel as never, channel, usage: USAGE, cost: COST });
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, (_, n) => call(scope, `job-${n}`)));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(4);
    const refused = outcomes.find(({ status }) => status === "rejected") as PromiseRejectedResult;
    expect(refused.reason).toMatchObject({
      code: "budget_exhausted",
      message: expect.stringMatching(
        /^⚠️ The plan's monthly budget for schedules and hooks .* It begins anew on 2026-12-01.*People's messages are still answered.*larger plan\.$/,
      ),
      details: {
        scope: "background",
        scopeId: "plan",
        limitMicros: 1_000,
        spentMicros: 200,
        reservedMicros: 800,
      },
    });
    // No month's budget: nothing needs to be held back for people.
    expect(await call(scope, "person", false)).toBe(false);
    // What is given back can be used.
    await world.reservations.release(scope, "job-0" as never, 1);
    expect(await call(scope, "late")).toBe(true);
    await expect(call(scope, "later")).rejects.toMatchObject({ code: "budget_exhausted" });
  });
});

it("counts what calls cost in the end, each once, and begins anew with the month", async () => {
  const scope = world.usage.newTenant("settled");
  world.backgroundLimitMicros = 500;
  await within(scope, async () => {
    await call(scope, "a");
    await world.usage.model(scope, {
      runId: "a" as never,
      step: 1,
      channel: "hook",
      usage: USAGE,
      cost: COST,
    });
    await call(scope, "b");
    await expect(call(scope, "c")).rejects.toMatchObject({
      details: { spentMicros: 200, reservedMicros: 200 },
    });
    world.setNow(Date.UTC(2026, 11, 2));
    expect(await call(scope, "d")).toBe(true);
    world.setNow(Date.UTC(2026, 10, 22, 12));
  });
});

it("stands beside the month's own limit", async () => {
  const scope = world.usage.newTenant("both");
  world.backgroundLimitMicros = 10_000;
  world.planLimitMicros = 300;
  await within(scope, async () => {
    expect(await call(scope, "a")).toBe(true);
    await expect(call(scope, "b")).rejects.toMatchObject({
      message: expect.stringMatching(
        /^⚠️ The plan's monthly budget of this organization .*top up or redeem a code.*larger plan\.$/,
      ),
      details: { scope: "tenant", scopeId: "plan" },
    });
  });
  world.planLimitMicros = null;
});

it("is decided by few rows, whatever people used", async () => {
  const scope = world.usage.newTenant("planned");
  const plan = await scope.db.list<{ detail: string }>(
    `EXPLAIN QUERY PLAN SELECT sum(platform_cost_micros) FROM usage_days WHERE day >= '2026-11-01' AND day <= '2026-11-31'
      AND channel IN ('cron', 'hook', 'webhook', 'heartbeat')`,
  );
  expect(plan.map(({ detail }) => detail).join()).toContain("usage_days_background");
});
