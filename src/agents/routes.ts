/**
 * A tenant's model providers over HTTP, for its admins. Owns: the declared routes.
 * Refuses to know: how keys are sealed. SECURITY: a key goes in and never comes out.
 */
import { z } from "zod";
import { AppError } from "../kernel/errors.ts";
import { defineTenantRoute, type Route } from "../protocol/routes.ts";
import type { ModelCatalog } from "./models/catalog.ts";
import type { ModelEntry } from "./models/catalog-entry.ts";
import type { OwnProviders } from "./models/own-providers.ts";

/** What the routes need. */
export interface AgentRouteDeps {
  models: ModelCatalog;
  own: OwnProviders;
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
      const providers = (await own.list(tenant)).map(({ id, baseUrl, models: offered, hasKey }) => ({
        id,
        baseUrl,
        hasKey,
        models: offered.map(shown),
      }));
      const platform = models
        .platformOffers()
        .map(({ id, models: offered }) => ({ id, models: offered.map(shown) }));
      return { status: 200, body: { providers, platform } };
    },
  });
}

function putProvider({ models, own }: AgentRouteDeps): Route {
  return defineTenantRoute({
    method: "PUT",
    path: "/api/providers/:id",
    scope: "operator.admin",
    body: providerBody,
    doc: "Add or replace a provider. Without apiKey a stored key stays while the address keeps its host; empty removes it.",
    // SECURITY: never the key; only whether one came.
    audit: ({ params, body }) => ({
      ...{ action: "model_provider.changed", target: { kind: "model_provider", id: params["id"] ?? "" } },
      details: {
        ...{ host: new URL(body.baseUrl).host, models: body.models.length },
        key: body.apiKey === undefined ? "kept" : body.apiKey === "" ? "removed" : "set",
      },
    }),
    async handler({ tenant, params, body }) {
      const id = params["id"] ?? "";
      if (models.isReserved(id)) {
        throw new AppError("conflict", `"${id}" is the name of a provider of this service; choose another.`);
      }
      models.checkAddress(body.baseUrl, body.apiKey);
      await own.put(tenant, { id, ...body });
      const stored = (await own.list(tenant)).find((provider) => provider.id === id);
      return {
        status: 200,
        body: {
          id,
          baseUrl: body.baseUrl,
          models: body.models.map(shown),
          hasKey: stored?.hasKey === true,
        },
      };
    },
  });
}

function deleteProvider({ own }: AgentRouteDeps): Route {
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
      return { status: 204 };
    },
  });
}

function shown({ id, name, contextWindow, maxTokens, cost }: ModelEntry) {
  const known = { contextWindow: contextWindow ?? null, maxTokens: maxTokens ?? null };
  return { id, name: name ?? id, ...known, ...(cost === undefined ? {} : { cost }) };
}
