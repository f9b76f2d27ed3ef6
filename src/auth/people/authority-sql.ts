/**
 * The role rules once more, as SQL. Owns: fragments that let a statement itself look whether whoever acts may act, at
 * the very moment of the commit. Refuses to know: what is done.
 *
 * Asking first and acting then leaves a gap in which a role can change; a condition inside the statement leaves none.
 */
import type { TenantId } from "../../kernel/ids.ts";
import type { SqlValue, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { Role } from "../../tenancy/scopes.ts";
import { authorityOf, rankOf } from "./role-rules.ts";

/** A piece of SQL and its parameters, in order. */
export interface Fragment {
  sql: string;
  params: readonly SqlValue[];
}

/** The rank (1 to 4, 0 for none) of a role that a piece of SQL yields; the same numbers as `rankOf`. */
export function rankSql(role: string): string {
  return `CASE ${role} WHEN 'owner' THEN 4 WHEN 'admin' THEN 3 WHEN 'member' THEN 2 WHEN 'readonly' THEN 1 ELSE 0 END`;
}

/** The role of a rank that a piece of SQL yields; null for 0. */
export function roleSql(rank: string): string {
  return `CASE ${rank} WHEN 4 THEN 'owner' WHEN 3 THEN 'admin' WHEN 2 THEN 'member' WHEN 1 THEN 'readonly' END`;
}

/** The present rank of a member; 0 for whoever is none. `tenant` and `user` are SQL. */
export function memberRankSql(tenant: string, user: string): string {
  return `coalesce((SELECT ${rankSql("a.role")} FROM members a WHERE a.tenant_id = ${tenant} AND a.user_id = ${user}), 0)`;
}

/** The present rank of a token that is an identity of its own: its role, as far as whoever answers for it goes. */
export function tokenRankSql(tenant: string, token: string): string {
  return `coalesce((SELECT min(${rankSql("k.role")},
      CASE WHEN k.created_by IS NULL THEN 4 ELSE ${memberRankSql("k.tenant_id", "k.created_by")} END)
    FROM api_tokens k WHERE k.tenant_id = ${tenant} AND k.id = ${token} AND k.revoked_at_ms IS NULL), 0)`;
}

/** The rank with which an actor acts now: what they came with, and no more than what they hold at the commit. */
export function actorRank(tenantId: TenantId, actor: Actor): Fragment {
  const authority = authorityOf(actor);
  if (authority === "platform") return { sql: "4", params: [] };
  if (authority === "none") return { sql: "0", params: [] };
  const held = actor.kind === "token" ? tokenRankSql("?", "?") : memberRankSql("?", "?");
  return { sql: `min(?, ${held})`, params: [rankOf(authority), tenantId, actor.id] };
}

/** One row while the actor holds at least `role`, else none; for a batch, with `expect`. */
export function standsStatement(tenantId: TenantId, actor: Actor, role: Role): Statement {
  const held = actorRank(tenantId, actor);
  return { sql: `SELECT 1 WHERE ${held.sql} >= ?`, params: [...held.params, rankOf(role)], expect: 1 };
}
