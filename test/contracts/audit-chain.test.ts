/**
 * The audit chain: whatever is done to the stored rows is noticed, and the first wrong row is named; by the product and,
 * independently, by the offline verifier on an export.
 */
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuditRow, appendStatement, COLUMNS, hashOf, originOf } from "#src/audit/chain.ts";
import { csvCell, exportLog } from "#src/audit/export.ts";
import { HEAD_TYPE, HeadKeeper, makeHeadReader } from "#src/audit/heads.ts";
import { AuditLog } from "#src/audit/log.ts";
import { type Verdict, verifyChain } from "#src/audit/verify.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { sha256Hex } from "#src/kernel/crypto.ts";
import { makeLog } from "#src/kernel/log.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database } from "#src/storage/database.ts";
import type { Connection } from "#src/storage/sqlite-open.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { AuditWorld, MIGRATIONS, record } from "../support/audit-world.ts";

let world: AuditWorld;

beforeAll(() => {
  world = new AuditWorld();
});

afterAll(() => world.close());

/** A chain of eight rows, changed, and what is then said of it. */
async function after(edit: (connection: Connection) => void): Promise<Verdict> {
  const { name, db } = await world.chain();
  expect(await verifyChain(db, name)).toMatchObject({ ok: true, checked: 8, problem: null });
  world.tamper(name, edit);
  return verifyChain(db, name);
}

const problemOf = async (edit: (connection: Connection) => void) => (await after(edit)).problem;

/** Write the chain anew from a row on, as somebody would who knows how it is made. */
function rewrite(connection: Connection, from: number): void {
  const rows = connection
    .prepare("SELECT * FROM audit_log WHERE seq >= ? ORDER BY seq")
    .all(from) as AuditRow[];
  let prev = connection
    .prepare("SELECT hash FROM audit_log WHERE seq = ?")
    .pluck()
    .get(from - 1) as string;
  const update = connection.prepare("UPDATE audit_log SET prev_hash = ?, hash = ? WHERE seq = ?");
  for (const row of rows) {
    const hash = hashOf({ ...row, prev_hash: prev });
    update.run(prev, hash, row.seq);
    prev = hash;
  }
  connection.prepare("UPDATE audit_end SET hash = ?").run(prev);
}

describe("a chain", () => {
  it("is made as docs/audit.md says", async () => {
    const { name, db } = await world.chain("a-chain", 2);
    const rows = await db.list<AuditRow>("SELECT * FROM audit_log ORDER BY seq");
    expect(rows.map((row) => row.seq)).toEqual([1, 2]);
    expect(rows[0]?.prev_hash).toBe(sha256Hex(JSON.stringify(["creel.audit.1", name])));
    const [first] = rows as [AuditRow];
    const { hash, seq, prev_hash, ...rest } = first;
    expect(hash).toBe(sha256Hex(JSON.stringify(["creel.audit.1", seq, ...Object.values(rest), prev_hash])));
    expect(rows[1]?.prev_hash).toBe(hash);
  });

  it("takes a record once", async () => {
    const { name, db } = await world.chain();
    const one = record(100);
    await db.write({ statements: [appendStatement(one), appendStatement(one)] });
    await db.write({ statements: [appendStatement(one)] });
    expect(await verifyChain(db, name)).toMatchObject({ ok: true, checked: 9 });
  });

  it("holds any text that a name or a detail may be", async () => {
    const { name, db } = await world.chain();
    const odd = ["\u0000", "\ud800", "é\u2028😀", '"\\\n', "x".repeat(50_000), "=1+1", "\u202eevil"];
    for (const [n, text] of odd.entries()) {
      const base = record(200 + n, { text, nested: { z: 1, a: [text, null, 1e21, 0.1] } });
      await db.write({ statements: [appendStatement({ ...base, actor: { ...base.actor, name: text } })] });
    }
    expect(await verifyChain(db, name)).toMatchObject({ ok: true, checked: 8 + odd.length });
    const longest = await db.find<{ n: number }>("SELECT max(length(details)) AS n FROM audit_log");
    expect(longest?.n).toBeLessThan(10_000);
  });

  it("stays one chain under many writers at once", async () => {
    const { name, db } = await world.chain();
    const others = [1, 2].map(() => new SqliteDatabases({ migrationsDirectory: MIGRATIONS }));
    const dbs = [db, ...others.map((one) => one.open("tenant", world.path(name), name))];
    await Promise.all(
      dbs.flatMap((one, writer) =>
        Array.from({ length: 40 }, (_, n) =>
          one.write({ statements: [appendStatement(record(1_000 * (writer + 1) + n))] }),
        ),
      ),
    );
    for (const one of others) await one.close();
    expect(await verifyChain(db, name)).toMatchObject({ ok: true, checked: 128 });
  });

  it.each([
    ["a change", "UPDATE audit_log SET action = 'x' WHERE seq = 3"],
    ["a removal", "DELETE FROM audit_log WHERE seq = 3"],
    ["the same number again", "INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log WHERE seq = 3"],
    [
      "a gap",
      `INSERT INTO audit_log SELECT 77, 'x', ${COLUMNS.slice(2).join()} FROM audit_log WHERE seq = 8`,
    ],
    ["another beginning", "UPDATE audit_end SET seq = 2"],
    ["no end", "DELETE FROM audit_end"],
    ["a change of a head", "UPDATE audit_heads SET seq = 1"],
    ["a removal of a head", "DELETE FROM audit_heads"],
  ])("refuses %s", async (_what, sql) => {
    const { name, db } = await world.chain();
    const head =
      "INSERT INTO audit_heads VALUES ('2027-01-15', 8, (SELECT hash FROM audit_end), 'x') ON CONFLICT DO NOTHING";
    await db.write({ statements: [{ sql: head }] });
    await expect(db.write({ statements: [{ sql }] })).rejects.toThrow();
    expect(await verifyChain(db, name)).toMatchObject({ ok: true, checked: 8 });
  });
});

describe("what is done to a chain is named", () => {
  it.each(COLUMNS.filter((column) => column !== "seq"))("a changed %s", async (column) => {
    const problem = await problemOf((connection) => {
      const isNumber = column === "at_ms";
      const value = column === "outcome" ? "'denied'" : column === "details" ? "'{}'" : `${column} || 'x'`;
      connection.exec(`UPDATE audit_log SET ${column} = ${isNumber ? "at_ms + 1" : value} WHERE seq = 4`);
    });
    expect(problem).toMatchObject({ seq: 4, kind: "altered" });
    expect(problem?.message).toContain("Row 4");
  });

  it("any flipped bit of any text, in any row", async () => {
    const { name, db } = await world.chain("flips", 6);
    const texts = COLUMNS.filter((column) => !["seq", "at_ms", "outcome", "details"].includes(column));
    world.tamper(name, () => undefined);
    // The same choices at every run: a failure can be looked at again.
    let state = 12_345;
    const next = (bound: number) => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((state / 2_147_483_648) * bound);
    };
    for (let round = 0; round < 60; round++) {
      const seq = 1 + next(6);
      const column = texts[next(texts.length)] ?? "id";
      let was: string | null = null;
      world.tamper(name, (connection) => {
        was = connection.prepare(`SELECT ${column} FROM audit_log WHERE seq = ?`).pluck().get(seq) as string;
        const bytes = Buffer.from(was, "latin1");
        const at = next(bytes.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << next(6));
        connection
          .prepare(`UPDATE audit_log SET ${column} = ? WHERE seq = ?`)
          .run(bytes.toString("latin1"), seq);
      });
      const { problem } = await verifyChain(db, name);
      expect(problem?.seq, `${column} of row ${seq}`).toBe(seq);
      world.tamper(name, (connection) =>
        connection.prepare(`UPDATE audit_log SET ${column} = ? WHERE seq = ?`).run(was, seq),
      );
    }
    expect(await verifyChain(db, name)).toMatchObject({ ok: true });
  });

  it("a dropped row, also the first", async () => {
    const drop = (seq: number) => problemOf((on) => void on.exec(`DELETE FROM audit_log WHERE seq = ${seq}`));
    expect(await drop(5)).toEqual({ seq: 5, kind: "missing", message: "Row 5 is gone." });
    expect(await drop(1)).toEqual({ seq: 1, kind: "missing", message: "Row 1 is gone." });
    const three = await problemOf((on) => void on.exec("DELETE FROM audit_log WHERE seq BETWEEN 3 AND 5"));
    expect(three).toEqual({ seq: 3, kind: "missing", message: "Rows 3 to 5 are gone." });
  });

  it("a dropped row behind which the numbers were closed up", async () => {
    const problem = await problemOf((connection) => {
      connection.exec("DELETE FROM audit_log WHERE seq = 5");
      connection.exec("UPDATE audit_log SET seq = seq - 1 WHERE seq > 5");
    });
    expect(problem).toMatchObject({ seq: 5, kind: "reordered", message: "Row 5 was written as row 6." });
  });

  it("a swapped pair", async () => {
    const problem = await problemOf((connection) => {
      connection.exec("UPDATE audit_log SET seq = 99 WHERE seq = 3");
      connection.exec("UPDATE audit_log SET seq = 3 WHERE seq = 4");
      connection.exec("UPDATE audit_log SET seq = 4 WHERE seq = 99");
    });
    expect(problem).toEqual({ seq: 3, kind: "reordered", message: "Row 3 was written as row 4." });
  });

  it("a truncated tail, also when the log goes on afterwards", async () => {
    const { name, db } = await world.chain();
    world.tamper(name, (connection) => connection.exec("DELETE FROM audit_log WHERE seq > 6"));
    const { problem } = await verifyChain(db, name);
    expect(problem).toEqual({
      seq: 7,
      kind: "truncated",
      message: "The log ended at row 8; it now ends at row 6.",
    });
    await db.write({ statements: [appendStatement(record(50))] });
    expect((await verifyChain(db, name)).problem).toMatchObject({ seq: 7, kind: "missing" });
  });

  it("a row of another tenant's log", async () => {
    const [mine, theirs] = [await world.chain("mine", 3), await world.chain("theirs", 3)];
    const rows = await theirs.db.list<AuditRow>("SELECT * FROM audit_log ORDER BY seq");
    world.tamper("mine", (connection) => {
      connection.exec("DELETE FROM audit_log");
      const insert = connection.prepare(`INSERT INTO audit_log VALUES (${COLUMNS.map(() => "?").join()})`);
      for (const row of rows) insert.run(...COLUMNS.map((column) => row[column]));
      connection.prepare("UPDATE audit_end SET hash = ?").run(rows[2]?.hash);
    });
    expect((await verifyChain(mine.db, "mine")).problem).toMatchObject({ seq: 1, kind: "reordered" });
    expect(originOf("mine")).not.toBe(originOf("theirs"));
  });
});

describe("signed heads", () => {
  const DAY = 86_400_000;
  const pair = generateKeyPairSync("ed25519");
  const stranger = generateKeyPairSync("ed25519");
  const signWith = (key: typeof pair.privateKey) => ({
    sign: (typ: string, claims: Record<string, unknown>) =>
      new SignJWT(claims).setProtectedHeader({ alg: "EdDSA", kid: "k1", typ }).sign(key),
  });
  const readHead = makeHeadReader({
    findByKid: async (kid) => (kid === "k1" ? { purpose: "record", publicKey: pair.publicKey } : undefined),
  });

  /** A chain of eight rows in one day of 2027, kept by a signed head of that day. */
  async function kept(key = pair.privateKey) {
    const chain = await world.chain();
    const scope = { tenantId: chain.name, db: chain.db } as unknown as TenantScope;
    const log = new AuditLog(chain.db);
    const clock = { ...systemClock, nowMs: () => 1_800_000_000_000 + 2 * DAY };
    const keeper = new HeadKeeper({
      log,
      clock,
      signer: signWith(key),
      logger: makeLog({ level: "silent" }),
    });
    return { ...chain, scope, log, keeper, heads: await keeper.list(scope) };
  }

  it("are made once for each finished day with rows, and for this moment", async () => {
    const { keeper, scope, heads, db } = await kept();
    expect(heads.map(({ day, seq }) => [day, seq])).toEqual([["2027-01-15", 8]]);
    const again = await keeper.list(scope);
    expect(again[0]?.signed).toBe(heads[0]?.signed);
    await db.write({ statements: [appendStatement({ ...record(60), atMs: 1_800_000_000_000 + 2 * DAY })] });
    const more = await keeper.list(scope);
    expect(more.map(({ day, seq }) => [day, seq])).toEqual([
      ["2027-01-17", 9],
      ["2027-01-15", 8],
    ]);
    const stored = await db.list<{ day: string }>("SELECT day FROM audit_heads");
    expect(stored).toEqual([{ day: "2027-01-15" }]);
  });

  it("catch a tail that was cut off together with its mark", async () => {
    const { name, db } = await kept();
    world.tamper(name, (connection) => {
      connection.exec("DELETE FROM audit_log WHERE seq > 6");
      connection.exec("UPDATE audit_end SET seq = 6, hash = (SELECT hash FROM audit_log WHERE seq = 6)");
    });
    expect((await verifyChain(db, name)).problem).toMatchObject({ seq: 7, kind: "truncated" });
  });

  it("catch a chain that was written anew", async () => {
    const { name, db } = await kept();
    world.tamper(name, (connection) => {
      connection.exec("UPDATE audit_log SET actor_name = 'Somebody else' WHERE seq = 2");
      rewrite(connection, 2);
    });
    expect((await verifyChain(db, name)).problem).toMatchObject({ seq: 8, kind: "head" });
    world.tamper(name, (on) => void on.exec("UPDATE audit_heads SET hash = (SELECT hash FROM audit_end)"));
    expect((await verifyChain(db, name)).problem).toBeNull();
    expect((await verifyChain(db, name, readHead)).problem).toMatchObject({ seq: 8, kind: "head" });
  });

  it("count only when the gateway's own key signed them, as heads, of this chain", async () => {
    const sound = await kept();
    expect(await verifyChain(sound.db, sound.name, readHead)).toMatchObject({ ok: true });
    const forged = await kept(stranger.privateKey);
    expect((await verifyChain(forged.db, forged.name, readHead)).problem).toMatchObject({ kind: "head" });
    const claims = { chain: sound.name, day: "2027-01-15", seq: 8, hash: sound.heads[0]?.hash };
    const otherKind = await signWith(pair.privateKey).sign("creel-receipt+jws", claims);
    expect(await readHead(otherKind)).toBeUndefined();
    expect(await readHead(await signWith(pair.privateKey).sign(HEAD_TYPE, claims))).toMatchObject(claims);
  });

  describe("and the offline verifier", () => {
    /** Export, change the text, and ask the verifier, which is a program of its own. */
    async function offline(
      edit: (lines: string[]) => string[],
      flags: (files: Files) => string[] = () => [],
    ) {
      const chain = await kept();
      let text = "";
      for await (const piece of exportLog(chain.log, chain.scope, {}, "jsonl")) text += piece;
      const write = (name: string, content: string) => {
        const path = join(world.folder, `${chain.name}-${name}`);
        writeFileSync(path, content);
        return path;
      };
      const jwk = { ...pair.publicKey.export({ format: "jwk" }), kid: "k1", purpose: "record" };
      const files: Files = {
        heads: write("heads.json", JSON.stringify({ heads: chain.heads })),
        jwks: write("jwks.json", JSON.stringify({ keys: [jwk] })),
        last: `8:${chain.heads[0]?.hash ?? ""}`,
        export: write("export.jsonl", `${edit(text.trimEnd().split("\n")).join("\n")}\n`),
      };
      return run(files.export, ...flags(files));
    }

    interface Files {
      heads: string;
      jwks: string;
      last: string;
      export: string;
    }

    function run(...args: string[]) {
      const program = join(import.meta.dirname, "..", "..", "src", "audit", "verify-audit.mjs");
      const child = spawnSync(process.execPath, [program, ...args, "--json"], { encoding: "utf8" });
      const said = child.stdout.startsWith("{") ? (JSON.parse(child.stdout) as Record<string, unknown>) : {};
      return { code: child.status, error: child.stderr, ...said } as {
        code: number | null;
        error: string;
        ok?: boolean;
        checked?: number;
        signatures?: string;
        problem?: { seq: number; kind: string; message: string } | null;
      };
    }

    const all = ({ heads, jwks, last }: Files) => ["--heads", heads, "--jwks", jwks, "--expect", last];

    it("passes what is sound", async () => {
      const said = await offline((lines) => lines, all);
      expect(said).toMatchObject({ code: 0, ok: true, checked: 8, signatures: "good", problem: null });
    });

    it.each<[string, (lines: string[]) => string[], object]>([
      ["a changed word", (l) => l.with(3, (l[3] ?? "").replace("Ada", "Eve")), { seq: 3, kind: "altered" }],
      ["an added field", (l) => l.with(3, (l[3] ?? "").replace("{", '{"a":1,')), { seq: 3, kind: "altered" }],
      [
        "a key twice",
        (l) => l.with(3, (l[3] ?? "").replace("{", '{"action":"x",')),
        { seq: 3, kind: "altered" },
      ],
      ["a space", (l) => l.with(3, (l[3] ?? "").replace(",", ", ")), { seq: 3, kind: "altered" }],
      ["a dropped row", (l) => l.toSpliced(5, 1), { seq: 5, kind: "missing" }],
      ["a dropped first row", (l) => l.toSpliced(1, 1), { seq: 1, kind: "missing" }],
      ["a swapped pair", (l) => l.with(3, l[4] ?? "").with(4, l[3] ?? ""), { seq: 4, kind: "reordered" }],
      ["a row twice", (l) => l.toSpliced(4, 0, l[3] ?? ""), { seq: 3, kind: "reordered" }],
      ["a truncated tail", (l) => l.slice(0, 7), { seq: 7, kind: "truncated" }],
      ["a truncated tail before the end", (l) => l.toSpliced(7, 2), { seq: 7, kind: "truncated" }],
      [
        "a swapped pair with its numbers",
        (l) => {
          const swapped = l.with(3, l[4] ?? "").with(4, l[3] ?? "");
          return swapped
            .with(3, (l[4] ?? "").replace('"seq":4', '"seq":3'))
            .with(4, (l[3] ?? "").replace('"seq":3', '"seq":4'));
        },
        { seq: 3, kind: "reordered" },
      ],
    ])("names %s", async (_what, edit, problem) => {
      const said = await offline(edit);
      expect(said).toMatchObject({ code: 1, ok: false, problem });
    });

    it("names a truncated tail with a forged end by what was kept", async () => {
      const forge = (lines: string[]) => {
        const sixth = JSON.parse(lines[6] ?? "") as AuditRow;
        return [...lines.slice(0, 7), JSON.stringify({ end: true, rows: 6, seq: 6, hash: sixth.hash })];
      };
      expect(await offline(forge)).toMatchObject({ code: 0, ok: true });
      expect((await offline(forge, ({ heads }) => ["--heads", heads])).problem).toMatchObject({
        seq: 7,
        kind: "truncated",
      });
      const expected = await offline(forge, ({ last }) => ["--expect", last]);
      expect(expected).toMatchObject({ code: 1, problem: { seq: 7, kind: "truncated" } });
    });

    it("refuses heads that were not signed with the keys given, and what is no export", async () => {
      const other = join(world.folder, "other-jwks.json");
      const jwk = { ...stranger.publicKey.export({ format: "jwk" }), kid: "k1" };
      writeFileSync(other, JSON.stringify({ keys: [jwk] }));
      const said = await offline(
        (lines) => lines,
        ({ heads }) => ["--heads", heads, "--jwks", other],
      );
      expect(said).toMatchObject({ code: 1, problem: { kind: "head" } });
      const odd = join(world.folder, "odd.jsonl");
      writeFileSync(odd, '{"hello":1}\n');
      expect(run(odd)).toMatchObject({ code: 2, error: expect.stringContaining("no export") });
      expect(run(join(world.folder, "nothing"))).toMatchObject({ code: 2 });
    });
  });
});

describe("pages of a log", () => {
  it("go from the newest to the oldest without a gap or a repetition, whatever is appended meanwhile", async () => {
    const { name, db } = await world.chain("paged", 25);
    const scope = { tenantId: name, db } as unknown as TenantScope;
    const log = new AuditLog(db as Database);
    const seen: number[] = [];
    let before: number | undefined;
    do {
      const page = await log.list(scope, { before, action: "token.*" }, 4);
      seen.push(...page.rows.map((row) => row.seq));
      before = page.next ?? undefined;
      await db.write({ statements: [appendStatement(record(500 + seen.length))] });
    } while (before !== undefined);
    expect(seen).toEqual(Array.from({ length: 25 }, (_, n) => 25 - n));
    const found = await log.list(scope, { actor: "ad", action: "token.created", to: 1_800_000_010_000 }, 50);
    expect(found.rows.map((row) => row.seq)).toEqual([8, 6, 4, 2]);
    expect((await log.list(scope, { actor: "%" }, 50)).rows).toEqual([]);
  });
});

describe("a cell of CSV", () => {
  it.each([
    ["=HYPERLINK(1)", "'=HYPERLINK(1)"],
    ["+1", "'+1"],
    ["-1", "'-1"],
    ["@x", "'@x"],
    ["\tx", '"\'\tx"'],
    ["\r=1", '"\'\r=1"'],
    ["\u0000=1", '"\'=1"'],
    ["  =1", "'  =1"],
    ['a"b', '"a""b"'],
    ["a,b;c\nd", '"a,b;c\nd"'],
    ["plain", "plain"],
  ])("%j is %j", (value, cell) => {
    expect(csvCell(value)).toBe(cell);
  });
});
