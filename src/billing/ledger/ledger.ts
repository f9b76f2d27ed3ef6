/**
 * The tenant's money as lines. Owns: reading lines and balances, lines that people and payments make.
 * Refuses to know: calls (their lines follow from reservations and usage events), who may do it.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { Database, SqlValue, Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { Calendars } from "../calendar.ts";
import { type LedgerVerdict, verifyLedger } from "./verify.ts";

/** What a line is for. */
export const LINE_KINDS = [
  ...(["reserve", "settle", "release", "overrun", "charge"] as const),
  ...(["top_up", "grant", "redeem", "expire", "adjust", "refund"] as const),
] as const;
/** One of the above. */
export type LineKind = (typeof LINE_KINDS)[number];

/** One line: an amount in micro-units from one account to another. */
export interface Transfer {
  seq: number;
  id: string;
  kind: LineKind;
  from: string;
  to: string;
  amountMicros: number;
  atMs: number;
  /** `YYYY-MM`, in the tenant's calendar. */
  period: string;
  source: string;
  sourceId: string;
  runId: string | null;
  linkedTo: string | null;
  details: Record<string, unknown>;
}

/** Which lines come first. */
export const LINE_ORDERS = ["oldest", "newest"] as const;
/** One of the above. */
export type LineOrder = (typeof LINE_ORDERS)[number];

/** Which lines; bounds of time are milliseconds, `fromMs` included and `toMs` not. */
export interface LineFilter {
  /** Lines after this number. */
  after?: number | undefined;
  /** Lines before this number. */
  before?: number | undefined;
  /** `oldest` first unless said. */
  order?: LineOrder | undefined;
  runId?: string | undefined;
  kind?: LineKind | undefined;
  fromMs?: number | undefined;
  toMs?: number | undefined;
  /** 100 unless said, at most 500. */
  limit?: number | undefined;
}

/** Where a line comes from; the same source and id make one line, for ever. */
export interface Entry {
  source: string;
  sourceId: string;
  /** Micro-units, above zero. */
  amountMicros: number;
  atMs?: number | undefined;
  linkedTo?: string | undefined;
  details?: Record<string, unknown> | undefined;
}

const MOST_MICROS = 1_000_000_000_000_000;
const LINE = `seq, id, kind, from_account AS "from", to_account AS "to", amount_micros AS amountMicros, at_ms AS atMs,
  period, source, source_id AS sourceId, nullif(run_id, '') AS runId, linked_to AS linkedTo, details`;

type LineRow = Omit<Transfer, "details"> & { details: string };

/** See the head of this file. */
export class Ledger {
  private readonly clock: Clock;
  private readonly calendars = new Calendars();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Micro-units on an account; 0 when it has no lines. `credit` is what the tenant has left. */
  async balance(scope: TenantScope, account: string): Promise<number> {
    const sql = "SELECT balance_micros AS micros FROM ledger_balances WHERE account = ?";
    return (await scope.db.find<{ micros: number }>(sql, [account]))?.micros ?? 0;
  }

  /** Lines in order; `next` is the `after` of the next page, `before` with the newest first; null at the end. */
  async list(
    scope: TenantScope,
    filter: LineFilter = {},
  ): Promise<{ transfers: Transfer[]; next: number | null }> {
    const limit = Math.min(filter.limit ?? 100, 500);
    const conditions: [string, SqlValue | undefined][] = [
      ["seq > ?", filter.after],
      ["seq < ?", filter.before],
      // Said twice because the index is of lines with a run; of run and kind the run leaves fewer lines.
      ["run_id <> '' AND run_id = ?", filter.runId],
      [filter.runId === undefined ? "kind = ?" : "+kind = ?", filter.kind],
      ["at_ms >= ?", filter.fromMs],
      ["at_ms < ?", filter.toMs],
    ];
    const given = conditions.filter(([, value]) => value !== undefined) as [string, SqlValue][];
    const where = given.length === 0 ? "" : `WHERE ${given.map(([sql]) => sql).join(" AND ")}`;
    // Nothing is in the order of time, so a period long ago is looked for in all lines: not on the event loop.
    const isTimed = filter.runId === undefined && (filter.fromMs !== undefined || filter.toMs !== undefined);
    const sql = `SELECT ${LINE} FROM ledger_transfers ${where} ORDER BY seq ${filter.order === "newest" ? "DESC" : "ASC"} LIMIT ?`;
    const params = [...given.map(([, value]) => value), limit + 1];
    const rows = await (isTimed
      ? scope.db.report<LineRow>(sql, params)
      : scope.db.list<LineRow>(sql, params));
    const page = rows.slice(0, limit);
    const transfers = page.map((row) => ({
      ...row,
      details: JSON.parse(row.details) as Transfer["details"],
    }));
    return { transfers, next: rows.length > limit ? (page.at(-1)?.seq ?? null) : null };
  }

  /** Money that was paid becomes credit. False when this source and id were there before. */
  async topUp(scope: TenantScope, entry: Entry): Promise<boolean> {
    return this.post(scope, this.topUpStatement(scope, entry), entry);
  }

  /** The statement of `topUp`, for a batch that also notes the payment; changes no row when it was there before. */
  topUpStatement(scope: TenantScope, entry: Entry): Statement {
    return this.statement(scope, "top_up", "payments", "credit", entry);
  }

  /** An operator gives credit. What is `alongside`, such as its record, is written with the line and only with it. */
  async grant(scope: TenantScope, entry: Entry, alongside: readonly Statement[] = []): Promise<boolean> {
    return this.post(scope, this.statement(scope, "grant", "grants", "credit", entry), entry, alongside);
  }

  /**
   * Whether this line is there already. Throws `idempotency_conflict` when it is, with another amount or another end of
   * its credit; `details` say which.
   */
  async isPosted(
    scope: TenantScope,
    {
      source,
      sourceId,
      amountMicros,
      details,
    }: Pick<Entry, "source" | "sourceId" | "amountMicros" | "details">,
  ): Promise<boolean> {
    const known = await scope.db.find<{ amountMicros: number; expiresAtMs: number | null }>(
      `SELECT amount_micros AS amountMicros, details ->> 'expiresAtMs' AS expiresAtMs FROM ledger_transfers
        WHERE source = ? AND source_id = ? AND ordinal = 0`,
      [source, sourceId],
    );
    if (known === undefined) return false;
    const endsAtMs = details?.["expiresAtMs"] ?? null;
    if (known.amountMicros === amountMicros && known.expiresAtMs === endsAtMs) return true;
    const message = "This was booked before with another amount or another end.";
    throw new AppError("idempotency_conflict", message, { details: { ...known } });
  }

  /** The statement by which a code becomes credit. */
  redeemStatement(scope: TenantScope, entry: Entry): Statement {
    return this.statement(scope, "redeem", "codes", "credit", entry);
  }

  /**
   * Credit whose time is over leaves, as far as it is there; what calls hold of it leaves when it comes back and this is
   * done again. At most `limit` grants; returns how many.
   */
  async expire(scope: TenantScope, limit: number): Promise<number> {
    const atMs = this.clock.nowMs();
    // A grant can leave in parts, each a line of its own.
    const sql = `INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros,
        at_ms, period, linked_to)
      SELECT 'expiry', l.id, (SELECT count(*) FROM ledger_transfers WHERE source = 'expiry' AND source_id = l.id), 'expire',
        'credit', 'expired', l.left_micros, ?, ?, l.id
      FROM credit_lots l WHERE l.left_micros > 0 AND l.ends_at_ms <= ? ORDER BY l.ends_at_ms, l.seq LIMIT ?`;
    const params = [atMs, this.periodOf(scope, atMs), atMs, limit];
    const outcome = await scope.db.write({ statements: [{ sql, params }] });
    return outcome.committed ? (outcome.results[0]?.changes ?? 0) : 0;
  }

  /** The line of a correction, from credit or to it, if `condition` (SQL, with its `bounds`) holds; see Adjustments. */
  adjustStatement(
    scope: TenantScope,
    isDebit: boolean,
    entry: Entry,
    condition: { sql: string; bounds: readonly SqlValue[] },
  ): Statement {
    const [from, to] = isDebit ? (["credit", "adjustment"] as const) : (["adjustment", "credit"] as const);
    return this.statement(scope, "adjust", from, to, entry, condition);
  }

  /** Check the chain of lines, and all that follows from them; names the first thing wrong. `control`: see verify. */
  verify(scope: TenantScope, control?: Database): Promise<LedgerVerdict> {
    return verifyLedger(scope, control, this.clock);
  }

  private statement(
    scope: TenantScope,
    kind: LineKind,
    from: string,
    to: string,
    entry: Entry,
    condition: { sql: string; bounds: readonly SqlValue[] } = { sql: "true", bounds: [] },
  ): Statement {
    const { amountMicros, source, sourceId } = entry;
    if (!Number.isSafeInteger(amountMicros) || amountMicros < 1 || amountMicros > MOST_MICROS)
      throw new AppError("invalid_request", "An amount is a whole number of micro-units above zero.");
    // What calls make is theirs alone.
    if (source === "call" || source === "tool" || source === "" || sourceId === "")
      throw new AppError("internal", "A ledger line needs a source of its own.");
    const atMs = entry.atMs ?? this.clock.nowMs();
    const period = this.periodOf(scope, atMs);
    return {
      sql: `INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros,
        at_ms, period, linked_to, details)
        SELECT ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, coalesce(?, '{}') WHERE ${condition.sql}
        ON CONFLICT DO NOTHING`,
      params: [
        ...[source, sourceId, kind, from, to, amountMicros, atMs, period, entry.linkedTo ?? null],
        entry.details === undefined ? null : JSON.stringify(entry.details),
        ...condition.bounds,
      ],
    };
  }

  private periodOf({ tenant }: TenantScope, atMs: number): string {
    return this.calendars.of(tenant.timeZone).dayOf(atMs).slice(0, 7);
  }

  private async post(
    scope: TenantScope,
    statement: Statement,
    entry: Entry,
    alongside: readonly Statement[] = [],
  ): Promise<boolean> {
    const outcome = await scope.db.write({ statements: [{ ...statement, expect: 1 }, ...alongside] });
    if (outcome.committed) return true;
    if (await this.isPosted(scope, entry)) return false;
    throw new AppError("internal", "A line of the ledger was refused.");
  }
}
