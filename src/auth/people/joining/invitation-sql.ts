/**
 * Invitations as rows. Owns: the one query that says which are open and what each grants now, the tie as a condition.
 * Refuses to know: secrets, who asks.
 */
import type { TenantId, UserId } from "../../../kernel/ids.ts";
import type { Role } from "../../../tenancy/scopes.ts";
import { type Fragment, memberRankSql, rankSql, roleSql, tokenRankSql } from "../authority-sql.ts";
import type { Invitation, InvitationTie } from "./invitation.ts";

/** A row of `OPEN_INVITATIONS`. */
export interface OpenRow {
  tenant_id: string;
  id: string;
  role: Role;
  note: string | null;
  tie_email: string | null;
  tie_provider: string | null;
  tie_issuer: string | null;
  tie_subject: string | null;
  inviter_id: string;
  inviter_name: string;
  created_at_ms: number;
  expires_at_ms: number;
  tenant_name: string;
  slug: string;
  status: string;
  /** What accepting grants now; null when the inviter is gone. */
  granted: Role | null;
}

const INVITER_RANK = `CASE i.inviter_kind WHEN 'machine' THEN 4
  WHEN 'person' THEN ${memberRankSql("i.tenant_id", "i.inviter_id")}
  ELSE ${tokenRankSql("i.tenant_id", "i.inviter_id")} END`;

const CEILING_RANK = `coalesce((SELECT ${rankSql("r.invitation_ceiling")} FROM membership_rules r
  WHERE r.tenant_id = i.tenant_id), 4)`;

/**
 * Invitations that are neither used, revoked nor over, with what each grants at this moment: the weakest of what it was
 * made for, what its inviter holds now and what the tenant allows now. One parameter: now. Ends in a WHERE to go on with.
 */
export const OPEN_INVITATIONS = `SELECT i.tenant_id, i.id, i.role, i.note, i.tie_email, i.tie_provider, i.tie_issuer,
    i.tie_subject, i.inviter_id, i.inviter_name, i.created_at_ms, i.expires_at_ms,
    t.display_name AS tenant_name, t.slug, t.status,
    ${roleSql(`min(${rankSql("i.role")}, ${INVITER_RANK}, ${CEILING_RANK})`)} AS granted
  FROM invitations i JOIN tenants t ON t.id = i.tenant_id
  WHERE i.accepted_at_ms IS NULL AND i.revoked_at_ms IS NULL AND i.expires_at_ms > ?`;

/** True in SQL when a person is who the invitation is for. Only the deployment's providers vouch for anybody here. */
export function tieFits(row: OpenRow, userId: UserId): Fragment {
  const identity = "SELECT 1 FROM identities d WHERE d.user_id = ? AND d.realm = ''";
  if (row.tie_email !== null) {
    return {
      sql: `EXISTS (${identity} AND d.email_verified = 1 AND d.email_key = ?)`,
      params: [userId, row.tie_email],
    };
  }
  if (row.tie_subject !== null) {
    return {
      sql: `EXISTS (${identity} AND d.issuer = ? AND d.subject = ?)`,
      params: [userId, row.tie_issuer, row.tie_subject],
    };
  }
  return { sql: "1", params: [] };
}

/** The invitation of a row that grants something. */
export function toInvitation(row: OpenRow): Invitation {
  return {
    id: row.id,
    tenantId: row.tenant_id as TenantId,
    role: row.granted ?? row.role,
    note: row.note,
    tie: tieOf(row),
    createdAtMs: row.created_at_ms,
    createdBy: row.inviter_name,
    expiresAtMs: row.expires_at_ms,
  };
}

function tieOf(row: OpenRow): InvitationTie {
  if (row.tie_email !== null) return { kind: "email", email: row.tie_email };
  if (row.tie_provider !== null && row.tie_subject !== null) {
    return { kind: "identity", provider: row.tie_provider, subject: row.tie_subject };
  }
  return { kind: "none" };
}
