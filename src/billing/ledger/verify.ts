/**
 * Whether the ledger holds. Owns: the comparisons, in the order in which a difference is named.
 * Refuses to know: mending it; a difference is for people to look at.
 */
import type { TenantScope } from "../../tenancy/scoped.ts";

/** The first difference, as numbers where there are any. */
export interface LedgerProblem {
  kind: "sum" | "balance" | "counter" | "reservation" | "unbilled";
  /** What differs: an account, a budget, a call. */
  at: string;
  stored: number;
  recomputed: number;
}

/** What was found. Micro-units. */
export interface LedgerVerdict {
  ok: boolean;
  lines: number;
  spentMicros: number;
  reservedMicros: number;
  creditMicros: number;
  problem: LedgerProblem | null;
}

type Row = Omit<LedgerProblem, "kind">;

const CHECKS: readonly (readonly [LedgerProblem["kind"], string])[] = [
  [
    "sum",
    `SELECT 'all accounts' AS at, total(balance_micros) AS stored, 0 AS recomputed FROM ledger_balances
    HAVING total(balance_micros) <> 0`,
  ],
  [
    "balance",
    `SELECT coalesce(s.account, t.account) AS at, coalesce(s.balance_micros, 0) AS stored,
      coalesce(t.balance_micros, 0) AS recomputed
    FROM ledger_balances s FULL JOIN ledger_balances_true t ON t.account = s.account
    WHERE coalesce(s.balance_micros, 0) <> coalesce(t.balance_micros, 0) ORDER BY 1 LIMIT 1`,
  ],
  [
    "counter",
    `SELECT c.scope || ':' || c.scope_id || ':' || c.period AS at, c.spent_micros + c.reserved_micros AS stored,
      t.spent_micros + t.reserved_micros AS recomputed
    FROM budget_counters c JOIN budget_counters_true t ON t.scope = c.scope AND t.scope_id = c.scope_id
      AND t.period = c.period
    WHERE c.spent_micros <> t.spent_micros OR c.reserved_micros <> t.reserved_micros ORDER BY 1 LIMIT 1`,
  ],
  // What lines hold back for a call is what its reservation says, and an ended one holds nothing.
  [
    "reservation",
    `WITH held AS (SELECT source_id, sum(iif(to_account = 'reserved', amount_micros, -amount_micros)) AS micros
      FROM ledger_transfers WHERE source = 'call' AND 'reserved' IN (from_account, to_account) GROUP BY source_id),
    said AS (SELECT run_id || '/' || step || '/' || ordinal AS source_id, iif(state = 'open', amount_micros, 0) AS micros
      FROM reservations)
    SELECT coalesce(said.source_id, held.source_id) AS at, coalesce(said.micros, 0) AS stored,
      coalesce(held.micros, 0) AS recomputed
    FROM said FULL JOIN held ON held.source_id = said.source_id
    WHERE coalesce(said.micros, 0) <> coalesce(held.micros, 0) ORDER BY 1 LIMIT 1`,
  ],
  // Every metered call is paid for once, or absorbed where the provider counted more than was reserved.
  [
    "unbilled",
    `WITH paid AS (SELECT source, source_id, sum(amount_micros) AS micros FROM ledger_transfers
      WHERE kind IN ('settle', 'charge', 'overrun') AND source IN ('call', 'tool') GROUP BY source, source_id),
    used AS (SELECT iif(kind = 'model', 'call', 'tool') AS source, run_id || '/' || step || '/' || ordinal AS source_id,
      iif(key_owner = 'tenant', 0, min(cost_micros, 1000000000000000)) AS micros FROM usage_events
      WHERE seq > (SELECT usage_seq FROM ledger_start))
    SELECT coalesce(used.source_id, paid.source_id) AS at, coalesce(used.micros, 0) AS stored,
      coalesce(paid.micros, 0) AS recomputed
    FROM used FULL JOIN paid ON paid.source = used.source AND paid.source_id = used.source_id
    WHERE coalesce(used.micros, 0) <> coalesce(paid.micros, 0) ORDER BY 1 LIMIT 1`,
  ],
];

/** Look through the whole ledger of a tenant; reads every line. */
export async function verifyLedger(scope: TenantScope): Promise<LedgerVerdict> {
  let problem: LedgerProblem | null = null;
  for (const [kind, sql] of CHECKS) {
    const row = await scope.db.find<Row>(sql);
    if (row === undefined) continue;
    problem = { kind, ...row };
    break;
  }
  const sums = await scope.db.find<Omit<LedgerVerdict, "ok" | "problem">>(
    `SELECT (SELECT count(*) FROM ledger_transfers) AS lines,
      coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'spent'), 0) AS spentMicros,
      coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'reserved'), 0) AS reservedMicros,
      coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'credit'), 0) AS creditMicros`,
  );
  const { lines = 0, spentMicros = 0, reservedMicros = 0, creditMicros = 0 } = sums ?? {};
  return { ok: problem === null, lines, spentMicros, reservedMicros, creditMicros, problem };
}
