/**
 * Hundreds of streaming turns at once in many tenants with budgets that admit some of them, a third of them with a tool that
 * costs something, and `kill -9` at random.
 * Owns: the storm, and the table of what must hold after it.
 *
 * `node test/faults/money-storm.ts [--seeds 20] [--seed 1] [--turns 500] [--tenants 16] [--kills 4]`
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import SqliteDatabase from "better-sqlite3";
import { verifyLedger } from "#src/billing/ledger/verify.ts";
import { systemClock } from "#src/kernel/clock.ts";
import type { SqlValue } from "#src/storage/database.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { ChildWorld } from "../support/child-server.ts";
import { type MockModel, start as startMock } from "../support/mock-model.ts";
import { makeOperator } from "../support/operator.ts";
import { RpcError, type SocketClient } from "../support/socket-client.ts";
import { startApp } from "../support/start-app.ts";

/** How hard it blows. */
export interface StormOptions {
  seed: number;
  tenants: number;
  turns: number;
  kills: number;
}

/** What came of it; all but the first seven must be zero. Micro-units. */
export interface StormRow {
  seed: number;
  turns: number;
  answered: number;
  refused: number;
  /** Ended by our crashes. */
  interrupted: number;
  /** Begun again after a crash. */
  resumed: number;
  /** Turns whose tool was carried out and paid for. */
  toolCalls: number;
  /** Tenants that spent or held more than their budget, at any look. */
  overspent: number;
  /** Held back after the leases ended. */
  reserved: number;
  /** Sum of all accounts. */
  sum: number;
  /** Ledgers that do not follow from their lines. */
  unsound: number;
  /** Calls the provider saw that no line, no refusal and no kill explains. */
  unexplained: number;
  /** Turns without an end. */
  lost: number;
}

interface Turn {
  slug: string;
  key: string;
  message: string;
  /** It calls the tool, so the model is asked twice. */
  hasTool: boolean;
  isAcked: boolean;
}

/** What a call costs at most: the question in bytes with its templates, and 64 tokens of answer at 2. */
const CEILING = 64;
/** Held back by a call, about; the prompt of an agent without a workspace is most of it. */
const LIMIT = 60_000;

/** What each call of the tool costs; not small beside what is left of a budget near its end. */
const TOOL = { name: "workspace_list", micros: 2_000 };

/** Let one storm pass. */
export async function runStorm(options: StormOptions): Promise<StormRow> {
  const random = seeded(options.seed);
  const mock = await startMock({ slowDelayMs: 15 });
  const slugs = Array.from({ length: options.tenants }, (_, n) => `tenant-${n}`);
  const model = { maxTokens: CEILING };
  const world = await ChildWorld.make({ baseUrl: mock.baseUrl, slugs, model, tools: [TOOL.name] });
  try {
    await setToolPrice(world.stateDir, TOOL.name, TOOL.micros);
    return await storm(world, mock, slugs, options, random);
  } finally {
    await world.close();
    await mock.close();
  }
}

async function storm(
  world: ChildWorld,
  mock: MockModel,
  slugs: readonly string[],
  { seed, turns: count, kills }: StormOptions,
  random: () => number,
): Promise<StormRow> {
  const overspent = new Set<string>();
  const limits = new Map(slugs.map((slug) => [slug, Math.floor(LIMIT * (0.5 + random()))]));
  const turns = Array.from({ length: count }, (_, n): Turn => {
    const slug = slugs[n % slugs.length]!;
    const usage = `USAGE:${1_000 + Math.floor(random() * 4_000)}:${Math.floor(random() * CEILING)}`;
    const key = `turn-${n}-${slug}`;
    const hasTool = random() < 1 / 3;
    const words = hasTool ? `TOOLCALL:${TOOL.name} {}` : `SLOW:${5 + Math.floor(random() * 40)}`;
    return { slug, key, message: `${words} ${usage} mark-${n}-`, hasTool, isAcked: false };
  });
  for (let round = 0; round <= kills; round++) {
    await world.start();
    const clients = new Map<string, SocketClient>();
    for (const slug of slugs) {
      const client = await world.client(slug);
      clients.set(slug, client);
      const budget = { scope: "tenant", period: "month", limitMicros: limits.get(slug) };
      if (round === 0) await client.call("billing.budgets.set", budget);
    }
    const open = turns.filter((turn) => !turn.isAcked);
    // All that is left is sent in the last round, a share of it before.
    const now = round === kills ? open : open.slice(0, Math.ceil(open.length / 2));
    const sends = now.map((turn) => send(clients.get(turn.slug)!, turn));
    if (round < kills) {
      // ORDER: only once calls are being made; a kill before that would prove nothing.
      await busy(mock, 3 + Math.floor(random() * 20));
      await pause(random() * 150);
      await world.kill();
    }
    await Promise.all(sends);
    for (const slug of slugs) if (isOverspent(world, slug)) overspent.add(slug);
  }
  await settled(world, slugs, turns);
  await world.stop();
  await outliveLeases(world, slugs);
  for (const slug of slugs) if (isOverspent(world, slug)) overspent.add(slug);
  return {
    ...(await sumUp(world, mock, slugs, turns)),
    seed,
    turns: turns.length,
    overspent: overspent.size,
  };
}

/** Let a tool cost something from now on; no server may be running. */
export async function setToolPrice(stateDir: string, name: string, micros: number): Promise<void> {
  const app = await startApp({ stateDir });
  const operator = await makeOperator(app);
  const row = {
    kind: "tool",
    name,
    fromDay: new Date().toISOString().slice(0, 10),
    input: micros,
    source: "storm",
  };
  const { status } = await operator.send("PUT", "/operator/api/prices", { rows: [row] });
  await app.close();
  if (status !== 200) throw new Error(`the price was not taken: ${status}`);
}

/** Resolves when the provider was asked so many times more, or when nothing comes any more. */
async function busy(mock: MockModel, calls: number): Promise<void> {
  const enough = mock.requests.length + calls;
  for (let tries = 0; mock.requests.length < enough && tries < 500; tries++) await pause(10);
}

async function send(client: SocketClient, turn: Turn): Promise<void> {
  const params = { sessionKey: `s-${turn.key}`, message: turn.message, idempotencyKey: turn.key };
  try {
    await client.call("chat.send", params);
    turn.isAcked = true;
  } catch (thrown) {
    if (thrown instanceof RpcError) turn.isAcked = thrown.frame["payload"] !== undefined;
  }
}

/** Every turn that was acknowledged comes to its end. */
async function settled(world: ChildWorld, slugs: readonly string[], turns: readonly Turn[]): Promise<void> {
  const client = new Map<string, SocketClient>();
  for (const slug of slugs) client.set(slug, await world.client(slug));
  for (const turn of turns) {
    for (let tries = 0; !turn.isAcked && tries < 20; tries++) {
      await send(client.get(turn.slug)!, turn);
      if (!turn.isAcked) await pause(200);
    }
    await client.get(turn.slug)!.call("agent.wait", { runId: turn.key, timeoutMs: 60_000 });
  }
}

/** A server an hour later, whose clock runs: what the dead held back is given back. */
async function outliveLeases(world: ChildWorld, slugs: readonly string[]): Promise<void> {
  const clock = {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + 60_000,
    every: (periodMs: number, run: () => void) => systemClock.every(Math.min(periodMs, 100), run),
  };
  const app = await startApp({ stateDir: world.stateDir, app: { clock } });
  for (let tries = 0; tries < 100 && slugs.some((slug) => held(world, slug) > 0); tries++) await pause(100);
  await app.close();
}

async function sumUp(world: ChildWorld, mock: MockModel, slugs: readonly string[], turns: readonly Turn[]) {
  const row = {
    answered: 0,
    refused: 0,
    interrupted: 0,
    resumed: 0,
    toolCalls: 0,
    reserved: 0,
    sum: 0,
    unsound: 0,
    unexplained: 0,
    lost: 0,
  };
  for (const slug of slugs) {
    const db = openTenant(world, slug);
    try {
      const find = async (sql: string, params: SqlValue[] = []) => db.prepare(sql).get(...params);
      const list = async (sql: string, params: SqlValue[] = []) => db.prepare(sql).all(...params);
      const verdict = await verifyLedger({ db: { find, list } } as unknown as TenantScope);
      if (!verdict.ok) row.unsound++;
      row.reserved += verdict.reservedMicros;
      row.sum += Number(
        db.prepare("SELECT coalesce(sum(balance_micros), 0) FROM ledger_balances").pluck().get(),
      );
      for (const turn of turns.filter((one) => one.slug === slug)) {
        const run = db
          .prepare("SELECT state, error_code AS code, attempts FROM runs WHERE run_id = ?")
          .get(turn.key) as { state: string; code: string | null; attempts: number } | undefined;
        if (run === undefined || run.state === "running" || run.state === "queued") {
          row.lost++;
          continue;
        }
        if (run.attempts > 1) row.resumed++;
        const sql = "SELECT count(*) FROM usage_events WHERE run_id = ? AND kind = ? AND cost_micros > 0";
        const events = Number(db.prepare(sql).pluck().get(turn.key, "model"));
        const tools = Number(db.prepare(sql).pluck().get(turn.key, "tool"));
        const most = turn.hasTool ? 2 : 1;
        const mark = /mark-\d+-/.exec(turn.message)![0];
        const calls = mock.requests.filter((one) => one.lastUserText.includes(mark)).length;
        if (run.state === "done") row.answered++;
        else if (run.code === "budget_exhausted") row.refused++;
        else if (run.code === "interrupted") row.interrupted++;
        // Every attempt asks once, or twice with a tool; only those that a kill ended may lack the line of their last call.
        const killed = run.state === "done" ? run.attempts - 1 : run.attempts;
        const isExplained = events <= calls && calls <= run.attempts * most && calls - events <= killed;
        const isWhole = run.state !== "done" || events === most;
        // What was carried out, and nothing else, is charged; a call that a kill cut gave nothing.
        const sqlOfDone = "SELECT count(*) FROM run_steps WHERE run_id = ? AND state = 'done'";
        const carriedOut = Number(db.prepare(sqlOfDone).pluck().get(turn.key));
        if (!isExplained || !isWhole || tools !== carriedOut) row.unexplained++;
        if (tools > 0) row.toolCalls++;
      }
    } finally {
      db.close();
    }
  }
  return row;
}

function isOverspent(world: ChildWorld, slug: string): boolean {
  const db = openTenant(world, slug);
  try {
    const sql = `SELECT count(*) FROM budgets b JOIN budget_counters c ON c.scope = b.scope AND c.scope_id = b.scope_id
      AND (c.period = 'total') = (b.period = 'total')
      WHERE c.spent_micros + c.reserved_micros > b.limit_micros`;
    return Number(db.prepare(sql).pluck().get()) > 0;
  } finally {
    db.close();
  }
}

function held(world: ChildWorld, slug: string): number {
  const db = openTenant(world, slug);
  try {
    const sql = "SELECT coalesce(sum(balance_micros), 0) FROM ledger_balances WHERE account = 'reserved'";
    return Number(db.prepare(sql).pluck().get());
  } finally {
    db.close();
  }
}

function openTenant(world: ChildWorld, slug: string): SqliteDatabase.Database {
  return new SqliteDatabase(join(world.stateDir, "tenants", world.tenant(slug).id, "tenant.db"));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
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

async function main(): Promise<void> {
  const flags = { seeds: "20", seed: "1", turns: "500", tenants: "16", kills: "4" };
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, value]) => [name, { type: "string" as const, default: value }]),
  );
  const { values } = parseArgs({ options });
  const number = (name: keyof typeof flags) => Number(values[name]);
  const rows: StormRow[] = [];
  for (let n = 0; n < number("seeds"); n++) {
    const storm = { tenants: number("tenants"), turns: number("turns"), kills: number("kills") };
    const seed = number("seed") + n;
    rows.push(await runStorm({ seed, ...storm }));
    process.stdout.write(`seed ${seed} is through\n`);
  }
  console.table(rows);
  const isBad = rows.some(
    (row) => row.overspent + row.reserved + Math.abs(row.sum) + row.unsound + row.unexplained + row.lost > 0,
  );
  process.exitCode = isBad ? 1 : 0;
}

if (import.meta.main) await main();
