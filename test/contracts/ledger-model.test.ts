/**
 * Random operations on a real ledger and on a model of it that a child could check: both must say the same, op by op.
 * `npm run test:ledger` for 100,000 of them, `CREEL_LEDGER_SEED=n` for the same ones again.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { expect, it } from "vitest";
import { Adjustments } from "#src/billing/ledger/adjustments.ts";
import { Budgets } from "#src/billing/ledger/budgets.ts";
import { Ledger } from "#src/billing/ledger/ledger.ts";
import {
  FIRST_TOOL_ORDINAL,
  releaseCall,
  releaseLapsed,
  releaseRun,
  releaseTool,
  reserveStatements,
} from "#src/billing/ledger/reserve-sql.ts";
import { verifyLedger } from "#src/billing/ledger/verify.ts";
import { PriceBook } from "#src/billing/prices.ts";
import { UsageMeter } from "#src/billing/usage.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { newId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { Batch, SqlValue } from "#src/storage/database.ts";
import { readMigrations } from "#src/storage/migrate.ts";
import { type JobReply, WriterFile } from "#src/storage/sqlite-writer-file.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { type ModelCallOp, type Op, ReferenceLedger } from "../support/reference-ledger.ts";
import { modelInput, toolInput } from "../support/usage-world.ts";

const OPS = Number(process.env["CREEL_LEDGER_OPS"] ?? 10_000);
const SEED = Number(process.env["CREEL_LEDGER_SEED"] ?? 20261123);
const GROUP = 400;
/** All amounts are whole numbers of this, so that limits are often met exactly. */
const GRAIN = 50;
const PLAN_LIMIT = 60_000;
const START = Date.UTC(2026, 10, 1, 12);
const MIGRATIONS = resolve(import.meta.dirname, "../../migrations");

it(
  `agrees with a reference model over ${OPS} random operations (seed ${SEED})`,
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "creel-ledger-"));
    try {
      const world = new RandomWorld(directory, seeded(SEED));
      for (let done = 0; done < OPS; done += GROUP) await world.round(Math.min(GROUP, OPS - done));
      await world.finish();
      expect(world.counts["reserve"]).toBeGreaterThan(OPS / 8);
      expect(world.refused).toBeGreaterThan(OPS / 50);
      expect(world.duplicates).toBeGreaterThan(OPS / 50);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  30_000 + OPS * 5,
);

class RandomWorld {
  readonly counts: Record<string, number> = {};
  refused = 0;
  duplicates = 0;
  private readonly random: () => number;
  private readonly path: string;
  private readonly owner = newId();
  private readonly model = new ReferenceLedger(PLAN_LIMIT);
  private readonly migrations = readMigrations(MIGRATIONS, "tenant");
  private file: WriterFile;
  private nowMs = START;
  private readonly clock: Clock = { ...systemClock, nowMs: () => this.nowMs };
  private readonly meter: UsageMeter;
  private readonly ledger: Ledger;
  private readonly budgets: Budgets;
  /** Calls that were asked for, whether they were admitted or not. */
  private readonly calls: ModelCallOp[] = [];
  private readonly past: Op[] = [];
  private serial = 0;

  constructor(directory: string, random: () => number) {
    this.random = random;
    this.path = join(directory, "tenant.db");
    this.file = new WriterFile(this.path, this.owner, this.migrations);
    const log = makeLog({ level: "silent" });
    this.meter = new UsageMeter({ prices: new PriceBook(), clock: this.clock, log });
    this.ledger = new Ledger(this.clock);
    this.budgets = new Budgets(this.clock);
  }

  /** A group of operations in one commit, as a busy server makes them; sometimes the process dies after it. */
  async round(size: number): Promise<void> {
    const ops: Op[] = [];
    for (let n = 0; n < size; n++) ops.push(this.pick());
    // Reordering: what was meant later comes first.
    for (let n = 0; n + 1 < ops.length; n++)
      if (this.random() < 0.2) [ops[n], ops[n + 1]] = [ops[n + 1]!, ops[n]!];
    const jobs = [];
    for (const [id, op] of ops.entries()) jobs.push({ id, batch: await this.batchOf(op) });
    const replies = this.file.commit(jobs);
    for (const [index, op] of ops.entries()) this.compare(op, replies[index]!);
    this.past.push(...ops);
    if (this.past.length > 5_000) this.past.splice(0, 2_500);
    if (this.random() < 0.1) this.die();
    this.compareSums();
  }

  /** Everything lapses; then nothing is held back and the whole ledger is sound. */
  async finish(): Promise<void> {
    this.nowMs += 10_000_000;
    const op: Op = { kind: "lapse", nowMs: this.nowMs };
    this.compare(op, this.file.commit([{ id: 0, batch: await this.batchOf(op) }])[0]!);
    this.compareSums();
    const db = new SqliteDatabase(this.path, { readonly: true });
    const find = async (sql: string, params: SqlValue[] = []) => db.prepare(sql).get(...params);
    const list = async (sql: string, params: SqlValue[] = []) => db.prepare(sql).all(...params);
    const verdict = await verifyLedger({ db: { find, list } } as unknown as TenantScope);
    db.close();
    this.file.close();
    expect(verdict.problem).toBeNull();
    expect(verdict.reservedMicros).toBe(0);
    expect(verdict.spentMicros).toBe(this.model.spentMicros);
    expect(verdict.creditMicros).toBe(this.model.creditMicros);
  }

  private compare(op: Op, reply: JobReply): void {
    const expected = this.model.apply(op);
    this.counts[op.kind] = (this.counts[op.kind] ?? 0) + 1;
    if (!expected) this.refused++;
    expect(reply, JSON.stringify(op)).toMatchObject({ outcome: { committed: expected } });
  }

  private compareSums(): void {
    const db = new SqliteDatabase(this.path, { readonly: true });
    const balances = db
      .prepare("SELECT account, balance_micros FROM ledger_balances WHERE balance_micros <> 0")
      .all();
    const counters = db.prepare("SELECT * FROM budget_counters").all() as Record<string, unknown>[];
    db.close();
    const byAccount = Object.fromEntries(
      (balances as Record<string, unknown>[]).map((row) => Object.values(row)),
    );
    expect(byAccount).toEqual(this.model.balances());
    for (const row of counters) {
      const { scope, scope_id: id, period, spent_micros: spent, reserved_micros: reserved } = row;
      expect({ spent, reserved }, `${scope}:${id}:${period}`).toEqual(
        this.model.counted(String(scope), String(id), String(period)),
      );
    }
  }

  private die(): void {
    this.file.close();
    this.file = new WriterFile(this.path, this.owner, this.migrations);
    this.nowMs += Math.floor(this.random() * 60_000);
  }

  private pick(): Op {
    const dice = this.random();
    const at = Math.floor(this.random() * 600_000);
    this.nowMs += at;
    if (dice < 0.12 && this.past.length > 0) {
      this.duplicates++;
      const old = this.past[Math.floor(this.random() * this.past.length)]!;
      if (old.kind !== "lapse") return old;
    }
    if (dice < 0.45 || this.calls.length === 0) return this.newCall();
    const call = this.calls[Math.floor(this.random() ** 0.3 * this.calls.length)] ?? this.calls[0]!;
    if (dice < 0.75) return this.use(call);
    if (dice < 0.83) {
      const ordinal = isTool(call) ? call.ordinal : undefined;
      return { kind: "release", runId: call.runId, step: call.step, ordinal, nowMs: this.nowMs };
    }
    if (dice < 0.87) return { kind: "end", runId: call.runId, nowMs: this.nowMs };
    if (dice < 0.89) return { kind: "lapse", nowMs: this.nowMs };
    if (dice < 0.93)
      return { kind: "credit", sourceId: `p${this.serial++ % 4_000}`, micros: GRAIN * this.upTo(60) };
    if (dice < 0.95) {
      const mayOwe = this.random() < 0.3;
      return { kind: "debit", sourceId: `d${this.serial++}`, micros: GRAIN * this.upTo(60), mayOwe };
    }
    return this.newBudget();
  }

  private newCall(): Op {
    const again = this.calls.length > 0 && this.random() < 0.2 ? this.calls.at(-1) : undefined;
    const runId = again?.runId ?? `run-${this.serial++}`;
    // A second attempt of a run numbers its steps from 1,000 on.
    const firstStep = again !== undefined && this.random() < 0.5 ? 1_000 : 0;
    const call: ModelCallOp = {
      kind: "reserve",
      ...{ runId, step: firstStep + 1 + this.upTo(3), firstStep, ordinal: this.newOrdinal() },
      ...{ amountMicros: GRAIN * this.upTo(12), month: this.month() },
      ...{
        userId: `u${this.upTo(5)}`,
        agentId: `a${this.upTo(3)}`,
        keyId: this.random() < 0.5 ? "" : `k${this.upTo(3)}`,
      },
      ...{ atMs: this.nowMs, leaseUntilMs: this.nowMs + 8_000_000 },
    };
    this.calls.push(call);
    if (this.calls.length > 600) this.calls.splice(0, 200);
    return call;
  }

  private newOrdinal(): number {
    const dice = this.random();
    if (dice < 0.1) return 1;
    return dice < 0.35 ? FIRST_TOOL_ORDINAL + Math.floor(this.random() * 3) : 0;
  }

  private use(call: ModelCallOp): Op {
    const { runId, step, ordinal, userId, agentId } = call;
    const isOwnKey = this.random() < 0.05 && !isTool(call);
    // Now and then a provider counts more than it could. What a tool costs is known before; one without cost is released.
    const least = isTool(call) ? 1 : 0;
    const micros =
      this.random() < 0.05
        ? GRAIN * this.upTo(1_000)
        : GRAIN * Math.max(least, Math.floor(this.random() * (call.amountMicros / GRAIN + 1)));
    return {
      kind: "use",
      runId,
      step,
      ordinal,
      userId,
      agentId,
      micros,
      isOwnKey,
      month: this.month(),
      atMs: this.nowMs,
    };
  }

  private newBudget(): Op {
    const scope = (["tenant", "user", "agent", "key"] as const)[Math.floor(this.random() * 4)]!;
    const scopeId = {
      tenant: "",
      user: `u${this.upTo(5)}`,
      agent: `a${this.upTo(3)}`,
      key: `k${this.upTo(3)}`,
    }[scope];
    const period = this.random() < 0.8 ? "month" : "total";
    const limitMicros = this.random() < 0.4 ? null : GRAIN * this.upTo(period === "month" ? 800 : 8_000);
    return { kind: "budget", scope, scopeId, period, limitMicros, month: this.month() };
  }

  private async batchOf(op: Op): Promise<Batch> {
    switch (op.kind) {
      case "reserve": {
        const names = {
          provider: "mock",
          model: "mock-1",
          toolName: isTool(op) ? "search" : "",
          priceOrigin: "config",
          planLimitMicros: PLAN_LIMIT,
        };
        return { statements: reserveStatements({ ...op, ...names }, op.firstStep) };
      }
      case "use": {
        if (isTool(op)) {
          const price = { micros: op.micros, origin: "row:1" };
          const input = toolInput(op.atMs, { ...op, price, callId: String(op.ordinal) } as never);
          return { statements: this.meter.toolCall(this.scope(), input).statements };
        }
        const usage = {
          inputTokens: op.micros,
          outputTokens: 0,
          cacheReadTokens: 0,
          cacheWriteTokens: 0,
          isExact: true,
        };
        const { runId, step, userId, agentId, atMs } = op;
        const facts = { runId, step, userId, agentId, usage, keyOwner: op.isOwnKey ? "tenant" : "platform" };
        const purpose = op.ordinal === 0 ? "turn" : "compaction";
        const input = modelInput(atMs, { ...facts, purpose, cost: { input: 1, output: 1 } } as never);
        return { statements: this.meter.modelCall(this.scope(), input).statements };
      }
      case "release":
        if (op.ordinal === undefined) return { statements: [releaseCall(op.runId, op.step, op.nowMs)] };
        return { statements: [releaseTool(op.runId, op.step, op.ordinal, op.nowMs)] };
      case "end":
        return { statements: [releaseRun(op.runId, op.nowMs)] };
      case "lapse":
        return { statements: [releaseLapsed(op.nowMs, [])] };
      case "credit": {
        const entry = { source: "stripe", sourceId: op.sourceId, amountMicros: op.micros, atMs: this.nowMs };
        return { statements: [this.ledger.topUpStatement(this.scope(), entry)] };
      }
      case "debit":
        return this.batchOfDebit(op);
      case "budget":
        return this.capture(op);
    }
  }

  private async batchOfDebit({
    sourceId: id,
    micros,
    mayOwe,
  }: Extract<Op, { kind: "debit" }>): Promise<Batch> {
    let caught: Batch = { statements: [] };
    const write = async (batch: Batch) => {
      caught = batch;
      return { committed: true, results: [] };
    };
    const scope = { ...this.scope(), db: { write } } as never;
    await new Adjustments(this.ledger).book(scope, { id, amountMicros: -micros, mayOwe });
    return caught;
  }

  /** The batch that the store would have been given, as of the moment of the operation. */
  private async capture(op: Extract<Op, { kind: "budget" }>): Promise<Batch> {
    let caught: Batch = { statements: [] };
    const write = async (batch: Batch) => {
      caught = batch;
      return { committed: true, results: [] };
    };
    const nowMs = this.nowMs;
    this.nowMs = Date.parse(`${op.month}-15T12:00:00Z`);
    await this.budgets.set({ ...this.scope(), db: { write } } as never, op, op.limitMicros);
    this.nowMs = nowMs;
    return caught;
  }

  private scope(): TenantScope {
    return { tenantId: this.owner, tenant: { id: this.owner, timeZone: "UTC" } } as unknown as TenantScope;
  }

  private month(): string {
    return new Date(this.nowMs).toISOString().slice(0, 7);
  }

  private upTo(most: number): number {
    return 1 + Math.floor(this.random() * most);
  }
}

function isTool({ ordinal }: { ordinal: number }): boolean {
  return ordinal >= FIRST_TOOL_ORDINAL;
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
