/** Plan and budget as a query, and the tenant's currency. Owns: that query's key. Refuses to know: pages. */
import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { useTenant } from "../gateway/tenant-context.tsx";
import { type BillingOverview, findBilling } from "../http/billing.ts";
import type { Money } from "../i18n/money.ts";
import { useMoney } from "../i18n/use-money.ts";

/** Query key of something about a tenant's money. */
export function billingKey(slug: string, ...rest: unknown[]) {
  return ["tenant", slug, "billing", ...rest] as const;
}

/** Plan, budget and limits of the tenant, asked for again after each `everyMs`. */
export function useBilling(everyMs?: number): UseQueryResult<BillingOverview, Error> {
  const { slug } = useTenant();
  return useQuery({
    queryKey: billingKey(slug, "overview"),
    queryFn: () => findBilling(slug),
    staleTime: 10_000,
    refetchInterval: everyMs ?? false,
  });
}

/** Money of the tenant in its own currency; `isPending` until that is known. When it cannot be known, plain numbers. */
export function useTenantMoney(): { money: Money; currency: string | undefined; isPending: boolean } {
  const { data, isPending } = useBilling();
  return { money: useMoney(data?.currency), currency: data?.currency, isPending };
}
