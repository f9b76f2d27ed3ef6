/**
 * Exports of many tenants: everybody's news leave, whatever the clock says and wherever a file comes from; nobody waits for
 * somebody else's address; an answer to what was sent before a change changes nothing.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { UsageSink } from "#src/billing/export/usage-sink.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { ExportWorld, KeepingSink } from "../support/export-world.ts";

const HOUR = 3_600_000;
let world: ExportWorld;
let sink: KeepingSink;

beforeEach(async () => {
  world = await ExportWorld.open();
  sink = new KeepingSink();
});

afterEach(() => world.close());

const messages = (of: UsageSink) => ({ kind: "messages" as const, sink: of });
const seqs = (of: KeepingSink) => of.events().map((event) => event.data["seq"]);

/** A sink that answers when it is told to. */
function tarpit() {
  const opened = Promise.withResolvers<void>();
  const pit = new KeepingSink();
  const arrived = Promise.withResolvers<void>();
  pit.answer = async () => {
    arrived.resolve();
    await opened.promise;
    return { ok: true };
  };
  return { pit, arrived: arrived.promise, open: () => opened.resolve() };
}

describe("news", () => {
  it("of more tenants than are looked at in one go all leave, again and again", async () => {
    const tenants: TenantScope[] = [];
    for (let at = 0; at < 520; at++) tenants.push(world.tenant(`t${at}`));
    // As the copies say it; files of their own would only take time.
    const mark =
      "INSERT INTO usage_daily_marks VALUES (?, '2026-11-22', 1, 0) ON CONFLICT DO UPDATE SET as_of_seq = as_of_seq + 1";
    const markAll = () =>
      world.usage.control.write({
        statements: tenants.map(({ tenantId }) => ({ sql: mark, params: [tenantId] })),
      });
    await markAll();
    const seen = async () =>
      (await world.usage.control.list("SELECT 1 FROM usage_export_cursors WHERE seen_number > 0")).length;
    for (const scope of tenants)
      world.scopes.set(scope.tenantId, {
        ...scope,
        db: { ...scope.db, list: async () => [], find: async () => undefined } as never,
      });
    const exporter = world.exporter(messages(sink));
    await exporter.tick();
    expect(await seen()).toBe(520);
    world.opened = [];
    await exporter.tick();
    expect(world.opened).toEqual([]);
    await markAll();
    await exporter.tick();
    expect(new Set(world.opened).size).toBe(520);
  });

  it("leave although the clock went back, and although a wrong clock put the next try off for years", async () => {
    const acme = world.tenant("acme");
    const exporter = world.exporter(messages(sink));
    await world.use(acme, 1);
    await exporter.tick();
    world.nowMs -= HOUR;
    await world.use(acme, 1);
    await exporter.tick();
    expect(seqs(sink)).toEqual([1, 2]);
    world.nowMs += 10_000 * HOUR;
    sink.answer = async () => ({ ok: false, reason: "HTTP 503", isGone: false });
    await world.use(acme, 1, { atMs: world.nowMs });
    await exporter.tick();
    sink.answer = async () => ({ ok: true });
    world.nowMs -= 10_000 * HOUR;
    await exporter.tick();
    expect((await world.exports.cursors.get("", acme.tenantId)).cursorSeq).toBe(3);
  });

  it("of a file that comes from a backup leave under ids of their own, to the operator and to the tenant", async () => {
    const acme = world.tenant("acme");
    const own = new KeepingSink();
    const exporter = world.exporter(messages(sink), () => own);
    await world.exports.change(acme, { url: "https://own.example/" }, "owner-1");
    await world.use(acme, 3);
    const restore = await world.backUp(acme);
    await world.use(acme, 2);
    await exporter.tick();
    await restore();
    await world.use(acme, 4);
    await exporter.tick();
    for (const one of [sink, own]) {
      // 4 and 5 are other events now.
      const ids = new Set(one.events().map((event) => event.id));
      expect(ids.size).toBe(9);
      expect([...new Set(seqs(one))]).toEqual([1, 2, 3, 4, 5, 6, 7]);
      expect(new Set(one.messages.map(({ id }) => id)).size).toBe(one.messages.length);
    }
  });

  it("leave from the beginning after a backup that is older than what is remembered: ids are the same as ever", async () => {
    const acme = world.tenant("acme");
    const exporter = world.exporter(messages(sink));
    await world.use(acme, 2);
    const restore = await world.backUp(acme);
    await world.use(acme, 2);
    await exporter.tick();
    await world.usage.control.write({ statements: [{ sql: "DELETE FROM usage_export_sent" }] });
    await restore();
    await world.use(acme, 1);
    await exporter.tick();
    expect(seqs(sink)).toEqual([1, 2, 3, 4, 1, 2, 3]);
    expect(new Set(sink.events().map((event) => event.id)).size).toBe(5);
  });

  it("that come while a message is under way are not forgotten", async () => {
    const acme = world.tenant("acme");
    const { pit, arrived, open } = tarpit();
    const exporter = world.exporter(messages(pit));
    await world.use(acme, 1);
    const first = exporter.tick();
    await arrived;
    await world.use(acme, 1);
    const second = exporter.tick();
    open();
    await Promise.all([first, second]);
    await exporter.tick();
    expect(seqs(pit)).toEqual([1, 2]);
  });
});

describe("a slow address", () => {
  it("holds up neither other tenants nor the operator", async () => {
    const [slow, fast] = [world.tenant("slow"), world.tenant("fast")];
    const { pit, arrived, open } = tarpit();
    const quick = new KeepingSink();
    const exporter = world.exporter(messages(sink), ({ url }) => (url.includes("slow") ? pit : quick));
    await world.exports.change(slow, { url: "https://slow.example/" }, "owner-1");
    await world.exports.change(fast, { url: "https://fast.example/" }, "owner-1");
    await world.use(slow, 250);
    await world.use(fast, 1);
    const round = exporter.tick();
    await arrived;
    await expect.poll(() => seqs(quick)).toEqual([1]);
    await expect.poll(() => sink.events().length).toBe(251);
    expect(pit.messages).toHaveLength(1);
    // Further news of others leave in further looks, while the slow one is still under way.
    await world.use(fast, 1);
    const next = exporter.tick();
    await expect.poll(() => seqs(quick)).toEqual([1, 2]);
    expect(pit.messages).toHaveLength(1);
    open();
    await Promise.all([round, next]);
    await exporter.tick();
    expect(pit.events()).toHaveLength(250);
  });

  it("is one of few that get a place at once, when it failed before", async () => {
    const { pit, open } = tarpit();
    const others = new KeepingSink();
    const exporter = world.exporter(null, ({ url }) => (url.includes("bad") ? pit : others));
    const slowAnswer = pit.answer;
    pit.answer = async () => ({ ok: false, reason: "HTTP 500", isGone: false });
    for (let at = 0; at < 12; at++) {
      const bad = world.tenant(`bad-${at}`);
      await world.exports.change(bad, { url: `https://bad${at}.example/` }, "owner-1");
      await world.use(bad, 1);
    }
    await exporter.tick();
    expect(pit.messages).toHaveLength(12);
    pit.answer = slowAnswer;
    world.nowMs += HOUR;
    const round = exporter.tick();
    await expect.poll(() => pit.messages.length).toBe(15);
    const good = world.tenant("good");
    await world.exports.change(good, { url: "https://good.example/" }, "owner-1");
    await world.use(good, 1);
    const next = exporter.tick();
    await expect.poll(() => others.messages.length).toBe(1);
    expect(pit.messages).toHaveLength(15);
    open();
    await Promise.all([round, next]);
    expect(pit.messages).toHaveLength(24);
  });
});

describe("an answer from where usage went before", () => {
  it("does not end the address that is set now", async () => {
    const acme = world.tenant("acme");
    const next = new KeepingSink();
    const old = new KeepingSink();
    old.answer = async () => {
      await world.exports.change(acme, { url: "https://new.example/" }, "owner-1");
      return { ok: false, reason: "HTTP 410", isGone: true };
    };
    const exporter = world.exporter(null, ({ url }) => (url.includes("old") ? old : next));
    await world.exports.change(acme, { url: "https://old.example/" }, "owner-1");
    await world.use(acme, 1);
    await exporter.tick();
    expect(await world.exports.describe(acme)).toMatchObject({
      url: "https://new.example/",
      failures: 0,
      lastError: null,
    });
    await exporter.tick();
    expect(seqs(next)).toEqual([1]);
  });

  it("does not move a cursor that an admin moved meanwhile", async () => {
    const acme = world.tenant("acme");
    const own = new KeepingSink();
    const exporter = world.exporter(null, () => own);
    await world.exports.change(acme, { url: "https://own.example/" }, "owner-1");
    await world.use(acme, 3);
    own.answer = async () => {
      own.answer = async () => ({ ok: true });
      await world.exports.change(acme, { cursor: 0 }, "owner-1");
      return { ok: true };
    };
    await exporter.tick();
    expect((await world.exports.describe(acme)).cursor).toBe(0);
    await exporter.tick();
    expect(seqs(own)).toEqual([1, 2, 3, 1, 2, 3]);
  });
});

it("tells the operator of failures of its own export, and does not flood the log", async () => {
  sink.answer = async () => ({ ok: false, reason: "HTTP 503", isGone: false });
  const exporter = world.exporter(messages(sink));
  for (let at = 0; at < 40; at++) await world.use(world.tenant(`t${at}`), 1);
  await exporter.tick();
  world.nowMs += HOUR;
  await exporter.tick();
  expect(sink.messages).toHaveLength(80);
  expect(world.lines.length).toBeGreaterThan(0);
  expect(world.lines.length).toBeLessThanOrEqual(30);
  expect(world.lines[0]).toMatchObject({ reason: "HTTP 503", tenantId: expect.any(String) });
}, 30_000);
