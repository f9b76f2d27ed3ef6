/**
 * A tenant with a past: some weeks of usage that are the same for the same seed, stored as real turns store it (reserved
 * where a budget applies, metered, settled by trigger). Owns: who used what when. Refuses to know: what is asserted.
 *
 * What makes sums hard is in it: prices with many digits, cached and thought tokens, tools that cost, estimated and
 * failed calls, summaries, keys of the tenant's own, a model without a price, calls above what was reserved, turns
 * across midnight, sessions that were reset or talk through two channels, and the night on which clocks change, in a
 * zone half an hour off.
 */
import { Budgets } from "#src/billing/ledger/budgets.ts";
import { Leases } from "#src/billing/ledger/leases.ts";
import { Reservations } from "#src/billing/ledger/reservations.ts";
import { type ConfiguredCost, PriceBook } from "#src/billing/prices.ts";
import { PriceRows } from "#src/billing/pricing/price-rows.ts";
import { type KeyOwner, type ModelUsageInput, UsageMeter } from "#src/billing/usage.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import type { UserId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { ModelUsage } from "#src/protocol/message.ts";
import type { Statement } from "#src/storage/database.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import type { TestApp } from "./start-app.ts";

/** Clocks go back by an hour at 04:31 UTC of 1 November 2026; it is half an hour off. */
export const ZONE = "America/St_Johns";
/** The time it is in these worlds: a Sunday noon in that zone. */
export const NOW_MS = Date.UTC(2026, 10, 22, 15, 47);

const DAY_MS = 86_400_000;
const CLOCKS_CHANGE_MS = Date.UTC(2026, 10, 1, 4, 30);
/** Before it nothing is reserved: no budget was set. */
const BUDGETS_SET_MS = NOW_MS - 12 * DAY_MS;
const RUNS = 460;

/** Numbers that look random and are the same every time (mulberry32). */
export class Dice {
  private state: number;

  constructor(seed: number) {
    this.state = seed;
  }

  /** From 0 up to, not including, 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  upTo(most: number): number {
    return Math.floor(this.next() * most);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.upTo(list.length)] as T;
  }

  /** The list in another order. */
  shuffle<T>(list: readonly T[]): T[] {
    return list
      .map((one) => ({ one, place: this.next() }))
      .sort((left, right) => left.place - right.place)
      .map(({ one }) => one);
  }
}

/** A clock that stood at `NOW_MS` when it was made, and goes on. */
export function clockOfTheMonth(): Clock {
  const behindMs = Date.now() - NOW_MS;
  return { ...systemClock, nowMs: () => Date.now() - behindMs };
}

interface Model {
  provider: string;
  model: string;
  keyOwner: KeyOwner;
  cost?: ConfiguredCost;
}

/** Provider of the models that are used with the tenant's own key. */
export const OWN_PROVIDER = "own";

const MODELS: readonly Model[] = [
  {
    ...{ provider: "harbour", model: "deep-70b", keyOwner: "platform" },
    cost: { input: 2.137, output: 9.871_003, cacheRead: 0.213_7, cacheWrite: 2.671_25 },
  },
  {
    ...{ provider: "harbour", model: "shallow-8b", keyOwner: "platform" },
    cost: { input: 0.037_1, output: 0.110_3, cacheRead: 0.000_7 },
  },
  { provider: "tide", model: "org/thinker", keyOwner: "platform" },
  {
    ...{ provider: OWN_PROVIDER, model: "qwen-max", keyOwner: "tenant" },
    cost: { input: 1.6, output: 6.4, cacheRead: 0.32, cacheWrite: 0 },
  },
  { provider: "mystery", model: "unpriced", keyOwner: "platform" },
];

const SINCE = { seq: 1, tenantId: "", fromDay: "2026-01-01", source: "contract" } as const;
const NO_TOKENS = { output: 0, cacheRead: 0, cacheWrite: 0, reasoning: 0 };
const TOOL_MICROS = 137;
/** What an operator set: thought tokens dearer than the rest, and a tool that costs. */
const ROWS = new PriceRows([
  {
    ...{ ...SINCE, kind: "model", provider: "tide", name: "org/thinker", input: 730_001, output: 2_900_017 },
    ...{ cacheRead: 73_003, cacheWrite: 910_007, reasoning: 4_100_023 },
  },
  { ...SINCE, ...NO_TOKENS, seq: 2, kind: "tool", provider: "", name: "web_search", input: TOOL_MICROS },
]);

interface Session {
  agentId: string;
  key: string;
  ids: readonly string[];
  channels: readonly string[];
}

/** What was stored. */
export interface MonthOfUsage {
  scope: TenantScope;
  people: readonly UserId[];
  agents: readonly string[];
  /** What each call is worth, in micro-units. */
  calls: readonly { atMs: number; costMicros: number }[];
  /** What all of it is worth. */
  costMicros: number;
}

/** Fill the tenant `slug`; the app's clock should be `clockOfTheMonth()`. */
export async function fillMonth(app: TestApp, slug: string, seed: number): Promise<MonthOfUsage> {
  const dice = new Dice(seed);
  await setZone(app, slug);
  const people = await addPeople(app, slug);
  const agents = ["main", ...(await addAgents(app, slug))];
  const scope = app.app.door.scope(await app.tenant(slug));
  const sessions = makeSessions(agents);
  const register = new Register(scope);
  const starts = [...nightOfTheChange(), ...Array.from({ length: RUNS }, () => startOfRun(dice))];
  let isLimited = false;
  for (const [index, startMs] of starts.sort((left, right) => left - right).entries()) {
    if (!isLimited && startMs >= BUDGETS_SET_MS) {
      await register.setBudgets(agents[1] as string, people[0] as UserId);
      isLimited = true;
    }
    await run(register, dice, { index, startMs, session: dice.pick(sessions), userId: dice.pick(people) });
  }
  await register.flush();
  const costMicros = register.calls.reduce((sum, call) => sum + call.costMicros, 0);
  return { scope, people, agents, calls: register.calls, costMicros };
}

async function setZone(app: TestApp, slug: string): Promise<void> {
  const answer = await fetch(`${app.url}/t/${slug}/api/tenant`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${await app.token(slug)}`, "content-type": "application/json" },
    body: JSON.stringify({ timeZone: ZONE }),
  });
  if (!answer.ok) throw new Error(`the zone was not set: ${await answer.text()}`);
}

async function addPeople(app: TestApp, slug: string): Promise<UserId[]> {
  const { id: tenantId } = await app.tenant(slug);
  const ids = [app.app.firstRun.user.id];
  for (const displayName of ["Tom Baker", "Rui Santos", "李明", 'O\'Neil, "Al"']) {
    const { id } = await app.app.auth.users.create({ displayName });
    await app.app.auth.members.add(tenantId, id, "member");
    ids.push(id);
  }
  return ids;
}

async function addAgents(app: TestApp, slug: string): Promise<string[]> {
  const headers = {
    authorization: `Bearer ${await app.token(slug)}`,
    "content-type": "application/json",
  };
  const ids: string[] = [];
  for (const name of ["Net mender", "Tide watch", "Ledger keeper"]) {
    const request = { method: "POST", headers, body: JSON.stringify({ name }) };
    const answer = await fetch(`${app.url}/rpc/agents.create`, request);
    if (!answer.ok) throw new Error(`an agent was not made: ${await answer.text()}`);
    ids.push(((await answer.json()) as { agentId: string }).agentId);
  }
  return ids;
}

/** Some were reset, some are talked to through two channels. */
function makeSessions(agents: readonly string[]): Session[] {
  const channels = ["webchat", "api", "telegram", "cron"];
  return agents.flatMap((agentId, place) =>
    ["main", "reports", "nets", "prices", "harbour-dues"].map((name, index) => {
      const id = `00000000-0000-4000-8000-0000000${place}${index}0`;
      return {
        ...{ agentId, key: `agent:${agentId}:${name}` },
        ids: index % 2 === 0 ? [`${id}00`, `${id}01`] : [`${id}00`],
        channels: index === 3 ? ["webchat", "telegram"] : [channels[(place + index) % 4] as string],
      };
    }),
  );
}

/** A turn in every quarter of an hour around the change, the hour that comes twice included. */
function nightOfTheChange(): number[] {
  return Array.from({ length: 28 }, (_, quarter) => CLOCKS_CHANGE_MS + (quarter - 14) * 900_000 + 899_000);
}

/** Most within the last 30 days, some at midnight, some before. */
function startOfRun(dice: Dice): number {
  const chance = dice.next();
  const daysAgo = chance < 0.14 ? 30 + dice.next() * 55 : dice.next() * 29;
  const atMs = NOW_MS - Math.floor(daysAgo * DAY_MS);
  if (chance < 0.92) return atMs;
  // Half a minute before midnight, by the winter's time of that zone.
  return Math.floor(atMs / DAY_MS) * DAY_MS + 3.5 * 3_600_000 - 30_000;
}

interface Run {
  index: number;
  startMs: number;
  session: Session;
  userId: UserId;
}

async function run(register: Register, dice: Dice, made: Run): Promise<void> {
  const { session, startMs } = made;
  const models = startMs < BUDGETS_SET_MS ? MODELS : MODELS.slice(0, -1);
  const model = dice.pick(models);
  const second = dice.pick(models.filter(({ keyOwner }) => keyOwner === model.keyOwner));
  const isLate = startMs > NOW_MS - 15 * DAY_MS;
  const where = {
    ...{ runId: `turn-${String(made.index).padStart(4, "0")}`, agentId: session.agentId },
    ...{ sessionKey: session.key, sessionId: session.ids[isLate ? session.ids.length - 1 : 0] },
    ...{ userId: made.userId, channel: dice.pick(session.channels) },
  };
  const steps = 1 + dice.upTo(3);
  let atMs = startMs;
  for (let step = 0; step < steps; step++) {
    atMs = Math.min(NOW_MS - 1, atMs + 1_000 + dice.upTo(40_000));
    const isSummary = step === 1 && dice.next() < 0.2;
    await register.modelCall(
      {
        ...where,
        ...(step === 0 ? model : second),
        ...{ step, atMs, purpose: isSummary ? "compaction" : "turn", isError: dice.next() < 0.06 },
        usage: usageOf(dice),
      } as unknown as ModelUsageInput,
      dice.next() < 0.05,
    );
    for (let ordinal = 0; ordinal < steps - step - 1; ordinal++) {
      const toolName = dice.pick(["web_search", "workspace_read", "shell"]);
      register.toolCall({
        ...where,
        ...{ step, ordinal, callId: `call-${ordinal}`, toolName, isError: dice.next() < 0.1, atMs },
      } as unknown as Parameters<Register["toolCall"]>[0]);
    }
  }
}

function usageOf(dice: Dice): ModelUsage {
  const outputTokens = dice.upTo(dice.next() < 0.3 ? 9_000 : 400);
  return {
    ...{ inputTokens: dice.upTo(dice.next() < 0.2 ? 200_000 : 7_000), outputTokens },
    cacheReadTokens: dice.next() < 0.5 ? dice.upTo(90_000) : 0,
    cacheWriteTokens: dice.next() < 0.2 ? dice.upTo(3_000) : 0,
    ...(dice.next() < 0.5 ? { reasoningTokens: dice.upTo(outputTokens + 1) } : {}),
    isExact: dice.next() < 0.9,
  };
}

const MOST_STATEMENTS = 200;

/** The tenant's meter and ledger at a time that is set with each call. */
class Register {
  readonly calls: { atMs: number; costMicros: number }[] = [];
  private nowMs = 0;
  private isLimited = false;
  private waiting: Statement[] = [];
  private readonly scope: TenantScope;
  private readonly clock: Clock = { ...systemClock, nowMs: () => this.nowMs };
  private readonly meter: UsageMeter;
  private readonly reservations: Reservations;

  constructor(scope: TenantScope) {
    this.scope = scope;
    const log = makeLog({ level: "silent" });
    const prices = new PriceBook();
    prices.replaceRows(ROWS);
    this.meter = new UsageMeter({ prices, clock: this.clock, log });
    const still = { ...this.clock, every: () => ({ cancel: () => undefined }) };
    this.reservations = new Reservations({
      priceOf: ({ tenantId }, call) => prices.priceOf({ ...call, tenantId }),
      source: { monthlyLimitOf: () => Promise.resolve(null) },
      leases: new Leases(still, log),
      clock: this.clock,
    });
  }

  /** Budgets with room for everything, set late: they count what was spent before. */
  async setBudgets(agentId: string, userId: UserId): Promise<void> {
    await this.flush();
    this.nowMs = BUDGETS_SET_MS;
    const budgets = new Budgets(this.clock);
    await budgets.set(this.scope, { scope: "tenant", scopeId: "", period: "month" }, 2_000_000_000);
    await budgets.set(this.scope, { scope: "agent", scopeId: agentId, period: "month" }, 900_000_000);
    await budgets.set(this.scope, { scope: "user", scopeId: userId, period: "total" }, 1_100_000_000);
    this.isLimited = true;
  }

  /** Reserve where a budget applies, meter; `isAbove` reserves less than is used then. */
  async modelCall(input: ModelUsageInput, isAbove: boolean): Promise<void> {
    this.nowMs = input.atMs;
    const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = input.usage;
    if (this.isLimited) {
      await this.flush();
      const asked = inputTokens + cacheReadTokens + cacheWriteTokens;
      await this.reservations.reserve(this.scope, {
        ...input,
        ...{ firstStep: 0, keyId: "", inputTokens: isAbove ? Math.floor(asked / 9) : asked + 500 },
        maxOutputTokens: isAbove ? Math.max(1, Math.floor(outputTokens / 9)) : outputTokens + 1_000,
      });
    }
    const { statements, costMicros } = this.meter.modelCall(this.scope, input);
    this.calls.push({ atMs: input.atMs, costMicros });
    this.waiting.push(...statements);
    if (this.waiting.length >= MOST_STATEMENTS) await this.flush();
  }

  toolCall(input: Omit<Parameters<UsageMeter["toolCall"]>[1], "price">): void {
    this.nowMs = input.atMs;
    const price = this.meter.toolPrice(this.scope, input.toolName);
    this.waiting.push(...this.meter.toolCall(this.scope, { ...input, price }).statements);
    this.calls.push({ atMs: input.atMs, costMicros: input.toolName === "web_search" ? TOOL_MICROS : 0 });
  }

  async flush(): Promise<void> {
    const statements = this.waiting;
    this.waiting = [];
    if (statements.length > 0) await this.scope.db.write({ statements });
  }
}
