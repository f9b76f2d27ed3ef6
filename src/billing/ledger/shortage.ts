/**
 * Which budget refuses a call. Owns: that look, after the refusal. Refuses to know: words.
 */
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { BudgetPeriod, BudgetScope } from "./budget.ts";
import type { ReservedCall } from "./reserve-sql.ts";

/** The budget that leaves least, of those that do not cover the call. Micro-units. */
export interface Shortage {
  scope: BudgetScope;
  scopeId: string;
  period: BudgetPeriod;
  limitMicros: number;
  spentMicros: number;
  reservedMicros: number;
}

const SHORT = `SELECT b.scope, b.scope_id AS scopeId, b.period, b.limit_micros AS limitMicros,
    coalesce(c.spent_micros, 0) AS spentMicros, coalesce(c.reserved_micros, 0) AS reservedMicros
  FROM budgets b LEFT JOIN budget_counters c ON c.scope = b.scope AND c.scope_id = b.scope_id
    AND c.period = iif(b.period = 'month', ?, 'total')
  WHERE (b.scope = 'tenant' OR b.scope = 'user' AND b.scope_id = ? OR b.scope = 'agent' AND b.scope_id = ?
      OR b.scope = 'key' AND b.scope_id = ?)
    AND coalesce(c.spent_micros + c.reserved_micros, 0) + ? > b.limit_micros
  ORDER BY b.limit_micros - coalesce(c.spent_micros + c.reserved_micros, 0) LIMIT 1`;

/** The shortage as it is now; undefined when the call would fit by now. */
export async function findShortage(scope: TenantScope, call: ReservedCall): Promise<Shortage | undefined> {
  const { month, userId, agentId, keyId, amountMicros, planLimitMicros } = call;
  const found = await scope.db.find<Shortage>(SHORT, [month, userId, agentId, keyId, amountMicros]);
  if (found !== undefined || planLimitMicros === null) return found;
  const purse = await readPurse(scope, month);
  const left = Math.max(0, planLimitMicros - purse.drawnMicros) + Math.max(0, purse.creditMicros);
  if (left >= amountMicros) return undefined;
  return {
    ...{ scope: "tenant", scopeId: "", period: "month", limitMicros: planLimitMicros },
    ...{ spentMicros: purse.drawnMicros - purse.reservedMicros, reservedMicros: purse.reservedMicros },
  };
}

/** What a month of the plan's limit has given, and what is left of credit. `drawnMicros` holds what is reserved. */
export async function readPurse(
  scope: TenantScope,
  month: string,
): Promise<{ drawnMicros: number; reservedMicros: number; creditMicros: number }> {
  const sql = `SELECT -coalesce((SELECT balance_micros FROM ledger_balances WHERE account = ?), 0) AS drawnMicros,
    coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'credit'), 0) AS creditMicros,
    coalesce((SELECT sum(from_budget_micros) FROM reservations WHERE state = 'open' AND period = ?), 0)
      AS reservedMicros`;
  const row = await scope.db.find<{ drawnMicros: number; reservedMicros: number; creditMicros: number }>(
    sql,
    [`budget:tenant:${month}`, month],
  );
  return row ?? { drawnMicros: 0, reservedMicros: 0, creditMicros: 0 };
}
