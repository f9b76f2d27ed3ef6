/**
 * Signed-in browsers: server-side records in control.db, behind a secret in a cookie.
 * Owns: their making, end, rotation and revocation. Refuses to know: cookies' syntax, tenants (a session names none).
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { newId, newSecret, type TenantId, type UserId } from "../../kernel/ids.ts";
import type { BrowserUser } from "../../protocol/routes.ts";
import type { Database } from "../../storage/database.ts";
import { LastUsed } from "../guard/last-used.ts";
import { type AuthKeys, hashSecret } from "../keys.ts";
import type { LoginLinks } from "./login-links.ts";

/** Longest life of a session, and of its cookie. */
export const SESSION_MS = 30 * 24 * 3600 * 1000;
/** A session that is not seen for this long has ended. */
export const SESSION_IDLE_MS = 7 * 24 * 3600 * 1000;
/** Precision of "last seen". */
const SEEN_PERIOD_MS = 5 * 60 * 1000;

/** A session that is open now. */
export interface OpenSession {
  user: BrowserUser;
  /** When it ends if it is not seen again, or at the latest. */
  endsAtMs: number;
  /** When it ends however often it is seen. */
  expiresAtMs: number;
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

/** See the head of this file. */
export class BrowserSessions {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly hashKey: Buffer;
  private readonly links: LoginLinks;
  private readonly lastUsed: LastUsed;

  constructor(control: Database, clock: Clock, keys: Pick<AuthKeys, "hashKey">, links: LoginLinks) {
    this.control = control;
    this.clock = clock;
    this.hashKey = keys.hashKey;
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
  ): Promise<{ cookie: string; userId: UserId; tenantId: TenantId | null }> {
    const cookie = newSecret(32);
    const nowMs = this.clock.nowMs();
    const outcome = await this.control.write({
      statements: [
        this.links.spendStatement(linkSecret),
        {
          sql: `INSERT INTO browser_sessions (id, hash, user_id, created_at_ms, last_seen_at_ms, auth_at_ms, expires_at_ms)
            SELECT ?, ?, user_id, ?, ?, ?, ? FROM login_links WHERE hash = ?`,
          params: [
            newId(),
            this.hash(cookie),
            nowMs,
            nowMs,
            nowMs,
            nowMs + SESSION_MS,
            this.links.hash(linkSecret),
          ],
          expect: 1,
        },
        this.revokeStatement(previousCookie ?? "", nowMs),
        { sql: "DELETE FROM browser_sessions WHERE expires_at_ms < ?", params: [nowMs - SESSION_MS] },
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

  /** Note that the person is there; at most one write in five minutes, never waited for. */
  noteSeen(id: string): void {
    this.lastUsed.touch(id, (nowMs, staleBeforeMs) => ({
      sql: "UPDATE browser_sessions SET last_seen_at_ms = ? WHERE id = ? AND last_seen_at_ms <= ?",
      params: [nowMs, id, staleBeforeMs],
    }));
  }

  /** End the session behind a cookie; nothing happens when there is none. */
  async signOut(cookie: string): Promise<void> {
    await this.control.write({ statements: [this.revokeStatement(cookie, this.clock.nowMs())] });
  }

  /** End all sessions of a person, everywhere. */
  async revokeAll(userId: UserId): Promise<void> {
    await this.control.write({
      statements: [
        {
          sql: "UPDATE browser_sessions SET revoked_at_ms = ? WHERE user_id = ? AND revoked_at_ms IS NULL",
          params: [this.clock.nowMs(), userId],
        },
      ],
    });
  }

  private revokeStatement(cookie: string, nowMs: number) {
    return {
      sql: "UPDATE browser_sessions SET revoked_at_ms = ? WHERE hash = ? AND revoked_at_ms IS NULL",
      params: [nowMs, this.hash(cookie)],
    };
  }

  private hash(cookie: string): string {
    return hashSecret(this.hashKey, "browser-session", cookie);
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
