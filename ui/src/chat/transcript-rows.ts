/** Merging transcript rows from pages and live events. Owns: order and identity. Refuses to know: how rows arrive. */
import type { TranscriptRow } from "../gateway/wire.ts";

const seqOf = (row: TranscriptRow): number | undefined => row.__openclaw?.seq;

/** Puts the newest page in place: rows before the page stay, rows inside or after it are replaced. */
export function takeTail(before: readonly TranscriptRow[], tail: readonly TranscriptRow[]): TranscriptRow[] {
  const first = tail[0] ? seqOf(tail[0]) : undefined;
  if (first === undefined) return [...tail];
  const older = before.filter((row) => {
    const seq = seqOf(row);
    return seq !== undefined && seq < first;
  });
  const lastOlder = older.at(-1) ? seqOf(older.at(-1) as TranscriptRow) : undefined;
  // A hole between the old rows and the page would show a false conversation; drop the old rows instead.
  if (lastOlder !== undefined && lastOlder < first - 1) return [...tail];
  return [...older, ...tail];
}

/** Puts an older page in front, skipping rows already there. */
export function takeOlder(page: readonly TranscriptRow[], before: readonly TranscriptRow[]): TranscriptRow[] {
  const known = new Set(before.map((row) => row.__openclaw?.id));
  return [...page.filter((row) => !known.has(row.__openclaw?.id)), ...before];
}

/** Adds or replaces one live row by id, in sequence order. */
export function takeRow(before: readonly TranscriptRow[], row: TranscriptRow): TranscriptRow[] {
  const id = row.__openclaw?.id;
  const seq = seqOf(row);
  if (id === undefined || seq === undefined) return [...before];
  const others = before.filter((other) => other.__openclaw?.id !== id);
  const at = others.findIndex((other) => (seqOf(other) ?? -1) > seq);
  if (at === -1) return [...others, row];
  return [...others.slice(0, at), row, ...others.slice(at)];
}

/** Index of the last row a person wrote, or -1. */
export function lastUserIndex(rows: readonly TranscriptRow[]): number {
  return rows.findLastIndex((row) => row.role === "user");
}
