/** Questions over very many rows: the same answers as usual reads, beside the event loop, one database after the other. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterEach, beforeEach, expect, it } from "vitest";
import { LIMITS } from "#src/kernel/limits.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database } from "#src/storage/database.ts";

const TABLE = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;";
/** Counts to a number, in SQLite alone: as long as one likes. */
const COUNT = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
  SELECT count(*) AS n, (SELECT min(text) FROM notes) AS whose FROM n`;

let folder: string;
let databases: SqliteDatabases;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "creel-reports-"));
  for (const kind of ["control", "tenant"]) {
    mkdirSync(join(folder, "migrations", kind), { recursive: true });
    writeFileSync(join(folder, "migrations", kind, "0001-notes.sql"), TABLE);
  }
  databases = new SqliteDatabases({ migrationsDirectory: join(folder, "migrations") });
});

afterEach(async () => {
  await databases.close();
  rmSync(folder, { recursive: true, force: true });
});

const pathOf = (name: string) => join(folder, name, "tenant.db");

async function tenant(name: string, rows = 1): Promise<Database> {
  const db = databases.open("tenant", pathOf(name), name);
  const sql = `INSERT INTO notes (text) SELECT ? || ' ' || printf('%07d', value) FROM json_each(?)`;
  const numbers = JSON.stringify(Array.from({ length: rows }, (_, n) => n));
  await db.write({ statements: [{ sql, params: [name, numbers] }] });
  return db;
}

it("answers as a usual read does, also in many pieces, in order, and sees what was just written", async () => {
  const db = await tenant("acme", 3_333);
  const sql = "SELECT id, text FROM notes WHERE id > ? ORDER BY id";
  const rows = await db.report(sql, [10]);
  expect(rows).toHaveLength(3_323);
  expect(rows).toEqual(await db.list(sql, [10]));
  await db.write({ statements: [{ sql: "DELETE FROM notes WHERE id > 20" }] });
  expect(await db.report(sql, [10])).toHaveLength(10);
  expect(await db.report("SELECT id FROM notes WHERE id = -1")).toEqual([]);
});

it("leaves the event loop alone, and others' reads and writes go on meanwhile", async () => {
  const [acme, beta] = [await tenant("acme"), await tenant("beta")];
  let isDone = false;
  const long = acme.report(COUNT, [10_000_000]).finally(() => {
    isDone = true;
  });
  let others = 0;
  while (!isDone && others < 50) {
    await beta.write({ statements: [{ sql: "INSERT INTO notes (text) VALUES ('more')" }] });
    await beta.find("SELECT count(*) FROM notes");
    others += 1;
  }
  expect(others).toBe(50);
  expect(await long).toEqual([{ n: 10_000_000, whose: "acme 0000000" }]);
});

it("serves one question of each database after the other, however many one asks", async () => {
  const [acme, beta] = [await tenant("acme"), await tenant("beta")];
  const order: string[] = [];
  const ask = (db: Database, name: string) => db.report(COUNT, [200_000]).then(() => order.push(name));
  const all = [...Array.from({ length: 10 }, () => ask(acme, "acme")), ask(beta, "beta")];
  await Promise.all(all);
  expect(order.indexOf("beta")).toBeLessThanOrEqual(2);
  expect(order).toHaveLength(11);
});

it("refuses more of one database than may wait, and nobody else's", async () => {
  const [acme, beta] = [await tenant("acme"), await tenant("beta")];
  const many = Array.from({ length: LIMITS.reportsWaiting + 10 }, () => acme.report(COUNT, [100_000]));
  const other = beta.report(COUNT, [1]);
  const ends = await Promise.allSettled(many);
  const refused = ends.filter((end) => end.status === "rejected");
  expect(refused.length).toBeGreaterThan(0);
  for (const { reason } of refused) expect(reason).toMatchObject({ code: "limit_reached" });
  expect(ends.length - refused.length).toBeGreaterThanOrEqual(LIMITS.reportsWaiting);
  expect(await other).toMatchObject([{ n: 1 }]);
});

it("refuses to read a file of somebody else, cannot write, and tells a mistake in the question as one", async () => {
  const acme = await tenant("acme");
  await tenant("beta");
  await databases.release(pathOf("acme"));
  await databases.release(pathOf("beta"));
  const raw = new SqliteDatabase(pathOf("acme"));
  raw.prepare("UPDATE file_owner SET owner = 'beta'").run();
  raw.close();
  await expect(acme.report("SELECT * FROM notes")).rejects.toMatchObject({ code: "tenant_unavailable" });
  const beta = databases.open("tenant", pathOf("beta"), "beta");
  await expect(beta.report("SELECT a FROM nowhere")).rejects.toThrow("no such table");
  await expect(beta.report("DELETE FROM notes RETURNING id")).rejects.toThrow(/readonly|query/i);
  expect(await beta.report("SELECT count(*) AS n FROM notes")).toEqual([{ n: 1 }]);
});

it("lets go of a file that is released, and finds what took its place", async () => {
  const db = await tenant("acme", 5);
  expect(await db.report("SELECT count(*) AS n FROM notes")).toEqual([{ n: 5 }]);
  await databases.release(pathOf("acme"));
  rmSync(join(folder, "acme"), { recursive: true });
  const again = await tenant("acme", 2);
  expect(await again.report("SELECT count(*) AS n FROM notes")).toEqual([{ n: 2 }]);
});

it("ends what is asked when the store is closed", async () => {
  const db = await tenant("acme");
  const ends = Promise.allSettled([db.report(COUNT, [50_000_000]), db.report(COUNT, [1])]);
  await new Promise((resolve) => setImmediate(resolve));
  await databases.close();
  for (const end of await ends) expect(end).toMatchObject({ reason: { code: "shutting_down" } });
  databases = new SqliteDatabases({ migrationsDirectory: join(folder, "migrations") });
});
