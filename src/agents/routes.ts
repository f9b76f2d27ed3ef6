/**
 * A tenant's model providers over HTTP, for its admins. Owns: the declared routes.
 * Refuses to know: how keys are sealed. SECURITY: a key goes in and never comes out.
 */
import { z } from "zod";
import { AppError } from "../kernel/errors.ts";
import { defineTenantRoute, type Route } from "../protocol/routes.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { ModelCatalog } from "./models/catalog.ts";
import type { ModelEntry } from "./models/catalog-entry.ts";
import {
  checkChange,
  type OwnProvider,
  type OwnProviders,
  type ProviderChange,
} from "./models/own-providers.ts";

/** What the routes need. */
export interface AgentRouteDeps {
  models: ModelCatalog;
  own: OwnProviders;
  /** Note that a provider of the tenant's tells its usage, of which origin; null: it does not any more. */
  noteUsage(scope: TenantScope, providerId: string, origin: string | null): Promise<void>;
}

const price = z.number().min(0).max(1_000_000);
const model = z.object({
  id: z.string().trim().min(1).max(200).regex(/^\S+$/, "must not contain spaces"),
  name: z.string().trim().min(1).max(200).optional(),
  contextWindow: z.int().min(1_000).max(100_000_000).optional(),
  maxTokens: z.int().min(1).max(10_000_000).optional(),
  reasoning: z.boolean().optional(),
  input: z
    .array(z.enum(["text", "image"]))
    .max(2)
    .optional(),
  cost: z
    .object({ input: price, output: price, cacheRead: price.optional(), cacheWrite: price.optional() })
    .optional(),
});
const providerBody = z.object({
  baseUrl: z.string().trim().min(8).max(1_000),
  apiKey: z.string().max(4_000).optional(),
  models: z.array(model).max(200),
  usage: z
    .object({ url: z.string().trim().min(8).max(1_000), apiKey: z.string().max(4_000).optional() })
    .nullish(),
});

/** The routes of this module. */
export function makeAgentRoutes(deps: AgentRouteDeps): Route[] {
  return [listProviders(deps), putProvider(deps), deleteProvider(deps)];
}

function listProviders({ models, own }: AgentRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/providers",
    scope: "operator.admin",
    body: null,
    doc: "The tenant's own model providers, without keys, and what the operator offers.",
    async handler({ tenant }) {
      const providers = (await own.list(tenant)).map(shownProvider);
      const platform = models
        .platformOffers()
        .map(({ id, models: offered }) => ({ id, models: offered.map(shown) }));
      return { status: 200, body: { providers, platform } };
    },
  });
}

function putProvider({ models, own, noteUsage }: AgentRouteDeps): Route {
  return defineTenantRoute({
    method: "PUT",
    path: "/api/providers/:id",
    scope: "operator.admin",
    body: providerBody,
    doc: "Add or replace a provider. Without apiKey a stored key stays while the address keeps its host; empty removes it. `usage` says where the provider tells what it counted (OpenAI's form, on the same host), for nightly comparison; without it what is stored stays, null removes it.",
    // SECURITY: never the key; only whether one came.
    audit: ({ params, body }) => ({
      ...{ action: "model_provider.changed", target: { kind: "model_provider", id: params["id"] ?? "" } },
      details: {
        ...{ host: new URL(body.baseUrl).host, models: body.models.length },
        key: body.apiKey === undefined ? "kept" : body.apiKey === "" ? "removed" : "set",
        ...(body.usage === undefined ? {} : { usage: body.usage === null ? "removed" : "set" }),
      },
    }),
    async handler({ tenant, params, body }) {
      const id = params["id"] ?? "";
      if (models.isReserved(id)) {
        throw new AppError("conflict", `"${id}" is the name of a provider of this service; choose another.`);
      }
      models.checkAddress(body.baseUrl, body.apiKey);
      models.checkAddress(body.usage?.url ?? body.baseUrl, body.usage?.apiKey);
      const stored = await storeProvider({ models, own, noteUsage }, tenant, { id, ...body });
      return { status: 200, body: shownProvider(stored) };
    },
  });
}

async function storeProvider(
  { own, noteUsage }: AgentRouteDeps,
  tenant: TenantScope,
  change: ProviderChange,
): Promise<OwnProvider> {
  checkChange(change);
  const origin = URL.parse(change.usage?.url ?? "")?.origin;
  const find = async () => (await own.list(tenant)).find(({ id }) => id === change.id);
  // ORDER: noted before it is stored: of a note too many nothing comes, one that is missing would go unseen.
  if (origin !== undefined) await noteUsage(tenant, change.id, origin);
  try {
    await own.put(tenant, change);
  } finally {
    if ((await find())?.usage == null) await noteUsage(tenant, change.id, null);
  }
  const stored = await find();
  if (stored === undefined) throw new AppError("not_found", "There is no such provider.");
  return stored;
}

function deleteProvider({ own, noteUsage }: AgentRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/providers/:id",
    scope: "operator.admin",
    body: null,
    doc: "Forget a provider and its key.",
    audit: ({ params }) => ({
      ...{ action: "model_provider.removed", target: { kind: "model_provider", id: params["id"] ?? "" } },
    }),
    async handler({ tenant, params }) {
      const wasThere = await own.remove(tenant, params["id"] ?? "");
      if (!wasThere) throw new AppError("not_found", "There is no such provider.");
      await noteUsage(tenant, params["id"] ?? "", null);
      return { status: 204 };
    },
  });
}

function shownProvider({ id, baseUrl, hasKey, models, usage }: OwnProvider) {
  const told = usage === null ? null : { url: usage.url, hasKey: usage.hasKey };
  return { id, baseUrl, hasKey, models: models.map(shown), usage: told };
}

function shown({ id, name, contextWindow, maxTokens, cost }: ModelEntry) {
  const known = { contextWindow: contextWindow ?? null, maxTokens: maxTokens ?? null };
  return { id, name: name ?? id, ...known, ...(cost === undefined ? {} : { cost }) };
}
