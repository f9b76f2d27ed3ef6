/**
 * What tenants cost this month, for whoever runs the platform. Owns: the one query over the daily sums, growth, margin.
 * Refuses to know: what tenants hold; single calls (their own ledgers do).
 *
 * Amounts of different currencies are never set against each other: tenants of the platform's currency come first, and
 * those who are still on a plan of another one after them, by themselves.
 */
import { Calendar } from "../../billing/calendar.ts";
import type { PriceBook } from "../../billing/prices.ts";
import { marginPart } from "../../billing/pricing/price-trial.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";

/** A tenant with its money. */
export interface SpendingRow {
  id: string;
  slug: string;
  name: string;
  plan: string;
  /** Of all its amounts. */
  currency: string;
  /** This month, in the tenant's time zone, with the platform's keys, in micro-units. */
  spentMicros: number;
  /** The plan's budget of a month; null is none. */
  limitMicros: number | null;
  /** This month against the same days of the last one: 0.5 is half as much again; null when there was nothing. */
  growth: number | null;
  /** What is on top of prices today, in hundredths of a percent. */
  marginBasisPoints: number;
  /** Part of `spentMicros` that is margin, at the margin that holds today. */
  marginMicros: number;
  isOver: boolean;
}

/** What the list is read from. */
export interface SpendingListDeps {
  control: Database;
  prices: PriceBook;
  clock: Clock;
}

/** Which tenants, in which order. */
export interface SpendingFilter {
  sort: "spend" | "growth" | "margin";
  /** Only tenants that have used up the budget of their plan. */
  isOver: boolean;
}

/** The most tenants on one list. */
export const SPENDING_ROWS = 200;

const ORDERS = {
  spend: "spent",
  growth: "CAST(spent AS REAL) / max(last, 1)",
  // Among those who spend: margins of nothing say nothing.
  margin: "margin_points * (spent > 0)",
} as const;

type Row = Pick<SpendingRow, "id" | "slug" | "name" | "plan" | "currency" | "limitMicros"> & {
  spent: number;
  last: number;
};

/** The currency of prices and, with them, of plans: that of `plans.default`. */
export async function platformCurrency(control: Database): Promise<string> {
  const sql = "SELECT json_extract(terms, '$.currency') AS currency FROM default_plan";
  const found = await control.find<{ currency: string }>(sql);
  if (found === undefined) throw new AppError("internal", "The default plan is not known yet.");
  return found.currency;
}

/** The tenants that spent or grew most this month, or have the highest margin; at most `SPENDING_ROWS`. */
export async function listSpending(deps: SpendingListDeps, filter: SpendingFilter): Promise<SpendingRow[]> {
  const nowMs = deps.clock.nowMs();
  const today = dayOf(nowMs);
  const rows = await deps.control.list<Row>(
    `WITH zones AS (
        SELECT value ->> 0 AS zone, value ->> 1 AS month, value ->> 2 AS today, value ->> 3 AS before,
          value ->> 4 AS as_far FROM json_each(?)),
      sums AS (
        SELECT t.id, t.slug, t.display_name AS name,
          coalesce(sum(iif(u.day >= z.month, u.platform_cost_micros, 0)), 0) AS spent,
          coalesce(sum(iif(u.day < z.month, u.platform_cost_micros, 0)), 0) AS last
        FROM tenants t JOIN zones z ON z.zone = t.time_zone LEFT JOIN usage_daily u ON u.tenant_id = t.id
          AND (u.day BETWEEN z.month AND z.today OR u.day BETWEEN z.before AND z.as_far)
        GROUP BY t.id),
      pinned AS (
        SELECT s.*, (SELECT p.from_ms FROM tenant_plans p WHERE p.tenant_id = s.id AND p.from_ms <= ?
          ORDER BY p.from_ms DESC LIMIT 1) AS since,
          ${MARGIN} AS margin_points FROM sums s),
      held AS (
        SELECT s.*, coalesce(p.plan, d.plan) AS plan, coalesce(p.terms, d.terms) AS terms,
          json_extract(d.terms, '$.currency') AS ours
        FROM pinned s CROSS JOIN default_plan d
        LEFT JOIN tenant_plans p ON p.tenant_id = s.id AND p.from_ms = s.since),
      said AS (
        SELECT *, json_extract(terms, '$.currency') AS currency,
          json_extract(terms, '$.monthlyBudgetMicros') AS limitMicros FROM held)
      SELECT id, slug, name, plan, currency, limitMicros, spent, last FROM said
      WHERE NOT ? OR (limitMicros IS NOT NULL AND spent >= limitMicros)
      ORDER BY currency <> ours, currency, ${ORDERS[filter.sort]} DESC, spent DESC, slug LIMIT ?`,
    [
      ...[await spansOfZones(deps.control, nowMs), nowMs, today, today],
      ...[filter.isOver ? 1 : 0, SPENDING_ROWS],
    ],
  );
  return rows.map((row) => toSpending(row, deps.prices.marginOf(row.id as TenantId, nowMs)));
}

/** This month and the same days of the last one in each zone that tenants have: days are kept as tenants count them. */
async function spansOfZones(control: Database, nowMs: number): Promise<string> {
  const zones = await control.list<{ zone: string }>(
    "SELECT DISTINCT time_zone AS zone FROM tenants LIMIT 1000",
  );
  const spans = zones.map(({ zone }) => {
    const today = new Calendar(zone).dayOf(nowMs);
    const before = monthBefore(today);
    return [zone, `${today.slice(0, 7)}-01`, today, `${before}-01`, `${before}-${today.slice(8)}`];
  });
  return JSON.stringify(spans);
}

/** The margin that holds on a day, as the price book finds it: the tenant's own, else everybody's. */
const MARGIN = `coalesce(
  (SELECT m.basis_points FROM price_margins m WHERE m.tenant_id = s.id AND m.from_day <= ?
    ORDER BY m.from_day DESC, m.seq DESC LIMIT 1),
  (SELECT m.basis_points FROM price_margins m WHERE m.tenant_id = '' AND m.from_day <= ?
    ORDER BY m.from_day DESC, m.seq DESC LIMIT 1), 0)`;

function toSpending({ spent, last, ...row }: Row, marginBasisPoints: number): SpendingRow {
  return {
    ...row,
    spentMicros: spent,
    growth: last === 0 ? null : (spent - last) / last,
    marginBasisPoints,
    marginMicros: marginPart(spent, marginBasisPoints),
    isOver: row.limitMicros !== null && spent >= row.limitMicros,
  };
}

function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}

/** `YYYY-MM` of the month before a day's. */
function monthBefore(day: string): string {
  const [year, month] = day.split("-").map(Number) as [number, number];
  return month === 1 ? `${year - 1}-12` : `${year}-${String(month - 1).padStart(2, "0")}`;
}
