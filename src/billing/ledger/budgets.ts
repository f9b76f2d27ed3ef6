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

const KEY = "scope = ? AND scope_id = ? AND period = ?";

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
   * `limit_reached` for one budget more than there can be; those that are there can always be changed. With `knownMicros`,
   * the limit as it was seen (null for none), throws `conflict` when it is another one now; `details` say which.
   */
  async set(
    scope: TenantScope,
    key: BudgetKey,
    limitMicros: number | null,
    knownMicros?: number | null,
  ): Promise<void> {
    if ((key.scope === "tenant") !== (key.scopeId === ""))
      throw new AppError(
        "invalid_request",
        "A budget of the organization has no scopeId; every other needs one.",
      );
    if (limitMicros !== null && (!Number.isSafeInteger(limitMicros) || limitMicros < 0))
      throw new AppError("invalid_request", "A limit is a whole number of micro-units, not below zero.");
    const statement =
      limitMicros === null ? removal(key, knownMicros) : this.change(key, limitMicros, knownMicros);
    const outcome = await scope.db.write({ statements: [statement] });
    if (outcome.committed) return;
    if (!(await isDone(scope, key, limitMicros, knownMicros)))
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
  private change(
    { scope, scopeId, period }: BudgetKey,
    limitMicros: number,
    knownMicros: number | null | undefined,
  ): Statement {
    const isSeen =
      knownMicros === undefined ? "true" : `(SELECT limit_micros FROM budgets WHERE ${KEY}) IS ?`;
    const key = [scope, scopeId, period];
    return {
      sql: `INSERT INTO budgets SELECT ?, ?, ?, ?, ? WHERE ((SELECT count(*) FROM budgets) < ${MOST}
          OR EXISTS (SELECT 1 FROM budgets WHERE ${KEY})) AND ${isSeen}
        ON CONFLICT DO UPDATE SET limit_micros = excluded.limit_micros, set_at_ms = excluded.set_at_ms`,
      params: [
        ...[...key, limitMicros, this.clock.nowMs(), ...key],
        ...(knownMicros === undefined ? [] : [...key, knownMicros]),
      ],
      expect: 1,
    };
  }

  private now(scope: TenantScope): { month: string; endMs: number } {
    return monthOf(this.calendars.of(scope.tenant.timeZone), this.clock.nowMs());
  }
}

function removal({ scope, scopeId, period }: BudgetKey, knownMicros: number | null | undefined): Statement {
  const sql = `DELETE FROM budgets WHERE ${KEY}`;
  const params = [scope, scopeId, period];
  if (knownMicros === undefined) return { sql, params };
  return { sql: `${sql} AND limit_micros IS ?`, params: [...params, knownMicros], expect: 1 };
}

/** Whether a limit is as it is wanted already; throws `conflict` when it is not as it was seen either. */
async function isDone(
  scope: TenantScope,
  key: BudgetKey,
  wantedMicros: number | null,
  knownMicros: number | null | undefined,
): Promise<boolean> {
  if (knownMicros === undefined) return false;
  const found = await scope.db.find<{ micros: number }>(
    `SELECT limit_micros AS micros FROM budgets WHERE ${KEY}`,
    [...[key.scope, key.scopeId, key.period]],
  );
  const limitMicros = found?.micros ?? null;
  if (limitMicros === wantedMicros) return true;
  if (limitMicros === knownMicros) return false;
  throw new AppError("conflict", "Somebody else set this budget meanwhile; look again.", {
    details: { limitMicros },
  });
}
