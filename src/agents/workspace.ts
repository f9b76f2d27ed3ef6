/**
 * Files of one agent. Owns: the jail around its folder, size and number limits, the shape of a listing.
 * Refuses to know: what the files say. SECURITY: nothing in a workspace is ever read as configuration or code of ours.
 *
 * Two walls: our own grammar (workspace-path), and `@openclaw/fs-safe`, which walks every path without following links
 * and refuses hard links and everything that is not a regular file.
 */

import { mkdir, rm } from "node:fs/promises";
import type { Root } from "@openclaw/fs-safe";
import { AppError } from "../kernel/errors.ts";
import type { AgentId } from "../kernel/ids.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { checkFolder, checkPath } from "./workspace-path.ts";

/** Bounds of one workspace. */
export const WORKSPACE_LIMITS = {
  fileBytes: 1024 * 1024,
  totalBytes: 64 * 1024 * 1024,
  files: 10_000,
} as const;

/** Something in a folder. */
export interface WorkspaceEntry {
  /** From the workspace's root. */
  path: string;
  name: string;
  kind: "file" | "directory";
  sizeBytes: number;
  updatedAtMs: number;
}

/** Room that the organization has for files, whatever the workspace. */
export interface WorkspaceRoom {
  /** Hold back room for so many bytes more; throws `plan_limit`. End it with what really changed, 0 for nothing. */
  take(scope: TenantScope, growBytes: number): Promise<{ end(changedBytes: number): void }>;
  /** Files grew or shrank without asking. */
  note(scope: TenantScope, changedBytes: number): void;
}

const ROOM_ENOUGH: WorkspaceRoom = {
  take: () => Promise.resolve({ end: () => undefined }),
  note: () => undefined,
};

/** How much is stored. */
interface Load {
  bytes: number;
  files: number;
}

/** What is known of one workspace while the process runs. */
interface Held {
  root: Promise<Root>;
  load: Load | undefined;
  /** Writers take turns, so that two cannot both fit into the last free bytes. */
  tail: Promise<unknown>;
}

const HELD_WORKSPACES = 256;

/** All workspaces; what is remembered is keyed by tenant and agent. */
export class Workspaces {
  private readonly held = new Map<string, Held>();
  private readonly room: WorkspaceRoom;

  constructor(room: WorkspaceRoom = ROOM_ENOUGH) {
    this.room = room;
  }

  /** Read a whole file. Throws `not_found`, `too_large` or `invalid_request`. */
  async read(scope: TenantScope, agentId: AgentId, path: string): Promise<Buffer> {
    const root = await this.hold(scope, agentId).root;
    return guarded(path, () => root.readBytes(checkPath(path), { maxBytes: WORKSPACE_LIMITS.fileBytes }));
  }

  /** The text of a file, or undefined when there is none. */
  async findText(scope: TenantScope, agentId: AgentId, path: string): Promise<string | undefined> {
    try {
      return (await this.read(scope, agentId, path)).toString("utf8");
    } catch (thrown) {
      if (thrown instanceof AppError && thrown.code === "not_found") return undefined;
      throw thrown;
    }
  }

  /** What is at a path; throws `not_found`. */
  async stat(scope: TenantScope, agentId: AgentId, path: string): Promise<WorkspaceEntry> {
    const root = await this.hold(scope, agentId).root;
    const found = await guarded(path, () => root.stat(checkPath(path)));
    if (!found.isFile && !found.isDirectory) throw new AppError("not_found", `There is no file "${path}".`);
    return toEntry(path, found);
  }

  /** Entries of a folder by name, folders first; links and special files are not shown. */
  async list(scope: TenantScope, agentId: AgentId, folder: string): Promise<WorkspaceEntry[]> {
    const root = await this.hold(scope, agentId).root;
    const at = checkFolder(folder);
    const found = await guarded(folder, () => root.list(at === "" ? "." : at, { withFileTypes: true }));
    return found
      .filter((entry) => (entry.isFile && entry.nlink === 1) || entry.isDirectory)
      .map((entry) => toEntry(at === "" ? entry.name : `${at}/${entry.name}`, entry))
      .sort((left, right) =>
        left.kind === right.kind ? compare(left.name, right.name) : left.kind === "file" ? 1 : -1,
      );
  }

  /** All files below the root, at most `limit`. */
  async walk(
    scope: TenantScope,
    agentId: AgentId,
    limit: number,
  ): Promise<{ path: string; sizeBytes: number }[]> {
    const root = await this.hold(scope, agentId).root;
    const files: { path: string; sizeBytes: number }[] = [];
    const walk = root.walk(".", {
      symlinkPolicy: "skip",
      maxEntries: WORKSPACE_LIMITS.files * 2,
      maxDepth: 32,
    });
    for await (const entry of walk) {
      if (entry.kind === "file") files.push({ path: entry.relativePath, sizeBytes: entry.size });
      if (files.length >= limit) break;
    }
    return files;
  }

  /** Write a whole file, making folders as needed. Throws `too_large`, `limit_reached`, `plan_limit` or `invalid_request`. */
  async write(scope: TenantScope, agentId: AgentId, path: string, content: string | Buffer): Promise<void> {
    checkPath(path);
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    await this.exclusive(scope, agentId, (held) => this.replace(scope, agentId, held, path, bytes));
  }

  /** Write a file only if there is none yet. Returns whether it was written. */
  async create(scope: TenantScope, agentId: AgentId, path: string, content: string): Promise<boolean> {
    const root = await this.hold(scope, agentId).root;
    try {
      await root.create(checkPath(path), content, { mode: 0o600, mkdir: true });
    } catch (thrown) {
      if (codeOf(thrown) === "already-exists") return false;
      throw translate(path, thrown);
    }
    this.hold(scope, agentId).load = undefined;
    this.room.note(scope, Buffer.byteLength(content));
    return true;
  }

  /** Append text to a file on a line of its own, making the file if need be. */
  async append(scope: TenantScope, agentId: AgentId, path: string, text: string): Promise<void> {
    await this.exclusive(scope, agentId, async (held) => {
      const before = (await this.findText(scope, agentId, path)) ?? "";
      const gap = before === "" || before.endsWith("\n") ? "" : "\n";
      await this.replace(scope, agentId, held, path, Buffer.from(`${before}${gap}${text}`));
    });
  }

  /** Remove one file; throws `not_found`. */
  async removeFile(scope: TenantScope, agentId: AgentId, path: string): Promise<void> {
    checkPath(path);
    await this.exclusive(scope, agentId, async (held) => {
      const root = await held.root;
      const before = await root.stat(path).catch(() => undefined);
      await guarded(path, () => root.remove(path));
      held.load = undefined;
      this.room.note(scope, before?.isFile ? -before.size : 0);
    });
  }

  /** Remove the whole workspace. */
  async removeAll(scope: TenantScope, agentId: AgentId): Promise<void> {
    await this.exclusive(scope, agentId, async (held) => {
      const { bytes } = await this.load(scope, agentId, held).catch(() => ({ bytes: 0 }));
      // `rm` removes links themselves and never what they point at.
      await rm(scope.workspaceDirectory(agentId), { recursive: true, force: true });
      this.room.note(scope, -bytes);
    });
    this.held.delete(`${scope.tenantId}/${agentId}`);
  }

  /** Only within `exclusive`. */
  private async replace(
    scope: TenantScope,
    agentId: AgentId,
    held: Held,
    path: string,
    bytes: Buffer,
  ): Promise<void> {
    if (bytes.length > WORKSPACE_LIMITS.fileBytes) throw tooLarge(path);
    const root = await held.root;
    const before = await root.stat(path).catch(() => undefined);
    const load = await this.load(scope, agentId, held);
    const next = {
      bytes: load.bytes + bytes.length - (before?.isFile ? before.size : 0),
      files: load.files + (before === undefined ? 1 : 0),
    };
    const grows = next.bytes > load.bytes || next.files > load.files;
    if (grows && (next.bytes > WORKSPACE_LIMITS.totalBytes || next.files > WORKSPACE_LIMITS.files)) {
      throw new AppError("limit_reached", "The workspace is full: 64 MiB or 10,000 files.");
    }
    const changedBytes = next.bytes - load.bytes;
    // What does not grow is never refused: a full tenant must be able to make room.
    const place = changedBytes > 0 ? await this.room.take(scope, changedBytes) : undefined;
    let isWritten = false;
    try {
      await guarded(path, () => root.write(path, bytes, { overwrite: true, mode: 0o600, mkdir: true }));
      isWritten = true;
    } finally {
      place?.end(isWritten ? changedBytes : 0);
    }
    if (place === undefined) this.room.note(scope, changedBytes);
    held.load = next;
  }

  private async load(scope: TenantScope, agentId: AgentId, held: Held): Promise<Load> {
    if (held.load === undefined) {
      const files = await this.walk(scope, agentId, WORKSPACE_LIMITS.files);
      held.load = { files: files.length, bytes: files.reduce((sum, file) => sum + file.sizeBytes, 0) };
    }
    return held.load;
  }

  private exclusive<T>(scope: TenantScope, agentId: AgentId, work: (held: Held) => Promise<T>): Promise<T> {
    const held = this.hold(scope, agentId);
    const result = held.tail.then(() => work(held));
    held.tail = result.catch(() => undefined);
    return result;
  }

  private hold(scope: TenantScope, agentId: AgentId): Held {
    const key = `${scope.tenantId}/${agentId}`;
    let held = this.held.get(key);
    if (held === undefined)
      held = { root: openRoot(scope, agentId), load: undefined, tail: Promise.resolve() };
    else this.held.delete(key);
    this.held.set(key, held);
    held.root.catch(() => this.held.delete(key));
    for (const oldest of this.held.keys()) {
      if (this.held.size <= HELD_WORKSPACES) break;
      this.held.delete(oldest);
    }
    return held;
  }
}

async function openRoot(scope: TenantScope, agentId: AgentId): Promise<Root> {
  const directory = scope.workspaceDirectory(agentId);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // Loaded on first use: an idle process should stay small.
  const { root } = await import("@openclaw/fs-safe");
  return root(directory, { symlinks: "reject", hardlinks: "reject", maxBytes: WORKSPACE_LIMITS.fileBytes });
}

async function guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw translate(path, thrown);
  }
}

/** SECURITY: neither host paths nor what lies behind a link may show in an error. */
function translate(path: string, thrown: unknown): unknown {
  if (thrown instanceof AppError) return thrown;
  const code = codeOf(thrown);
  if (code === "too-large") return tooLarge(path);
  if (code === "ENOSPC" || code === "EDQUOT" || causeCodeOf(thrown) === "ENOSPC") {
    return new AppError("storage_full", "The disk is full. Nothing was changed.", { cause: thrown });
  }
  if (NOT_THERE.has(code)) {
    return new AppError("not_found", `There is no file "${path}" in the workspace.`, { cause: thrown });
  }
  return new AppError(
    "invalid_request",
    `"${path}" cannot be used: only regular files of the workspace can.`,
    {
      cause: thrown,
    },
  );
}

const NOT_THERE = new Set(["not-found", "ENOENT"]);

function codeOf(thrown: unknown): string {
  return String((thrown as { code?: unknown }).code ?? "");
}

function causeCodeOf(thrown: unknown): string {
  return thrown instanceof Error && thrown.cause !== undefined ? codeOf(thrown.cause) : "";
}

function tooLarge(path: string): AppError {
  return new AppError("too_large", `"${path}" is larger than 1 MiB, which is the limit for one file.`);
}

function toEntry(
  path: string,
  found: { isDirectory: boolean; size: number; mtimeMs: number },
): WorkspaceEntry {
  return {
    path,
    name: path.slice(path.lastIndexOf("/") + 1),
    kind: found.isDirectory ? "directory" : "file",
    sizeBytes: found.isDirectory ? 0 : found.size,
    updatedAtMs: Math.round(found.mtimeMs),
  };
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
