/** What calls of tools hold back: their price and their intent are one commit, under the same budgets as calls of models. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AppError, toAppError } from "#src/kernel/errors.ts";
import type { Batch, Database } from "#src/storage/database.ts";
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
function inTenant(name: string, work: () => Promise<void>): void {
  it(name, () => runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, work));
}

async function refusal(call: Promise<unknown>): Promise<AppError | undefined> {
  return call.then(
    () => undefined,
    (thrown: unknown) => toAppError(thrown),
  );
}

async function intents(): Promise<number> {
  const row = await scope.db.find<{ count: number }>("SELECT count(*) AS count FROM run_steps");
  return row?.count ?? 0;
}

async function sound(): Promise<void> {
  expect((await world.ledger.verify(scope)).problem).toBeNull();
}

describe("a call of a tool", () => {
  inTenant("without a price, or where no budget applies, writes nothing", async () => {
    expect(await world.reserveTool(scope, "r1", 100)).toBe(false);
    await world.budgets.set(scope, MONTH, 0);
    expect(await world.reserveTool(scope, "r1", 0)).toBe(false);
    expect(await intents()).toBe(0);
    await world.settleTool(scope, "r1", 100);
    expect(await world.lines(scope)).toEqual([`charge ${DRAWN}>spent 100`]);
    await sound();
  });

  inTenant(
    "holds back its price beside the model's call of its step, and is settled by its own event",
    async () => {
      await world.budgets.set(scope, MONTH, 1_000);
      await world.reserve(scope, "r1");
      expect(await world.reserveTool(scope, "r1", 300)).toBe(true);
      expect(await world.budget(scope)).toMatchObject({ reservedMicros: 500, spentMicros: 0 });
      await world.settle(scope, "r1", 90, 20);
      expect(await world.budget(scope)).toMatchObject({ reservedMicros: 300, spentMicros: 130 });
      for (let n = 0; n < 3; n++) await world.settleTool(scope, "r1", 300);
      expect(await world.budget(scope)).toMatchObject({ reservedMicros: 0, spentMicros: 430 });
      const { transfers } = await world.ledger.list(scope, { runId: "r1" });
      expect(
        transfers.filter((line) => line.source === "tool").map((line) => [line.id, line.linkedTo]),
      ).toEqual([
        ["tool:r1/1/2:0", null],
        ["tool:r1/1/2:2", "tool:r1/1/2:0"],
      ]);
      await sound();
    },
  );

  inTenant("that does not fit is refused with words and leaves no intent", async () => {
    await world.budgets.set(scope, MONTH, 299);
    const error = await refusal(world.reserveTool(scope, "r1", 300));
    expect(error).toMatchObject({
      code: "budget_exhausted",
      details: { scope: "tenant", limitMicros: 299, neededMicros: 300 },
    });
    expect(error?.publicMessage).toContain("does not cover a call of search.");
    expect(await intents()).toBe(0);
    expect(await scope.db.list("SELECT * FROM reservations")).toEqual([]);
    expect(await world.lines(scope)).toEqual([]);
  });

  inTenant("is asked of every budget, the key's too", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.budgets.set(scope, { scope: "key", scopeId: "k1", period: "total" }, 250);
    expect((await refusal(world.reserveTool(scope, "r1", 300, { keyId: "k1" })))?.details).toMatchObject({
      scope: "key",
    });
    expect(await world.reserveTool(scope, "r1", 300, { keyId: "k2" })).toBe(true);
    expect(await world.reservations.limitedKeys(scope, ["k1", "k2", ""])).toEqual(new Set(["k1"]));
  });

  inTenant("draws the plan's limit first and credit after it, and gives back to credit first", async () => {
    world.planLimitMicros = 100;
    expect((await refusal(world.reserveTool(scope, "r0", 150)))?.code).toBe("budget_exhausted");
    await world.ledger.grant(scope, { source: "operator", sourceId: "g1", amountMicros: 200 });
    await world.reserveTool(scope, "r1", 150);
    expect(await world.ledger.balance(scope, "credit")).toBe(150);
    await world.reservations.release(scope, "r1" as never, 1);
    expect(await world.ledger.balance(scope, "credit")).toBe(200);
    await world.reserveTool(scope, "r2", 150);
    await world.settleTool(scope, "r2", 150);
    await world.reserveTool(scope, "r3", 120);
    await world.settleTool(scope, "r3", 120);
    expect(await world.lines(scope, "r3")).toEqual([
      "reserve credit>reserved 120",
      "settle reserved>spent 120",
    ]);
    expect(await world.ledger.balance(scope, "credit")).toBe(30);
    expect((await refusal(world.reserveTool(scope, "r4", 31)))?.code).toBe("budget_exhausted");
    await sound();
  });

  inTenant("begun twice is refused, and holds once", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.reserveTool(scope, "r1", 300);
    expect((await refusal(world.reserveTool(scope, "r1", 300)))?.code).toBe("conflict");
    expect(await world.ledger.balance(scope, "reserved")).toBe(300);
  });

  inTenant("of a process that died is given back when its lease ends, or by the next attempt", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.reserveTool(scope, "dead", 300);
    await world.reserveTool(scope, "again", 300);
    expect(await world.reserveTool(scope, "again", 300, { step: 1_001, firstStep: 1_000 })).toBe(true);
    expect(await world.ledger.balance(scope, "reserved")).toBe(600);
    world.reservations.end(scope, "dead" as never);
    world.setNow(NOON + 51_000);
    await world.leases.sweep();
    expect(await world.lines(scope, "dead")).toEqual([
      `reserve ${DRAWN}>reserved 300`,
      `release reserved>${DRAWN} 300`,
    ]);
    expect(await world.ledger.balance(scope, "reserved")).toBe(300);
    await sound();
  });

  inTenant("is one of exactly as many as fit, of 300 at once", async () => {
    await world.budgets.set(scope, MONTH, 2_050);
    const asked = Array.from({ length: 300 }, (_, n) => refusal(world.reserveTool(scope, `r${n}`, 100)));
    const codes = (await Promise.all(asked)).map((error) => error?.code);
    expect(codes.filter((code) => code === undefined)).toHaveLength(20);
    expect(codes.filter((code) => code === "budget_exhausted")).toHaveLength(280);
    expect(await intents()).toBe(20);
    expect(await world.budget(scope)).toMatchObject({ reservedMicros: 2_000, spentMicros: 0 });
    await sound();
  });
});

describe("whose commit is uncertain", () => {
  /** The same tenant, whose first write is on disk or not, and nobody is told which. */
  function failing(isKept: boolean): TenantScope {
    const { db } = scope;
    let writes = 0;
    const odd: Database = {
      ...{ find: db.find.bind(db), list: db.list.bind(db), report: db.report.bind(db) },
      async write(batch: Batch) {
        if (writes++ > 0) return db.write(batch);
        if (isKept) await db.write(batch);
        throw new AppError("storage_uncertain", "who knows");
      },
    };
    return { tenant: scope.tenant, tenantId: scope.tenantId, db: odd } as TenantScope;
  }

  for (const isKept of [true, false]) {
    inTenant(`it begins and holds once, when it was ${isKept ? "" : "not "}on disk`, async () => {
      await world.budgets.set(scope, MONTH, 1_000);
      expect(await world.reserveTool(failing(isKept), "r1", 300)).toBe(true);
      expect(await intents()).toBe(1);
      expect(await world.lines(scope)).toEqual([`reserve ${DRAWN}>reserved 300`]);
      await sound();
    });
  }
});

describe("the check", () => {
  inTenant("names a tool's call that is held back though it is over", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.reserveTool(scope, "r1", 300);
    await sound();
    const ghost = `INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros,
      at_ms, period) VALUES ('tool', 'ghost', 0, 'reserve', '${DRAWN}', 'reserved', 5, 0, '2026-11')`;
    await scope.db.write({ statements: [{ sql: ghost }] });
    expect((await world.ledger.verify(scope)).problem).toMatchObject({ kind: "reservation", at: "ghost" });
  });
});
