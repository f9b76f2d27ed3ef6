/**
 * What nightly comparisons found, night by night. Owns: which nights are asked for, a night without a comparison.
 * Refuses to know: how counts are compared.
 */
import type { Database } from "../../storage/database.ts";
import { addDays } from "../calendar.ts";
import type { Finding } from "./findings.ts";
import { lastNight } from "./reconciler.ts";

/** A provider's day (UTC); without a comparison `comparedAtMs` is null. */
export interface Night {
  provider: string;
  day: string;
  comparedAtMs: number | null;
  isWithin: boolean;
  findings: Finding[];
}

const NIGHTS = 14;
const MOST_ROWS = 1_000;

/** Providers whose nights are listed, for whose key. */
export interface Listed {
  /** `platform` or a tenant's id. */
  keyOwner: string;
  /** Those that tell their usage, from a day on if not always. */
  providers: readonly { id: string; sinceDay?: string }[];
}

/**
 * The last 14 days that should be compared by now, the newest first, of each provider; and those of providers that no
 * longer tell their usage, as far as they were compared.
 */
export async function listNights(
  control: Database,
  { keyOwner, providers }: Listed,
  nowMs: number,
): Promise<Night[]> {
  const newest = lastNight(nowMs);
  const days = Array.from({ length: NIGHTS }, (_, back) => addDays(newest, -back));
  const rows = await control.list<
    Omit<Night, "isWithin" | "findings"> & { isWithin: number; findings: string }
  >(
    `SELECT provider, day, compared_at_ms AS comparedAtMs, is_within AS isWithin, findings FROM reconciliations
      WHERE key_owner = ? AND day >= ? ORDER BY day DESC, provider LIMIT ${MOST_ROWS}`,
    [keyOwner, days.at(-1) ?? newest],
  );
  const compared = rows.map(
    (row): Night => ({
      ...row,
      isWithin: row.isWithin === 1,
      findings: JSON.parse(row.findings) as Finding[],
    }),
  );
  const isThere = (provider: string, day: string) =>
    compared.some((night) => night.provider === provider && night.day === day);
  const missing = providers.flatMap(({ id: provider, sinceDay = "" }) =>
    days
      .filter((day) => day >= sinceDay && !isThere(provider, day))
      .map((day): Night => ({ provider, day, comparedAtMs: null, isWithin: true, findings: [] })),
  );
  return [...compared, ...missing].sort(
    (left, right) => right.day.localeCompare(left.day) || left.provider.localeCompare(right.provider),
  );
}

/** How tenants' own keys fared in the last night, in numbers alone. */
export interface OwnKeyCounts {
  /** Keys whose provider tells its usage. */
  keys: number;
  differing: number;
  /** Keys that cannot be compared at present. */
  failing: number;
}

/** For operators. SECURITY: whose they are, and what was found, is the tenants' own. */
export async function countOwnKeys(control: Database, nowMs: number): Promise<OwnKeyCounts> {
  const counts = await control.find<OwnKeyCounts>(
    `SELECT (SELECT count(*) FROM usage_endpoints) AS keys,
      (SELECT count(*) FROM reconciliations WHERE key_owner <> 'platform' AND day = ? AND is_within = 0) AS differing,
      (SELECT count(*) FROM reconciliation_troubles WHERE key_owner <> 'platform' AND day = '') AS failing`,
    [lastNight(nowMs)],
  );
  return counts ?? { keys: 0, differing: 0, failing: 0 };
}
