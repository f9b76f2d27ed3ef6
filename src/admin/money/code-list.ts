/**
 * Which redemption codes there are. Owns: putting them together as they were made, reading them in pieces.
 * Refuses to know: the codes themselves, which nobody can read again, and redeeming.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database } from "../../storage/database.ts";

/** Codes that were made together. */
export interface CodeBatch {
  /** What it is named by where it is voided; null for old ones. */
  id: string | null;
  madeAtMs: number;
  /** Id of whoever made them, and their name while it is known. */
  madeBy: string;
  madeByName: string | null;
  amountMicros: number;
  currency: string;
  /** After it what is not redeemed cannot be; null for never. */
  expiresAtMs: number | null;
  made: number;
  redeemed: number;
  /** Of those that were not redeemed: whether they ended. */
  isExpired: boolean;
  /** By whom and when, the newest first, at most `MOST_SHOWN`. */
  redemptions: { tenantId: string; slug: string | null; name: string | null; atMs: number }[];
}

const PAGE = 2_000;
const MOST_CODES = 500_000;
const MOST_BATCHES = 200;
const MOST_SHOWN = 100;

interface CodeRow {
  batch: string | null;
  hash: string;
  amount_micros: number;
  currency: string;
  made_at_ms: number;
  made_by: string;
  expires_at_ms: number | null;
  redeemed_by: string | null;
  redeemed_at_ms: number | null;
}

/** Batches, the newest first, at most 200; `isCut` when there are more. */
export async function listCodes(
  control: Database,
  nowMs: number,
): Promise<{ batches: CodeBatch[]; isCut: boolean }> {
  const batches = new Map<string, CodeBatch>();
  let after = "";
  let seen = 0;
  // Codes are found by their hash alone: a page at a time, so that nobody waits for all of them.
  for (; seen < MOST_CODES; await nextTurn()) {
    const rows = await control.list<CodeRow>(
      "SELECT * FROM redemption_codes WHERE hash > ? ORDER BY hash LIMIT ?",
      [after, PAGE],
    );
    for (const row of rows) addTo(batches, row, nowMs);
    seen += rows.length;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) break;
    after = last.hash;
  }
  const found = [...batches.values()].sort((left, right) => right.madeAtMs - left.madeAtMs);
  const shown = found.slice(0, MOST_BATCHES);
  for (const { redemptions } of shown) {
    redemptions.sort((left, right) => right.atMs - left.atMs);
    redemptions.length = Math.min(redemptions.length, MOST_SHOWN);
  }
  await addNames(control, shown);
  return { batches: shown, isCut: found.length > shown.length || seen >= MOST_CODES };
}

function addTo(batches: Map<string, CodeBatch>, row: CodeRow, nowMs: number): void {
  const key = [
    row.batch,
    row.made_at_ms,
    row.made_by,
    row.amount_micros,
    row.currency,
    row.expires_at_ms,
  ].join(" ");
  const batch = batches.get(key) ?? {
    id: row.batch,
    ...{ madeAtMs: row.made_at_ms, madeBy: row.made_by, madeByName: null },
    ...{ amountMicros: row.amount_micros, currency: row.currency, expiresAtMs: row.expires_at_ms },
    ...{ made: 0, redeemed: 0, redemptions: [] },
    isExpired: row.expires_at_ms !== null && row.expires_at_ms <= nowMs,
  };
  batches.set(key, batch);
  batch.made += 1;
  if (row.redeemed_by === null) return;
  batch.redeemed += 1;
  const atMs = row.redeemed_at_ms ?? 0;
  batch.redemptions.push({ tenantId: row.redeemed_by, slug: null, name: null, atMs });
}

async function addNames(control: Database, batches: readonly CodeBatch[]): Promise<void> {
  const redemptions = batches.flatMap((batch) => batch.redemptions);
  const ids = (all: readonly string[]) => JSON.stringify([...new Set(all)]);
  const [tenants, users] = await Promise.all([
    control.list<{ id: string; slug: string; name: string }>(
      "SELECT id, slug, display_name AS name FROM tenants WHERE id IN (SELECT value FROM json_each(?)) LIMIT 100000",
      [ids(redemptions.map(({ tenantId }) => tenantId))],
    ),
    control.list<{ id: string; name: string }>(
      "SELECT id, display_name AS name FROM users WHERE id IN (SELECT value FROM json_each(?)) LIMIT 100000",
      [ids(batches.map(({ madeBy }) => madeBy))],
    ),
  ]);
  const [tenantOf, nameOf] = [
    new Map(tenants.map((row) => [row.id, row])),
    new Map(users.map((row) => [row.id, row.name])),
  ];
  for (const redemption of redemptions) {
    const tenant = tenantOf.get(redemption.tenantId);
    redemption.slug = tenant?.slug ?? null;
    redemption.name = tenant?.name ?? null;
  }
  for (const batch of batches) batch.madeByName = nameOf.get(batch.madeBy) ?? null;
}
