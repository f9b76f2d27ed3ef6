/** What nobody stands behind comes back, also after a time in which nothing could be written, and is named until then. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { Leases } from "#src/billing/ledger/leases.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { AppError } from "#src/kernel/errors.ts";
import { makeLog } from "#src/kernel/log.ts";
import { runInContext } from "#src/tenancy/context.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { LedgerWorld } from "../support/ledger-world.ts";

const NOON = Date.UTC(2026, 10, 22, 12);
const SWEEP_MS = 10_000;

let world: LedgerWorld;
let scope: TenantScope;
let leases: Leases;
/** Whether the tenant's file can be written, and how often it was tried. */
let isFull: boolean;
let tries: number;

beforeAll(async () => {
  world = await LedgerWorld.open();
});

afterAll(() => world.close());

beforeEach(async () => {
  world.setNow(NOON);
  world.planLimitMicros = 10_000;
  const real = world.usage.newTenant(`t-${randomUUID().slice(0, 8)}`);
  isFull = false;
  tries = 0;
  const write: TenantScope["db"]["write"] = async (batch) => {
    tries++;
    if (isFull) throw new AppError("storage_full", "The disk is full.");
    return real.db.write(batch);
  };
  scope = { ...real, db: { ...real.db, write } };
  const clock: Clock = {
    ...systemClock,
    nowMs: () => world.nowMs,
    every: () => ({ cancel: () => undefined }),
  };
  leases = new Leases(clock, makeLog({ level: "silent" }));
});

function inTenant(name: string, work: () => Promise<void>): void {
  it(name, () => runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, work));
}

async function sweep(times: number): Promise<void> {
  for (let n = 0; n < times; n++) {
    world.setNow(world.nowMs + SWEEP_MS);
    await leases.sweep();
  }
}

const held = () => world.ledger.balance(scope, "reserved");

inTenant(
  "a tenant is watched until its reservations are given back, however long its file is full",
  async () => {
    await world.reserve(scope, "dead");
    leases.watch(scope);
    isFull = true;
    tries = 0;
    // An hour, of which each look is a rarer one.
    await sweep(360);
    expect(await held()).toBe(200);
    expect(tries).toBeGreaterThan(10);
    expect(tries).toBeLessThan(25);
    isFull = false;
    await sweep(30);
    expect(await held()).toBe(0);
    // Then it is let alone.
    tries = 0;
    await sweep(40);
    expect(tries).toBe(0);
    expect((await world.ledger.verify(scope)).problem).toBeNull();
  },
);

inTenant("a living run is renewed at the first sweep after the file can be written", async () => {
  await world.reserve(scope, "alive");
  leases.hold(scope, "alive" as never);
  isFull = true;
  await sweep(20);
  isFull = false;
  await sweep(1);
  const [row] = await scope.db.list<{ until: number }>("SELECT lease_until_ms AS until FROM reservations");
  expect(row?.until).toBe(world.nowMs + 40_000);
  expect(await held()).toBe(200);
});

inTenant("nothing of a tenant that has gone is looked at", async () => {
  await world.reserve(scope, "dead");
  leases.watch(scope);
  leases.forget(scope.tenantId);
  tries = 0;
  await sweep(10);
  expect(tries).toBe(0);
  expect(await held()).toBe(200);
});

inTenant("the check names what is held back for calls that ended long ago, and no other", async () => {
  await world.reserve(scope, "run-dead");
  await world.reserve(scope, "run-dead", { step: 2 });
  expect(await world.ledger.verify(scope)).toMatchObject({ ok: true, stranded: null });
  world.setNow(NOON + 30 * 86_400_000);
  await world.reserve(scope, "run-new");
  expect(await world.ledger.verify(scope)).toMatchObject({
    ok: true,
    reservedMicros: 600,
    stranded: { calls: 2, amountMicros: 400, at: "run-dead/1/0", leaseUntilMs: NOON + 40_000 },
  });
  leases.watch(scope);
  await sweep(1);
  expect(await world.ledger.verify(scope)).toMatchObject({ reservedMicros: 200, stranded: null });
});
