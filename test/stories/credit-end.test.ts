/**
 * Credit whose time is over is gone, whatever held it at that moment: a call, a deletion that was taken back, a process
 * that died; and ending it keeps nobody waiting, however much happened before.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CreditExpiry } from "#src/billing/payments/credit-expiry.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { AppError } from "#src/kernel/errors.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { LedgerWorld } from "../support/ledger-world.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let world: LedgerWorld;
let acme: TenantScope;
let isGone: boolean;
let expiry: CreditExpiry;

beforeEach(async () => {
  world = await LedgerWorld.open();
  world.planLimitMicros = 0;
  acme = world.usage.newTenant("acme");
  isGone = false;
  expiry = makeExpiry();
});
afterEach(() => world.close());

/** As after a start: nothing is remembered but what is on disk. */
function makeExpiry(scope: () => TenantScope = () => acme): CreditExpiry {
  const clock: Clock = { ...systemClock, nowMs: () => world.nowMs };
  return new CreditExpiry({
    ...{ control: world.usage.control, ledger: world.ledger, clock, log: makeLog({ level: "silent" }) },
    scopeOf: async () => (isGone ? undefined : scope()),
  });
}

async function give(sourceId: string, amountMicros: number, expiresAtMs: number): Promise<void> {
  await expiry.schedule(acme.tenantId, `operator:${sourceId}:0`, expiresAtMs);
  await world.ledger.grant(acme, { source: "operator", sourceId, amountMicros, details: { expiresAtMs } });
}

const credit = () => world.ledger.balance(acme, "credit");
const scheduled = async () =>
  (await world.usage.control.list<{ line_id: string }>("SELECT line_id FROM credit_expiries")).map(
    (row) => row.line_id,
  );

describe("credit that ends", () => {
  it("ends also when a call holds it at that moment, and gives it back later", async () => {
    const endsAtMs = world.nowMs + HOUR_MS;
    await give("g1", 1_000, endsAtMs);
    await world.reserve(acme, "run-1", { inputTokens: 200, maxOutputTokens: 400 });
    world.setNow(endsAtMs + 1);
    await expiry.tick();
    // Nothing could be taken, so the end is not forgotten, also not by a process that dies here.
    expect(await scheduled()).toEqual(["operator:g1:0"]);
    world.setNow(endsAtMs + DAY_MS);
    expiry = makeExpiry();
    await expiry.tick();
    expect(await scheduled()).toEqual(["operator:g1:0"]);
    await world.reservations.release(acme, "run-1" as never, 1);
    // It is back, and buys nothing.
    expect(await credit()).toBe(1_000);
    await expect(world.reserve(acme, "run-2")).rejects.toThrow(AppError);
    world.setNow(world.nowMs + HOUR_MS);
    await expiry.tick();
    expect(await credit()).toBe(0);
    expect(await scheduled()).toEqual([]);
    expect((await world.ledger.verify(acme)).problem).toBeNull();
  });

  it("ends in parts when some of it was held, and each part once", async () => {
    const endsAtMs = world.nowMs + HOUR_MS;
    await give("g1", 1_000, endsAtMs);
    await world.reserve(acme, "run-1");
    await world.reserve(acme, "run-2");
    world.setNow(endsAtMs + 1);
    await expiry.tick();
    expect(await credit()).toBe(0);
    await world.settle(acme, "run-1", 100, 20);
    world.setNow(world.nowMs + HOUR_MS);
    await expiry.tick();
    expect(await scheduled()).toEqual(["operator:g1:0"]);
    await world.reservations.release(acme, "run-2" as never, 1);
    for (let rounds = 0; rounds < 3; rounds++) {
      world.setNow(world.nowMs + HOUR_MS);
      await expiry.tick();
    }
    const ended = (await world.lines(acme)).filter((line) => line.startsWith("expire"));
    expect(ended).toEqual([
      "expire credit>expired 600",
      "expire credit>expired 60",
      "expire credit>expired 200",
    ]);
    expect([await credit(), await scheduled()]).toEqual([0, []]);
  });

  it("is not used for what another grant pays, and leaves that one alone", async () => {
    const endsAtMs = world.nowMs + HOUR_MS;
    await give("g1", 1_000, endsAtMs);
    await world.ledger.grant(acme, { source: "operator", sourceId: "kept", amountMicros: 200 });
    world.setNow(endsAtMs);
    await world.reserve(acme, "run-1");
    await expiry.tick();
    expect(await credit()).toBe(0);
    await world.reservations.release(acme, "run-1" as never, 1);
    expect([await credit(), await scheduled()]).toEqual([200, []]);
  });

  it("ends when a deletion is taken back, and is forgotten with a tenant that is gone", async () => {
    const endsAtMs = world.nowMs + HOUR_MS;
    await give("g1", 1_000, endsAtMs);
    isGone = true;
    world.setNow(endsAtMs + 1);
    await expiry.tick();
    expect([await credit(), await scheduled()]).toEqual([1_000, ["operator:g1:0"]]);
    isGone = false;
    await expect(world.reserve(acme, "run-1")).rejects.toThrow(AppError);
    world.setNow(endsAtMs + 2 * HOUR_MS);
    await expiry.tick();
    expect([await credit(), await scheduled()]).toEqual([0, []]);
    await give("g2", 1_000, world.nowMs + 1);
    isGone = true;
    const receipt =
      "INSERT INTO tenant_receipts (tenant_id, slug, deleted_at_ms, signed) VALUES (?, 'acme', 1, 'x')";
    await world.usage.control.write({ statements: [{ sql: receipt, params: [acme.tenantId] }] });
    world.setNow(world.nowMs + 2);
    await expiry.tick();
    expect(await scheduled()).toEqual([]);
  });

  it("that was announced and came later ends too", async () => {
    const endsAtMs = world.nowMs + 1;
    await expiry.schedule(acme.tenantId, "operator:late:0", endsAtMs);
    world.setNow(endsAtMs + 1);
    await expiry.tick();
    expect(await scheduled()).toEqual(["operator:late:0"]);
    await give("late", 500, endsAtMs);
    world.setNow(world.nowMs + 2 * HOUR_MS);
    await expiry.tick();
    expect([await credit(), await scheduled()]).toEqual([0, []]);
  });
});

describe("ending credit", () => {
  it("reads no line of the ledger, for any number of grants and calls", async () => {
    const endsAtMs = world.nowMs + HOUR_MS;
    for (let n = 0; n < 120; n++) await give(`g${n}`, 1_000, endsAtMs + (n % 7));
    for (let n = 0; n < 40; n++) {
      await world.reserve(acme, `run-${n}`);
      await world.settle(acme, `run-${n}`, 50, 20);
    }
    const reads: string[] = [];
    let rows = 0;
    const { db } = acme;
    const watched: TenantScope["db"] = {
      ...db,
      find: (sql, params) => {
        reads.push(sql);
        return db.find(sql, params);
      },
      list: async <Row>(sql: string, params?: never) => {
        reads.push(sql);
        const found = await db.list<Row>(sql, params);
        rows += found.length;
        return found;
      },
    };
    world.setNow(endsAtMs + 10);
    await makeExpiry(() => ({ ...acme, db: watched })).tick();
    expect([await credit(), await scheduled()]).toEqual([0, []]);
    expect(reads.join()).not.toContain("ledger_transfers");
    // One look for all grants together.
    expect(reads).toHaveLength(1);
    expect(rows).toBeLessThanOrEqual(120);
    expect((await world.ledger.verify(acme)).problem).toBeNull();
  });

  it("is the line's own: another one that was announced for it ends nothing, and is forgotten", async () => {
    await world.ledger.grant(acme, { source: "operator", sourceId: "kept", amountMicros: 300 });
    const endsAtMs = world.nowMs + HOUR_MS;
    await expiry.schedule(acme.tenantId, "operator:kept:0", endsAtMs);
    world.setNow(endsAtMs + 1);
    await expiry.tick();
    expect([await credit(), await scheduled()]).toEqual([300, []]);
    // Announced for later, then given with an earlier end: looked at by the earlier one.
    const soonMs = world.nowMs + HOUR_MS;
    await expiry.schedule(acme.tenantId, "operator:g2:0", soonMs + DAY_MS);
    await give("g2", 500, soonMs);
    world.setNow(soonMs + 1);
    await expiry.tick();
    expect([await credit(), await scheduled()]).toEqual([300, []]);
  });

  it("of tenants that must wait keeps nobody else from their turn", async () => {
    const beta = world.usage.newTenant("beta");
    const endsAtMs = world.nowMs + HOUR_MS;
    const rows = Array.from({ length: 700 }, (_, n) => [`00-waiting-${n}`, `operator:w${n}:0`] as const);
    const sql = `INSERT INTO credit_expiries (tenant_id, line_id, expires_at_ms, look_at_ms)
      SELECT value ->> 0, value ->> 1, ?, ? FROM json_each(?)`;
    const params = [endsAtMs - 1, endsAtMs - 1, JSON.stringify(rows)];
    await world.usage.control.write({ statements: [{ sql, params }] });
    await expiry.schedule(beta.tenantId, "operator:b:0", endsAtMs);
    const details = { expiresAtMs: endsAtMs };
    await world.ledger.grant(beta, { source: "operator", sourceId: "b", amountMicros: 100, details });
    world.setNow(endsAtMs + 1);
    const clock: Clock = { ...systemClock, nowMs: () => world.nowMs };
    const sweep = new CreditExpiry({
      ...{ control: world.usage.control, ledger: world.ledger, clock, log: makeLog({ level: "silent" }) },
      scopeOf: async (id) => (id === beta.tenantId ? beta : undefined),
    });
    await sweep.tick();
    expect(await world.ledger.balance(beta, "credit")).toBe(0);
    expect(await scheduled()).toHaveLength(700);
  });

  it("uses the index over lines about credit when the check reads them", async () => {
    const plan = await acme.db.list<{ detail: string }>(
      `EXPLAIN QUERY PLAN SELECT seq FROM ledger_transfers
        WHERE (from_account = 'credit' OR to_account = 'credit') AND seq > ? AND seq <= ? ORDER BY seq LIMIT 500`,
      [0, 10],
    );
    expect(plan.map((row) => row.detail).join()).toContain("ledger_transfers_of_credit");
  });
});
