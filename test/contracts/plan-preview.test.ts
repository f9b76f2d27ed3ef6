/** What a limit would have refused: calls that cost something, from the quarter after the one that reached it. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { Calendars } from "#src/billing/calendar.ts";
import { previewLimit } from "#src/billing/plans/preview.ts";
import { runInContext } from "#src/tenancy/context.ts";
import { COST, LedgerWorld } from "../support/ledger-world.ts";

let world: LedgerWorld;

beforeAll(async () => {
  world = await LedgerWorld.open();
});

afterAll(() => world.close());

const NOVEMBER = { name: "2026-11", startMs: Date.UTC(2026, 10, 1), endMs: Date.UTC(2026, 11, 1) };

it("counts no calls with own keys, none that cost nothing, and none before the limit was reached", async () => {
  const scope = world.usage.newTenant("preview");
  const usage = {
    inputTokens: 100,
    outputTokens: 50,
    cacheReadTokens: 0,
    cacheWriteTokens: 0,
    isExact: true,
  };
  const call = (runId: string, more: object = {}) =>
    world.usage.model(scope, { runId: runId as never, usage, cost: COST, ...more });
  await runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, async () => {
    const preview = (limit: number) => previewLimit(scope, NOVEMBER, limit, new Calendars());
    for (let n = 0; n < 3; n++) await call(`own-${n}`, { keyOwner: "tenant" });
    await call("paid");
    await call("free", { cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 } });
    const first = { day: "2026-11-22", calls: 1, costMicros: 200 };
    expect(await preview(0)).toEqual({
      month: "2026-11",
      wouldHaveBlocked: [first],
      total: { calls: 1, costMicros: 200 },
    });
    world.setNow(Date.UTC(2026, 10, 24, 9));
    for (let n = 0; n < 2; n++) await call(`later-${n}`);
    const second = { day: "2026-11-24", calls: 2, costMicros: 400 };
    expect((await preview(0)).wouldHaveBlocked).toEqual([first, second]);
    expect((await preview(200)).wouldHaveBlocked).toEqual([second]);
    expect((await preview(201)).wouldHaveBlocked).toEqual([]);
    const plan = await scope.db.list<{ detail: string }>(
      `EXPLAIN QUERY PLAN SELECT count(*) FROM usage_events WHERE at_ms >= 1 AND at_ms < 2
        AND kind = 'model' AND key_owner = 'platform' AND cost_micros > 0`,
    );
    expect(plan.map(({ detail }) => detail).join()).toContain("usage_events_paid");
  });
});
