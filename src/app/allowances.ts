/** What plans allow, joined to what asks for it. Owns: these joints. Refuses to know: chat, transports, money of calls. */
import type { AgentPlaces, Agents } from "../agents/agents.ts";
import type { AgentRunsDeps } from "../agents/run.ts";
import type { Budgets } from "../billing/ledger/budgets.ts";
import { Alerts } from "../billing/plans/alerts.ts";
import type { OverviewDeps } from "../billing/plans/overview.ts";
import { allowsModel, modelRefused, overPlan } from "../billing/plans/plan.ts";
import { Spending } from "../billing/plans/spending.ts";
import { TokenPace } from "../billing/plans/token-pace.ts";
import type { UsageRollup } from "../billing/rollup.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { budgetNames } from "./budget-names.ts";
import type { Ground } from "./ground.ts";
import { leaveAlert } from "./notices.ts";

/** What follows a tenant's spending, and the two ears of the meter. */
export function makeAllowances(
  clock: Clock,
  log: Log,
  ground: Ground,
  parts: { agents: Agents; budgets: Budgets; rollup: UsageRollup },
) {
  const { plans, hub } = ground;
  const spending = new Spending({ clock, plans, budgets: parts.budgets });
  const alerts = new Alerts({ spending, hub, clock, log, leave: leaveAlert(ground) });
  const pace = new TokenPace(clock);
  return {
    spending,
    alerts,
    pace,
    overview: {
      plans,
      spending,
      alerts,
      usedOf: usedOf(ground, parts.agents),
      nameOf: budgetNames(ground, parts.agents),
    } satisfies Omit<OverviewDeps, "payments">,
    noteChange: (scope: TenantScope) => {
      parts.rollup.note(scope);
      alerts.note(scope);
    },
    noteTokens: ({ tenantId }: TenantScope, tokens: number) => {
      // Nothing is kept for tenants without a limit.
      if ((plans.recall(tenantId)?.plan.terms.tokensPerMinute ?? null) !== null) pace.note(tenantId, tokens);
    },
  };
}

/** How much of what plans count a tenant has. */
function usedOf({ control, storage }: Ground, agents: Agents): OverviewDeps["usedOf"] {
  return async (scope) => {
    const people = await control.find<{ count: number }>(
      `SELECT count(*) AS count FROM members m JOIN users u ON u.id = m.user_id
        WHERE m.tenant_id = ? AND u.service_of IS NULL`,
      [scope.tenantId],
    );
    const { length } = await agents.list(scope);
    return {
      seats: people?.count ?? 0,
      agents: length,
      storageBytes: await storage.counts.read(scope.tenantId),
    };
  };
}

/** How many agents the tenant's plan holds. */
export function agentPlaces({ plans }: Ground): AgentPlaces {
  return async ({ tenantId }) => {
    const { plan } = await plans.of(tenantId);
    const { agents: limit } = plan.terms;
    return limit === null ? null : { limit, refusal: () => overPlan(plan, "agents", limit) };
  };
}

/** Refuses models that the tenant's plan does not include. */
export function assertIncluded({ plans }: Ground): NonNullable<AgentRunsDeps["assertIncluded"]> {
  return async ({ tenantId }, provider, model) => {
    const { plan } = await plans.of(tenantId);
    if (!allowsModel(plan.terms, provider, model)) throw modelRefused(plan, `${provider}/${model}`);
  };
}
