/**
 * The chain over ledger lines (ATTACKS QU-09): whoever has the file and takes the triggers away can change it, and is found
 * by `creel billing verify`, which names the first line. One tenant for each way to tamper, all looked at in one run.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuditMover } from "#src/audit/recording/mover.ts";
import { type ChainedLine, hashOf, originOf } from "#src/billing/ledger/chain/chain.ts";
import { LedgerSealer } from "#src/billing/ledger/chain/sealer.ts";
import { type LedgerProblem, verifyLedger } from "#src/billing/ledger/verify.ts";
import { PriceBook } from "#src/billing/prices.ts";
import { UsageRollup } from "#src/billing/rollup.ts";
import { StatementCloser } from "#src/billing/statements/closer.ts";
import { Statements } from "#src/billing/statements/statements.ts";
import { UsageMeter } from "#src/billing/usage.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import type { TenantId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database } from "#src/storage/database.ts";
import { runInContext } from "#src/tenancy/context.ts";
import { TenantDoor, type TenantScope } from "#src/tenancy/scoped.ts";
import { Tenants } from "#src/tenancy/tenants.ts";
import { startApp } from "../support/start-app.ts";
import { modelInput } from "../support/usage-world.ts";

const MIGRATIONS = resolve(import.meta.dirname, "../../migrations");
const BIN = resolve(import.meta.dirname, "../../bin/creel.js");
const OCTOBER = Date.UTC(2026, 9, 20, 12);
const NOVEMBER = Date.UTC(2026, 10, 22, 12);
const DAY_MS = 86_400_000;

type Edit = (file: SqliteDatabase.Database) => void;

const run = (sql: string): Edit => {
  return (file) => file.exec(sql);
};

/** All that follows from the lines is made to fit, so that only the chain can tell. */
const tidy = run(`DELETE FROM ledger_balances; INSERT INTO ledger_balances SELECT * FROM ledger_balances_true;
  UPDATE sqlite_sequence SET seq = (SELECT max(seq) FROM ledger_transfers) WHERE name = 'ledger_transfers'`);

/** The whole chain once more, as the program would have made it. */
const rechain: Edit = (file) => {
  const owner = file.prepare("SELECT owner FROM file_owner").pluck().get() as string;
  const lines = file.prepare("SELECT * FROM ledger_transfers ORDER BY seq").all() as ChainedLine[];
  file.exec("DELETE FROM ledger_hashes; DELETE FROM ledger_end");
  let prev = originOf(owner);
  const insert = file.prepare("INSERT INTO ledger_hashes VALUES (?, ?, ?)");
  for (const line of lines) {
    const hash = hashOf(line, prev);
    insert.run(line.seq, Buffer.from(prev, "hex"), Buffer.from(hash, "hex"));
    prev = hash;
  }
  file.prepare("INSERT INTO ledger_end VALUES (1, ?, ?)").run(lines.at(-1)?.seq, prev);
};

/** What the tenant's own log says of the ledger is made to fit too; the log's own chain then breaks, and says so elsewhere. */
const forgeHeads = run(`UPDATE audit_log SET details = json_set(details, '$.hash',
    (SELECT lower(hex(hash)) FROM ledger_hashes WHERE seq = details ->> 'seq')) WHERE action = 'ledger.sealed'`);

const flip = run("UPDATE ledger_transfers SET amount_micros = amount_micros - 1 WHERE seq = 3");
const cutAfter6 = run(`DELETE FROM ledger_transfers WHERE seq > 6; DELETE FROM ledger_hashes WHERE seq > 6;
  DELETE FROM usage_events WHERE seq > 6`);
const swap = (table: string) => `UPDATE ${table} SET seq = -seq WHERE seq IN (3, 4);
  UPDATE ${table} SET seq = 7 + seq WHERE seq < 0;`;

/** What is done to a tenant of this name, and what is said of it. */
const ATTACKS: Record<string, { edits: Edit[]; problem: Partial<LedgerProblem> | null; says?: RegExp }> = {
  untouched: { edits: [], problem: null },
  "flipped-amount": {
    edits: [flip, tidy],
    problem: { kind: "altered", line: 3, message: "Line 3 is not what was written." },
  },
  "flipped-byte": {
    edits: [run("UPDATE ledger_transfers SET details = replace(details, 'mock-1', 'mock-2') WHERE seq = 2")],
    problem: { kind: "altered", line: 2 },
  },
  backdated: {
    edits: [run("UPDATE ledger_transfers SET at_ms = at_ms - 86400000 WHERE seq = 7")],
    problem: { kind: "altered", line: 7 },
  },
  "altered-hash": {
    edits: [run("UPDATE ledger_hashes SET hash = zeroblob(32) WHERE seq = 5")],
    problem: { kind: "altered", line: 5 },
  },
  "dropped-line": {
    edits: [run("DELETE FROM ledger_transfers WHERE seq = 4"), tidy],
    problem: { kind: "missing", line: 4, message: "Line 4 is gone." },
  },
  "dropped-with-hash": {
    edits: [
      run("DELETE FROM ledger_transfers WHERE seq IN (3, 4); DELETE FROM ledger_hashes WHERE seq IN (3, 4)"),
      tidy,
    ],
    problem: { kind: "missing", line: 3, message: "Lines 3 to 4 are gone." },
  },
  "swapped-pair": {
    edits: [run(swap("ledger_transfers"))],
    problem: { kind: "reordered", line: 3, message: "Line 3 was written as line 4." },
  },
  "swapped-with-hashes": {
    edits: [run(swap("ledger_transfers") + swap("ledger_hashes"))],
    problem: { kind: "reordered", line: 3, message: "Line 3 was written as line 4." },
  },
  "truncated-tail": {
    edits: [run("DELETE FROM ledger_transfers WHERE seq > 6"), tidy],
    problem: { kind: "truncated", line: 7, message: "Lines 7 to 8 are gone from the end." },
  },
  "truncated-with-hashes": {
    edits: [cutAfter6, tidy],
    problem: { kind: "truncated", line: 7 },
    says: /^The audit log of \d{4}-\d\d-\d\d knows 8 lines; the ledger ends at line 6\.$/,
  },
  "truncated-end-too": {
    edits: [
      cutAfter6,
      tidy,
      rechain,
      run("DELETE FROM audit_log WHERE action = 'ledger.sealed' AND details ->> 'seq' > 6"),
    ],
    problem: { kind: "truncated", line: 7 },
    says: /^The platform's figures know 8 metered calls; the file ends at call 6\.$/,
  },
  "put-in": {
    edits: [
      run(`INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms,
        period) VALUES ('operator', 'gift', 0, 'grant', 'grants', 'credit', 1000000, 0, '2026-11')`),
      tidy,
    ],
    problem: { kind: "added", line: 9, message: "Line 9 was put in by another program: it has no hash." },
  },
  "another-chain": {
    edits: [flip, tidy, rechain],
    problem: { kind: "head", line: 5 },
    says: /^The audit log of \d{4}-\d\d-\d\d has another hash for line 5\.$/,
  },
  "another-chain-and-log": {
    edits: [flip, tidy, rechain, forgeHeads],
    problem: { kind: "head", line: 5 },
    says: /^The platform's log of \d{4}-\d\d-\d\d has another hash for line 5\.$/,
  },
  "renumbered-over-a-head": {
    edits: [run("DELETE FROM ledger_transfers WHERE seq = 5"), tidy, rechain],
    problem: { kind: "missing", line: 5 },
  },
  "end-set-back": {
    edits: [
      run(
        "UPDATE ledger_end SET (seq, hash) = (SELECT 6, lower(hex(hash)) FROM ledger_hashes WHERE seq = 6)",
      ),
    ],
    problem: { kind: "altered", line: 8 },
  },
  "no-chain": {
    edits: [run("DELETE FROM ledger_hashes; DELETE FROM ledger_end")],
    problem: { kind: "added", line: 1 },
  },
  "edited-balance": {
    edits: [
      run(`UPDATE ledger_balances SET balance_micros = balance_micros - 5 WHERE account = 'spent';
        INSERT INTO ledger_balances VALUES ('credit', 5)`),
    ],
    problem: { kind: "balance", at: "credit", stored: 5, recomputed: 0 },
  },
};

let stateDir: string;
let databases: SqliteDatabases;
let control: Database;
let nowMs = OCTOBER;
const clock: Clock = { ...systemClock, nowMs: () => nowMs };
const log = makeLog({ level: "silent" });
const scopes = new Map<string, TenantScope>();

beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "creel-ledger-chain-"));
  const world = await startApp({ stateDir });
  for (const slug of Object.keys(ATTACKS)) await world.tenant(slug);
  await world.close();
  await open();
  await fill();
  await databases.close();
  for (const [slug, { edits }] of Object.entries(ATTACKS)) tamper(slug, edits);
  await open();
}, 120_000);

afterAll(async () => {
  await databases.close();
  rmSync(stateDir, { recursive: true, force: true });
});

async function open(): Promise<void> {
  databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
  control = databases.open("control", join(stateDir, "control.db"), "control");
  const door = new TenantDoor(databases, stateDir);
  const tenants = new Tenants(control, clock, () => []);
  for (const slug of Object.keys(ATTACKS)) scopes.set(slug, door.scope(await tenants.getBySlug(slug)));
}

/** Five calls in October, which is closed; three in November, the ledger sealed after them. */
async function fill(): Promise<void> {
  const scopeOf = async (id: TenantId) => [...scopes.values()].find((scope) => scope.tenantId === id);
  const shared = { control, clock, log, scopeOf, currencyOf: async () => "USD", planAt: async () => "team" };
  const rollup = new UsageRollup({ control, clock, log });
  const meter = new UsageMeter({
    prices: new PriceBook(),
    clock,
    log,
    noteChange: (scope) => rollup.note(scope),
  });
  const spend = async (calls: number) => {
    for (const scope of scopes.values())
      for (let n = 0; n < calls; n++)
        await within(scope, () =>
          scope.db.write({ statements: meter.modelCall(scope, modelInput(nowMs, {})).statements }),
        );
    await rollup.tick();
  };
  await spend(5);
  nowMs = NOVEMBER;
  await new StatementCloser({ ...shared, statements: new Statements(shared) }).tick();
  const door = new TenantDoor(databases, stateDir);
  await new AuditMover({ ...shared, door, tenants: new Tenants(control, clock, () => []) }).drain();
  await spend(3);
  nowMs += DAY_MS;
  const sealer = new LedgerSealer(shared);
  await sealer.tick();
  await sealer.tick();
}

function within<T>(scope: TenantScope, work: () => T): T {
  return runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, work);
}

function fileOf(slug: string): string {
  return join(stateDir, "tenants", scopes.get(slug)!.tenantId, "tenant.db");
}

/** As somebody does who has the file: without triggers, without checks. */
function tamper(slug: string, edits: readonly Edit[]): void {
  const file = new SqliteDatabase(fileOf(slug), { fileMustExist: true });
  file.pragma("ignore_check_constraints = ON");
  const triggers = file.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").pluck().all();
  for (const name of triggers) file.exec(`DROP TRIGGER "${String(name)}"`);
  for (const edit of edits) edit(file);
  file.close();
}

function verify(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const all = [BIN, "billing", "verify", ...args, "--state-dir", stateDir];
    const env = { PATH: process.env["PATH"] };
    execFile(process.execPath, all, { env }, (error, stdout, stderr) => {
      done({ code: typeof error?.code === "number" ? error.code : error ? 99 : 0, stdout, stderr });
    });
  });
}

describe("creel billing verify, after somebody had the file", () => {
  let found: Map<
    string,
    { ok: boolean; problem: (LedgerProblem & { message?: string }) | null; lines: number }
  >;

  beforeAll(async () => {
    const { code, stdout, stderr } = await verify("--json");
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
    const { ledgers } = JSON.parse(stdout) as { ledgers: { tenant: string; verdict: never }[] };
    found = new Map(ledgers.map(({ tenant, verdict }) => [tenant, verdict]));
  }, 30_000);

  it.each(Object.entries(ATTACKS))(
    "says what is wrong with the ledger called %s",
    (slug, { problem, says }) => {
      const verdict = found.get(slug)!;
      if (problem === null) expect(verdict).toMatchObject({ ok: true, problem: null, lines: 8 });
      else expect(verdict).toMatchObject({ ok: false, problem });
      if (says !== undefined) expect(verdict.problem?.message).toMatch(says);
    },
  );

  it("says it in words, and ends with 0 only for a sound one", async () => {
    expect(await verify("--tenant", "flipped-amount")).toMatchObject({
      ...{ code: 1, stderr: "" },
      stdout: "flipped-amount: NOT SOUND (altered) at line 3: Line 3 is not what was written.\n",
    });
    const sound = await verify("--tenant", "untouched");
    expect(sound).toMatchObject({ code: 0, stderr: "" });
    expect(sound.stdout).toMatch(/^untouched: sound, 8 lines; /);
  });
});

describe("the program itself", () => {
  const LINES = `INSERT OR REPLACE INTO ledger_hashes SELECT seq, prev_hash, zeroblob(32) FROM ledger_hashes LIMIT 1`;

  it.each([
    "UPDATE ledger_transfers SET amount_micros = 1 WHERE seq = 1",
    "DELETE FROM ledger_transfers WHERE seq = 1",
    "UPDATE ledger_hashes SET hash = zeroblob(32) WHERE seq = 1",
    "DELETE FROM ledger_hashes",
    LINES,
    "INSERT INTO ledger_hashes VALUES (1000, zeroblob(32), zeroblob(32))",
    "UPDATE ledger_end SET seq = seq - 1",
    "UPDATE ledger_end SET hash = ''",
    "DELETE FROM ledger_end",
  ])("refuses to change what is there: %s", async (sql) => {
    const scope = await freshScope();
    await expect(scope.db.write({ statements: [{ sql }] })).rejects.toThrow();
    expect((await verifyLedger(scope)).problem).toBeNull();
  });

  it("seals a ledger once a day, only when there is something new", async () => {
    const heads = await scopes
      .get("untouched")!
      .db.list<{ details: string; at_ms: number }>(
        "SELECT details, at_ms FROM audit_log WHERE action = 'ledger.sealed' ORDER BY seq",
      );
    expect(heads.map(({ details, at_ms }) => [JSON.parse(details), at_ms])).toEqual([
      [{ seq: 5, hash: expect.stringMatching(/^[0-9a-f]{64}$/), month: "2026-10" }, NOVEMBER],
      [{ seq: 8, hash: expect.stringMatching(/^[0-9a-f]{64}$/) }, NOVEMBER + DAY_MS],
    ]);
    const platform = await control.list<{ target_id: string; details: string }>(
      "SELECT target_id, details FROM audit_log WHERE action = 'ledger.sealed'",
    );
    expect(new Set(platform.map((row) => row.target_id)).size).toBe(Object.keys(ATTACKS).length);
    expect(platform.every(({ details }) => JSON.parse(details).seq === 5)).toBe(true);
  });
});

let fresh = 0;

/** A file of its own with three lines. */
async function freshScope(): Promise<TenantScope> {
  const tenantId = `fresh-${++fresh}` as TenantId;
  const db = databases.open("tenant", join(stateDir, `${tenantId}.db`), tenantId);
  const scope = { tenantId, tenant: { slug: tenantId }, db } as unknown as TenantScope;
  for (let n = 0; n < 3; n++) await db.write({ statements: [line(n)] });
  return scope;
}

function line(n: number) {
  const sql = `INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms,
    period, details) VALUES ('payment', ?, 0, 'top_up', 'payments', 'credit', 5, 1, '2026-11', ?)`;
  // Signs that JSON writes in its own way, and such that are more than one unit in UTF-16.
  return { sql, params: [`p-${n}`, JSON.stringify({ note: `"é\u0007 \u2028 𝄞 ${n}` })] };
}

describe("lines from before the chain", () => {
  it("are chained in their order when the file is brought up to date, and guarded from then on", async () => {
    const old = join(stateDir, "old-migrations");
    for (const kind of ["control", "tenant"]) {
      mkdirSync(join(old, kind), { recursive: true });
      for (const name of readdirSync(join(MIGRATIONS, kind)).filter(
        (one) => kind === "control" || one < "0009",
      ))
        cpSync(join(MIGRATIONS, kind, name), join(old, kind, name));
    }
    const path = join(stateDir, "old.db");
    const before = new SqliteDatabases({ migrationsDirectory: old });
    for (let n = 0; n < 4; n++) await before.open("tenant", path, "t").write({ statements: [line(n)] });
    await before.close();
    // A gap, as an older program may have left one.
    const file = new SqliteDatabase(path);
    file.exec("UPDATE sqlite_sequence SET seq = 9 WHERE name = 'ledger_transfers'");
    file.close();

    const db = databases.open("tenant", path, "t");
    const scope = { tenantId: "t", db } as unknown as TenantScope;
    await db.write({ statements: [line(4)] });
    const numbers = await db.list<{ seq: number }>("SELECT seq FROM ledger_hashes ORDER BY seq");
    expect(numbers.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 10]);
    expect(await verifyLedger(scope)).toMatchObject({ ok: true, lines: 5 });
    await databases.release(path);
    const thief = new SqliteDatabase(path);
    thief.exec(
      "DROP TRIGGER ledger_transfers_no_update; UPDATE ledger_transfers SET details = '{}' WHERE seq = 2",
    );
    thief.close();
    expect((await verifyLedger(scope)).problem).toMatchObject({ kind: "altered", line: 2 });
  });
});
