/**
 * Monthly statements in the tenant's own file. Owns: which events a month holds, closing months one after another, and
 * that a closed month never changes. Refuses to know: forms (JSON, CSV, pages), who reads them.
 *
 * An event is counted exactly once: with the month of its day if it was there when that month was closed, else as an
 * adjustment in the first month that was still open. The day is the one written into the event, in the time zone that
 * the tenant had then; a later change of the zone moves nothing.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { SqlValue } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { Calendars } from "../calendar.ts";
import { headStatements } from "../ledger/chain/heads.ts";
import { isMonth, nextMonth, type Statement, type StatementLine, totalsOf } from "./statement.ts";

/** A statement without its lines. */
export interface StatementHead {
  month: string;
  state: "open" | "closed";
  currency: string;
  totalMicros: number;
  /** How many lines it has. */
  lines: number;
  closedAtMs: number | null;
}

/** What statements need. */
export interface StatementDeps {
  clock: Clock;
  /** ISO 4217 code of the tenant's one currency. */
  currencyOf(scope: TenantScope): Promise<string>;
  /** Name of the plan that held at a moment; a statement names the one at the end of its month. */
  planAt(scope: TenantScope, atMs: number): Promise<string>;
}

/** Time after the end of a month before it is closed, so that turns under way then are still in it. */
export const GRACE_MS = 24 * 3_600_000;
/** Ten years. */
const MOST_MONTHS = 120;
const MOST_LINES = 20_000;

const MEASURES = `count(*) AS calls, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
  sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_tokens) AS cache_write_tokens,
  sum(kind = 'model' AND NOT is_exact) AS estimated_calls, sum(cost_micros) AS cost_micros,
  sum(iif(key_owner = 'tenant', 0, cost_micros - overrun)) AS charged_micros`;
const GROUPS = "for_month, provider, model, tool_name, price_version, key_owner";
// What a provider counted above what was reserved is not the tenant's; the ledger says so too.
const EVENTS = `SELECT *, substr(day, 1, 7) AS for_month, price_origin AS price_version, coalesce((
    SELECT r.overrun_micros FROM reservations r WHERE r.run_id = e.run_id AND r.step = e.step
      AND r.ordinal = e.ordinal AND r.state = 'settled' AND e.kind = 'model'), 0) AS overrun
  FROM usage_events e`;
const CLOSED_THROUGH = "(SELECT coalesce(max(through_seq), 0) FROM statements)";

/** The lines of a month that is not closed; parameters: month, month, month. */
const LINES = `
  SELECT 'usage' AS kind, ${GROUPS}, ${MEASURES} FROM (${EVENTS} WHERE day BETWEEN ? || '-01' AND ? || '-31')
    GROUP BY ${GROUPS}
  UNION ALL
  SELECT 'adjustment' AS kind, ${GROUPS}, ${MEASURES}
    FROM (${EVENTS} WHERE day < ? || '-01' AND seq > ${CLOSED_THROUGH}) GROUP BY ${GROUPS}`;
const COLUMNS = `kind, ${GROUPS}, calls, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
  estimated_calls, cost_micros, charged_micros`;
const ORDER = `kind DESC, ${GROUPS}`;
const IS_NEXT = `NOT EXISTS (SELECT 1 FROM statements WHERE month >= ?)
  AND coalesce((SELECT max(month) FROM statements), '') = ?`;

const INSERT_LINES = `INSERT INTO statement_lines (month, ordinal, ${COLUMNS})
  SELECT ?, row_number() OVER (ORDER BY ${ORDER}), ${COLUMNS} FROM (${LINES}) WHERE ${IS_NEXT}`;
const INSERT_HEAD = `INSERT INTO statements
    (month, currency, time_zone, plan, closed_at_ms, through_seq, total_micros, line_count)
  SELECT ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) FROM usage_events),
    coalesce(sum(charged_micros), 0), count(*) FROM statement_lines WHERE month = ? HAVING ${IS_NEXT}`;

interface HeadRow {
  month: string;
  currency: string;
  time_zone: string;
  plan: string;
  closed_at_ms: number;
  through_seq: number;
  total_micros: number;
  line_count: number;
}

interface LineRow {
  kind: StatementLine["kind"];
  for_month: string;
  provider: string;
  model: string;
  tool_name: string;
  price_version: string;
  key_owner: string;
  calls: number;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  estimated_calls: number;
  cost_micros: number;
  charged_micros: number;
}

/** See the head of this file. */
export class Statements {
  private readonly deps: StatementDeps;
  private readonly calendars = new Calendars();

  constructor(deps: StatementDeps) {
    this.deps = deps;
  }

  /** Months with a statement, newest first, those that are due closed before. */
  async list(scope: TenantScope): Promise<StatementHead[]> {
    await this.closeDue(scope);
    const closed = await scope.db.list<HeadRow>(
      `SELECT * FROM statements ORDER BY month DESC LIMIT ${MOST_MONTHS}`,
    );
    const open: StatementHead[] = [];
    for (const month of (await this.openMonths(scope)).reverse()) {
      const { currency, totalMicros, lines } = await this.readOpen(scope, month);
      open.push({ month, state: "open", currency, totalMicros, lines: lines.length, closedAtMs: null });
    }
    return [...open, ...closed.map(toHead)];
  }

  /** One month; throws `not_found` for months before the first use and after this one. */
  async get(scope: TenantScope, month: string): Promise<Statement> {
    if (!isMonth(month)) throw new AppError("invalid_request", "A month is written YYYY-MM.");
    await this.closeDue(scope);
    const head = await scope.db.find<HeadRow>("SELECT * FROM statements WHERE month = ?", [month]);
    if (head !== undefined) return this.readClosed(scope, head);
    if ((await this.openMonths(scope)).includes(month)) return this.readOpen(scope, month);
    throw new AppError("not_found", "There is no statement of this month.");
  }

  /** Close every month whose time and grace are over; returns those that were closed. Repeatable. */
  async closeDue(scope: TenantScope): Promise<string[]> {
    const closed: string[] = [];
    for (const month of await this.openMonths(scope)) {
      if (this.deps.clock.nowMs() < this.endOf(scope, month) + GRACE_MS) break;
      if (await this.close(scope, month)) closed.push(month);
    }
    return closed;
  }

  private async close(scope: TenantScope, month: string): Promise<boolean> {
    const last = await this.lastClosed(scope);
    const { timeZone } = scope.tenant;
    const plan = await this.deps.planAt(scope, this.endOf(scope, month) - 1);
    const head: SqlValue[] = [month, await this.deps.currencyOf(scope), timeZone, plan];
    const isNext = [month, last ?? ""];
    const nowMs = this.deps.clock.nowMs();
    // One transaction: lines and head see the same events, and somebody else's closing is a refusal.
    const outcome = await scope.db.write({
      statements: [
        { sql: INSERT_LINES, params: [month, month, month, month, ...isNext] },
        { sql: INSERT_HEAD, params: [...head, nowMs, month, ...isNext], expect: 1 },
        ...(await headStatements(scope, nowMs, month)),
      ],
    });
    return outcome.committed;
  }

  /** When a month is over in the tenant's zone. */
  private endOf({ tenant }: TenantScope, month: string): number {
    return this.calendars.of(tenant.timeZone).startOf(`${nextMonth(month)}-01`);
  }

  private async lastClosed(scope: TenantScope): Promise<string | undefined> {
    const row = await scope.db.find<{ month: string | null }>("SELECT max(month) AS month FROM statements");
    return row?.month ?? undefined;
  }

  /** Months that are not closed up to this one, oldest first; none before anything was used. */
  private async openMonths(scope: TenantScope): Promise<string[]> {
    const last = await this.lastClosed(scope);
    const first = await scope.db.find<{ day: string | null }>("SELECT min(day) AS day FROM usage_events");
    const start = last === undefined ? first?.day?.slice(0, 7) : nextMonth(last);
    if (start === undefined) return [];
    const today = this.calendars.of(scope.tenant.timeZone).dayOf(this.deps.clock.nowMs()).slice(0, 7);
    const months: string[] = [];
    for (let month = start; month <= today && months.length < MOST_MONTHS; month = nextMonth(month))
      months.push(month);
    return months;
  }

  private async readClosed(scope: TenantScope, head: HeadRow): Promise<Statement> {
    const rows = await scope.db.list<LineRow>(
      `SELECT * FROM statement_lines WHERE month = ? ORDER BY ordinal LIMIT ${MOST_LINES}`,
      [head.month],
    );
    return toStatement(scope, rows, {
      ...{ month: head.month, state: "closed", currency: head.currency, plan: head.plan },
      ...{ timeZone: head.time_zone, closedAtMs: head.closed_at_ms, throughSeq: head.through_seq },
    });
  }

  private async readOpen(scope: TenantScope, month: string): Promise<Statement> {
    const isOldest = (await this.openMonths(scope))[0] === month;
    const rows = await scope.db.report<LineRow>(
      `SELECT * FROM (${LINES}) ORDER BY ${ORDER} LIMIT ${MOST_LINES}`,
      // Only the oldest open month takes adjustments; no day is before year 0.
      [month, month, isOldest ? month : "0000-00"],
    );
    const newest = await scope.db.find<{ seq: number }>(
      "SELECT coalesce(max(seq), 0) AS seq FROM usage_events",
    );
    const { timeZone } = scope.tenant;
    const plan = await this.deps.planAt(
      scope,
      Math.min(this.deps.clock.nowMs(), this.endOf(scope, month) - 1),
    );
    return toStatement(scope, rows, {
      ...{ month, state: "open", currency: await this.deps.currencyOf(scope), plan, timeZone },
      ...{ closedAtMs: null, throughSeq: newest?.seq ?? 0 },
    });
  }
}

function toHead(row: HeadRow): StatementHead {
  const { month, currency } = row;
  const sums = { totalMicros: row.total_micros, lines: row.line_count, closedAtMs: row.closed_at_ms };
  return { month, state: "closed", currency, ...sums };
}

function toStatement(
  scope: TenantScope,
  rows: readonly LineRow[],
  head: Pick<Statement, "month" | "state" | "currency" | "plan" | "timeZone" | "closedAtMs" | "throughSeq">,
): Statement {
  const lines = rows.map(toLine);
  const totals = totalsOf(lines);
  const { id, slug, displayName } = scope.tenant;
  return {
    tenant: { id, slug, name: displayName },
    ...head,
    priceVersions: [...new Set(lines.map((line) => line.priceVersion))].sort(),
    lines,
    totals,
    totalMicros: totals.chargedMicros,
  };
}

function toLine(row: LineRow): StatementLine {
  return {
    kind: row.kind,
    forMonth: row.for_month,
    provider: row.provider,
    model: row.model,
    toolName: row.tool_name,
    priceVersion: row.price_version,
    keyOwner: row.key_owner,
    calls: row.calls,
    inputTokens: row.input_tokens,
    outputTokens: row.output_tokens,
    cacheReadTokens: row.cache_read_tokens,
    cacheWriteTokens: row.cache_write_tokens,
    estimatedCalls: row.estimated_calls,
    costMicros: row.cost_micros,
    chargedMicros: row.charged_micros,
  };
}
