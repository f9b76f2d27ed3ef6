/**
 * What a tenant spent and may spend this month, from its ledger and its usage. Owns: reading the figures that warnings,
 * the page and the background part are decided by. Refuses to know: who is told, what refuses a model call (the ledger).
 */
import type { Clock } from "../../kernel/clock.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { Calendars } from "../calendar.ts";
import { type Budget, monthOf } from "../ledger/budget.ts";
import type { Budgets } from "../ledger/budgets.ts";
import { endedCredit } from "../ledger/credit-lots.ts";
import { backgroundSpent } from "./background.ts";
import type { TenantPlans } from "./tenant-plans.ts";

/** A calendar month of a tenant. */
export interface Month {
  /** `YYYY-MM`. */
  name: string;
  startMs: number;
  /** First instant of the next one. */
  endMs: number;
}

/** Money of a tenant, in micro-units of its currency. */
export interface Funds {
  spentMicros: number;
  reservedMicros: number;
  /** Below zero when more was taken back than was there. */
  creditMicros: number;
}

/** A limit with what counts against it. */
export type Limited = Pick<Budget, "scope" | "scopeId" | "limitMicros" | "spentMicros"> & { period: string };

/** See the head of this file. */
export class Spending {
  private readonly clock: Clock;
  private readonly plans: TenantPlans;
  private readonly budgets: Pick<Budgets, "list">;
  private readonly calendars = new Calendars();

  constructor(deps: { clock: Clock; plans: TenantPlans; budgets: Pick<Budgets, "list"> }) {
    this.clock = deps.clock;
    this.plans = deps.plans;
    this.budgets = deps.budgets;
  }

  /** The month that it is for the tenant. */
  month(scope: TenantScope): Month {
    const calendar = this.calendars.of(scope.tenant.timeZone);
    const { month, endMs } = monthOf(calendar, this.clock.nowMs());
    return { name: month, startMs: calendar.startOf(`${month}-01`), endMs };
  }

  /** The month before the one that it is. */
  lastMonth(scope: TenantScope): Month {
    const calendar = this.calendars.of(scope.tenant.timeZone);
    const { startMs } = this.month(scope);
    const name = calendar.dayOf(startMs - 1).slice(0, 7);
    return { name, startMs: calendar.startOf(`${name}-01`), endMs: startMs };
  }

  /** What was spent this month, is held back for calls that go on, and is left of what was paid in and has not ended. */
  async funds(scope: TenantScope): Promise<Funds> {
    const { name } = this.month(scope);
    const row = await scope.db.find<Funds>(
      `SELECT coalesce((SELECT spent_micros FROM budget_counters WHERE scope = 'tenant' AND scope_id = '' AND period = ?), 0)
          AS spentMicros,
        coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'reserved'), 0) AS reservedMicros,
        coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'credit'), 0) - ${endedCredit("?")}
          AS creditMicros`,
      [name, this.clock.nowMs()],
    );
    return row ?? { spentMicros: 0, reservedMicros: 0, creditMicros: 0 };
  }

  /** Every limit that holds: the plan's for the month, and those that the tenant set. */
  async limits(scope: TenantScope): Promise<Limited[]> {
    const { name } = this.month(scope);
    const { plan } = await this.plans.of(scope.tenantId);
    const own = (await this.budgets.list(scope)).map((budget) => ({
      ...budget,
      period: budget.period === "month" ? name : "total",
    }));
    const { monthlyBudgetMicros: limitMicros } = plan.terms;
    if (limitMicros === null) return own;
    const { spentMicros } = await this.funds(scope);
    return [{ scope: "tenant", scopeId: "plan", period: name, limitMicros, spentMicros }, ...own];
  }

  /** What work that nobody waits for cost this month. */
  async background(scope: TenantScope): Promise<number> {
    const { name } = this.month(scope);
    const row = await scope.db.find<{ micros: number }>(
      `WITH call (month) AS (VALUES (?)) SELECT ${backgroundSpent("call.month")} AS micros FROM call`,
      [name],
    );
    return row?.micros ?? 0;
  }
}
