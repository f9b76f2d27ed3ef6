/**
 * Tools to look at the tenant's own conversations. Owns: the port to them, what each says to the model.
 * Refuses to know: how conversations are kept.
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import { reachesAgent } from "../../tenancy/principal.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { defineTool, type Tool } from "./tool.ts";

/** Reads conversations of one tenant; given by whoever owns them. */
export interface SessionReader {
  /** Newest first, of agents that may be reached. */
  list(
    scope: TenantScope,
    limit: number,
    mayReach: (agentId: string) => boolean,
  ): Promise<{ key: string; title: string; updatedAtMs: number }[]>;
  /** The last messages, oldest first; empty for a key that is unknown or of an agent that may not be reached. */
  read(
    scope: TenantScope,
    key: string,
    limit: number,
    mayReach: (agentId: string) => boolean,
  ): Promise<{ role: string; text: string }[]>;
}

/** The tools over the tenant's conversations. */
export function makeSessionTools(reader: SessionReader): Tool[] {
  return [
    defineTool({
      name: "sessions_list",
      label: "List conversations",
      description: "List the conversations of this organization, newest first.",
      group: "sessions",
      risk: "low",
      params: z.object({ limit: z.int().min(1).max(100).optional() }),
      isIdempotent: true,
      title: () => "List conversations",
      async run(args, { scope, principal }) {
        // SECURITY: a prompt reads no more than whoever wrote it may.
        const mayReach = (agentId: string) => reachesAgent(principal, agentId);
        const sessions = await reader.list(scope, args.limit ?? 20, mayReach);
        if (sessions.length === 0) return "There are no conversations.";
        return sessions
          .map(({ key, title, updatedAtMs }) => `${key}  ${new Date(updatedAtMs).toISOString()}  ${title}`)
          .join("\n");
      },
    }),
    defineTool({
      name: "sessions_read",
      label: "Read a conversation",
      description: "Read the last messages of a conversation, by the key that sessions_list shows.",
      group: "sessions",
      risk: "low",
      params: z.object({ key: z.string().min(1).max(512), limit: z.int().min(1).max(100).optional() }),
      isIdempotent: true,
      title: () => "Read a conversation",
      async run(args, { scope, principal }) {
        const mayReach = (agentId: string) => reachesAgent(principal, agentId);
        const messages = await reader.read(scope, args.key, args.limit ?? 30, mayReach);
        if (messages.length === 0)
          throw new AppError("not_found", "There is no such conversation, or it is empty.");
        return messages.map(({ role, text }) => `${role}: ${text.slice(0, 4_000)}`).join("\n\n");
      },
    }),
  ];
}
