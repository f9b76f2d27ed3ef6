/**
 * Where a ledger stood, kept outside of its chain: once a day and with each closed month in the tenant's audit log, once a
 * month in the platform's too. Owns: those records, finding them. Refuses to know: when they are made.
 *
 * A chain that was computed anew fits together; only what was kept elsewhere says that it is another one. The audit log is
 * a chain of its own whose heads are signed (docs/audit.md); the platform's log is in another file.
 */
import { appendStatement } from "../../../audit/chain.ts";
import { type AuditRecord, auditRecord } from "../../../audit/record.ts";
import type { Database, Statement } from "../../../storage/database.ts";
import { SYSTEM } from "../../../tenancy/actor.ts";
import type { TenantScope } from "../../../tenancy/scoped.ts";
import type { Head } from "./verify-chain.ts";

const ACTION = "ledger.sealed";
const MOST = 100_000;

/** The last line of a tenant's ledger; undefined for an empty one. */
export function findEnd(scope: TenantScope): Promise<{ seq: number; hash: string } | undefined> {
  return scope.db.find<{ seq: number; hash: string }>("SELECT seq, hash FROM ledger_end");
}

/** The record that keeps where a tenant's ledger stands now; `month` when it is closed with it. Undefined while it is empty. */
export async function findHeadRecord(
  scope: TenantScope,
  nowMs: number,
  month?: string,
): Promise<AuditRecord | undefined> {
  const end = await findEnd(scope);
  if (end === undefined) return undefined;
  const target = { kind: "ledger", id: scope.tenantId, name: scope.tenant.slug };
  const details = { seq: end.seq, hash: end.hash, ...(month === undefined ? {} : { month }) };
  return auditRecord(nowMs, SYSTEM, ACTION, target, details);
}

/** The statements that keep it in the tenant's own log, for the batch that closes a month; none while it is empty. */
export async function headStatements(
  scope: TenantScope,
  nowMs: number,
  month?: string,
): Promise<Statement[]> {
  const record = await findHeadRecord(scope, nowMs, month);
  return record === undefined ? [] : [appendStatement(record)];
}

/** The newest head in the tenant's own log: its line, and when it was kept; undefined when there is none. */
export function findLastHead(scope: TenantScope): Promise<{ seq: number; atMs: number } | undefined> {
  return scope.db.find<{ seq: number; atMs: number }>(
    "SELECT details ->> 'seq' AS seq, at_ms AS atMs FROM audit_log WHERE action = ? ORDER BY audit_log.seq DESC LIMIT 1",
    [ACTION],
  );
}

/** All heads that were kept: in the tenant's own log, and in the platform's where `control` is given. */
export async function listHeads(
  own: Pick<Database, "list">,
  elsewhere?: { control: Database; tenantId: string },
): Promise<Head[]> {
  const heads = [...(await read(own, "The audit log of", undefined))];
  if (elsewhere !== undefined)
    heads.push(...(await read(elsewhere.control, "The platform's log of", elsewhere.tenantId)));
  return heads;
}

async function read(
  db: Pick<Database, "list">,
  where: string,
  tenantId: string | undefined,
): Promise<Head[]> {
  const rows = await db.list<{ seq: number; hash: string; atMs: number }>(
    `SELECT details ->> 'seq' AS seq, details ->> 'hash' AS hash, at_ms AS atMs FROM audit_log
      WHERE action = ? AND (? IS NULL OR target_id = ?) ORDER BY audit_log.seq DESC LIMIT ${MOST}`,
    [ACTION, tenantId ?? null, tenantId ?? null],
  );
  return rows.map(({ seq, hash, atMs }) => ({
    ...{ seq, hash, from: `${where} ${new Date(atMs).toISOString().slice(0, 10)}` },
  }));
}
