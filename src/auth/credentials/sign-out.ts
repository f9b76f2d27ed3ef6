/**
 * Ending all that stands for a person. Owns: which credentials end together, that a tenant's admins end what counts in
 * their tenant and nothing elsewhere. Refuses to know: transports, open sockets (they hear of it by the access feed).
 */
import { type AuditRecord, auditRecord } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import { assertAllowed, changedMeanwhile, type Members } from "../members.ts";
import { actorRank } from "../people/authority-sql.ts";
import { memberAudit } from "../people/membership-sql.ts";
import { authorityOf, mayRemove } from "../people/role-rules.ts";

/** See the head of this file. */
export class SignOuts {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly members: Members;

  constructor(control: Database, clock: Clock, members: Members) {
    this.control = control;
    this.clock = clock;
    this.members = members;
  }

  /**
   * End everything of a member in one tenant: tokens that act for them, their devices there, and what their browsers
   * proved until now; they stay a member and can sign in anew. Throws `not_found`, `forbidden` when `by` could not put
   * them out either.
   */
  async inTenant(tenantId: TenantId, userId: UserId, by: Actor): Promise<void> {
    const member = await this.members.get(tenantId, userId);
    assertAllowed(mayRemove(authorityOf(by), member.role));
    const held = actorRank(tenantId, by);
    const nowMs = this.clock.nowMs();
    const outcome = await this.control.write({
      statements: [
        memberAudit(tenantId, userId, this.record(userId, by, nowMs)),
        {
          // SECURITY: whoever was demoted a moment ago signs nobody out any more.
          sql: `SELECT 1 FROM members WHERE tenant_id = ? AND user_id = ?
            AND ${held.sql} >= CASE role WHEN 'owner' THEN 4 ELSE 3 END`,
          params: [tenantId, userId, ...held.params],
          expect: 1,
        },
        ...endStatements(tenantId, userId, nowMs),
      ],
    });
    if (outcome.committed) return;
    if (outcome.refusedAt === 0)
      throw new AppError("not_found", "That person is not a member of this tenant.");
    throw changedMeanwhile();
  }

  /** The same for oneself in every tenant, and all browsers everywhere. */
  async everywhere(userId: UserId, by: Actor): Promise<void> {
    const nowMs = this.clock.nowMs();
    const tenants = await this.control.list<{ tenant_id: string }>(
      "SELECT tenant_id FROM members WHERE user_id = ? LIMIT ?",
      [userId, LIMITS.listRows],
    );
    await this.control.write({
      statements: [
        ...tenants.flatMap(({ tenant_id: id }) => {
          // A membership that ended meanwhile took its credentials along; it refuses nothing.
          const { expect: _expect, ...audit } = memberAudit(
            id as TenantId,
            userId,
            this.record(userId, by, nowMs),
          );
          return [audit, ...endStatements(id as TenantId, userId, nowMs)];
        }),
        {
          sql: "UPDATE browser_sessions SET revoked_at_ms = ? WHERE user_id = ? AND revoked_at_ms IS NULL",
          params: [nowMs, userId],
        },
      ],
    });
  }

  private record(userId: UserId, by: Actor, nowMs: number): AuditRecord {
    return auditRecord(nowMs, by, "member.signed_out", { kind: "member", id: userId });
  }
}

/** What ends in one tenant. */
function endStatements(tenantId: TenantId, userId: UserId, nowMs: number): Statement[] {
  return [
    {
      // The moment itself does not count either: whatever was proved in it was proved before.
      sql: "UPDATE members SET valid_after_ms = max(valid_after_ms, ?) WHERE tenant_id = ? AND user_id = ?",
      params: [nowMs + 1, tenantId, userId],
    },
    {
      sql: "UPDATE api_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND user_id = ? AND revoked_at_ms IS NULL",
      params: [nowMs, tenantId, userId],
    },
    {
      sql: "UPDATE device_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND user_id = ? AND revoked_at_ms IS NULL",
      params: [nowMs, tenantId, userId],
    },
  ];
}
