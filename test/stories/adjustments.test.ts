/**
 * Money given back: an operator books a refund against the payment it takes back. Credit is not spent twice, a refund
 * counts once, and everybody concerned can read why.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Ledger } from "#src/billing/ledger/ledger.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { makeOperator } from "../support/operator.ts";
import { makePerson, type Person } from "../support/person.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { SteeredClock } from "../support/world.ts";

const HOUR_MS = 3_600_000;

let world: TestApp;
let clock: SteeredClock;
let owner: Person;
let operator: Person;
let ledger: Ledger;
let scope: TenantScope;
let serial = 0;

beforeAll(async () => {
  clock = new SteeredClock();
  world = await startApp({ app: { clock } });
  operator = await makeOperator(world);
  ledger = new Ledger(clock);
}, 60_000);

afterAll(() => world.close());

/** Each case has an organization of its own. */
beforeEach(async () => {
  const slug = `org-${serial++}`;
  owner = await makePerson(world, `Olga ${slug}`, slug, "owner");
  scope = world.app.door.scope(await world.tenant(slug));
});

const credit = (of = scope) => ledger.balance(of, "credit");

async function pay(amountMicros: number, id = "order-1", of = scope): Promise<string> {
  await ledger.topUp(of, { source: "payment.stripe", sourceId: id, amountMicros });
  return `payment.stripe:${id}:0`;
}

function adjust(amountMicros: number, rest: object = {}) {
  const body = { tenantId: scope.tenantId, amountMicros, reason: "refunded at Stripe", ...rest };
  return operator.send("POST", "/operator/api/adjustments", body);
}

async function recorded(db: TenantScope["db"]): Promise<Record<string, unknown>[]> {
  const sql = "SELECT details FROM audit_log WHERE action = 'credit.adjusted' AND target_id = ? ORDER BY seq";
  const rows = await db.list<{ details: string }>(sql, [scope.tenantId]);
  return rows.map((row) => JSON.parse(row.details));
}

async function lots(): Promise<Record<string, number>> {
  const rows = await scope.db.list<{ id: string; left: number }>(
    "SELECT id, left_micros AS left FROM credit_lots",
  );
  return Object.fromEntries(rows.map(({ id, left }) => [id, left]));
}

async function sound(): Promise<void> {
  expect((await ledger.verify(scope)).problem).toBeNull();
}

describe("a refund", () => {
  it("takes back the payment, once, with a record, and its admins can read why", async () => {
    const linkedTo = await pay(5_000_000);
    const key = { linkedTo, idempotencyKey: "re_0123456789" };
    const answers = await Promise.all([
      adjust(-5_000_000, key),
      adjust(-5_000_000, key),
      adjust(-5_000_000, key),
    ]);
    expect(answers.map((answer) => answer.status)).toEqual([201, 201, 201]);
    expect(answers.filter((answer) => answer.body.isNew)).toHaveLength(1);
    expect(await credit()).toBe(0);
    const [own] = await recorded(scope.db);
    expect(own).toMatchObject({
      amountMicros: -5_000_000,
      reason: "refunded at Stripe",
      linkedTo,
      mayOwe: false,
    });
    expect(await recorded(scope.db)).toHaveLength(1);
    const lines = (await owner.send("GET", `/t/${scope.tenant.slug}/api/ledger?kind=adjust`)).body.transfers;
    expect(lines).toMatchObject([
      {
        ...{ kind: "adjust", from: "credit", to: "adjustment", amountMicros: 5_000_000, linkedTo },
        details: { reason: "refunded at Stripe" },
      },
    ]);
    expect((await adjust(-4_000_000, key)).code).toBe("idempotency_conflict");
    expect((await adjust(-1, { linkedTo, mayOwe: true })).status).toBe(409);
    await sound();
  });

  it("is never more than the payment, in parts or with others at once", async () => {
    const linkedTo = await pay(5_000_000);
    await pay(5_000_000, "order-2");
    const parts = await Promise.all([1, 2, 3, 4].map(() => adjust(-2_000_000, { linkedTo })));
    expect(parts.map((answer) => answer.status).toSorted()).toEqual([201, 201, 409, 409]);
    expect(await credit()).toBe(6_000_000);
    expect((await adjust(-2_000_000, { linkedTo, mayOwe: true })).status).toBe(409);
    expect((await adjust(-1_000_000, { linkedTo })).status).toBe(201);
    expect(await lots()).toEqual({ [linkedTo]: 0, "payment.stripe:order-2:0": 5_000_000 });
    await sound();
  });

  it("of money that is used already is refused, unless the operator lets credit go below zero", async () => {
    const linkedTo = await pay(5_000_000);
    expect((await adjust(-3_000_000, { reason: "used" })).status).toBe(201);
    const refused = await adjust(-5_000_000, { linkedTo });
    expect([refused.status, refused.code]).toEqual([409, "conflict"]);
    expect(refused.text).toContain('"creditMicros":2000000');
    expect([await credit(), (await recorded(scope.db)).length]).toEqual([2_000_000, 1]);
    expect((await adjust(-5_000_000, { linkedTo, mayOwe: true })).body).toMatchObject({
      creditMicros: -3_000_000,
    });
    expect((await owner.send("GET", `/t/${scope.tenant.slug}/api/billing`)).body.budget).toMatchObject({
      creditMicros: -3_000_000,
    });
    // What comes in fills that first, and only the rest is there to be used.
    await pay(4_000_000, "order-2");
    expect(await lots()).toMatchObject({ "payment.stripe:order-2:0": 1_000_000 });
    expect((await adjust(-1_000_001)).status).toBe(409);
    await sound();
  });

  it("takes the payment's own credit first, then what ends soonest", async () => {
    const expiresAtMs = clock.nowMs() + HOUR_MS;
    const soon = { source: "operator", sourceId: "soon", amountMicros: 1_000_000, details: { expiresAtMs } };
    await ledger.grant(scope, soon);
    const linkedTo = await pay(5_000_000);
    expect((await adjust(-2_000_000, { linkedTo })).status).toBe(201);
    expect(await lots()).toEqual({ "operator:soon:0": 1_000_000, [linkedTo]: 3_000_000 });
    expect((await adjust(-1_500_000)).status).toBe(201);
    expect(await lots()).toEqual({ "operator:soon:0": 0, [linkedTo]: 2_500_000 });
  });

  it("that was wrong is taken back, ends when what it took would have, and makes room for the right one", async () => {
    const expiresAtMs = clock.nowMs() + HOUR_MS;
    const grant = { source: "code", sourceId: "hash", amountMicros: 2_000_000, details: { expiresAtMs } };
    await ledger.grant(scope, grant);
    const first = await adjust(-2_000_000, { linkedTo: "code:hash:0" });
    expect((await adjust(3_000_000, { linkedTo: first.body.line })).status).toBe(409);
    const back = await adjust(2_000_000, { linkedTo: first.body.line });
    expect((await adjust(1, { linkedTo: first.body.line })).status).toBe(409);
    expect((await adjust(-500_000, { linkedTo: "code:hash:0" })).status).toBe(201);
    const { lines } = (await operator.send("GET", `/operator/api/tenants/${scope.tenantId}/credits`)).body;
    expect(lines).toMatchObject([
      { kind: "adjust", amountMicros: -500_000, openMicros: 500_000, leftMicros: null },
      { id: back.body.line, amountMicros: 2_000_000, openMicros: 0, leftMicros: 1_500_000, expiresAtMs },
      { id: first.body.line, amountMicros: -2_000_000, openMicros: 0 },
      { kind: "grant", openMicros: 1_500_000, leftMicros: 0, expiresAtMs },
    ]);
    clock.pass(2 * HOUR_MS);
    await expect.poll(() => credit()).toBe(0);
    await operator.signInAgain();
    await sound();
  });

  it("is not booked without its record", async () => {
    const linkedTo = await pay(5_000_000);
    const sql = `CREATE TRIGGER no_record BEFORE INSERT ON audit_log WHEN NEW.action = 'credit.adjusted'
      BEGIN SELECT RAISE(ABORT, 'no record'); END`;
    await scope.db.write({ statements: [{ sql }] });
    expect((await adjust(-5_000_000, { linkedTo })).status).toBeGreaterThanOrEqual(400);
    await scope.db.write({ statements: [{ sql: "DROP TRIGGER no_record" }] });
    expect([await credit(), await recorded(scope.db)]).toEqual([5_000_000, []]);
  });

  it("is an operator's alone, fresh, with a reason, of a line of this organization", async () => {
    const linkedTo = await pay(5_000_000);
    const other = scope;
    const slug = `org-${serial++}`;
    const stranger = await makePerson(world, `Otto ${slug}`, slug, "owner");
    scope = world.app.door.scope(await world.tenant(slug));
    await pay(1_000_000, "order-9");
    expect((await adjust(-1_000_000, { linkedTo })).status).toBe(404);
    for (const wrong of ["x", "call:r/1/0:0", "payment.stripe:order-9:1", ":::", "payment.stripe:order-9"])
      expect((await adjust(-1, { linkedTo: wrong })).status, wrong).toBe(404);
    for (const body of [{ reason: " " }, { amountMicros: 0 }, { amountMicros: 0.5 }, { tenantId: "acme" }])
      expect((await adjust(-1, body)).status, JSON.stringify(body)).toBe(400);
    expect((await adjust(-1, { tenantId: crypto.randomUUID() })).status).toBe(404);
    const body = { tenantId: scope.tenantId, amountMicros: -1, reason: "x" };
    for (const person of [owner, stranger]) {
      expect((await person.send("POST", "/operator/api/adjustments", body)).status).toBe(404);
      expect((await person.send("GET", `/operator/api/tenants/${scope.tenantId}/credits`)).status).toBe(404);
    }
    expect([await credit(), await credit(other)]).toEqual([1_000_000, 5_000_000]);
    clock.pass(2 * HOUR_MS);
    expect((await adjust(-1)).code).toBe("step_up_required");
    await operator.signInAgain();
    expect((await adjust(-1)).status).toBe(201);
  });
});
