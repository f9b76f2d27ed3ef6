/**
 * Limits that a tenant sets for itself, its people, agents and keys. Owns: setting and showing them.
 * Refuses to know: the plan's own limit, what refuses a call (reserve-sql does).
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { Calendars } from "../calendar.ts";
import { type Budget, type BudgetKey, monthOf } from "./budget.ts";

/** Budgets of one tenant; more is a mistake. */
const MOST = 10_000;

// A counter that is not there is of a month, or of somebody, without lines.
const ROWS = `SELECT b.scope, b.scope_id AS scopeId, b.period, b.limit_micros AS limitMicros,
    coalesce(c.spent_micros, 0) AS spentMicros, coalesce(c.reserved_micros, 0) AS reservedMicros
  FROM budgets b LEFT JOIN budget_counters c ON c.scope = b.scope AND c.scope_id = b.scope_id
    AND c.period = iif(b.period = 'month', ?, 'total')`;

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
    const rows = await scope.db.list<Row>(
      `${ROWS} ORDER BY CASE b.scope WHEN 'tenant' THEN 0 WHEN 'agent' THEN 1 WHEN 'user' THEN 2 ELSE 3 END, b.scope_id,
        b.period LIMIT ${MOST}`,
      [month],
    );
    return rows.map((row) => ({ ...row, resetAtMs: row.period === "month" ? endMs : null }));
  }

  /**
   * Set a limit in micro-units, or take it away with null. Calls that are being made keep what they reserved. Throws
   * `limit_reached` for one budget more than there can be; those that are there can always be changed.
   */
  async set(scope: TenantScope, key: BudgetKey, limitMicros: number | null): Promise<void> {
    if ((key.scope === "tenant") !== (key.scopeId === ""))
      throw new AppError(
        "invalid_request",
        "A budget of the organization has no scopeId; every other needs one.",
      );
    if (limitMicros !== null && (!Number.isSafeInteger(limitMicros) || limitMicros < 0))
      throw new AppError("invalid_request", "A limit is a whole number of micro-units, not below zero.");
    const statement = limitMicros === null ? removal(key) : this.change(key, limitMicros);
    const outcome = await scope.db.write({ statements: [statement] });
    if (!outcome.committed)
      throw new AppError("limit_reached", `There are ${MOST} budgets already; take one away first.`);
  }

  /** What a budget has left; null when there is none. Micro-units, not below zero. */
  async remaining(scope: TenantScope, key: BudgetKey): Promise<number | null> {
    const found = await scope.db.find<Row>(`${ROWS} WHERE b.scope = ? AND b.scope_id = ? AND b.period = ?`, [
      this.now(scope).month,
      ...[key.scope, key.scopeId, key.period],
    ]);
    if (found === undefined) return null;
    return Math.max(0, found.limitMicros - found.spentMicros - found.reservedMicros);
  }

  /** What was spent before the limit was set is in its counter already, which every line keeps. */
  private change({ scope, scopeId, period }: BudgetKey, limitMicros: number): Statement {
    return {
      sql: `INSERT INTO budgets SELECT ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM budgets) < ${MOST}
          OR EXISTS (SELECT 1 FROM budgets WHERE scope = ? AND scope_id = ? AND period = ?)
        ON CONFLICT DO UPDATE SET limit_micros = excluded.limit_micros, set_at_ms = excluded.set_at_ms`,
      params: [scope, scopeId, period, limitMicros, this.clock.nowMs(), scope, scopeId, period],
      expect: 1,
    };
  }

  private now(scope: TenantScope): { month: string; endMs: number } {
    return monthOf(this.calendars.of(scope.tenant.timeZone), this.clock.nowMs());
  }
}

function removal({ scope, scopeId, period }: BudgetKey): Statement {
  const sql = "DELETE FROM budgets WHERE scope = ? AND scope_id = ? AND period = ?";
  return { sql, params: [scope, scopeId, period] };
}
