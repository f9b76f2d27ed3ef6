/**
 * Who runs the platform, in control.db. Owns: making and ending that, and that somebody always does.
 * Refuses to know: tenants; being an operator grants nothing in any of them.
 */
import { auditRecord, auditStatement, PLATFORM } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { UserId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Database } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";

/** A person who runs the platform. */
export interface Operator {
  userId: UserId;
  displayName: string;
  sinceMs: number;
}

/** See the head of this file. */
export class Operators {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /** All, longest-standing first. */
  async list(): Promise<Operator[]> {
    const rows = await this.control.list<{ user_id: string; display_name: string; since_ms: number }>(
      `SELECT o.user_id, u.display_name, o.since_ms FROM operators o JOIN users u ON u.id = o.user_id
        ORDER BY o.since_ms, o.user_id LIMIT ?`,
      [LIMITS.listRows],
    );
    return rows.map((row) => ({
      userId: row.user_id as UserId,
      displayName: row.display_name,
      sinceMs: row.since_ms,
    }));
  }

  /** Whether somebody is one now. */
  async has(userId: UserId): Promise<boolean> {
    return (await this.control.find("SELECT 1 FROM operators WHERE user_id = ?", [userId])) !== undefined;
  }

  /**
   * Make somebody an operator; throws `conflict` when they are one, `forbidden` for service accounts and for people who
   * exist for one tenant only.
   */
  async add(userId: UserId, by: Actor): Promise<void> {
    const nowMs = this.clock.nowMs();
    const outcome = await this.control.write({
      statements: [
        {
          // SECURITY: whoever a tenant can speak for must not run the platform.
          sql: `INSERT INTO operators (user_id, since_ms) SELECT id, ? FROM users
            WHERE id = ? AND service_of IS NULL AND only_tenant_id IS NULL ON CONFLICT DO NOTHING`,
          params: [nowMs, userId],
          expect: 1,
        },
        auditStatement(PLATFORM, auditRecord(nowMs, by, "operator.added", { kind: "user", id: userId })),
      ],
    });
    if (outcome.committed) return;
    if (await this.has(userId)) throw new AppError("conflict", "That person is an operator already.");
    throw new AppError("forbidden", "Only a person of the whole deployment can be an operator.");
  }

  /** End it, and with it whatever they look into now. Throws `last_owner` for the last one, `not_found`. */
  async remove(userId: UserId, by: Actor): Promise<void> {
    const nowMs = this.clock.nowMs();
    const outcome = await this.control.write({
      statements: [
        {
          // SECURITY: decided inside the statement; two operators removing each other at once must leave one.
          sql: "DELETE FROM operators WHERE user_id = ? AND (SELECT count(*) FROM operators) > 1",
          params: [userId],
          expect: 1,
        },
        auditStatement(PLATFORM, auditRecord(nowMs, by, "operator.removed", { kind: "user", id: userId })),
      ],
    });
    if (outcome.committed) return;
    if (!(await this.has(userId))) throw new AppError("not_found", "That person is not an operator.");
    throw new AppError("last_owner", "The platform keeps at least one operator. Add another one first.");
  }
}
