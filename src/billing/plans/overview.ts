/**
 * A tenant's plan, money and limits on one page. Owns: the shape of the answer. Refuses to know: transports, how what is
 * used is counted (handed in).
 */
import type { TenantScope } from "../../tenancy/scoped.ts";
import { LEAST_TOP_UP, MOST_TOP_UP, type Payments } from "../payments/payments.ts";
import { storageLevel } from "../storage/storage-alerts.ts";
import type { Alert, Alerts } from "./alerts.ts";
import type { Spending } from "./spending.ts";
import type { TenantPlans } from "./tenant-plans.ts";

/** How much of what a plan counts is taken. */
export interface Used {
  seats: number;
  agents: number;
  storageBytes: number;
}

/** What the page needs. */
export interface OverviewDeps {
  plans: TenantPlans;
  spending: Spending;
  alerts: Alerts;
  payments: Pick<Payments, "listProviders">;
  usedOf(scope: TenantScope): Promise<Used>;
  /** What people call whom a budget is for; undefined when nobody of that id is there any more. */
  nameOf(scope: TenantScope, key: Pick<Alert, "scope" | "scopeId">): Promise<string | undefined>;
}

/** Everything that a tenant is told of its plan; amounts are micro-units of its currency. */
export async function readOverview(deps: OverviewDeps, scope: TenantScope) {
  const { plan, untilMs, breaker } = await deps.plans.of(scope.tenantId);
  const { terms } = plan;
  const month = deps.spending.month(scope);
  const [funds, used, alerts, providers] = await Promise.all([
    deps.spending.funds(scope),
    deps.usedOf(scope),
    deps.alerts.list(scope),
    deps.payments.listProviders(scope),
  ]);
  return {
    plan: { id: plan.id, version: plan.version, name: terms.name, until: untilMs },
    currency: terms.currency,
    period: { startMs: month.startMs, endMs: month.endMs, timeZone: scope.tenant.timeZone },
    budget: { limitMicros: terms.monthlyBudgetMicros, ...funds },
    limits: {
      seats: { used: used.seats, limit: terms.seats },
      agents: { used: used.agents, limit: terms.agents },
      storageBytes: {
        ...{ used: used.storageBytes, limit: terms.storageBytes },
        /** 80 or 95 where so many hundredths are used, else null. */
        level: terms.storageBytes === null ? null : storageLevel(used.storageBytes, terms.storageBytes),
      },
      // There are no channels yet, so none are used.
      channels: { limit: terms.channels },
      requestsPerMinute: terms.requestsPerMinute,
      concurrentTurns: terms.concurrentTurns,
      tokensPerMinute: terms.tokensPerMinute,
      backgroundBudgetMicros: terms.backgroundBudgetMicros,
      models: terms.models,
    },
    alerts: await withNames(deps, scope, alerts),
    breaker,
    topUp: { providers, minMicros: LEAST_TOP_UP, maxMicros: MOST_TOP_UP },
  };
}

/** With names: the budget of an alert may be gone, and then is in no list. */
function withNames({ nameOf }: OverviewDeps, scope: TenantScope, alerts: readonly Alert[]) {
  return Promise.all(
    alerts.map(async (alert) => ({
      ...alert,
      name: alert.scopeId === "plan" ? null : ((await nameOf(scope, alert)) ?? null),
    })),
  );
}
