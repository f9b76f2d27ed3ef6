/** What the database port says when the disk is full or its thread is gone; run against SQLite in files. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, type TestContext } from "vitest";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database, Statement } from "#src/storage/database.ts";
import { openConnection } from "#src/storage/sqlite-open.ts";

const TABLE = "CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;";

let folder: string;
let databases: SqliteDatabases;

function insert(id: string, text = id): Statement {
  return { sql: "INSERT INTO notes (id, text) VALUES (?, ?)", params: [id, text] };
}

function pathOf(name: string): string {
  return join(folder, "tenants", name, "tenant.db");
}

function tenant(name: string, from = databases): Database {
  return from.open("tenant", pathOf(name), name);
}

async function ids(db: Database): Promise<string[]> {
  return (await db.list<{ id: string }>("SELECT id FROM notes ORDER BY rowid")).map((row) => row.id);
}

async function committed(db: Database, file: string): Promise<number | undefined> {
  const sql = "SELECT committed_bytes AS n FROM journals WHERE file = ?";
  return (await db.find<{ n: number }>(sql, [file]))?.n;
}

function append(file: string, text: string) {
  return { file, bytes: Buffer.from(text) };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "creel-db-"));
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

describe("the end of the writing thread", () => {
  it("makes what it was doing uncertain, never lost or doubled, and what comes after works", async () => {
    const db = tenant("acme");
    await db.write({ appends: [append("log", "0\n")], statements: [insert("0")] });
    const writes = Array.from({ length: 40 }, (_, n) =>
      db.write({ appends: [append("log", `${n + 1}\n`)], statements: [insert(`${n + 1}`)] }).then(
        () => "kept",
        (thrown: { code: string }) => thrown.code,
      ),
    );
    await (databases as unknown as { worker: { terminate(): Promise<number> } }).worker.terminate();
    const outcomes = await Promise.all(writes);
    for (const outcome of outcomes) expect(["kept", "storage_uncertain"]).toContain(outcome);
    expect(outcomes).toContain("storage_uncertain");
    await db.write({ appends: [append("log", "after\n")], statements: [insert("after")] });
    const found = await ids(db);
    expect(new Set(found).size).toBe(found.length);
    for (const [n, outcome] of outcomes.entries())
      if (outcome === "kept") expect(found).toContain(`${n + 1}`);
    const text = readFileSync(join(dirname(pathOf("acme")), "log"), "utf8");
    expect(text).toBe(`${found.join("\n")}\n`);
    expect(await committed(db, "log")).toBe(text.length);
  });

  it("that never begins to work is no reason to begin for ever", async () => {
    const hopeless = new SqliteDatabases({ migrationsDirectory: join(folder, "absent") });
    await expect(tenant("acme", hopeless).write({ statements: [] })).rejects.toMatchObject({
      code: "storage_uncertain",
    });
    await expect(tenant("acme", hopeless).write({ statements: [] })).rejects.toMatchObject({
      code: "shutting_down",
    });
    await hopeless.close();
  });
});

describe("a full disk", () => {
  it("says so, keeps what was there, and works again without a restart", async (context) => {
    const disk = smallDisk(context);
    try {
      const db = databases.open("tenant", join(disk, "acme", "tenant.db"), "acme");
      await db.write({ appends: [append("log.jsonl", "kept\n")], statements: [insert("kept")] });
      writeFileSync(join(disk, "ballast"), Buffer.alloc(400 * 1024));
      const codes = await fill(db);
      expect(codes).toEqual(["storage_full"]);
      expect(await committed(db, "log.jsonl")).toBe(5);
      const before = await ids(db);
      expect(before[0]).toBe("kept");
      rmSync(join(disk, "ballast"));
      await db.write({ appends: [append("log.jsonl", "again\n")], statements: [insert("again")] });
      expect(await ids(db)).toEqual([...before, "again"]);
      const lines = readFileSync(join(disk, "acme", "log.jsonl"), "utf8").slice(
        0,
        await committed(db, "log.jsonl"),
      );
      expect(lines).toBe("kept\nagain\n");
      const raw = openConnection(join(disk, "acme", "tenant.db"), "reader");
      expect(raw.pragma("integrity_check", { simple: true })).toBe("ok");
      raw.close();
    } finally {
      await databases.close();
      execFileSync("umount", [disk]);
    }
  });

  it("says so for an append as well, and other files are served", async (context) => {
    const disk = smallDisk(context);
    try {
      const db = databases.open("tenant", join(disk, "acme", "tenant.db"), "acme");
      await db.write({ statements: [insert("a")] });
      const big = { file: "log.jsonl", bytes: Buffer.alloc(2 * 1024 * 1024, 0x61) };
      await expect(db.write({ appends: [big], statements: [insert("b")] })).rejects.toMatchObject({
        code: "storage_full",
      });
      expect(await ids(db)).toEqual(["a"]);
      await tenant("beta").write({ statements: [insert("elsewhere")] });
      await db.write({ appends: [append("log.jsonl", "small\n")], statements: [insert("c")] });
      expect(await ids(db)).toEqual(["a", "c"]);
      expect(readFileSync(join(disk, "acme", "log.jsonl"), "utf8")).toBe("small\n");
    } finally {
      await databases.close();
      execFileSync("umount", [disk]);
    }
  });
});

/** A disk of one megabyte, or a test that is skipped. */
function smallDisk(context: TestContext): string {
  const disk = join(folder, "disk");
  mkdirSync(disk);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], { stdio: "pipe" });
  } catch {
    context.skip("mounting a small disk needs root");
  }
  return disk;
}

/** Write until the disk is full, and some more; the kinds of refusal that were seen. */
async function fill(db: Database): Promise<string[]> {
  const codes = new Set<string>();
  for (let n = 0; n < 60; n++) {
    const batch = {
      appends: [append("log.jsonl", "no\n")],
      statements: [insert(`fill${n}`, "y".repeat(30_000)), REFUSED],
    };
    const stays = { statements: [insert(`fill${n}`, "y".repeat(30_000))] };
    await db.write(n % 2 === 0 ? stays : batch).catch((thrown: { code: string }) => codes.add(thrown.code));
  }
  return [...codes];
}

const REFUSED: Statement = { sql: "UPDATE notes SET text = '' WHERE id = 'absent'", expect: 1 };
