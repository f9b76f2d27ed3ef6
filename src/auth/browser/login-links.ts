/**
 * One-time sign-in links, in control.db. Owns: their secret and the fifteen minutes they live.
 * Refuses to know: how the link reaches the person; what it opens (browser-sessions does, in the same commit).
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { newSecret, type TenantId, type UserId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import { type AuthKeys, hashSecret } from "../keys.ts";

/** How long a link can be used. */
export const LOGIN_LINK_MS = 15 * 60 * 1000;
/** Rows of links stay this long after their end, for whoever looks into what happened. */
const KEPT_MS = 7 * 24 * 3600 * 1000;

/** See the head of this file. */
export class LoginLinks {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly hashKey: Buffer;

  constructor(control: Database, clock: Clock, keys: Pick<AuthKeys, "hashKey">) {
    this.control = control;
    this.clock = clock;
    this.hashKey = keys.hashKey;
  }

  /**
   * Make a link for a person; `tenantId` says where it leads. The answer is the secret, shown once. Throws `not_found`,
   * also for service accounts.
   */
  async create(userId: UserId, tenantId: TenantId | null = null): Promise<string> {
    const secret = newSecret(32);
    const nowMs = this.clock.nowMs();
    const outcome = await this.control.write({
      statements: [
        { sql: "DELETE FROM login_links WHERE expires_at_ms < ?", params: [nowMs - KEPT_MS] },
        {
          // SECURITY: a service account has no way to sign in.
          sql: `INSERT INTO login_links (hash, user_id, tenant_id, created_at_ms, expires_at_ms)
            SELECT ?, u.id, ?, ?, ? FROM users u WHERE u.id = ? AND u.service_of IS NULL`,
          params: [this.hash(secret), tenantId, nowMs, nowMs + LOGIN_LINK_MS, userId],
          expect: 1,
        },
      ],
    });
    if (!outcome.committed) throw new AppError("not_found", "There is no such person.");
    return secret;
  }

  /** Whether a person ever used a link. */
  async wasUsedBy(userId: UserId): Promise<boolean> {
    const row = await this.control.find(
      "SELECT 1 FROM login_links WHERE user_id = ? AND used_at_ms IS NOT NULL LIMIT 1",
      [userId],
    );
    return row !== undefined;
  }

  /**
   * The statement that uses a link up, once for all who try: it changes one row or none, and its RETURNING row is
   * `{user_id, tenant_id}`. It stands in the same batch as what the link opens, so a crash cannot eat the link.
   */
  spendStatement(secret: string): Statement {
    const nowMs = this.clock.nowMs();
    return {
      sql: `UPDATE login_links SET used_at_ms = ? WHERE hash = ? AND used_at_ms IS NULL AND expires_at_ms > ?
        RETURNING user_id, tenant_id`,
      params: [nowMs, this.hash(secret), nowMs],
      expect: 1,
    };
  }

  /** The hash under which a link is stored. */
  hash(secret: string): string {
    return hashSecret(this.hashKey, "login-link", secret);
  }
}
