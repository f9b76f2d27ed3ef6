/**
 * Warnings leave the house: signed, under one id however often they are sent, to the operator with the addresses of who
 * should know, to the tenant's own address without; an address that is down loses nothing and holds nobody up.
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, it } from "vitest";
import { newWebhookSecret } from "#src/billing/export/usage-sink.webhook.ts";
import { planSchema } from "#src/config/plan-schema.ts";
import { runInContext } from "#src/tenancy/context.ts";
import { callApi } from "../support/api-call.ts";
import { makePerson } from "../support/person.ts";
import { chat, ProviderWorld } from "../support/provider-world.ts";

interface Event {
  id: string;
  type: string;
  source: string;
  data: Record<string, unknown>;
}

interface Seen {
  id: string;
  event: Event;
  headers: Record<string, string>;
  body: string;
}

/** Somebody's server that keeps what it is sent and answers as it is told. */
class Receiver {
  readonly seen: Seen[] = [];
  status = 200;
  /** Take requests and say nothing. */
  isSilent = false;
  url = "";
  private readonly waiters = new Set<() => void>();
  private server: Server | undefined;

  async listen(): Promise<this> {
    this.server = createServer((req, res) => {
      void this.take(req).then(() => {
        if (!this.isSilent) res.writeHead(this.status).end();
      });
    });
    const { server } = this;
    await new Promise<void>((done) => server?.listen(0, "127.0.0.1", done));
    const address = server?.address() as AddressInfo;
    this.url = `http://127.0.0.1:${address.port}/hook`;
    return this;
  }

  /** The first message that fits, also one that came before. */
  async until(fits: (seen: Seen) => boolean): Promise<Seen> {
    const deadline = Date.now() + 25_000;
    for (;;) {
      const found = this.seen.find(fits);
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`never came; there is ${JSON.stringify(this.seen)}`);
      await new Promise<void>((done) => {
        const timer = setTimeout(done, 500);
        this.waiters.add(() => {
          clearTimeout(timer);
          done();
        });
      });
    }
  }

  close(): void {
    this.server?.closeAllConnections();
    this.server?.close();
  }

  private async take(req: IncomingMessage): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const headers = Object.fromEntries(
      Object.entries(req.headers).map(([name, value]) => [name, String(value)]),
    );
    const [event] = JSON.parse(body) as [Event];
    this.seen.push({ id: headers["webhook-id"] ?? "", event, headers, body });
    for (const wake of this.waiters) wake();
    this.waiters.clear();
  }
}

const SECRET = newWebhookSecret();
let world: ProviderWorld;
let operator: Receiver;
let own: Receiver;

beforeAll(async () => {
  operator = await new Receiver().listen();
  own = await new Receiver().listen();
  const dollar = planSchema.parse({ name: "Dollar", monthlyBudgetMicros: 1_000_000 });
  const box = planSchema.parse({ name: "Box", storageBytes: 1_000_000 });
  world = await ProviderWorld.start({
    config: {
      ...{ plans: { dollar, box }, turnsPerSession: 5 },
      alertHook: { url: operator.url, secret: SECRET },
    },
  });
});

afterAll(async () => {
  await world.close();
  operator.close();
  own.close();
});

async function tenantOn(slug: string, plan: string) {
  const tenant = await world.creel.tenant(slug);
  await world.creel.app.plans.pin(tenant.id, { plan, fromMs: 0 }, "test");
  return tenant;
}

/** Have a cost in the month's books, and a turn after which budgets are looked at. */
async function spend(slug: string, amountMicros: number): Promise<void> {
  const scope = world.creel.app.door.scope(await world.creel.tenant(slug));
  const client = await world.client(slug);
  await client.call("agents.list", {});
  await runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, () =>
    scope.db.write({
      statements: [
        {
          sql: `INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms, period)
            VALUES ('test', ?, 0, 'charge', 'budget', 'spent', ?, ?, ?)`,
          params: [randomUUID(), amountMicros, Date.now(), new Date().toISOString().slice(0, 7)],
        },
      ],
    }),
  );
  await chat(client, "SAY:x");
}

/** Give somebody an address, as a provider would have told it. */
function giveAddress(userId: string, email: string, isVerified: boolean): void {
  const db = new SqliteDatabase(join(world.creel.stateDir, "control.db"));
  db.prepare(
    `INSERT INTO identities (id, user_id, realm, issuer, subject, provider, email, email_key, email_verified, linked_at_ms)
      VALUES (?, ?, '', 'https://id.example', ?, 'example', ?, ?, ?, 1)`,
  ).run(randomUUID(), userId, userId, email, email, isVerified ? 1 : 0);
  db.prepare("UPDATE users SET language = 'zh-CN' WHERE id = ?").run(userId);
  db.close();
}

function rows(): { id: string; destination: string; ended: number; failures: number }[] {
  const db = new SqliteDatabase(join(world.creel.stateDir, "control.db"), { readonly: true });
  const found = db
    .prepare("SELECT id, destination, ended_at_ms IS NOT NULL AS ended, failures FROM alert_deliveries")
    .all() as ReturnType<typeof rows>;
  db.close();
  return found;
}

const of = (slug: string, type: string, level?: number) => (seen: Seen) =>
  seen.event.type === type &&
  (level === undefined || seen.event.data["level"] === level) &&
  (slug === "" || (seen.event.data["tenant"] as { slug?: string } | undefined)?.slug === slug);

it("tells the operator each level once, signed, with whom to write to and in which language", async () => {
  const tenant = await tenantOn("acme", "dollar");
  const owner = await makePerson(world.creel, "Olga Owner", "acme", "owner");
  const member = await makePerson(world.creel, "Max Member", "acme", "member");
  giveAddress(owner.userId, "olga@acme.example", true);
  giveAddress(member.userId, "max@acme.example", true);
  await spend("acme", 820_000);
  const seen = await operator.until(of("acme", "creel.budget.alert.v1", 80));
  new Webhook(SECRET).verify(seen.body, seen.headers);
  expect(seen.event).toMatchObject({ source: `urn:creel:tenant:${tenant.id}`, id: expect.any(String) });
  expect(seen.event.data).toMatchObject({
    ...{ tenantId: tenant.id, scope: "tenant", scopeId: "plan", level: 80, limitMicros: 1_000_000 },
    ...{ currency: "USD", resetAt: expect.stringMatching(/^\d{4}-\d{2}-01T00:00:00/) },
    tenant: { slug: "acme" },
    plan: { id: "dollar", name: "Dollar" },
    recipients: [
      {
        name: "Olga Owner",
        role: "owner",
        language: "zh-CN",
        email: "olga@acme.example",
        emailVerified: true,
      },
    ],
  });
  expect(Number(seen.event.data["spentMicros"])).toBeGreaterThanOrEqual(820_000);
  expect(seen.body).not.toContain("max@acme.example");
  await operator.until(of("acme", "creel.budget.alert.v1", 50));
  await spend("acme", 1);
  const levels = operator.seen
    .filter(of("acme", "creel.budget.alert.v1"))
    .map(({ event }) => event.data["level"]);
  expect(levels.toSorted()).toEqual([50, 80]);
});

it("tells a tenant at its own address, about itself alone and nothing of its people", async () => {
  await tenantOn("globex", "dollar");
  const bearer = await world.creel.token("globex", "owner", "export");
  const set = await callApi(
    ...([world.creel.url, "PUT", "/t/globex/api/usage-export", { bearer }, { url: own.url }] as const),
  );
  const secret = String(set.json["secret"]);
  const other = await makePerson(world.creel, "Gloria", "globex", "owner");
  giveAddress(other.userId, "gloria@globex.example", true);
  await spend("globex", 960_000);
  const seen = await own.until(
    ({ event }) => event.type === "creel.budget.alert.v1" && event.data["level"] === 95,
  );
  new Webhook(secret).verify(seen.body, seen.headers);
  expect(seen.event.data).toMatchObject({ scope: "tenant", level: 95, limitMicros: 1_000_000 });
  expect(seen.event.data).not.toHaveProperty("recipients");
  expect(own.seen.map(({ body }) => body).join()).not.toMatch(/acme|example/);
  // The operator hears of the same warning under the same id of its event.
  const same = await operator.until(of("globex", "creel.budget.alert.v1", 95));
  expect(same.event.id).toBe(seen.event.id);
});

it("tells that turns were stopped, and that storage ends", async () => {
  const client = await world.client("loop");
  const sent = Array.from({ length: 6 }, () =>
    client.call("chat.send", { sessionKey: "main", message: "SAY:again", idempotencyKey: randomUUID() }),
  );
  expect((await Promise.allSettled(sent)).some(({ status }) => status === "rejected")).toBe(true);
  const stopped = await operator.until(of("loop", "creel.turns.stopped.v1"));
  expect(stopped.event.data).toMatchObject({ reason: expect.stringContaining("agent:main:main") });
  await tenantOn("boxed", "box");
  const boxed = await world.client("boxed");
  await boxed.call("agents.list", {});
  const content = "x".repeat(850_000);
  await boxed.call("agents.files.set", { agentId: "main", name: "AGENTS.md", content });
  const full = await operator.until(of("boxed", "creel.storage.alert.v1"));
  expect(full.event.data).toMatchObject({ level: 80, limitBytes: 1_000_000, tenant: { slug: "boxed" } });
});

it("keeps for an address that is down, also over a restart, while others are told; then sends it under its id", async () => {
  operator.status = 503;
  await tenantOn("late", "dollar");
  const bearer = await world.creel.token("late", "owner", "export");
  await callApi(world.creel.url, "PUT", "/t/late/api/usage-export", { bearer }, { url: own.url });
  await spend("late", 510_000);
  const failed = await operator.until(of("late", "creel.budget.alert.v1", 50));
  await own.until(({ event }) => event.id === failed.event.id);
  expect(
    rows().find(({ id, destination }) => id === failed.event.id && destination === "operator")?.ended,
  ).toBe(0);
  await world.restart();
  operator.status = 200;
  const before = operator.seen.length;
  await operator.until((seen) => operator.seen.indexOf(seen) >= before && seen.id === failed.id);
  await expect
    .poll(
      () => rows().find(({ id, destination }) => id === failed.event.id && destination === "operator")?.ended,
      {
        timeout: 10_000,
      },
    )
    .toBe(1);
  expect(own.seen.filter(({ event }) => event.id === failed.event.id)).toHaveLength(1);
});

it("does not wait for an address that never answers", async () => {
  const tarpit = await new Receiver().listen();
  tarpit.isSilent = true;
  await tenantOn("mute", "dollar");
  const bearer = await world.creel.token("mute", "owner", "export");
  await callApi(world.creel.url, "PUT", "/t/mute/api/usage-export", { bearer }, { url: tarpit.url });
  await spend("mute", 510_000);
  await tarpit.until(({ event }) => event.type === "creel.budget.alert.v1");
  await operator.until(of("mute", "creel.budget.alert.v1", 50));
  await tenantOn("swift", "dollar");
  await spend("swift", 510_000);
  await operator.until(of("swift", "creel.budget.alert.v1", 50));
  tarpit.close();
});

it("loses no warning to a crash between putting it on its way and noting that it was told", async () => {
  const tenant = await tenantOn("crashy", "dollar");
  await spend("crashy", 510_000);
  const seen = await operator.until(of("crashy", "creel.budget.alert.v1", 50));
  await expect.poll(() => rows().find(({ id }) => id === seen.event.id)?.ended, { timeout: 10_000 }).toBe(1);
  // As after a crash before the tenant's own row was stored: noticed again, and the same warning as before.
  const scope = world.creel.app.door.scope(tenant);
  await runInContext({ tenantId: tenant.id, principal: null, requestId: "test" }, () =>
    scope.db.write({ statements: [{ sql: "DELETE FROM billing_alerts", expect: 1 }] }),
  );
  await spend("crashy", 1);
  await expect
    .poll(() => scope.db.list("SELECT 1 FROM billing_alerts").then((found) => found.length), {
      timeout: 10_000,
    })
    .toBe(1);
  await spend("crashy", 300_000);
  await operator.until(of("crashy", "creel.budget.alert.v1", 80));
  expect(operator.seen.filter(of("crashy", "creel.budget.alert.v1", 50))).toHaveLength(1);
});
