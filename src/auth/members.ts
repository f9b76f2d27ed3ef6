/**
 * Who belongs to a tenant and as what, in control.db. Owns: memberships, that no tenant loses its last owner, that
 * nobody gives or takes more than the role rules allow, that a return revives nothing.
 * Refuses to know: how somebody comes to join (invitations, requests and commands do), transports.
 */
import { auditRecord } from "../audit/record.ts";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { TenantId, UserId } from "../kernel/ids.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { Database, Statement } from "../storage/database.ts";
import { type Actor, SYSTEM } from "../tenancy/actor.ts";
import type { Role } from "../tenancy/scopes.ts";
import { LastUsed } from "./guard/last-used.ts";
import { actorRank, rankSql, standsStatement } from "./people/authority-sql.ts";
import { insertMember, joinStatements, memberAudit, removeStatements } from "./people/membership-sql.ts";
import { authorityOf, mayChange, mayGive, mayRemove, rankOf, type Verdict } from "./people/role-rules.ts";
import { readCeilings } from "./people/tenant-settings.ts";

export { insertMember };

/** A person, or an account without one, that acts by tokens only. */
export type MemberKind = "person" | "service";

/** Somebody in a tenant. */
export interface Member {
  tenantId: TenantId;
  userId: UserId;
  displayName: string;
  role: Role;
  kind: MemberKind;
  /** When they joined this tenant. */
  createdAtMs: number;
  /** Proofs of who they are that are older than this do not count here. */
  validAfterMs: number;
}

/** The same with when they were last seen in this tenant; null for never. */
export interface SeenMember extends Member {
  lastSeenAtMs: number | null;
}

interface MemberRow {
  tenant_id: string;
  user_id: string;
  display_name: string;
  role: string;
  service_of: string | null;
  created_at_ms: number;
  valid_after_ms: number;
}

/** A tenant seen by one of its people. */
export interface Membership {
  tenantId: TenantId;
  slug: string;
  displayName: string;
  role: Role;
  status: string;
  /** Whether nobody gave the tenant a name of its own yet. */
  needsName: boolean;
}

const COLUMNS =
  "m.tenant_id, m.user_id, u.display_name, m.role, u.service_of, m.created_at_ms, m.valid_after_ms";
const FROM = "FROM members m JOIN users u ON u.id = m.user_id";

/** What the member did here with a browser, a token or a device; never what they did elsewhere. */
const SEEN = `max(coalesce(m.last_seen_at_ms, 0),
  coalesce((SELECT max(k.last_used_at_ms) FROM api_tokens k WHERE k.tenant_id = m.tenant_id AND k.user_id = m.user_id), 0),
  coalesce((SELECT max(d.last_used_at_ms) FROM device_tokens d WHERE d.tenant_id = m.tenant_id AND d.user_id = m.user_id), 0))`;

/** True in SQL when the row at hand may stop being an owner; one parameter: the tenant. */
const NOT_LAST_OWNER = `(role <> 'owner' OR (SELECT count(*) FROM members WHERE tenant_id = ? AND role = 'owner') > 1)`;

const SEEN_PERIOD_MS = 5 * 60 * 1000;

/** See the head of this file. */
export class Members {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly lastSeen: LastUsed;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
    this.lastSeen = new LastUsed(control, clock, SEEN_PERIOD_MS);
  }

  async find(tenantId: TenantId, userId: UserId): Promise<Member | undefined> {
    const row = await this.control.find<MemberRow>(
      `SELECT ${COLUMNS} ${FROM} WHERE m.tenant_id = ? AND m.user_id = ?`,
      [tenantId, userId],
    );
    return row === undefined ? undefined : toMember(row);
  }

  /** The same; throws `not_found`, also for people of other tenants. */
  async get(tenantId: TenantId, userId: UserId): Promise<Member> {
    const member = await this.find(tenantId, userId);
    if (member === undefined) throw strangers();
    return member;
  }

  /** Members of a tenant, longest-standing first. */
  async list(tenantId: TenantId, limit: number = LIMITS.listRows): Promise<Member[]> {
    const rows = await this.control.list<MemberRow>(
      `SELECT ${COLUMNS} ${FROM} WHERE m.tenant_id = ? ORDER BY m.created_at_ms, m.user_id LIMIT ?`,
      [tenantId, limit],
    );
    return rows.map(toMember);
  }

  /** The same, with when each was last seen here. */
  async listSeen(tenantId: TenantId): Promise<SeenMember[]> {
    const rows = await this.control.list<MemberRow & { seen_at_ms: number }>(
      `SELECT ${COLUMNS}, ${SEEN} AS seen_at_ms ${FROM} WHERE m.tenant_id = ?
        ORDER BY m.created_at_ms, m.user_id LIMIT ?`,
      [tenantId, LIMITS.listRows],
    );
    return rows.map((row) => ({ ...toMember(row), lastSeenAtMs: row.seen_at_ms || null }));
  }

  /** Tenants of a person, by slug; tenants that are being deleted are left out. */
  async listOfUser(userId: UserId): Promise<Membership[]> {
    const rows = await this.control.list<{
      id: string;
      slug: string;
      display_name: string;
      role: string;
      status: string;
      needs_name: number | null;
    }>(
      `SELECT t.id, t.slug, t.display_name, m.role, t.status, s.needs_name
        FROM members m JOIN tenants t ON t.id = m.tenant_id LEFT JOIN membership_rules s ON s.tenant_id = t.id
        WHERE m.user_id = ? AND t.status <> 'deleting' ORDER BY t.slug LIMIT ?`,
      [userId, LIMITS.listRows],
    );
    return rows.map((row) => ({
      tenantId: row.id as TenantId,
      slug: row.slug,
      displayName: row.display_name,
      role: row.role as Role,
      status: row.status,
      needsName: row.needs_name === 1,
    }));
  }

  /**
   * Let a person in. Throws `conflict` when they are in already, `limit_reached` when the tenant is full, `forbidden`
   * for a role that `by` may not give.
   */
  async add(tenantId: TenantId, userId: UserId, role: Role, by: Actor = SYSTEM): Promise<void> {
    const { invitations } = await readCeilings(this.control, tenantId);
    assertAllowed(mayGive(authorityOf(by), role, invitations));
    const nowMs = this.clock.nowMs();
    const record = auditRecord(nowMs, by, "member.joined", { kind: "member", id: userId }, { role });
    const join = joinStatements(tenantId, userId, role, nowMs);
    const outcome = await this.control.write({
      statements: [standsStatement(tenantId, by, role), ...join, memberAudit(tenantId, userId, record)],
    });
    if (outcome.committed) return;
    if (outcome.refusedAt === 0) throw changedMeanwhile();
    if ((await this.find(tenantId, userId)) !== undefined) {
      throw new AppError("conflict", "That person is already a member of this tenant.");
    }
    if (outcome.refusedAt === 1) throw tenantIsFull();
    throw new AppError("not_found", "There is no such person.");
  }

  /**
   * Change a role. Throws `last_owner` when nobody would own the tenant any more, `not_found` for strangers,
   * `forbidden` for what `by` may not give or take.
   */
  async setRole(tenantId: TenantId, userId: UserId, role: Role, by: Actor = SYSTEM): Promise<void> {
    const member = await this.get(tenantId, userId);
    const ceilings = await readCeilings(this.control, tenantId);
    const ceiling = member.kind === "service" ? ceilings.serviceAccounts : ceilings.roles;
    assertAllowed(mayChange(authorityOf(by), member.role, role, ceiling));
    if (member.kind === "service" && role === "owner") {
      throw new AppError("forbidden", "A service account cannot own a tenant.");
    }
    if (member.role === role) return;
    const record = auditRecord(
      this.clock.nowMs(),
      by,
      "member.role_changed",
      { kind: "member", id: userId },
      { after: role },
    );
    const held = actorRank(tenantId, by);
    const outcome = await this.control.write({
      statements: [
        memberAudit(tenantId, userId, record, "before"),
        // SECURITY: decided inside the commit; whoever was demoted a moment ago decides nothing any more, and a member
        // who became an owner a moment ago is touched by owners only.
        {
          sql: `SELECT 1 FROM members WHERE tenant_id = ? AND user_id = ?
            AND ${held.sql} >= max(3, ?, ${rankSql("role")} * (role = 'owner'))`,
          params: [tenantId, userId, ...held.params, rankOf(role)],
          expect: 1,
        },
        {
          // SECURITY: two owners demoting each other at once must leave one.
          sql: `UPDATE members SET role = ? WHERE tenant_id = ? AND user_id = ? AND (? = 'owner' OR ${NOT_LAST_OWNER})`,
          params: [role, tenantId, userId, role, tenantId],
          expect: 1,
        },
      ],
    });
    if (!outcome.committed) throw refusal(outcome.refusedAt);
  }

  /**
   * Put somebody out, and with them all tokens that act for them or that they made and the invitations they gave, so
   * that a later return does not revive those. Throws `last_owner`, `not_found`, `forbidden`.
   */
  async remove(tenantId: TenantId, userId: UserId, by: Actor = SYSTEM): Promise<void> {
    const member = await this.get(tenantId, userId);
    assertAllowed(mayRemove(authorityOf(by), member.role));
    const isService = member.kind === "service";
    const action = isService ? "service_account.removed" : "member.removed";
    const held = actorRank(tenantId, by);
    await this.takeOut(tenantId, userId, by, action, {
      sql: `SELECT 1 FROM members WHERE tenant_id = ? AND user_id = ?
        AND ${held.sql} >= CASE role WHEN 'owner' THEN 4 ELSE 3 END`,
      params: [tenantId, userId, ...held.params],
      expect: 1,
    });
  }

  /** Go oneself; what `remove` says about tokens holds here too. Throws `last_owner`, `not_found`. */
  async leave(tenantId: TenantId, userId: UserId, by: Actor): Promise<void> {
    await this.takeOut(tenantId, userId, by, "member.left", { sql: "SELECT 1", expect: 1 });
  }

  /** Note that a member is here; at most one write in five minutes, never waited for. */
  noteSeen(tenantId: TenantId, userId: UserId): void {
    this.lastSeen.touch(`${tenantId}/${userId}`, (nowMs, staleBeforeMs) => ({
      sql: `UPDATE members SET last_seen_at_ms = ? WHERE tenant_id = ? AND user_id = ?
        AND coalesce(last_seen_at_ms, 0) <= ?`,
      params: [nowMs, tenantId, userId, staleBeforeMs],
    }));
  }

  private async takeOut(tenantId: TenantId, userId: UserId, by: Actor, action: string, guard: Statement) {
    const nowMs = this.clock.nowMs();
    const record = auditRecord(nowMs, by, action, { kind: "member", id: userId });
    const outcome = await this.control.write({
      statements: [
        memberAudit(tenantId, userId, record),
        guard,
        {
          // SECURITY: decided inside the statement, as in setRole.
          sql: `DELETE FROM members WHERE tenant_id = ? AND user_id = ? AND ${NOT_LAST_OWNER}`,
          params: [tenantId, userId, tenantId],
          expect: 1,
        },
        ...removeStatements(tenantId, userId, nowMs),
      ],
    });
    if (!outcome.committed) throw refusal(outcome.refusedAt);
  }
}

/** The refusal that a statement of setRole or takeOut means, by its place. */
function refusal(refusedAt: number): AppError {
  if (refusedAt === 0) return strangers();
  return refusedAt === 1 ? changedMeanwhile() : lastOwner();
}

/** What is thrown when nobody would own a tenant any more. */
export function lastOwner(): AppError {
  return new AppError("last_owner", "A tenant keeps at least one owner. Make somebody else an owner first.");
}

/** What is thrown when every place in a tenant is taken. */
export function tenantIsFull(): AppError {
  return new AppError(
    "limit_reached",
    `Every seat is taken: a plan holds so many people, and no tenant more than ${LIMITS.membersPerTenant} members. Remove somebody, or ask whoever runs the platform for a larger plan.`,
  );
}

/** What is thrown when a rule held at the first look and not at the commit. */
export function changedMeanwhile(): AppError {
  return new AppError("forbidden", "Your role does not allow that any more.");
}

function strangers(): AppError {
  return new AppError("not_found", "That person is not a member of this tenant.");
}

/** Throw `forbidden`, with the reason, unless the rules allow it. */
export function assertAllowed(verdict: Verdict): void {
  if (!verdict.ok) throw new AppError("forbidden", verdict.reason);
}

function toMember(row: MemberRow): Member {
  return {
    tenantId: row.tenant_id as TenantId,
    userId: row.user_id as UserId,
    displayName: row.display_name,
    role: row.role as Role,
    kind: row.service_of === null ? "person" : "service",
    createdAtMs: row.created_at_ms,
    validAfterMs: row.valid_after_ms,
  };
}
