/** What was spent is read from counters that lines keep, however many lines there are; budgets, warnings and pages follow. */
import { randomUUID } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Budgets } from "#src/billing/ledger/budgets.ts";
import { Ledger } from "#src/billing/ledger/ledger.ts";
import type { SumProblem } from "#src/billing/ledger/verify.ts";
import { Alerts } from "#src/billing/plans/alerts.ts";
import { Spending } from "#src/billing/plans/spending.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { toAppError } from "#src/kernel/errors.ts";
import { makeLog } from "#src/kernel/log.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database, SqlValue } from "#src/storage/database.ts";
import { runInContext } from "#src/tenancy/context.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { LedgerWorld } from "../support/ledger-world.ts";

const MIGRATIONS = resolve(import.meta.dirname, "../../migrations");
const NOON = Date.UTC(2026, 10, 22, 12);
const DECEMBER = Date.UTC(2026, 11, 2);
const MONTH = { scope: "tenant", scopeId: "", period: "month" } as const;

let world: LedgerWorld;
let scope: TenantScope;
let clock: Clock;

beforeAll(async () => {
  world = await LedgerWorld.open();
  clock = { ...systemClock, nowMs: () => world.nowMs };
});

afterAll(() => world.close());

beforeEach(() => {
  world.setNow(NOON);
  world.planLimitMicros = null;
  scope = world.usage.newTenant(`t-${randomUUID().slice(0, 8)}`);
});

function inTenant(name: string, work: () => Promise<void>): void {
  it(name, () => runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, work));
}

function spendingOf(budgets: Pick<Budgets, "list">): Spending {
  const terms = { monthlyBudgetMicros: null };
  return new Spending({ clock, plans: { of: async () => ({ plan: { terms } }) } as never, budgets });
}

/** The scope, noting what is read on the event loop and what beside it. */
function watched(): { scope: TenantScope; loop: [string, SqlValue[]][]; beside: string[] } {
  const loop: [string, SqlValue[]][] = [];
  const beside: string[] = [];
  const note =
    (read: "find" | "list") =>
    (sql: string, params: readonly SqlValue[] = []) => {
      loop.push([sql, [...params]]);
      return scope.db[read](sql, params) as never;
    };
  const db: Database = {
    ...{ find: note("find"), list: note("list"), write: (batch) => scope.db.write(batch) },
    report: (sql, params) => {
      beside.push(sql);
      return scope.db.report(sql, params);
    },
  };
  return { scope: { ...scope, db }, loop, beside };
}

/** How SQLite goes about a statement. */
async function planOf([sql, params]: [string, SqlValue[]]): Promise<string> {
  const steps = await scope.db.list<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, params);
  return steps.map(({ detail }) => detail).join("\n");
}

describe("a month that has begun", () => {
  inTenant("shows and counts what was spent without a reservation, so that warnings come", async () => {
    await world.budgets.set(scope, MONTH, 1_000);
    await world.budgets.set(scope, { scope: "agent", scopeId: "main", period: "total" }, 9_000);
    world.setNow(DECEMBER);
    await world.settle(scope, "run-x", 5_000, 100);
    expect(await world.budgets.list(scope)).toMatchObject([
      { ...MONTH, limitMicros: 1_000, spentMicros: 5_200, reservedMicros: 0 },
      { scope: "agent", period: "total", spentMicros: 5_200 },
    ]);
    expect(await world.budgets.remaining(scope, MONTH)).toBe(0);
    const told: unknown[] = [];
    const hub = { publish: (_id: unknown, event: { payload: unknown }) => told.push(event.payload) };
    const log = makeLog({ level: "silent" });
    const alerts = new Alerts({ spending: spendingOf(world.budgets), hub: hub as never, clock, log });
    expect((await alerts.look(scope)).map(({ scope: whose, level }) => `${whose} ${level}`)).toEqual([
      ...["tenant 50", "tenant 80", "tenant 95", "tenant 100", "agent 50"],
    ]);
    expect(told).toHaveLength(5);
    expect((await world.ledger.verify(scope)).problem).toBeNull();
  });

  inTenant("counts nothing of the month before, and a budget that is set late counts all of it", async () => {
    await world.settle(scope, "old", 100, 0);
    world.setNow(DECEMBER);
    await world.settle(scope, "new", 10, 0);
    await world.budgets.set(scope, MONTH, 1_000);
    await world.budgets.set(scope, { scope: "user", scopeId: "user-1", period: "total" }, 1_000);
    const [month, total] = await world.budgets.list(scope);
    expect([month?.spentMicros, total?.spentMicros]).toEqual([10, 110]);
    expect(await spendingOf(world.budgets).funds(scope)).toMatchObject({ spentMicros: 10 });
    // What is set late refuses as if it had been there.
    await world.budgets.set(scope, { scope: "user", scopeId: "user-1", period: "total" }, 250);
    const refused = await world.reserve(scope, "r1").catch((thrown: unknown) => toAppError(thrown).code);
    expect(refused).toBe("budget_exhausted");
  });
});

describe("reading what was spent", () => {
  inTenant("looks at no line on the event loop, with or without a budget", async () => {
    await world.settle(scope, "r1", 10, 10);
    const { scope: seen, loop, beside } = watched();
    expect(await spendingOf(world.budgets).funds(seen)).toMatchObject({ spentMicros: 30 });
    await world.budgets.list(seen);
    await world.budgets.remaining(seen, MONTH);
    expect(loop).toHaveLength(3);
    for (const asked of loop) expect(await planOf(asked)).not.toMatch(/ledger_transfers|ledger_counts/);
    expect(beside).toEqual([]);
  });

  inTenant("lists lines of a run or a kind by an index, and of a time beside the event loop", async () => {
    await world.settle(scope, "r1", 10, 10);
    const { scope: seen, loop, beside } = watched();
    const ledger = new Ledger(clock);
    expect((await ledger.list(seen, { kind: "redeem", order: "newest" })).transfers).toEqual([]);
    expect((await ledger.list(seen, { kind: "charge", after: 0 })).transfers).toHaveLength(1);
    expect((await ledger.list(seen, { runId: "r1", kind: "charge" })).transfers).toHaveLength(1);
    expect((await ledger.list(seen, { runId: "r1", toMs: NOON })).transfers).toEqual([]);
    const plans = await Promise.all(loop.map(planOf));
    expect(plans.map((plan) => /USING INDEX (\S+)/.exec(plan)?.[1])).toEqual([
      ...["ledger_transfers_by_kind", "ledger_transfers_by_kind"],
      ...["ledger_transfers_by_run", "ledger_transfers_by_run"],
    ]);
    expect(plans.slice(0, 2).join()).not.toContain("TEMP B-TREE");
    expect(beside).toEqual([]);
    expect((await ledger.list(seen, { fromMs: NOON + 1 })).transfers).toEqual([]);
    expect((await ledger.list(seen, { fromMs: NOON, kind: "charge" })).transfers).toHaveLength(1);
    expect([loop.length, beside.length]).toEqual([4, 2]);
  });
});

describe("at the most budgets there can be", () => {
  inTenant("each can still be changed and taken away, and only one more is refused", async () => {
    const sql = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
      INSERT INTO budgets SELECT 'user', 'u-' || i, 'month', 5, 0 FROM n`;
    await scope.db.write({ statements: [{ sql }] });
    const first = { scope: "user", scopeId: "u-1", period: "month" } as const;
    const more = { scope: "user", scopeId: "u-0", period: "month" } as const;
    await world.budgets.set(scope, first, 7);
    expect(await world.budgets.remaining(scope, first)).toBe(7);
    const refused = await world.budgets.set(scope, more, 7).catch((thrown: unknown) => toAppError(thrown));
    expect(refused).toMatchObject({ code: "limit_reached" });
    expect(await world.budgets.remaining(scope, more)).toBeNull();
    await world.budgets.set(scope, first, null);
    await world.budgets.set(scope, more, 7);
    expect(await world.budgets.remaining(scope, more)).toBe(7);
  });
});

describe("the check", () => {
  inTenant("names a counter that is missing, too many or beside its lines", async () => {
    await world.reserve(scope, "r0");
    await world.settle(scope, "r1", 10, 10);
    expect((await world.ledger.verify(scope)).problem).toBeNull();
    const attacks: [string, Partial<SumProblem>][] = [
      [
        "DELETE FROM budget_counters WHERE scope = 'agent' AND period = 'total'",
        { at: "agent:main:total", stored: 0, recomputed: 30 },
      ],
      [
        "INSERT INTO budget_counters VALUES ('agent', 'main', 'total', 30, 0), ('user', 'nobody', '2026-11', 1, 0)",
        { at: "user:nobody:2026-11", stored: 1, recomputed: 0 },
      ],
      [
        "UPDATE budget_counters SET spent_micros = spent_micros + 5, reserved_micros = -5 WHERE scope = 'tenant'",
        { at: "tenant::2026-11", stored: 35, recomputed: 30 },
      ],
    ];
    for (const [sql, problem] of attacks) {
      await scope.db.write({ statements: [{ sql }] });
      expect((await world.ledger.verify(scope)).problem).toMatchObject({ kind: "counter", ...problem });
    }
  });
});

it("an older ledger gets its counters when it is brought up to date", async () => {
  const folder = mkdtempSync(join(tmpdir(), "creel-counters-"));
  for (const kind of ["control", "tenant"]) {
    mkdirSync(join(folder, kind), { recursive: true });
    for (const name of readdirSync(join(MIGRATIONS, kind)))
      if (kind === "control" || name < "0011") cpSync(join(MIGRATIONS, kind, name), join(folder, kind, name));
  }
  const path = join(folder, "old.db");
  const before = new SqliteDatabases({ migrationsDirectory: folder });
  const old = before.open("tenant", path, "t");
  const line = `INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros,
    at_ms, period, user_id, agent_id) VALUES`;
  const charge = "'charge', 'budget:tenant:2026-11', 'spent'";
  await old.write({
    statements: [
      { sql: `${line} ('call', 'a', 6, ${charge}, 5, 1, '2026-11', 'u', 'main')` },
      { sql: `${line} ('call', 'b', 6, ${charge}, 7, 1, '2026-12', 'u', 'other')` },
      // A budget of the old kind, whose counter was kept; and credit, which is no spending.
      { sql: "INSERT INTO budgets VALUES ('user', 'u', 'total', 100, 0)" },
      { sql: "INSERT INTO budget_counters VALUES ('user', 'u', 'total', 12, 0)" },
      { sql: `${line} ('p', 'p', 0, 'top_up', 'payments', 'credit', 9, 1, '2026-11', '', '')` },
    ],
  });
  await before.close();
  const databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
  const db = databases.open("tenant", path, "t");
  await db.write({
    statements: [{ sql: `${line} ('call', 'c', 6, ${charge}, 1, 1, '2026-12', 'u', 'main')` }],
  });
  await databases.close();
  const file = new SqliteDatabase(path, { readonly: true });
  const rows = file.prepare("SELECT * FROM budget_counters ORDER BY scope, scope_id, period").raw().all();
  file.close();
  rmSync(folder, { recursive: true });
  expect(rows).toEqual([
    ...[
      ["agent", "main", "2026-11", 5, 0],
      ["agent", "main", "2026-12", 1, 0],
      ["agent", "main", "total", 6, 0],
    ],
    ...[
      ["agent", "other", "2026-12", 7, 0],
      ["agent", "other", "total", 7, 0],
    ],
    ...[
      ["tenant", "", "2026-11", 5, 0],
      ["tenant", "", "2026-12", 8, 0],
      ["tenant", "", "total", 13, 0],
    ],
    ...[
      ["user", "u", "2026-11", 5, 0],
      ["user", "u", "2026-12", 8, 0],
      ["user", "u", "total", 13, 0],
    ],
  ]);
});
