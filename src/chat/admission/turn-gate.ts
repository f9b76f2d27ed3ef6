/**
 * Whether and when a turn begins, as far as plans and fairness decide. Owns: the refusals before a message is accepted,
 * the wait for a place, the pace of tokens. Refuses to know: money of single calls (the ledger reserves it), transports.
 */
import { estimateTokens } from "../../agents/turn/tokens.ts";
import { isBackground } from "../../billing/plans/background.ts";
import type { Spending } from "../../billing/plans/spending.ts";
import type { Standing, TenantPlans } from "../../billing/plans/tenant-plans.ts";
import type { TokenPace } from "../../billing/plans/token-pace.ts";
import type { EventHub } from "../../events/hub.ts";
import type { Clock, Timer } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { FairQueue, type Leave, type Share } from "./fair-queue.ts";
import { type Counted, type TurnPlace, Velocity, type VelocityLimits } from "./velocity.ts";

/** What the gate needs. */
export interface TurnGateDeps {
  plans: TenantPlans;
  spending: Spending;
  pace: TokenPace;
  hub: EventHub;
  clock: Clock;
  log: Log;
  /** See the option `turns.concurrent`. */
  turnsAtOnce: number;
  velocity: VelocityLimits;
}

/** Turns of a tenant that were accepted and did not begin. */
interface Held {
  /** Told when turns may begin again; those of stopped tenants alone are here, the others wait in the queue. */
  waiting: Set<() => void>;
  /** Turns in the queue. */
  queued: number;
  timer: Timer;
}

/** How soon turns that wait notice that they may go on, or that their tenant may have more at once. */
const NOTICE_MS = 1_000;

/** See the head of this file. */
export class TurnGate {
  private readonly deps: TurnGateDeps;
  private readonly queue: FairQueue;
  private readonly velocity: Velocity;
  private readonly held = new Map<TenantId, Held>();

  constructor(deps: TurnGateDeps) {
    this.deps = deps;
    this.queue = new FairQueue(deps.turnsAtOnce);
    this.velocity = new Velocity(deps.clock, deps.velocity);
  }

  /**
   * Let a new message be accepted. Throws `turns_stopped` while the tenant's turns are stopped, `rate_limited` above its
   * tokens of the minute, `plan_limit` for a message that has more of them alone, `budget_exhausted` for background
   * work whose part of the budget is used up. What is returned says that it was not accepted after all.
   */
  async admit(scope: TenantScope, place: TurnPlace, channel: string, text = ""): Promise<Counted> {
    const { tenantId } = scope;
    const standing = await this.deps.plans.of(tenantId);
    const { breaker, plan } = standing;
    if (breaker !== null) throw stopped(breaker.reason, breaker.sinceMs);
    if (isBackground(channel)) await this.assertBackground(scope, standing);
    if (plan.terms.tokensPerMinute !== null) this.takeTokens(scope, plan, plan.terms.tokensPerMinute, text);
    // ORDER: last, so that a message that was refused is no turn that began.
    const counted = this.velocity.add(tenantId, place);
    return typeof counted === "string" ? this.stop(scope, place, counted) : counted;
  }

  private takeTokens(
    { tenantId }: TenantScope,
    plan: Standing["plan"],
    perMinute: number,
    text: string,
  ): void {
    const waitMs = this.deps.pace.waitMs(tenantId, perMinute);
    const details = { limit: "tokens", perMinute };
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1_000);
      const message = `This organization may use ${perMinute} tokens a minute; try again in ${seconds} s.`;
      throw new AppError("rate_limited", message, { retryAfterMs: waitMs, details });
    }
    const tokens = estimateTokens(text);
    if (tokens > perMinute) {
      const message = `This message has about ${tokens} tokens, and the plan "${plan.terms.name}" allows ${perMinute} a minute. Send less at once, or ask whoever runs the platform for a larger plan.`;
      throw new AppError("plan_limit", message, { details: { ...details, plan: plan.id, tokens } });
    }
    this.deps.pace.expect(tenantId, tokens);
  }

  /**
   * Wait for a place among all tenants' turns, and while the tenant's turns are stopped: what was accepted before is
   * kept and goes on when an admin says so. Never rejects; ends without a place when `signal` fires.
   */
  async enter(scope: TenantScope, place: TurnPlace, signal: AbortSignal): Promise<Leave> {
    const { tenantId } = scope;
    const ended = this.velocity.going(tenantId, place);
    for (;;) {
      await this.untilOpen(scope, signal);
      const known = await this.standingOf(tenantId);
      const leave = await this.queued(tenantId, () => this.queue.enter(tenantId, shareOf(known), signal));
      // They may have been stopped while it waited.
      if (signal.aborted || !(await this.isStopped(scope)))
        return () => {
          ended();
          leave();
        };
      leave();
    }
  }

  /** Whether the tenant's turns are stopped: then nothing of what waits may begin. */
  async isStopped({ tenantId }: TenantScope): Promise<boolean> {
    return (await this.standingOf(tenantId))?.breaker != null;
  }

  /** Resolves, maybe a little late, when the tenant's turns are not stopped any more, or when `signal` fires. */
  async untilOpen(scope: TenantScope, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && (await this.isStopped(scope))) await this.untilResumed(scope.tenantId, signal);
  }

  /** Before each further model call: wait while the tenant used its tokens of this minute. */
  async keepPace({ tenantId }: TenantScope, signal: AbortSignal): Promise<void> {
    const limit = this.deps.plans.recall(tenantId)?.plan.terms.tokensPerMinute ?? null;
    const waitMs = limit === null ? 0 : this.deps.pace.waitMs(tenantId, limit);
    if (waitMs === 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = this.deps.clock.after(waitMs, done);
      function done() {
        timer.cancel();
        resolve();
      }
      signal.addEventListener("abort", done, { once: true });
    });
  }

  /** Turns of a tenant that wait for a place. */
  waitingOf(tenantId: TenantId): number {
    return this.queue.waitingOf(tenantId);
  }

  private async assertBackground(scope: TenantScope, { plan }: Standing): Promise<void> {
    const { backgroundBudgetMicros: limitMicros } = plan.terms;
    if (limitMicros === null) return;
    const spentMicros = await this.deps.spending.background(scope);
    if (spentMicros < limitMicros) return;
    const { endMs } = this.deps.spending.month(scope);
    throw new AppError(
      "budget_exhausted",
      `The part of this month's budget for schedules and hooks is used up. It begins anew on ${new Date(endMs).toISOString()}. People's own messages are still answered; ask whoever runs the platform for a larger plan.`,
      { details: { scope: "background", resetAtMs: endMs, limitMicros, spentMicros } },
    );
  }

  private async stop(scope: TenantScope, { key }: TurnPlace, because: string): Promise<never> {
    const { tenantId } = scope;
    const reason = `${because} That looks like an agent or a hook that answers itself.`;
    const isFirst = await this.deps.plans.stop(tenantId, reason);
    this.velocity.forget(tenantId);
    if (isFirst) {
      this.deps.log.warn(
        { tenantId, sessionKey: key },
        "a tenant's turns were stopped: they look like a loop",
      );
      const sinceMs = this.deps.clock.nowMs();
      const payload = { kind: "breaker", reason, sinceMs };
      this.deps.hub.publish(tenantId, { event: "billing.alert", payload, delivery: "admin" });
    }
    throw stopped(reason, this.deps.clock.nowMs());
  }

  /** A store that does not answer stops no turn here: the turn itself will meet it. */
  private async standingOf(tenantId: TenantId): Promise<Standing | undefined> {
    const { plans } = this.deps;
    return plans.peek(tenantId) ?? (await plans.of(tenantId).catch(() => plans.recall(tenantId)));
  }

  private untilResumed(tenantId: TenantId, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return this.watched(tenantId, ({ waiting }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.add(resolve);
      const giveUp = () => resolve();
      signal.addEventListener("abort", giveUp, { once: true });
      return promise.finally(() => {
        waiting.delete(resolve);
        signal.removeEventListener("abort", giveUp);
      });
    });
  }

  private queued<T>(tenantId: TenantId, work: () => Promise<T>): Promise<T> {
    return this.watched(tenantId, async (held) => {
      held.queued++;
      return work().finally(() => held.queued--);
    });
  }

  /** Look after a tenant as long as something of it waits. */
  private async watched<T>(tenantId: TenantId, work: (held: Held) => Promise<T>): Promise<T> {
    let held = this.held.get(tenantId);
    if (held === undefined) {
      const timer = this.deps.clock.every(NOTICE_MS, () => void this.notice(tenantId));
      held = { waiting: new Set(), queued: 0, timer };
      this.held.set(tenantId, held);
    }
    const current = held;
    return work(current).finally(() => {
      if (current.waiting.size > 0 || current.queued > 0 || this.held.get(tenantId) !== current) return;
      current.timer.cancel();
      this.held.delete(tenantId);
    });
  }

  private async notice(tenantId: TenantId): Promise<void> {
    const known = await this.standingOf(tenantId);
    if (known === undefined) return;
    this.queue.reshare(tenantId, shareOf(known));
    if (known.breaker !== null) return;
    for (const goOn of this.held.get(tenantId)?.waiting ?? []) goOn();
  }
}

function shareOf(known: Standing | undefined): Share {
  const { weight = 1, concurrentTurns: limit = null } = known?.plan.terms ?? {};
  return { weight, limit };
}

function stopped(reason: string, sinceMs: number): AppError {
  return new AppError(
    "turns_stopped",
    `No turns begin in this organization until an admin lets them: ${reason} Find what sends the messages, then resume under Billing.`,
    { details: { reason, sinceMs, resume: "billing.breaker.resume" } },
  );
}
