/**
 * Corrections of credit: a refund taken back from it, a mistake put right. Owns: how much may be taken and given, by what
 * is there and by the line that is answered. Refuses to know: who may do it, payment providers.
 *
 * Money that was refunded may have been used already. So a debit that credit does not cover is refused, and the operator
 * decides: a smaller one, or one that leaves credit below zero. Credit below zero buys nothing, and what comes in fills it.
 */
import { AppError } from "../../kernel/errors.ts";
import type { SqlValue, Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Ledger, LineKind } from "./ledger.ts";

/** A correction. */
export interface Adjustment {
  /** The same id counts once, for ever. */
  id: string;
  /** Micro-units, not zero: above it to credit, below it from credit. */
  amountMicros: number;
  /** The line that it answers: one that gave credit, for a debit; a debit, to take that back. */
  linkedTo?: string | undefined;
  /** Whether a debit may leave credit below zero. */
  mayOwe?: boolean | undefined;
  details?: Record<string, unknown> | undefined;
}

/** A line about credit that is no call's. Micro-units, milliseconds. */
export interface CreditLine {
  seq: number;
  id: string;
  kind: LineKind;
  /** Below zero what left credit. */
  amountMicros: number;
  atMs: number;
  linkedTo: string | null;
  reason: string | null;
  /** Null for never. */
  expiresAtMs: number | null;
  /** What of it is still there; null for what left credit. */
  leftMicros: number | null;
  /** How much of it can be answered by a correction. */
  openMicros: number;
}

/** What is written about a correction. */
export const ADJUSTMENT_SOURCE = "adjustment";

/** What corrections have not answered of a line `l`. A debit that was taken back itself does not count. */
const OPEN = `l.amount_micros - coalesce((SELECT sum(d.amount_micros - coalesce((SELECT sum(c.amount_micros)
    FROM ledger_transfers c WHERE c.kind = 'adjust' AND c.linked_to = d.id), 0))
  FROM ledger_transfers d WHERE d.kind = 'adjust' AND d.linked_to = l.id), 0)`;
const GAVE = `l.to_account = 'credit' AND (l.kind IN ('top_up', 'grant', 'redeem') OR l.kind = 'adjust' AND l.linked_to IS NULL)`;
const TOOK = `l.from_account = 'credit' AND l.kind = 'adjust'`;
const BALANCE = "coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'credit'), 0)";
const BY_NAME = "l.source = ? AND l.source_id = ? AND l.ordinal = ?";

/** See the head of this file. */
export class Adjustments {
  private readonly ledger: Ledger;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
  }

  /**
   * Book it, with what is `alongside` in the same commit; false when this id was booked before. Throws `not_found` for a
   * line that cannot be answered, `conflict` for more than is left of it or, unless it `mayOwe`, than the credit there is.
   */
  async book(
    scope: TenantScope,
    adjustment: Adjustment,
    alongside: readonly Statement[] = [],
  ): Promise<boolean> {
    const line = this.statement(scope, adjustment);
    const { committed } = await scope.db.write({ statements: [{ ...line, expect: 1 }, ...alongside] });
    if (committed) return true;
    if (await this.isBooked(scope, adjustment)) return false;
    throw await explain(scope, adjustment);
  }

  /**
   * Whether a correction of this id is there already. Throws `idempotency_conflict` when it is, with another amount or
   * for another line.
   */
  async isBooked(scope: TenantScope, { id, amountMicros, linkedTo }: Adjustment): Promise<boolean> {
    const sql = `SELECT iif(l.to_account = 'credit', 1, -1) * l.amount_micros AS micros, l.linked_to AS linkedTo
      FROM ledger_transfers l WHERE ${BY_NAME}`;
    const name = [ADJUSTMENT_SOURCE, id, 0];
    const known = await scope.db.find<{ micros: number; linkedTo: string | null }>(sql, name);
    if (known === undefined) return false;
    if (known.micros === amountMicros && known.linkedTo === (linkedTo ?? null)) return true;
    throw new AppError("idempotency_conflict", "This was booked before with another amount or line.", {
      details: { amountMicros: known.micros },
    });
  }

  /** When the credit of a correction ends: a debit that is taken back gives what it took, which may have ended since. */
  async endOf(scope: TenantScope, { amountMicros, linkedTo }: Adjustment): Promise<number | null> {
    if (amountMicros < 0 || linkedTo === undefined) return null;
    const sql = `SELECT linked_to AS id FROM ledger_transfers l WHERE ${BY_NAME} AND ${TOOK}`;
    const lot = (await scope.db.find<{ id: string | null }>(sql, nameOf(linkedTo)))?.id;
    if (lot === null || lot === undefined) return null;
    const given = `SELECT details ->> 'expiresAtMs' AS endsAtMs FROM ledger_transfers l WHERE ${BY_NAME}`;
    return (await scope.db.find<{ endsAtMs: number | null }>(given, nameOf(lot)))?.endsAtMs ?? null;
  }

  /** Lines about credit but those of calls, the newest first; at most `limit`. */
  async list(scope: TenantScope, limit: number): Promise<CreditLine[]> {
    return scope.db.list<CreditLine>(
      `SELECT l.seq, l.id, l.kind, iif(l.to_account = 'credit', 1, -1) * l.amount_micros AS amountMicros, l.at_ms AS atMs,
        l.linked_to AS linkedTo, l.details ->> 'reason' AS reason, l.details ->> 'expiresAtMs' AS expiresAtMs,
        o.left_micros AS leftMicros, iif((${GAVE}) OR (${TOOK}), max(0, ${OPEN}), 0) AS openMicros
      FROM ledger_transfers l LEFT JOIN credit_lots o ON o.seq = l.seq
      WHERE (l.from_account = 'credit' OR l.to_account = 'credit')
        AND l.kind IN ('top_up', 'grant', 'redeem', 'expire', 'adjust') ORDER BY l.seq DESC LIMIT ?`,
      [limit],
    );
  }

  private statement(scope: TenantScope, adjustment: Adjustment): Statement {
    const { id, amountMicros, linkedTo, mayOwe = false, details } = adjustment;
    const isDebit = amountMicros < 0;
    const micros = Math.abs(amountMicros);
    const conditions = ["true"];
    const bounds: SqlValue[] = [];
    if (isDebit && !mayOwe) {
      conditions.push(`${BALANCE} >= ?`);
      bounds.push(micros);
    }
    if (linkedTo !== undefined) {
      conditions.push(
        `(SELECT ${OPEN} FROM ledger_transfers l WHERE ${BY_NAME} AND (${isDebit ? GAVE : TOOK})) >= ?`,
      );
      bounds.push(...nameOf(linkedTo), micros);
    }
    const entry = { source: ADJUSTMENT_SOURCE, sourceId: id, amountMicros: micros, linkedTo, details };
    return this.ledger.adjustStatement(scope, isDebit, entry, { sql: conditions.join(" AND "), bounds });
  }
}

/** Why it was refused, as it is now. */
async function explain(scope: TenantScope, { amountMicros, linkedTo }: Adjustment): Promise<AppError> {
  const isDebit = amountMicros < 0;
  if (linkedTo !== undefined) {
    const sql = `SELECT ${OPEN} AS micros FROM ledger_transfers l WHERE ${BY_NAME} AND (${isDebit ? GAVE : TOOK})`;
    const open = (await scope.db.find<{ micros: number }>(sql, nameOf(linkedTo)))?.micros;
    if (open === undefined) {
      const what = isDebit ? "gave credit" : "is a correction that took credit";
      return new AppError("not_found", `There is no line of this id that ${what}.`);
    }
    if (open < Math.abs(amountMicros))
      return new AppError("conflict", "This is more than is left of that line to take back.", {
        details: { openMicros: Math.max(0, open) },
      });
  }
  const funds = await scope.db.find<{ creditMicros: number; reservedMicros: number }>(
    `SELECT ${BALANCE} AS creditMicros,
      coalesce((SELECT balance_micros FROM ledger_balances WHERE account = 'reserved'), 0) AS reservedMicros`,
  );
  const message = "There is less credit than that. Take less, or let credit go below zero.";
  return new AppError("conflict", message, { details: { ...funds } });
}

/** Source, id and number of a line by its name; what has not that form fits no line. */
function nameOf(line: string): [string, string, number] {
  const parts = /^([^:]+):(.+):(\d{1,9})$/s.exec(line);
  return parts === null ? ["", "", 0] : [parts[1]!, parts[2]!, Number(parts[3])];
}
