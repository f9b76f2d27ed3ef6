/**
 * Limits that a tenant sets for itself, its people, agents and keys. Owns: setting and showing them.
 * Refuses to know: the plan's own limit, what refuses a call (reserve-sql does).
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { SqlValue, Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { Calendars } from "../calendar.ts";
import { type Budget, type BudgetKey, monthOf } from "./budget.ts";

/** Budgets of one tenant; more is a mistake. */
const MOST = 10_000;

interface Row extends BudgetKey {
  limitMicros: number;
  spentMicros: number;
  reservedMicros: number;
}

/** See the head of this file. */
export class Budgets {
  private readonly clock: Clock;
  private readonly calendars = new Calendars();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** All budgets with what counts against them now. */
  async list(scope: TenantScope): Promise<Budget[]> {
    const { month, endMs } = this.now(scope);
    // A counter that is not there yet is made by the next call; until then its lines are read.
    const rows = await scope.db.list<Row>(
      `SELECT b.scope, b.scope_id AS scopeId, b.period, b.limit_micros AS limitMicros,
          coalesce(c.spent_micros, 0) AS spentMicros, coalesce(c.reserved_micros, 0) AS reservedMicros
        FROM budgets b LEFT JOIN budget_counters c ON c.scope = b.scope AND c.scope_id = b.scope_id
          AND c.period = iif(b.period = 'month', ?, 'total')
        ORDER BY CASE b.scope WHEN 'tenant' THEN 0 WHEN 'agent' THEN 1 WHEN 'user' THEN 2 ELSE 3 END, b.scope_id,
          b.period LIMIT ${MOST}`,
      [month],
    );
    return rows.map((row) => ({ ...row, resetAtMs: row.period === "month" ? endMs : null }));
  }

  /** Set a limit in micro-units, or take it away with null. Calls that are being made keep what they reserved. */
  async set(scope: TenantScope, key: BudgetKey, limitMicros: number | null): Promise<void> {
    if ((key.scope === "tenant") !== (key.scopeId === ""))
      throw new AppError(
        "invalid_request",
        "A budget of the organization has no scopeId; every other needs one.",
      );
    if (limitMicros !== null && (!Number.isSafeInteger(limitMicros) || limitMicros < 0))
      throw new AppError("invalid_request", "A limit is a whole number of micro-units, not below zero.");
    const statements = limitMicros === null ? [this.removal(key)] : this.change(scope, key, limitMicros);
    const outcome = await scope.db.write({ statements });
    if (!outcome.committed) throw new AppError("limit_reached", `There are ${MOST} budgets already.`);
  }

  /** What a budget has left; null when there is none. Micro-units, not below zero. */
  async remaining(scope: TenantScope, key: BudgetKey): Promise<number | null> {
    const found = (await this.list(scope)).find(
      (budget) =>
        budget.scope === key.scope && budget.scopeId === key.scopeId && budget.period === key.period,
    );
    if (found === undefined) return null;
    return Math.max(0, found.limitMicros - found.spentMicros - found.reservedMicros);
  }

  private removal({ scope, scopeId, period }: BudgetKey): Statement {
    const sql = "DELETE FROM budgets WHERE scope = ? AND scope_id = ? AND period = ?";
    return { sql, params: [scope, scopeId, period] };
  }

  /** The limit, and its counter from the lines there are, so that a limit set late knows what was spent. */
  private change(
    tenant: TenantScope,
    { scope, scopeId, period }: BudgetKey,
    limitMicros: number,
  ): Statement[] {
    const of = period === "month" ? this.now(tenant).month : "total";
    const limit: SqlValue[] = [scope, scopeId, period, limitMicros, this.clock.nowMs()];
    return [
      {
        sql: `INSERT INTO budgets SELECT ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM budgets) < ${MOST}
          ON CONFLICT DO UPDATE SET limit_micros = excluded.limit_micros, set_at_ms = excluded.set_at_ms`,
        params: limit,
        expect: 1,
      },
      {
        sql: `INSERT INTO budget_counters
          WITH fresh (scope, scope_id, period) AS (VALUES (?, ?, ?))
          SELECT f.scope, f.scope_id, f.period, coalesce(sum(n.spent_micros), 0), coalesce(sum(n.reserved_micros), 0)
          FROM fresh f LEFT JOIN ledger_counts n ON n.period BETWEEN iif(f.period = 'total', '', f.period)
            AND iif(f.period = 'total', '~', f.period)
            AND CASE f.scope WHEN 'tenant' THEN 1 WHEN 'user' THEN n.user_id = f.scope_id
              WHEN 'agent' THEN n.agent_id = f.scope_id ELSE n.key_id = f.scope_id END
          WHERE NOT EXISTS (SELECT 1 FROM budget_counters c WHERE c.scope = f.scope AND c.scope_id = f.scope_id
            AND c.period = f.period)
          GROUP BY f.scope, f.scope_id, f.period`,
        params: [scope, scopeId, of],
      },
    ];
  }

  private now(scope: TenantScope): { month: string; endMs: number } {
    return monthOf(this.calendars.of(scope.tenant.timeZone), this.clock.nowMs());
  }
}
