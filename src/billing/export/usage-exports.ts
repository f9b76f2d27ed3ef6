/**
 * Exports that tenants set up, and how far every export is. Owns: those rows. Refuses to know: sending.
 * An export with an empty name is the operator's, about every tenant.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Vault } from "../../tenancy/vault.ts";
import { newWebhookSecret, type WebhookTarget } from "./usage-sink.webhook.ts";

/** The operator's export. */
export const PLATFORM = "";

/** How far an export is with one tenant. */
export interface Cursor {
  cursorSeq: number;
  pendingSeq: number | null;
  failures: number;
  nextAtMs: number;
  lastSentAtMs: number | null;
  lastError: string | null;
}

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

interface CursorRow {
  cursor_seq: number;
  pending_seq: number | null;
  failures: number;
  next_at_ms: number;
  last_sent_at_ms: number | null;
  last_error: string | null;
}

const SECRET_NAME = "usage-export";

/** See the head of this file. */
export class UsageExports {
  private readonly deps: UsageExportDeps;

  constructor(deps: UsageExportDeps) {
    this.deps = deps;
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
    const at = await this.cursor(scope.tenantId, scope.tenantId);
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
    if (known === undefined || change.cursor !== undefined || change.url !== undefined)
      statements.push(
        moveStatement(tenantId, tenantId, change.cursor ?? null, known === undefined ? newest : null, nowMs),
      );
    await control.write({ statements });
    return secret;
  }

  /** How far an export is with a tenant. */
  async cursor(exportOf: string, tenantId: TenantId): Promise<Cursor> {
    const row = await this.deps.control.find<CursorRow>(
      "SELECT * FROM usage_export_cursors WHERE export_of = ? AND tenant_id = ?",
      [exportOf, tenantId],
    );
    return {
      cursorSeq: row?.cursor_seq ?? 0,
      pendingSeq: row?.pending_seq ?? null,
      failures: row?.failures ?? 0,
      nextAtMs: row?.next_at_ms ?? 0,
      lastSentAtMs: row?.last_sent_at_ms ?? null,
      lastError: row?.last_error ?? null,
    };
  }

  /** Remember where the message under way ends, before it is sent. */
  async begin(exportOf: string, tenantId: TenantId, fromSeq: number, lastSeq: number): Promise<boolean> {
    const outcome = await this.deps.control.write({
      statements: [
        {
          sql: `INSERT INTO usage_export_cursors (export_of, tenant_id, cursor_seq, pending_seq) VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET pending_seq = excluded.pending_seq WHERE cursor_seq = excluded.cursor_seq`,
          params: [exportOf, tenantId, fromSeq, lastSeq],
          expect: 1,
        },
      ],
    });
    return outcome.committed;
  }

  /** The message arrived. Changes nothing when the cursor was moved meanwhile. */
  async confirm(exportOf: string, tenantId: TenantId, fromSeq: number, lastSeq: number): Promise<boolean> {
    const nowMs = this.deps.clock.nowMs();
    const outcome = await this.deps.control.write({
      statements: [
        {
          sql: `UPDATE usage_export_cursors SET cursor_seq = ?, pending_seq = NULL, failures = 0, next_at_ms = 0,
            last_sent_at_ms = ?, last_error = NULL WHERE export_of = ? AND tenant_id = ? AND cursor_seq = ?`,
          params: [lastSeq, nowMs, exportOf, tenantId, fromSeq],
          expect: 1,
        },
      ],
    });
    return outcome.committed;
  }

  /** It did not; tried again at `nextAtMs`. */
  async fail(exportOf: string, tenantId: TenantId, reason: string, nextAtMs: number): Promise<void> {
    await this.deps.control.write({
      statements: [
        {
          sql: `UPDATE usage_export_cursors SET failures = failures + 1, next_at_ms = ?, last_error = ?
            WHERE export_of = ? AND tenant_id = ?`,
          params: [nextAtMs, reason.slice(0, 300), exportOf, tenantId],
        },
      ],
    });
  }

  /** More is waiting: go on at the next round. */
  async goOn(exportOf: string, tenantId: TenantId): Promise<void> {
    await this.deps.control.write({
      statements: [
        {
          sql: "UPDATE usage_export_cursors SET next_at_ms = ? WHERE export_of = ? AND tenant_id = ?",
          params: [this.deps.clock.nowMs(), exportOf, tenantId],
        },
      ],
    });
  }

  /** The other side wants no more: the export ends, what came of it stays to be read. */
  async end(tenantId: TenantId): Promise<void> {
    await this.deps.control.write({
      statements: [
        { sql: "DELETE FROM usage_exports WHERE tenant_id = ?", params: [tenantId] },
        {
          sql: "UPDATE usage_export_cursors SET next_at_ms = 0 WHERE export_of = ? AND tenant_id = ?",
          params: [tenantId, tenantId],
        },
      ],
    });
  }
}

async function newestSeq(scope: TenantScope): Promise<number> {
  const row = await scope.db.find<{ seq: number }>("SELECT coalesce(max(seq), 0) AS seq FROM usage_events");
  return row?.seq ?? 0;
}

/** What is forgotten with an export, and with a tenant. */
export function forgetStatements(tenantId: TenantId): Statement[] {
  return [
    { sql: "DELETE FROM usage_exports WHERE tenant_id = ?", params: [tenantId] },
    { sql: "DELETE FROM usage_export_cursors WHERE export_of = ?", params: [tenantId] },
  ];
}

/** Go on after `cursor`, or stay where it is (a new one begins at `start`), at once. */
function moveStatement(
  exportOf: string,
  tenantId: TenantId,
  cursor: number | null,
  start: number | null,
  nowMs: number,
): Statement {
  return {
    sql: `INSERT INTO usage_export_cursors (export_of, tenant_id, cursor_seq, next_at_ms)
      VALUES (?, ?, coalesce(?, ?, 0), ?) ON CONFLICT DO UPDATE SET
      cursor_seq = coalesce(?, ?, cursor_seq), pending_seq = NULL, failures = 0, next_at_ms = excluded.next_at_ms,
      last_error = NULL`,
    params: [exportOf, tenantId, cursor, start, nowMs, cursor, start],
  };
}
