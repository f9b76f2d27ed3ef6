/**
 * Which budget refuses a call. Owns: that look, after the refusal. Refuses to know: words.
 */
import type { TenantScope } from "../../tenancy/scoped.ts";
import { backgroundHeld, backgroundSpent } from "../plans/background.ts";
import type { BudgetPeriod, BudgetScope } from "./budget.ts";
import { endedCredit } from "./credit-lots.ts";
import type { ReservedCall } from "./reserve-sql.ts";

/** The budget that leaves least, of those that do not cover the call. Micro-units. */
export interface Shortage {
  /** `background`: the plan's part for work that nobody waits for. */
  scope: BudgetScope | "background";
  /** `plan` for what the plan sets, which no admin can raise. */
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
  const { month, userId, agentId, keyId, amountMicros, planLimitMicros, atMs } = call;
  const found = await scope.db.find<Shortage>(SHORT, [month, userId, agentId, keyId, amountMicros]);
  if (found !== undefined) return found;
  const background = await findBackgroundShortage(scope, call);
  if (background !== undefined || planLimitMicros === null) return background;
  const purse = await readPurse(scope, month, atMs);
  const left = Math.max(0, planLimitMicros - purse.drawnMicros) + Math.max(0, purse.creditMicros);
  if (left >= amountMicros) return undefined;
  return {
    ...{ scope: "tenant", scopeId: "plan", period: "month", limitMicros: planLimitMicros },
    ...{ spentMicros: purse.drawnMicros - purse.reservedMicros, reservedMicros: purse.reservedMicros },
  };
}

async function findBackgroundShortage(
  scope: TenantScope,
  { month, amountMicros, backgroundLimitMicros: limitMicros }: ReservedCall,
): Promise<Shortage | undefined> {
  if (limitMicros == null) return undefined;
  const row = await scope.db.find<{ spentMicros: number; reservedMicros: number }>(
    `WITH call (month) AS (VALUES (?)) SELECT ${backgroundSpent("call.month")} AS spentMicros,
      ${backgroundHeld("call.month")} AS reservedMicros FROM call`,
    [month],
  );
  const { spentMicros, reservedMicros } = row ?? { spentMicros: 0, reservedMicros: 0 };
  if (spentMicros + reservedMicros + amountMicros <= limitMicros) return undefined;
  return { scope: "background", scopeId: "plan", period: "month", limitMicros, spentMicros, reservedMicros };
}

/** What a month of the plan's limit has given, and the credit that has not ended. `drawnMicros` holds what is reserved. */
export async function readPurse(
  scope: TenantScope,
  month: string,
  atMs: number,
): Promise<{ drawnMicros: number; reservedMicros: number; creditMicros: number }> {
  const sql = `SELECT -coalesce((SELECT balance_micros FROM ledger_balances WHERE account = ?), 0) AS drawnMicros,
    coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'credit'), 0) - ${endedCredit("?")}
      AS creditMicros,
    coalesce((SELECT sum(from_budget_micros) FROM reservations WHERE state = 'open' AND period = ?), 0)
      AS reservedMicros`;
  const row = await scope.db.find<{ drawnMicros: number; reservedMicros: number; creditMicros: number }>(
    sql,
    [`budget:tenant:${month}`, atMs, month],
  );
  return row ?? { drawnMicros: 0, reservedMicros: 0, creditMicros: 0 };
}
