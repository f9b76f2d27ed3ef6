/** Protocol calls as queries. Owns: query keys per tenant and readiness. Refuses to know: what the answers mean. */
import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { useLink, useTenant } from "./tenant-context.tsx";
import type { AgentsPage, ModelRow } from "./wire.ts";

/** Query key of one call; the tenant comes first so that two tenants never share an answer. */
export function callKey(slug: string, method: string, params: Record<string, unknown> = {}) {
  return ["tenant", slug, method, params] as const;
}

/** Asks the gateway once it is connected and keeps the answer for the tenant. */
export function useCall<T>(
  method: string,
  params: Record<string, unknown> = {},
  enabled = true,
): UseQueryResult<T, Error> {
  const { slug, connection } = useTenant();
  const { phase } = useLink();
  return useQuery<T, Error>({
    queryKey: callKey(slug, method, params),
    queryFn: () => connection.call<T>(method, params),
    enabled: enabled && phase === "ready",
    staleTime: 30_000,
    retry: false,
  });
}

/** Agents of the tenant. */
export function useAgents(): UseQueryResult<AgentsPage, Error> {
  return useCall<AgentsPage>("agents.list");
}

/** Models the tenant may choose from. */
export function useModels(): UseQueryResult<{ models: ModelRow[] }, Error> {
  return useCall<{ models: ModelRow[] }>("models.list", { view: "configured" });
}
