/**
 * How many calls are let in: by address before anybody is known, then by tenant, person, token and cost, the same for
 * HTTP and frames. Owns: which counts a call goes to, the refusal, what callers are told of their limit.
 * Refuses to know: where counts are kept, what plans there are.
 *
 * Counts are asked narrowest first and a refusal stops there: a token over its own limit uses nothing of its tenant's.
 * Where a plan sets no limit the platform's ceilings hold; without those a tenant is not counted at all. Calls of one that
 * is counted begin at the pace of the limit after a burst (pace.ts), and one by one (turns.ts).
 *
 * SECURITY: what is large is counted by its bytes before it is parsed, and parsed when its turn comes: a refusal that
 * comes after the parsing has cost everybody what it was to save.
 */
import { addressKey } from "../../auth/guard/attempts.ts";
import type { PlanTerms } from "../../config/plan-schema.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { CostClass } from "../../protocol/methods.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { Counter } from "./counter.ts";
import { Pace } from "./pace.ts";
import { Turns } from "./turns.ts";
import { Windows } from "./windows.ts";

/** Terms of a tenant's plan that concern calls. */
export type CallTerms = Pick<
  PlanTerms,
  | "requestsPerMinute"
  | "requestsPerMinutePerUser"
  | "requestsPerMinutePerKey"
  | "writesPerMinute"
  | "turnsPerMinute"
>;

/** What limits are read from: without waiting when they are known. */
export interface TermsReader {
  peek(tenantId: TenantId): CallTerms | undefined;
  of(tenantId: TenantId): Promise<CallTerms>;
}

/** What traffic needs. */
export interface TrafficDeps {
  /** Counts of tenants and people, whose keys only they can make. */
  counter: Counter;
  /** SECURITY: apart from those: anybody with a network has more addresses than any memory holds. */
  strangers: Counter;
  clock: Clock;
  terms: TermsReader;
  /** See the option `traffic.strangersPerMinute`. */
  strangersPerMinute: number;
  ceilings: Ceilings;
}

/** Limits of tenants whose plans set none; 0 for none. See the options `traffic.tenant…PerMinute`. */
export interface Ceilings {
  requestsPerMinute: number;
  turnsPerMinute: number;
}

/** The tightest limit that a call went through, for the headers of its answer. */
export interface Allowance {
  limit: number;
  remaining: number;
  /** Milliseconds until the count begins anew. */
  resetMs: number;
}

/** Who calls. */
export type CallBy = Pick<Principal, "tenantId" | "userId" | "credential">;

/** A call to be let in. */
export interface Call {
  principal: CallBy;
  cost: CostClass;
  /** Size of what was sent; large calls count as several. 0 when that is counted already. */
  sizeBytes: number;
  /** Whether it was its turn when it was read. */
  isBegun?: boolean;
  isHandshake?: boolean;
}

/** What a call counts that adds up very many rows. */
const REPORT_POINTS = 5;
/** What a handshake counts towards a ceiling; plans count the calls that people make, and one is one of these. */
const HANDSHAKE_POINTS = 5;

interface Rule {
  of: LimitOf;
  key: string;
  points: number;
  limit: number;
  /** Whether the platform sets it and not the plan. */
  isCeiling: boolean;
}

/** A refusal that knows its limit, so that an answer's headers can say it. */
export class OverLimit extends AppError {
  readonly allowance: Allowance;
  /** Whether the count was within its limit until now; what follows in the same window is no news. */
  readonly isFirst: boolean;

  constructor(message: string, allowance: Allowance, isFirst: boolean, details: Record<string, unknown>) {
    // A refusal should cost us less than the call: collecting where it was made is most of it, and tells nothing.
    const frames = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super("rate_limited", message, { retryAfterMs: allowance.resetMs, details });
    Error.stackTraceLimit = frames;
    this.allowance = allowance;
    this.isFirst = isFirst;
  }
}

/** See the head of this file. */
export class Traffic {
  private readonly deps: TrafficDeps;
  private readonly turns: Turns;
  private readonly pace: Pace;
  private readonly ceilings: Windows;
  /** Ends the waits of calls that are held back. */
  private readonly letGo = new Set<() => void>();
  private isClosed = false;

  constructor(deps: TrafficDeps) {
    this.deps = deps;
    this.turns = new Turns(deps.clock);
    this.pace = new Pace(deps.clock);
    this.ceilings = new Windows(deps.clock);
  }

  /**
   * Let a call in, or throw `rate_limited`, or `plan_limit` for one that no minute has room for. Undefined, without
   * waiting, when nothing limits it: callers must not wait for what is not a promise, or every frame would pay for limits
   * that nobody has.
   */
  admit(call: Call): Promise<Allowance | undefined> | undefined {
    const terms = this.deps.terms.peek(call.principal.tenantId);
    if (terms === undefined) return this.admitUnknown(call);
    if (!this.isUnlimited(terms)) return this.count(call, terms);
    this.turns.seen(call.principal.tenantId);
    return undefined;
  }

  /** Count what a call weighs before it is parsed, and wait for its turn; throws as `admit`, which counts the call itself. */
  async admitBytes(principal: CallBy, sizeBytes: number): Promise<void> {
    const { tenantId } = principal;
    const terms = this.deps.terms.peek(tenantId) ?? (await this.deps.terms.of(tenantId));
    const points = pointsOf(sizeBytes);
    if (points > 0 && !this.isUnlimited(terms)) {
      const rules = this.rulesOf({ principal, cost: "read", sizeBytes }, terms);
      assertFits(rules, sizeBytes);
      await this.countRules(rules.map((rule) => ({ ...rule, points })));
    }
    await this.turns.next(tenantId, true);
  }

  /** Count a request or handshake of somebody unknown; throws `rate_limited`. */
  async admitStranger(address: string, sizeBytes = 0): Promise<void> {
    const limit = this.deps.strangersPerMinute;
    const key = strangerKey(address);
    if (limit === 0 || key === undefined) return;
    const points = 1 + pointsOf(sizeBytes);
    const { total, resetMs } = await this.deps.strangers.add(key, points);
    if (total <= limit) return;
    throw new OverLimit(
      "Too many requests from this address; wait a little.",
      { limit, remaining: 0, resetMs },
      total - points <= limit,
      { limit: "address" },
    );
  }

  /** Whoever was counted as a stranger turned out to be known. */
  async knownNow(address: string): Promise<void> {
    const key = strangerKey(address);
    if (this.deps.strangersPerMinute > 0 && key !== undefined) await this.deps.strangers.giveBack(key, 1);
  }

  /** Count a call of somebody who is known but calls no tenant; throws `rate_limited`. */
  async admitPerson(userId: UserId): Promise<void> {
    const limit = LIMITS.personCallsPerMinute;
    const { total, resetMs } = await this.deps.counter.add(`person ${userId}`, 1);
    if (total <= limit) return;
    const allowance = { limit, remaining: 0, resetMs };
    throw new OverLimit("Too many requests; wait a little.", allowance, total - 1 <= limit, {
      limit: "person",
    });
  }

  private async admitUnknown(call: Call): Promise<Allowance | undefined> {
    const terms = await this.deps.terms.of(call.principal.tenantId);
    if (!this.isUnlimited(terms)) return this.count(call, terms);
    this.turns.seen(call.principal.tenantId);
    return undefined;
  }

  private async count(call: Call, terms: CallTerms): Promise<Allowance | undefined> {
    const rules = this.rulesOf(call, terms);
    assertFits(rules, call.sizeBytes);
    const tightest = await this.countRules(rules);
    // ORDER: a handshake waits for no turn: it has a deadline, and after a restart everybody comes at once.
    const isWaiting = call.isBegun !== true && call.isHandshake !== true;
    if (isWaiting) await this.turns.next(call.principal.tenantId, rules.some(isOfPlan));
    return tightest;
  }

  /** The tightest limit of the plan; what only the platform limits is told to nobody who stays below it. */
  private async countRules(rules: readonly Rule[]): Promise<Allowance | undefined> {
    let tightest: Allowance | undefined;
    for (const { key, points, limit, of, isCeiling } of rules) {
      // ORDER: ceilings are counted without waiting, so that calls under nothing else begin in the order in which they came.
      const { total, resetMs } = isCeiling
        ? this.ceilings.add(key, points)
        : await this.deps.counter.add(key, points);
      const allowance = { limit, remaining: Math.max(0, limit - total), resetMs };
      if (total > limit) {
        throw new OverLimit(
          `${WORDS[of]} may make ${limit} ${NOUNS[of] ?? "calls"} a minute; try again in ${Math.ceil(resetMs / 1_000)} s.`,
          { ...allowance, remaining: 0 },
          total - points <= limit,
          { limit: of, perMinute: limit },
        );
      }
      if (!isCeiling && (tightest === undefined || allowance.remaining < tightest.remaining))
        tightest = allowance;
    }
    await this.keepPace(rules);
    return tightest;
  }

  /** By the smallest of the limits: who goes on and on is held back, and nobody else of the tenant. */
  private async keepPace(rules: readonly Rule[]): Promise<void> {
    const [first, ...others] = rules;
    if (first === undefined) return;
    const least = others.reduce((left, right) => (right.limit < left.limit ? right : left), first);
    const waitMs = this.pace.waitMs(least.key, least.points, least.limit);
    if (waitMs === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.deps.clock.after(waitMs, done);
      const letGo = this.letGo;
      letGo.add(done);
      function done() {
        timer.cancel();
        letGo.delete(done);
        resolve();
      }
    });
    if (this.isClosed) throw new AppError("shutting_down", "The gateway is stopping; try again in a moment.");
  }

  /** SECURITY: every key begins with its tenant; ids of people are the same in all of theirs. */
  private rulesOf(call: Call, terms: CallTerms): Rule[] {
    const { tenantId, userId, credential } = call.principal;
    const { ceilings } = this.deps;
    const bySize = pointsOf(call.sizeBytes);
    const isChange = call.cost === "write" || call.cost === "turn";
    const rule = (of: LimitOf, own: number | null, id: string, isFlat = false, ceiling = 0): Rule[] => {
      const limit = own ?? (ceiling === 0 ? null : ceiling);
      if (limit === null) return [];
      // A report counts what there is room for: where five calls are too many for a minute, it would never be made.
      const base = call.cost === "report" ? Math.min(REPORT_POINTS, limit) : 1;
      const isCeiling = own === null;
      const points = isFlat ? 1 : (isCeiling && call.isHandshake === true ? HANDSHAKE_POINTS : base) + bySize;
      // Apart, so that a tenant begins with nothing used on the day a plan limits it.
      return [{ of, key: `${tenantId} ${isCeiling ? "ceiling " : ""}${of} ${id}`, points, limit, isCeiling }];
    };
    return [
      ...rule("token", terms.requestsPerMinutePerKey, `${credential.kind} ${credential.id}`),
      ...rule("person", terms.requestsPerMinutePerUser, userId),
      ...(call.cost === "turn" ? rule("turns", terms.turnsPerMinute, "", true, ceilings.turnsPerMinute) : []),
      ...(isChange ? rule("writes", terms.writesPerMinute, "", true) : []),
      ...rule("tenant", terms.requestsPerMinute, "", false, ceilings.requestsPerMinute),
    ];
  }

  private isUnlimited(terms: CallTerms): boolean {
    const { ceilings } = this.deps;
    return (
      ceilings.requestsPerMinute === 0 &&
      ceilings.turnsPerMinute === 0 &&
      terms.requestsPerMinute === null &&
      terms.requestsPerMinutePerUser === null &&
      terms.requestsPerMinutePerKey === null &&
      terms.writesPerMinute === null &&
      terms.turnsPerMinute === null
    );
  }

  /** Nothing waits any more: a stop must not take as long as the slowest caller's turn. */
  close(): void {
    this.isClosed = true;
    for (const done of [...this.letGo]) done();
  }
}

type LimitOf = "token" | "person" | "turns" | "writes" | "tenant";

const WORDS: Readonly<Record<LimitOf, string>> = {
  token: "This token",
  person: "One person",
  turns: "This organization",
  writes: "This organization",
  tenant: "This organization",
};

const NOUNS: Readonly<Partial<Record<LimitOf, string>>> = { turns: "turns", writes: "changes" };

function isOfPlan({ isCeiling }: Rule): boolean {
  return !isCeiling;
}

/** What a call counts by its size, besides what it is. */
function pointsOf(sizeBytes: number): number {
  return Math.floor(sizeBytes / LIMITS.callBytes);
}

/** A call that is more than a whole minute's has no better moment, and must not use up what smaller ones need. */
function assertFits(rules: readonly Rule[], sizeBytes: number): void {
  if (pointsOf(sizeBytes) === 0) return;
  const tight = rules.find(({ points, limit }) => points > limit);
  if (tight === undefined) return;
  const { of, points, limit } = tight;
  throw new AppError(
    "plan_limit",
    `${(sizeBytes / 1e6).toFixed(1)} MB at once count as ${points} calls, and ${WORDS[of].toLowerCase()} may make ${limit} a minute. ` +
      "Send it in smaller parts, e.g. one attachment in a message, or ask for a larger plan.",
    { details: { limit: of, perMinute: limit, points } },
  );
}

/** Headers that tell a caller where it stands (IETF draft-ietf-httpapi-ratelimit-headers, in its separate form). */
export function limitHeaders({ limit, remaining, resetMs }: Allowance): Record<string, string> {
  return {
    "ratelimit-limit": String(limit),
    "ratelimit-remaining": String(remaining),
    "ratelimit-reset": String(Math.ceil(resetMs / 1_000)),
  };
}

/**
 * The count that an address goes to; an IPv6 one to that of its /64, of which whoever has one has all. Undefined for
 * loopback.
 */
export function strangerKey(address: string): string | undefined {
  const key = addressKey(address);
  return key.startsWith("127.") || key === LOOPBACK_V6 ? undefined : `address ${key}`;
}

const LOOPBACK_V6 = addressKey("::1");
