/** The ledger of a tenant: lines that cannot change, budgets that cannot be overspent, and what checks both. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Adjustments } from "#src/billing/ledger/adjustments.ts";
import { Leases } from "#src/billing/ledger/leases.ts";
import type { SumProblem } from "#src/billing/ledger/verify.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { toAppError } from "#src/kernel/errors.ts";
import { makeLog } from "#src/kernel/log.ts";
import { runInContext } from "#src/tenancy/context.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { LedgerWorld } from "../support/ledger-world.ts";

const NOON = Date.UTC(2026, 10, 22, 12);
const MONTH = { scope: "tenant", scopeId: "", period: "month" } as const;
const DRAWN = "budget:tenant:2026-11";

let world: LedgerWorld;
let scope: TenantScope;

beforeAll(async () => {
  world = await LedgerWorld.open();
});

afterAll(async () => {
  await world.close();
});

beforeEach(() => {
  world.setNow(NOON);
  world.planLimitMicros = null;
  scope = world.usage.newTenant(`t-${randomUUID().slice(0, 8)}`);
});

/** A test inside the tenant that was made for it. */
function inTenant(name: string, work: () => Promise<void>, timeoutMs = 30_000): void {
  it(
    name,
    () => runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, work),
    timeoutMs,
  );
}

async function refusal(call: Promise<unknown>) {
  return call.then(
    () => undefined,
    (thrown: unknown) => toAppError(thrown),
  );
}

async function sound(): Promise<void> {
  expect((await world.ledger.verify(scope)).problem).toBeNull();
}

describe("a call", () => {
  inTenant("without any budget is charged when it is metered, and reserves nothing", async () => {
    expect(await world.reserve(scope, "r1")).toBe(false);
    await world.settle(scope, "r1", 120, 20);
    expect(await world.lines(scope)).toEqual([`charge ${DRAWN}>spent 160`]);
    expect(await scope.db.list("SELECT * FROM reservations")).toEqual([]);
    await sound();
  });

  inTenant(
    "under a budget reserves its worst case, spends what it used and gives back the rest",
    async () => {
      await world.budgets.set(scope, MONTH, 1_000);
      expect(await world.reserve(scope, "r1")).toBe(true);
      expect(await world.budget(scope)).toMatchObject({ reservedMicros: 200, spentMicros: 0 });
      await world.settle(scope, "r1", 90, 20);
      expect(await world.lines(scope, "r1")).toEqual([
        `reserve ${DRAWN}>reserved 200`,
        "settle reserved>spent 130",
        `release reserved>${DRAWN} 70`,
      ]);
      const { transfers } = await world.ledger.list(scope, { runId: "r1" });
      expect(transfers.map((line) => [line.id, line.linkedTo])).toEqual([
        ["call:r1/1/0:0", null],
        ["call:r1/1/0:2", "call:r1/1/0:0"],
        ["call:r1/1/0:4", "call:r1/1/0:0"],
      ]);
      expect(await world.budget(scope)).toMatchObject({ reservedMicros: 0, spentMicros: 130 });
      await sound();
    },
  );

  inTenant("that used exactly what was reserved has nothing to give back", async () => {
    await world.budgets.set(scope, MONTH, 200);
    await world.reserve(scope, "r1");
    await world.settle(scope, "r1", 100, 50);
    expect(await world.lines(scope)).toEqual([`reserve ${DRAWN}>reserved 200`, "settle reserved>spent 200"]);
    expect((await refusal(world.reserve(scope, "r2", { inputTokens: 1 })))?.code).toBe("budget_exhausted");
    await sound();
  });

  inTenant(
    "that a provider counts above its ceiling spends the ceiling; the ledger says what was absorbed",
    async () => {
      await world.budgets.set(scope, MONTH, 1_000);
      await world.reserve(scope, "r1");
      await world.settle(scope, "r1", 5_000, 50);
      expect(await world.lines(scope)).toEqual([
        `reserve ${DRAWN}>reserved 200`,
        "settle reserved>spent 200",
        "overrun overrun>absorbed 4900",
      ]);
      expect(await world.budget(scope)).toMatchObject({ reservedMicros: 0, spentMicros: 200 });
      await sound();
    },
  );

  inTenant("that came to nothing costs nothing", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.reserve(scope, "r1");
    await world.reservations.release(scope, "r1" as never, 1);
    await world.reservations.release(scope, "r1" as never, 1);
    expect(await world.lines(scope)).toEqual([
      `reserve ${DRAWN}>reserved 200`,
      `release reserved>${DRAWN} 200`,
    ]);
    expect(await world.ledger.balance(scope, "spent")).toBe(0);
    await sound();
  });

  inTenant("that is metered twice is paid for once", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.reserve(scope, "r1");
    for (let n = 0; n < 3; n++) await world.settle(scope, "r1", 90, 20);
    for (let n = 0; n < 3; n++) await world.settle(scope, "r2", 10, 0);
    expect((await world.lines(scope)).filter((line) => /^(?:settle|charge)/.test(line))).toEqual([
      "settle reserved>spent 130",
      `charge ${DRAWN}>spent 10`,
    ]);
    await sound();
  });

  inTenant("reserved twice under the same name is refused, and holds once", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.reserve(scope, "r1");
    await expect(world.reserve(scope, "r1")).rejects.toThrow();
    expect(await world.ledger.balance(scope, "reserved")).toBe(200);
  });

  inTenant("with the tenant's own key is counted and costs nothing here", async () => {
    await world.budgets.set(scope, MONTH, 0);
    expect(await world.reserve(scope, "r1", { keyOwner: "tenant" })).toBe(false);
    await world.usage.model(scope, { runId: "r1" as never, step: 1, keyOwner: "tenant" });
    expect(await world.lines(scope)).toEqual([]);
    expect(await scope.db.list("SELECT seq FROM usage_events")).toHaveLength(1);
    await sound();
  });

  inTenant("of a later attempt takes back what the earlier one left behind", async () => {
    await world.budgets.set(scope, MONTH, 250);
    await world.reserve(scope, "r1");
    expect((await refusal(world.reserve(scope, "r2")))?.code).toBe("budget_exhausted");
    expect(await world.reserve(scope, "r1", { step: 1_001, firstStep: 1_000 })).toBe(true);
    expect(await world.ledger.balance(scope, "reserved")).toBe(200);
    await sound();
  });

  inTenant("straddling the end of a month counts for the month it was reserved in", async () => {
    world.setNow(Date.UTC(2026, 10, 30, 23, 59, 59, 999));
    await world.budgets.set(scope, MONTH, 200);
    await world.reserve(scope, "r1");
    world.setNow(Date.UTC(2026, 11, 1));
    await world.settle(scope, "r1", 100, 50);
    expect(await world.ledger.balance(scope, DRAWN)).toBe(-200);
    expect(await world.budget(scope)).toMatchObject({ spentMicros: 0 });
    expect(await world.reserve(scope, "r2")).toBe(true);
    // A clock set back finds the old month as it was.
    world.setNow(Date.UTC(2026, 10, 30, 23));
    expect((await refusal(world.reserve(scope, "r3")))?.code).toBe("budget_exhausted");
    await sound();
  });
});

describe("a refusal", () => {
  inTenant("says whose budget, until when, and how much", async () => {
    await world.budgets.set(scope, { scope: "user", scopeId: "user-1", period: "month" }, 150);
    const error = await refusal(world.reserve(scope, "r1"));
    expect(error).toMatchObject({
      code: "budget_exhausted",
      rule: { status: 429, retryable: false },
      details: {
        ...{ scope: "user", scopeId: "user-1", period: "month", resetAtMs: Date.UTC(2026, 11, 1) },
        ...{ limitMicros: 150, spentMicros: 0, reservedMicros: 0, neededMicros: 200 },
      },
    });
    expect(error?.publicMessage).toContain("2026-12-01");
    expect(await world.lines(scope)).toEqual([]);
    expect(await scope.db.list("SELECT * FROM reservations")).toEqual([]);
    // Others of the organization go on.
    expect(await world.reserve(scope, "r2", { userId: "user-2" as never })).toBe(false);
  });

  inTenant("of an unpriced model or a call without a ceiling comes only under a budget", async () => {
    const unpriced = { cost: undefined, model: "nobody-knows" };
    expect((await refusal(world.reserve(scope, "r1", unpriced)))?.code).toBeUndefined();
    await world.budgets.set(scope, MONTH, 1_000);
    expect((await refusal(world.reserve(scope, "r1", unpriced)))?.code).toBe("model_unpriced");
    for (const maxOutputTokens of [undefined, 0, -1, 1.5, Number.NaN, 2 ** 63])
      expect((await refusal(world.reserve(scope, "r1", { maxOutputTokens })))?.code).toBe("output_unbounded");
    expect(await world.lines(scope)).toEqual([]);
  });
});

describe("budgets", () => {
  inTenant("all apply together, and one that refuses leaves the others untouched", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.budgets.set(scope, { scope: "agent", scopeId: "main", period: "total" }, 500);
    await world.budgets.set(scope, { scope: "user", scopeId: "user-1", period: "month" }, 300);
    await world.budgets.set(scope, { scope: "key", scopeId: "k1", period: "month" }, 250);
    expect(await world.reserve(scope, "r1", { keyId: "k1" })).toBe(true);
    expect((await refusal(world.reserve(scope, "r2", { keyId: "k1" })))?.details).toMatchObject({
      scope: "key",
    });
    expect((await refusal(world.reserve(scope, "r2", { keyId: "k2" })))?.details).toMatchObject({
      scope: "user",
    });
    const counted = (await world.budgets.list(scope)).map((one) => [one.scope, one.reservedMicros]);
    expect(counted).toEqual([
      ["tenant", 200],
      ["agent", 200],
      ["user", 200],
      ["key", 200],
    ]);
    await sound();
  });

  inTenant("set late know what was spent before, also while calls are open", async () => {
    await world.settle(scope, "r0", 100, 0);
    await world.budgets.set(scope, { scope: "agent", scopeId: "main", period: "month" }, 1_000);
    expect(await world.budget(scope)).toMatchObject({ spentMicros: 100, reservedMicros: 0 });
    await world.reserve(scope, "r1");
    await world.budgets.set(scope, MONTH, 250);
    expect(await world.budget(scope)).toMatchObject({ spentMicros: 100, reservedMicros: 200 });
    await sound();
  });

  inTenant("are not overspent by 500 calls at once, from the very first row on", async () => {
    await world.budgets.set(scope, MONTH, 2_000);
    const asked = Array.from({ length: 500 }, (_, n) => refusal(world.reserve(scope, `r${n}`)));
    const codes = (await Promise.all(asked)).map((error) => error?.code);
    expect(codes.filter((code) => code === undefined)).toHaveLength(10);
    expect(codes.filter((code) => code === "budget_exhausted")).toHaveLength(490);
    expect(await world.budget(scope)).toMatchObject({ reservedMicros: 2_000, spentMicros: 0 });
    await sound();
  });

  inTenant("take only whole, sane numbers", async () => {
    for (const limit of [-1, 1.5, Number.NaN, 2 ** 60])
      expect((await refusal(world.budgets.set(scope, MONTH, limit)))?.code).toBe("invalid_request");
    expect((await refusal(world.budgets.set(scope, { ...MONTH, scope: "user" }, 1)))?.code).toBe(
      "invalid_request",
    );
    expect(await world.budgets.list(scope)).toEqual([]);
  });

  inTenant("are taken away with null", async () => {
    await world.budgets.set(scope, MONTH, 10);
    expect(await world.budgets.remaining(scope, MONTH)).toBe(10);
    await world.budgets.set(scope, MONTH, null);
    expect(await world.budgets.remaining(scope, MONTH)).toBeNull();
    expect(await world.reserve(scope, "r1")).toBe(false);
  });
});

describe("the plan's limit and credit", () => {
  inTenant("are used in that order, and the rest goes back to credit first", async () => {
    world.planLimitMicros = 150;
    expect((await refusal(world.reserve(scope, "r0")))?.details).toMatchObject({
      scope: "tenant",
      limitMicros: 150,
    });
    await world.ledger.topUp(scope, { source: "stripe", sourceId: "pay-1", amountMicros: 100 });
    await world.reserve(scope, "r1");
    expect(await world.ledger.balance(scope, "credit")).toBe(50);
    expect((await refusal(world.reserve(scope, "r2")))?.code).toBe("budget_exhausted");
    await world.settle(scope, "r1", 100, 30);
    expect(await world.lines(scope, "r1")).toEqual([
      `reserve ${DRAWN}>reserved 150`,
      "reserve credit>reserved 50",
      "settle reserved>spent 160",
      "release reserved>credit 40",
    ]);
    expect(await world.ledger.balance(scope, "credit")).toBe(90);
    await sound();
  });

  inTenant("of which nothing is used after its end, also before that is booked", async () => {
    world.planLimitMicros = 0;
    const expiresAtMs = world.nowMs + 1_000;
    const grant = { source: "operator", sourceId: "g1", amountMicros: 500, details: { expiresAtMs } };
    await world.ledger.grant(scope, grant);
    await world.reserve(scope, "r1");
    world.setNow(expiresAtMs);
    expect((await refusal(world.reserve(scope, "r2")))?.code).toBe("budget_exhausted");
    expect(await world.ledger.expire(scope, 10)).toBe(1);
    expect(await world.ledger.balance(scope, "credit")).toBe(0);
    expect(await world.ledger.expire(scope, 10)).toBe(0);
    // The call that began in time may use it; what it gives back has ended too.
    await world.settle(scope, "r1", 60, 20);
    expect(await world.ledger.balance(scope, "credit")).toBe(100);
    expect((await refusal(world.reserve(scope, "r3", { inputTokens: 1, maxOutputTokens: 1 })))?.code).toBe(
      "budget_exhausted",
    );
    expect(await world.ledger.expire(scope, 10)).toBe(1);
    expect(await world.ledger.balance(scope, "credit")).toBe(0);
    expect((await world.lines(scope)).filter((line) => line.startsWith("expire"))).toEqual([
      "expire credit>expired 300",
      "expire credit>expired 100",
    ]);
    await sound();
  });

  inTenant("are credited once for each payment, for ever", async () => {
    const payment = { source: "stripe", sourceId: "pay-1", amountMicros: 100 };
    const told = await Promise.all([1, 2, 3, 4].map(() => world.ledger.topUp(scope, payment)));
    expect(told.filter(Boolean)).toHaveLength(1);
    const error = await refusal(world.ledger.topUp(scope, { ...payment, amountMicros: 101 }));
    expect(error?.code).toBe("idempotency_conflict");
    for (const amountMicros of [0, -5, 0.5, Number.NaN, 2 ** 62])
      expect(
        (await refusal(world.ledger.topUp(scope, { ...payment, sourceId: "x", amountMicros })))?.code,
      ).toBe("invalid_request");
    expect(await world.ledger.balance(scope, "credit")).toBe(100);
    await new Adjustments(world.ledger).book(scope, { id: "a1", amountMicros: -30 });
    expect(await world.lines(scope)).toEqual(["top_up payments>credit 100", "adjust credit>adjustment 30"]);
    await sound();
  });
});

describe("leases", () => {
  inTenant("of a living run are renewed on disk, so that another process takes nothing from it", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.reserve(scope, "alive");
    const other = new Leases(
      { ...systemClock, nowMs: () => world.nowMs, every: () => ({ cancel: () => undefined }) },
      makeLog({ level: "silent" }),
    );
    other.watch(scope);
    for (const passedMs of [30_000, 60_000, 90_000]) {
      world.setNow(NOON + passedMs);
      await world.leases.sweep();
      world.setNow(NOON + passedMs + 25_000);
      await other.sweep();
      expect(await world.ledger.balance(scope, "reserved")).toBe(200);
    }
    // To the millisecond: a lease ends when it says.
    world.setNow(NOON + 90_000 + 39_999);
    await other.sweep();
    expect(await world.ledger.balance(scope, "reserved")).toBe(200);
    world.setNow(NOON + 90_000 + 40_000);
    await other.sweep();
    expect(await world.ledger.balance(scope, "reserved")).toBe(0);
    await sound();
  });

  inTenant("of a process that died are given back, those of a living run are renewed", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.reserve(scope, "dead");
    await world.reserve(scope, "alive");
    world.reservations.end(scope, "dead" as never);
    await world.leases.sweep();
    expect(await world.ledger.balance(scope, "reserved")).toBe(400);
    world.setNow(NOON + 51_000);
    await world.leases.sweep();
    expect(await world.lines(scope, "dead")).toEqual([
      `reserve ${DRAWN}>reserved 200`,
      `release reserved>${DRAWN} 200`,
    ]);
    expect(await world.ledger.balance(scope, "reserved")).toBe(200);
    // An event that comes late all the same is charged, once.
    await world.settle(scope, "dead", 10, 0);
    expect((await world.lines(scope, "dead")).at(-1)).toBe(`charge ${DRAWN}>spent 10`);
    await sound();
  });
});

describe("lines", () => {
  inTenant("cannot be changed, removed, made for nothing or made twice", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.reserve(scope, "r1");
    const attacks = [
      "UPDATE ledger_transfers SET amount_micros = 1",
      "DELETE FROM ledger_transfers",
      "INSERT OR REPLACE INTO ledger_transfers (seq, source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms, period) VALUES (1, 'x', 'y', 0, 'grant', 'grants', 'credit', 5, 0, '2026-11')",
      "DELETE FROM reservations",
      "UPDATE reservations SET amount_micros = 1",
      "INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms, period) VALUES ('x', 'y', 0, 'grant', 'a', 'a', 5, 0, '2026-11')",
      "INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms, period) VALUES ('x', 'y', 0, 'grant', 'a', 'b', -5, 0, '2026-11')",
    ];
    for (const sql of attacks)
      expect(await refusal(scope.db.write({ statements: [{ sql }] })), sql).toBeDefined();
    // In the place of a line that is there nothing happens at all.
    const replay =
      "INSERT OR REPLACE INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms, period) VALUES ('call', 'r1/1/0', 0, 'grant', 'grants', 'credit', 5, 0, '2026-11')";
    const outcome = await scope.db.write({ statements: [{ sql: replay }] });
    expect(outcome).toMatchObject({ committed: true, results: [{ changes: 0 }] });
    expect(await world.lines(scope)).toEqual([`reserve ${DRAWN}>reserved 200`]);
    await sound();
  });

  inTenant("are listed in pages, by run, kind and time", async () => {
    for (let n = 0; n < 5; n++) await world.settle(scope, `r${n}`, 10 + n, 0);
    const first = await world.ledger.list(scope, { limit: 2 });
    expect(first.transfers.map((line) => line.amountMicros)).toEqual([10, 11]);
    const second = await world.ledger.list(scope, { limit: 3, after: first.next ?? 0 });
    expect(second.transfers.map((line) => line.amountMicros)).toEqual([12, 13, 14]);
    expect(second.next).toBeNull();
    const newest = await world.ledger.list(scope, { order: "newest", limit: 2 });
    expect(newest.transfers.map((line) => line.amountMicros)).toEqual([14, 13]);
    const rest = await world.ledger.list(scope, { order: "newest", before: newest.next ?? 0 });
    expect(rest.transfers.map((line) => line.amountMicros)).toEqual([12, 11, 10]);
    expect(rest.next).toBeNull();
    expect((await world.ledger.list(scope, { kind: "settle" })).transfers).toEqual([]);
    expect((await world.ledger.list(scope, { toMs: NOON })).transfers).toEqual([]);
    expect((await world.ledger.list(scope, { runId: "r3" })).transfers).toMatchObject([{ runId: "r3" }]);
  });
});

describe("the check", () => {
  it.each([
    [
      "balance",
      "UPDATE ledger_balances SET balance_micros = balance_micros + iif(account = 'spent', 1, -1) WHERE account IN ('spent', 'reserved')",
    ],
    ["sum", "UPDATE ledger_balances SET balance_micros = 7 WHERE account = 'spent'"],
    ["counter", "UPDATE budget_counters SET spent_micros = 0"],
    [
      "unbilled",
      "INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms, period) VALUES ('call', 'ghost', 6, 'charge', 'budget:tenant:2026-11', 'spent', 5, 0, '2026-11')",
    ],
    [
      "reservation",
      "INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms, period) VALUES ('call', 'ghost', 0, 'reserve', 'budget:tenant:2026-11', 'reserved', 5, 0, '2026-11')",
    ],
  ])("names a difference in a %s", (kind, sql) =>
    runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, async () => {
      await world.budgets.set(scope, MONTH, 1_000);
      await world.reserve(scope, "r1");
      await world.settle(scope, "r1", 10, 10);
      await sound();
      await scope.db.write({ statements: [{ sql }] });
      const verdict = await world.ledger.verify(scope);
      expect(verdict.ok).toBe(false);
      expect(verdict.problem?.kind).toBe(kind);
      const { stored, recomputed } = verdict.problem as SumProblem;
      expect(stored).not.toBe(recomputed);
    }),
  );
});
