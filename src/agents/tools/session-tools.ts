/**
 * Tools to look at the tenant's own conversations. Owns: the port to them, what each says to the model.
 * Refuses to know: how conversations are kept.
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { defineTool, type Tool } from "./tool.ts";

/** Reads conversations of one tenant; given by whoever owns them. */
export interface SessionReader {
  /** Newest first. */
  list(scope: TenantScope, limit: number): Promise<{ key: string; title: string; updatedAtMs: number }[]>;
  /** The last messages, oldest first; empty for a key that is unknown. */
  read(scope: TenantScope, key: string, limit: number): Promise<{ role: string; text: string }[]>;
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
      async run(args, { scope }) {
        const sessions = await reader.list(scope, args.limit ?? 20);
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
      async run(args, { scope }) {
        const messages = await reader.read(scope, args.key, args.limit ?? 30);
        if (messages.length === 0)
          throw new AppError("not_found", "There is no such conversation, or it is empty.");
        return messages.map(({ role, text }) => `${role}: ${text.slice(0, 4_000)}`).join("\n\n");
      },
    }),
  ];
}
