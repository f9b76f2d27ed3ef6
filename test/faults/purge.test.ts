/** A tenant is purged and the process dies at any step: the next start finishes it, the key goes first, nothing is left. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { createLocalJWKSet, jwtVerify } from "jose";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { recordTenantAct } from "#src/audit/tenant-acts.ts";
import { systemClock } from "#src/kernel/clock.ts";
import type { TenantId } from "#src/kernel/ids.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import { MACHINE } from "#src/tenancy/actor.ts";
import { Tenants } from "#src/tenancy/tenants.ts";
import { ChildWorld } from "../support/child-server.ts";
import type { FailPoint } from "../support/fail-points.ts";
import { type MockModel, start as startMock } from "../support/mock-model.ts";
import { callByHttp } from "../support/world.ts";

const DAY_MS = 24 * 3600 * 1000;
const CANARY = "CNRY-shred-4d1c";
const DOOMED = "doomed";
const OTHER = "staying";

let mock: MockModel;
let filled: ChildWorld;
let world: ChildWorld;

beforeAll(async () => {
  mock = await startMock({ slowDelayMs: 20 });
  filled = await ChildWorld.make({ baseUrl: mock.baseUrl, slugs: [DOOMED, OTHER], tools: [] });
  world = filled;
  await world.start();
  for (const slug of [DOOMED, OTHER]) await fill(slug);
  await world.stop();
  await deleteLongAgo();
});
afterAll(async () => {
  await filled.close();
  await mock.close();
});

beforeEach(async () => {
  world = await filled.copy();
});
afterEach(() => world.close());

/** Put something into every place that keeps something. */
async function fill(slug: string): Promise<void> {
  const token = world.tenant(slug).tokens.owner ?? "";
  const mark = `${CANARY}-${slug}`;
  const call = async (path: string, body: unknown, method = "POST") => {
    const answer = await callByHttp(world.url, path, token, body, {}, method);
    expect(answer.status, `${path} ${answer.text}`).toBeLessThan(300);
  };
  await call(
    "/api/providers/own",
    { baseUrl: "https://own.example/v1", apiKey: `${mark}-key`, models: [] },
    "PUT",
  );
  await call("/rpc/agents.create", { name: `${mark} agent`, workspace: "w" });
  await call("/rpc/agents.files.set", { agentId: "main", name: "MEMORY.md", content: `${mark} file` });
  await call("/rpc/chat.send", {
    sessionKey: "main",
    message: `${mark} message`,
    idempotencyKey: `${slug}-1`,
  });
  await call("/rpc/agent.wait", { runId: `${slug}-1`, timeoutMs: 10_000 });
  await call("/api/tokens", { name: `${mark} token`, role: "member" });
  await call("/api/invitations", {
    role: "member",
    note: `${mark} note`,
    email: `${mark}@example.org`.toLowerCase(),
  });
}

/** Delete the tenant as it would have been eight days ago. */
async function deleteLongAgo(): Promise<void> {
  const databases = openDatabases();
  const clock = { ...systemClock, nowMs: () => Date.now() - 8 * DAY_MS };
  const control = databases.open("control", join(world.stateDir, "control.db"), "control");
  const tenants = new Tenants(control, clock, recordTenantAct);
  await tenants.markDeleting(world.tenant(DOOMED).id as TenantId, { reason: "over" }, MACHINE);
  await databases.close();
}

function openDatabases(): SqliteDatabases {
  return new SqliteDatabases({ migrationsDirectory: new URL("../../migrations", import.meta.url).pathname });
}

const folderOf = (slug: string) => join(world.stateDir, "tenants", world.tenant(slug).id);
const keyOf = (slug: string) => join(folderOf(slug), "credentials", "data-key");

function readControl<Row>(sql: string, ...params: unknown[]): Row[] {
  const control = new SqliteDatabase(join(world.stateDir, "control.db"), { readonly: true });
  try {
    return control.prepare(sql).all(...params) as Row[];
  } finally {
    control.close();
  }
}

const receipts = () =>
  readControl<{ tenant_id: string; slug: string; signed: string }>("SELECT * FROM tenant_receipts");

/** Files below the state folder that hold the mark, raw, as base64 or hex, in either case. */
async function filesWith(mark: string): Promise<string[]> {
  const found: string[] = [];
  const forms = [
    mark,
    mark.toLowerCase(),
    Buffer.from(mark).toString("base64").slice(2, -4),
    Buffer.from(mark).toString("hex"),
  ];
  const entries = await readdir(world.stateDir, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path);
    if (forms.some((form) => bytes.includes(form))) found.push(path.slice(world.stateDir.length + 1));
  }
  return found;
}

async function finished(): Promise<void> {
  await expect.poll(receipts, { timeout: 20_000, interval: 100 }).toHaveLength(1);
}

/** Once it has begun nothing is taken back, and the slug stays what it is. */
async function assertNoWayBack(): Promise<void> {
  const databases = openDatabases();
  const control = databases.open("control", join(world.stateDir, "control.db"), "control");
  const tenants = new Tenants(control, systemClock, recordTenantAct);
  const id = world.tenant(DOOMED).id as TenantId;
  await expect(tenants.restore(id, MACHINE)).rejects.toMatchObject({ code: "conflict" });
  await expect(tenants.rename(id, "another-slug", MACHINE)).rejects.toMatchObject({ code: "conflict" });
  await databases.close();
}

/** What must hold once the tenant is gone. */
async function assertGone(): Promise<void> {
  const { id } = world.tenant(DOOMED);
  await finished();
  await world.stop();
  expect(await filesWith(`${CANARY}-${DOOMED}`)).toEqual([]);
  expect((await filesWith(`${CANARY}-${OTHER}`)).length).toBeGreaterThan(2);
  expect(await readFile(folderOf(DOOMED), "utf8")).toBe("");
  expect(existsSync(`${folderOf(DOOMED)}.gone`)).toBe(false);
  const tables = readControl<{ name: string }>(
    "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
  );
  const holding = tables
    .map(({ name }) => name)
    .filter((name) => readControl(`SELECT * FROM "${name}"`).some((row) => JSON.stringify(row).includes(id)));
  const kept = [
    "access_changes",
    "audit_log",
    "gone_usage",
    "old_slugs",
    "tenant_receipts",
    "usage_daily",
    "usage_daily_marks",
  ];
  expect(holding.filter((name) => !kept.includes(name))).toEqual([]);
}

/** `npm run test:faults` dies at every step; `npm test` at every second one. */
const EVERY_DEATH = process.env["CREEL_EVERY_DEATH"] !== undefined;

const DEATHS: Readonly<Record<string, FailPoint>> = {
  "before it is noted that it begins": { at: "request", match: "purge_began_at_ms = \\?" },
  "while it is noted that it begins": { at: "commit", match: "purge_began_at_ms = \\?" },
  "when it has begun": { at: "committed", match: "purge_began_at_ms = \\?" },
  "when the key is destroyed": { at: "request", match: "key_destroyed_at_ms = coalesce" },
  "when that is noted": { at: "committed", match: "key_destroyed_at_ms = coalesce" },
  "when the files are removed": { at: "request", match: "files_removed_at_ms = coalesce" },
  "before the rows are removed": { at: "request", match: "INSERT INTO tenant_receipts" },
  "while the rows are removed": { at: "commit", match: "INSERT INTO tenant_receipts" },
  "when the rows are removed": { at: "committed", match: "INSERT INTO tenant_receipts" },
};

describe("a purge", () => {
  it.each(Object.entries(DEATHS).filter((_, place) => EVERY_DEATH || place % 2 === 0))(
    "that dies %s is finished by the next start",
    async (_when, failPoint) => {
      expect(existsSync(keyOf(DOOMED))).toBe(true);
      await world.start({ failPoint }).catch(() => undefined);
      await world.gone();
      const hasData = existsSync(join(folderOf(DOOMED), "tenant.db"));
      if (!hasData) expect(existsSync(keyOf(DOOMED))).toBe(false);
      if (failPoint.match.startsWith("key_destroyed")) {
        // The key went first: the data is still there and none of its secrets can be opened.
        expect([hasData, existsSync(keyOf(DOOMED))]).toEqual([true, false]);
      }
      if (failPoint === DEATHS["when it has begun"]) await assertNoWayBack();
      await world.start();
      const { tokens } = world.tenant(DOOMED);
      expect((await callByHttp(world.url, "/rpc/health", tokens.owner ?? "", {})).status).toBe(401);
      await finished();
      const kept = await callByHttp(world.url, "/rpc/chat.history", world.tenant(OTHER).tokens.owner ?? "", {
        sessionKey: "main",
      });
      expect(kept.text).toContain(`${CANARY}-${OTHER} message`);
      await assertGone();
    },
    60_000,
  );

  it("leaves a receipt that the published key proves, a bill without names, and taken slugs", async () => {
    const { id } = world.tenant(DOOMED);
    await world.start();
    await finished();
    // Also while the server runs on: the log of control.db was folded into the file.
    await expect.poll(() => filesWith(`${CANARY}-${DOOMED}`), { timeout: 10_000 }).toEqual([]);
    const jwks = (await (await fetch(`${world.url}/.well-known/jwks.json`)).json()) as Parameters<
      typeof createLocalJWKSet
    >[0];
    const [receipt] = receipts();
    const { payload, protectedHeader } = await jwtVerify(receipt?.signed ?? "", createLocalJWKSet(jwks), {
      algorithms: ["EdDSA"],
      typ: "creel-deletion-receipt+jws",
    });
    expect(protectedHeader.alg).toBe("EdDSA");
    expect(payload).toMatchObject({
      sub: id,
      slug: DOOMED,
      counts: { tokens: 3, agents: 2, sessions: 1 },
      filesSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      auditHead: { seq: expect.any(Number), hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
    const times = payload as unknown as Record<string, number>;
    expect(times["keyDestroyedAtMs"]).toBeLessThanOrEqual(times["filesRemovedAtMs"] ?? 0);
    expect(times["filesRemovedAtMs"]).toBeLessThanOrEqual(times["deletedAtMs"] ?? 0);
    const bill = readControl<Record<string, unknown>>("SELECT * FROM usage_daily WHERE tenant_id = ?", id);
    expect(bill).toMatchObject([{ agent_id: "(all)", user_id: "(all)", channel: "(all)", model: "mock-1" }]);
    expect(Number(bill[0]?.["model_calls"])).toBeGreaterThan(0);
    expect(readControl("SELECT slug FROM old_slugs WHERE tenant_id = ?", id)).toEqual([{ slug: DOOMED }]);
    await assertGone();
    const databases = openDatabases();
    const control = databases.open("control", join(world.stateDir, "control.db"), "control");
    const tenants = new Tenants(control, systemClock, recordTenantAct);
    await expect(tenants.create({ slug: DOOMED })).rejects.toMatchObject({ code: "conflict" });
    const again = {
      sql: "INSERT INTO tenants VALUES (?, 'other-slug', 'x', 'active', 'free', 'UTC', 0, NULL, NULL, NULL, NULL, NULL, NULL)",
      params: [id],
      expect: 1,
    };
    expect(await control.write({ statements: [again] })).toMatchObject({ committed: false });
    for (const sql of [
      "DELETE FROM tenant_receipts",
      "UPDATE tenant_receipts SET signed = 'x'",
      "DELETE FROM old_slugs",
    ]) {
      await expect(control.write({ statements: [{ sql }] }), sql).rejects.toThrow();
    }
    await databases.close();
  }, 60_000);

  it("finishes what a crash left half removed, and takes away what comes back from a backup", async () => {
    await world
      .start({ failPoint: DEATHS["when the files are removed"] as FailPoint })
      .catch(() => undefined);
    await world.gone();
    // As if it had died between moving the folder away and marking its place, and something had been made again.
    await rm(folderOf(DOOMED), { force: true });
    await mkdir(join(`${folderOf(DOOMED)}.gone`, "credentials"), { recursive: true });
    await writeFile(join(`${folderOf(DOOMED)}.gone`, "left.txt"), `${CANARY}-${DOOMED}`);
    await mkdir(folderOf(DOOMED), { recursive: true });
    await writeFile(join(folderOf(DOOMED), "late.txt"), `${CANARY}-${DOOMED}`);
    await world.start();
    await assertGone();
    await rm(folderOf(DOOMED), { force: true });
    await mkdir(folderOf(DOOMED), { recursive: true });
    await writeFile(join(folderOf(DOOMED), "tenant.db"), `${CANARY}-${DOOMED}`);
    await world.start();
    await expect.poll(() => filesWith(`${CANARY}-${DOOMED}`), { timeout: 10_000 }).toEqual([]);
    await world.stop();
  }, 60_000);

  it("does not touch a tenant that can still be restored, nor one that was", async () => {
    const databases = openDatabases();
    const control = databases.open("control", join(world.stateDir, "control.db"), "control");
    const tenants = new Tenants(control, systemClock, recordTenantAct);
    const id = world.tenant(DOOMED).id as TenantId;
    await tenants.restore(id, MACHINE);
    await tenants.markDeleting(id, { reason: "again" }, MACHINE);
    await databases.close();
    await world.start();
    const health = await callByHttp(world.url, "/rpc/health", world.tenant(OTHER).tokens.owner ?? "", {});
    expect(health.status).toBe(200);
    await world.stop();
    expect([receipts(), existsSync(keyOf(DOOMED))]).toEqual([[], true]);
  }, 60_000);
});
