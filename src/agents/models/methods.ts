/**
 * Models over the protocol. Owns: the declared methods. Refuses to know: keys, addresses.
 */
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import { defineMethod, looseResult, type Method } from "../../protocol/methods.ts";
import type { Agents } from "../agents.ts";
import type { ListedModel, ModelCatalog } from "./catalog.ts";

/** What these methods need. */
export interface ModelMethodDeps {
  agents: Agents;
  models: ModelCatalog;
  clock: Clock;
}

const agentId = z.string().min(1).max(64);

/** The methods over models. */
export function makeModelMethods({ agents, models, clock }: ModelMethodDeps): Method[] {
  return [
    defineMethod({
      name: "models.list",
      scope: "operator.read",
      cost: "read",
      doc: "Models the tenant may use, the default one tagged.",
      params: z.object({
        agentId: agentId.optional(),
        view: z.enum(["default", "configured", "provider-config", "all"]).optional(),
      }),
      result: looseResult({ models: z.array(z.unknown()) }),
      async handler(params, { tenant }) {
        const agent = params.agentId === undefined ? undefined : await agents.get(tenant, params.agentId);
        const listed = await models.list(tenant, agent?.model ?? null);
        return { models: listed.map(toChoice) };
      },
    }),
    defineMethod({
      name: "models.authStatus",
      scope: "operator.read",
      cost: "read",
      doc: "Which providers have what they need to answer.",
      params: z.object({ refresh: z.boolean().optional(), agentId: agentId.optional() }),
      result: looseResult({ ts: z.number(), providers: z.array(z.unknown()) }),
      async handler(params, { tenant }) {
        if (params.agentId !== undefined) await agents.get(tenant, params.agentId);
        const byProvider = new Map<string, ListedModel>();
        for (const model of await models.list(tenant)) byProvider.set(model.provider, model);
        return {
          ts: clock.nowMs(),
          providers: [...byProvider.values()].map(toStatus),
          providerCapabilities: [],
        };
      },
    }),
  ];
}

/** A model as clients list it. */
export function toChoice(model: ListedModel): Record<string, unknown> {
  return {
    id: model.id,
    name: model.name,
    provider: model.provider,
    contextWindow: model.contextWindow,
    reasoning: model.reasoning,
    tags: model.isDefault ? ["default", "configured"] : ["configured"],
    thinkingLevels: (model.reasoning ? ["off", "low", "medium", "high"] : ["off"]).map((id) => ({
      id,
      label: id,
    })),
    thinkingDefault: "off",
    available: model.unavailable === null,
    ...(model.unavailable === null ? {} : { unavailableReason: model.unavailable }),
  };
}

function toStatus(model: ListedModel): Record<string, unknown> {
  const needsNoKey = model.keyOwner === "none";
  return {
    provider: model.provider,
    authProvider: model.provider,
    displayName: needsNoKey ? "Demo (built in)" : model.provider,
    status: model.unavailable === null ? "static" : "missing",
    profiles: [],
    ...(needsNoKey || model.unavailable !== null ? {} : { apiKey: { source: "config" } }),
  };
}
