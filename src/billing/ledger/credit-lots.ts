/**
 * What is left of credit, grant by grant. Owns: how much of it has ended, and adding up each grant anew from the lines,
 * without the triggers of migrations/tenant/0011-credit-lots.sql. Refuses to know: mending it, ending it.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database } from "../../storage/database.ts";

/** SQL: what is left of credit whose time is over by `atMs` (an expression), micro-units; calls get nothing of it. */
export function endedCredit(atMs: string): string {
  return `(SELECT coalesce(sum(left_micros), 0) FROM credit_lots WHERE left_micros > 0 AND ends_at_ms <= ${atMs})`;
}

/** The end of credit that never ends. */
const NEVER_MS = Number.MAX_SAFE_INTEGER;

const PAGE = 500;

interface Line {
  seq: number;
  id: string;
  kind: string;
  from: string;
  to: string;
  micros: number;
  atMs: number;
  endsAtMs: number | null;
  linkedTo: string | null;
}

interface Lot {
  seq: number;
  endsAtMs: number;
  left: number;
}

/** The first grant of which something else is left than its lines say. Reads every line about credit. */
export async function findLotDifference(
  db: Pick<Database, "list">,
): Promise<{ at: string; stored: number; recomputed: number } | null> {
  // ORDER: in one statement, so that both are of the same moment; lines after it are left out.
  const stored = await db.list<{ id: string | null; left: number; upTo: number }>(
    `SELECT l.id, coalesce(l.left_micros, 0) AS left, e.up_to AS upTo
      FROM (SELECT coalesce(max(seq), 0) AS up_to FROM ledger_transfers) AS e LEFT JOIN credit_lots l`,
  );
  const lots = await recompute(db, stored[0]?.upTo ?? 0);
  const known = new Map(stored.map(({ id, left }) => [id, left]));
  known.delete(null);
  for (const id of new Set([...known.keys(), ...lots.keys()])) {
    const [was, is] = [known.get(id) ?? 0, lots.get(id ?? "")?.left ?? 0];
    if (was !== is || !lots.has(id ?? "")) return { at: `credit of ${id}`, stored: was, recomputed: is };
  }
  return null;
}

async function recompute(db: Pick<Database, "list">, upTo: number): Promise<Map<string, Lot>> {
  const book = new LotBook();
  for (let after = 0; ; ) {
    const page = await db.list<Line>(
      `SELECT seq, id, kind, from_account AS "from", to_account AS "to", amount_micros AS micros, at_ms AS atMs,
        details ->> 'expiresAtMs' AS endsAtMs, linked_to AS linkedTo FROM ledger_transfers
        WHERE (from_account = 'credit' OR to_account = 'credit') AND seq > ? AND seq <= ? ORDER BY seq LIMIT ${PAGE}`,
      [after, upTo],
    );
    for (const line of page) book.apply(line);
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return book.lots;
    after = last.seq;
    // A long ledger is read while others are served.
    await nextTurn();
  }
}

class LotBook {
  readonly lots = new Map<string, Lot>();
  /** Those with something left, what ends soonest first. */
  private readonly live: Lot[] = [];
  /** What was taken for calls and may come back, the latest at the end. */
  private readonly taken: { lot: Lot; micros: number }[] = [];
  /** What was taken when there was nothing to take; credit that comes in fills it first. */
  private missing = 0;

  apply(line: Line): void {
    if (line.from === "credit") {
      const own =
        line.kind === "expire" || line.kind === "adjust" ? this.lots.get(line.linkedTo ?? "") : undefined;
      const rest = own === undefined ? line.micros : line.micros - this.takeFrom(own, line.micros);
      this.missing += this.take(rest, line);
      return;
    }
    if (line.from === "reserved") this.giveBack(line.micros);
    else {
      const lot = { seq: line.seq, endsAtMs: line.endsAtMs ?? NEVER_MS, left: 0 };
      this.lots.set(line.id, lot);
      this.add(lot, line.micros);
    }
    if (this.missing > 0) this.missing = this.take(this.missing, line);
  }

  /** Take of what ends soonest, and last of what has ended; returns what could not be taken. */
  private take(wanted: number, line: Line): number {
    let rest = wanted;
    while (rest > 0 && this.live.length > 0) {
      const lot = this.live[this.placeOf(line.atMs, NEVER_MS)] ?? this.live[0]!;
      const micros = this.takeFrom(lot, rest);
      rest -= micros;
      if (line.to === "reserved") this.taken.push({ lot, micros });
    }
    return rest;
  }

  private giveBack(amount: number): void {
    let rest = amount;
    for (let last = this.taken.at(-1); last !== undefined && rest > 0; last = this.taken.at(-1)) {
      const micros = Math.min(rest, last.micros);
      this.add(last.lot, micros);
      last.micros -= micros;
      rest -= micros;
      if (last.micros === 0) this.taken.pop();
    }
  }

  private add(lot: Lot, micros: number): void {
    if (lot.left === 0) this.live.splice(this.placeOf(lot.endsAtMs, lot.seq), 0, lot);
    lot.left += micros;
  }

  private takeFrom(lot: Lot, wanted: number): number {
    const micros = Math.min(lot.left, wanted);
    if (micros === 0) return 0;
    lot.left -= micros;
    if (lot.left === 0) this.live.splice(this.placeOf(lot.endsAtMs, lot.seq), 1);
    return micros;
  }

  /** Place of the first that does not come before this end and line. */
  private placeOf(endsAtMs: number, seq: number): number {
    let [low, high] = [0, this.live.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const lot = this.live[middle]!;
      if (lot.endsAtMs < endsAtMs || (lot.endsAtMs === endsAtMs && lot.seq < seq)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
