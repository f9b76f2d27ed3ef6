/** Limits to the micro-unit: what fits exactly is let through, one more is not, whosever budget it is and for however long. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BudgetKey } from "#src/billing/ledger/budget.ts";
import type { SpendCall } from "#src/billing/ledger/reservations.ts";
import { toAppError } from "#src/kernel/errors.ts";
import { runInContext } from "#src/tenancy/context.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { LedgerWorld } from "../support/ledger-world.ts";

const NOVEMBER = Date.UTC(2026, 10, 22, 12);
const DECEMBER = Date.UTC(2026, 11, 2, 12);
/** What the calls here cost at most. */
const WORST = 200;
const SCOPES = [
  ["tenant", ""],
  ["user", "user-1"],
  ["agent", "main"],
  ["key", "k1"],
] as const;
const KEYS = SCOPES.flatMap(([scope, scopeId]) =>
  (["month", "total"] as const).map((period): BudgetKey => ({ scope, scopeId, period })),
);
const STRANGER: Record<BudgetKey["scope"], Partial<SpendCall>> = {
  tenant: {},
  user: { userId: "user-2" as never },
  agent: { agentId: "other" as never },
  key: { keyId: "k2" },
};

let world: LedgerWorld;
let scope: TenantScope;

beforeAll(async () => {
  world = await LedgerWorld.open();
});

afterAll(async () => {
  await world.close();
});

beforeEach(() => {
  world.setNow(NOVEMBER);
  world.planLimitMicros = null;
  scope = world.usage.newTenant(`t-${randomUUID().slice(0, 8)}`);
});

function within<T>(work: () => T): T {
  return runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, work);
}

/** `ok` for a call that holds money, `free` for one that needs none, else the code of the refusal. */
function outcome(runId: string, more: Partial<SpendCall> = {}): Promise<string> {
  return within(() => world.reserve(scope, runId, { keyId: "k1", ...more })).then(
    (isHeld) => (isHeld ? "ok" : "free"),
    (thrown: unknown) => toAppError(thrown).code,
  );
}

/** A call without answer: as many micro-units as it has tokens. */
const small = (micros: number) => ({ inputTokens: micros - 2, maxOutputTokens: 1 });

describe.each(KEYS)("a budget for one $scope, period $period", (key) => {
  it("lets through what fits exactly, and not one micro-unit more", async () => {
    await within(() => world.budgets.set(scope, key, WORST - 1));
    expect(await outcome("r1")).toBe("budget_exhausted");
    await within(() => world.budgets.set(scope, key, WORST));
    expect(await outcome("r1")).toBe("ok");
    await within(() => world.budgets.set(scope, key, WORST + 4));
    expect(await outcome("r2", small(5))).toBe("budget_exhausted");
    expect(await outcome("r2", small(4))).toBe("ok");
    expect((await within(() => world.ledger.verify(scope))).problem).toBeNull();
  });

  it("counts what was spent and what is held, and gives free what comes back", async () => {
    await within(() => world.budgets.set(scope, key, 2 * WORST));
    expect(await within(() => world.budgets.remaining(scope, key))).toBe(2 * WORST);
    expect(await outcome("r1")).toBe("ok");
    expect(await within(() => world.budgets.remaining(scope, key))).toBe(WORST);
    expect(await outcome("r2")).toBe("ok");
    expect(await outcome("r3", small(3))).toBe("budget_exhausted");
    await within(() => world.settle(scope, "r1", 100, 20));
    expect(await outcome("r3", small(61))).toBe("budget_exhausted");
    expect(await outcome("r3", small(60))).toBe("ok");
    expect(await within(() => world.budgets.remaining(scope, key))).toBe(0);
  });

  it("begins anew with the month if it is a month's, and never if it is not", async () => {
    await within(() => world.budgets.set(scope, key, WORST));
    expect(await outcome("r1")).toBe("ok");
    await within(() => world.settle(scope, "r1", 100, 50));
    world.setNow(DECEMBER);
    expect(await outcome("r2")).toBe(key.period === "month" ? "ok" : "budget_exhausted");
    expect(await outcome("r3", small(3))).toBe("budget_exhausted");
    expect((await within(() => world.ledger.verify(scope))).problem).toBeNull();
  });

  it("that is set late knows only what is its own", async () => {
    // Two calls under another budget, one of them of somebody else.
    await within(() => world.budgets.set(scope, { scope: "tenant", scopeId: "", period: "total" }, 10_000));
    if (key.scope !== "tenant") expect(await outcome("other", STRANGER[key.scope])).toBe("ok");
    expect(await outcome("r1")).toBe("ok");
    await within(() => world.budgets.set(scope, key, 2 * WORST));
    expect(await within(() => world.budgets.remaining(scope, key))).toBe(WORST);
    expect(await outcome("r2")).toBe("ok");
    expect(await outcome("r3", small(3))).toBe("budget_exhausted");
    if (key.scope !== "tenant") expect(await outcome("r4", STRANGER[key.scope])).toBe("ok");
    expect((await within(() => world.ledger.verify(scope))).problem).toBeNull();
  });
});

describe("a budget alone", () => {
  it.each(KEYS)("for a $scope, period $period, is enough to be asked, and is nobody else's", async (key) => {
    await within(() => world.budgets.set(scope, key, 0));
    expect(await outcome("r1")).toBe("budget_exhausted");
    if (key.scope !== "tenant") expect(await outcome("r2", STRANGER[key.scope])).toBe("free");
  });
});

describe("the plan's limit", () => {
  it("lets through what fits exactly, and not one micro-unit more", async () => {
    world.planLimitMicros = WORST - 1;
    expect(await outcome("r1")).toBe("budget_exhausted");
    world.planLimitMicros = WORST;
    expect(await outcome("r1")).toBe("ok");
    expect(await outcome("r2", small(3))).toBe("budget_exhausted");
  });

  it("takes the rest from credit, to the last micro-unit and no further", async () => {
    world.planLimitMicros = 50;
    const give = (micros: number, sourceId: string) =>
      within(() => world.ledger.grant(scope, { source: "operator", sourceId, amountMicros: micros }));
    await give(149, "g1");
    expect(await outcome("r1")).toBe("budget_exhausted");
    await give(1, "g2");
    expect(await outcome("r1")).toBe("ok");
    expect(await within(() => world.ledger.balance(scope, "credit"))).toBe(0);
    await within(() => world.settle(scope, "r1", 1, 0));
    expect(await within(() => world.ledger.balance(scope, "credit"))).toBe(150);
    expect(await within(() => world.ledger.balance(scope, "budget:tenant:2026-11"))).toBe(-1);
    expect((await within(() => world.ledger.verify(scope))).problem).toBeNull();
  });
});

describe("a summary", () => {
  it("holds money besides the turn of the same step, and each is settled by its own event", async () => {
    const month: BudgetKey = { scope: "tenant", scopeId: "", period: "month" };
    await within(() => world.budgets.set(scope, month, 10_000));
    expect(await outcome("r1")).toBe("ok");
    expect(await outcome("r1", { purpose: "compaction" })).toBe("ok");
    expect(await outcome("r1", { step: 2 })).toBe("ok");
    await within(() => world.settle(scope, "r1", 100, 0));
    expect(await within(() => world.ledger.balance(scope, "reserved"))).toBe(2 * WORST);
    await within(() =>
      world.usage.model(scope, {
        runId: "r1" as never,
        step: 1,
        purpose: "compaction",
        cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
      }),
    );
    expect(await within(() => world.ledger.balance(scope, "reserved"))).toBe(WORST);
    // What failed of a step takes the step's money, and no other's.
    await within(() => world.reservations.release(scope, "r1" as never, 1));
    expect(await within(() => world.ledger.balance(scope, "reserved"))).toBe(WORST);
    await within(() => world.reservations.release(scope, "r1" as never, 2));
    expect(await within(() => world.ledger.balance(scope, "reserved"))).toBe(0);
    expect((await within(() => world.ledger.verify(scope))).problem).toBeNull();
  });
});

describe("a line's month and key", () => {
  const month: BudgetKey = { scope: "tenant", scopeId: "", period: "month" };
  const lines = () =>
    scope.db.list<{ kind: string; period: string; key_id: string }>(
      "SELECT kind, period, key_id FROM ledger_transfers ORDER BY seq",
    );

  it("are those of the reservation, also when the answer comes in another month", async () => {
    await within(() => world.budgets.set(scope, month, 1_000));
    expect(await outcome("r1")).toBe("ok");
    world.setNow(DECEMBER);
    await within(() => world.settle(scope, "r1", 90, 20));
    const own = { period: "2026-11", key_id: "k1" };
    expect(await lines()).toEqual([
      { kind: "reserve", ...own },
      { kind: "settle", ...own },
      { kind: "release", ...own },
    ]);
    expect(await within(() => world.budget(scope))).toMatchObject({ spentMicros: 0, reservedMicros: 0 });
    world.setNow(NOVEMBER);
    expect(await within(() => world.budget(scope))).toMatchObject({ spentMicros: 130, reservedMicros: 0 });
  });

  it("are those of the event where nothing was reserved", async () => {
    const run = `INSERT INTO runs (run_id, input_hash, session_key, session_id, agent_id, user_id, channel, state, settings,
      accepted_at_ms) VALUES ('r1', '', 'agent:main:main', 's', 'main', 'user-1', 'api', 'running', '{"by":{"id":"k1"}}', 1)`;
    await scope.db.write({ statements: [{ sql: run }] });
    world.setNow(DECEMBER);
    await within(() => world.settle(scope, "r1", 90, 20));
    expect(await lines()).toEqual([{ kind: "charge", period: "2026-12", key_id: "k1" }]);
    expect(await within(() => world.ledger.balance(scope, "budget:tenant:2026-12"))).toBe(-130);
    await within(() => world.budgets.set(scope, { scope: "key", scopeId: "k1", period: "month" }, 200));
    expect(await outcome("r2", small(71))).toBe("budget_exhausted");
    expect(await outcome("r2", small(70))).toBe("ok");
  });

  it("cost nothing when the tenant's own key answered after all; all that was held comes back", async () => {
    await within(() => world.budgets.set(scope, month, 1_000));
    expect(await outcome("r1")).toBe("ok");
    await within(() =>
      world.usage.model(scope, {
        runId: "r1" as never,
        step: 1,
        keyOwner: "tenant",
        cost: { input: 1_000, output: 1_000, cacheRead: 0, cacheWrite: 0 },
      }),
    );
    expect((await lines()).map(({ kind }) => kind)).toEqual(["reserve", "release"]);
    expect(await within(() => world.budget(scope))).toMatchObject({ spentMicros: 0, reservedMicros: 0 });
    expect((await within(() => world.ledger.verify(scope))).problem).toBeNull();
  });
});
