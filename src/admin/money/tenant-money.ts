/**
 * One tenant's money for operators: plan, what it spent and may spend, margin and prices of its own. Owns: the shape of
 * the answer. Refuses to know: calls and ledger lines, which are the tenant's.
 */
import type { Spending } from "../../billing/plans/spending.ts";
import type { TenantPlans } from "../../billing/plans/tenant-plans.ts";
import { PriceRows } from "../../billing/pricing/price-rows.ts";
import type { PriceStore } from "../../billing/pricing/price-store.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Tenant } from "../../tenancy/tenant.ts";

/** What the answer is read from. */
export interface TenantMoneyDeps {
  plans: TenantPlans;
  spending: Pick<Spending, "funds" | "month">;
  store: Pick<PriceStore, "list">;
  clock: Clock;
  /** The tenant's scope; undefined when it is gone or going. */
  scopeOf(tenantId: Tenant["id"]): Promise<TenantScope | undefined>;
}

const MOST_ROWS = 200;

/** See the head of this file; amounts are micro-units of `currency`, and `funds` is null while nobody can tell. */
export async function readTenantMoney(deps: TenantMoneyDeps, tenant: Tenant) {
  const [{ plan, untilMs, breaker }, pins, book, money] = await Promise.all([
    deps.plans.of(tenant.id),
    deps.plans.listPins(tenant.id),
    deps.store.list(),
    readFunds(deps, tenant),
  ]);
  const today = new Date(deps.clock.nowMs()).toISOString().slice(0, 10);
  const known = new PriceRows(book.rows, book.margins);
  const isOwn = ({ tenantId }: { tenantId: string }) => tenantId === tenant.id;
  const { terms } = plan;
  return {
    currency: terms.currency,
    today,
    plan: { id: plan.id, version: plan.version, name: terms.name, untilMs },
    pins,
    breaker,
    limitMicros: terms.monthlyBudgetMicros,
    ...money,
    margin: {
      basisPoints: known.marginOf(tenant.id, today),
      isOwn: known.findMargin(tenant.id, today)?.tenantId === tenant.id,
      rows: book.margins
        .filter(isOwn)
        .slice(0, MOST_ROWS)
        .map((row) => ({ ...row, standing: known.marginStandingOf(row, today) })),
    },
    prices: book.rows
      .filter(isOwn)
      .slice(0, MOST_ROWS)
      .map((row) => ({ ...row, standing: known.standingOf(row, today) })),
  };
}

/** A tenant whose file cannot be read, or goes, still has a plan and prices. */
async function readFunds({ spending, scopeOf }: TenantMoneyDeps, tenant: Tenant) {
  const nothing = { funds: null, period: null };
  const scope = await scopeOf(tenant.id);
  if (scope === undefined) return nothing;
  try {
    const { startMs, endMs } = spending.month(scope);
    const period = { startMs, endMs, timeZone: tenant.timeZone };
    return { funds: await spending.funds(scope), period };
  } catch (error) {
    if (error instanceof AppError) return nothing;
    throw error;
  }
}
