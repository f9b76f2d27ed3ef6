/**
 * Who belongs to a tenant and as what, in control.db. Owns: memberships, and that no tenant loses its last owner.
 * Refuses to know: who may change them (routes and commands do).
 */
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { TenantId, UserId } from "../kernel/ids.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { Database, Statement } from "../storage/database.ts";
import type { Role } from "../tenancy/scopes.ts";

/** A person in a tenant. */
export interface Member {
  tenantId: TenantId;
  userId: UserId;
  displayName: string;
  role: Role;
  /** When they joined this tenant. */
  createdAtMs: number;
}

interface MemberRow {
  tenant_id: string;
  user_id: string;
  display_name: string;
  role: string;
  created_at_ms: number;
}

/** A tenant seen by one of its people. */
export interface Membership {
  tenantId: TenantId;
  slug: string;
  displayName: string;
  role: Role;
  status: string;
}

const SELECT = `SELECT m.tenant_id, m.user_id, u.display_name, m.role, m.created_at_ms
  FROM members m JOIN users u ON u.id = m.user_id`;

/** True in SQL when the row at hand may stop being an owner; one parameter: the tenant. */
const NOT_LAST_OWNER = `(role <> 'owner' OR (SELECT count(*) FROM members WHERE tenant_id = ? AND role = 'owner') > 1)`;

/** See the head of this file. */
export class Members {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  async find(tenantId: TenantId, userId: UserId): Promise<Member | undefined> {
    const row = await this.control.find<MemberRow>(`${SELECT} WHERE m.tenant_id = ? AND m.user_id = ?`, [
      tenantId,
      userId,
    ]);
    return row === undefined ? undefined : toMember(row);
  }

  /** People of a tenant, longest-standing first. */
  async list(tenantId: TenantId, limit: number = LIMITS.listRows): Promise<Member[]> {
    const rows = await this.control.list<MemberRow>(
      `${SELECT} WHERE m.tenant_id = ? ORDER BY m.created_at_ms, m.user_id LIMIT ?`,
      [tenantId, limit],
    );
    return rows.map(toMember);
  }

  /** Tenants of a person, by slug; tenants that are being deleted are left out. */
  async listOfUser(userId: UserId): Promise<Membership[]> {
    const rows = await this.control.list<{
      id: string;
      slug: string;
      display_name: string;
      role: string;
      status: string;
    }>(
      `SELECT t.id, t.slug, t.display_name, m.role, t.status FROM members m JOIN tenants t ON t.id = m.tenant_id
        WHERE m.user_id = ? AND t.status <> 'deleting' ORDER BY t.slug LIMIT ?`,
      [userId, LIMITS.listRows],
    );
    return rows.map((row) => ({
      tenantId: row.id as TenantId,
      slug: row.slug,
      displayName: row.display_name,
      role: row.role as Role,
      status: row.status,
    }));
  }

  /** Let a person in; throws `conflict` when they are in already. */
  async add(tenantId: TenantId, userId: UserId, role: Role): Promise<void> {
    const outcome = await this.control.write({
      statements: [insertMember(tenantId, userId, role, this.clock.nowMs())],
    });
    if (!outcome.committed) throw new AppError("conflict", "That person is already a member of this tenant.");
  }

  /** Change a role; throws `last_owner` when nobody would own the tenant any more, `not_found` for strangers. */
  async setRole(tenantId: TenantId, userId: UserId, role: Role): Promise<void> {
    const outcome = await this.control.write({
      statements: [
        {
          // SECURITY: decided inside the statement; two owners demoting each other at once must leave one.
          sql: `UPDATE members SET role = ? WHERE tenant_id = ? AND user_id = ? AND (? = 'owner' OR ${NOT_LAST_OWNER})`,
          params: [role, tenantId, userId, role, tenantId],
          expect: 1,
        },
      ],
    });
    if (!outcome.committed) throw await this.refusal(tenantId, userId);
  }

  /**
   * Put a person out, and with them all tokens that act for them or that they made, so that a later return does not
   * revive those. Throws `last_owner`, `not_found`.
   */
  async remove(tenantId: TenantId, userId: UserId): Promise<void> {
    const nowMs = this.clock.nowMs();
    const outcome = await this.control.write({
      statements: [
        {
          sql: `DELETE FROM members WHERE tenant_id = ? AND user_id = ? AND ${NOT_LAST_OWNER}`,
          params: [tenantId, userId, tenantId],
          expect: 1,
        },
        {
          sql: `UPDATE api_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND (user_id = ? OR created_by = ?)
            AND revoked_at_ms IS NULL`,
          params: [nowMs, tenantId, userId, userId],
        },
        {
          sql: `UPDATE device_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND user_id = ?
            AND revoked_at_ms IS NULL`,
          params: [nowMs, tenantId, userId],
        },
      ],
    });
    if (!outcome.committed) throw await this.refusal(tenantId, userId);
  }

  private async refusal(tenantId: TenantId, userId: UserId): Promise<AppError> {
    if ((await this.find(tenantId, userId)) === undefined) {
      return new AppError("not_found", "That person is not a member of this tenant.");
    }
    return new AppError(
      "last_owner",
      "A tenant keeps at least one owner. Make somebody else an owner first.",
    );
  }
}

/** The statement that lets a person in, for batches that do more. */
export function insertMember(tenantId: TenantId, userId: UserId, role: Role, nowMs: number): Statement {
  return {
    sql: `INSERT INTO members (tenant_id, user_id, role, created_at_ms) VALUES (?, ?, ?, ?)
      ON CONFLICT DO NOTHING`,
    params: [tenantId, userId, role, nowMs],
    expect: 1,
  };
}

function toMember(row: MemberRow): Member {
  return {
    tenantId: row.tenant_id as TenantId,
    userId: row.user_id as UserId,
    displayName: row.display_name,
    role: row.role as Role,
    createdAtMs: row.created_at_ms,
  };
}
