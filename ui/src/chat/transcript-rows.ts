/** Merging transcript rows from pages and live events. Owns: order and identity. Refuses to know: how rows arrive. */
import type { TranscriptRow } from "../gateway/wire.ts";
import type { LiveRun } from "./live-run.ts";

const seqOf = (row: TranscriptRow): number | undefined => row.__openclaw?.seq;

const LOCAL = "local:";
const isLocal = (row: TranscriptRow): boolean => row.__openclaw?.id?.startsWith(LOCAL) === true;

function bySeq(a: TranscriptRow, b: TranscriptRow): number {
  return (seqOf(a) ?? 0) - (seqOf(b) ?? 0);
}

/** Whether a local row and a stored one say the same thing. */
function isSame(local: TranscriptRow, stored: TranscriptRow): boolean {
  if (local.role !== stored.role) return false;
  return local.role === "user"
    ? local.idempotencyKey === stored.idempotencyKey
    : local.__openclaw?.runId === stored.__openclaw?.runId;
}

/** Puts the newest page in place: rows before the page stay, rows inside or after it are replaced, local ones stay. */
export function takeTail(before: readonly TranscriptRow[], tail: readonly TranscriptRow[]): TranscriptRow[] {
  const stored = new Set(tail.map((row) => row.__openclaw?.runId));
  const local = before.filter((row) => isLocal(row) && !stored.has(row.__openclaw?.runId));
  const first = tail[0] ? seqOf(tail[0]) : undefined;
  if (first === undefined) return [...tail, ...local];
  const older = before.filter((row) => !isLocal(row) && (seqOf(row) ?? first) < first);
  const lastOlder = older.at(-1);
  // A hole between the old rows and the page would show a false conversation; drop the old rows instead.
  const joined = lastOlder !== undefined && (seqOf(lastOlder) ?? 0) < first - 1 ? tail : [...older, ...tail];
  return local.length > 0 ? [...joined, ...local].sort(bySeq) : [...joined];
}

/** Whether the stored rows hold what a run said. */
export function holdsAnswer(rows: readonly TranscriptRow[], runId: string): boolean {
  return rows.some((row) => row.role === "assistant" && row.__openclaw?.runId === runId);
}

/**
 * Rows for a run that the server answered but does not store, such as a slash command or a failure before the model
 * spoke. They live in this tab only and stand after everything that is stored now.
 */
export function localRows(
  run: LiveRun,
  question: string | undefined,
  rows: readonly TranscriptRow[],
): TranscriptRow[] {
  const lastSeq = Math.max(0, ...rows.map((row) => seqOf(row) ?? 0));
  const about = (part: string, step: number) => ({
    id: `${LOCAL}${run.runId}:${part}`,
    seq: lastSeq + step,
    runId: run.runId,
  });
  const asked: TranscriptRow[] =
    question === undefined
      ? []
      : [
          {
            role: "user",
            content: question,
            timestamp: run.startedAtMs,
            idempotencyKey: `${run.runId}:user`,
            __openclaw: about("user", 0.001),
          },
        ];
  const answered: TranscriptRow = {
    role: "assistant",
    content: [{ type: "text", text: run.text }],
    timestamp: run.startedAtMs,
    ...(run.provider ? { provider: run.provider, model: run.model ?? "" } : {}),
    ...(run.ended === "error" ? { stopReason: "error", errorMessage: run.errorMessage ?? "" } : {}),
    ...(run.ended === "aborted" ? { openclawAbort: { aborted: true } } : {}),
    __openclaw: about("assistant", 0.002),
  };
  return [...asked, answered];
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
  const others = before.filter(
    (other) => other.__openclaw?.id !== id && !(isLocal(other) && isSame(other, row)),
  );
  const at = others.findIndex((other) => (seqOf(other) ?? -1) > seq);
  if (at === -1) return [...others, row];
  return [...others.slice(0, at), row, ...others.slice(at)];
}

/** Index of the last row a person wrote, or -1. */
export function lastUserIndex(rows: readonly TranscriptRow[]): number {
  return rows.findLastIndex((row) => row.role === "user");
}
