/** What budgets are called. Owns: asking for them. Refuses to know: what is said of them. */
import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { useTenant } from "../gateway/tenant-context.tsx";
import { type Budget, type BudgetAlert, listBudgets } from "../http/billing.ts";
import { useWords } from "../i18n/words-context.tsx";
import { billingKey } from "./use-billing.ts";

/** The tenant's own budgets, asked for when they are needed. */
export function useBudgets(isNeeded = true): UseQueryResult<Budget[], Error> {
  const { slug } = useTenant();
  return useQuery({
    queryKey: billingKey(slug, "budgets"),
    queryFn: () => listBudgets(slug),
    enabled: isNeeded,
    staleTime: 10_000,
  });
}

/** What the budget of an alert is called, also when it is gone. */
export function useBudgetName(): (alert: BudgetAlert) => string {
  const words = useWords();
  return ({ scope, scopeId, name }) => {
    if (scopeId === "plan") return words.billing.planBudget;
    return name === null ? words.budgets.goneOnes[scope] : `${words.budgets.scope[scope]} ${name}`;
  };
}
