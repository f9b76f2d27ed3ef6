/**
 * What Stripe's meter counts is what was used: once, whatever answers are lost and however long ago; nothing that Stripe
 * refuses holds up anything else, and nothing that cannot be billed disappears.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { forgetTenantStatements } from "#src/admin/purge/forget-tenant.ts";
import type { UsageExporter } from "#src/billing/export/exporter.ts";
import type { WaitingCharge } from "#src/billing/export/meter/charges.ts";
import { makeOperatorExportRoutes } from "#src/billing/export/operator-routes.ts";
import type { TenantStanding } from "#src/billing/export/platform-overview.ts";
import type { Charge, PlatformExport } from "#src/billing/export/usage-sink.ts";
import type { RouteCall } from "#src/protocol/routes.ts";
import { CALL_MICROS, ExportWorld } from "../support/export-world.ts";
import { FakeMeterEvents } from "../support/fake-meter-events.ts";

interface Listed {
  tenants: TenantStanding[];
  setAside: WaitingCharge[];
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let world: ExportWorld;
let stripe: FakeMeterEvents;
let address: string;

beforeEach(async () => {
  world = await ExportWorld.open();
  stripe = new FakeMeterEvents(() => world.nowMs);
  address = await stripe.listen();
});

afterEach(async () => {
  stripe.close();
  await world.close();
});

/** Ticks over a time, a little more than an hour each. */
async function pass(exporter: UsageExporter, ms: number): Promise<void> {
  for (const endMs = world.nowMs + ms; world.nowMs < endMs; ) {
    world.nowMs += 1.05 * HOUR;
    await exporter.tick();
  }
}

function operator(platform: PlatformExport) {
  const { control } = world.usage;
  const { cursors } = world.exports;
  const scopeOf = async (tenantId: string) => world.scopes.get(tenantId as never);
  const deps = { control, clock: world.clock, platform, cursors, scopeOf };
  const [get, put] = makeOperatorExportRoutes(deps as never);
  const actor = { kind: "user", id: "operator-1", name: "Odile" };
  const call = (body: unknown, query = {}) => ({ body, query, actor }) as unknown as RouteCall<unknown>;
  return {
    get: async (query = {}) => (await get?.handler(call(null, query)))?.body as Listed,
    put: async (body: object) =>
      (await put?.handler(call(put.body?.parse(body))))?.body as { tenant: TenantStanding },
  };
}

describe("each event counts once", () => {
  it("charges what is not the tenant's own key's, by day, under one identifier", async () => {
    const [acme, globex] = [world.tenant("acme"), world.tenant("globex")];
    const exporter = world.exporter(world.stripe(address, { acme: "cus_1", [globex.tenantId]: "cus_2" }));
    await world.use(acme, 2, { atMs: world.nowMs - DAY });
    await world.use(acme, 3);
    await world.use(acme, 5, { keyOwner: "tenant" });
    await world.use(globex, 1);
    await exporter.tick();
    expect(stripe.total("cus_1")).toBe(5 * CALL_MICROS);
    expect(stripe.total("cus_2")).toBe(CALL_MICROS);
    expect(stripe.counted).toHaveLength(3);
    expect([...stripe.keys]).toEqual(["Bearer sk_test_fake"]);
    for (const { identifier } of stripe.counted) expect(identifier.length).toBeLessThanOrEqual(100);
    world.opened = [];
    await exporter.tick();
    expect(world.opened).toEqual([]);
    expect(stripe.calls).toHaveLength(3);
    expect(await world.charges()).toEqual([]);
  });

  it("takes the refusal of an identifier for what it is, after an answer was lost", async () => {
    const acme = world.tenant("acme");
    const exporter = world.exporter(world.stripe(address, { acme: "cus_1" }));
    await world.use(acme, 1);
    stripe.isLosingAnswers = true;
    await exporter.tick();
    expect(await world.exports.cursors.get("", acme.tenantId)).toMatchObject({ failures: 1 });
    stripe.isLosingAnswers = false;
    await pass(exporter, 3 * DAY);
    expect(stripe.total()).toBe(CALL_MICROS);
    expect(new Set(stripe.calls).size).toBe(1);
    expect(stripe.calls).toHaveLength(2);
    expect(await world.exports.cursors.get("", acme.tenantId)).toMatchObject({
      failures: 0,
      lastError: null,
    });
    expect(await world.charges()).toEqual([]);
  });

  it("sets aside what Stripe may have forgotten, in place of sending it twice, and goes on with the rest", async () => {
    const acme = world.tenant("acme");
    const platform = world.stripe(address, { acme: "cus_1" });
    await world.use(acme, 1);
    stripe.isLosingAnswers = true;
    await world.exporter(platform).tick();
    stripe.isLosingAnswers = false;
    // The process is down for a day and a half.
    world.nowMs += 1.5 * DAY;
    await world.use(acme, 2);
    const exporter = world.exporter(platform);
    await pass(exporter, 3 * HOUR);
    expect(stripe.total()).toBe(3 * CALL_MICROS);
    const { tenants, setAside } = await operator(platform).get({ trouble: "1" });
    expect(tenants).toMatchObject([{ slug: null, setAside: { count: 1, amountMicros: CALL_MICROS } }]);
    expect(setAside).toMatchObject([
      { amountMicros: CALL_MICROS, reason: expect.stringContaining("no answer") },
    ]);
    expect(world.lines.map(({ msg }) => msg)).toContain("a charge was set aside; an operator has to decide");
    // The operator saw at Stripe that it is there.
    await operator(platform).put({ charge: setAside[0]?.identifier, decision: "close" });
    await pass(exporter, DAY);
    expect(stripe.total()).toBe(3 * CALL_MICROS);
    expect(await world.charges()).toEqual([]);
  });

  it("does not take an address that nobody answers at for an answer that was lost", async () => {
    const acme = world.tenant("acme");
    const platform = world.stripe(address, { acme: "cus_1" });
    stripe.close();
    const exporter = world.exporter(platform);
    await world.use(acme, 1);
    await pass(exporter, 2 * DAY);
    expect(stripe.total()).toBe(0);
    stripe = new FakeMeterEvents(() => world.nowMs);
    await stripe.listen(Number(new URL(address).port));
    await pass(exporter, 2 * HOUR);
    expect(stripe.total()).toBe(CALL_MICROS);
  });

  it("keeps not knowing when a later request is refused", async () => {
    const acme = world.tenant("acme");
    const platform = world.stripe(address, { acme: "cus_1" });
    const exporter = world.exporter(platform);
    await world.use(acme, 1);
    stripe.isLosingAnswers = true;
    await exporter.tick();
    stripe.isLosingAnswers = false;
    stripe.trouble = { status: 429, message: "Too many requests." };
    await pass(exporter, 25 * HOUR);
    stripe.trouble = undefined;
    await pass(exporter, 25 * HOUR);
    expect(stripe.total()).toBe(CALL_MICROS);
    expect((await operator(platform).get()).setAside).toHaveLength(1);
  });
});

describe("what Stripe refuses", () => {
  it("is set aside when it is too old, and everything else is billed", async () => {
    const acme = world.tenant("acme");
    const platform = world.stripe(address, { acme: "cus_1" });
    const exporter = world.exporter(platform);
    await world.use(acme, 1, { atMs: world.nowMs - 40 * DAY });
    await world.use(acme, 3);
    await exporter.tick();
    expect(stripe.total()).toBe(3 * CALL_MICROS);
    expect(stripe.calls).toHaveLength(1);
    const { setAside } = await operator(platform).get();
    expect(setAside).toMatchObject([{ amountMicros: CALL_MICROS, day: "2026-10-13" }]);
    await pass(exporter, 2 * DAY);
    expect(stripe.total()).toBe(3 * CALL_MICROS);
    // The operator wants it billed: it counts for today.
    await operator(platform).put({ charge: setAside[0]?.identifier, decision: "send" });
    await exporter.tick();
    expect(stripe.total()).toBe(4 * CALL_MICROS);
    expect(stripe.counted.at(-1)?.timestampMs).toBe(Math.floor(world.nowMs / 1_000) * 1_000);
    expect(await world.charges()).toEqual([]);
  });

  it("is never what a clock put into the future: that has happened by now", async () => {
    const acme = world.tenant("acme");
    const exporter = world.exporter(world.stripe(address, { acme: "cus_1" }));
    world.nowMs += 3 * DAY;
    await world.use(acme, 1);
    world.nowMs -= 3 * DAY;
    await world.use(acme, 1);
    await exporter.tick();
    expect(stripe.total()).toBe(2 * CALL_MICROS);
  });

  it("is set aside by Stripe's own word too, also without a code", async () => {
    const acme = world.tenant("acme");
    const platform = world.stripe(address, { acme: "cus_1" });
    stripe.trouble = { status: 400, message: "The timestamp must be within the past 35 days." };
    await world.use(acme, 1);
    await world.exporter(platform).tick();
    expect((await operator(platform).get()).setAside).toHaveLength(1);
  });

  it("holds up no other day, and no day is billed again meanwhile", async () => {
    const acme = world.tenant("acme");
    const platform = world.stripe(address, { acme: "cus_1" });
    const exporter = world.exporter(platform);
    await world.use(acme, 1, { atMs: world.nowMs - DAY });
    await world.use(acme, 1);
    stripe.refusedEnd = "2026-11-21";
    await exporter.tick();
    expect(stripe.total()).toBe(CALL_MICROS);
    await pass(exporter, 3 * DAY);
    await world.use(acme, 2);
    await pass(exporter, 2 * DAY);
    expect(stripe.total()).toBe(3 * CALL_MICROS);
    expect((await operator(platform).get()).tenants).toMatchObject([
      { lastError: "Stripe: no_meter", failures: expect.any(Number), waiting: { count: 1 } },
    ]);
    expect(world.lines.filter(({ msg }) => msg.includes("could not be billed"))).not.toHaveLength(0);
    // The meter is mended.
    stripe.refusedEnd = undefined;
    await pass(exporter, 2 * HOUR);
    expect(stripe.total()).toBe(4 * CALL_MICROS);
  });
});

describe("a process that dies", () => {
  it("before it sent anything sends it after the next start, and after it sent it once only", async () => {
    const acme = world.tenant("acme");
    const platform = world.stripe(address, { acme: "cus_1" });
    await world.use(acme, 1);
    const { meter } = platform as Extract<PlatformExport, { kind: "charges" }>;
    const sent = Promise.withResolvers<void>();
    const dying = {
      ...{ remembersMs: meter.remembersMs, longestAgeMs: meter.longestAgeMs, known: meter.known },
      customerOf: () => "cus_1",
      // It leaves, and nothing comes back any more.
      send: async (charge: Charge) => {
        await meter.send(charge);
        sent.resolve();
        return new Promise<never>(() => undefined);
      },
    };
    void world.exporter({ kind: "charges", meter: dying }).tick();
    await sent.promise;
    expect(await world.charges()).toMatchObject([{ tries: 1, unsure_since_ms: world.nowMs }]);
    world.nowMs += HOUR;
    await world.exporter(platform).tick();
    expect(stripe.total()).toBe(CALL_MICROS);
    expect(await world.charges()).toEqual([]);
  });

  it("does not leave a charge behind that nothing else makes due", async () => {
    const acme = world.tenant("acme");
    const exporter = world.exporter(world.stripe(address, { acme: "cus_1" }));
    await world.use(acme, 1);
    await exporter.tick();
    const sql = `INSERT INTO usage_charges (identifier, tenant_id, customer, day, amount_micros, timestamp_ms, made_at_ms)
      VALUES ('c-1', ?, 'cus_1', '2026-11-22', 5, ?, ?)`;
    const params = [acme.tenantId, world.nowMs, world.nowMs];
    await world.usage.control.write({ statements: [{ sql, params }] });
    await exporter.tick();
    expect(stripe.total()).toBe(CALL_MICROS + 5);
    expect(await world.charges()).toEqual([]);
  });

  it("leaves what a tenant owes to be sent also when the tenant is gone", async () => {
    const acme = world.tenant("acme");
    const platform = world.stripe(address, { acme: "cus_1" });
    const exporter = world.exporter(platform);
    await world.use(acme, 1);
    stripe.trouble = { status: 429, message: "Too many requests." };
    await exporter.tick();
    stripe.trouble = undefined;
    const statements = await forgetTenantStatements(world.usage.control, acme.tenantId);
    await world.usage.control.write({ statements });
    world.scopes.clear();
    await exporter.tick();
    expect(stripe.total()).toBe(CALL_MICROS);
    expect(await world.charges()).toEqual([]);
    expect(await world.usage.control.list("SELECT * FROM usage_export_cursors")).toEqual([]);
  });
});

describe("a tenant's customer", () => {
  it("is found by id whatever the tenant calls itself", async () => {
    const acme = world.tenant("acme");
    const exporter = world.exporter(world.stripe(address, { [acme.tenantId]: "cus_1" }));
    await world.use(acme, 1);
    await exporter.tick();
    world.scopes.set(acme.tenantId, { ...acme, tenant: { ...acme.tenant, slug: "acme-2" } });
    await world.use(acme, 5);
    await exporter.tick();
    expect(stripe.total("cus_1")).toBe(6 * CALL_MICROS);
  });

  it("that nobody named holds the usage, says so once, and loses nothing", async () => {
    const acme = world.tenant("acme");
    await world.use(acme, 1);
    const first = world.exporter(world.stripe(address, { acme: "cus_1" }));
    await first.tick();
    world.scopes.set(acme.tenantId, { ...acme, tenant: { ...acme.tenant, slug: "acme-2" } });
    await world.use(acme, 5);
    for (let round = 0; round < 5; round++) await first.tick();
    await world.use(acme, 1);
    await first.tick();
    expect(stripe.total()).toBe(CALL_MICROS);
    expect(await world.exports.cursors.get("", acme.tenantId)).toMatchObject({ cursorSeq: 1 });
    expect(world.lines.filter(({ msg }) => msg.includes("has no customer"))).toHaveLength(1);
    // The operator names it by id and starts anew.
    await world.exporter(world.stripe(address, { [acme.tenantId]: "cus_1" })).tick();
    expect(stripe.total()).toBe(7 * CALL_MICROS);
  });

  it("may be mended as long as nothing can have arrived", async () => {
    const acme = world.tenant("acme");
    stripe.trouble = { status: 400, message: "No such customer: 'cus_wrong'" };
    await world.use(acme, 1);
    await world.exporter(world.stripe(address, { acme: "cus_wrong" })).tick();
    stripe.trouble = undefined;
    world.nowMs += HOUR;
    await world.exporter(world.stripe(address, { acme: "cus_1" })).tick();
    expect(stripe.counted).toMatchObject([{ customer: "cus_1", micros: CALL_MICROS }]);
  });

  it("that is null says that the tenant is not billed, from then on and not before", async () => {
    const acme = world.tenant("acme");
    const none = world.exporter(world.stripe(address, { acme: null }));
    await world.use(acme, 3);
    await none.tick();
    await none.tick();
    expect(await world.exports.cursors.get("", acme.tenantId)).toMatchObject({ cursorSeq: 3, nextAtMs: 0 });
    expect(world.lines).toEqual([]);
    const later = world.exporter(world.stripe(address, { acme: "cus_1" }));
    await later.tick();
    await world.use(acme, 1);
    await later.tick();
    expect(stripe.total()).toBe(CALL_MICROS);
  });
});

describe("a tenant's file that comes from a backup", () => {
  it("goes on exactly where it and what was billed part", async () => {
    const acme = world.tenant("acme");
    const exporter = world.exporter(world.stripe(address, { acme: "cus_1" }));
    await world.use(acme, 130);
    await exporter.tick();
    const restore = await world.backUp(acme);
    await world.use(acme, 20);
    await exporter.tick();
    expect(stripe.total()).toBe(150 * CALL_MICROS);
    await restore();
    // Fewer, then more events than were lost.
    await world.use(acme, 4);
    await exporter.tick();
    expect(stripe.total()).toBe(154 * CALL_MICROS);
    await world.use(acme, 40);
    await exporter.tick();
    expect(stripe.total()).toBe(194 * CALL_MICROS);
    expect(world.lines.filter(({ msg }) => msg.includes("from a backup"))).toHaveLength(1);
  });

  it("goes on too when more happened since than was lost, and when it was an empty one", async () => {
    const [acme, globex] = [world.tenant("acme"), world.tenant("globex")];
    const exporter = world.exporter(world.stripe(address, { acme: "cus_1", globex: "cus_2" }));
    await world.use(acme, 5);
    await exporter.tick();
    const restore = await world.backUp(acme);
    await world.use(acme, 2);
    await exporter.tick();
    await restore();
    await world.use(acme, 9);
    await exporter.tick();
    expect(stripe.total("cus_1")).toBe(16 * CALL_MICROS);
    await globex.db.find("SELECT 1");
    const empty = await world.backUp(globex);
    await world.use(globex, 2);
    await exporter.tick();
    await empty();
    await world.use(globex, 2);
    await exporter.tick();
    expect(stripe.total("cus_2")).toBe(4 * CALL_MICROS);
  });

  it("stands still and says so where nobody can tell what was billed, until an operator does", async () => {
    const acme = world.tenant("acme");
    const platform = world.stripe(address, { acme: "cus_1" });
    const exporter = world.exporter(platform);
    await world.use(acme, 2);
    const restore = await world.backUp(acme);
    await world.use(acme, 3);
    await exporter.tick();
    await world.usage.control.write({ statements: [{ sql: "DELETE FROM usage_export_sent" }] });
    await restore();
    await world.use(acme, 4);
    await pass(exporter, 2 * HOUR);
    expect(stripe.total()).toBe(5 * CALL_MICROS);
    const { put, get } = operator(platform);
    expect((await get({ trouble: "1" })).tenants).toMatchObject([
      { cursor: 5, lastError: expect.stringContaining("backup") },
    ]);
    const back = { tenantId: acme.tenantId, cursor: 2 };
    await expect(put(back)).rejects.toMatchObject({ code: "invalid_request" });
    expect((await put({ ...back, again: true })).tenant).toMatchObject({
      cursor: 2,
      failures: 0,
      lastError: null,
    });
    await exporter.tick();
    expect(stripe.total()).toBe(9 * CALL_MICROS);
    const records = await world.usage.control.list<{ record: string }>("SELECT record FROM audit_outbox");
    expect(records.map(({ record }) => JSON.parse(record))).toMatchObject([
      {
        action: "usage_export.moved",
        actor: { id: "operator-1" },
        details: { from: 5, cursor: 2, again: true },
      },
    ]);
  });
});
