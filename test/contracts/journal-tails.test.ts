/**
 * Appends that were acknowledged before their file was flushed: what a power cut, a kill, a damaged file and a second
 * crash make of them. A power cut is played by ending the writing thread and taking from the file what was not flushed.
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database } from "#src/storage/database.ts";
import { JOURNAL_TABLES, Journals } from "#src/storage/journals.ts";
import { openConnection } from "#src/storage/sqlite-open.ts";

const TABLE = "CREATE TABLE notes (id TEXT PRIMARY KEY) STRICT;";
const FILE = "agents/main/sessions/one.jsonl";

let folder: string;
let databases: SqliteDatabases;

function start(openFiles = 8): SqliteDatabases {
  // The time is never up: only what a test does makes files be flushed.
  const settleAfterMs = 2 ** 31 - 1;
  return new SqliteDatabases({ migrationsDirectory: join(folder, "migrations"), openFiles, settleAfterMs });
}

function tenant(name = "acme", from = databases): Database {
  return from.open("tenant", pathOf(name), name);
}

function pathOf(name = "acme"): string {
  return join(folder, "tenants", name, "tenant.db");
}

function onDisk(file = FILE): string {
  return join(dirname(pathOf()), file);
}

function text(file = FILE): string {
  return readFileSync(onDisk(file), "utf8");
}

async function add(what: string, file = FILE): Promise<void> {
  await tenant().write({ appends: [{ file, bytes: Buffer.from(what) }], statements: [] });
}

/** What waits in the database to be flushed to files, as another process sees it. */
function tails(name = "acme"): { file: string; start: number; length: number }[] {
  const raw = openConnection(pathOf(name), "reader");
  const sql = "SELECT file, start_bytes AS start, length(bytes) AS length FROM journal_tails ORDER BY id";
  const rows = raw.prepare(sql).all() as { file: string; start: number; length: number }[];
  raw.close();
  return rows;
}

/** End as a kill would: nothing is closed, nothing flushed. */
async function crash(): Promise<void> {
  const { worker } = databases as unknown as { worker: { terminate(): Promise<number> } };
  await worker.terminate();
  await databases.close();
}

/** The next process, whose first read is of `acme`. */
async function restart(): Promise<void> {
  databases = start();
  await tenant().find("SELECT 1");
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "creel-tails-"));
  for (const kind of ["control", "tenant"]) {
    mkdirSync(join(folder, "migrations", kind), { recursive: true });
    writeFileSync(join(folder, "migrations", kind, "0001-notes.sql"), TABLE);
  }
  databases = start();
});

afterEach(async () => {
  await databases.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("an append that was acknowledged", () => {
  it("is in the file at once, and in the database until the file was flushed", async () => {
    await add("one\n");
    await add("two\n");
    expect(text()).toBe("one\ntwo\n");
    expect(tails()).toEqual([
      { file: FILE, start: 0, length: 4 },
      { file: FILE, start: 4, length: 4 },
    ]);
    await databases.release(pathOf());
    expect(tails()).toEqual([]);
    expect(text()).toBe("one\ntwo\n");
  });

  it.each<[string, () => void]>([
    ["nothing", () => undefined],
    ["all of the file's bytes", () => truncateSync(onDisk(), 0)],
    ["half a line", () => truncateSync(onDisk(), 6)],
    ["the file's name", () => rmSync(onDisk())],
    ["the names of its folders", () => rmSync(onDisk("agents"), { recursive: true })],
    ["what it holds, not its length", () => writeFileSync(onDisk(), "\0".repeat(14))],
    ["what it holds, and left too much", () => writeFileSync(onDisk(), "x".repeat(5_000))],
  ])("is there after a power cut that took %s", async (_name, take) => {
    await add("one\n");
    await add("two\n");
    await add("three\n");
    await crash();
    take();
    await restart();
    expect(text().slice(0, 14)).toBe("one\ntwo\nthree\n");
    expect(tails()).toEqual([]);
    await add("four\n");
    expect(text()).toBe("one\ntwo\nthree\nfour\n");
  });

  it("is there after a power cut behind what was flushed before", async () => {
    await add("one\n");
    await databases.release(pathOf());
    await add("two\n");
    await add("three\n");
    await crash();
    truncateSync(onDisk(), 5);
    await restart();
    expect(text()).toBe("one\ntwo\nthree\n");
  });

  it("is there once when the machine dies again before it was forgotten in the database", async () => {
    await add("one\n");
    await add("two\n");
    await crash();
    cpSync(dirname(pathOf()), join(folder, "before"), { recursive: true });
    truncateSync(onDisk(), 3);
    await restart();
    await databases.close();
    // The files as the first repair left them, the database as it was before.
    for (const name of ["tenant.db", "tenant.db-wal", "tenant.db-shm"]) {
      rmSync(join(dirname(pathOf()), name), { force: true });
      const copy = join(folder, "before", name);
      if (existsSync(copy)) copyFileSync(copy, join(dirname(pathOf()), name));
    }
    expect(tails()).toHaveLength(2);
    await restart();
    expect(text()).toBe("one\ntwo\n");
    expect(tails()).toEqual([]);
  });

  it("is flushed before its database is closed to make room for others", async () => {
    await databases.close();
    databases = start(1);
    await add("one\n");
    expect(tails()).toHaveLength(1);
    await tenant("beta").write({ statements: [] });
    expect(tails()).toEqual([]);
    expect(text()).toBe("one\n");
  });

  it("is flushed at once when it is large, and what is small around it is mended", async () => {
    const large = `${"y".repeat(200_000)}\n`;
    await add("one\n");
    await add(large);
    await add("two\n");
    expect(tails().map(({ start, length }) => [start, length])).toEqual([
      [0, 4],
      [4 + large.length, 4],
    ]);
    await crash();
    truncateSync(onDisk(), 4 + large.length);
    await restart();
    expect(text()).toBe(`one\n${large}two\n`);
  });

  it("that was refused leaves nothing to mend", async () => {
    await add("one\n");
    const refused = { sql: "DELETE FROM notes", expect: 1 };
    await tenant().write({
      appends: [{ file: FILE, bytes: Buffer.from("never\n") }],
      statements: [refused],
    });
    await crash();
    await restart();
    await add("two\n");
    expect(text()).toBe("one\ntwo\n");
  });
});

describe("a file that the database cannot mend", () => {
  it("is not written behind the missing piece; others are mended, and it is when the piece is back", async () => {
    await add("one\n");
    await databases.release(pathOf());
    copyFileSync(onDisk(), join(folder, "backup"));
    await add("two\n");
    await add("elsewhere\n", "other.jsonl");
    await crash();
    truncateSync(onDisk(), 1);
    rmSync(onDisk("other.jsonl"));
    await restart();
    expect(text()).toBe("o");
    expect(text("other.jsonl")).toBe("elsewhere\n");
    expect(tails()).toEqual([{ file: FILE, start: 4, length: 4 }]);
    await expect(add("three\n")).rejects.toMatchObject({ code: "tenant_unavailable" });
    expect(text()).toBe("o");
    await databases.release(pathOf());
    expect(tails()).toHaveLength(1);
    copyFileSync(join(folder, "backup"), onDisk());
    await add("three\n", "other.jsonl");
    expect(text()).toBe("one\ntwo\n");
    await add("three\n");
    expect(text()).toBe("one\ntwo\nthree\n");
  });

  it("is not made anew when all of it was flushed and it is gone", async () => {
    await add("one\n");
    await databases.release(pathOf());
    await add("two\n");
    await crash();
    rmSync(onDisk());
    await restart();
    expect(existsSync(onDisk())).toBe(false);
    expect(tails()).toHaveLength(1);
  });

  it("is not reached through a link", async () => {
    await add("one\n");
    await crash();
    const outside = join(folder, "outside.txt");
    writeFileSync(outside, "precious");
    renameSync(onDisk(), join(folder, "aside"));
    symlinkSync(outside, onDisk());
    await restart();
    expect(readFileSync(outside, "utf8")).toBe("precious");
    expect(tails()).toHaveLength(1);
  });
});

describe("a database of an older Creel", () => {
  it("gets the table it lacks when it is opened", async () => {
    await add("one\n");
    await databases.close();
    const raw = openConnection(pathOf(), "writer");
    raw.exec("DROP TABLE journal_tails");
    raw.close();
    databases = start();
    await add("two\n");
    expect(tails()).toHaveLength(1);
    expect(text()).toBe("one\ntwo\n");
  });
});

describe("flushing beside commits", () => {
  function open() {
    const connection = openConnection(join(folder, "plain.db"), "writer");
    connection.exec(JOURNAL_TABLES);
    const journals = new Journals(connection, folder);
    const append = (what: string) => {
      connection.exec("BEGIN IMMEDIATE");
      journals.append({ file: "log", bytes: Buffer.from(what) });
      journals.flush();
      connection.exec("COMMIT");
      journals.endGroup();
    };
    const left = () => connection.prepare("SELECT start_bytes FROM journal_tails ORDER BY id").pluck().all();
    return { connection, journals, append, left };
  }

  it("forgets only what it flushed", async () => {
    const { connection, journals, append, left } = open();
    append("one\n");
    append("two\n");
    const settled = journals.settle();
    append("three\n");
    await settled;
    expect(left()).toEqual([8]);
    expect(journals.isOwing).toBe(true);
    await journals.settle();
    expect(left()).toEqual([]);
    expect(journals.isOwing).toBe(false);
    expect(readFileSync(join(folder, "log"), "utf8")).toBe("one\ntwo\nthree\n");
    connection.close();
  });

  it("leaves files alone once the database is closed, which flushed all", async () => {
    const { connection, journals, append, left } = open();
    append("one\n");
    append("two\n");
    const settled = journals.settle();
    expect(journals.isOwing).toBe(true);
    journals.settleNow();
    expect(left()).toEqual([]);
    connection.close();
    rmSync(join(folder, "log"));
    await settled;
    await journals.settle();
    expect(existsSync(join(folder, "log"))).toBe(false);
  });

  it("is due after a megabyte, however it comes", () => {
    const { connection, journals, append } = open();
    for (let n = 0; n < 40; n++) append("z".repeat(25_000));
    expect(journals.isDue).toBe(false);
    for (let n = 0; n < 2; n++) append("z".repeat(25_000));
    expect(journals.isDue).toBe(true);
    journals.settleNow();
    expect(journals.isDue).toBe(false);
    expect(statSync(join(folder, "log")).size).toBe(42 * 25_000);
    connection.close();
  });
});
