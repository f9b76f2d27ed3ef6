/** The contract of the database port, run against SQLite in files: what a resolved write means, and what it never does. */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database, Statement } from "#src/storage/database.ts";
import { openConnection } from "#src/storage/sqlite-open.ts";

const TABLE =
  "CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT NOT NULL, n INTEGER NOT NULL DEFAULT 0) STRICT;";

let folder: string;
let databases: SqliteDatabases;

/** A folder of migrations of our own: the contract does not depend on the product's tables. */
function migrations(...steps: string[]): string {
  const directory = mkdtempSync(join(folder, "migrations-"));
  for (const kind of ["control", "tenant"]) {
    mkdirSync(join(directory, kind));
    for (const [index, sql] of steps.entries()) {
      writeFileSync(join(directory, kind, `000${index + 1}-step.sql`), sql);
    }
  }
  return directory;
}

function insert(id: string, text = id): Statement {
  return { sql: "INSERT INTO notes (id, text) VALUES (?, ?)", params: [id, text] };
}

function tenant(name: string, from = databases): Database {
  return from.open("tenant", pathOf(name), name);
}

function pathOf(name: string): string {
  return join(folder, "tenants", name, "tenant.db");
}

async function ids(db: Database): Promise<string[]> {
  return (await db.list<{ id: string }>("SELECT id FROM notes ORDER BY rowid")).map((row) => row.id);
}

async function committed(db: Database, file: string): Promise<number | undefined> {
  const row = await db.find<{ n: number }>("SELECT committed_bytes AS n FROM journals WHERE file = ?", [
    file,
  ]);
  return row?.n;
}

function append(file: string, text: string) {
  return { file, bytes: Buffer.from(text) };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "creel-db-"));
  databases = new SqliteDatabases({ migrationsDirectory: migrations(TABLE) });
});

afterEach(async () => {
  await databases.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("a batch", () => {
  it("is applied as a whole, and read back by another opening of the file", async () => {
    const db = tenant("acme");
    const outcome = await db.write({ statements: [insert("a"), insert("b")] });
    expect(outcome).toMatchObject({ committed: true, results: [{ changes: 1 }, { changes: 1 }] });
    const other = new SqliteDatabases({ migrationsDirectory: migrations(TABLE) });
    expect(await ids(tenant("acme", other))).toEqual(["a", "b"]);
    await other.close();
  });

  it("leaves nothing when a statement changes another number of rows than expected", async () => {
    const db = tenant("acme");
    const outcome = await db.write({
      appends: [append("log.jsonl", "never\n")],
      statements: [
        insert("a"),
        { sql: "UPDATE notes SET n = 1 WHERE id = 'absent'", expect: 1 },
        insert("b"),
      ],
    });
    expect(outcome).toEqual({ committed: false, refusedAt: 1 });
    expect(await ids(db)).toEqual([]);
    expect(await committed(db, "log.jsonl")).toBeUndefined();
  });

  it("leaves nothing when a statement fails, and says conflict for a taken key", async () => {
    const db = tenant("acme");
    await db.write({ statements: [insert("a")] });
    await expect(db.write({ statements: [insert("b"), insert("a")] })).rejects.toMatchObject({
      code: "conflict",
    });
    expect(await ids(db)).toEqual(["a"]);
  });

  it("answers the rows of RETURNING, in order", async () => {
    const db = tenant("acme");
    const sql = "INSERT INTO notes (id, text, n) VALUES (?, 'x', ?) RETURNING id, n";
    const outcome = await db.write({
      statements: [
        { sql, params: ["a", 1] },
        { sql, params: ["b", 2], expect: 1 },
      ],
    });
    expect(outcome).toMatchObject({
      committed: true,
      results: [{ rows: [{ id: "a", n: 1 }] }, { rows: [{ id: "b", n: 2 }], changes: 1 }],
    });
  });

  it("that refuses leaves the others of its group standing, in the order they came", async () => {
    const db = tenant("acme");
    const refusing = { sql: "UPDATE notes SET n = 1 WHERE id = 'absent'", expect: 1 };
    const file = "log.jsonl";
    const outcomes = await Promise.allSettled([
      db.write({ appends: [append(file, "1\n")], statements: [insert("a")] }),
      db.write({ appends: [append(file, "refused\n")], statements: [insert("b"), refusing] }),
      db.write({ appends: [append(file, "broken\n")], statements: [insert("a")] }),
      db.write({ appends: [append(file, "2\n")], statements: [insert("c")] }),
    ]);
    expect(
      outcomes.map((one) => (one.status === "fulfilled" ? one.value.committed : one.reason.code)),
    ).toEqual([true, false, "conflict", true]);
    expect(await ids(db)).toEqual(["a", "c"]);
    expect(await committed(db, file)).toBe(4);
    expect(readFileSync(join(dirname(pathOf("acme")), file), "utf8").slice(0, 4)).toBe("1\n2\n");
  });

  it("with a value that no store can hold is an error, and what comes after works", async () => {
    const db = tenant("acme");
    const strange = { sql: "INSERT INTO notes (id, text) VALUES (?, ?)", params: ["a", () => 1 as never] };
    await expect(db.write({ statements: [strange as never] })).rejects.toBeInstanceOf(Error);
    await db.write({ statements: [insert("b")] });
    expect(await ids(db)).toEqual(["b"]);
  });

  it("is ordered by when it was handed in, also among hundreds", async () => {
    const db = tenant("acme");
    const names = Array.from({ length: 300 }, (_, n) => `n${String(n).padStart(3, "0")}`);
    await Promise.all(
      names.map((id) => db.write({ appends: [append("log", `${id}\n`)], statements: [insert(id)] })),
    );
    expect(await ids(db)).toEqual(names);
    expect(readFileSync(join(dirname(pathOf("acme")), "log"), "utf8")).toBe(`${names.join("\n")}\n`);
  });
});

describe("an append-only file", () => {
  const file = "agents/main/sessions/one.jsonl";
  const onDisk = () => join(dirname(pathOf("acme")), file);

  it("grows with the batch, and a statement sees its new end", async () => {
    const db = tenant("acme");
    const end = "UPDATE notes SET n = (SELECT committed_bytes FROM journals WHERE file = ?) WHERE id = 'a'";
    await db.write({
      appends: [append(file, "one\n")],
      statements: [insert("a"), { sql: end, params: [file] }],
    });
    expect(await db.find("SELECT n FROM notes")).toEqual({ n: 4 });
    await db.write({ appends: [append(file, "two\n"), append(file, "three\n")], statements: [] });
    expect(await committed(db, file)).toBe(14);
    expect(readFileSync(onDisk(), "utf8")).toBe("one\ntwo\nthree\n");
  });

  it.each([
    ["half a line", "{torn"],
    ["a whole line", "of somebody\n"],
    ["more than all there is", "x".repeat(10_000)],
    ["zeros", "\0\0\0\0"],
  ])("forgets what stands past the committed end: %s", async (_name, garbage) => {
    const db = tenant("acme");
    await db.write({ appends: [append(file, "one\n")], statements: [] });
    appendFileSync(onDisk(), garbage);
    await db.write({ appends: [append(file, "two\n")], statements: [] });
    expect(readFileSync(onDisk(), "utf8")).toBe("one\ntwo\n");
    expect(await committed(db, file)).toBe(8);
  });

  it("stays right after a refused batch that appended", async () => {
    const db = tenant("acme");
    await db.write({ appends: [append(file, "one\n")], statements: [] });
    const refused = { sql: "DELETE FROM notes", expect: 1 };
    await db.write({ appends: [append(file, "a much longer line that never was\n")], statements: [refused] });
    expect(await committed(db, file)).toBe(4);
    await db.write({ appends: [append(file, "two\n")], statements: [] });
    expect(readFileSync(onDisk(), "utf8")).toBe("one\ntwo\n");
  });

  it("is not written behind a missing piece: the loss is named, and nothing is stored", async () => {
    const db = tenant("acme");
    await db.write({ appends: [append(file, "one\ntwo\n")], statements: [] });
    truncateSync(onDisk(), 4);
    await expect(
      db.write({ appends: [append(file, "three\n")], statements: [insert("a")] }),
    ).rejects.toMatchObject({
      code: "tenant_unavailable",
    });
    expect(statSync(onDisk()).size).toBe(4);
    expect(await ids(db)).toEqual([]);
    rmSync(onDisk());
    await expect(db.write({ appends: [append(file, "three\n")], statements: [] })).rejects.toMatchObject({
      code: "tenant_unavailable",
    });
    await db.write({ statements: [insert("b")] });
    expect(await ids(db)).toEqual(["b"]);
  });

  it("is not followed through a link", async () => {
    const db = tenant("acme");
    await db.write({ statements: [insert("a")] });
    const outside = join(folder, "outside.txt");
    writeFileSync(outside, "precious");
    mkdirSync(dirname(onDisk()), { recursive: true });
    execFileSync("ln", ["-s", outside, onDisk()]);
    await expect(db.write({ appends: [append(file, "x\n")], statements: [] })).rejects.toBeDefined();
    expect(readFileSync(outside, "utf8")).toBe("precious");
  });
});

describe("many files", () => {
  it("are served with few handles, each with its own data", async () => {
    await databases.close();
    databases = new SqliteDatabases({ migrationsDirectory: migrations(TABLE), openFiles: 8 });
    const names = Array.from({ length: 200 }, (_, n) => `t${n}`);
    await Promise.all(names.map((name) => tenant(name).write({ statements: [insert(name)] })));
    for (const name of [...names].reverse()) expect(await ids(tenant(name))).toEqual([name]);
    const again = names.filter((_, n) => n % 3 === 0);
    await Promise.all(again.map((name) => tenant(name).write({ statements: [insert(`${name}-2`)] })));
    for (const name of again) expect(await ids(tenant(name))).toEqual([name, `${name}-2`]);
    const open = readdirSync("/proc/self/fd").length;
    expect(open).toBeLessThan(200);
  });

  it("are created readable by their owner only, folders too", async () => {
    process.umask(0o077);
    await tenant("acme").write({ appends: [append("agents/a.jsonl", "x\n")], statements: [insert("a")] });
    const modes = [pathOf("acme"), join(dirname(pathOf("acme")), "agents/a.jsonl")].map(
      (path) => statSync(path).mode & 0o077,
    );
    expect(modes).toEqual([0, 0]);
    expect(statSync(dirname(pathOf("acme"))).mode & 0o077).toBe(0);
  });
});

describe("a file that must not be used", () => {
  it("is refused when two tenants' files were swapped, for reads and for writes", async () => {
    for (const name of ["acme", "beta"]) await tenant(name).write({ statements: [insert(`of-${name}`)] });
    await databases.close();
    renameSync(pathOf("acme"), join(folder, "aside"));
    renameSync(pathOf("beta"), pathOf("acme"));
    renameSync(join(folder, "aside"), pathOf("beta"));
    databases = new SqliteDatabases({ migrationsDirectory: migrations(TABLE) });
    for (const name of ["acme", "beta"]) {
      await expect(ids(tenant(name))).rejects.toMatchObject({ code: "tenant_unavailable" });
      await expect(tenant(name).write({ statements: [insert("x")] })).rejects.toMatchObject({
        code: "tenant_unavailable",
      });
    }
  });

  it("is refused before anything is changed in it, also when it is older than the program", async () => {
    await tenant("acme").write({ statements: [insert("a")] });
    await databases.close();
    databases = new SqliteDatabases({
      migrationsDirectory: migrations(TABLE, "ALTER TABLE notes ADD COLUMN more TEXT;"),
    });
    const thief = databases.open("tenant", pathOf("acme"), "beta");
    await expect(thief.find("SELECT 1")).rejects.toMatchObject({ code: "tenant_unavailable" });
    const raw = openConnection(pathOf("acme"), "reader");
    expect(raw.pragma("user_version", { simple: true })).toBe(1);
    raw.close();
  });

  it("is refused when a newer program wrote it, and left as it is", async () => {
    await databases.close();
    const newer = new SqliteDatabases({
      migrationsDirectory: migrations(TABLE, "ALTER TABLE notes ADD COLUMN more TEXT;"),
    });
    await tenant("acme", newer).write({ statements: [insert("a")] });
    await newer.close();
    databases = new SqliteDatabases({ migrationsDirectory: migrations(TABLE) });
    await expect(ids(tenant("acme"))).rejects.toMatchObject({
      code: "tenant_unavailable",
      publicMessage: expect.stringContaining("newer"),
    });
  });

  it("is migrated once when it is older", async () => {
    await tenant("acme").write({ statements: [insert("a")] });
    await databases.close();
    databases = new SqliteDatabases({
      migrationsDirectory: migrations(TABLE, "ALTER TABLE notes ADD COLUMN more TEXT DEFAULT 'm';"),
    });
    expect(await tenant("acme").find("SELECT id, more FROM notes")).toEqual({ id: "a", more: "m" });
  });

  it.each([
    ["text", "no database at all, but text"],
    ["nothing, which is a new file", ""],
    ["a head and nonsense", "SQLite format 3\0 and then nonsense".padEnd(8192, "z")],
  ])("says unavailable when it is corrupt, and others are served: %s", async (_name, content) => {
    await tenant("beta").write({ statements: [insert("b")] });
    mkdirSync(dirname(pathOf("acme")), { recursive: true });
    writeFileSync(pathOf("acme"), content);
    const broken = tenant("acme");
    if (content === "") await broken.write({ statements: [insert("an empty file is a new one")] });
    else {
      await expect(broken.find("SELECT 1")).rejects.toMatchObject({ code: "tenant_unavailable" });
      await expect(broken.write({ statements: [insert("a")] })).rejects.toMatchObject({
        code: "tenant_unavailable",
      });
      expect(readFileSync(pathOf("acme"), "utf8")).toBe(content);
    }
    await tenant("beta").write({ statements: [insert("b2")] });
    expect(await ids(tenant("beta"))).toEqual(["b", "b2"]);
  });

  it("says unavailable when its pages are damaged, and serves again after a restore", async () => {
    const db = tenant("acme");
    for (let n = 0; n < 40; n++) await db.write({ statements: [insert(`k${n}`, "x".repeat(500))] });
    await databases.close();
    copyFileSync(pathOf("acme"), join(folder, "backup"));
    const bytes = readFileSync(pathOf("acme"));
    bytes.fill(0xff, 4096);
    writeFileSync(pathOf("acme"), bytes);
    databases = new SqliteDatabases({ migrationsDirectory: migrations(TABLE) });
    await expect(tenant("acme").list("SELECT * FROM notes")).rejects.toMatchObject({
      code: "tenant_unavailable",
    });
    await tenant("beta").write({ statements: [insert("b")] });
    await databases.release(pathOf("acme"));
    copyFileSync(join(folder, "backup"), pathOf("acme"));
    expect(await ids(tenant("acme"))).toHaveLength(40);
  });
});

describe("durability", () => {
  it.each(["writer", "reader"] as const)("is FULL on a %s, with a write-ahead log", async (mode) => {
    await tenant("acme").write({ statements: [insert("a")] });
    const connection = openConnection(pathOf("acme"), mode);
    expect(connection.pragma("synchronous", { simple: true })).toBe(2);
    expect(connection.pragma("journal_mode", { simple: true })).toBe("wal");
    expect(connection.pragma("foreign_keys", { simple: true })).toBe(1);
    if (mode === "reader")
      expect(() => connection.exec("DELETE FROM notes")).toThrow(/readonly|read-only|query/i);
    connection.close();
  });

  it("is what every connection has, for nobody else opens SQLite", () => {
    const sources = readdirSync(resolve("src"), { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".ts"),
    );
    expect(sources.length).toBeGreaterThan(100);
    const openers = sources.filter((name) => {
      const text = readFileSync(resolve("src", name), "utf8");
      return (
        /^import (?!type\b)[^;]*from "(?:better-sqlite3|node:sqlite)"/m.test(text) ||
        /import\("(?:better-sqlite3|node:sqlite)"\)/.test(text)
      );
    });
    expect(openers).toEqual([join("storage", "sqlite-open.ts")]);
  });

  it("refuses a file that cannot promise it", async () => {
    const path = join(folder, "plain.db");
    const raw = openConnection(path, "writer");
    raw.pragma("journal_mode = DELETE");
    raw.close();
    expect(() => openConnection(path, "reader")).toThrow(/durability/);
  });

  it("survives the end of the thread only as an unknown outcome, never as a promise", async () => {
    const db = tenant("acme");
    await db.write({ statements: [insert("a")] });
    const late = db.write({ statements: [insert("b")] });
    const closing = databases.close();
    await expect(late).resolves.toMatchObject({ committed: true });
    await closing;
    await expect(db.write({ statements: [insert("c")] })).rejects.toMatchObject({ code: "shutting_down" });
    databases = new SqliteDatabases({ migrationsDirectory: migrations(TABLE) });
    expect(await ids(tenant("acme"))).toEqual(["a", "b"]);
  });
});
