/**
 * Whether the ledger holds. Owns: the comparisons, in the order in which a difference is named.
 * Refuses to know: mending it; a difference is for people to look at.
 */
import { type Clock, systemClock } from "../../kernel/clock.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { listHeads } from "./chain/heads.ts";
import { type ChainProblem, verifyChain } from "./chain/verify-chain.ts";
import { findLotDifference } from "./credit-lots.ts";

/** Two figures that should be one. */
export interface SumProblem {
  kind: "sum" | "balance" | "counter" | "reservation" | "unbilled" | "lot";
  /** What differs: an account, a budget, a call, a grant of credit. */
  at: string;
  stored: number;
  recomputed: number;
}

/** The first thing wrong: lines that are not what was written, or figures that do not follow from them. */
export type LedgerProblem = SumProblem | ChainProblem;

/** What was found. Micro-units. */
export interface LedgerVerdict {
  ok: boolean;
  lines: number;
  spentMicros: number;
  reservedMicros: number;
  creditMicros: number;
  problem: LedgerProblem | null;
  /** Money held back that should have come back long ago; null when there is none. No difference: the next sweep mends it. */
  stranded: Stranded | null;
}

/** Open reservations whose leases ended more than `STRANDED_MS` ago. */
export interface Stranded {
  calls: number;
  amountMicros: number;
  /** The oldest, as `run/step/ordinal`. */
  at: string;
  leaseUntilMs: number;
}

/** A gateway that runs gives back what nobody stands behind within minutes. */
const STRANDED_MS = 3_600_000;

type Row = Omit<SumProblem, "kind">;

const CHECKS: readonly (readonly [SumProblem["kind"], string])[] = [
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
    `WITH pairs AS (SELECT coalesce(c.scope, t.scope) AS scope, coalesce(c.scope_id, t.scope_id) AS scope_id,
        coalesce(c.period, t.period) AS period, coalesce(c.spent_micros, 0) AS spent, coalesce(t.spent_micros, 0) AS spent_true,
        coalesce(c.reserved_micros, 0) AS held, coalesce(t.reserved_micros, 0) AS held_true
      FROM budget_counters c FULL JOIN budget_counters_true t ON t.scope = c.scope AND t.scope_id = c.scope_id
        AND t.period = c.period)
    SELECT scope || ':' || scope_id || ':' || period AS at, iif(spent <> spent_true, spent, held) AS stored,
      iif(spent <> spent_true, spent_true, held_true) AS recomputed
    FROM pairs WHERE spent <> spent_true OR held <> held_true ORDER BY 1 LIMIT 1`,
  ],
  // What lines hold back for a call is what its reservation says, and an ended one holds nothing.
  [
    "reservation",
    `WITH held AS (SELECT source, source_id, sum(iif(to_account = 'reserved', amount_micros, -amount_micros)) AS micros
      FROM ledger_transfers WHERE source IN ('call', 'tool') AND 'reserved' IN (from_account, to_account)
      GROUP BY source, source_id),
    said AS (SELECT iif(tool_name = '', 'call', 'tool') AS source, run_id || '/' || step || '/' || ordinal AS source_id,
      iif(state = 'open', amount_micros, 0) AS micros FROM reservations)
    SELECT coalesce(said.source_id, held.source_id) AS at, coalesce(said.micros, 0) AS stored,
      coalesce(held.micros, 0) AS recomputed
    FROM said FULL JOIN held ON held.source = said.source AND held.source_id = said.source_id
    WHERE coalesce(said.micros, 0) <> coalesce(held.micros, 0) ORDER BY 1 LIMIT 1`,
  ],
  // Every metered call is paid for once, or absorbed where the provider counted more than was reserved.
  [
    "unbilled",
    `WITH paid AS (SELECT source, source_id, sum(amount_micros) AS micros FROM ledger_transfers
      WHERE kind IN ('settle', 'charge', 'overrun') AND source IN ('call', 'tool', 'storage') GROUP BY source, source_id),
    used AS (SELECT CASE WHEN channel = 'storage' THEN 'storage' WHEN kind = 'model' THEN 'call' ELSE 'tool' END AS source,
      iif(channel = 'storage', day, run_id || '/' || step || '/' || ordinal) AS source_id,
      iif(key_owner = 'tenant', 0, min(cost_micros, 1000000000000000)) AS micros FROM usage_events
      WHERE seq > (SELECT usage_seq FROM ledger_start))
    SELECT coalesce(used.source_id, paid.source_id) AS at, coalesce(used.micros, 0) AS stored,
      coalesce(paid.micros, 0) AS recomputed
    FROM used FULL JOIN paid ON paid.source = used.source AND paid.source_id = used.source_id
    WHERE coalesce(used.micros, 0) <> coalesce(paid.micros, 0) ORDER BY 1 LIMIT 1`,
  ],
];

/**
 * Look through the whole ledger of a tenant; reads every line. With `control` also for what only the platform's own file
 * can tell: that the tenant's file was put back to an older state, or computed anew.
 */
export async function verifyLedger(
  scope: TenantScope,
  control?: Database,
  clock: Pick<Clock, "nowMs"> = systemClock,
): Promise<LedgerVerdict> {
  const elsewhere = control === undefined ? undefined : { control, tenantId: scope.tenantId };
  // ORDER: what was kept before the lines are read is about lines that are there.
  const heads = await listHeads(scope.db, elsewhere);
  const usageSeq = await findUsageSeq(elsewhere);
  const problem =
    (await verifyChain(scope.db, heads)) ??
    (await findOlder(scope, usageSeq)) ??
    (await findDifference(scope));
  const sums = await scope.db.find<Omit<LedgerVerdict, "ok" | "problem" | "stranded">>(
    `SELECT (SELECT count(*) FROM ledger_transfers) AS lines,
      coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'spent'), 0) AS spentMicros,
      coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'reserved'), 0) AS reservedMicros,
      coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'credit'), 0) AS creditMicros`,
  );
  const { lines = 0, spentMicros = 0, reservedMicros = 0, creditMicros = 0 } = sums ?? {};
  const stranded = await findStranded(scope, clock.nowMs());
  return { ok: problem === null, lines, spentMicros, reservedMicros, creditMicros, problem, stranded };
}

async function findStranded({ db }: TenantScope, nowMs: number): Promise<Stranded | null> {
  const row = await db.find<Stranded>(
    `SELECT count(*) AS calls, coalesce(sum(amount_micros), 0) AS amountMicros, run_id || '/' || step || '/' || ordinal AS at,
      min(lease_until_ms) AS leaseUntilMs FROM reservations WHERE state = 'open' AND lease_until_ms < ?`,
    [nowMs - STRANDED_MS],
  );
  return row !== undefined && row.calls > 0 ? row : null;
}

async function findDifference(scope: TenantScope): Promise<SumProblem | null> {
  for (const [kind, sql] of CHECKS) {
    const row = await scope.db.find<Row>(sql);
    if (row !== undefined) return { kind, ...row };
  }
  const lot = await findLotDifference(scope.db);
  return lot === null ? null : { kind: "lot", ...lot };
}

/** The newest usage event that the platform's copies of days know. */
async function findUsageSeq(elsewhere: { control: Database; tenantId: string } | undefined): Promise<number> {
  if (elsewhere === undefined) return 0;
  const sql = "SELECT coalesce(max(as_of_seq), 0) AS seq FROM usage_daily_marks WHERE tenant_id = ?";
  return (await elsewhere.control.find<{ seq: number }>(sql, [elsewhere.tenantId]))?.seq ?? 0;
}

/** A file from before events that the platform has seen already. */
async function findOlder(scope: TenantScope, usageSeq: number): Promise<ChainProblem | null> {
  if (usageSeq === 0) return null;
  const row = await scope.db.find<{ events: number; lines: number }>(
    `SELECT (SELECT coalesce(max(seq), 0) FROM usage_events) AS events,
      (SELECT coalesce(max(seq), 0) FROM ledger_transfers) AS lines`,
  );
  const { events = 0, lines = 0 } = row ?? {};
  if (events >= usageSeq) return null;
  const message = `The platform's figures know ${usageSeq} metered calls; the file ends at call ${events}.`;
  return { kind: "truncated", line: lines + 1, message };
}
