/**
 * What one line of the audit log says, and how it is handed in. Owns: the record, the statement that puts it into the
 * outbox of control.db. Refuses to know: the chain, who reads it.
 *
 * Acts on people, credentials and tenants are commits in control.db, while a tenant's log is in its own file. So the
 * record is part of the act's own commit, in an outbox, and is moved into the chain afterwards, once (by its id).
 */
import { newId, type TenantId } from "../kernel/ids.ts";
import type { SqlValue, Statement } from "../storage/database.ts";
import type { Actor } from "../tenancy/actor.ts";

/** What became of an attempt. */
export type AuditOutcome = "ok" | "denied" | "failed";

/** What was acted on. */
export interface AuditTarget {
  /** E.g. `member`, `token`, `invitation`, `agent`, `tenant`. */
  kind: string;
  id: string;
  /** As it was at the time, for people to read; never a secret. */
  name?: string | undefined;
}

/** One line of the log. */
export interface AuditRecord {
  /** UUIDv7; the same record handed in twice counts once. */
  id: string;
  /** Wall-clock time of the act. */
  atMs: number;
  /** `thing.what_happened`, e.g. `member.role_changed`. */
  action: string;
  outcome: AuditOutcome;
  actor: Actor;
  target: AuditTarget | null;
  /** Before and after, reasons, counts: small, plain JSON, no secrets, no contents of conversations. */
  details: Readonly<Record<string, unknown>>;
}

/** Make a record; the outcome is `ok` unless it is said. */
export function auditRecord(
  nowMs: number,
  actor: Actor,
  action: string,
  target: AuditTarget | null,
  details: Readonly<Record<string, unknown>> = {},
  outcome: AuditOutcome = "ok",
): AuditRecord {
  return { id: newId(), atMs: nowMs, action, outcome, actor, target, details };
}

/** Instead of a tenant's id, for acts that belong to none: they go into the platform's own chain. */
export const PLATFORM = "" as TenantId;

/** The statement that hands a record in, for the batch in control.db that does the act. */
export function auditStatement(tenantId: TenantId, record: AuditRecord): Statement {
  return {
    sql: "INSERT INTO audit_outbox (id, tenant_id, record) VALUES (?, ?, ?)",
    params: [record.id, tenantId, JSON.stringify(record)],
  };
}

/**
 * The same when the tenant is found by the batch itself: `tenantSql` yields the tenant's id, or no row and then nothing
 * is handed in.
 */
export function auditStatementWhere(
  record: AuditRecord,
  tenantSql: string,
  params: readonly SqlValue[],
): Statement {
  return {
    sql: `INSERT INTO audit_outbox (id, tenant_id, record) SELECT ?, found.tenant_id, ? FROM (${tenantSql}) AS found LIMIT 1`,
    params: [record.id, JSON.stringify(record), ...params],
  };
}
