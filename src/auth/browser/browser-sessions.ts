/**
 * Signed-in browsers: server-side records in control.db, behind a secret in a cookie.
 * Owns: their making, end, rotation and revocation. Refuses to know: cookies' syntax, tenants (a session names none),
 * how people prove who they are.
 */
import { auditRecord, auditStatement, PLATFORM } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { seal, unseal } from "../../kernel/crypto.ts";
import { AppError } from "../../kernel/errors.ts";
import { newId, newSecret, type TenantId, type UserId } from "../../kernel/ids.ts";
import type { BrowserUser } from "../../protocol/routes.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import { LastUsed } from "../guard/last-used.ts";
import { type AuthKeys, hashSecret } from "../keys.ts";
import type { LoginLinks } from "./login-links.ts";

/** Longest life of a session, and of its cookie. */
export const SESSION_MS = 30 * 24 * 3600 * 1000;
/** A session that is not seen for this long has ended. */
export const SESSION_IDLE_MS = 7 * 24 * 3600 * 1000;
/** Precision of "last seen". */
const SEEN_PERIOD_MS = 5 * 60 * 1000;
/** Sessions that a person is shown. */
const LISTED = 100;
/** A longer token is not kept for signing out; the provider then asks once more. */
const ID_TOKEN_CHARS = 6_000;

/** A session that is open now. */
export interface OpenSession {
  user: BrowserUser;
  /** When it ends if it is not seen again, or at the latest. */
  endsAtMs: number;
  /** When it ends however often it is seen. */
  expiresAtMs: number;
}

/** Where a browser is. */
export interface BrowserPlace {
  address: string | null;
  /** Made by `agentName`. */
  agent: string | null;
}

/** At which provider the person proved who they are. */
export interface ProvedAt {
  identityId: string;
  provider: string;
  /** The provider's own name of its session, `sid`. */
  providerSession: string | null;
  idToken: string | null;
}

/** A session as its person sees it. */
export interface ListedSession extends BrowserPlace {
  id: string;
  method: "link" | "oidc";
  createdAtMs: number;
  lastSeenAtMs: number;
}

interface SessionRow {
  id: string;
  user_id: string;
  last_seen_at_ms: number;
  auth_at_ms: number;
  expires_at_ms: number;
  revoked_at_ms: number | null;
  display_name: string;
  language: string | null;
  is_operator: number;
}

const SELECT = `SELECT s.id, s.user_id, s.last_seen_at_ms, s.auth_at_ms, s.expires_at_ms, s.revoked_at_ms, u.display_name, u.language,
    EXISTS (SELECT 1 FROM operators o WHERE o.user_id = s.user_id) AS is_operator
  FROM browser_sessions s JOIN users u ON u.id = s.user_id`;

const REVOKE = "UPDATE browser_sessions SET revoked_at_ms = ?";

/** See the head of this file. */
export class BrowserSessions {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly keys: Pick<AuthKeys, "hashKey" | "sealKey">;
  private readonly links: LoginLinks;
  private readonly lastUsed: LastUsed;

  constructor(
    control: Database,
    clock: Clock,
    keys: Pick<AuthKeys, "hashKey" | "sealKey">,
    links: LoginLinks,
  ) {
    this.control = control;
    this.clock = clock;
    this.keys = keys;
    this.links = links;
    this.lastUsed = new LastUsed(control, clock, SEEN_PERIOD_MS);
  }

  /**
   * Use a link up and open a session, in one commit. The session's secret is always new, and whatever session the
   * browser had before ends: a planted cookie never becomes a signed-in one. Throws `link_invalid`.
   */
  async signIn(
    linkSecret: string,
    previousCookie: string | null,
    place: BrowserPlace = { address: null, agent: null },
  ): Promise<{ cookie: string; userId: UserId; tenantId: TenantId | null }> {
    const cookie = newSecret(32);
    const nowMs = this.clock.nowMs();
    const noted = await this.noteOfLink(linkSecret, place);
    const outcome = await this.control.write({
      statements: [
        this.links.spendStatement(linkSecret),
        {
          sql: `INSERT INTO browser_sessions
              (id, hash, user_id, created_at_ms, last_seen_at_ms, auth_at_ms, expires_at_ms, method, address, agent)
            SELECT ?, ?, user_id, ?, ?, ?, ?, 'link', ?, ? FROM login_links WHERE hash = ?`,
          params: [
            ...[newId(), this.hash(cookie), nowMs, nowMs, nowMs, nowMs + SESSION_MS],
            ...[place.address, place.agent, this.links.hash(linkSecret)],
          ],
          expect: 1,
        },
        ...this.replacing(previousCookie, nowMs),
        ...noted,
      ],
    });
    if (!outcome.committed) {
      throw new AppError(
        "link_invalid",
        "This sign-in link was used already or has ended. Ask for a new one.",
      );
    }
    const row = outcome.results[0]?.rows[0];
    return {
      cookie,
      userId: row?.["user_id"] as UserId,
      tenantId: (row?.["tenant_id"] ?? null) as TenantId | null,
    };
  }

  /**
   * Open a session for somebody who proved who they are at a provider. `also` comes first in the same commit (a new
   * person, say); undefined when one of its statements refuses, and then nothing happened.
   */
  async open(
    input: {
      userId: UserId;
      previousCookie: string | null;
      proved: ProvedAt;
      also?: readonly Statement[];
    } & BrowserPlace,
  ): Promise<{ cookie: string; sessionId: string } | undefined> {
    const { userId, proved, address, agent } = input;
    const cookie = newSecret(32);
    const sessionId = newId();
    const nowMs = this.clock.nowMs();
    const outcome = await this.control.write({
      statements: [
        ...(input.also ?? []),
        {
          sql: `INSERT INTO browser_sessions (id, hash, user_id, created_at_ms, last_seen_at_ms, auth_at_ms, expires_at_ms,
              method, address, agent, identity_id, provider, provider_session, sealed_id_token)
            VALUES (?, ?, ?, ?, ?, ?, ?, 'oidc', ?, ?, ?, ?, ?, ?)`,
          params: [
            ...[
              sessionId,
              this.hash(cookie),
              userId,
              nowMs,
              nowMs,
              nowMs,
              nowMs + SESSION_MS,
              address,
              agent,
            ],
            ...[proved.identityId, proved.provider, proved.providerSession],
            this.sealIdToken(sessionId, proved.idToken),
          ],
          expect: 1,
        },
        ...this.replacing(input.previousCookie, nowMs),
      ],
    });
    return outcome.committed ? { cookie, sessionId } : undefined;
  }

  /**
   * Give a session a new secret, after its person did something that a copied cookie must not survive.
   * @param isProved whether they just proved who they are
   * Undefined when the cookie is not the session's, or when `also` refuses.
   */
  async rotate(
    sessionId: string,
    cookie: string,
    isProved: boolean,
    also: readonly Statement[] = [],
  ): Promise<string | undefined> {
    const fresh = newSecret(32);
    const outcome = await this.control.write({
      statements: [...also, this.rotateStatement(sessionId, cookie, fresh, isProved)],
    });
    return outcome.committed ? fresh : undefined;
  }

  /** The statement of `rotate`, for a batch that does more. */
  rotateStatement(sessionId: string, cookie: string, fresh: string, isProved: boolean): Statement {
    const nowMs = this.clock.nowMs();
    return {
      sql: `UPDATE browser_sessions SET hash = ?, auth_at_ms = CASE WHEN ? THEN ? ELSE auth_at_ms END
        WHERE id = ? AND hash = ? AND revoked_at_ms IS NULL AND expires_at_ms > ?`,
      params: [this.hash(fresh), isProved ? 1 : 0, nowMs, sessionId, this.hash(cookie), nowMs],
      expect: 1,
    };
  }

  /** The open session behind a cookie; notes that it was seen. */
  async findOpen(cookie: string): Promise<OpenSession | undefined> {
    const session = this.toOpen(
      await this.control.find<SessionRow>(`${SELECT} WHERE s.hash = ?`, [this.hash(cookie)]),
    );
    if (session !== undefined) this.noteSeen(session.user.sessionId);
    return session;
  }

  /** The same by id, for checking again what was shown before. Does not count as seen. */
  async findOpenById(id: string): Promise<OpenSession | undefined> {
    return this.toOpen(await this.control.find<SessionRow>(`${SELECT} WHERE s.id = ?`, [id]));
  }

  /** Open sessions of a person, the last seen first, at most a hundred. */
  async listOpen(userId: UserId): Promise<ListedSession[]> {
    const nowMs = this.clock.nowMs();
    const rows = await this.control.list<
      Omit<ListedSession, "createdAtMs" | "lastSeenAtMs"> & { created_at_ms: number; last_seen_at_ms: number }
    >(
      `SELECT id, method, created_at_ms, last_seen_at_ms, address, agent FROM browser_sessions
        WHERE user_id = ? AND revoked_at_ms IS NULL AND expires_at_ms > ? AND last_seen_at_ms > ?
        ORDER BY last_seen_at_ms DESC, id LIMIT ?`,
      [userId, nowMs, nowMs - SESSION_IDLE_MS, LISTED],
    );
    return rows.map(({ created_at_ms, last_seen_at_ms, ...row }) => ({
      ...row,
      createdAtMs: created_at_ms,
      lastSeenAtMs: last_seen_at_ms,
    }));
  }

  /** At which provider a session's person signed in, and the token it gave; undefined for sessions by link. */
  async findProof(sessionId: string): Promise<Omit<ProvedAt, "identityId"> | undefined> {
    const row = await this.control.find<Record<string, string | null>>(
      "SELECT provider, provider_session, sealed_id_token FROM browser_sessions WHERE id = ?",
      [sessionId],
    );
    if (row === undefined || row["provider"] == null) return undefined;
    const sealed = row["sealed_id_token"] ?? null;
    return {
      provider: row["provider"],
      providerSession: row["provider_session"] ?? null,
      idToken: sealed === null ? null : unseal(this.keys.sealKey, sealed, `id-token/${sessionId}`),
    };
  }

  /** Note that the person is there; at most one write in five minutes, never waited for. */
  noteSeen(id: string): void {
    this.lastUsed.touch(id, (nowMs, staleBeforeMs) => ({
      sql: "UPDATE browser_sessions SET last_seen_at_ms = ? WHERE id = ? AND last_seen_at_ms <= ?",
      params: [nowMs, id, staleBeforeMs],
    }));
  }

  /** End the session behind a cookie; nothing happens when there is none. `also` is part of the commit. */
  async signOut(cookie: string, also: readonly Statement[] = []): Promise<void> {
    const nowMs = this.clock.nowMs();
    await this.control.write({ statements: [this.revokeStatement(cookie, nowMs), ...also] });
  }

  /** End one session of a person; throws `not_found` when it is not theirs or has ended. */
  async revoke(userId: UserId, sessionId: string, by: Actor): Promise<void> {
    const nowMs = this.clock.nowMs();
    const record = auditRecord(nowMs, by, "session.revoked", { kind: "session", id: sessionId }, { userId });
    const outcome = await this.control.write({
      statements: [
        {
          sql: `${REVOKE} WHERE id = ? AND user_id = ? AND revoked_at_ms IS NULL`,
          params: [nowMs, sessionId, userId],
          expect: 1,
        },
        auditStatement(PLATFORM, record),
      ],
    });
    if (!outcome.committed) throw new AppError("not_found", "There is no such session.");
  }

  /** End all sessions of a person but one; the answer is how many. */
  async revokeOthers(userId: UserId, keptId: string, by: Actor): Promise<number> {
    const nowMs = this.clock.nowMs();
    const record = auditRecord(nowMs, by, "session.revoked", { kind: "user", id: userId }, { others: true });
    const outcome = await this.control.write({
      statements: [
        {
          sql: `${REVOKE} WHERE user_id = ? AND id <> ? AND revoked_at_ms IS NULL AND expires_at_ms > ?`,
          params: [nowMs, userId, keptId, nowMs],
        },
        auditStatement(PLATFORM, record),
      ],
    });
    return outcome.committed ? (outcome.results[0]?.changes ?? 0) : 0;
  }

  /** End all sessions of a person, everywhere. */
  async revokeAll(userId: UserId): Promise<void> {
    await this.control.write({
      statements: [
        {
          sql: `${REVOKE} WHERE user_id = ? AND revoked_at_ms IS NULL`,
          params: [this.clock.nowMs(), userId],
        },
      ],
    });
  }

  /** The record of a sign-in by link, in the log of the tenant it leads to; none when it leads to no tenant of theirs. */
  private async noteOfLink(linkSecret: string, place: BrowserPlace): Promise<Statement[]> {
    const who = await this.control.find<{ user_id: string; display_name: string; tenant_id: string }>(
      `SELECT l.user_id, u.display_name, m.tenant_id FROM login_links l JOIN users u ON u.id = l.user_id
        JOIN members m ON m.user_id = l.user_id AND m.tenant_id = l.tenant_id WHERE l.hash = ?`,
      [this.links.hash(linkSecret)],
    );
    if (who === undefined) return [];
    const by: Actor = {
      ...{ kind: "person", id: who.user_id, name: who.display_name, role: null, requestId: null },
      credential: { kind: "login_link", id: who.user_id },
      address: place.address,
    };
    const target = { kind: "user", id: by.id, name: by.name };
    const record = auditRecord(this.clock.nowMs(), by, "signin.ok", target, { method: "link" });
    return [auditStatement(who.tenant_id as TenantId, record)];
  }

  /** The browser's former session ends, and rows of sessions long over go. */
  private replacing(previousCookie: string | null, nowMs: number): Statement[] {
    return [
      this.revokeStatement(previousCookie ?? "", nowMs),
      { sql: "DELETE FROM browser_sessions WHERE expires_at_ms < ?", params: [nowMs - SESSION_MS] },
    ];
  }

  private revokeStatement(cookie: string, nowMs: number): Statement {
    return {
      sql: `${REVOKE} WHERE hash = ? AND revoked_at_ms IS NULL`,
      params: [nowMs, this.hash(cookie)],
    };
  }

  private sealIdToken(sessionId: string, idToken: string | null): string | null {
    if (idToken === null || idToken.length > ID_TOKEN_CHARS) return null;
    return seal(this.keys.sealKey, idToken, `id-token/${sessionId}`);
  }

  private hash(cookie: string): string {
    return hashSecret(this.keys.hashKey, "browser-session", cookie);
  }

  private toOpen(row: SessionRow | undefined): OpenSession | undefined {
    if (row === undefined || row.revoked_at_ms !== null) return undefined;
    const endsAtMs = Math.min(row.expires_at_ms, row.last_seen_at_ms + SESSION_IDLE_MS);
    if (endsAtMs <= this.clock.nowMs()) return undefined;
    return {
      user: {
        sessionId: row.id,
        userId: row.user_id as UserId,
        displayName: row.display_name,
        language: row.language,
        isOperator: row.is_operator === 1,
        authAtMs: row.auth_at_ms,
      },
      endsAtMs,
      expiresAtMs: row.expires_at_ms,
    };
  }
}

/** A browser's own name, cut to 200 printable characters; null when it gives none. */
export function agentName(header: string | undefined): string | null {
  const text = (header ?? "")
    .slice(0, 1_000)
    .replaceAll(/[^\x20-\x7e]/g, "")
    .trim();
  return text === "" ? null : text.slice(0, 200);
}
