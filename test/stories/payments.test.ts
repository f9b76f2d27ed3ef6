/**
 * Money coming in (ATTACKS QU-08): a payment credits what was ordered, where it was ordered, once; whatever is forged,
 * altered, replayed or meant for somebody else credits nothing. Codes count once, and credit ends when it should.
 */
import { Socket } from "node:net";
import SqliteDatabase from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Adjustments } from "#src/billing/ledger/adjustments.ts";
import { Ledger } from "#src/billing/ledger/ledger.ts";
import { AlipayPayments } from "#src/billing/payments/payment-provider.alipay.ts";
import { StripePayments } from "#src/billing/payments/payment-provider.stripe.ts";
import { loadConfig } from "#src/config/load.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { makeOperator } from "../support/operator.ts";
import {
  type FakeAlipay,
  type FakeStripe,
  makeAlipay,
  startStripe,
  stripeEvent,
  stripeSignature,
} from "../support/payment-fakes.ts";
import { makePerson, type Person } from "../support/person.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { SteeredClock } from "../support/world.ts";

const { destroy } = Socket.prototype;
const SECRET = "whsec_0123456789abcdefghijklmn";
const APP_ID = "2021000000000001";
const HOUR_MS = 3_600_000;

let world: TestApp;
let clock: SteeredClock;
let stripe: FakeStripe;
let alipay: FakeAlipay;
let owner: Person;
let yuan: Person;
let operator: Person;
const ledger = new Ledger(systemClock);

beforeAll(async () => {
  clock = new SteeredClock();
  stripe = await startStripe();
  alipay = makeAlipay();
  const config = {
    stripe: { secretKey: "sk_test_0123456789abcdef", webhookSecret: SECRET, apiBase: stripe.url },
    alipay: { appId: APP_ID, privateKey: alipay.appPrivateKey, alipayPublicKey: alipay.alipayPublicKey },
  } as object;
  world = await startApp({ app: { clock }, config });
  owner = await makePerson(world, "Olga Owner", "acme", "owner");
  await makePerson(world, "Gina Globex", "globex", "owner");
  yuan = await makePerson(world, "Yuan Owner", "shanghai", "owner");
  operator = await makeOperator(world);
  const { id } = await world.tenant("shanghai");
  const control = new SqliteDatabase(`${world.stateDir}/control.db`);
  control
    .prepare("INSERT INTO tenant_plans VALUES (?, 0, 'yuan', 1, ?, 0, 'test')")
    .run(id, JSON.stringify({ version: 1, name: "Yuan", currency: "CNY" }));
  control.close();
  // What is known of plans is a few seconds old at most.
  clock.pass(10_000);
}, 60_000);

afterAll(async () => {
  await world.close();
  stripe.close();
});

/** Rows of one action in a tenant's own log: what its admins see. */
async function recorded(slug: string, action: string) {
  const sql =
    "SELECT actor_kind AS actorKind, actor_id AS actorId, details FROM audit_log WHERE action = ? ORDER BY seq";
  const { db } = world.app.door.scope(await world.tenant(slug));
  const rows = await db.list<{ actorKind: string; actorId: string; details: string }>(sql, [action]);
  return rows.map((row) => ({ ...row, details: JSON.parse(row.details) as Record<string, unknown> }));
}

/** The tenant's log takes no record of this action while the work is done. */
async function withoutRecord(slug: string, action: string, work: () => Promise<void>): Promise<void> {
  const { db } = world.app.door.scope(await world.tenant(slug));
  const sql = `CREATE TRIGGER no_record BEFORE INSERT ON audit_log WHEN NEW.action = '${action}'
    BEGIN SELECT RAISE(ABORT, 'no record'); END`;
  await db.write({ statements: [{ sql }] });
  await work().finally(() => db.write({ statements: [{ sql: "DROP TRIGGER no_record" }] }));
}

async function creditOf(slug: string): Promise<number> {
  return ledger.balance(world.app.door.scope(await world.tenant(slug)), "credit");
}

async function order(
  amountMicros = 5_000_000,
): Promise<{ id: string; tenantId: string; amountCoins: number }> {
  const body = { provider: "stripe", amountMicros, returnTo: "/t/acme/billing" };
  const answer = await owner.send("POST", "/t/acme/api/top-ups", body);
  expect(answer.status, answer.text).toBe(201);
  expect(answer.body.redirect).toMatch(/^https:\/\/checkout\.stripe\.example\//);
  const { id: tenantId } = await world.tenant("acme");
  return { id: answer.body.orderId, tenantId, amountCoins: amountMicros / 10_000 };
}

async function orderYuan(): Promise<{ id: string; fields: Record<string, string>; redirect: string }> {
  const body = { provider: "alipay", amountMicros: 12_340_000, returnTo: "/t/shanghai/billing" };
  const answer = await yuan.send("POST", "/t/shanghai/api/top-ups", body);
  expect(answer.status, answer.text).toBe(201);
  const { id: tenantId } = await world.tenant("shanghai");
  const { orderId: id, redirect } = answer.body;
  const fields = {
    ...{ app_id: APP_ID, out_trade_no: id, trade_no: `2026${id}`, trade_status: "TRADE_SUCCESS" },
    ...{ total_amount: "12.34", passback_params: tenantId, sign_type: "RSA2", charset: "utf-8" },
    ...{ notify_id: `n-${id}`, subject: "Credit & more" },
  };
  return { id, fields, redirect };
}

function report(provider: string, body: string, headers: Record<string, string>): Promise<Response> {
  return fetch(`${world.url}/webhooks/payments/${provider}`, { method: "POST", body, headers });
}

const byStripe = (body: string, signature?: string) =>
  report("stripe", body, {
    "content-type": "application/json; charset=utf-8",
    ...(signature === ""
      ? {}
      : { "stripe-signature": signature ?? stripeSignature(body, SECRET, clock.nowMs()) }),
  });
const byAlipay = (body: string) =>
  report("alipay", body, { "content-type": "application/x-www-form-urlencoded; charset=utf-8" });

describe("a payment by Stripe", () => {
  it("credits the tenant once, however often it is reported, also at once", async () => {
    const before = await creditOf("acme");
    const ordered = await order();
    expect(stripe.sessions.at(-1)).toMatchObject({
      ...{
        client_reference_id: ordered.id,
        "line_items[0][price_data][unit_amount]": "500",
        mode: "payment",
      },
      success_url: `${world.url}/t/acme/billing?payment=done`,
    });
    const body = stripeEvent(ordered);
    const answers = await Promise.all(Array.from({ length: 6 }, () => byStripe(body)));
    for (const answer of answers) expect(answer.status, await answer.text()).toBe(200);
    expect(
      (await byStripe(stripeEvent(ordered, {}, "checkout.session.async_payment_succeeded"))).status,
    ).toBe(200);
    expect((await creditOf("acme")) - before).toBe(5_000_000);
    expect(await creditOf("globex")).toBe(0);
    const verdict = await ledger.verify(world.app.door.scope(await world.tenant("acme")));
    expect(JSON.stringify(verdict)).not.toContain('problem":{');
  });

  it("credits a tenant whose deletion can still be taken back", async () => {
    const before = await creditOf("acme");
    const ordered = await order();
    const { tenants } = world.app;
    await tenants.markDeleting((await world.tenant("acme")).id, { reason: "a try" });
    expect((await byStripe(stripeEvent(ordered))).status).toBe(200);
    await tenants.restore((await world.tenant("acme")).id);
    expect((await creditOf("acme")) - before).toBe(5_000_000);
  });

  it("counts only when money came in", async () => {
    const before = await creditOf("acme");
    const ordered = await order();
    for (const event of [
      stripeEvent(ordered, { payment_status: "unpaid" }),
      stripeEvent(ordered, {}, "checkout.session.expired"),
      stripeEvent(ordered, { mode: "setup" }),
    ])
      expect((await byStripe(event)).status).toBe(200);
    expect(await creditOf("acme")).toBe(before);
  });

  it("is refused when it is forged, old, altered, or about something else", async () => {
    const before = await creditOf("acme");
    const ordered = await order();
    const { id: globex } = await world.tenant("globex");
    const body = stripeEvent(ordered);
    const forged = [
      await byStripe(body, ""),
      await byStripe(body, "t=1,v1="),
      await byStripe(body, stripeSignature(body, "whsec_anotheranotheranother", clock.nowMs())),
      await byStripe(body, stripeSignature(body, "", clock.nowMs())),
      await byStripe(body, stripeSignature(body, SECRET, clock.nowMs() - HOUR_MS)),
      await byStripe(
        body.replace('"amount_total":500', '"amount_total":5'),
        stripeSignature(body, SECRET, clock.nowMs()),
      ),
      await byStripe(` ${body}`, stripeSignature(body, SECRET, clock.nowMs())),
    ];
    for (const answer of forged) expect(answer.status).toBe(401);
    const unfit = [
      stripeEvent(ordered, { amount_total: 50_000 }),
      stripeEvent(ordered, { amount_total: 1 }),
      stripeEvent(ordered, { currency: "cny" }),
      stripeEvent(ordered, { metadata: { tenant_id: globex } }),
      stripeEvent(ordered, { metadata: {} }),
      stripeEvent(ordered, { client_reference_id: "0".repeat(32) }),
      stripeEvent(ordered, { client_reference_id: null }),
    ];
    for (const event of unfit) expect((await byStripe(event)).status, event).toBe(409);
    expect(await creditOf("acme")).toBe(before);
    expect(await creditOf("globex")).toBe(0);
    // What was refused did not use the order up, and a payment of another name cannot pay it again.
    expect((await byStripe(body)).status).toBe(200);
    expect((await byStripe(stripeEvent(ordered, { payment_intent: "pi_other" }))).status).toBe(409);
    const next = await order();
    expect((await byStripe(stripeEvent(next, { payment_intent: `pi_${ordered.id}` }))).status).toBe(409);
    expect((await creditOf("acme")) - before).toBe(5_000_000);
  });

  it("is not begun for absurd amounts, other currencies, or a way back that leads elsewhere", async () => {
    const begin = (change: object) =>
      owner.send("POST", "/t/acme/api/top-ups", {
        provider: "stripe",
        amountMicros: 5_000_000,
        returnTo: "/",
        ...change,
      });
    for (const amountMicros of [
      0,
      -5_000_000,
      1.5,
      5_000_001,
      999_999,
      2 ** 63,
      Number.MAX_SAFE_INTEGER,
      "5000000",
    ])
      expect((await begin({ amountMicros })).status, String(amountMicros)).toBe(400);
    for (const returnTo of [
      "https://evil.example/",
      "//evil.example/",
      "/\\evil.example/",
      "evil",
      "javascript:alert(1)",
    ])
      expect((await begin({ returnTo })).status, returnTo).toBe(400);
    expect((await begin({ provider: "alipay" })).status).toBe(400);
    expect((await begin({ provider: "paypal" })).status).toBe(400);
  });
});

describe("a payment by Alipay", () => {
  it("credits the tenant once, and the address is signed by our app", async () => {
    const { id, fields, redirect } = await orderYuan();
    expect(alipay.isSignedByApp(redirect)).toBe(true);
    const asked = new URL(redirect).searchParams;
    expect(JSON.parse(asked.get("biz_content") ?? "{}")).toMatchObject({
      out_trade_no: id,
      total_amount: "12.34",
    });
    expect(asked.get("notify_url")).toBe(`${world.url}/webhooks/payments/alipay`);
    const answers = await Promise.all(Array.from({ length: 4 }, () => byAlipay(alipay.report(fields))));
    for (const answer of answers) {
      expect(answer.status).toBe(200);
      expect(await answer.text()).toBe("success");
    }
    await byAlipay(alipay.report({ ...fields, trade_status: "TRADE_FINISHED" }));
    expect(await creditOf("shanghai")).toBe(12_340_000);
  });

  it("is refused when it is forged, altered, or about something else", async () => {
    const before = await creditOf("shanghai");
    const { fields } = await orderYuan();
    const signed = alipay.report(fields);
    const { id: acme } = await world.tenant("acme");
    const forged = [
      signed.replace("12.34", "12.35"),
      signed.replace(/sign=[^&]*/, "sign="),
      signed.replace(/&?sign=[^&]*/, ""),
      signed.replace("sign_type=RSA2", "sign_type=RSA"),
      `${signed}&total_amount=12.34`,
      makeAlipay().report(fields),
      alipay.report({ ...fields, app_id: "2021000000000002" }),
    ];
    for (const body of forged) expect((await byAlipay(body)).status, body.slice(-80)).toBe(401);
    const unfit = [
      { ...fields, total_amount: "1234" },
      { ...fields, total_amount: "12.340" },
      { ...fields, passback_params: acme },
      { ...fields, trans_currency: "USD" },
    ];
    for (const changed of unfit) expect((await byAlipay(alipay.report(changed))).status).toBe(409);
    expect((await byAlipay(alipay.report({ ...fields, trade_status: "WAIT_BUYER_PAY" }))).status).toBe(200);
    expect(await creditOf("shanghai")).toBe(before);
  });

  it("cannot pay an order of Stripe's, nor the other way round", async () => {
    const before = [await creditOf("acme"), await creditOf("shanghai")];
    const ordered = await order(12_340_000);
    const { fields } = await orderYuan();
    const crossed = { ...fields, out_trade_no: ordered.id, passback_params: ordered.tenantId };
    expect((await byAlipay(alipay.report(crossed))).status).toBe(409);
    const { id: tenantId } = await world.tenant("shanghai");
    const other = { id: fields["out_trade_no"] ?? "", tenantId, amountCoins: 1_234, currency: "cny" };
    expect((await byStripe(stripeEvent(other))).status).toBe(409);
    expect([await creditOf("acme"), await creditOf("shanghai")]).toEqual(before);
  });

  it("leaves the sockets of everybody else as they were", () => {
    expect(Socket.prototype.destroy).toBe(destroy);
    const broken = new Error("the pool was closed");
    for (const socket of [new Socket(), new Socket()]) {
      socket.on("error", () => undefined);
      expect(() => socket.destroy(broken)).not.toThrow();
    }
  });
});

describe("settings", () => {
  it("with an empty or guessable secret stop the start", () => {
    expect(() => new StripePayments({ secretKey: "sk", webhookSecret: "" }, fetch, systemClock)).toThrow(
      /webhookSecret/,
    );
    expect(
      () => new AlipayPayments({ appId: APP_ID, privateKey: alipay.appPrivateKey, alipayPublicKey: "" }),
    ).toThrow(/public key/);
    expect(loadConfig({ env: {}, flags: { "state-dir": world.stateDir } }).config.stripe).toBeUndefined();
  });
});

describe("redemption codes", () => {
  const make = async (body: object) => {
    const answer = await operator.send("POST", "/operator/api/codes", {
      count: 1,
      amountMicros: 2_000_000,
      currency: "USD",
      ...body,
    });
    expect(answer.status, answer.text).toBe(201);
    return answer.body.codes as string[];
  };
  const redeem = (slug: string, code: string) => owner.send("POST", `/t/${slug}/api/redeem`, { code });

  it("count once, for whoever comes first, and are kept as hashes only", async () => {
    const [code = ""] = await make({});
    expect(code).toMatch(/^([0-9A-Z]{5}-){3}[0-9A-Z]{5}$/);
    const before = await creditOf("acme");
    const answers = await Promise.all(
      ["", " ", "-"].map((noise) => redeem("acme", `${noise}${code.toLowerCase()}${noise}`)),
    );
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
    expect(answers.filter((answer) => answer.body.isNew)).toHaveLength(1);
    expect((await creditOf("acme")) - before).toBe(2_000_000);
    const other = await yuan.send("POST", "/t/shanghai/api/redeem", { code });
    expect(other.status).toBe(404);
  });

  it("are on record in the tenant's own log, once, in the commit of the credit", async () => {
    const expiresAtMs = clock.nowMs() + 400 * 24 * HOUR_MS;
    const [code = ""] = await make({ expiresAtMs });
    const before = [await creditOf("acme"), (await recorded("acme", "code.redeemed")).length];
    await withoutRecord("acme", "code.redeemed", async () => {
      expect((await redeem("acme", code)).status).toBeGreaterThanOrEqual(400);
    });
    expect([await creditOf("acme"), (await recorded("acme", "code.redeemed")).length]).toEqual(before);
    expect((await redeem("acme", code)).body.isNew).toBe(true);
    expect((await redeem("acme", code)).body.isNew).toBe(false);
    const records = await recorded("acme", "code.redeemed");
    expect(records).toHaveLength(before[1]! + 1);
    expect(records.at(-1)).toMatchObject({
      actorKind: "person",
      details: { amountMicros: 2_000_000, expiresAtMs, madeBy: expect.stringMatching(/./) },
    });
    expect(JSON.stringify(records)).not.toContain(code.replaceAll("-", ""));
  });

  it("are made once per key; when their answer was lost they are voided, and what was redeemed stays", async () => {
    const wish = { count: 3, amountMicros: 2_000_000, currency: "USD", idempotencyKey: "batch-of-november" };
    const send = (body: object = {}) => operator.send("POST", "/operator/api/codes", { ...wish, ...body });
    const first = await send();
    expect([first.status, first.body.id]).toEqual([201, "batch-of-november"]);
    const codes = first.body.codes as string[];
    expect((await redeem("acme", codes[0]!)).status).toBe(200);
    for (const again of [await send(), await send({ count: 1, amountMicros: 1 })]) {
      expect([again.status, again.code]).toEqual([409, "conflict"]);
      expect(again.body.error.details).toEqual({
        ...{ batch: "batch-of-november", made: 3, redeemed: 1, amountMicros: 2_000_000 },
      });
      for (const code of codes) expect(again.text).not.toContain(code);
    }
    const other = (await send({ idempotencyKey: "batch-of-december" })).body.codes as string[];
    const remove = (who: Person, batch: string) => who.send("DELETE", `/operator/api/codes/${batch}`);
    expect((await remove(owner, "batch-of-november")).status).toBe(404);
    expect((await remove(operator, "batch-that-never-was")).status).toBe(404);
    expect((await remove(operator, "batch-of-november")).body).toEqual({ voided: 2 });
    expect((await remove(operator, "batch-of-november")).body).toEqual({ voided: 0 });
    const before = await creditOf("acme");
    expect((await redeem("acme", codes[1]!)).status).toBe(404);
    // Who redeemed one before may repeat it.
    expect((await redeem("acme", codes[0]!)).body.isNew).toBe(false);
    expect((await redeem("acme", other[0]!)).body.isNew).toBe(true);
    expect((await creditOf("acme")) - before).toBe(2_000_000);
  });

  it("are of no currency that nobody named", async () => {
    const answer = await operator.send("POST", "/operator/api/codes", { count: 1, amountMicros: 2_000_000 });
    expect([answer.status, answer.code]).toEqual([400, "invalid_request"]);
    expect(answer.text).toContain("currency");
  });

  it("are of one currency, end, and cannot be guessed for long", async () => {
    const [dollars = ""] = await make({});
    const before = await creditOf("shanghai");
    expect((await yuan.send("POST", "/t/shanghai/api/redeem", { code: dollars })).status).toBe(404);
    const [short = ""] = await make({ expiresAtMs: clock.nowMs() + 1_000 });
    clock.pass(2_000);
    expect((await redeem("acme", short)).status).toBe(404);
    const statuses = [];
    for (let at = 0; at < 12; at++)
      statuses.push(
        (await yuan.send("POST", "/t/shanghai/api/redeem", { code: `00000-00000-00000-000${10 + at}` }))
          .status,
      );
    expect(statuses.at(0)).toBe(404);
    expect(statuses.at(-1)).toBe(429);
    expect(await creditOf("shanghai")).toBe(before);
    expect((await redeem("acme", dollars)).status).toBe(200);
  });
});

describe("credit of an operator's", () => {
  it("is booked once per key, and ends as far as it is left, the soonest used first", async () => {
    const { id: tenantId } = await world.tenant("globex");
    const scope = world.app.door.scope(await world.tenant("globex"));
    const give = (amountMicros: number, rest: object = {}) =>
      operator.send("POST", "/operator/api/credits", { tenantId, amountMicros, reason: "sorry", ...rest });
    const endsAtMs = clock.nowMs() + HOUR_MS;
    expect((await give(3_000_000)).status).toBe(201);
    const key = { idempotencyKey: "sorry-2026-11", expiresAtMs: endsAtMs };
    expect((await give(5_000_000, key)).body.isNew).toBe(true);
    expect((await give(5_000_000, key)).body.isNew).toBe(false);
    // The end that counts is that of the credit which is there: another one is refused, and leaves nothing behind.
    expect((await give(4_000_000, { idempotencyKey: "sorry-without-end" })).body.isNew).toBe(true);
    for (const [amount, end] of [
      [4_000_000, endsAtMs],
      [1, endsAtMs],
    ] as const) {
      const other = { idempotencyKey: "sorry-without-end", expiresAtMs: end };
      const refused = await give(amount, other);
      expect([refused.status, refused.code]).toEqual([422, "idempotency_conflict"]);
      expect(refused.body.error.details).toEqual({ amountMicros: 4_000_000, expiresAtMs: null });
    }
    expect((await give(5_000_000, { idempotencyKey: "sorry-2026-11" })).code).toBe("idempotency_conflict");
    expect(await scheduledFor(tenantId)).toEqual(["operator:sorry-2026-11:0"]);
    const back = { id: "back", amountMicros: -4_000_000, linkedTo: "operator:sorry-without-end:0" };
    await new Adjustments(ledger).book(scope, back);
    expect(await creditOf("globex")).toBe(8_000_000);
    await withoutRecord("globex", "credit.granted", async () => {
      expect((await give(9_000_000)).status).toBeGreaterThanOrEqual(400);
    });
    expect(await creditOf("globex")).toBe(8_000_000);
    expect(await recorded("globex", "credit.granted")).toMatchObject([
      { actorKind: "operator", details: { amountMicros: 3_000_000, expiresAtMs: null, reason: "sorry" } },
      { actorKind: "operator", details: { amountMicros: 5_000_000, expiresAtMs: endsAtMs, reason: "sorry" } },
      { actorKind: "operator", details: { amountMicros: 4_000_000, expiresAtMs: null, reason: "sorry" } },
    ]);
    expect(await recorded("acme", "credit.granted")).toEqual([]);
    // Spent by hand: two of the eight, which are of what ends.
    await new Adjustments(ledger).book(scope, { id: "spent", amountMicros: -2_000_000 });
    clock.pass(30 * 60_000);
    await settle();
    expect(await creditOf("globex")).toBe(6_000_000);
    clock.pass(HOUR_MS);
    await expect.poll(() => creditOf("globex")).toBe(3_000_000);
    clock.pass(HOUR_MS);
    await settle();
    expect(await creditOf("globex")).toBe(3_000_000);
    expect((await give(1_000_000)).code).toBe("step_up_required");
    await operator.signInAgain();
    expect((await give(1_000_000, { expiresAtMs: clock.nowMs() - 1 })).status).toBe(400);
    expect((await give(-1)).status).toBe(400);
    expect(
      (await owner.send("POST", "/operator/api/credits", { tenantId, amountMicros: 1, reason: "x" })).status,
    ).toBe(404);
  });
});

/** Lines of a tenant's ledger whose end is waited for. */
async function scheduledFor(tenantId: string): Promise<string[]> {
  const control = new SqliteDatabase(`${world.stateDir}/control.db`, { readonly: true });
  const sql = "SELECT line_id FROM credit_expiries WHERE tenant_id = ?";
  const rows = control.prepare(sql).all(tenantId) as { line_id: string }[];
  control.close();
  return rows.map((row) => row.line_id);
}

/** Let what was set off end. */
async function settle(): Promise<void> {
  await new Promise((done) => setTimeout(done, 50));
}
