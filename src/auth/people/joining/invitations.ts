/**
 * Invitations by link, in control.db. Owns: their secret, their life, that each lets in one person once and never more
 * than its inviter could let in now. Refuses to know: how a link reaches anybody, sessions, transports.
 */
import { auditRecord, auditStatement } from "../../../audit/record.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { AppError } from "../../../kernel/errors.ts";
import { newId, newSecret, type TenantId } from "../../../kernel/ids.ts";
import { LIMITS } from "../../../kernel/limits.ts";
import type { Database, Statement } from "../../../storage/database.ts";
import type { Actor } from "../../../tenancy/actor.ts";
import type { Role } from "../../../tenancy/scopes.ts";
import { type AuthKeys, hashSecret } from "../../keys.ts";
import { assertAllowed, changedMeanwhile, tenantIsFull } from "../../members.ts";
import { standsStatement } from "../authority-sql.ts";
import { joinStatements, memberAudit } from "../membership-sql.ts";
import { authorityOf, mayGive } from "../role-rules.ts";
import { readCeilings } from "../tenant-settings.ts";
import {
  type Accepting,
  checkNote,
  type Invitation,
  type InvitationTie,
  type LookedAt,
  needsOf,
} from "./invitation.ts";
import { OPEN_INVITATIONS, type OpenRow, tieFits, toInvitation } from "./invitation-sql.ts";

const DAY_MS = 24 * 3600 * 1000;
/** Ended invitations are kept this long, for whoever looks into what happened. */
const KEPT_MS = 30 * DAY_MS;

/** Looks up the issuer of one of the deployment's sign-in providers. */
export type IssuerOf = (provider: string) => string | undefined;

/** What a new invitation says. */
export interface NewInvitation {
  role: Role;
  /** Whole days, 1 to 30. */
  expiresInDays: number;
  tie: InvitationTie;
  note?: string | null | undefined;
}

/** See the head of this file. */
export class Invitations {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly hashKey: Buffer;
  private readonly issuerOf: IssuerOf;

  constructor(control: Database, clock: Clock, keys: Pick<AuthKeys, "hashKey">, issuerOf: IssuerOf) {
    this.control = control;
    this.clock = clock;
    this.hashKey = keys.hashKey;
    this.issuerOf = issuerOf;
  }

  /**
   * Make an invitation; the secret is in the answer and nowhere else, ever. Throws `forbidden` for a role that `by` may
   * not give, `limit_reached`, `invalid_request` for a bad note or a provider that is not there.
   */
  async create(
    tenantId: TenantId,
    input: NewInvitation,
    by: Actor,
  ): Promise<{ secret: string; invitation: Invitation }> {
    const { invitations: ceiling } = await readCeilings(this.control, tenantId);
    assertAllowed(mayGive(authorityOf(by), input.role, ceiling));
    const secret = newSecret(32);
    const nowMs = this.clock.nowMs();
    const invitation: Invitation = {
      id: newId(),
      tenantId,
      role: input.role,
      note: checkNote(input.note),
      tie: input.tie,
      createdAtMs: nowMs,
      createdBy: by.name,
      expiresAtMs: nowMs + daysToMs(input.expiresInDays),
    };
    const target = { kind: "invitation", id: invitation.id };
    const details = { role: input.role, tie: input.tie.kind, expiresAtMs: invitation.expiresAtMs };
    const outcome = await this.control.write({
      statements: [
        standsStatement(tenantId, by, input.role),
        ...this.limitStatements(invitation, by, nowMs),
        this.insertStatement(invitation, secret, by),
        auditStatement(tenantId, auditRecord(nowMs, by, "invitation.created", target, details)),
      ],
    });
    if (outcome.committed) return { secret, invitation };
    throw outcome.refusedAt === 0 ? changedMeanwhile() : tooMany();
  }

  /** Invitations that can still be accepted, newest first, as far as their inviters still stand. */
  async list(tenantId: TenantId): Promise<Invitation[]> {
    const rows = await this.control.list<OpenRow>(
      `${OPEN_INVITATIONS} AND i.tenant_id = ? ORDER BY i.created_at_ms DESC, i.id DESC LIMIT ?`,
      [this.clock.nowMs(), tenantId, LIMITS.listRows],
    );
    return rows.filter((row) => row.granted !== null).map(toInvitation);
  }

  /** Take an invitation back; throws `not_found` when there is none open, also for another tenant's. */
  async revoke(tenantId: TenantId, id: string, by: Actor): Promise<void> {
    const nowMs = this.clock.nowMs();
    const record = auditRecord(nowMs, by, "invitation.revoked", { kind: "invitation", id });
    const outcome = await this.control.write({
      statements: [
        standsStatement(tenantId, by, "admin"),
        {
          sql: `UPDATE invitations SET revoked_at_ms = ? WHERE tenant_id = ? AND id = ? AND accepted_at_ms IS NULL
            AND revoked_at_ms IS NULL AND expires_at_ms > ?`,
          params: [nowMs, tenantId, id, nowMs],
          expect: 1,
        },
        auditStatement(tenantId, record),
      ],
    });
    if (outcome.committed) return;
    if (outcome.refusedAt === 0) throw changedMeanwhile();
    throw new AppError("not_found", "There is no such open invitation.");
  }

  /**
   * What a link offers; throws `link_invalid` for unknown, used, expired, revoked and orphaned ones alike.
   * @param at the tenant at whose own host it is shown, if any; another tenant's link is as good as none there
   */
  async look(secret: string, at: TenantId | null = null): Promise<LookedAt> {
    const row = await this.getOpen(secret, at);
    return {
      tenantName: row.tenant_name,
      role: row.granted,
      invitedBy: row.inviter_name,
      expiresAtMs: row.expires_at_ms,
      needs: needsOf(toInvitation(row).tie),
    };
  }

  /**
   * Use a link up and join, in one commit. Throws `link_invalid` as `look`; `forbidden` when it is tied to somebody
   * else, `conflict` when they are in already, `limit_reached` when the tenant is full: these leave it unused.
   * `step_up_required` when they were in before and have not proved who they are since.
   */
  async accept(
    secret: string,
    person: Accepting,
    by: Actor,
    at: TenantId | null = null,
  ): Promise<{ slug: string; role: Role }> {
    // A role may shrink between reading and committing; then the commit refuses, and it is read once more.
    for (let tries = 0; tries < 5; tries++) {
      const row = await this.getOpen(secret, at);
      await this.assertFits(row, person);
      const joined = await this.join(row, secret, person, by);
      if (joined) return { slug: row.slug, role: row.granted };
    }
    throw new AppError("overloaded", "The invitation is changing just now. Try again.");
  }

  private async getOpen(secret: string, at: TenantId | null): Promise<OpenRow & { granted: Role }> {
    // SECURITY: one hash and one lookup whatever the secret is, and one answer to all that do not count.
    const row = await this.control.find<OpenRow>(`${OPEN_INVITATIONS} AND i.hash = ?`, [
      this.clock.nowMs(),
      this.hash(secret),
    ]);
    const isElsewhere = at !== null && row?.tenant_id !== at;
    if (row === undefined || row.granted === null || row.status !== "active" || isElsewhere) {
      throw new AppError("link_invalid", "This invitation was used already or has ended. Ask for a new one.");
    }
    return { ...row, granted: row.granted };
  }

  private async assertFits(row: OpenRow, person: Accepting): Promise<void> {
    const fits = tieFits(row, person.userId);
    const found = await this.control.find<{ is_member: number; fits: number; left_at_ms: number | null }>(
      `SELECT EXISTS (SELECT 1 FROM members WHERE tenant_id = ? AND user_id = ?) AS is_member, (${fits.sql}) AS fits,
        (SELECT left_at_ms FROM former_members WHERE tenant_id = ? AND user_id = ?) AS left_at_ms`,
      [row.tenant_id, person.userId, ...fits.params, row.tenant_id, person.userId],
    );
    if (found?.is_member === 1) throw new AppError("conflict", "You are already a member of this tenant.");
    if (found?.fits !== 1) throw new AppError("forbidden", "This invitation is for somebody else.");
    // SECURITY: a browser from before somebody was put out must not come back with them (ATTACKS AU-17).
    if (found.left_at_ms !== null && person.authAtMs <= found.left_at_ms) {
      throw new AppError("step_up_required", "Sign in once more to confirm that it is you.");
    }
  }

  /** False when something changed since the row was read. */
  private async join(
    row: OpenRow & { granted: Role },
    secret: string,
    person: Accepting,
    by: Actor,
  ): Promise<boolean> {
    const nowMs = this.clock.nowMs();
    const tenantId = row.tenant_id as TenantId;
    const fits = tieFits(row, person.userId);
    const target = { kind: "invitation", id: row.id };
    const details = { role: row.granted, invitedAs: row.role, invitedBy: row.inviter_id };
    const outcome = await this.control.write({
      statements: [
        {
          // SECURITY: everything that decides is looked at once more, inside the commit that uses the link up.
          sql: `UPDATE invitations SET accepted_at_ms = ?, accepted_by = ? WHERE hash = ? AND (${fits.sql})
            AND EXISTS (SELECT 1 FROM (${OPEN_INVITATIONS} AND i.hash = ?) AS o
              WHERE o.granted = ? AND o.status = 'active')`,
          params: [
            ...[nowMs, person.userId, this.hash(secret), ...fits.params],
            ...[nowMs, this.hash(secret), row.granted],
          ],
          expect: 1,
        },
        ...joinStatements(tenantId, person.userId, row.granted, nowMs),
        auditStatement(tenantId, auditRecord(nowMs, by, "invitation.accepted", target, details)),
        memberAudit(
          tenantId,
          person.userId,
          auditRecord(
            nowMs,
            by,
            "member.joined",
            { kind: "member", id: person.userId },
            { invitation: row.id },
          ),
        ),
      ],
    });
    if (outcome.committed) return true;
    if (outcome.refusedAt === 1) throw tenantIsFull();
    if (outcome.refusedAt === 2 && !(await this.isMember(tenantId, person))) {
      throw new AppError("forbidden", "This account belongs to another organization and stays there.");
    }
    return false;
  }

  private async isMember(tenantId: TenantId, { userId }: Accepting): Promise<boolean> {
    const row = await this.control.find("SELECT 1 FROM members WHERE tenant_id = ? AND user_id = ?", [
      tenantId,
      userId,
    ]);
    return row !== undefined;
  }

  private limitStatements(invitation: Invitation, by: Actor, nowMs: number): Statement[] {
    const { tenantId, tie } = invitation;
    const open = "accepted_at_ms IS NULL AND revoked_at_ms IS NULL AND expires_at_ms > ?";
    const atMost = (where: string, params: (string | number)[], limit: number): Statement => ({
      sql: `SELECT 1 WHERE (SELECT count(*) FROM invitations WHERE tenant_id = ? AND ${where}) < ?`,
      params: [tenantId, ...params, limit],
      expect: 1,
    });
    const dayAgoMs = nowMs - DAY_MS;
    const recipient =
      tie.kind === "email"
        ? [atMost(`${open} AND tie_email = ?`, [nowMs, tie.email], LIMITS.openInvitationsPerRecipient)]
        : [];
    return [
      atMost(open, [nowMs], LIMITS.openInvitationsPerTenant),
      atMost("created_at_ms > ?", [dayAgoMs], LIMITS.invitationsPerTenantAndDay),
      atMost("created_at_ms > ? AND inviter_id = ?", [dayAgoMs, by.id], LIMITS.invitationsPerInviterAndDay),
      ...recipient,
      {
        sql: `DELETE FROM invitations WHERE tenant_id = ? AND created_at_ms <= ?`,
        params: [tenantId, nowMs - KEPT_MS - daysToMs(30)],
      },
    ];
  }

  private insertStatement(invitation: Invitation, secret: string, by: Actor): Statement {
    const { tie } = invitation;
    const issuer = tie.kind === "identity" ? this.issuerOf(tie.provider) : undefined;
    if (tie.kind === "identity" && issuer === undefined) {
      throw new AppError("invalid_request", `There is no sign-in provider "${tie.provider}".`, {
        details: { field: "identity" },
      });
    }
    return {
      sql: `INSERT INTO invitations (tenant_id, id, hash, role, note, tie_email, tie_provider, tie_issuer, tie_subject,
          inviter_kind, inviter_id, inviter_name, created_at_ms, expires_at_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      params: [
        ...[invitation.tenantId, invitation.id, this.hash(secret), invitation.role, invitation.note],
        tie.kind === "email" ? tie.email : null,
        ...(tie.kind === "identity" ? [tie.provider, issuer ?? null, tie.subject] : [null, null, null]),
        ...[inviterKind(by), by.id, by.name, invitation.createdAtMs, invitation.expiresAtMs],
      ],
      expect: 1,
    };
  }

  private hash(secret: string): string {
    return hashSecret(this.hashKey, "invitation", secret);
  }
}

function inviterKind(by: Actor): "person" | "token" | "machine" {
  if (by.kind === "person" || by.kind === "token") return by.kind;
  return "machine";
}

function daysToMs(days: number): number {
  if (Number.isSafeInteger(days) && days >= 1 && days <= 30) return days * DAY_MS;
  throw new AppError("invalid_request", "An invitation lives 1 to 30 days.", {
    details: { field: "expiresInDays" },
  });
}

function tooMany(): AppError {
  return new AppError(
    "limit_reached",
    `Too many invitations: at most ${LIMITS.openInvitationsPerTenant} may be open, ` +
      `${LIMITS.openInvitationsPerRecipient} of them for one address, and ` +
      `${LIMITS.invitationsPerInviterAndDay} made a day. Revoke some or wait.`,
  );
}
