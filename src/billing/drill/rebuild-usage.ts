/**
 * Making derived usage follow from the events again. Owns: finding out what does not, and having it computed anew.
 * Refuses to know: who asks. Where all is well nothing is written.
 */
import type { Database, SqlValue } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { UsageRollup } from "../rollup.ts";

/** What did not follow from the events: tables of the tenant's file, and `usage_daily` for the copy in control.db. */
export interface Rebuilt {
  changed: string[];
}

/** Days compared at once. */
const DAYS = 5_000;

/** Rebuild what has to be; with `isCheck` only say what would be. */
export async function rebuildUsage(
  rollup: UsageRollup,
  control: Database,
  scope: TenantScope,
  isCheck = false,
): Promise<Rebuilt> {
  // What is merely not copied yet is no difference.
  if (!isCheck) await rollup.pushDirty(scope);
  const changed = await rollup.listDrift(scope);
  if (await isCopyWrong(control, scope)) changed.push("usage_daily");
  if (changed.length > 0 && !isCheck) await rollup.rebuild(scope);
  return { changed };
}

interface DaySums {
  day: string;
  rows: number;
  cost: number;
  charged: number;
  tokens: number;
  calls: number;
}

const SUMS = `day, count(*) AS rows, sum(cost_micros) AS cost, sum(platform_cost_micros) AS charged,
  sum(input_tokens + output_tokens + cache_read_tokens + cache_write_tokens) AS tokens,
  sum(model_calls + tool_calls) AS calls`;

/** Whether control.db disagrees on any day that is not waiting to be copied. */
async function isCopyWrong(control: Database, scope: TenantScope): Promise<boolean> {
  const waiting = new Set(
    (await scope.db.list<{ day: string }>(`SELECT day FROM usage_dirty_days LIMIT ${DAYS}`)).map(
      (row) => row.day,
    ),
  );
  const read = async (database: Database, where: string, params: SqlValue[]) => {
    const sql = `SELECT ${SUMS} FROM ${where} GROUP BY day ORDER BY day LIMIT ${DAYS}`;
    const rows = await database.list<DaySums>(sql, params);
    return JSON.stringify(rows.filter((row) => !waiting.has(row.day)));
  };
  const own = await read(scope.db, "usage_days_true", []);
  return own !== (await read(control, "usage_daily WHERE tenant_id = ?", [scope.tenantId]));
}
