/**
 * What is left of each grant of credit, after random grants, ends, calls and corrections, is what reading all lines again
 * says; and the sweep leaves nothing behind that has ended. `CREEL_LEDGER_SEED=n` for the same operations again.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Adjustments } from "#src/billing/ledger/adjustments.ts";
import { CreditExpiry } from "#src/billing/payments/credit-expiry.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { AppError } from "#src/kernel/errors.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { LedgerWorld } from "../support/ledger-world.ts";
import { type LotLine, replayLots } from "../support/reference-lots.ts";

const SEED = Number(process.env["CREEL_LEDGER_SEED"] ?? 20261123);
const OPS = Number(process.env["CREEL_LOT_OPS"] ?? 1_500);
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const LINES = `SELECT id, kind, from_account AS "from", to_account AS "to", amount_micros AS micros, at_ms AS atMs,
  details ->> 'expiresAtMs' AS expiresAtMs, linked_to AS linkedTo FROM ledger_transfers
  WHERE from_account = 'credit' OR to_account = 'credit' ORDER BY seq`;

let world: LedgerWorld;
let acme: TenantScope;
let expiry: CreditExpiry;
let adjustments: Adjustments;

beforeEach(async () => {
  world = await LedgerWorld.open();
  acme = world.usage.newTenant("acme");
  const clock: Clock = { ...systemClock, nowMs: () => world.nowMs };
  expiry = new CreditExpiry({
    ...{ control: world.usage.control, ledger: world.ledger, clock, log: makeLog({ level: "silent" }) },
    scopeOf: async () => acme,
  });
  adjustments = new Adjustments(world.ledger);
});

afterEach(() => world.close());

async function lots(): Promise<Record<string, number>> {
  const rows = await acme.db.list<{ id: string; left: number }>(
    "SELECT id, left_micros AS left FROM credit_lots ORDER BY seq",
  );
  return Object.fromEntries(rows.map(({ id, left }) => [id, left]));
}

it(
  `agrees with reading all lines again over ${OPS} random operations (seed ${SEED})`,
  async () => {
    const play = new Play(seeded(SEED));
    for (let n = 0; n < OPS; n++) {
      await play.step();
      if (n % 10 === 0) await play.compare();
    }
    await play.finish();
    for (const kind of ["grant", "reserve", "settle", "release", "again", "sweep", "debit", "undo"])
      expect(play.counts[kind], kind).toBeGreaterThan(OPS / 100);
    expect(play.isOwed).toBe(true);
  },
  60_000 + OPS * 20,
);

it("is computed for a ledger that was there before, as if it had always been", async () => {
  const play = new Play(seeded(SEED + 1));
  for (let n = 0; n < 200; n++) await play.step();
  const rows = await acme.db.list<Record<string, unknown>>("SELECT * FROM ledger_transfers ORDER BY seq");
  const old = new SqliteDatabase(":memory:");
  old.exec(`CREATE TABLE ledger_transfers (seq INTEGER PRIMARY KEY, source TEXT, source_id TEXT, ordinal INTEGER, kind TEXT,
    from_account TEXT, to_account TEXT, amount_micros INTEGER, at_ms INTEGER, linked_to TEXT, details TEXT) STRICT;
    CREATE TABLE reservations (state TEXT, from_credit_micros INTEGER) STRICT`);
  const put =
    old.prepare(`INSERT INTO ledger_transfers VALUES (@seq, @source, @source_id, @ordinal, @kind, @from_account,
    @to_account, @amount_micros, @at_ms, @linked_to, @details)`);
  for (const row of rows) {
    const { seq, ordinal, amount_micros, at_ms, ...texts } = row;
    const numbers = { seq, ordinal, amount_micros, at_ms };
    put.run({
      ...texts,
      ...Object.fromEntries(Object.entries(numbers).map(([name, n]) => [name, BigInt(n as number)])),
    });
  }
  old.exec(
    readFileSync(resolve(import.meta.dirname, "../../migrations/tenant/0011-credit-lots.sql"), "utf8"),
  );
  const rebuilt = old.prepare("SELECT id, left_micros AS left FROM credit_lots ORDER BY seq").all() as {
    id: string;
    left: number;
  }[];
  old.close();
  expect(rebuilt.length).toBeGreaterThan(10);
  expect(Object.fromEntries(rebuilt.map(({ id, left }) => [id, left]))).toEqual(await lots());
});

it("names a grant of which something else is left than its lines say", async () => {
  await world.ledger.grant(acme, { source: "operator", sourceId: "g1", amountMicros: 500 });
  expect((await world.ledger.verify(acme)).problem).toBeNull();
  await acme.db.write({ statements: [{ sql: "UPDATE credit_lots SET left_micros = 400" }] });
  expect((await world.ledger.verify(acme)).problem).toEqual({
    ...{ kind: "lot", at: "credit of operator:g1:0", stored: 400, recomputed: 500 },
  });
});

class Play {
  readonly counts: Record<string, number> = {};
  isOwed = false;
  private readonly random: () => number;
  private readonly open: { run: string; step: number }[] = [];
  private readonly given: string[] = [];
  private readonly debits: { id: string; micros: number }[] = [];
  private serial = 0;

  constructor(random: () => number) {
    this.random = random;
    world.planLimitMicros = 3_000;
  }

  async step(): Promise<void> {
    world.setNow(world.nowMs + this.upTo(2 * MINUTE_MS));
    const dice = this.random();
    if (dice < 0.18) await this.grant();
    else if (dice < 0.45) await this.reserve();
    else if (dice < 0.52) await this.again();
    else if (dice < 0.66) await this.settle();
    else if (dice < 0.84) await this.release();
    else if (dice < 0.9) await this.debit();
    else if (dice < 0.93) await this.undo();
    else await this.sweep();
  }

  /** The figures of the store against those of the model, and against each other. */
  async compare(): Promise<void> {
    expect(await lots()).toEqual(replayLots(await acme.db.list<LotLine>(LINES)));
    const left = Object.values(await lots()).reduce((sum, micros) => sum + micros, 0);
    const credit = await world.ledger.balance(acme, "credit");
    expect(left).toBe(Math.max(0, credit));
  }

  async finish(): Promise<void> {
    while (this.open.length > 0) await this.release();
    // What was announced and never came is forgotten a day later.
    world.setNow(world.nowMs + 2 * DAY_MS);
    await this.sweep();
    await this.compare();
    const ended =
      "SELECT count(*) AS n FROM credit_lots WHERE left_micros > 0 AND ends_at_ms < 9007199254740991";
    expect(await acme.db.find(ended)).toEqual({ n: 0 });
    expect(await world.usage.control.find("SELECT count(*) AS n FROM credit_expiries")).toEqual({ n: 0 });
    expect((await world.ledger.verify(acme)).problem).toBeNull();
  }

  private async grant(): Promise<void> {
    const sourceId = `g${this.serial++}`;
    const expiresAtMs = this.random() < 0.25 ? null : world.nowMs + this.upTo(60) * MINUTE_MS;
    if (expiresAtMs !== null) await expiry.schedule(acme.tenantId, `operator:${sourceId}:0`, expiresAtMs);
    const entry = { source: "operator", sourceId, amountMicros: this.upTo(400), details: { expiresAtMs } };
    await world.ledger.grant(acme, entry);
    this.given.push(`operator:${sourceId}:0`);
    this.count("grant");
  }

  private async reserve(): Promise<void> {
    await this.call(`r${this.serial++}`, 1, 0);
  }

  /** A second attempt of a run, which gives back what the first holds. */
  private async again(): Promise<void> {
    const old = this.open.at(-1);
    if (old === undefined) return;
    const firstStep = old.step + 1;
    if (!(await this.call(old.run, firstStep, firstStep))) return;
    this.count("again");
    this.open.splice(this.open.indexOf(old), 1);
  }

  private async call(run: string, step: number, firstStep: number): Promise<boolean> {
    try {
      const call = { step, firstStep, inputTokens: this.upTo(300), maxOutputTokens: this.upTo(100) };
      expect(await world.reserve(acme, run, call)).toBe(true);
      this.open.push({ run, step });
      this.count("reserve");
      return true;
    } catch (thrown) {
      if (thrown instanceof AppError && thrown.code === "budget_exhausted") return false;
      throw thrown;
    }
  }

  private async settle(): Promise<void> {
    const call = this.pick();
    if (call === undefined) return;
    await world.settle(acme, call.run, this.upTo(80), this.upTo(40), call.step);
    this.count("settle");
  }

  private async release(): Promise<void> {
    const call = this.pick();
    if (call === undefined) return;
    await world.reservations.release(acme, call.run as never, call.step);
    this.count("release");
  }

  private async debit(): Promise<void> {
    if (this.random() < 0.2) return this.owe();
    const linkedTo = this.random() < 0.6 ? this.given[this.upTo(this.given.length) - 1] : undefined;
    const adjustment = { id: `a${this.serial++}`, amountMicros: -this.upTo(300), linkedTo };
    const isBooked = await this.attempt({ ...adjustment, mayOwe: this.random() < 0.3 });
    if (!isBooked) return;
    this.debits.push({ id: `adjustment:${adjustment.id}:0`, micros: -adjustment.amountMicros });
    this.count("debit");
  }

  /** More is taken back than there is. */
  private async owe(): Promise<void> {
    const credit = Math.max(0, await world.ledger.balance(acme, "credit"));
    const adjustment = { id: `a${this.serial++}`, amountMicros: -credit - this.upTo(500) };
    expect(await this.attempt(adjustment)).toBe(false);
    expect(await this.attempt({ ...adjustment, mayOwe: true })).toBe(true);
    this.isOwed = (await world.ledger.balance(acme, "credit")) < 0;
    await this.compare();
  }

  private async undo(): Promise<void> {
    const debit = this.debits.at(-1);
    if (debit === undefined) return;
    const adjustment = { id: `a${this.serial++}`, amountMicros: this.upTo(debit.micros), linkedTo: debit.id };
    const expiresAtMs = await adjustments.endOf(acme, adjustment);
    const line = `adjustment:${adjustment.id}:0`;
    if (expiresAtMs !== null) await expiry.schedule(acme.tenantId, line, expiresAtMs);
    if (await this.attempt({ ...adjustment, details: { expiresAtMs } })) this.count("undo");
  }

  private async attempt(adjustment: Parameters<Adjustments["book"]>[1]): Promise<boolean> {
    try {
      return await adjustments.book(acme, adjustment);
    } catch (thrown) {
      if (thrown instanceof AppError && thrown.code === "conflict") return false;
      throw thrown;
    }
  }

  private async sweep(): Promise<void> {
    await expiry.tick();
    this.count("sweep");
  }

  private pick(): { run: string; step: number } | undefined {
    return this.open.splice(Math.floor(this.random() * this.open.length), 1)[0];
  }

  private upTo(most: number): number {
    return 1 + Math.floor(this.random() * most);
  }

  private count(kind: string): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
  }
}

/** Small and repeatable (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
