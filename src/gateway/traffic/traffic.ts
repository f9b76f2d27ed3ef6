/**
 * How many calls are let in: by address before anybody is known, then by tenant, person, token and cost, the same for
 * HTTP and frames. Owns: which counts a call goes to, the refusal, what callers are told of their limit.
 * Refuses to know: where counts are kept, what plans there are.
 *
 * Counts are asked narrowest first and a refusal stops there: a token over its own limit uses nothing of its tenant's.
 * A tenant whose plan limits nothing is not counted at all. Calls of one that is limited begin at the pace of the limit
 * after a burst (pace.ts), and one by one (turns.ts).
 */
import { addressKey } from "../../auth/guard/attempts.ts";
import type { PlanTerms } from "../../config/plan-schema.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { CostClass } from "../../protocol/methods.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { Counter } from "./counter.ts";
import { Pace } from "./pace.ts";
import { Turns } from "./turns.ts";

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
  counter: Counter;
  clock: Clock;
  terms: TermsReader;
  /** See the option `traffic.strangersPerMinute`. */
  strangersPerMinute: number;
}

/** The tightest limit that a call went through, for the headers of its answer. */
export interface Allowance {
  limit: number;
  remaining: number;
  /** Milliseconds until the count begins anew. */
  resetMs: number;
}

/** A call to be let in. */
export interface Call {
  principal: Pick<Principal, "tenantId" | "userId" | "credential">;
  cost: CostClass;
  /** Size of what was sent; large calls count as several. */
  sizeBytes: number;
}

/** Bytes of a call that count as one point; larger ones cost us more than a call. */
const BYTES_PER_POINT = 64 * 1024;
/** What a call counts that adds up very many rows. */
const REPORT_POINTS = 5;

interface Rule {
  key: string;
  points: number;
  limit: number;
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
  /** Ends the waits of calls that are held back. */
  private readonly letGo = new Set<() => void>();
  private isClosed = false;

  constructor(deps: TrafficDeps) {
    this.deps = deps;
    this.turns = new Turns(deps.clock);
    this.pace = new Pace(deps.clock);
  }

  /**
   * Let a call in, or throw `rate_limited`. Undefined, without waiting, when nothing limits it: callers must not wait
   * for what is not a promise, or every frame would pay for limits that nobody has.
   */
  admit(call: Call): Promise<Allowance | undefined> | undefined {
    const terms = this.deps.terms.peek(call.principal.tenantId);
    if (terms === undefined) return this.admitUnknown(call);
    return isUnlimited(terms) ? undefined : this.count(call, terms);
  }

  /** Count a request or handshake of somebody unknown; throws `rate_limited`. */
  async admitStranger(address: string): Promise<void> {
    const limit = this.deps.strangersPerMinute;
    const key = strangerKey(address);
    if (limit === 0 || key === undefined) return;
    const { total, resetMs } = await this.deps.counter.add(key, 1);
    if (total <= limit) return;
    throw new OverLimit(
      "Too many requests from this address; wait a little.",
      { limit, remaining: 0, resetMs },
      total - 1 <= limit,
      { limit: "address" },
    );
  }

  /** Whoever was counted as a stranger turned out to be known. */
  async knownNow(address: string): Promise<void> {
    const key = strangerKey(address);
    if (this.deps.strangersPerMinute > 0 && key !== undefined) await this.deps.counter.giveBack(key, 1);
  }

  private async admitUnknown(call: Call): Promise<Allowance | undefined> {
    const terms = await this.deps.terms.of(call.principal.tenantId);
    return isUnlimited(terms) ? undefined : this.count(call, terms);
  }

  private async count(call: Call, terms: CallTerms): Promise<Allowance | undefined> {
    let tightest: Allowance | undefined;
    const rules = rulesOf(call, terms);
    for (const { key, points, limit, of } of rules) {
      const { total, resetMs } = await this.deps.counter.add(key, points);
      const allowance = { limit, remaining: Math.max(0, limit - total), resetMs };
      if (total > limit) {
        throw new OverLimit(
          `${WORDS[of]} may make ${limit} ${NOUNS[of] ?? "calls"} a minute; try again in ${Math.ceil(resetMs / 1_000)} s.`,
          { ...allowance, remaining: 0 },
          total - points <= limit,
          { limit: of, perMinute: limit },
        );
      }
      if (tightest === undefined || allowance.remaining < tightest.remaining) tightest = allowance;
    }
    await this.keepPace(rules);
    await this.turns.next(call.principal.tenantId);
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

/** SECURITY: every key begins with its tenant; ids of people are the same in all of theirs. */
function rulesOf(call: Call, terms: CallTerms): (Rule & { of: LimitOf })[] {
  const { tenantId, userId, credential } = call.principal;
  const points = (call.cost === "report" ? REPORT_POINTS : 1) + Math.floor(call.sizeBytes / BYTES_PER_POINT);
  const isChange = call.cost === "write" || call.cost === "turn";
  const rule = (of: LimitOf, limit: number | null, id: string, cost: number) =>
    limit === null ? [] : [{ of, key: `${tenantId} ${of} ${id}`, points: cost, limit }];
  return [
    ...rule("token", terms.requestsPerMinutePerKey, `${credential.kind} ${credential.id}`, points),
    ...rule("person", terms.requestsPerMinutePerUser, userId, points),
    ...(call.cost === "turn" ? rule("turns", terms.turnsPerMinute, "", 1) : []),
    ...(isChange ? rule("writes", terms.writesPerMinute, "", 1) : []),
    ...rule("tenant", terms.requestsPerMinute, "", points),
  ];
}

function isUnlimited(terms: CallTerms): boolean {
  return (
    terms.requestsPerMinute === null &&
    terms.requestsPerMinutePerUser === null &&
    terms.requestsPerMinutePerKey === null &&
    terms.writesPerMinute === null &&
    terms.turnsPerMinute === null
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
