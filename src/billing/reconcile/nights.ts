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

/**
 * The last 14 days that should be compared by now, the newest first, of each provider; and those of providers that no
 * longer tell their usage, as far as they were compared.
 */
export async function listNights(
  control: Database,
  providers: readonly string[],
  nowMs: number,
): Promise<Night[]> {
  const newest = lastNight(nowMs);
  const days = Array.from({ length: NIGHTS }, (_, back) => addDays(newest, -back));
  const rows = await control.list<
    Omit<Night, "isWithin" | "findings"> & { isWithin: number; findings: string }
  >(
    `SELECT provider, day, compared_at_ms AS comparedAtMs, is_within AS isWithin, findings FROM reconciliations
      WHERE key_owner = 'platform' AND day >= ? ORDER BY day DESC, provider LIMIT ${MOST_ROWS}`,
    [days.at(-1) ?? newest],
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
  const missing = providers.flatMap((provider) =>
    days
      .filter((day) => !isThere(provider, day))
      .map((day): Night => ({ provider, day, comparedAtMs: null, isWithin: true, findings: [] })),
  );
  return [...compared, ...missing].sort(
    (left, right) => right.day.localeCompare(left.day) || left.provider.localeCompare(right.provider),
  );
}
