/**
 * What a limit would have refused last month. Owns: the one query. Refuses to know: budgets that are set.
 *
 * Amounts are read from the sums by quarter of an hour; a quarter in which the limit would have been reached counts as let
 * through. Calls are those that cost something, from an index of their own: nothing refuses own keys and free models.
 */
import type { TenantScope } from "../../tenancy/scoped.ts";
import { type Calendars, QUARTER_MS } from "../calendar.ts";
import type { Month } from "./spending.ts";

/** A day on which calls would have been refused. */
export interface BlockedDay {
  day: string;
  calls: number;
  costMicros: number;
}

/** Days of the month on which calls would have been refused, oldest first, and all of them together. */
export async function previewLimit(
  scope: TenantScope,
  month: Month,
  limitMicros: number,
  calendars: Calendars,
): Promise<{ month: string; wouldHaveBlocked: BlockedDay[]; total: Omit<BlockedDay, "day"> }> {
  const rows = await scope.db.report<{ slot: number; calls: number; micros: number }>(
    `WITH blocked AS MATERIALIZED (SELECT slot, micros FROM (
        SELECT slot, sum(platform_cost_micros) AS micros,
          sum(sum(platform_cost_micros)) OVER (ORDER BY slot) AS until_here
        FROM usage_quarters WHERE slot >= ? AND slot < ? GROUP BY slot)
      WHERE until_here - micros >= ? AND micros > 0)
      SELECT slot, micros, (SELECT count(*) FROM usage_events
        WHERE at_ms >= blocked.slot * ${QUARTER_MS} AND at_ms < (blocked.slot + 1) * ${QUARTER_MS}
          AND kind = 'model' AND key_owner = 'platform' AND cost_micros > 0) AS calls
      FROM blocked ORDER BY slot LIMIT 4000`,
    [month.startMs / QUARTER_MS, month.endMs / QUARTER_MS, limitMicros],
  );
  const calendar = calendars.of(scope.tenant.timeZone);
  const days = new Map<string, BlockedDay>();
  for (const row of rows) {
    const day = calendar.dayOf(row.slot * QUARTER_MS);
    const known = days.get(day) ?? { day, calls: 0, costMicros: 0 };
    days.set(day, { day, calls: known.calls + row.calls, costMicros: known.costMicros + row.micros });
  }
  const wouldHaveBlocked = [...days.values()];
  const total = wouldHaveBlocked.reduce(
    (sum, { calls, costMicros }) => ({ calls: sum.calls + calls, costMicros: sum.costMicros + costMicros }),
    { calls: 0, costMicros: 0 },
  );
  return { month: month.name, wouldHaveBlocked, total };
}
