/** Names of those whom budgets are for. Owns: joining agents, members and keys. Refuses to know: budgets. */

import type { Agents } from "../agents/agents.ts";
import type { BudgetKey } from "../billing/ledger/budget.ts";
import { toAppError } from "../kernel/errors.ts";
import type { UserId } from "../kernel/ids.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { Ground } from "./ground.ts";

/** Finds the name of whom a budget is for, within the tenant; undefined when there is nobody of that id. */
export function budgetNames({ auth }: Pick<Ground, "auth">, agents: Agents) {
  return async (
    scope: TenantScope,
    { scope: kind, scopeId }: Pick<BudgetKey, "scope" | "scopeId">,
  ): Promise<string | undefined> => {
    if (kind === "tenant") return scope.tenant.displayName;
    if (kind === "agent") {
      const agent = await agents.find(scope, scopeId);
      return agent && (agent.name || agent.id);
    }
    if (kind === "user") {
      const member = await auth.members.find(scope.tenantId, scopeId as UserId);
      if (member !== undefined) return member.displayName;
    }
    // A token without a person acts as an identity of its own, which has the token's id.
    const token = await auth.tokens.get(scope.tenantId, scopeId).catch((thrown: unknown) => {
      if (toAppError(thrown).code === "not_found") return undefined;
      throw thrown;
    });
    return token?.name;
  };
}
