/**
 * API tokens: opaque secrets bound to one tenant, in control.db. Owns: their form, their life, what role they carry now.
 * Refuses to know: transports, throttling.
 *
 * Form: `creel_`, 43 characters of 256 random bits, 6 characters of checksum; secret scanners find it by the prefix
 * and tell a real one from a look-alike by the checksum. Only a keyed hash is stored.
 */

import { auditRecord, auditStatement, auditStatementWhere } from "../audit/record.ts";
import type { Clock } from "../kernel/clock.ts";
import { sha256Hex } from "../kernel/crypto.ts";
import { AppError } from "../kernel/errors.ts";
import { newId, newSecret, type TenantId, type UserId } from "../kernel/ids.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { Database } from "../storage/database.ts";
import { type Actor, SYSTEM } from "../tenancy/actor.ts";
import { type Role, roleCovers, type Scope, scopesOf } from "../tenancy/scopes.ts";
import { serviceOf, type TenantStatus } from "../tenancy/tenant.ts";
import { checkDisplayName } from "../tenancy/tenant-checks.ts";
import { agentName } from "./browser/browser-sessions.ts";
import {
  type AskedLimits,
  inheritLimits,
  NO_LIMITS,
  readLimits,
  readList,
  type TokenLimits,
  writeList,
} from "./credentials/token-limits.ts";
import { LastUsed } from "./guard/last-used.ts";
import { type AuthKeys, hashSecret } from "./keys.ts";

/** A token as it may be shown; the secret is not in it. */
export interface ApiToken extends TokenLimits {
  id: string;
  tenantId: TenantId;
  name: string;
  role: Role;
  /** First characters, for recognising it; grants nothing. */
  prefix: string;
  last4: string;
  /** The person it acts as, or null when it is an identity of its own. */
  userId: UserId | null;
  userName: string | null;
  createdBy: UserId | null;
  createdAtMs: number;
  expiresAtMs: number | null;
  lastUsedAtMs: number | null;
  /** From where, and with which program, it was used last. */
  lastAddress: string | null;
  lastAgent: string | null;
  revokedAtMs: number | null;
}

/** From where a credential is shown, and with which program as that says itself. */
export interface CredentialSource {
  /** Address of the peer, proxies considered. */
  address: string;
  agent: string | null;
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
  /** What of the role's scopes is left. */
  scopes: ReadonlySet<Scope>;
  addresses: readonly string[] | null;
  agents: ReadonlySet<string> | null;
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
  last_address: string | null;
  last_agent: string | null;
  revoked_at_ms: number | null;
  scopes: string | null;
  addresses: string | null;
  agents: string | null;
  user_name: string | null;
}

interface GrantRow extends TokenRow {
  tenant_status: TenantStatus;
  read_only_until_ms: number | null;
  holder_role: string | null;
}

const COLUMNS = `k.tenant_id, k.id, k.name, k.role, k.user_id, k.created_by, k.prefix, k.last4, k.created_at_ms,
  k.expires_at_ms, k.last_used_at_ms, k.last_address, k.last_agent, k.revoked_at_ms, k.scopes, k.addresses, k.agents,
  u.display_name AS user_name`;

const SELECT = `SELECT ${COLUMNS} FROM api_tokens k LEFT JOIN users u ON u.id = k.user_id`;

const GRANT = `SELECT ${COLUMNS}, t.status AS tenant_status, t.read_only_until_ms, m.role AS holder_role
  FROM api_tokens k JOIN tenants t ON t.id = k.tenant_id
  LEFT JOIN members m ON m.tenant_id = k.tenant_id AND m.user_id = coalesce(k.user_id, k.created_by)
  LEFT JOIN users u ON u.id = k.user_id`;

/** In SQL: neither revoked nor over; one parameter: the time. */
const IS_GOOD = "revoked_at_ms IS NULL AND (expires_at_ms IS NULL OR expires_at_ms > ?)";

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
   * Make a token; the secret is in the answer and nowhere else, ever. Throws `forbidden` for a role or limits beyond
   * the maker's, `limit_reached`, `invalid_request`, `not_found` when the person or the making token is gone.
   */
  async create(
    tenantId: TenantId,
    input: {
      name: string;
      role: Role;
      maker: TokenMaker;
      userId?: UserId | null;
      expiresInMs?: number | null;
      limits?: AskedLimits;
    },
    by: Actor = SYSTEM,
  ): Promise<{ secret: string; token: ApiToken }> {
    const { maker } = input;
    // SECURITY: minting beyond oneself is refused here, and made harmless at use by the weaker-role rule.
    if (maker.kind !== "machine" && !roleCovers(maker.role, input.role)) {
      throw new AppError("forbidden", "A token cannot hold a stronger role than whoever makes it.");
    }
    const limits = await this.limitsOf(tenantId, input.limits ?? {}, input.role, maker);
    const secret = newTokenSecret();
    const nowMs = this.clock.nowMs();
    const token: ApiToken = {
      ...limits,
      id: newId(),
      tenantId,
      name: checkDisplayName(input.name),
      role: input.role,
      prefix: secret.slice(0, 10),
      last4: secret.slice(-4),
      userId: input.userId ?? null,
      userName: null,
      createdBy: maker.kind === "person" ? maker.userId : null,
      createdAtMs: nowMs,
      expiresAtMs: endOf(nowMs, input.expiresInMs ?? null),
      lastUsedAtMs: null,
      lastAddress: null,
      lastAgent: null,
      revokedAtMs: null,
    };
    await this.store(token, secret, maker, by);
    return { secret, token: await this.get(tenantId, token.id) };
  }

  private async limitsOf(
    tenantId: TenantId,
    asked: AskedLimits,
    role: Role,
    maker: TokenMaker,
  ): Promise<TokenLimits> {
    const limits = readLimits(asked, role);
    const above = maker.kind === "token" ? await this.get(tenantId, maker.tokenId) : NO_LIMITS;
    return inheritLimits(limits, above, role);
  }

  private async store(token: ApiToken, secret: string, maker: TokenMaker, by: Actor): Promise<void> {
    const parentId = maker.kind === "token" ? maker.tokenId : null;
    const holder = token.userId ?? token.createdBy;
    const outcome = await this.control.write({
      statements: [
        {
          sql: `SELECT 1 WHERE (SELECT count(*) FROM api_tokens WHERE tenant_id = ? AND ${IS_GOOD}) < ?`,
          params: [token.tenantId, token.createdAtMs, LIMITS.tokensPerTenant],
          expect: 1,
        },
        // One person must not use the tenant's places up.
        {
          sql: `SELECT 1 WHERE ? IS NULL
            OR (SELECT count(*) FROM api_tokens WHERE tenant_id = ? AND user_id = ? AND ${IS_GOOD}) < ?`,
          params: [token.userId, token.tenantId, token.userId, token.createdAtMs, LIMITS.tokensPerPerson],
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
              created_at_ms, scopes, addresses, agents, expires_at_ms)
            SELECT ?, ?, ?, ?, ?, ?, coalesce(?, p.created_by, p.user_id), ?, ?, ?, ?, ?, ?, ?,
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
            writeList(token.scopes),
            writeList(token.addresses),
            writeList(token.agents),
            token.expiresAtMs,
            token.expiresAtMs,
            token.tenantId,
            parentId,
            parentId,
          ],
          expect: 1,
        },
        auditStatement(token.tenantId, created(token, by)),
      ],
    });
    if (outcome.committed) return;
    if (outcome.refusedAt === 0) {
      throw new AppError("limit_reached", `A tenant holds at most ${LIMITS.tokensPerTenant} live tokens.`);
    }
    if (outcome.refusedAt === 1) {
      throw new AppError(
        "limit_reached",
        `${LIMITS.tokensPerPerson} live tokens act for this account already.`,
      );
    }
    throw new AppError("not_found", "Whoever the token would answer to is not there any more.");
  }

  /** Tokens of a tenant, newest first; revoked ones too. */
  async list(tenantId: TenantId, limit: number = LIMITS.listRows): Promise<ApiToken[]> {
    const rows = await this.control.list<TokenRow>(
      `${SELECT} WHERE k.tenant_id = ? ORDER BY k.created_at_ms DESC, k.id DESC LIMIT ?`,
      [tenantId, limit],
    );
    return rows.map(toToken);
  }

  /** Tokens that act as one person in a tenant, newest first; revoked ones too. */
  async listOfUser(tenantId: TenantId, userId: UserId, limit: number = LIMITS.listRows): Promise<ApiToken[]> {
    const rows = await this.control.list<TokenRow>(
      `${SELECT} WHERE k.tenant_id = ? AND k.user_id = ? ORDER BY k.created_at_ms DESC, k.id DESC LIMIT ?`,
      [tenantId, userId, limit],
    );
    return rows.map(toToken);
  }

  /** One token of a tenant; throws `not_found`, also for another tenant's. */
  async get(tenantId: TenantId, id: string): Promise<ApiToken> {
    const row = await this.control.find<TokenRow>(`${SELECT} WHERE k.tenant_id = ? AND k.id = ?`, [
      tenantId,
      id,
    ]);
    if (row === undefined) throw new AppError("not_found", "There is no such token.");
    return toToken(row);
  }

  /** Revoke a token and all that were made with it; doing it again changes nothing. Throws `not_found`. */
  async revoke(tenantId: TenantId, id: string, by: Actor = SYSTEM): Promise<void> {
    const { name, role, userId } = await this.get(tenantId, id);
    const nowMs = this.clock.nowMs();
    const record = auditRecord(nowMs, by, "token.revoked", { kind: "token", id, name }, { role, userId });
    await this.control.write({
      statements: [
        // ORDER: before the change, so that only the one who makes it is on record.
        auditStatementWhere(
          record,
          "SELECT tenant_id FROM api_tokens WHERE tenant_id = ? AND id = ? AND revoked_at_ms IS NULL",
          [tenantId, id],
        ),
        {
          sql: `UPDATE api_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND revoked_at_ms IS NULL AND id IN (
            WITH RECURSIVE family (id) AS (
              SELECT ? UNION
              SELECT k.id FROM api_tokens k JOIN family f ON k.parent_id = f.id WHERE k.tenant_id = ?)
            SELECT id FROM family)`,
          params: [nowMs, tenantId, id, tenantId],
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

  /** What several tokens of one tenant grant, in one look; those that grant nothing are left out. */
  async listGrants(tenantId: TenantId, ids: readonly string[]): Promise<TokenGrant[]> {
    const rows = await this.control.list<GrantRow>(
      `${GRANT} WHERE k.tenant_id = ? AND k.id IN (SELECT value FROM json_each(?))`,
      [tenantId, JSON.stringify(ids)],
    );
    return rows.map((row) => this.toGrant(row)).filter((grant) => grant !== undefined);
  }

  /** Note a use; at most one write a minute, never waited for. */
  noteUse(tenantId: TenantId, id: string, from: CredentialSource): void {
    const agent = agentName(from.agent ?? undefined);
    this.lastUsed.touch(`${tenantId}/${id}`, (nowMs, staleBeforeMs) => ({
      sql: `UPDATE api_tokens SET last_used_at_ms = ?, last_address = ?, last_agent = ?
        WHERE tenant_id = ? AND id = ? AND (last_used_at_ms IS NULL OR last_used_at_ms <= ?)`,
      params: [nowMs, from.address, agent, tenantId, id, staleBeforeMs],
    }));
  }

  private toGrant(row: GrantRow | undefined): TokenGrant | undefined {
    if (row === undefined || row.revoked_at_ms !== null) return undefined;
    const tenant = { status: row.tenant_status, readOnlyUntilMs: row.read_only_until_ms };
    if (serviceOf(tenant, this.clock.nowMs()) === "closed") return undefined;
    if (row.expires_at_ms !== null && row.expires_at_ms <= this.clock.nowMs()) return undefined;
    const hasHolder = row.user_id !== null || row.created_by !== null;
    if (hasHolder && row.holder_role === null) return undefined;
    const role = row.role as Role;
    const holderRole = (row.holder_role ?? role) as Role;
    const present = roleCovers(role, holderRole) ? holderRole : role;
    const scopes = readList(row.scopes);
    const agents = readList(row.agents);
    return {
      tokenId: row.id,
      tenantId: row.tenant_id as TenantId,
      userId: (row.user_id ?? row.id) as UserId,
      displayName: row.user_name ?? row.name,
      role: present,
      scopes: new Set(scopesOf(present).filter((scope) => scopes === null || scopes.includes(scope))),
      addresses: readList(row.addresses),
      agents: agents === null ? null : new Set(agents),
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

function created(token: ApiToken, by: Actor) {
  const { role, scopes, addresses, agents, expiresAtMs, userId } = token;
  const details = { role, scopes, addresses, agents, expiresAtMs, userId };
  const target = { kind: "token", id: token.id, name: token.name };
  return auditRecord(token.createdAtMs, by, "token.created", target, details);
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
    userName: row.user_name,
    createdBy: row.created_by as UserId | null,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
    lastUsedAtMs: row.last_used_at_ms,
    lastAddress: row.last_address,
    lastAgent: row.last_agent,
    revokedAtMs: row.revoked_at_ms,
    scopes: readList(row.scopes) as Scope[] | null,
    addresses: readList(row.addresses),
    agents: readList(row.agents),
  };
}
