/**
 * People who ask to be let in, in control.db. Owns: their requests, that asking tells nobody what exists.
 * Refuses to know: transports. Tenants take requests only when an admin switched that on.
 */
import { auditRecord, auditStatement, auditStatementWhere } from "../../../audit/record.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { AppError } from "../../../kernel/errors.ts";
import { newId, type TenantId, type UserId } from "../../../kernel/ids.ts";
import { LIMITS } from "../../../kernel/limits.ts";
import type { Database } from "../../../storage/database.ts";
import type { Actor } from "../../../tenancy/actor.ts";
import type { Role } from "../../../tenancy/scopes.ts";
import { assertAllowed, changedMeanwhile, tenantIsFull } from "../../members.ts";
import { standsStatement } from "../authority-sql.ts";
import { joinStatements, memberAudit } from "../membership-sql.ts";
import { authorityOf, mayGive } from "../role-rules.ts";
import { readCeilings } from "../tenant-settings.ts";
import { checkNote } from "./invitation.ts";

/** Somebody who waits to be let in. */
export interface JoinRequest {
  id: string;
  displayName: string;
  note: string | null;
  createdAtMs: number;
}

const DAY_MS = 24 * 3600 * 1000;
/** A request that nobody answered is forgotten after this. */
const KEPT_MS = 30 * DAY_MS;

/** See the head of this file. */
export class JoinRequests {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /**
   * Ask to be let into the tenant of a slug. SECURITY: the same commit and the same silence whether there is such a
   * tenant, it takes requests, is full of them, or has the person already. Throws `rate_limited` by the person alone,
   * `invalid_request` for a bad note.
   */
  async ask(userId: UserId, slug: string, note: string | null, by: Actor): Promise<void> {
    const nowMs = this.clock.nowMs();
    const id = newId();
    const words = checkNote(note);
    const record = auditRecord(nowMs, by, "join_request.created", {
      kind: "join_request",
      id,
      name: by.name,
    });
    const outcome = await this.control.write({
      statements: [
        {
          sql: `INSERT INTO join_attempts (user_id, since_ms, attempts) VALUES (?, ?, 1)
            ON CONFLICT DO UPDATE SET
              attempts = CASE WHEN since_ms <= ? THEN 1 ELSE attempts + 1 END,
              since_ms = CASE WHEN since_ms <= ? THEN excluded.since_ms ELSE since_ms END
            WHERE attempts < ? OR since_ms <= ?`,
          params: [
            ...[userId, nowMs, nowMs - DAY_MS, nowMs - DAY_MS],
            ...[LIMITS.joinRequestsPerPersonAndDay, nowMs - DAY_MS],
          ],
          expect: 1,
        },
        {
          sql: "DELETE FROM join_requests WHERE user_id = ? AND created_at_ms <= ?",
          params: [userId, nowMs - KEPT_MS],
        },
        {
          sql: `INSERT INTO join_requests (tenant_id, id, user_id, note, created_at_ms)
            SELECT t.id, ?, u.id, ?, ? FROM tenants t JOIN membership_rules r ON r.tenant_id = t.id, users u
            WHERE t.slug = ? AND t.status = 'active' AND r.takes_join_requests = 1
              AND u.id = ? AND coalesce(u.only_tenant_id, t.id) = t.id
              AND NOT EXISTS (SELECT 1 FROM members m WHERE m.tenant_id = t.id AND m.user_id = u.id)
              AND (SELECT count(*) FROM join_requests j WHERE j.tenant_id = t.id AND j.created_at_ms > ?) < ?
            ON CONFLICT DO NOTHING`,
          params: [id, words, nowMs, slug, userId, nowMs - KEPT_MS, LIMITS.joinRequestsPerTenant],
        },
        auditStatementWhere(record, "SELECT tenant_id FROM join_requests WHERE id = ?", [id]),
      ],
    });
    if (outcome.committed) return;
    throw new AppError("rate_limited", "You asked to join too often today. Try again tomorrow.", {
      retryAfterMs: DAY_MS,
    });
  }

  /** Who waits at a tenant's door, longest first. */
  async list(tenantId: TenantId): Promise<JoinRequest[]> {
    const rows = await this.control.list<{
      id: string;
      display_name: string;
      note: string | null;
      created_at_ms: number;
    }>(
      `SELECT j.id, u.display_name, j.note, j.created_at_ms FROM join_requests j JOIN users u ON u.id = j.user_id
        WHERE j.tenant_id = ? AND j.created_at_ms > ? ORDER BY j.created_at_ms, j.id LIMIT ?`,
      [tenantId, this.clock.nowMs() - KEPT_MS, LIMITS.joinRequestsPerTenant],
    );
    return rows.map((row) => ({
      id: row.id,
      displayName: row.display_name,
      note: row.note,
      createdAtMs: row.created_at_ms,
    }));
  }

  /** Let somebody in who asked. Throws `not_found`, `forbidden`, `limit_reached`. */
  async approve(tenantId: TenantId, id: string, role: Role, by: Actor): Promise<void> {
    const { invitations: ceiling } = await readCeilings(this.control, tenantId);
    assertAllowed(mayGive(authorityOf(by), role, ceiling));
    const nowMs = this.clock.nowMs();
    const userId = await this.getAsker(tenantId, id);
    const target = { kind: "join_request", id };
    const joined = auditRecord(
      nowMs,
      by,
      "member.joined",
      { kind: "member", id: userId },
      { joinRequest: id },
    );
    const outcome = await this.control.write({
      statements: [
        standsStatement(tenantId, by, role),
        {
          sql: "DELETE FROM join_requests WHERE tenant_id = ? AND id = ?",
          params: [tenantId, id],
          expect: 1,
        },
        ...joinStatements(tenantId, userId, role, nowMs),
        auditStatement(tenantId, auditRecord(nowMs, by, "join_request.approved", target, { role, userId })),
        memberAudit(tenantId, userId, joined),
      ],
    });
    if (outcome.committed) return;
    if (outcome.refusedAt === 0) throw changedMeanwhile();
    if (outcome.refusedAt === 2) throw tenantIsFull();
    throw gone();
  }

  /** Send somebody away who asked; they are not told. Throws `not_found`, `forbidden`. */
  async refuse(tenantId: TenantId, id: string, by: Actor): Promise<void> {
    const nowMs = this.clock.nowMs();
    const userId = await this.getAsker(tenantId, id);
    const record = auditRecord(nowMs, by, "join_request.refused", { kind: "join_request", id }, { userId });
    const outcome = await this.control.write({
      statements: [
        standsStatement(tenantId, by, "admin"),
        {
          sql: "DELETE FROM join_requests WHERE tenant_id = ? AND id = ?",
          params: [tenantId, id],
          expect: 1,
        },
        auditStatement(tenantId, record),
      ],
    });
    if (outcome.committed) return;
    throw outcome.refusedAt === 0 ? changedMeanwhile() : gone();
  }

  private async getAsker(tenantId: TenantId, id: string): Promise<UserId> {
    const row = await this.control.find<{ user_id: string }>(
      "SELECT user_id FROM join_requests WHERE tenant_id = ? AND id = ? AND created_at_ms > ?",
      [tenantId, id, this.clock.nowMs() - KEPT_MS],
    );
    if (row === undefined) throw gone();
    return row.user_id as UserId;
  }
}

function gone(): AppError {
  return new AppError("not_found", "There is no such request any more.");
}
