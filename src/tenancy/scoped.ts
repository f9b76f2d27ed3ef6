/**
 * The only door to a tenant's data. Owns: making handles that carry their tenant and check it on every use.
 * Refuses to know: what is stored. No handle, no data: an unscoped read does not type.
 */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { mkdir, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../kernel/errors.ts";
import { type AgentId, isAgentId, isUuid, type SessionId, type TenantId } from "../kernel/ids.ts";
import type { Batch, Database, Databases, SqlValue, WriteOutcome } from "../storage/database.ts";
import { assertTenant } from "./context.ts";
import type { Tenant } from "./tenant.ts";
import { entombFolder, type FolderSurvey, measureFolder, surveyFolder } from "./tenant-folder.ts";

/** A tenant's database and folders. */
export interface TenantScope {
  readonly tenantId: TenantId;
  readonly tenant: Tenant;
  /** The tenant's own database; every call checks the bound context. */
  readonly db: Database;
  /** Absolute folder of the tenant. */
  readonly directory: string;
  /** Path of a transcript below `directory`, for `Batch.appends`. */
  transcriptFile(agentId: AgentId, sessionId: SessionId): string;
  /** Absolute folder of an agent's workspace: `workspace` for `main`, else `workspace-<agentId>`. */
  workspaceDirectory(agentId: AgentId): string;
  /** Absolute folder of sealed secrets. */
  credentialsDirectory(): string;
  /** Read bytes of an append-only file; `length` bytes from `start`. */
  readJournal(file: string, start: number, length: number): Promise<Buffer>;
}

/** Makes scopes. */
export class TenantDoor {
  private readonly databases: Databases;
  private readonly root: string;
  private readonly noteAppended: (tenantId: TenantId, sizeBytes: number) => void;

  /**
   * @param root folder that holds `tenants/`
   * @param noteAppended told how many bytes a commit added to a tenant's append-only files
   */
  constructor(
    databases: Databases,
    root: string,
    noteAppended: (tenantId: TenantId, sizeBytes: number) => void = () => undefined,
  ) {
    this.databases = databases;
    this.root = root;
    this.noteAppended = noteAppended;
  }

  /** The handle of a tenant. Costs nothing until used; safe to keep as long as the tenant lives. */
  scope(tenant: Tenant): TenantScope {
    // SECURITY: the id becomes a path.
    if (!isUuid(tenant.id)) throw new AppError("internal", "A tenant id is malformed.");
    const directory = join(this.root, "tenants", tenant.id);
    const database = this.databases.open("tenant", join(directory, "tenant.db"), tenant.id);
    return {
      tenantId: tenant.id,
      tenant,
      db: checked(database, tenant.id, this.noteAppended),
      directory,
      transcriptFile: (agentId, sessionId) => transcriptFile(agentId, sessionId),
      workspaceDirectory: (agentId) => join(directory, workspaceName(agentId)),
      credentialsDirectory: () => join(directory, "credentials"),
      readJournal: (file, start, length) => {
        assertTenant(tenant.id);
        return readRange(join(directory, file), start, length);
      },
    };
  }

  /** Make the folders of a new tenant, private to this user. */
  async prepare(tenant: Tenant): Promise<void> {
    const scope = this.scope(tenant);
    await mkdir(scope.credentialsDirectory(), { recursive: true, mode: 0o700 });
    await scope.db.find("SELECT 1");
  }

  /** Bytes of everything in the tenant's folder; walks it, so never on a hot path. */
  async sizeBytes(tenant: Tenant): Promise<number> {
    return (await surveyFolder(this.folder(tenant))).sizeBytes;
  }

  /** Bytes of everything in the tenant's folder but its database; walks it, so never on a hot path. Opens nothing. */
  async fileSizeBytes(tenant: Pick<Tenant, "id">): Promise<number> {
    return measureFolder(this.folder(tenant), (name) => name.startsWith("tenant.db"));
  }

  /** What is in the tenant's folder, for a receipt. */
  survey(tenant: Tenant): Promise<FolderSurvey> {
    return surveyFolder(this.folder(tenant));
  }

  /** Close what is open of the tenant's database in this process; it opens again when it is used. */
  async release(tenant: Pick<Tenant, "id">): Promise<void> {
    await this.databases.release(join(this.folder(tenant), "tenant.db"));
  }

  /** Remove the tenant's folder for good, and leave a mark in its place on which nothing can be made anew. Repeatable. */
  async remove(tenant: Pick<Tenant, "id">): Promise<void> {
    await this.release(tenant);
    await entombFolder(this.folder(tenant));
  }

  /** Ids that have a folder, whether or not there is such a tenant. */
  async listFolders(): Promise<TenantId[]> {
    const entries = await readdir(join(this.root, "tenants"), { withFileTypes: true }).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return [];
        throw error;
      },
    );
    return entries
      .filter((entry) => entry.isDirectory() && isUuid(entry.name))
      .map(({ name }) => name as TenantId);
  }

  private folder({ id }: Pick<Tenant, "id">): string {
    // SECURITY: the id becomes a path.
    if (!isUuid(id)) throw new AppError("internal", "A tenant id is malformed.");
    return join(this.root, "tenants", id);
  }

  /** Bytes of the tenant's database file; 0 when it was never used. */
  async databaseSizeBytes(tenant: Pick<Tenant, "id">): Promise<number> {
    const file = join(this.folder(tenant), "tenant.db");
    return stat(file).then(
      (found) => found.size,
      () => 0,
    );
  }
}

function checked(
  database: Database,
  tenantId: TenantId,
  noteAppended: (tenantId: TenantId, sizeBytes: number) => void,
): Database {
  return {
    find<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row | undefined> {
      assertTenant(tenantId);
      return database.find<Row>(sql, params);
    },
    list<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row[]> {
      assertTenant(tenantId);
      return database.list<Row>(sql, params);
    },
    report<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row[]> {
      assertTenant(tenantId);
      return database.report<Row>(sql, params);
    },
    write(batch: Batch): Promise<WriteOutcome> {
      assertTenant(tenantId);
      const sizeBytes = (batch.appends ?? []).reduce((sum, { bytes }) => sum + bytes.length, 0);
      if (sizeBytes === 0) return database.write(batch);
      return database.write(batch).then((outcome) => {
        if (outcome.committed) noteAppended(tenantId, sizeBytes);
        return outcome;
      });
    },
  };
}

function transcriptFile(agentId: AgentId, sessionId: SessionId): string {
  // SECURITY: both become parts of a path, whatever the types say.
  if (!isAgentId(agentId) || !isUuid(sessionId))
    throw new AppError("internal", "A transcript name is malformed.");
  return `agents/${agentId}/sessions/${sessionId}.jsonl`;
}

function workspaceName(agentId: AgentId): string {
  if (!isAgentId(agentId)) throw new AppError("internal", "An agent id is malformed.");
  return agentId === "main" ? "workspace" : `workspace-${agentId}`;
}

/** Bytes that are read at once: what a page of history has. Through a thread it takes ten times as long. */
const SMALL_BYTES = 256 * 1024;

async function readRange(path: string, start: number, length: number): Promise<Buffer> {
  if (length <= SMALL_BYTES) return readSmallRange(path, start, length);
  const handle = await open(path, "r");
  try {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await handle.read(buffer, 0, length, start);
    if (bytesRead !== length) throw tooShort();
    return buffer;
  } finally {
    await handle.close();
  }
}

function readSmallRange(path: string, start: number, length: number): Buffer {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    const buffer = Buffer.allocUnsafe(length);
    if (readSync(fd, buffer, 0, length, start) !== length) throw tooShort();
    return buffer;
  } finally {
    closeSync(fd);
  }
}

function tooShort(): AppError {
  return new AppError("tenant_unavailable", "A transcript is shorter than what was committed.");
}
