/**
 * Handing a tenant over: an owner offers, a member accepts, both in one tenant, in control.db. Owns: the offers.
 * Refuses to know: step-up and sessions (routes ask for them). An offer ends when either side's role changes or either
 * leaves (triggers in migrations/control/0008-membership.sql), and after seven days.
 */
import { auditRecord, auditStatement } from "../../../audit/record.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { AppError } from "../../../kernel/errors.ts";
import { newId, type TenantId, type UserId } from "../../../kernel/ids.ts";
import { LIMITS } from "../../../kernel/limits.ts";
import type { Database } from "../../../storage/database.ts";
import type { Actor } from "../../../tenancy/actor.ts";
import { changedMeanwhile } from "../../members.ts";
import { standsStatement } from "../authority-sql.ts";

/** An open offer. */
export interface OwnershipOffer {
  id: string;
  fromUserId: UserId;
  fromName: string;
  toUserId: UserId;
  toName: string;
  createdAtMs: number;
  expiresAtMs: number;
}

interface OfferRow {
  id: string;
  from_user_id: string;
  from_name: string;
  to_user_id: string;
  to_name: string;
  created_at_ms: number;
  expires_at_ms: number;
}

/** How long an offer stands. */
export const OFFER_MS = 7 * 24 * 3600 * 1000;

const SELECT = `SELECT o.id, o.from_user_id, f.display_name AS from_name, o.to_user_id, t.display_name AS to_name,
    o.created_at_ms, o.expires_at_ms
  FROM ownership_offers o JOIN users f ON f.id = o.from_user_id JOIN users t ON t.id = o.to_user_id
  WHERE o.tenant_id = ? AND o.expires_at_ms > ?`;

/** See the head of this file. */
export class OwnershipOffers {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /**
   * Offer one's ownership to a member who owns nothing here yet. Throws `forbidden` to whoever is no owner, `not_found`
   * for strangers, `conflict` for owners and while another offer stands, `invalid_request` for a service account.
   */
  async create(tenantId: TenantId, from: UserId, to: UserId, by: Actor): Promise<OwnershipOffer> {
    const nowMs = this.clock.nowMs();
    const id = newId();
    const target = { kind: "member", id: to };
    const outcome = await this.control.write({
      statements: [
        standsStatement(tenantId, by, "owner"),
        {
          sql: "DELETE FROM ownership_offers WHERE tenant_id = ? AND from_user_id = ? AND expires_at_ms <= ?",
          params: [tenantId, from, nowMs],
        },
        {
          sql: `INSERT INTO ownership_offers (tenant_id, id, from_user_id, to_user_id, created_at_ms, expires_at_ms)
            SELECT m.tenant_id, ?, f.user_id, m.user_id, ?, ?
            FROM members m JOIN users u ON u.id = m.user_id JOIN members f ON f.tenant_id = m.tenant_id
            WHERE m.tenant_id = ? AND m.user_id = ? AND m.role <> 'owner' AND u.service_of IS NULL
              AND f.user_id = ? AND f.role = 'owner'
            ON CONFLICT DO NOTHING`,
          params: [id, nowMs, nowMs + OFFER_MS, tenantId, to, from],
          expect: 1,
        },
        auditStatement(tenantId, auditRecord(nowMs, by, "ownership.offered", target, { offer: id })),
      ],
    });
    if (outcome.committed) return this.get(tenantId, id);
    throw outcome.refusedAt === 0 ? changedMeanwhile() : await this.refusal(tenantId, to);
  }

  /** Open offers of a tenant. */
  async list(tenantId: TenantId): Promise<OwnershipOffer[]> {
    const rows = await this.control.list<OfferRow>(`${SELECT} ORDER BY o.created_at_ms, o.id LIMIT ?`, [
      tenantId,
      this.clock.nowMs(),
      LIMITS.listRows,
    ]);
    return rows.map(toOffer);
  }

  /** Open offers to one person. */
  async listTo(tenantId: TenantId, userId: UserId): Promise<OwnershipOffer[]> {
    return (await this.list(tenantId)).filter((offer) => offer.toUserId === userId);
  }

  /**
   * Accept: the one who was asked owns the tenant, the one who asked is an admin from now on, in one commit. Throws
   * `not_found` to everybody else and when the offer stands no more.
   */
  async accept(tenantId: TenantId, id: string, userId: UserId, by: Actor): Promise<void> {
    const nowMs = this.clock.nowMs();
    const offer = await this.get(tenantId, id);
    if (offer.toUserId !== userId) throw gone();
    const details = { offer: id, from: offer.fromUserId, fromName: offer.fromName };
    const target = { kind: "member", id: userId, name: offer.toName };
    const outcome = await this.control.write({
      statements: [
        {
          sql: `DELETE FROM ownership_offers WHERE tenant_id = ? AND id = ? AND to_user_id = ? AND expires_at_ms > ?
            AND EXISTS (SELECT 1 FROM members WHERE tenant_id = ? AND user_id = ? AND role = 'owner')`,
          params: [tenantId, id, userId, nowMs, tenantId, offer.fromUserId],
          expect: 1,
        },
        // ORDER: the new owner first, so that there is one at every moment.
        {
          sql: "UPDATE members SET role = 'owner' WHERE tenant_id = ? AND user_id = ? AND role <> 'owner'",
          params: [tenantId, userId],
          expect: 1,
        },
        {
          sql: "UPDATE members SET role = 'admin' WHERE tenant_id = ? AND user_id = ? AND role = 'owner'",
          params: [tenantId, offer.fromUserId],
          expect: 1,
        },
        auditStatement(tenantId, auditRecord(nowMs, by, "ownership.accepted", target, details)),
      ],
    });
    if (!outcome.committed) throw gone();
  }

  /** Take an offer back or turn it down; either side may. Throws `not_found` to everybody else. */
  async end(tenantId: TenantId, id: string, userId: UserId, by: Actor): Promise<void> {
    const nowMs = this.clock.nowMs();
    const offer = await this.get(tenantId, id);
    const isMine = offer.fromUserId === userId;
    const target = { kind: "member", id: offer.toUserId, name: offer.toName };
    const details = { offer: id, from: offer.fromUserId, isWithdrawn: isMine };
    const outcome = await this.control.write({
      statements: [
        {
          sql: `DELETE FROM ownership_offers WHERE tenant_id = ? AND id = ? AND ? IN (from_user_id, to_user_id)`,
          params: [tenantId, id, userId],
          expect: 1,
        },
        auditStatement(tenantId, auditRecord(nowMs, by, "ownership.refused", target, details)),
      ],
    });
    if (!outcome.committed) throw gone();
  }

  private async get(tenantId: TenantId, id: string): Promise<OwnershipOffer> {
    const row = await this.control.find<OfferRow>(`${SELECT} AND o.id = ?`, [
      tenantId,
      this.clock.nowMs(),
      id,
    ]);
    if (row === undefined) throw gone();
    return toOffer(row);
  }

  private async refusal(tenantId: TenantId, to: UserId): Promise<AppError> {
    const row = await this.control.find<{ role: string; service_of: string | null }>(
      `SELECT m.role, u.service_of FROM members m JOIN users u ON u.id = m.user_id
        WHERE m.tenant_id = ? AND m.user_id = ?`,
      [tenantId, to],
    );
    if (row === undefined) return new AppError("not_found", "That person is not a member of this tenant.");
    if (row.service_of !== null) {
      return new AppError("invalid_request", "A service account cannot own a tenant.");
    }
    if (row.role === "owner") return new AppError("conflict", "They own this tenant already.");
    return new AppError("conflict", "You have offered it to somebody already. Withdraw that offer first.");
  }
}

function gone(): AppError {
  return new AppError("not_found", "There is no such offer any more.");
}

function toOffer(row: OfferRow): OwnershipOffer {
  return {
    id: row.id,
    fromUserId: row.from_user_id as UserId,
    fromName: row.from_name,
    toUserId: row.to_user_id as UserId,
    toName: row.to_name,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
  };
}
