/** Asking and telling others about usage and money. Owns: how far such requests may go, who is asked what it counted. Refuses to know: answers. */
import type { ModelCatalog } from "../agents/models/catalog.ts";
import type { OwnProviders } from "../agents/models/own-providers.ts";
import { OpenAiUsage } from "../billing/reconcile/provider-usage.openai.ts";
import type { ProviderUsage } from "../billing/reconcile/provider-usage.ts";
import type { OwnKeys } from "../billing/reconcile/reconciler.ts";
import type { Config } from "../config/options.ts";
import type { Egress, EgressPolicy } from "../kernel/egress.ts";
import { AppError } from "../kernel/errors.ts";
import type { Ground } from "./ground.ts";

/** Small requests whose answers hardly matter, and which follow nobody. */
export const OUTBOUND: EgressPolicy = {
  ...{ allowPrivate: true, redirects: 0, maxBytes: 1024 * 1024 },
  ...{ connectMs: 10_000, idleMs: 15_000, totalMs: 30_000 },
};

/** Providers of the operator that tell what they counted. */
export function usageEndpoints({ providers }: Config, egress: Egress): Record<string, ProviderUsage> {
  return Object.fromEntries(
    Object.entries(providers).flatMap(([id, { usage, apiKey }]) => {
      if (usage === undefined) return [];
      const key = usage.apiKey ?? apiKey;
      const endpoint = { url: usage.url, apiKey: typeof key === "string" ? key : undefined };
      return [[id, new OpenAiUsage(endpoint, operatorFetch({ egress }, usage.url))]];
    }),
  );
}

/**
 * What a tenant's own provider counted. SECURITY: its key goes to that provider's host only (looked at when it is stored
 * and when it is read), as model calls do: no redirects, and to private hosts only where the operator listed them.
 */
export function ownUsageReader(
  { egress }: Pick<Ground, "egress">,
  { own, models }: { own: Pick<OwnProviders, "findUsage">; models: Pick<ModelCatalog, "isReserved"> },
): OwnKeys["usageOf"] {
  return async (scope, provider) => {
    const endpoint = models.isReserved(provider) ? undefined : await own.findUsage(scope, provider);
    if (endpoint === undefined)
      throw new AppError("not_configured", "This provider is not set up to tell its usage.");
    return new OpenAiUsage(endpoint, egress.fetchFor(OUTBOUND));
  };
}

/** A `fetch` for an address that the operator wrote down. */
export function operatorFetch({ egress }: Pick<Ground, "egress">, address: string | undefined): typeof fetch {
  const operatorHosts = address === undefined ? [] : [new URL(address).hostname];
  return egress.fetchFor({ ...OUTBOUND, operatorHosts });
}
