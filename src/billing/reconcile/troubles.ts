/**
 * Nights that could not be compared. Owns: how often each failed, and when the provider is asked again: later and later,
 * up to a day, for the key as a whole, so that a provider that is down is not asked for night after night.
 * Refuses to know: comparisons.
 */
import type { Database, Statement } from "../../storage/database.ts";

/** Whose key of which provider; the owner is `platform` or a tenant's id. */
export interface ComparedKey {
  provider: string;
  keyOwner: string;
}

/** Why a key's usage is not compared at present. */
export interface Trouble {
  provider: string;
  failures: number;
  nextAtMs: number;
  lastError: string;
}

/** Somewhat less than the hour between two rounds. */
const FIRST_PAUSE_MS = 55 * 60_000;
const LONGEST_PAUSE_MS = 86_400_000;
const ERROR_CHARS = 300;

/** Note a failure of a night, and of the key. */
export async function noteTrouble(
  control: Database,
  { provider, keyOwner }: ComparedKey,
  day: string,
  error: string,
  nowMs: number,
): Promise<void> {
  const sql = `INSERT INTO reconciliation_troubles SELECT ?, ?, ?, 1, ? + ${FIRST_PAUSE_MS}, ?
    WHERE ? = 'platform' OR EXISTS (SELECT 1 FROM tenants WHERE id = ?)
    ON CONFLICT DO UPDATE SET failures = failures + 1, last_error = excluded.last_error,
      next_at_ms = ? + min(${LONGEST_PAUSE_MS}, ${FIRST_PAUSE_MS} << min(failures, 5))`;
  const params = (about: string) => [
    ...[provider, keyOwner, about, nowMs, error.slice(0, ERROR_CHARS), keyOwner, keyOwner, nowMs],
  ];
  await control.write({ statements: ["", day].map((about) => ({ sql, params: params(about) })) });
}

/** The statement that forgets the troubles of a night, and the key's. */
export function troubleOver({ provider, keyOwner }: ComparedKey, day: string): Statement {
  return {
    sql: "DELETE FROM reconciliation_troubles WHERE provider = ? AND key_owner = ? AND day IN ('', ?)",
    params: [provider, keyOwner, day],
  };
}

/** Between which instants the end of a pause lies that still holds; what is later was set by a clock that was wrong. */
export function pausedFrom(nowMs: number): [number, number] {
  return [nowMs + 1, nowMs + LONGEST_PAUSE_MS];
}

/** Whether the key may be asked now. */
export async function mayAsk(
  control: Database,
  { provider, keyOwner }: ComparedKey,
  nowMs: number,
): Promise<boolean> {
  const row = await control.find(
    `SELECT 1 FROM reconciliation_troubles WHERE provider = ? AND key_owner = ? AND day = ''
      AND next_at_ms BETWEEN ? AND ?`,
    [provider, keyOwner, ...pausedFrom(nowMs)],
  );
  return row === undefined;
}

/** An owner's keys that are not compared at present. */
export function listTroubles(control: Database, keyOwner: string): Promise<Trouble[]> {
  return control.list<Trouble>(
    `SELECT provider, failures, next_at_ms AS nextAtMs, last_error AS lastError FROM reconciliation_troubles
      WHERE key_owner = ? AND day = '' ORDER BY provider LIMIT 100`,
    [keyOwner],
  );
}

/** Forget nights that are made up no more. */
export async function dropTroubles(control: Database, beforeDay: string): Promise<void> {
  const where = "day <> '' AND day < ?";
  const old = await control.find(`SELECT 1 FROM reconciliation_troubles WHERE ${where} LIMIT 1`, [beforeDay]);
  if (old === undefined) return;
  await control.write({
    statements: [{ sql: `DELETE FROM reconciliation_troubles WHERE ${where}`, params: [beforeDay] }],
  });
}
