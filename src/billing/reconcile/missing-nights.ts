/** Nights that should be compared and are not. Owns: how far back they are made up. Refuses to know: comparing. */
import type { Database } from "../../storage/database.ts";
import { addDays } from "../calendar.ts";
import type { ComparedKey } from "./troubles.ts";

/** As many nights are made up; providers keep their counts longer. */
const NIGHTS = 31;

/** First day that is made up when the newest is `night`. */
export function firstNight(night: string): string {
  return addDays(night, 1 - NIGHTS);
}

/** Days from one to another that are not compared, those that failed least first, of these the newest. */
export async function listMissing(
  control: Database,
  { provider, keyOwner }: ComparedKey,
  firstDay: string,
  lastDay: string,
): Promise<string[]> {
  const days: string[] = [];
  for (let day = firstDay; day <= lastDay; day = addDays(day, 1)) days.push(day);
  const rows = await control.list<{ day: string }>(
    `SELECT value AS day FROM json_each(?) LEFT JOIN reconciliation_troubles w
        ON w.provider = ? AND w.key_owner = ? AND w.day = value
      WHERE NOT EXISTS (SELECT 1 FROM reconciliations r WHERE r.provider = ? AND r.key_owner = ? AND r.day = value)
      ORDER BY coalesce(w.failures, 0), value DESC`,
    [JSON.stringify(days), provider, keyOwner, provider, keyOwner],
  );
  return rows.map(({ day }) => day);
}

/**
 * Missing nights of the platform's key: the last one, and those since the provider was first used, for what a key did
 * elsewhere before is nobody's difference.
 */
export async function listMissingOfPlatform(
  control: Database,
  provider: string,
  night: string,
): Promise<string[]> {
  const ever = await control.find<{ day: string | null }>("SELECT min(day) AS day FROM usage_daily");
  const since = ever?.day ?? null;
  if (since === null || since > night) return [];
  const first = [since, firstNight(night)].sort().at(-1) ?? night;
  const missing = await listMissing(control, { provider, keyOwner: "platform" }, first, night);
  if (missing.every((day) => day === night)) return missing;
  const [used] = await control.report<{ day: string | null }>(
    "SELECT min(day) AS day FROM usage_daily WHERE day BETWEEN ? AND ? AND provider = ?",
    [first, night, provider],
  );
  const from = used?.day ?? night;
  return missing.filter((day) => day >= from);
}
