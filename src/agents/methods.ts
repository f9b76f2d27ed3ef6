/**
 * Agents, models, tools and commands over the protocol. Owns: the declared methods.
 * Refuses to know: transports, conversations. Source: PROTOCOL.md 8.3; params as in @openclaw/gateway-protocol.
 */
import { z } from "zod";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { defineMethod, looseResult, type Method } from "../protocol/methods.ts";
import { type Agent, MAIN_AGENT_ID } from "./agent.ts";
import type { Agents } from "./agents.ts";
import { COMMANDS } from "./commands.ts";
import type { Memories } from "./memory.ts";
import type { ModelCatalog } from "./models/catalog.ts";
import { makeModelMethods } from "./models/methods.ts";
import { makeToolMethods } from "./tools/methods.ts";
import type { Toolbox } from "./tools/tool.ts";
import type { Workspaces } from "./workspace.ts";
import { makeWorkspaceMethods, WORKSPACE_LABEL } from "./workspace-methods.ts";

/** What the methods need. */
export interface AgentMethodDeps {
  agents: Agents;
  workspaces: Workspaces;
  memories: Memories;
  models: ModelCatalog;
  toolbox: Toolbox;
  clock: Clock;
}

const agentId = z.string().min(1).max(64);
const toolNames = z.array(z.string().min(1).max(64)).max(64);

/** The methods of this module. */
export function makeAgentMethods(deps: AgentMethodDeps): Method[] {
  return [
    identityMethod(deps),
    listMethod(deps),
    createMethod(deps),
    updateMethod(deps),
    deleteMethod(deps),
    ...makeWorkspaceMethods(deps),
    ...makeModelMethods(deps),
    ...makeToolMethods(deps),
    memorySearchMethod(deps),
    commandsMethod(),
  ];
}

function identityMethod({ agents }: AgentMethodDeps): Method {
  return defineMethod({
    name: "agent.identity.get",
    scope: "operator.read",
    cost: "read",
    doc: "Name and picture of an agent.",
    params: z.object({ agentId: agentId.optional(), sessionKey: z.string().max(512).optional() }),
    result: looseResult({ agentId: z.string(), name: z.string(), avatar: z.string() }),
    async handler(params, { tenant }) {
      const agent = await agents.get(
        tenant,
        params.agentId ?? agentOfKey(params.sessionKey) ?? MAIN_AGENT_ID,
      );
      return {
        agentId: agent.id,
        name: agent.name,
        nameSource: "agent",
        avatar: agent.avatar ?? agent.emoji ?? firstLetter(agent.name),
        ...(agent.emoji === null ? {} : { emoji: agent.emoji }),
      };
    },
  });
}

function listMethod({ agents, models }: AgentMethodDeps): Method {
  return defineMethod({
    name: "agents.list",
    scope: "operator.read",
    cost: "read",
    doc: "The agents of the tenant, the main one first.",
    params: z.object({}),
    result: looseResult({
      defaultId: z.string(),
      mainKey: z.string(),
      scope: z.string(),
      agents: z.array(z.unknown()),
    }),
    async handler(_params, { tenant }) {
      const fallback = await models.defaultFor(tenant);
      const found = await agents.list(tenant);
      return {
        defaultId: MAIN_AGENT_ID,
        ownership: "sole",
        selectionRequired: false,
        mainKey: "main",
        scope: "per-sender",
        agents: found.map((agent) => summary(agent, fallback)),
      };
    },
  });
}

function createMethod({ agents, toolbox }: AgentMethodDeps): Method {
  return defineMethod({
    name: "agents.create",
    scope: "operator.admin",
    cost: "write",
    doc: "Make an agent; its id comes from its name. `tools` are the tools it may use.",
    params: z.object({
      name: z.string().min(1).max(200),
      model: z.string().min(1).max(200).optional(),
      emoji: z.string().max(64).optional(),
      avatar: z.string().max(200_000).optional(),
      tools: toolNames.optional(),
    }),
    result: looseResult({
      ok: z.literal(true),
      agentId: z.string(),
      name: z.string(),
      workspace: z.string(),
    }),
    audit: ({ model, tools }, { agentId: id, name }) => ({
      ...{ action: "agent.created", target: { kind: "agent", id, name } },
      details: onlyGiven({ model, tools }),
    }),
    async handler(params, { tenant }) {
      checkTools(toolbox, params.tools);
      const agent = await agents.create(tenant, params);
      return {
        ok: true as const,
        agentId: agent.id,
        name: agent.name,
        workspace: WORKSPACE_LABEL,
        ...(agent.model === null ? {} : { model: agent.model }),
      };
    },
  });
}

function updateMethod({ agents, toolbox }: AgentMethodDeps): Method {
  return defineMethod({
    name: "agents.update",
    scope: "operator.admin",
    cost: "write",
    doc: "Change an agent. `tools` replaces the tools it may use.",
    params: z.object({
      agentId,
      name: z.string().min(1).max(200).optional(),
      model: z.string().min(1).max(200).nullable().optional(),
      emoji: z.string().max(64).optional(),
      avatar: z.string().max(200_000).optional(),
      tools: toolNames.optional(),
    }),
    result: looseResult({ ok: z.literal(true), agentId: z.string() }),
    audit: ({ agentId: id, name, model, tools, emoji, avatar }) => ({
      ...{ action: "agent.changed", target: { kind: "agent", id, name } },
      // A picture is large; that it changed is enough.
      details: onlyGiven({ name, model, tools, emoji, avatar: avatar === undefined ? undefined : "changed" }),
    }),
    async handler(params, { tenant }) {
      checkTools(toolbox, params.tools);
      const agent = await agents.update(tenant, params.agentId, params);
      return { ok: true as const, agentId: agent.id };
    },
  });
}

function deleteMethod({ agents }: AgentMethodDeps): Method {
  return defineMethod({
    name: "agents.delete",
    scope: "operator.admin",
    cost: "write",
    doc: "Remove an agent and, unless `deleteFiles` is false, its workspace. Its conversations stay readable.",
    params: z.object({ agentId, deleteFiles: z.boolean().optional() }),
    result: looseResult({ ok: z.literal(true), agentId: z.string(), removedBindings: z.number() }),
    audit: ({ agentId: id, deleteFiles }) => ({
      ...{ action: "agent.deleted", target: { kind: "agent", id } },
      details: { filesRemoved: deleteFiles ?? true },
    }),
    async handler(params, { tenant }) {
      await agents.remove(tenant, params.agentId, params.deleteFiles ?? true);
      return { ok: true as const, agentId: params.agentId, removedBindings: 0 };
    },
  });
}

function memorySearchMethod({ agents, memories }: AgentMethodDeps): Method {
  return defineMethod({
    name: "memory.search",
    scope: "operator.read",
    cost: "read",
    doc: "Memories of an agent that hold every word of the query, newest first.",
    params: z.object({
      query: z.string().max(500).optional(),
      agentId: agentId.optional(),
      limit: z.int().min(1).max(200).optional(),
    }),
    result: looseResult({ agentId: z.string(), results: z.array(z.unknown()) }),
    async handler(params, { tenant }) {
      const agent = await agents.get(tenant, params.agentId ?? MAIN_AGENT_ID);
      const found = await memories.search(tenant, agent.id, params.query ?? "", params.limit ?? 50);
      return {
        agentId: agent.id,
        results: found.map(({ id, text, author, createdAtMs }) => ({
          id: String(id),
          text,
          author,
          createdAtMs,
        })),
      };
    },
  });
}

function commandsMethod(): Method {
  return defineMethod({
    name: "commands.list",
    scope: "operator.read",
    cost: "free",
    doc: "Commands that may be typed into a conversation.",
    params: z.object({
      scope: z.enum(["text", "native", "both"]).optional(),
      includeArgs: z.boolean().optional(),
    }),
    result: looseResult({ commands: z.array(z.unknown()) }),
    async handler(params) {
      return {
        commands: COMMANDS.map(({ args, ...rest }) =>
          params.includeArgs === false ? rest : { ...rest, args },
        ),
      };
    },
  });
}

/** What a call asked to change, for the record. */
function onlyGiven(changes: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
}

function summary(agent: Agent, fallback: string): Record<string, unknown> {
  return {
    id: agent.id,
    kind: "agent",
    name: agent.name,
    createdAt: agent.createdAtMs,
    identity: {
      name: agent.name,
      ...(agent.emoji === null ? {} : { emoji: agent.emoji }),
      avatar: agent.avatar ?? firstLetter(agent.name),
    },
    model: { primary: agent.model ?? fallback },
    tools: agent.tools,
    thinkingLevels: [{ id: "off", label: "off" }],
    thinkingDefault: "off",
  };
}

function checkTools(toolbox: Toolbox, names: readonly string[] | undefined): void {
  const unknown = names?.find((name) => !toolbox.has(name));
  if (unknown !== undefined) {
    throw new AppError("invalid_request", `There is no tool "${unknown}".`, { details: { field: "tools" } });
  }
}

function agentOfKey(key: string | undefined): string | undefined {
  return /^agent:([^:]+):/.exec(key ?? "")?.[1];
}

function firstLetter(name: string): string {
  return ([...name][0] ?? "A").toUpperCase();
}
