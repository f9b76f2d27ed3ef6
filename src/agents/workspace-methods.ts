/**
 * An agent's files over the protocol. Owns: the declared methods. Refuses to know: the jail.
 */
import { z } from "zod";
import { AppError } from "../kernel/errors.ts";
import { defineMethod, looseResult, type Method } from "../protocol/methods.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { Agent } from "./agent.ts";
import type { Agents } from "./agents.ts";
import { WORKSPACE_LIMITS, type WorkspaceEntry, type Workspaces } from "./workspace.ts";
import { BOOTSTRAP_FILES } from "./workspace-seeds.ts";

/** What these methods need. */
export interface WorkspaceMethodDeps {
  agents: Agents;
  workspaces: Workspaces;
}

/** Shown where OpenClaw shows a host path. */
export const WORKSPACE_LABEL = "(managed)";
const PAGE = 200;
const agentId = z.string().min(1).max(64);
const path = z.string().max(4_096);

/** The methods over workspaces. */
export function makeWorkspaceMethods(deps: WorkspaceMethodDeps): Method[] {
  return [filesList(deps), filesGet(deps), filesSet(deps), workspaceList(deps), workspaceGet(deps)];
}

function filesList({ agents, workspaces }: WorkspaceMethodDeps): Method {
  return defineMethod({
    name: "agents.files.list",
    scope: "operator.read",
    cost: "read",
    doc: "The files that shape an agent: AGENTS.md, SOUL.md, USER.md, MEMORY.md.",
    params: z.object({ agentId }),
    result: looseResult({ agentId: z.string(), workspace: z.string(), files: z.array(z.unknown()) }),
    async handler(params, { tenant }) {
      const agent = await agents.get(tenant, params.agentId);
      const files = await Promise.all(
        BOOTSTRAP_FILES.map((name) => fileEntry(workspaces, tenant, agent, name)),
      );
      return { agentId: agent.id, workspace: WORKSPACE_LABEL, files };
    },
  });
}

function filesGet({ agents, workspaces }: WorkspaceMethodDeps): Method {
  return defineMethod({
    name: "agents.files.get",
    scope: "operator.read",
    cost: "read",
    doc: "One of the files that shape an agent, with its text.",
    params: z.object({ agentId, name: z.string().min(1).max(200) }),
    result: looseResult({ agentId: z.string(), workspace: z.string(), file: z.unknown() }),
    async handler(params, { tenant }) {
      const agent = await agents.get(tenant, params.agentId);
      const name = checkName(params.name);
      const entry = await fileEntry(workspaces, tenant, agent, name);
      const content = await workspaces.findText(tenant, agent.id, name);
      return {
        agentId: agent.id,
        workspace: WORKSPACE_LABEL,
        file: { ...entry, ...(content === undefined ? {} : { content }) },
      };
    },
  });
}

function filesSet({ agents, workspaces }: WorkspaceMethodDeps): Method {
  return defineMethod({
    name: "agents.files.set",
    scope: "operator.admin",
    cost: "write",
    doc: "Replace one of the files that shape an agent.",
    params: z.object({
      agentId,
      name: z.string().min(1).max(200),
      content: z.string().max(WORKSPACE_LIMITS.fileBytes),
    }),
    result: looseResult({
      ok: z.literal(true),
      agentId: z.string(),
      workspace: z.string(),
      file: z.unknown(),
    }),
    audit: ({ agentId: id, name, content }) => ({
      ...{ action: "workspace.file_written", target: { kind: "file", id: `${id}/${name}`, name } },
      details: { agentId: id, sizeBytes: Buffer.byteLength(content) },
    }),
    async handler(params, { tenant }) {
      const agent = await agents.get(tenant, params.agentId);
      const name = checkName(params.name);
      const content = params.content.toWellFormed();
      await workspaces.write(tenant, agent.id, name, content);
      const entry = await fileEntry(workspaces, tenant, agent, name);
      return {
        ok: true as const,
        agentId: agent.id,
        workspace: WORKSPACE_LABEL,
        file: { ...entry, content },
      };
    },
  });
}

function workspaceList({ agents, workspaces }: WorkspaceMethodDeps): Method {
  return defineMethod({
    name: "agents.workspace.list",
    scope: "operator.read",
    cost: "read",
    doc: "Entries of a folder of an agent's workspace.",
    params: z.object({
      agentId,
      path: path.optional(),
      offset: z.int().min(0).optional(),
      limit: z.int().min(1).optional(),
    }),
    result: looseResult({
      agentId: z.string(),
      path: z.string(),
      entries: z.array(z.unknown()),
      totalEntries: z.number(),
    }),
    async handler(params, { tenant }) {
      const agent = await agents.get(tenant, params.agentId);
      const folder = params.path === undefined || params.path === "." ? "" : params.path;
      const all = await workspaces.list(tenant, agent.id, folder);
      const offset = params.offset ?? 0;
      const entries = all.slice(offset, offset + Math.min(params.limit ?? PAGE, 1_000)).map(wireEntry);
      const parentPath = folder === "" ? {} : { parentPath: folder.split("/").slice(0, -1).join("/") };
      return { agentId: agent.id, path: folder, ...parentPath, entries, totalEntries: all.length, offset };
    },
  });
}

function workspaceGet({ agents, workspaces }: WorkspaceMethodDeps): Method {
  return defineMethod({
    name: "agents.workspace.get",
    scope: "operator.read",
    cost: "read",
    doc: "One file of an agent's workspace, as text or base64.",
    params: z.object({ agentId, path: path.min(1) }),
    result: looseResult({ agentId: z.string(), file: z.unknown() }),
    async handler(params, { tenant }) {
      const agent = await agents.get(tenant, params.agentId);
      const bytes = await workspaces.read(tenant, agent.id, params.path);
      const entry = await workspaces.stat(tenant, agent.id, params.path);
      return { agentId: agent.id, file: { ...wireFile(entry), ...contentOf(entry.name, bytes) } };
    },
  });
}

async function fileEntry(workspaces: Workspaces, scope: TenantScope, agent: Agent, name: string) {
  const found = await workspaces.stat(scope, agent.id, name).catch((thrown: unknown) => {
    if (thrown instanceof AppError && thrown.code === "not_found") return undefined;
    throw thrown;
  });
  if (found === undefined) return { name, path: name, missing: true };
  return { name, path: name, missing: false, size: found.sizeBytes, updatedAtMs: found.updatedAtMs };
}

function checkName(name: string): string {
  if ((BOOTSTRAP_FILES as readonly string[]).includes(name)) return name;
  throw new AppError("invalid_request", `Only ${BOOTSTRAP_FILES.join(", ")} can be named here.`);
}

function wireEntry(entry: WorkspaceEntry) {
  const { path: at, name, kind, updatedAtMs } = entry;
  return { path: at, name, kind, ...(kind === "file" ? { size: entry.sizeBytes } : {}), updatedAtMs };
}

function wireFile({ path: at, name, sizeBytes, updatedAtMs }: WorkspaceEntry) {
  return { path: at, name, size: sizeBytes, updatedAtMs };
}

/** SECURITY: the type is never one a browser would run, whatever the file's name says. */
function contentOf(name: string, bytes: Buffer) {
  const text = bytes.toString("utf8");
  if (!bytes.includes(0) && !text.includes("\ufffd")) {
    return {
      mimeType: name.endsWith(".md") ? "text/markdown" : "text/plain",
      encoding: "utf8",
      content: text,
    };
  }
  return { mimeType: pictureType(bytes), encoding: "base64", content: bytes.toString("base64") };
}

function pictureType(bytes: Buffer): string {
  if (bytes.subarray(0, 8).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])))
    return "image/png";
  if (bytes.subarray(0, 3).equals(Buffer.from([0xff, 0xd8, 0xff]))) return "image/jpeg";
  if (bytes.subarray(0, 4).toString("latin1") === "GIF8") return "image/gif";
  return "application/octet-stream";
}
