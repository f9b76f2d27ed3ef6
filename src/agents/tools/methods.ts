/**
 * Tools over the protocol. Owns: the declared methods. Refuses to know: running tools.
 */
import { z } from "zod";
import { defineMethod, looseResult, type Method } from "../../protocol/methods.ts";
import { MAIN_AGENT_ID } from "../agent.ts";
import type { Agents } from "../agents.ts";
import type { Tool, Toolbox } from "./tool.ts";

/** What these methods need. */
export interface ToolMethodDeps {
  agents: Agents;
  toolbox: Toolbox;
}

const GROUP_LABELS: Record<Tool["group"], string> = {
  files: "Files",
  memory: "Memory",
  sessions: "Conversations",
  web: "Web",
  runtime: "Commands",
};

const agentId = z.string().min(1).max(64);

/** The methods over tools. */
export function makeToolMethods({ agents, toolbox }: ToolMethodDeps): Method[] {
  return [
    defineMethod({
      name: "tools.catalog",
      scope: "operator.read",
      cost: "read",
      doc: "Every tool there is; `allowed` says whether the agent may use it.",
      params: z.object({ agentId: agentId.optional() }),
      result: looseResult({
        agentId: z.string(),
        profiles: z.array(z.unknown()),
        groups: z.array(z.unknown()),
      }),
      async handler(params, { tenant }) {
        const agent = await agents.get(tenant, params.agentId ?? MAIN_AGENT_ID);
        const groups = groupBy(toolbox.list(), (tool) => ({
          id: tool.name,
          label: tool.label,
          description: tool.description,
          source: "core",
          risk: tool.risk,
          defaultProfiles: [],
          allowed: agent.tools.includes(tool.name),
        }));
        return { agentId: agent.id, profiles: [], groups };
      },
    }),
    defineMethod({
      name: "tools.effective",
      scope: "operator.read",
      cost: "read",
      doc: "The tools an agent may use in a conversation.",
      params: z.object({ sessionKey: z.string().min(1).max(512), agentId: agentId.optional() }),
      result: looseResult({ agentId: z.string(), profile: z.string(), groups: z.array(z.unknown()) }),
      async handler(params, { tenant }) {
        const named = params.agentId ?? /^agent:([^:]+):/.exec(params.sessionKey)?.[1];
        const agent = await agents.get(tenant, named ?? MAIN_AGENT_ID);
        const tools = toolbox.allowed(agent).map((tool) => ({
          id: tool.name,
          label: tool.label,
          description: tool.description,
          rawDescription: tool.description,
          source: "core",
          risk: tool.risk,
        }));
        const groups =
          tools.length === 0 ? [] : [{ id: "core", label: "Built-in tools", source: "core", tools }];
        return { agentId: agent.id, profile: "custom", groups };
      },
    }),
  ];
}

function groupBy<T>(tools: readonly Tool[], show: (tool: Tool) => T) {
  return Object.entries(GROUP_LABELS).flatMap(([id, label]) => {
    const members = tools.filter((tool) => tool.group === id).map(show);
    return members.length === 0 ? [] : [{ id, label, source: "core", tools: members }];
  });
}
