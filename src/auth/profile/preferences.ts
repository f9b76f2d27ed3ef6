/**
 * What people set for themselves in one tenant, in tenant.db. Owns: keys, values and their bounds.
 * Refuses to know: what a key means.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { UserId } from "../../kernel/ids.ts";
import type { Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";

/** Keys one person may have in one tenant. */
const KEYS_PER_USER = 512;
/** Characters of one value as JSON. */
const VALUE_CHARS = 16 * 1024;

/** Values by key; a null value is an absent one. */
export type Entries = Readonly<Record<string, unknown>>;

/** See the head of this file. */
export class Preferences {
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The person's values, all or those of the given keys; absent ones are left out. */
  async list(scope: TenantScope, userId: UserId, keys?: readonly string[]): Promise<Record<string, unknown>> {
    const rows = await scope.db.list<{ key: string; value: string }>(
      "SELECT key, value FROM user_preferences WHERE user_id = ? ORDER BY key LIMIT ?",
      [userId, KEYS_PER_USER],
    );
    const wanted = keys === undefined ? undefined : new Set(keys);
    const kept = rows.filter((row) => wanted?.has(row.key) ?? true);
    return Object.fromEntries(kept.map((row) => [row.key, JSON.parse(row.value) as unknown]));
  }

  /**
   * Set or, with null, remove values; all or none. With `expected`, only if those keys still hold those values.
   * Throws `conflict` when they do not, `limit_reached`, `too_large`.
   */
  async set(scope: TenantScope, userId: UserId, entries: Entries, expected: Entries = {}): Promise<void> {
    const expectations = Object.entries(expected).map(([key, value]) => expectStatement(userId, key, value));
    const changes = Object.entries(entries).map(([key, value]) => this.changeStatement(userId, key, value));
    const outcome = await scope.db.write({
      statements: [...expectations, ...changes, boundStatement(userId)],
    });
    if (outcome.committed) return;
    if (outcome.refusedAt < expectations.length) {
      throw new AppError("conflict", "The preference was changed elsewhere.");
    }
    throw new AppError("limit_reached", `At most ${KEYS_PER_USER} preferences are kept.`, {
      details: { code: "USER_PREFS_LIMIT_EXCEEDED", limit: KEYS_PER_USER, currentCount: KEYS_PER_USER },
    });
  }

  private changeStatement(userId: UserId, key: string, value: unknown): Statement {
    if (value === null || value === undefined) {
      return { sql: "DELETE FROM user_preferences WHERE user_id = ? AND key = ?", params: [userId, key] };
    }
    return {
      sql: `INSERT INTO user_preferences (user_id, key, value, updated_at_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (user_id, key) DO UPDATE SET value = excluded.value, updated_at_ms = excluded.updated_at_ms`,
      params: [userId, key, toText(value), this.clock.nowMs()],
    };
  }
}

function expectStatement(userId: UserId, key: string, value: unknown): Statement {
  const text = value === null || value === undefined ? null : toText(value);
  return {
    sql: `SELECT 1 WHERE (SELECT value FROM user_preferences WHERE user_id = ? AND key = ?) IS ?`,
    params: [userId, key, text],
    expect: 1,
  };
}

function boundStatement(userId: UserId): Statement {
  return {
    sql: "SELECT 1 WHERE (SELECT count(*) FROM user_preferences WHERE user_id = ?) <= ?",
    params: [userId, KEYS_PER_USER],
    expect: 1,
  };
}

function toText(value: unknown): string {
  const text = JSON.stringify(value);
  if (text.length > VALUE_CHARS) {
    throw new AppError("too_large", `A preference has at most ${VALUE_CHARS} characters.`);
  }
  return text;
}
