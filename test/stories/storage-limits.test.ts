/**
 * What a tenant may keep: files stop at the plan's limit, words a little later, removing never; the count is right after
 * a crash without looking at idle tenants; a price of storage is charged once for each day.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Calendars } from "#src/billing/calendar.ts";
import { readDrill } from "#src/billing/drill/usage-drill.ts";
import { Ledger } from "#src/billing/ledger/ledger.ts";
import { PriceBook } from "#src/billing/prices.ts";
import { PriceRows } from "#src/billing/pricing/price-rows.ts";
import { Statements } from "#src/billing/statements/statements.ts";
import { StorageCharges } from "#src/billing/storage/storage-charges.ts";
import { StorageCounts } from "#src/billing/storage/storage-counts.ts";
import { readWindow } from "#src/billing/usage-window.ts";
import { planSchema } from "#src/config/plan-schema.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import type { TenantId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database } from "#src/storage/database.ts";
import { TenantDoor } from "#src/tenancy/scoped.ts";
import { Tenants } from "#src/tenancy/tenants.ts";
import { callApi } from "../support/api-call.ts";
import { agentOf, chat, ProviderWorld } from "../support/provider-world.ts";
import { RpcError, type SocketClient } from "../support/socket-client.ts";

const MIGRATIONS = resolve(import.meta.dirname, "../../migrations");
const MIB = 1024 * 1024;
const LIMIT = 8 * MIB;

async function refusal(work: Promise<unknown>): Promise<RpcError["error"]> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(RpcError);
  return (thrown as RpcError).error;
}

describe("a plan's storage", () => {
  let world: ProviderWorld;

  beforeAll(async () => {
    const box = planSchema.parse({ name: "Box", storageBytes: LIMIT });
    world = await ProviderWorld.start({ config: { plans: { box } } });
  });

  afterAll(() => world.close());

  async function storage(
    slug: string,
  ): Promise<{ used: number; limit: number | null; level: number | null }> {
    const bearer = await world.creel.token(slug, "owner", randomUUID());
    const { json } = await callApi(world.creel.url, "GET", `/t/${slug}/api/billing`, { bearer }, undefined);
    expect(json["limits"]).toMatchObject({ channels: { limit: null } });
    return (json["limits"] as { storageBytes: Awaited<ReturnType<typeof storage>> }).storageBytes;
  }

  /** A tenant on the plan that has left about `leftBytes`. */
  async function almostFull(slug: string, leftBytes: number): Promise<SocketClient> {
    const { id } = await world.creel.tenant(slug);
    await world.creel.app.plans.pin(id, { plan: "box", fromMs: 0 }, "test");
    const client = await world.client(slug);
    await client.call("agents.list", {});
    for (const [n, agentId] of ["main", "b", "c"].entries()) {
      if (n > 0) await client.call("agents.create", { name: agentId, workspace: "x" });
      for (const name of ["AGENTS.md", "SOUL.md", "USER.md", "MEMORY.md"]) {
        const { used } = await storage(slug);
        const room = Math.min(1_000_000, LIMIT - used - leftBytes);
        if (room <= 2_000) return client;
        await client.call("agents.files.set", { agentId, name, content: "x".repeat(room) });
      }
    }
    return client;
  }

  it("refuses files beyond it, of two at once one, says how much; other tenants write on", async () => {
    const client = await almostFull("full", 1_000_000);
    for (const name of ["d", "e", "f"]) await client.call("agents.create", { name, workspace: "x" });
    const content = "y".repeat(700_000);
    const both = await Promise.allSettled([
      client.call("agents.files.set", { agentId: "d", name: "AGENTS.md", content }),
      client.call("agents.files.set", { agentId: "e", name: "SOUL.md", content }),
      client.call("agents.files.set", { agentId: "f", name: "USER.md", content }),
    ]);
    expect(both.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const error = await refusal(
      client.call("agents.files.set", { agentId: "d", name: "MEMORY.md", content }),
    );
    expect(error).toMatchObject({
      code: "FORBIDDEN",
      message: expect.stringMatching(/"Box" holds 8\.0 MiB of files and conversations.*Remove files/),
      details: { code: "PLAN_LIMIT", what: "storage", limit: LIMIT, neededBytes: expect.any(Number) },
    });
    const now = await storage("full");
    expect(now.used).toBeLessThanOrEqual(LIMIT);
    expect(now).toMatchObject({ limit: LIMIT, level: 95 });
    const alert = await client.until(
      ({ event, payload }) => event === "billing.alert" && kindOf(payload) === "storage",
    );
    expect(alert["payload"]).toMatchObject({ level: 80, limitBytes: LIMIT });
    const other = await world.client("roomy");
    await other.call("agents.list", {});
    await other.call("agents.files.set", {
      agentId: "main",
      name: "AGENTS.md",
      content: "z".repeat(900_000),
    });
    expect((await storage("roomy")).limit).toBeNull();
  });

  it("refuses attachments and an agent's own writing, answers words, and lets files go", async () => {
    const client = await almostFull("talks", 100_000);
    await world.allow("talks", ["workspace_write"]);
    const attachments = [{ mimeType: "image/png", fileName: "a.png", content: "A".repeat(400_000) }];
    const send = { sessionKey: "main", message: "SAY:look", idempotencyKey: randomUUID() };
    const before = (await world.stored("talks")).runs.length;
    expect((await refusal(client.call("chat.send", { ...send, attachments }))).details).toMatchObject({
      ...{ code: "PLAN_LIMIT", what: "storage" },
    });
    expect((await world.stored("talks")).runs).toHaveLength(before);
    // The same key is free: nothing of the refused message was kept.
    expect((await chat(client, "SAY:words are fine")).end).toMatchObject({ state: "final" });
    const write = { path: "big.txt", content: "w".repeat(200_000) };
    const turn = await chat(client, `TOOLCALL:workspace_write ${JSON.stringify(write)}`);
    expect(JSON.stringify(agentOf(client, turn.key, "tool"))).toContain("of files and conversations");
    await client.call("agents.files.set", { agentId: "main", name: "AGENTS.md", content: "short" });
    const again = { ...send, idempotencyKey: randomUUID(), attachments };
    expect(await client.call("chat.send", again)).toMatchObject({ status: "started" });
    await client.terminal(again.idempotencyKey, 20_000);
  });

  it("lets words go on into a reserve and no further, and keeps what it accepted", async () => {
    const client = await almostFull("wordy", 100_000);
    const message = `SAY:x ${"w".repeat(800_000)}`;
    const send = (n: number) =>
      client.call("chat.send", { sessionKey: `agent:main:${n}`, message, idempotencyKey: randomUUID() });
    expect(await send(1)).toMatchObject({ status: "started" });
    expect((await refusal(send(2))).details).toMatchObject({ what: "storage" });
    expect((await storage("wordy")).used).toBeLessThan(LIMIT + MIB);
    await client.call("agents.delete", { agentId: "b", deleteFiles: true });
    expect(await send(3)).toMatchObject({ status: "started" });
  });

  it("knows as much after a restart", async () => {
    const { used } = await storage("full");
    await world.restart();
    const again = await storage("full");
    // Only the database's own file may differ: what it held back is in it now.
    expect(Math.abs(again.used - used)).toBeLessThan(MIB);
    expect(again.used).toBeGreaterThan(5 * MIB);
  });
});

function kindOf(payload: unknown): unknown {
  return (payload as { kind?: unknown }).kind;
}

describe("counting and charging", () => {
  const log = makeLog({ level: "silent" });
  let folder: string;
  let databases: SqliteDatabases;
  let control: Database;
  let tenants: Tenants;
  let door: TenantDoor;
  let nowMs: number;
  let walked: TenantId[];
  const clock: Clock = { ...systemClock, nowMs: () => nowMs };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "creel-storage-"));
    databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
    control = databases.open("control", join(folder, "control.db"), "control");
    nowMs = Date.UTC(2026, 10, 22, 12);
    tenants = new Tenants(control, clock, () => []);
    door = new TenantDoor(databases, folder);
    walked = [];
  });

  afterEach(async () => {
    await databases.close();
    await rm(folder, { recursive: true, force: true });
  });

  function newCounts(): StorageCounts {
    const watched = {
      databaseSizeBytes: (tenant: { id: TenantId }) => door.databaseSizeBytes(tenant),
      fileSizeBytes: (tenant: { id: TenantId }) => {
        walked.push(tenant.id);
        return door.fileSizeBytes(tenant);
      },
    };
    return new StorageCounts({ control, door: watched, clock, log });
  }

  async function newTenant(slug: string, fileBytes: number): Promise<TenantId> {
    const tenant = await tenants.create({ slug });
    const directory = door.scope(tenant).workspaceDirectory("main" as never);
    await mkdir(directory, { recursive: true });
    if (fileBytes > 0) await writeFile(join(directory, "file"), "x".repeat(fileBytes));
    return tenant.id;
  }

  it("walks a folder once, counts on from there, believes what it wrote down, and nothing after a crash", async () => {
    const id = await newTenant("acme", 1_000);
    const idle = await newTenant("idle", 500);
    const ofOurs = () => walked.filter((one) => one === id).length;
    const first = newCounts();
    await first.start();
    expect(await first.read(id)).toBe(1_000);
    first.note(id, 200);
    first.note(id, -50);
    expect(await first.read(id)).toBe(1_150);
    expect(ofOurs()).toBe(1);
    await first.close();
    const second = newCounts();
    await second.start();
    expect(await second.read(id)).toBe(1_150);
    expect(ofOurs()).toBe(1);
    await second.tick();
    // The second dies without closing; what lies in the folder is what counts.
    const third = newCounts();
    await third.start();
    await third.tick();
    expect(ofOurs()).toBe(2);
    expect(await third.read(id)).toBe(1_000);
    expect(ofOurs()).toBe(2);
    // Who never writes is walked once, long ago or not, so that it can be charged; its database is not opened for that.
    await third.tick();
    expect(walked.filter((one) => one === idle)).toHaveLength(2);
    expect(await third.read(idle)).toBe(500);
    expect(existsSync(join(folder, "tenants", idle, "tenant.db"))).toBe(false);
    await third.close();
  });

  it("holds room for writes under way, gives it back, and refuses nothing that does not grow", async () => {
    const id = await newTenant("acme", 1_000);
    const counts = newCounts();
    const held = await counts.hold(id, 600, 2_000);
    expect(held.isHeld).toBe(true);
    expect(await counts.hold(id, 500, 2_000)).toEqual({ isHeld: false, usedBytes: 1_600 });
    if (held.isHeld) held.hold.end(0);
    const all = await Promise.all(Array.from({ length: 20 }, () => counts.hold(id, 300, 2_000)));
    expect(all.filter(({ isHeld }) => isHeld)).toHaveLength(3);
    for (const one of all) if (one.isHeld) one.hold.end(300);
    expect(await counts.read(id)).toBe(1_900);
    expect((await counts.hold(id, 0, 100)).isHeld).toBe(true);
    expect((await counts.hold(id, 5_000, null)).isHeld).toBe(true);
  });

  function newCharges(prices: PriceBook, opened: TenantId[]): StorageCharges {
    return new StorageCharges({
      ...{ control, prices, clock, log, noteChange: () => undefined },
      scopeOf: async (id) => {
        opened.push(id);
        return door.scope(await tenants.getById(id));
      },
    });
  }

  /** 1,000,000 bytes at a price at which that is 31 micro-units a day in November. */
  const price = (tenantId: string) => ({
    ...{ seq: 7, kind: "storage" as const, tenantId, provider: "", name: "", fromDay: "2026-11-22" },
    ...{ input: 1_000_000, output: 0, cacheRead: 0, cacheWrite: 0, reasoning: 0, source: "test" },
  });
  const A_DAY = 32;

  it("charges each day once, also over a restart and after a crash in between; who has no price is not opened", async () => {
    const id = await newTenant("acme", 1_000_000);
    const free = await newTenant("free", 1_000_000);
    const counts = newCounts();
    await counts.start();
    counts.note(id, 0);
    await counts.read(id);
    await counts.read(free);
    await counts.tick();
    const prices = new PriceBook();
    const opened: TenantId[] = [];
    await newCharges(prices, opened).tick();
    expect(await control.list("SELECT 1 FROM tenant_storage WHERE charged_day <> ''")).toEqual([]);
    prices.replaceRows(new PriceRows([price(id)]));
    const charges = newCharges(prices, opened);
    await charges.tick();
    expect(opened).toEqual([]);
    nowMs += 86_400_000;
    await Promise.all([charges.tick(), charges.tick()]);
    await charges.tick();
    const again = newCharges(prices, opened);
    await again.tick();
    nowMs += 86_400_000;
    await again.tick();
    // The mark was lost: the days are charged anew, which changes nothing.
    await control.write({ statements: [{ sql: "UPDATE tenant_storage SET charged_day = '2026-11-20'" }] });
    await again.tick();
    expect(opened).not.toContain(free);
    expect(existsSync(join(folder, "tenants", free, "tenant.db"))).toBe(false);
    const scope = door.scope(await tenants.getById(id));
    const { transfers } = await new Ledger(clock).list(scope);
    expect(transfers).toMatchObject([
      { source: "storage", sourceId: "2026-11-22", kind: "charge", to: "spent", amountMicros: A_DAY },
      { source: "storage", sourceId: "2026-11-23", kind: "charge", to: "spent", amountMicros: A_DAY },
    ]);
    expect(transfers).toHaveLength(2);
    expect(transfers[0]?.details).toMatchObject({ bytes: 1_000_000, price: "row:7" });
    expect(await new Ledger(clock).verify(scope)).toMatchObject({ ok: true, spentMicros: 2 * A_DAY });
    const statements = new Statements({ clock, currencyOf: async () => "USD", planAt: async () => "team" });
    const statement = await statements.get(scope, "2026-11");
    expect(statement.lines).toMatchObject([
      { kind: "usage", toolName: "storage", calls: 2, chargedMicros: 2 * A_DAY, priceVersion: "row:7" },
    ]);
    const days = { startDate: "2026-11-01", endDate: "2026-11-30" };
    const window = await readWindow(scope, days, { calendars: new Calendars(), clock });
    for (const group of ["day", "model", "run"] as const) {
      const { total } = await readDrill(scope, window, {}, group);
      expect(total).toMatchObject({ costMicros: 2 * A_DAY, calls: 0, toolCalls: 0 });
    }
  });

  it("charges days on which nobody was there later, with the price of each", async () => {
    const id = await newTenant("acme", 1_000_000);
    const counts = newCounts();
    await counts.start();
    await counts.read(id);
    await counts.tick();
    const prices = new PriceBook();
    prices.replaceRows(new PriceRows([price("")]));
    await newCharges(prices, []).tick();
    nowMs += 5 * 86_400_000;
    const dearer = { ...price(id), seq: 8, fromDay: "2026-11-25", input: 2_000_000 };
    prices.replaceRows(new PriceRows([price(""), dearer]));
    await newCharges(prices, []).tick();
    const { transfers } = await new Ledger(clock).list(door.scope(await tenants.getById(id)));
    expect(transfers.map(({ sourceId, amountMicros }) => [sourceId, amountMicros])).toEqual([
      ["2026-11-22", A_DAY],
      ["2026-11-23", A_DAY],
      ["2026-11-24", A_DAY],
      ["2026-11-25", 2 * A_DAY - 1],
      ["2026-11-26", 2 * A_DAY - 1],
    ]);
  });
});
