/**
 * Holding money back for model calls. Owns: whether a call needs a reservation, making it, saying why it is refused.
 * Refuses to know: the loop that makes calls, how they are metered (a trigger settles when the usage event is stored).
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError, toAppError } from "../../kernel/errors.ts";
import type { AgentId, RunId, UserId } from "../../kernel/ids.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { Calendars } from "../calendar.ts";
import type { ConfiguredCost } from "../prices.ts";
import type { Price } from "../pricing/price.ts";
import type { KeyOwner } from "../usage.ts";
import { type BudgetSource, monthOf } from "./budget.ts";
import type { Leases } from "./leases.ts";
import { type ReservedCall, releaseCall, reserveStatements } from "./reserve-sql.ts";
import { findShortage, type Shortage } from "./shortage.ts";
import { worstCaseMicros } from "./worst-case.ts";

/** A call about to be made. */
export interface SpendCall {
  runId: RunId;
  /** Unique within the run, over all its attempts; the usage event of the call has the same. */
  step: number;
  /** First step of this attempt of the run. */
  firstStep: number;
  purpose: "turn" | "compaction";
  userId: UserId;
  agentId: AgentId;
  /** The credential the run was begun with; empty when unknown. */
  keyId: string;
  provider: string;
  model: string;
  cost: ConfiguredCost | undefined;
  keyOwner: KeyOwner;
  /** At least as many as the provider can count. */
  inputTokens: number;
  maxOutputTokens: number | undefined;
}

/** What reservations need. */
export interface ReservationsDeps {
  /** The price that the meter will use. */
  priceOf(
    scope: TenantScope,
    call: Pick<SpendCall, "provider" | "model" | "cost" | "keyOwner"> & { atMs: number },
  ): Price;
  source: BudgetSource;
  leases: Leases;
  clock: Clock;
}

/** Looks at budgets that change while we look. */
const TRIES = 5;

/** See the head of this file. */
export class Reservations {
  private readonly deps: ReservationsDeps;
  private readonly calendars = new Calendars();

  constructor(deps: ReservationsDeps) {
    this.deps = deps;
  }

  /**
   * Hold back what the call may cost at most, against all budgets that apply together; false when none applies, or the
   * call costs nothing here: then nothing is written. Throws `budget_exhausted`, `model_unpriced`, `output_unbounded`.
   */
  async reserve(scope: TenantScope, call: SpendCall): Promise<boolean> {
    // The tenant's own key is paid by the tenant, at the provider.
    if (call.keyOwner === "tenant") return false;
    const planLimitMicros = await this.deps.source.monthlyLimitOf(scope.tenant);
    if (planLimitMicros === null && !(await this.hasBudget(scope, call))) return false;
    const atMs = this.deps.clock.nowMs();
    const price = this.deps.priceOf(scope, { ...call, atMs });
    const amountMicros = worstCaseMicros(call, price);
    if (amountMicros === 0) return false;
    const { month, endMs } = monthOf(this.calendars.of(scope.tenant.timeZone), atMs);
    const { runId, step, userId, agentId, keyId, provider, model } = call;
    const held: ReservedCall = {
      ...{
        runId,
        step,
        userId,
        agentId,
        keyId,
        provider: provider.slice(0, 200),
        model: model.slice(0, 200),
      },
      ...{ ordinal: call.purpose === "turn" ? 0 : 1, amountMicros, planLimitMicros, month, atMs },
      ...{ priceOrigin: price.origin, leaseUntilMs: this.deps.leases.untilMs() },
    };
    for (let tries = 0; tries < TRIES; tries++) {
      if (await this.write(scope, held, call.firstStep)) {
        this.deps.leases.hold(scope, runId);
        return true;
      }
      const shortage = await findShortage(scope, held);
      if (shortage !== undefined) throw exhausted(shortage, held, endMs);
      // It fits by now: what stood in the way was given back meanwhile.
    }
    throw new AppError("limit_reached", "⚠️ Other answers hold the rest of the budget. Try again.", {
      retryAfterMs: 1_000,
    });
  }

  /** Give back what a call holds that came to nothing. */
  async release(scope: TenantScope, runId: RunId, step: number): Promise<void> {
    await scope.db.write({ statements: [releaseCall(runId, step, this.deps.clock.nowMs())] });
  }

  /** The run is over for this process; what it may still hold lapses with its lease. */
  end(scope: TenantScope, runId: RunId): void {
    this.deps.leases.drop(scope, runId);
  }

  private async write(scope: TenantScope, held: ReservedCall, firstStep: number): Promise<boolean> {
    const batch = { statements: reserveStatements(held, firstStep) };
    try {
      return (await scope.db.write(batch)).committed;
    } catch (thrown) {
      if (toAppError(thrown).code !== "storage_uncertain") throw thrown;
      // A failed commit is an unknown outcome, so look before trying once more.
      const sql =
        "SELECT 1 FROM reservations WHERE run_id = ? AND step = ? AND ordinal = ? AND state = 'open'";
      const found = await scope.db.find(sql, [held.runId, held.step, held.ordinal]);
      return found !== undefined || (await scope.db.write(batch)).committed;
    }
  }

  private async hasBudget(scope: TenantScope, call: SpendCall): Promise<boolean> {
    const sql = `SELECT 1 FROM budgets WHERE (scope, scope_id) IN (VALUES ('tenant', ''), ('user', ?), ('agent', ?),
      ('key', ?)) LIMIT 1`;
    return (await scope.db.find(sql, [call.userId, call.agentId, call.keyId])) !== undefined;
  }
}

const WHOSE = { tenant: "this organization", user: "you", agent: "this agent", key: "this key" } as const;

function exhausted(shortage: Shortage, held: ReservedCall, monthEndMs: number): AppError {
  const { scope, limitMicros, spentMicros, reservedMicros, period } = shortage;
  const resetAtMs = period === "month" ? monthEndMs : null;
  const left = Math.max(0, limitMicros - spentMicros - reservedMicros);
  const kind = period === "month" ? "monthly budget" : "budget";
  const what = left === 0 && reservedMicros === 0 ? "is used up" : "does not cover this answer";
  const rest =
    reservedMicros > 0
      ? " Answers being written now hold a part of it; what they do not use comes back."
      : "";
  const until = resetAtMs === null ? "" : ` It begins anew on ${new Date(resetAtMs).toISOString()}.`;
  const message = `⚠️ The ${kind} of ${WHOSE[scope]} ${what}.${rest}${until} An admin can raise it.`;
  const facts = {
    scope,
    scopeId: shortage.scopeId,
    period,
    resetAtMs,
    limitMicros,
    spentMicros,
    reservedMicros,
  };
  return new AppError("budget_exhausted", message, {
    details: { ...facts, neededMicros: held.amountMicros },
  });
}
