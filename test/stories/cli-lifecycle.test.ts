/** The command line renames, suspends, deletes, restores and purges tenants, and says who runs the platform. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import SqliteDatabase from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const BIN = fileURLToPath(new URL("../../bin/creel.js", import.meta.url));

let stateDir: string;

beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "creel-life-"));
  await ok("tenant", "create", "--slug", "acme", "--owner", "Olga");
});
afterAll(() => rm(stateDir, { recursive: true, force: true }));

function creel(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const full = [BIN, ...args, "--state-dir", stateDir];
    execFile(process.execPath, full, { env: { PATH: process.env["PATH"] } }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error ? 99 : 0, stdout, stderr });
    });
  });
}

async function ok(...args: string[]): Promise<string> {
  const done = await creel(...args);
  expect([done.code, done.stderr], args.join(" ")).toEqual([0, ""]);
  return done.stdout;
}

// biome-ignore lint/suspicious/noExplicitAny: the tests say what they expect of it
async function json(...args: string[]): Promise<any> {
  return JSON.parse(await ok(...args, "--json"));
}

function control<T>(work: (database: SqliteDatabase.Database) => T): T {
  const database = new SqliteDatabase(join(stateDir, "control.db"));
  try {
    return work(database);
  } finally {
    database.close();
  }
}

const actors = () =>
  control((database) =>
    (database.prepare("SELECT record FROM audit_outbox ORDER BY seq").pluck().all() as string[])
      .map((text) => JSON.parse(text) as { action: string; actor: { kind: string } })
      .map(({ action, actor }) => `${actor.kind} ${action}`),
  );

describe("creel tenant", () => {
  it("renames, and knows the tenant by its old slug too", async () => {
    expect(await ok("tenant", "rename", "acme", "acme-two")).toContain("acme is now acme-two");
    expect(await json("tenant", "show", "acme")).toMatchObject({
      tenant: { slug: "acme-two" },
      oldSlugs: ["acme"],
      storageBytes: expect.any(Number),
    });
    const taken = await creel("tenant", "create", "--slug", "acme");
    expect(taken).toMatchObject({ code: 1, stderr: "creel: That slug or host is taken.\n" });
    expect(await creel("tenant", "rename", "acme-two", "admin")).toMatchObject({ code: 1 });
  });

  it("suspends with grace and says until when", async () => {
    const line = await ok("tenant", "suspend", "acme-two", "--grace-days", "3", "--reason", "unpaid");
    expect(line).toMatch(/acme-two is now suspended; it answers reads until \d{4}-/);
    expect(await ok("tenant", "list")).toContain("suspended, read-only until");
    for (const days of ["31", "-1", "x"]) {
      expect((await creel("tenant", "suspend", "acme-two", `--grace-days=${days}`)).code, days).toBe(2);
    }
    expect(await ok("tenant", "resume", "acme-two")).toBe("acme-two is now active.\n");
  });

  it("deletes only with the slug repeated, restores, and purges only what is due", async () => {
    expect((await creel("tenant", "delete", "acme-two")).code).toBe(2);
    expect((await creel("tenant", "delete", "acme-two", "--confirm", "acme")).code).toBe(2);
    expect(await ok("tenant", "delete", "acme-two", "--confirm", "acme-two")).toContain(
      "creel tenant restore acme-two",
    );
    expect(await ok("tenant", "purge")).toBe("Nothing is due.\n");
    expect(await ok("tenant", "restore", "acme-two")).toBe("acme-two is back; it is active.\n");
    expect(actors()).toEqual(
      expect.arrayContaining([
        "machine tenant.renamed",
        "machine tenant.suspended",
        "machine tenant.deleting",
      ]),
    );
  });

  it("purges what is due, and says the receipt", async () => {
    const { tenant } = await json("tenant", "create", "--slug", "brief");
    await ok("tenant", "delete", "brief", "--confirm", "brief");
    control((database) =>
      database.prepare("UPDATE tenants SET delete_after_ms = 1 WHERE slug = 'brief'").run(),
    );
    const { receipts } = await json("tenant", "purge");
    expect(receipts).toMatchObject([
      { slug: "brief", tenantId: tenant.id, signed: expect.stringMatching(/^ey.+\..+\..+$/) },
    ]);
    expect(existsSync(join(stateDir, "tenants", tenant.id, "tenant.db"))).toBe(false);
    expect((await creel("tenant", "show", "brief")).stderr).toContain('There is no tenant "brief"');
    expect(await ok("tenant", "purge")).toBe("Nothing is due.\n");
    expect((await creel("tenant", "create", "--slug", "brief")).code).toBe(1);
  });
});

describe("creel operator", () => {
  it("adds by name with a link, lists, and keeps the last", async () => {
    const first = await json("operator", "add", "--name", "Odile");
    expect(first.url).toMatch(/\/login#link=/);
    expect(await json("operator", "list")).toMatchObject({ operators: [{ displayName: "Odile" }] });
    const last = await creel("operator", "remove", "--user", "Odile");
    expect(last).toMatchObject({ code: 1 });
    expect(last.stderr).toContain("at least one operator");
    await ok("operator", "add", "--user", "Olga");
    expect((await creel("operator", "add", "--user", "Olga")).code).toBe(1);
    await ok("operator", "remove", "--user", first.operator.userId);
    expect(await ok("operator", "list")).toContain("Olga");
    expect((await creel("operator", "remove", "--user", "Nobody")).code).toBe(1);
    expect((await creel("operator", "add")).code).toBe(2);
    expect(await ok("login-link", "--operator")).toMatch(/\/login#link=/);
    expect((await creel("login-link", "--operator", "--tenant", "acme")).code).toBe(2);
  });
});
