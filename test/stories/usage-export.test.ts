/**
 * Usage sent out: every event arrives, signed, in order and under one id however often it is sent; an address that is
 * down loses nothing and holds nobody else up; tenants without an export are not touched.
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { UsageExporter } from "#src/billing/export/exporter.ts";
import { UsageExports } from "#src/billing/export/usage-exports.ts";
import type { UsageCloudEvent } from "#src/billing/export/usage-message.ts";
import type { UsageSink } from "#src/billing/export/usage-sink.ts";
import { newWebhookSecret, WebhookSink } from "#src/billing/export/usage-sink.webhook.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { Egress } from "#src/kernel/egress.ts";
import type { TenantId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { Vault } from "#src/tenancy/vault.ts";
import { openUsageWorld, type UsageWorld } from "../support/usage-world.ts";

interface Seen {
  id: string;
  headers: Record<string, string>;
  path: string;
  body: string;
}

/** Somebody's server that keeps what it is sent and answers as it is told. */
class Receiver {
  readonly seen: Seen[] = [];
  status = 200;
  /** Drop the connection after the request came in whole. */
  isLosingAnswers = false;
  private server: Server | undefined;

  async listen(): Promise<string> {
    this.server = createServer(
      (req, res) =>
        void this.take(req).then(() => {
          if (this.isLosingAnswers) return res.destroy();
          return res.writeHead(this.status, { "content-type": "application/json" }).end("{}");
        }),
    );
    const { server } = this;
    await new Promise<void>((done) => server?.listen(0, "127.0.0.1", done));
    const address = server?.address() as AddressInfo;
    return `http://127.0.0.1:${address.port}`;
  }

  private async take(req: IncomingMessage): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const headers = Object.fromEntries(
      Object.entries(req.headers).map(([name, value]) => [name, String(value)]),
    );
    const id = headers["webhook-id"] ?? "";
    this.seen.push({ id, headers, path: req.url ?? "", body: Buffer.concat(chunks).toString() });
  }

  events(): UsageCloudEvent[] {
    return this.seen.flatMap((one) => JSON.parse(one.body) as UsageCloudEvent[]);
  }

  close(): void {
    this.server?.closeAllConnections();
    this.server?.close();
  }
}

const START = Date.UTC(2026, 10, 22, 12);
let nowMs = START;
const clock: Clock = { ...systemClock, nowMs: () => nowMs };
const log = makeLog({ level: "silent" });
const COST = { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 };

let world: UsageWorld;
let receiver: Receiver;
let address: string;
let egress: Egress;
let exports: UsageExports;
let opened: TenantId[];
const scopes = new Map<TenantId, TenantScope>();

function makeExporter(sink: UsageSink | null): UsageExporter {
  const platform = sink === null ? null : { kind: "messages" as const, sink };
  const send = egress.fetchFor({ allowPrivate: true, redirects: 0, totalMs: 5_000 });
  return new UsageExporter({
    ...{ control: world.control, exports, clock, log, platform },
    sinkOf: (target) => new WebhookSink(target, send, clock),
    scopeOf: async (tenantId) => {
      opened.push(tenantId);
      return scopes.get(tenantId);
    },
    currencyOf: async () => "USD",
  });
}

function tenant(slug: string): TenantScope {
  const scope = world.newTenant(slug);
  scopes.set(scope.tenantId, scope);
  return scope;
}

async function use(scope: TenantScope, count: number, input: object = {}): Promise<void> {
  for (let at = 0; at < count; at++) await world.model(scope, { atMs: nowMs, cost: COST, ...input });
  await world.rollup.pushDirty(scope);
}

beforeAll(() => {
  egress = new Egress({ allowPrivate: ["127.0.0.1"], log });
});

beforeEach(async () => {
  nowMs = START;
  world = await openUsageWorld();
  receiver = new Receiver();
  address = await receiver.listen();
  opened = [];
  scopes.clear();
  const vault = new Vault(Buffer.alloc(32, 7));
  exports = new UsageExports({ control: world.control, vault, clock, checkUrl: () => undefined });
});

afterEach(async () => {
  receiver.close();
  await world.close();
});

afterAll(() => egress.close());

describe("a tenant's webhook", () => {
  it("gets every event once, signed, as CloudEvents; others are left alone", async () => {
    const [acme, globex] = [tenant("acme"), tenant("globex")];
    await use(globex, 3);
    const secret = await exports.change(acme, { url: `${address}/usage` }, "owner-1");
    await use(acme, 230, { keyOwner: "platform" });
    const exporter = makeExporter(null);
    await exporter.tick();
    expect(receiver.seen).toHaveLength(3);
    const events = receiver.events();
    expect(events.map((event) => event.data["seq"])).toEqual(Array.from({ length: 230 }, (_, n) => n + 1));
    expect(new Set(events.map((event) => event.id)).size).toBe(230);
    expect(events[0]).toMatchObject({
      ...{ specversion: "1.0", type: "creel.usage.model.v1", source: `urn:creel:tenant:${acme.tenantId}` },
      data: { costMicros: 160, chargedMicros: 160, currency: "USD", priceVersion: "config" },
    });
    for (const { body, headers } of receiver.seen) {
      expect(headers["content-type"]).toContain("application/cloudevents-batch+json");
      const timestamp = { "webhook-timestamp": String(Math.floor(Date.now() / 1_000)) };
      // Signed with the world's time; checked as the receiver would at that time.
      const own = new Webhook(secret ?? "").sign(headers["webhook-id"] ?? "", new Date(nowMs), body);
      expect(headers["webhook-signature"]).toBe(own);
      expect(() => new Webhook(newWebhookSecret()).verify(body, { ...headers, ...timestamp })).toThrow();
    }
    expect(JSON.stringify(receiver.seen)).not.toContain(globex.tenantId);
    expect(opened).toEqual([acme.tenantId]);
    opened = [];
    await exporter.tick();
    expect(receiver.seen).toHaveLength(3);
    expect(await exports.describe(acme)).toMatchObject({
      cursor: 230,
      newest: 230,
      failures: 0,
      lastError: null,
    });
    expect(JSON.stringify(await world.control.list("SELECT * FROM usage_exports"))).not.toContain(
      secret ?? "whsec_",
    );
  });

  it("is tried again later and later while it is down, with the same message, and misses nothing", async () => {
    const acme = tenant("acme");
    await exports.change(acme, { url: address }, "owner-1");
    await use(acme, 2);
    const exporter = makeExporter(null);
    receiver.isLosingAnswers = true;
    await exporter.tick();
    receiver.isLosingAnswers = false;
    receiver.status = 503;
    await use(acme, 3);
    const waits: number[] = [];
    for (let round = 0; round < 5; round++) {
      const { nextAtMs, lastError } = await exports.describe(acme);
      waits.push((nextAtMs ?? 0) - nowMs);
      expect(lastError).not.toBeNull();
      const before = receiver.seen.length;
      await exporter.tick();
      expect(receiver.seen).toHaveLength(before);
      nowMs = nextAtMs ?? 0;
      await exporter.tick();
      expect(receiver.seen).toHaveLength(before + 1);
    }
    for (let at = 1; at < waits.length; at++) expect(waits[at]).toBeGreaterThan((waits[at - 1] ?? 0) * 1.5);
    expect(new Set(receiver.seen.map((one) => one.id)).size).toBe(1);
    expect(new Set(receiver.seen.map((one) => one.body)).size).toBe(1);
    receiver.status = 200;
    nowMs = (await exports.describe(acme)).nextAtMs ?? 0;
    await exporter.tick();
    const distinct = new Map(receiver.events().map((event) => [event.id, event]));
    expect([...distinct.values()].map((event) => event.data["seq"])).toEqual([1, 2, 3, 4, 5]);
    expect((await exports.describe(acme)).cursor).toBe(5);
  });

  it("sends again from a cursor, begins with what comes next, and stops when it is told 410", async () => {
    const acme = tenant("acme");
    await use(acme, 4);
    await exports.change(acme, { url: address }, "owner-1");
    const exporter = makeExporter(null);
    await exporter.tick();
    expect(receiver.seen).toHaveLength(0);
    expect(await exports.change(acme, { cursor: 1 }, "owner-1")).toBeNull();
    await exporter.tick();
    expect(receiver.events().map((event) => event.data["seq"])).toEqual([2, 3, 4]);
    await expect(exports.change(acme, { cursor: 99 }, "owner-1")).rejects.toMatchObject({
      code: "invalid_request",
    });
    receiver.status = 410;
    await use(acme, 1);
    await exporter.tick();
    expect(await exports.describe(acme)).toMatchObject({ url: null, lastError: "HTTP 410" });
    nowMs += 86_400_000;
    const before = receiver.seen.length;
    await use(acme, 1);
    await exporter.tick();
    expect(receiver.seen).toHaveLength(before);
  });

  it("gets a new secret when it moves to another host, and only then unless asked", async () => {
    const acme = tenant("acme");
    const first = await exports.change(acme, { url: "https://a.example/x" }, "owner-1");
    expect(first).toMatch(/^whsec_/);
    expect(await exports.change(acme, { url: "https://a.example/y" }, "owner-1")).toBeNull();
    const moved = await exports.change(acme, { url: "https://b.example/y" }, "owner-1");
    expect(moved).toMatch(/^whsec_/);
    const renewed = await exports.change(acme, { renewSecret: true }, "owner-1");
    expect(new Set([first, moved, renewed]).size).toBe(3);
    expect((await exports.findTarget(acme))?.secret).toBe(renewed);
  });

  it("cannot lead inside: an address that the operator did not list is refused by the guard", async () => {
    const acme = tenant("acme");
    egress = new Egress({ allowPrivate: [], log });
    await exports.change(acme, { url: address }, "owner-1");
    await use(acme, 1);
    await makeExporter(null).tick();
    expect(receiver.seen).toHaveLength(0);
    expect((await exports.describe(acme)).failures).toBe(1);
    egress = new Egress({ allowPrivate: ["127.0.0.1"], log });
  });
});

describe("the operator's export", () => {
  it("sends every tenant's usage, each in its own order, beside a tenant's own", async () => {
    const [acme, globex] = [tenant("acme"), tenant("globex")];
    await exports.change(acme, { url: `${address}/own` }, "owner-1");
    await use(acme, 2);
    await use(globex, 3);
    const send = egress.fetchFor({ allowPrivate: true, redirects: 0 });
    const exporter = makeExporter(
      new WebhookSink({ url: `${address}/platform`, secret: newWebhookSecret() }, send, clock),
    );
    await exporter.tick();
    const at = (path: string) =>
      receiver.seen
        .filter((one) => one.path === path)
        .map((one) => JSON.parse(one.body) as UsageCloudEvent[]);
    expect(at("/own").flat()).toHaveLength(2);
    expect(
      at("/platform")
        .flat()
        .map((event) => event.data["tenantId"])
        .sort(),
    ).toEqual([acme.tenantId, acme.tenantId, globex.tenantId, globex.tenantId, globex.tenantId].sort());
    await use(globex, 1);
    nowMs += 1;
    await exporter.tick();
    expect(at("/platform").flat()).toHaveLength(6);
  });
});
