/**
 * Making derived usage follow from the events again. Owns: finding out what does not, and having it computed anew.
 * Refuses to know: who asks. Where all is well nothing is written.
 */
import type { Database, SqlValue } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { COPIED, type UsageRollup } from "../rollup.ts";

/** What did not follow from the events: tables of the tenant's file, and `usage_daily` for the copy in control.db. */
export interface Rebuilt {
  changed: string[];
}

/** Days compared at once, and at most: a hundred years. */
const DAYS_AT_ONCE = 32;
const MOST_DAYS = 36_500;

/** Where the tenant's days are read: the kept ones when they follow from the events, else the events. */
type OwnDays = "usage_days" | "usage_days_true";

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
  const own = changed.includes("usage_days") ? "usage_days_true" : "usage_days";
  if (await isCopyWrong(control, scope, own)) changed.push("usage_daily");
  if (changed.length > 0 && !isCheck) await rollup.rebuild(scope);
  return { changed };
}

/** Whether control.db's copy differs in any column, on any day that is not waiting to be copied. */
async function isCopyWrong(control: Database, scope: TenantScope, own: OwnDays): Promise<boolean> {
  const [waiting, kept, copied] = await Promise.all([
    readDays(scope.db, "usage_dirty_days", []),
    readDays(scope.db, own, []),
    readDays(control, "usage_daily WHERE tenant_id = ?", [scope.tenantId]),
  ]);
  const days = [...new Set([...kept, ...copied])].filter((day) => !waiting.has(day)).sort();
  for (let at = 0; at < days.length; at += DAYS_AT_ONCE) {
    const wanted = JSON.stringify(days.slice(at, at + DAYS_AT_ONCE));
    const ours = await readRows(scope.db, `${own} WHERE true`, [wanted]);
    const theirs = await readRows(control, "usage_daily WHERE tenant_id = ?", [scope.tenantId, wanted]);
    if (ours !== theirs) return true;
  }
  return false;
}

async function readDays(database: Database, from: string, params: SqlValue[]): Promise<Set<string>> {
  const rows = await database.list<{ day: string }>(
    `SELECT DISTINCT day FROM ${from} LIMIT ${MOST_DAYS}`,
    params,
  );
  return new Set(rows.map(({ day }) => day));
}

/** The rows of some days as one text, the same on both sides when they are the same. */
async function readRows(database: Database, where: string, params: readonly SqlValue[]): Promise<string> {
  const rows = await database.list(
    `SELECT day, ${COPIED.join(", ")} FROM ${where} AND day IN (SELECT value FROM json_each(?))
      ORDER BY day, ${COPIED.join(", ")}`,
    params,
  );
  return JSON.stringify(rows);
}
