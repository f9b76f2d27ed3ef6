/**
 * What is left of each grant of credit by reading every line again, slowly. Owns: the model that the store's own figures
 * are compared with. Shares nothing with them.
 */

/** A line of the ledger about credit. */
export interface LotLine {
  id: string;
  kind: string;
  from: string;
  to: string;
  micros: number;
  atMs: number;
  expiresAtMs: number | null;
  linkedTo: string | null;
}

interface Lot {
  id: string;
  left: number;
  expiresAtMs: number;
}

/** What is left of each grant, by its line, in the order in which they were given. */
export function replayLots(lines: readonly LotLine[]): Record<string, number> {
  const lots: Lot[] = [];
  /** What was taken and may come back, the latest at the end. */
  const taken: { lot: Lot; micros: number }[] = [];
  let owed = 0;
  for (const line of lines) {
    if (line.from === "credit") owed += take(lots, taken, line, line.micros);
    else if (line.from === "reserved") giveBack(taken, line.micros);
    else
      lots.push({ id: line.id, left: line.micros, expiresAtMs: line.expiresAtMs ?? Number.MAX_SAFE_INTEGER });
    // What was taken though it was not there is filled before anything else.
    if (line.to === "credit" && owed > 0)
      owed = take(lots, [], { ...line, kind: "", linkedTo: null, to: "" }, owed);
  }
  return Object.fromEntries(lots.map((lot) => [lot.id, lot.left]));
}

/** What ended or was taken back, of its own lot; what was used, of the lot that ends soonest, of what ended last of all. */
function take(lots: readonly Lot[], taken: { lot: Lot; micros: number }[], line: LotLine, amount: number) {
  const isOwn = (lot: Lot) => ["expire", "adjust"].includes(line.kind) && lot.id === line.linkedTo;
  const rank = (lot: Lot) => (isOwn(lot) ? 0 : lot.expiresAtMs > line.atMs ? 1 : 2);
  const order = lots.toSorted(
    (left, right) => rank(left) - rank(right) || left.expiresAtMs - right.expiresAtMs,
  );
  let wanted = amount;
  for (const lot of order) {
    const micros = Math.min(wanted, lot.left);
    if (micros === 0) continue;
    lot.left -= micros;
    wanted -= micros;
    if (line.to === "reserved") taken.push({ lot, micros });
  }
  return wanted;
}

function giveBack(taken: { lot: Lot; micros: number }[], amount: number): void {
  let wanted = amount;
  for (let last = taken.at(-1); last !== undefined && wanted > 0; last = taken.at(-1)) {
    const micros = Math.min(wanted, last.micros);
    last.lot.left += micros;
    last.micros -= micros;
    wanted -= micros;
    if (last.micros === 0) taken.pop();
  }
}
