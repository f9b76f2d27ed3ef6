/**
 * What tenants cost this month, for whoever runs the platform. Owns: the one query over the daily sums, growth, margin.
 * Refuses to know: what tenants hold; single calls (their own ledgers do).
 */
import type { TenantPlans } from "../../billing/plans/tenant-plans.ts";
import type { PriceBook } from "../../billing/prices.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";

/** A tenant with its money. */
export interface SpendingRow {
  id: string;
  slug: string;
  name: string;
  plan: string;
  /** This month (UTC) with the platform's keys, in micro-units. */
  spentMicros: number;
  /** The plan's budget of a month; null is none. */
  limitMicros: number | null;
  /** This month against the same days of the last one: 0.5 is half as much again; null when there was nothing. */
  growth: number | null;
  /** Part of `spentMicros` that is margin, at the margin that holds today. */
  marginMicros: number;
  isOver: boolean;
}

/** What the list is read from. */
export interface SpendingListDeps {
  control: Database;
  plans: TenantPlans;
  prices: PriceBook;
  clock: Clock;
}

const ROWS = 200;

/** The tenants that spent most, or grew most, this month. */
export async function listSpending(deps: SpendingListDeps, sort: "spend" | "growth"): Promise<SpendingRow[]> {
  const nowMs = deps.clock.nowMs();
  const [today, month, before] = [dayOf(nowMs), dayOf(nowMs).slice(0, 7), monthBefore(dayOf(nowMs))];
  const rows = await deps.control.list<{
    id: string;
    slug: string;
    name: string;
    spent: number;
    last: number;
  }>(
    `SELECT t.id, t.slug, t.display_name AS name,
        coalesce(sum(iif(u.day >= ?, u.platform_cost_micros, 0)), 0) AS spent,
        coalesce(sum(iif(u.day < ?, u.platform_cost_micros, 0)), 0) AS last
      FROM tenants t LEFT JOIN usage_daily u ON u.tenant_id = t.id
        AND ((u.day >= ? AND u.day <= ?) OR (u.day >= ? AND u.day <= ?))
      GROUP BY t.id ORDER BY ${sort === "spend" ? "spent" : "CAST(spent AS REAL) / max(last, 1)"} DESC, t.slug LIMIT ?`,
    [
      ...[`${month}-01`, `${month}-01`, `${month}-01`, today],
      ...[`${before}-01`, `${before}-${today.slice(8)}`, ROWS],
    ],
  );
  return Promise.all(
    rows.map(async ({ id, slug, name, spent, last }) => {
      const { plan } = await deps.plans.of(id as TenantId);
      const { monthlyBudgetMicros: limitMicros } = plan.terms;
      const basisPoints = deps.prices.marginOf(id as TenantId, nowMs);
      return {
        ...{ id, slug, name, plan: plan.id, spentMicros: spent, limitMicros },
        growth: last === 0 ? null : (spent - last) / last,
        marginMicros: basisPoints <= -10_000 ? 0 : Math.round((spent * basisPoints) / (10_000 + basisPoints)),
        isOver: limitMicros !== null && spent >= limitMicros,
      };
    }),
  );
}

function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}

/** `YYYY-MM` of the month before a day's. */
function monthBefore(day: string): string {
  const [year, month] = day.split("-").map(Number) as [number, number];
  return month === 1 ? `${year - 1}-12` : `${year}-${String(month - 1).padStart(2, "0")}`;
}
