/**
 * Whether and when a turn begins, as far as plans and fairness decide. Owns: the refusals before a message is accepted,
 * the wait for a place, the pace of tokens. Refuses to know: money of single calls (the ledger reserves it), transports.
 */
import { estimateTokens } from "../../agents/turn/tokens.ts";
import type { Spending } from "../../billing/plans/spending.ts";
import { BACKGROUND_CHANNELS } from "../../billing/plans/spending.ts";
import type { Standing, TenantPlans } from "../../billing/plans/tenant-plans.ts";
import type { TokenPace } from "../../billing/plans/token-pace.ts";
import type { EventHub } from "../../events/hub.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { SessionKey, TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { FairQueue, type Leave } from "./fair-queue.ts";
import { Velocity } from "./velocity.ts";

/** What the gate needs. */
export interface TurnGateDeps {
  plans: TenantPlans;
  spending: Spending;
  pace: TokenPace;
  hub: EventHub;
  clock: Clock;
  log: Log;
  /** See the options `turns.concurrent` and `turns.sessionPerMinute`. */
  turnsAtOnce: number;
  turnsPerSession: number;
}

const BACKGROUND: ReadonlySet<string> = new Set(BACKGROUND_CHANNELS);

/** See the head of this file. */
export class TurnGate {
  private readonly deps: TurnGateDeps;
  private readonly queue: FairQueue;
  private readonly velocity: Velocity;

  constructor(deps: TurnGateDeps) {
    this.deps = deps;
    this.queue = new FairQueue(deps.turnsAtOnce);
    this.velocity = new Velocity(deps.clock, deps.turnsPerSession);
  }

  /**
   * Let a new message be accepted. Throws `turns_stopped` while the tenant's turns are stopped, `rate_limited` above its
   * tokens of the minute, `plan_limit` for a message that has more of them alone, `budget_exhausted` for background
   * work whose part of the budget is used up.
   */
  async admit(scope: TenantScope, key: SessionKey, channel: string, text = ""): Promise<void> {
    const { tenantId } = scope;
    const standing = await this.deps.plans.of(tenantId);
    const { breaker, plan } = standing;
    if (breaker !== null) throw stopped(breaker.reason, breaker.sinceMs);
    if (BACKGROUND.has(channel)) await this.assertBackground(scope, standing);
    if (this.velocity.isLoop(tenantId, key)) await this.stop(scope, key);
    if (plan.terms.tokensPerMinute !== null) this.takeTokens(scope, plan, plan.terms.tokensPerMinute, text);
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

  /** Wait for a place among all tenants' turns. Never rejects; ends without a place when `signal` fires. */
  async enter({ tenantId }: TenantScope, signal: AbortSignal): Promise<Leave> {
    const known =
      this.deps.plans.peek(tenantId) ?? (await this.deps.plans.of(tenantId).catch(() => undefined));
    // A store that does not answer stops no turn here: the turn itself will meet it.
    const { weight = 1, concurrentTurns: limit = null } = known?.plan.terms ?? {};
    return this.queue.enter(tenantId, { weight, limit }, signal);
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
      "The part of this month's budget for schedules and hooks is used up. People's own messages are still answered; ask an admin to raise the budget or wait for the next month.",
      { details: { scope: "background", resetAtMs: endMs, limitMicros, spentMicros } },
    );
  }

  private async stop(scope: TenantScope, key: SessionKey): Promise<never> {
    const { tenantId } = scope;
    const reason = `More than ${this.deps.turnsPerSession} turns began within a minute in the session ${key}. That looks like an agent or a hook that answers itself.`;
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
}

function stopped(reason: string, sinceMs: number): AppError {
  return new AppError(
    "turns_stopped",
    `No turns begin in this organization until an admin lets them: ${reason} Find what sends the messages, then resume under Billing.`,
    { details: { reason, sinceMs, resume: "billing.breaker.resume" } },
  );
}
