/**
 * Statements with which somebody comes and goes, for batches that do more. Owns: what belongs together when a
 * membership begins or ends. Refuses to know: who may do it, why it is done.
 */
import type { AuditRecord } from "../../audit/record.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Statement } from "../../storage/database.ts";
import type { Role } from "../../tenancy/scopes.ts";

/**
 * Let a person in, if they are not in already. SECURITY: what they held before they last went stays dead: proofs of who
 * they are count from after that moment on. A service account is let into no other tenant than its own.
 */
export function insertMember(tenantId: TenantId, userId: UserId, role: Role, nowMs: number): Statement {
  return {
    sql: `INSERT INTO members (tenant_id, user_id, role, created_at_ms, valid_after_ms)
      SELECT ?, u.id, ?, ?,
        coalesce((SELECT f.left_at_ms + 1 FROM former_members f WHERE f.tenant_id = ? AND f.user_id = u.id), 0)
      FROM users u WHERE u.id = ? AND coalesce(u.service_of, ?) = ? AND (u.service_of IS NULL OR ? <> 'owner')
      ON CONFLICT DO NOTHING`,
    params: [tenantId, role, nowMs, tenantId, userId, tenantId, tenantId, role],
    expect: 1,
  };
}

/** The two statements of joining: is there a place, and take it. The first refuses in a full tenant. */
export function joinStatements(tenantId: TenantId, userId: UserId, role: Role, nowMs: number): Statement[] {
  return [
    {
      // SECURITY: counted inside the commit; of twenty who take the last place at once one gets it.
      // A service account takes no seat of the plan (migrations/control/0012-plans.sql).
      sql: `SELECT 1 WHERE (SELECT count(*) FROM members WHERE tenant_id = ?) < ?
        AND (EXISTS (SELECT 1 FROM users WHERE id = ? AND service_of IS NOT NULL)
          OR (SELECT count(*) FROM members m JOIN users u ON u.id = m.user_id
              WHERE m.tenant_id = ? AND u.service_of IS NULL)
            < coalesce((SELECT seats FROM seat_limits WHERE tenant_id IN (?, '') AND from_ms <= ?
              ORDER BY tenant_id DESC, from_ms DESC LIMIT 1), ?))`,
      params: [
        ...[tenantId, LIMITS.membersPerTenant, userId, tenantId],
        ...[tenantId, nowMs, LIMITS.membersPerTenant],
      ],
      expect: 1,
    },
    insertMember(tenantId, userId, role, nowMs),
  ];
}

/** What ends with a membership, after the row itself is gone. */
export function removeStatements(tenantId: TenantId, userId: UserId, nowMs: number): Statement[] {
  return [
    {
      sql: `UPDATE api_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND (user_id = ? OR created_by = ?)
        AND revoked_at_ms IS NULL`,
      params: [nowMs, tenantId, userId, userId],
    },
    {
      sql: "UPDATE device_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND user_id = ? AND revoked_at_ms IS NULL",
      params: [nowMs, tenantId, userId],
    },
    {
      sql: `UPDATE invitations SET revoked_at_ms = ? WHERE tenant_id = ? AND inviter_kind = 'person'
        AND inviter_id = ? AND accepted_at_ms IS NULL AND revoked_at_ms IS NULL`,
      params: [nowMs, tenantId, userId],
    },
    {
      sql: `INSERT INTO former_members (tenant_id, user_id, left_at_ms) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET left_at_ms = excluded.left_at_ms`,
      params: [tenantId, userId, nowMs],
    },
  ];
}

/**
 * The record of an act on a member who is there now, with their name and the role they have at this moment; refuses the
 * batch when they are not there. It stands before what changes the row, or after what makes it.
 * @param roleField where in the details their present role goes
 */
export function memberAudit(
  tenantId: TenantId,
  userId: UserId,
  record: AuditRecord,
  roleField: "role" | "before" = "role",
): Statement {
  return {
    sql: `INSERT INTO audit_outbox (id, tenant_id, record)
      SELECT ?, m.tenant_id, json_set(?, '$.target.name', u.display_name, ?, m.role)
      FROM members m JOIN users u ON u.id = m.user_id WHERE m.tenant_id = ? AND m.user_id = ?`,
    params: [record.id, JSON.stringify(record), `$.details.${roleField}`, tenantId, userId],
    expect: 1,
  };
}
