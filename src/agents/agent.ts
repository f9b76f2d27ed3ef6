/**
 * What an agent is. Owns: the entity and what the main agent may do at first.
 * Refuses to know: where agents are kept.
 */
import type { AgentId } from "../kernel/ids.ts";

/** An assistant of one tenant. */
export interface Agent {
  id: AgentId;
  name: string;
  emoji: string | null;
  avatar: string | null;
  /** `provider/model`, or null for the tenant's default. */
  model: string | null;
  /** Names of the tools it may use; everything else is refused. */
  tools: readonly string[];
  createdAtMs: number;
}

/** The agent every tenant has. */
export const MAIN_AGENT_ID = "main" as AgentId;

/** Tools that stay within the tenant: what a new agent gets. Reaching out and running commands wait for an admin. */
export const DEFAULT_TOOLS: readonly string[] = [
  "workspace_list",
  "workspace_read",
  "workspace_write",
  "workspace_edit",
  "workspace_search",
  "memory_append",
  "memory_search",
  "sessions_list",
  "sessions_read",
];
