/** Exports that tenants set up. Owns: address, secret, what an admin may change. Refuses to know: sending, how far it is. */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Vault } from "../../tenancy/vault.ts";
import { ExportCursors, moveStatements, restartStatement } from "./export-cursors.ts";
import { newestSeq, readKey } from "./usage-message.ts";
import { newWebhookSecret, type WebhookTarget } from "./usage-sink.webhook.ts";

/** What a tenant's admin sees. */
export interface TenantExport {
  url: string | null;
  cursor: number;
  newest: number;
  failures: number;
  nextAtMs: number | null;
  lastSentAtMs: number | null;
  lastError: string | null;
}

/** What an admin may change; `cursor` is the event after which sending goes on. */
export interface ExportChange {
  url?: string | null | undefined;
  renewSecret?: boolean | undefined;
  cursor?: number | undefined;
}

/** What the store needs. */
export interface UsageExportDeps {
  control: Database;
  vault: Vault;
  clock: Clock;
  /** Refuse addresses that cannot be used; throws `invalid_request`. */
  checkUrl(url: string): void;
}

const SECRET_NAME = "usage-export";

/** See the head of this file. */
export class UsageExports {
  /** How far every export is. */
  readonly cursors: ExportCursors;
  private readonly deps: UsageExportDeps;

  constructor(deps: UsageExportDeps) {
    this.deps = deps;
    this.cursors = new ExportCursors(deps.control, deps.clock);
  }

  /** The address and opened secret of a tenant's own export; undefined when it has none. */
  async findTarget(scope: TenantScope): Promise<WebhookTarget | undefined> {
    const row = await this.deps.control.find<{ url: string; secret_sealed: string }>(
      "SELECT url, secret_sealed FROM usage_exports WHERE tenant_id = ?",
      [scope.tenantId],
    );
    if (row === undefined) return undefined;
    return { url: row.url, secret: await this.deps.vault.open(scope, SECRET_NAME, row.secret_sealed) };
  }

  /** What is set up, and how far it is. */
  async describe(scope: TenantScope): Promise<TenantExport> {
    const row = await this.deps.control.find<{ url: string }>(
      "SELECT url FROM usage_exports WHERE tenant_id = ?",
      [scope.tenantId],
    );
    const at = await this.cursors.get(scope.tenantId, scope.tenantId);
    return {
      url: row?.url ?? null,
      cursor: at.cursorSeq,
      newest: await newestSeq(scope),
      failures: at.failures,
      nextAtMs: at.nextAtMs === 0 ? null : at.nextAtMs,
      lastSentAtMs: at.lastSentAtMs,
      lastError: at.lastError,
    };
  }

  /** Change the tenant's export; a new one begins with the next event unless `cursor` says otherwise. Returns a new secret. */
  async change(scope: TenantScope, change: ExportChange, by: string): Promise<string | null> {
    const { tenantId } = scope;
    const { control, clock, vault } = this.deps;
    const known = await control.find<{ url: string }>("SELECT url FROM usage_exports WHERE tenant_id = ?", [
      tenantId,
    ]);
    if (change.url === null) {
      await control.write({ statements: forgetStatements(tenantId) });
      return null;
    }
    const url = change.url ?? known?.url;
    if (url === undefined) throw new AppError("invalid_request", "Give the address that usage is sent to.");
    this.deps.checkUrl(url);
    const newest = await newestSeq(scope);
    if (change.cursor !== undefined && change.cursor > newest)
      throw new AppError("invalid_request", `The newest event is ${newest}; cursor lies after it.`);
    // SECURITY: a secret stays with the host that it was shown for; a new host gets a new one.
    const isMoved = known !== undefined && new URL(known.url).host !== new URL(url).host;
    const isNew = known === undefined || change.renewSecret === true || isMoved;
    const secret = isNew ? newWebhookSecret() : null;
    const sealed = secret === null ? null : await vault.seal(scope, SECRET_NAME, secret);
    const nowMs = clock.nowMs();
    const statements: Statement[] = [
      {
        sql: `INSERT INTO usage_exports VALUES (?, ?, coalesce(?, ''), ?, ?) ON CONFLICT DO UPDATE SET url = excluded.url,
          secret_sealed = iif(excluded.secret_sealed = '', secret_sealed, excluded.secret_sealed)`,
        params: [tenantId, url, sealed, nowMs, by],
      },
    ];
    if (known === undefined || change.cursor !== undefined) {
      const seq = change.cursor ?? newest;
      const at = await this.cursors.get(tenantId, tenantId);
      statements.push(...moveStatements(at, seq, await readKey(scope, seq), nowMs));
    } else if (change.url !== undefined) statements.push(restartStatement(tenantId, tenantId, nowMs));
    const outcome = await control.write({ statements });
    if (!outcome.committed)
      throw new AppError("conflict", "The export went on in the meantime; look again and repeat the change.");
    return secret;
  }

  /** The other side wants no more: the export ends, what came of it stays to be read. Another address than that stays. */
  async end(tenantId: TenantId, url: string): Promise<void> {
    await this.deps.control.write({
      statements: [
        {
          sql: "DELETE FROM usage_exports WHERE tenant_id = ? AND url = ?",
          params: [tenantId, url],
          expect: 1,
        },
        {
          sql: "UPDATE usage_export_cursors SET next_at_ms = 0 WHERE export_of = ? AND tenant_id = ?",
          params: [tenantId, tenantId],
        },
      ],
    });
  }
}

/** What is forgotten with an export, and with a tenant. */
export function forgetStatements(tenantId: TenantId): Statement[] {
  return [
    { sql: "DELETE FROM usage_exports WHERE tenant_id = ?", params: [tenantId] },
    { sql: "DELETE FROM usage_export_cursors WHERE export_of = ?", params: [tenantId] },
    { sql: "DELETE FROM usage_export_sent WHERE export_of = ?", params: [tenantId] },
  ];
}
