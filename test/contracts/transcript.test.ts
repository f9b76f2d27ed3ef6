/** Conversations on disk: order, positions, torn tails, damage. Run against real files. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AgentId, newId, type SessionId, type TenantId } from "#src/kernel/ids.ts";
import type { UserMessage } from "#src/protocol/message.ts";
import { appendRows, countRows, findRow, newRow, readRows } from "#src/sessions/transcript.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import { TenantDoor, type TenantScope } from "#src/tenancy/scoped.ts";

const MIGRATIONS = resolve(import.meta.dirname, "../../migrations");
const ref = { agentId: "main" as AgentId, sessionId: newId() as SessionId };
const tenantId = newId() as TenantId;

let folder: string;
let databases: SqliteDatabases;
let scope: TenantScope;

function open(): { databases: SqliteDatabases; scope: TenantScope } {
  const opened = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
  const tenant = {
    id: tenantId,
    slug: "acme",
    displayName: "acme",
    hosts: [],
    readOnlyUntilMs: null,
    deleteAfterMs: null,
    status: "active" as const,
    plan: "free",
    timeZone: "UTC",
    createdAtMs: 0,
  };
  return { databases: opened, scope: new TenantDoor(opened, folder).scope(tenant) };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "creel-transcript-"));
  ({ databases, scope } = open());
});

afterEach(async () => {
  await databases.close();
  rmSync(folder, { recursive: true, force: true });
});

function say(content: string): UserMessage {
  return { role: "user", content, timestamp: 1 };
}

async function add(texts: readonly string[], to = scope): Promise<number[]> {
  const added = appendRows(
    to,
    ref,
    texts.map((text) => newRow(say(text), null)),
  );
  const outcome = await to.db.write({ appends: [added.append], statements: added.statements });
  if (!outcome.committed) throw new Error("refused");
  return outcome.results.map((result) => Number(result.rows[0]?.["seq"]));
}

async function texts(from = 1, to = 1_000_000, maxBytes?: number): Promise<unknown[]> {
  return (await readRows(scope, ref, from, to, maxBytes)).map((row) => (row.message as UserMessage).content);
}

function file(): string {
  return join(scope.directory, scope.transcriptFile(ref.agentId, ref.sessionId));
}

describe("rows", () => {
  it("are numbered without a gap and come back byte for byte, whatever they hold", async () => {
    const strange = [
      "plain",
      "line\nbreak\r\n\u2028\u2029",
      "字\u{1f600}\0\u0007",
      '"}\n{"id":"forged"}',
      "",
      "x".repeat(1_000_000),
      "\ud800 alone",
    ];
    expect(await add(strange)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(await texts()).toEqual(strange);
    expect(readFileSync(file(), "utf8").trimEnd().split("\n")).toHaveLength(strange.length);
    expect(await countRows(scope, ref.sessionId)).toBe(7);
    expect(await texts(3, 4)).toEqual(strange.slice(2, 4));
    expect(await texts(8, 9)).toEqual([]);
    expect(await texts(5, 4)).toEqual([]);
  });

  it("keep their order among many writers", async () => {
    const names = Array.from({ length: 200 }, (_, n) => `n${n}`);
    const seqs = await Promise.all(names.map((name) => add([name, `${name}+`])));
    expect(seqs).toEqual(names.map((_, n) => [2 * n + 1, 2 * n + 2]));
    expect(await texts()).toEqual(names.flatMap((name) => [name, `${name}+`]));
  });

  it("do not run into each other when two processes write, which is refused elsewhere", async () => {
    await add(["first"]);
    const other = open();
    const mine = Array.from({ length: 60 }, (_, n) => `mine ${n}`);
    const theirs = Array.from({ length: 60 }, (_, n) => `theirs ${n}`);
    await Promise.all([
      ...mine.map((text) => add([text])),
      ...theirs.map((text) => add([text], other.scope)),
    ]);
    const all = await texts();
    expect(all.filter((text) => String(text).startsWith("mine"))).toEqual(mine);
    expect(all.filter((text) => String(text).startsWith("theirs"))).toEqual(theirs);
    expect(readFileSync(file(), "utf8").trimEnd().split("\n")).toHaveLength(121);
    await other.databases.close();
  });

  it("are read up to a number of bytes, the newest first of all, and always one", async () => {
    await add(["a", "b".repeat(500), "c"]);
    expect(await texts(1, 3, 1)).toEqual(["c"]);
    expect(await texts(1, 3, 400)).toEqual(["c"]);
    expect(await texts(1, 3, 100_000)).toEqual(["a", "b".repeat(500), "c"]);
    expect(await texts(1, 2, 1)).toEqual(["b".repeat(500)]);
  });

  it("are found by id only where they are", async () => {
    await add(["one"]);
    const [row] = await readRows(scope, ref, 1, 1);
    expect(await findRow(scope, ref, row?.id ?? "")).toMatchObject({ seq: 1 });
    expect(await findRow(scope, ref, "absent")).toBeUndefined();
    expect(await findRow(scope, { ...ref, sessionId: newId() as SessionId }, row?.id ?? "")).toBeUndefined();
  });
});

describe("what a crash leaves behind the last row", () => {
  it("at every possible length is never read and never glued to the next row", async () => {
    await add(["kept one", "kept two"]);
    const torn = `${JSON.stringify(newRow(say("torn 字"), null))}\n`;
    const bytes = Buffer.from(torn);
    const kept = ["kept one", "kept two"];
    for (let length = 0; length <= bytes.length; length += 7) {
      appendFileSync(file(), bytes.subarray(0, length));
      expect(await texts()).toEqual(kept);
      await add([`after ${length}`]);
      kept.push(`after ${length}`);
      expect(await texts()).toEqual(kept);
    }
    const lines = readFileSync(file(), "utf8").trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { message: UserMessage }).message.content)).toEqual(kept);
  });
});

describe("damage", () => {
  it.each<[string, (text: string) => string]>([
    ["a line that is no JSON", (text) => text.replace('{"id"', "{{{{{")],
    [
      "two lines that changed places",
      (text) => text.split("\n").slice(0, 3).reverse().join("\n").concat("\n"),
    ],
    ["zeros", (text) => "\0".repeat(text.length)],
  ])("is never shown as a conversation: %s", async (_name, change) => {
    await add(["one", "two", "six"]);
    const before = readFileSync(file(), "utf8");
    const after = change(before);
    expect(after).not.toBe(before);
    writeFileSync(file(), after);
    await expect(texts()).rejects.toMatchObject({ code: "tenant_unavailable" });
  });

  it("of a file that is gone or too short is named, and other conversations are read", async () => {
    await add(["one", "two"]);
    writeFileSync(file(), readFileSync(file()).subarray(0, 20));
    await expect(texts()).rejects.toMatchObject({ code: "tenant_unavailable" });
    rmSync(file());
    await expect(texts()).rejects.toMatchObject({ code: "tenant_unavailable" });
    await expect(add(["three"])).rejects.toMatchObject({ code: "tenant_unavailable" });
    const other = { ...ref, sessionId: newId() as SessionId };
    const added = appendRows(scope, other, [newRow(say("elsewhere"), null)]);
    await scope.db.write({ appends: [added.append], statements: added.statements });
    expect(await readRows(scope, other, 1, 1)).toHaveLength(1);
  });
});
