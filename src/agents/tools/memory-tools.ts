/**
 * Tools to remember and to recall. Owns: what each says to the model. Refuses to know: how memories are kept.
 */
import { z } from "zod";
import { MEMORY_CHARS, type Memories } from "../memory.ts";
import { defineTool, type Tool } from "./tool.ts";

/** The tools over the agent's memory. */
export function makeMemoryTools(memories: Memories): Tool[] {
  return [
    defineTool({
      name: "memory_append",
      label: "Remember",
      description: "Remember a short fact, preference or decision for later conversations.",
      group: "memory",
      risk: "medium",
      params: z.object({ text: z.string().trim().min(1).max(MEMORY_CHARS) }),
      isIdempotent: false,
      title: () => "Remember something",
      async run(args, { scope, agent, principal }) {
        const author = principal.displayName;
        const file = await memories.append(scope, agent.id, args.text.toWellFormed(), author);
        return `Remembered, also in ${file}.`;
      },
    }),
    defineTool({
      name: "memory_search",
      label: "Recall",
      description: "Find memories that contain all the given words; without words, the newest ones.",
      group: "memory",
      risk: "low",
      params: z.object({
        query: z.string().max(500).optional(),
        limit: z.int().min(1).max(50).optional(),
      }),
      isIdempotent: true,
      title: (args) => `Recall ${String(args["query"] ?? "")}`.trim(),
      async run(args, { scope, agent }) {
        const found = await memories.search(scope, agent.id, args.query ?? "", args.limit ?? 20);
        if (found.length === 0) return "Nothing is remembered about that.";
        return found
          .map(
            (memory) =>
              `${new Date(memory.createdAtMs).toISOString().slice(0, 10)} (${memory.author}): ${memory.text}`,
          )
          .join("\n");
      },
    }),
  ];
}
