/**
 * Holding money back for calls of models and tools. Owns: whether one needs it, making it, saying why it is refused.
 * Refuses to know: the loop that makes calls, how they are metered (a trigger settles when the usage event is stored).
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError, toAppError } from "../../kernel/errors.ts";
import type { AgentId, RunId, UserId } from "../../kernel/ids.ts";
import type { Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { Calendars } from "../calendar.ts";
import type { ConfiguredCost } from "../prices.ts";
import type { Price, ToolPrice } from "../pricing/price.ts";
import type { KeyOwner } from "../usage.ts";
import { type BudgetSource, monthOf } from "./budget.ts";
import type { Leases } from "./leases.ts";
import { type ReservedCall, releaseCall, reserveStatements } from "./reserve-sql.ts";
import { findShortage, type Shortage } from "./shortage.ts";
import { worstCaseMicros } from "./worst-case.ts";

/** Whose call it is. */
interface CallPlace {
  runId: RunId;
  /** Unique within the run, over all its attempts; the usage event of the call has the same. */
  step: number;
  /** First step of this attempt of the run. */
  firstStep: number;
  userId: UserId;
  agentId: AgentId;
  /** The credential the run was begun with; empty when unknown. */
  keyId: string;
  /** Nobody waits for it. */
  isBackground?: boolean | undefined;
}

/** A call of a model about to be made. */
export interface SpendCall extends CallPlace {
  purpose: "turn" | "compaction";
  provider: string;
  model: string;
  cost: ConfiguredCost | undefined;
  keyOwner: KeyOwner;
  /** The price that the call will end on; that of now unless given. */
  price?: Price | undefined;
  /** At least as many as the provider can count. */
  inputTokens: number;
  maxOutputTokens: number | undefined;
}

/** A call of a tool about to be made. */
export interface ToolSpendCall extends CallPlace {
  /** As in the usage event of the call. */
  ordinal: number;
  toolName: string;
  /** What it will cost, whatever becomes of the price meanwhile. */
  price: ToolPrice;
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
  /** A budget refused a call. Must not throw. */
  onRefused?(scope: TenantScope): void;
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
    const limits = await this.limitsOf(scope, call);
    if (limits === undefined) return false;
    const atMs = this.deps.clock.nowMs();
    const price = call.price ?? this.deps.priceOf(scope, { ...call, atMs });
    const amountMicros = worstCaseMicros(call, price);
    if (amountMicros === 0) return false;
    const { provider, model } = call;
    await this.hold(scope, call, {
      ...{ ordinal: call.purpose === "turn" ? 0 : 1, amountMicros, ...limits, atMs },
      ...{ provider: provider.slice(0, 200), model: model.slice(0, 200), toolName: "" },
      priceOrigin: price.origin,
    });
    return true;
  }

  /**
   * As `reserve`, for a call of a tool. `intent`, the record that it is about to begin, is written with the reservation and
   * only with it; when false nothing was. Throws `budget_exhausted`, and `conflict` when the intent was written before.
   */
  async reserveTool(scope: TenantScope, call: ToolSpendCall, intent: Statement): Promise<boolean> {
    const { ordinal, toolName, price } = call;
    if (price.micros === 0) return false;
    const limits = await this.limitsOf(scope, call);
    if (limits === undefined) return false;
    const what = { provider: "", model: "", toolName: toolName.slice(0, 200), priceOrigin: price.origin };
    const atMs = this.deps.clock.nowMs();
    await this.hold(scope, call, { ordinal, amountMicros: price.micros, ...limits, atMs, ...what }, intent);
    return true;
  }

  /** Which of the keys have a budget of their own; at most a few hundred are looked at. */
  async limitedKeys(scope: TenantScope, keyIds: readonly string[]): Promise<Set<string>> {
    const sql = `SELECT DISTINCT scope_id AS id FROM budgets WHERE scope = 'key'
      AND scope_id IN (SELECT value FROM json_each(?))`;
    const rows = await scope.db.list<{ id: string }>(sql, [JSON.stringify(keyIds)]);
    return new Set(rows.map(({ id }) => id));
  }

  /** Give back what a call holds that came to nothing. */
  async release(scope: TenantScope, runId: RunId, step: number): Promise<void> {
    await scope.db.write({ statements: [releaseCall(runId, step, this.deps.clock.nowMs())] });
  }

  /** The run is over for this process; what it may still hold lapses with its lease. */
  end(scope: TenantScope, runId: RunId): void {
    this.deps.leases.drop(scope, runId);
  }

  private async hold(
    scope: TenantScope,
    place: CallPlace,
    amount: Amount,
    intent?: Statement,
  ): Promise<void> {
    const { runId, step, firstStep, userId, agentId, keyId, isBackground = false } = place;
    const { month, endMs } = monthOf(this.calendars.of(scope.tenant.timeZone), amount.atMs);
    const leaseUntilMs = this.deps.leases.untilMs();
    const whose = { runId, step, userId, agentId, keyId, isBackground };
    const held: ReservedCall = { ...whose, month, leaseUntilMs, ...amount };
    for (let tries = 0; tries < TRIES; tries++) {
      if (await this.write(scope, held, firstStep, intent)) {
        this.deps.leases.hold(scope, runId);
        return;
      }
      const shortage = await findShortage(scope, held);
      if (shortage !== undefined) {
        this.deps.onRefused?.(scope);
        throw exhausted(shortage, held, endMs);
      }
      // It fits by now: what stood in the way was given back meanwhile.
    }
    throw new AppError("limit_reached", "⚠️ Other answers hold the rest of the budget. Try again.", {
      retryAfterMs: 1_000,
    });
  }

  private async write(
    scope: TenantScope,
    held: ReservedCall,
    firstStep: number,
    intent: Statement | undefined,
  ): Promise<boolean> {
    const reserve = reserveStatements(held, firstStep);
    const batch = { statements: intent === undefined ? reserve : [intent, ...reserve] };
    const attempt = async () => {
      const outcome = await scope.db.write(batch);
      if (!outcome.committed && intent !== undefined && outcome.refusedAt === 0)
        throw new AppError("conflict", "This tool call was recorded before.");
      return outcome.committed;
    };
    try {
      return await attempt();
    } catch (thrown) {
      if (toAppError(thrown).code !== "storage_uncertain") throw thrown;
      // A failed commit is an unknown outcome, so look before trying once more.
      const sql =
        "SELECT 1 FROM reservations WHERE run_id = ? AND step = ? AND ordinal = ? AND state = 'open'";
      const found = await scope.db.find(sql, [held.runId, held.step, held.ordinal]);
      if (found !== undefined) return true;
      // If nobody can say again, it may hold something that nobody will give back: it lapses.
      this.deps.leases.watch(scope);
      return await attempt();
    }
  }

  /** What the plan limits; undefined when nothing limits the call. */
  private async limitsOf(scope: TenantScope, call: CallPlace): Promise<PlanLimits | undefined> {
    const { source } = this.deps;
    const planLimitMicros = await source.monthlyLimitOf(scope.tenant);
    const part = call.isBackground === true ? await source.backgroundLimitOf?.(scope.tenant) : null;
    const limits = { planLimitMicros, backgroundLimitMicros: part ?? null };
    const isLimited = Object.values(limits).some((limit) => limit !== null);
    return isLimited || (await this.hasBudget(scope, call)) ? limits : undefined;
  }

  private async hasBudget(scope: TenantScope, call: CallPlace): Promise<boolean> {
    const sql = `SELECT 1 FROM budgets WHERE (scope, scope_id) IN (VALUES ('tenant', ''), ('user', ?), ('agent', ?),
      ('key', ?)) LIMIT 1`;
    return (await scope.db.find(sql, [call.userId, call.agentId, call.keyId])) !== undefined;
  }
}

type PlanLimits = Pick<ReservedCall, "planLimitMicros" | "backgroundLimitMicros">;

/** What is held back, and for what. */
type Amount = PlanLimits &
  Pick<ReservedCall, "ordinal" | "amountMicros" | "atMs"> &
  Pick<ReservedCall, "provider" | "model" | "toolName" | "priceOrigin">;

const WHOSE = {
  ...{ tenant: "of this organization", user: "of you", agent: "of this agent", key: "of this key" },
  background: "for schedules and hooks",
} as const;

/** Who can do what about it: admins set budgets, the plan's are the operator's. */
function helpOf({ scope, scopeId }: Pick<Shortage, "scope" | "scopeId">): string {
  if (scopeId !== "plan") return "An admin can raise it.";
  const larger = "ask whoever runs the platform for a larger plan";
  if (scope === "background") return `People's messages are still answered; for more, ${larger}.`;
  return `To go on before, an admin can top up or redeem a code under Billing, or ${larger}.`;
}

function exhausted(shortage: Shortage, held: ReservedCall, monthEndMs: number): AppError {
  const { scope, scopeId, limitMicros, spentMicros, reservedMicros, period } = shortage;
  const resetAtMs = period === "month" ? monthEndMs : null;
  const left = Math.max(0, limitMicros - spentMicros - reservedMicros);
  const budget = period === "month" ? "monthly budget" : "budget";
  const kind = scopeId === "plan" ? `plan's ${budget}` : `${budget}`;
  const wanted = held.toolName === "" ? "this answer" : `a call of ${held.toolName}`;
  const what = left === 0 && reservedMicros === 0 ? "is used up" : `does not cover ${wanted}`;
  const rest =
    reservedMicros > 0
      ? " Answers being written now hold a part of it; what they do not use comes back."
      : "";
  const until = resetAtMs === null ? "" : ` It begins anew on ${new Date(resetAtMs).toISOString()}.`;
  const message = `⚠️ The ${kind} ${WHOSE[scope]} ${what}.${rest}${until} ${helpOf(shortage)}`;
  const facts = {
    scope,
    scopeId,
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
