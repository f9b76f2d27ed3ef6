/**
 * Tools for the agent's own files. Owns: what each says to the model.
 * Refuses to know: the jail (workspace does).
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import { WORKSPACE_LIMITS, type Workspaces } from "../workspace.ts";
import { defineTool, type Tool } from "./tool.ts";

const path = z.string().min(1).max(4096).describe("Path from the workspace's root, e.g. notes/plan.md");
const LISTED = 500;
const READ_LINES = 2_000;
const FOUND = 100;
/** Bytes that one search reads at most. */
const SEARCH_BYTES = 16 * 1024 * 1024;

/** The tools over a tenant's workspaces. */
export function makeWorkspaceTools(workspaces: Workspaces): Tool[] {
  return [
    listTool(workspaces),
    readTool(workspaces),
    writeTool(workspaces),
    editTool(workspaces),
    searchTool(workspaces),
  ];
}

function listTool(workspaces: Workspaces): Tool {
  return defineTool({
    name: "workspace_list",
    label: "List files",
    description: "List the files and folders in a folder of the workspace.",
    group: "files",
    risk: "low",
    params: z.object({ path: z.string().max(4096).optional().describe("Folder; the root when left out") }),
    isIdempotent: true,
    title: (args) => `List ${String(args["path"] ?? "files")}`,
    async run(args, { scope, agent }) {
      const entries = await workspaces.list(scope, agent.id, args.path ?? "");
      if (entries.length === 0) return "(empty)";
      const lines = entries
        .slice(0, LISTED)
        .map((entry) =>
          entry.kind === "directory" ? `${entry.path}/` : `${entry.path}  ${entry.sizeBytes} bytes`,
        );
      if (entries.length > LISTED) lines.push(`… and ${entries.length - LISTED} more`);
      return lines.join("\n");
    },
  });
}

function readTool(workspaces: Workspaces): Tool {
  return defineTool({
    name: "workspace_read",
    label: "Read a file",
    description: "Read a text file of the workspace. Long files can be read in parts by line.",
    group: "files",
    risk: "low",
    params: z.object({
      path,
      offset: z.int().min(1).max(10_000_000).optional().describe("First line, from 1"),
      limit: z.int().min(1).max(READ_LINES).optional().describe("Number of lines"),
    }),
    isIdempotent: true,
    title: (args) => `Read ${String(args["path"])}`,
    async run(args, { scope, agent }) {
      const text = asText(args.path, await workspaces.read(scope, agent.id, args.path));
      const lines = text.split("\n");
      const start = (args.offset ?? 1) - 1;
      const end = start + (args.limit ?? READ_LINES);
      const shown = lines.slice(start, end).join("\n");
      return end < lines.length
        ? `${shown}\n[… ${lines.length - end} more lines; go on with offset ${end + 1}]`
        : shown;
    },
  });
}

function writeTool(workspaces: Workspaces): Tool {
  return defineTool({
    name: "workspace_write",
    label: "Write a file",
    description:
      "Write a whole file in the workspace; an existing one is replaced. Folders are made as needed.",
    group: "files",
    risk: "medium",
    params: z.object({ path, content: z.string().max(WORKSPACE_LIMITS.fileBytes) }),
    isIdempotent: true,
    title: (args) => `Write ${String(args["path"])}`,
    async run(args, { scope, agent }) {
      await workspaces.write(scope, agent.id, args.path, args.content.toWellFormed());
      return `Wrote ${args.path} (${Buffer.byteLength(args.content)} bytes).`;
    },
  });
}

function editTool(workspaces: Workspaces): Tool {
  return defineTool({
    name: "workspace_edit",
    label: "Edit a file",
    description:
      "Replace an exact piece of text in a file. The piece must occur exactly once unless all is true.",
    group: "files",
    risk: "medium",
    params: z.object({
      path,
      old_text: z.string().min(1).max(WORKSPACE_LIMITS.fileBytes),
      new_text: z.string().max(WORKSPACE_LIMITS.fileBytes),
      all: z.boolean().optional().describe("Replace every occurrence"),
    }),
    isIdempotent: false,
    title: (args) => `Edit ${String(args["path"])}`,
    async run(args, { scope, agent }) {
      const before = asText(args.path, await workspaces.read(scope, agent.id, args.path));
      const parts = before.split(args.old_text);
      const count = parts.length - 1;
      if (count === 0) throw new AppError("invalid_request", `The text does not occur in ${args.path}.`);
      if (count > 1 && args.all !== true) {
        throw new AppError(
          "invalid_request",
          `The text occurs ${count} times in ${args.path}; give more of it.`,
        );
      }
      await workspaces.write(scope, agent.id, args.path, parts.join(args.new_text).toWellFormed());
      return `Replaced ${count} ${count === 1 ? "place" : "places"} in ${args.path}.`;
    },
  });
}

function searchTool(workspaces: Workspaces): Tool {
  return defineTool({
    name: "workspace_search",
    label: "Search files",
    description: "Find lines that contain a text (not a pattern) in the files of the workspace.",
    group: "files",
    risk: "low",
    params: z.object({
      text: z.string().min(1).max(500),
      case_sensitive: z.boolean().optional(),
    }),
    isIdempotent: true,
    title: (args) => `Search for ${String(args["text"])}`,
    async run(args, { scope, agent, signal }) {
      const fold = (text: string) => (args.case_sensitive === true ? text : text.toLowerCase());
      const wanted = fold(args.text);
      const found: string[] = [];
      let budget = SEARCH_BYTES;
      for (const file of await workspaces.walk(scope, agent.id, WORKSPACE_LIMITS.files)) {
        signal.throwIfAborted();
        if (file.sizeBytes > WORKSPACE_LIMITS.fileBytes || file.sizeBytes > budget) continue;
        budget -= file.sizeBytes;
        const text = await workspaces.findText(scope, agent.id, file.path).catch(() => undefined);
        if (text === undefined || text.includes("\u0000")) continue;
        collectLines(file.path, text, (line) => fold(line).includes(wanted), found);
        if (found.length >= FOUND)
          return `${found.slice(0, FOUND).join("\n")}\n[… more; search for something rarer]`;
      }
      return found.length === 0 ? "Nothing found." : found.join("\n");
    },
  });
}

function collectLines(path: string, text: string, matches: (line: string) => boolean, found: string[]): void {
  for (const [index, line] of text.split("\n").entries()) {
    if (!matches(line)) continue;
    found.push(`${path}:${index + 1}: ${line.trim().slice(0, 300)}`);
    if (found.length >= FOUND) return;
  }
}

function asText(name: string, bytes: Buffer): string {
  if (bytes.includes(0)) throw new AppError("invalid_request", `${name} is not a text file.`);
  return bytes.toString("utf8");
}
