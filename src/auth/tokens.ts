/**
 * API tokens: opaque secrets bound to one tenant, in control.db. Owns: their form, their life, what role they carry now.
 * Refuses to know: transports, throttling.
 *
 * Form: `creel_`, 43 characters of 256 random bits, 6 characters of checksum; secret scanners find it by the prefix
 * and tell a real one from a look-alike by the checksum. Only a keyed hash is stored.
 */

import type { Clock } from "../kernel/clock.ts";
import { sha256Hex } from "../kernel/crypto.ts";
import { AppError } from "../kernel/errors.ts";
import { newId, newSecret, type TenantId, type UserId } from "../kernel/ids.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { Database } from "../storage/database.ts";
import { type Role, roleCovers } from "../tenancy/scopes.ts";
import { checkDisplayName } from "../tenancy/tenants.ts";
import { LastUsed } from "./guard/last-used.ts";
import { type AuthKeys, hashSecret } from "./keys.ts";

/** A token as it may be shown; the secret is not in it. */
export interface ApiToken {
  id: string;
  tenantId: TenantId;
  name: string;
  role: Role;
  /** First characters, for recognising it; grants nothing. */
  prefix: string;
  last4: string;
  /** The person it acts as, or null when it is an identity of its own. */
  userId: UserId | null;
  createdBy: UserId | null;
  createdAtMs: number;
  expiresAtMs: number | null;
  lastUsedAtMs: number | null;
  revokedAtMs: number | null;
}

/** Who makes a token; what they make can never exceed nor outlive their own standing. */
export type TokenMaker =
  | { kind: "machine" }
  | { kind: "person"; userId: UserId; role: Role }
  | { kind: "token"; tokenId: string; role: Role };

/** What a live token grants at this moment. */
export interface TokenGrant {
  tokenId: string;
  tenantId: TenantId;
  /** The person, or the token's own id for a service identity. */
  userId: UserId;
  displayName: string;
  /** The weaker of the token's role and the present role of whoever answers for it. */
  role: Role;
  expiresAtMs: number | null;
}

interface TokenRow {
  tenant_id: string;
  id: string;
  name: string;
  role: string;
  user_id: string | null;
  created_by: string | null;
  prefix: string;
  last4: string;
  created_at_ms: number;
  expires_at_ms: number | null;
  last_used_at_ms: number | null;
  revoked_at_ms: number | null;
}

interface GrantRow extends TokenRow {
  tenant_status: string;
  holder_role: string | null;
  user_name: string | null;
}

const COLUMNS = `k.tenant_id, k.id, k.name, k.role, k.user_id, k.created_by, k.prefix, k.last4, k.created_at_ms,
  k.expires_at_ms, k.last_used_at_ms, k.revoked_at_ms`;

const GRANT = `SELECT ${COLUMNS}, t.status AS tenant_status, m.role AS holder_role, u.display_name AS user_name
  FROM api_tokens k JOIN tenants t ON t.id = k.tenant_id
  LEFT JOIN members m ON m.tenant_id = k.tenant_id AND m.user_id = coalesce(k.user_id, k.created_by)
  LEFT JOIN users u ON u.id = k.user_id`;

const DAY_MS = 24 * 3600 * 1000;
/** Ten years: long enough for anybody, short enough to stay an exact number. */
const LONGEST_LIFE_MS = 3_650 * DAY_MS;

/** See the head of this file. */
export class Tokens {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly hashKey: Buffer;
  private readonly lastUsed: LastUsed;

  constructor(control: Database, clock: Clock, keys: Pick<AuthKeys, "hashKey">) {
    this.control = control;
    this.clock = clock;
    this.hashKey = keys.hashKey;
    this.lastUsed = new LastUsed(control, clock, 60_000);
  }

  /**
   * Make a token; the secret is in the answer and nowhere else, ever. Throws `forbidden` for a role above the
   * maker's, `limit_reached`, `invalid_request`, `not_found` when the person or the making token is gone.
   */
  async create(
    tenantId: TenantId,
    input: {
      name: string;
      role: Role;
      maker: TokenMaker;
      userId?: UserId | null;
      expiresInMs?: number | null;
    },
  ): Promise<{ secret: string; token: ApiToken }> {
    const { maker } = input;
    // SECURITY: minting beyond oneself is refused here, and made harmless at use by the weaker-role rule.
    if (maker.kind !== "machine" && !roleCovers(maker.role, input.role)) {
      throw new AppError("forbidden", "A token cannot hold a stronger role than whoever makes it.");
    }
    const secret = newTokenSecret();
    const nowMs = this.clock.nowMs();
    const token: ApiToken = {
      id: newId(),
      tenantId,
      name: checkDisplayName(input.name),
      role: input.role,
      prefix: secret.slice(0, 10),
      last4: secret.slice(-4),
      userId: input.userId ?? null,
      createdBy: maker.kind === "person" ? maker.userId : null,
      createdAtMs: nowMs,
      expiresAtMs: endOf(nowMs, input.expiresInMs ?? null),
      lastUsedAtMs: null,
      revokedAtMs: null,
    };
    await this.store(token, secret, maker);
    return { secret, token: maker.kind === "token" ? await this.get(tenantId, token.id) : token };
  }

  private async store(token: ApiToken, secret: string, maker: TokenMaker): Promise<void> {
    const parentId = maker.kind === "token" ? maker.tokenId : null;
    const holder = token.userId ?? token.createdBy;
    const outcome = await this.control.write({
      statements: [
        {
          sql: "SELECT 1 WHERE (SELECT count(*) FROM api_tokens WHERE tenant_id = ? AND revoked_at_ms IS NULL) < ?",
          params: [token.tenantId, LIMITS.tokensPerTenant],
          expect: 1,
        },
        {
          sql: "SELECT 1 WHERE ? IS NULL OR EXISTS (SELECT 1 FROM members WHERE tenant_id = ? AND user_id = ?)",
          params: [holder, token.tenantId, holder],
          expect: 1,
        },
        // A child answers to the same person as its parent, and does not outlive it.
        {
          sql: `INSERT INTO api_tokens (tenant_id, id, hash, name, role, user_id, created_by, parent_id, prefix, last4,
              created_at_ms, expires_at_ms)
            SELECT ?, ?, ?, ?, ?, ?, coalesce(?, p.created_by, p.user_id), ?, ?, ?, ?,
              CASE WHEN p.expires_at_ms IS NULL THEN ? ELSE min(p.expires_at_ms, coalesce(?, p.expires_at_ms)) END
            FROM (SELECT 1) LEFT JOIN api_tokens p ON p.tenant_id = ? AND p.id = ?
            WHERE ? IS NULL OR (p.revoked_at_ms IS NULL AND p.id IS NOT NULL)`,
          params: [
            token.tenantId,
            token.id,
            hashSecret(this.hashKey, "api-token", secret),
            token.name,
            token.role,
            token.userId,
            token.createdBy,
            parentId,
            token.prefix,
            token.last4,
            token.createdAtMs,
            token.expiresAtMs,
            token.expiresAtMs,
            token.tenantId,
            parentId,
            parentId,
          ],
          expect: 1,
        },
      ],
    });
    if (outcome.committed) return;
    if (outcome.refusedAt === 0) {
      throw new AppError("limit_reached", `A tenant holds at most ${LIMITS.tokensPerTenant} live tokens.`);
    }
    throw new AppError("not_found", "Whoever the token would answer to is not there any more.");
  }

  /** Tokens of a tenant, newest first; revoked ones too. */
  async list(tenantId: TenantId, limit: number = LIMITS.listRows): Promise<ApiToken[]> {
    const rows = await this.control.list<TokenRow>(
      `SELECT ${COLUMNS} FROM api_tokens k WHERE k.tenant_id = ? ORDER BY k.created_at_ms DESC, k.id DESC LIMIT ?`,
      [tenantId, limit],
    );
    return rows.map(toToken);
  }

  /** One token of a tenant; throws `not_found`, also for another tenant's. */
  async get(tenantId: TenantId, id: string): Promise<ApiToken> {
    const row = await this.control.find<TokenRow>(
      `SELECT ${COLUMNS} FROM api_tokens k WHERE k.tenant_id = ? AND k.id = ?`,
      [tenantId, id],
    );
    if (row === undefined) throw new AppError("not_found", "There is no such token.");
    return toToken(row);
  }

  /** Revoke a token and all that were made with it; doing it again changes nothing. Throws `not_found`. */
  async revoke(tenantId: TenantId, id: string): Promise<void> {
    await this.get(tenantId, id);
    await this.control.write({
      statements: [
        {
          sql: `UPDATE api_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND revoked_at_ms IS NULL AND id IN (
            WITH RECURSIVE family (id) AS (
              SELECT ? UNION
              SELECT k.id FROM api_tokens k JOIN family f ON k.parent_id = f.id WHERE k.tenant_id = ?)
            SELECT id FROM family)`,
          params: [this.clock.nowMs(), tenantId, id, tenantId],
        },
      ],
    });
  }

  /** What a secret grants; undefined for unknown, revoked, expired, orphaned, and for tenants that do not serve. */
  async findGrant(secret: string): Promise<TokenGrant | undefined> {
    // SECURITY: one hash and one lookup whatever the secret is; the checksum is not tested, it would be a shortcut.
    const hash = hashSecret(this.hashKey, "api-token", secret);
    return this.toGrant(await this.control.find<GrantRow>(`${GRANT} WHERE k.hash = ?`, [hash]));
  }

  /** The same by id, for checking a credential again. */
  async findGrantById(tenantId: TenantId, id: string): Promise<TokenGrant | undefined> {
    return this.toGrant(
      await this.control.find<GrantRow>(`${GRANT} WHERE k.tenant_id = ? AND k.id = ?`, [tenantId, id]),
    );
  }

  /** Note a use; at most one write a minute, never waited for. */
  noteUse(tenantId: TenantId, id: string): void {
    this.lastUsed.touch(`${tenantId}/${id}`, (nowMs, staleBeforeMs) => ({
      sql: `UPDATE api_tokens SET last_used_at_ms = ? WHERE tenant_id = ? AND id = ?
        AND (last_used_at_ms IS NULL OR last_used_at_ms <= ?)`,
      params: [nowMs, tenantId, id, staleBeforeMs],
    }));
  }

  private toGrant(row: GrantRow | undefined): TokenGrant | undefined {
    if (row === undefined || row.revoked_at_ms !== null || row.tenant_status !== "active") return undefined;
    if (row.expires_at_ms !== null && row.expires_at_ms <= this.clock.nowMs()) return undefined;
    const hasHolder = row.user_id !== null || row.created_by !== null;
    if (hasHolder && row.holder_role === null) return undefined;
    const role = row.role as Role;
    const holderRole = (row.holder_role ?? role) as Role;
    return {
      tokenId: row.id,
      tenantId: row.tenant_id as TenantId,
      userId: (row.user_id ?? row.id) as UserId,
      displayName: row.user_name ?? row.name,
      role: roleCovers(role, holderRole) ? holderRole : role,
      expiresAtMs: row.expires_at_ms,
    };
  }
}

function newTokenSecret(): string {
  const body = newSecret(32);
  return `creel_${body}${checksum(body)}`;
}

/** Whether a text has the form of an API token, checksum included. For scanners and messages, never for granting. */
export function looksLikeToken(text: string): boolean {
  const match = /^creel_([A-Za-z0-9_-]{43})([0-9a-f]{6})$/.exec(text);
  return match !== null && checksum(match[1] ?? "") === match[2];
}

function checksum(body: string): string {
  return sha256Hex(`creel-token/${body}`).slice(0, 6);
}

function endOf(nowMs: number, lifeMs: number | null): number | null {
  if (lifeMs === null) return null;
  if (!Number.isSafeInteger(lifeMs) || lifeMs < 1_000 || lifeMs > LONGEST_LIFE_MS) {
    throw new AppError("invalid_request", "A token lives between one second and ten years.");
  }
  return nowMs + lifeMs;
}

function toToken(row: TokenRow): ApiToken {
  return {
    id: row.id,
    tenantId: row.tenant_id as TenantId,
    name: row.name,
    role: row.role as Role,
    prefix: row.prefix,
    last4: row.last4,
    userId: row.user_id as UserId | null,
    createdBy: row.created_by as UserId | null,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
    lastUsedAtMs: row.last_used_at_ms,
    revokedAtMs: row.revoked_at_ms,
  };
}
