/**
 * The statements of a reservation. Owns: the one batch that decides against all budgets together, its release, its
 * lease. Refuses to know: prices, when calls are made. What follows in the ledger is in migrations/tenant/0006-ledger.sql.
 */
import type { SqlValue, Statement } from "../../storage/database.ts";
import { backgroundHeld, backgroundSpent } from "../plans/background.ts";
import { endedCredit } from "./credit-lots.ts";

/** A call as the store sees it. Micro-units, milliseconds. */
export interface ReservedCall {
  runId: string;
  /** Unique within the run, over all its attempts. */
  step: number;
  /** 0 a turn, 1 a summary, then calls of tools; as in usage events. */
  ordinal: number;
  amountMicros: number;
  /** The plan's limit for the month; null for none. */
  planLimitMicros: number | null;
  /** Nobody waits for it. */
  isBackground?: boolean | undefined;
  /** The plan's part for such work; null for none. */
  backgroundLimitMicros?: number | null | undefined;
  /** `YYYY-MM`. */
  month: string;
  userId: string;
  agentId: string;
  /** The credential; empty when unknown. */
  keyId: string;
  provider: string;
  model: string;
  /** Empty for a model's call, else what is called; provider and model are empty then. */
  toolName: string;
  priceOrigin: string;
  atMs: number;
  leaseUntilMs: number;
}

/** The ordinal of the first call of a tool; lower ones are calls of models. */
export const FIRST_TOOL_ORDINAL = 2;

/** Budgets that apply to a call; the statement before it is a table `call`. */
const APPLIES = `(b.scope = 'tenant' OR b.scope = 'user' AND b.scope_id = call.user_id
  OR b.scope = 'agent' AND b.scope_id = call.agent_id OR b.scope = 'key' AND b.scope_id = call.key_id)`;

// The plan's limit is drawn first, credit after it; every other budget stands for itself. Credit below zero is none.
const RESERVE = `INSERT INTO reservations (run_id, step, ordinal, state, amount_micros, from_budget_micros,
    from_credit_micros, period, user_id, agent_id, key_id, provider, model, tool_name, price_origin, made_at_ms,
    lease_until_ms, is_background)
  WITH call (run_id, step, ordinal, amount, plan_limit, month, user_id, agent_id, key_id, provider, model,
    tool_name, price_origin, at_ms, lease_until_ms, is_background, background_limit)
    AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)),
  purse AS (SELECT CASE WHEN plan_limit IS NULL THEN amount ELSE max(0, min(amount, plan_limit + coalesce(
    (SELECT balance_micros FROM ledger_balances WHERE account = 'budget:tenant:' || month), 0))) END AS drawn FROM call)
  SELECT run_id, step, ordinal, 'open', amount, drawn, amount - drawn, month, user_id, agent_id, key_id, provider,
    model, tool_name, price_origin, at_ms, lease_until_ms, is_background
  FROM call, purse
  WHERE amount - drawn <= max(0, coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'credit'), 0)
      - ${endedCredit("call.at_ms")})
    AND NOT EXISTS (SELECT 1 FROM budgets b LEFT JOIN budget_counters c ON c.scope = b.scope
        AND c.scope_id = b.scope_id AND c.period = iif(b.period = 'month', call.month, 'total')
      WHERE ${APPLIES} AND coalesce(c.spent_micros + c.reserved_micros, 0) + call.amount > b.limit_micros)
    AND (call.background_limit IS NULL
      OR call.amount + ${backgroundSpent("call.month")} + ${backgroundHeld("call.month")} <= call.background_limit)
  ON CONFLICT DO NOTHING`;

/**
 * The batch that reserves against every budget that applies, or refuses and changes nothing. What earlier attempts of the
 * same run left behind is given back first: those calls are dead, or this one would not be made.
 */
export function reserveStatements(call: ReservedCall, firstStep: number): Statement[] {
  const { month, userId, agentId, keyId } = call;
  const params: SqlValue[] = [
    ...[call.runId, call.step, call.ordinal, call.amountMicros, call.planLimitMicros, month, userId, agentId],
    ...[keyId, call.provider, call.model, call.toolName, call.priceOrigin, call.atMs, call.leaseUntilMs],
    ...[Number(call.isBackground ?? false), call.backgroundLimitMicros ?? null],
  ];
  return [
    {
      sql: `UPDATE reservations SET state = 'released', ended_at_ms = ?
        WHERE run_id = ? AND step < ? AND state = 'open'`,
      params: [call.atMs, call.runId, firstStep],
    },
    { sql: RESERVE, params, expect: 1 },
  ];
}

/** Give back what one call of a tool holds. */
export function releaseTool(runId: string, step: number, ordinal: number, nowMs: number): Statement {
  return {
    sql: `UPDATE reservations SET state = 'released', ended_at_ms = ? WHERE run_id = ? AND step = ? AND ordinal = ?
      AND state = 'open'`,
    params: [nowMs, runId, step, ordinal],
  };
}

/** Give back what one call of a run holds. */
export function releaseCall(runId: string, step: number, nowMs: number): Statement {
  return {
    sql: "UPDATE reservations SET state = 'released', ended_at_ms = ? WHERE run_id = ? AND step = ? AND state = 'open'",
    params: [nowMs, runId, step],
  };
}

/**
 * Give back all that a run holds. ORDER: after the usage events of the same batch, which take what they need first.
 */
export function releaseRun(runId: string, nowMs: number): Statement {
  return {
    sql: "UPDATE reservations SET state = 'released', ended_at_ms = ? WHERE run_id = ? AND state = 'open'",
    params: [nowMs, runId],
  };
}

/** Give back what leases that ended hold, but for runs that are known to go on. */
export function releaseLapsed(nowMs: number, liveRunIds: readonly string[]): Statement {
  return {
    sql: `UPDATE reservations SET state = 'released', ended_at_ms = ? WHERE state = 'open' AND lease_until_ms <= ?
      AND run_id NOT IN (SELECT value FROM json_each(?)) RETURNING run_id, step`,
    params: [nowMs, nowMs, JSON.stringify(liveRunIds)],
  };
}

/** Hold on to what the runs have. */
export function renewLeases(runIds: readonly string[], leaseUntilMs: number): Statement {
  return {
    sql: `UPDATE reservations SET lease_until_ms = ? WHERE state = 'open'
      AND run_id IN (SELECT value FROM json_each(?))`,
    params: [leaseUntilMs, JSON.stringify(runIds)],
  };
}
