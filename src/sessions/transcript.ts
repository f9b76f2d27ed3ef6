/**
 * The text of conversations: append-only JSONL, indexed by the `messages` table. Owns: lines, their positions, pages.
 * Refuses to know: who speaks, models. A line counts only up to the committed length that SQLite holds.
 */
import { AppError } from "../kernel/errors.ts";
import type { AgentId, SessionId } from "../kernel/ids.ts";
import { newId } from "../kernel/ids.ts";
import type { TranscriptMessage } from "../protocol/message.ts";
import type { Append, SqlValue, Statement } from "../storage/database.ts";
import type { TenantScope } from "../tenancy/scoped.ts";

/** A transcript's place. */
export interface TranscriptRef {
  agentId: AgentId;
  sessionId: SessionId;
}

/** A row to be added. */
export interface NewRow {
  id: string;
  runId: string | null;
  message: TranscriptMessage;
  atMs: number;
}

/** A stored row. */
export interface TranscriptRow {
  id: string;
  seq: number;
  runId: string | null;
  message: TranscriptMessage;
  atMs: number;
}

interface IndexRow {
  seq: number;
  id: string;
  run_id: string | null;
  start: number;
  length: number;
  at_ms: number;
}

/** Make a row of a message. */
export function newRow(message: TranscriptMessage, runId: string | null): NewRow {
  return { id: newId(), runId, message, atMs: message.timestamp };
}

/**
 * The append and statements that add rows at the end. The statements' positions are worked out by the store itself,
 * so that two writers cannot disagree. Each statement returns its `seq`.
 */
export function appendRows(scope: TenantScope, ref: TranscriptRef, rows: readonly NewRow[]) {
  const file = scope.transcriptFile(ref.agentId, ref.sessionId);
  const lines = rows.map((row) => Buffer.from(`${JSON.stringify(row)}\n`));
  const append: Append = { file, bytes: Buffer.concat(lines) };
  let back = append.bytes.length;
  const statements: Statement[] = rows.map((row, index) => {
    const length = lines[index]?.length ?? 0;
    const params: SqlValue[] = [
      ref.sessionId,
      ref.sessionId,
      row.id,
      row.message.role,
      row.runId,
      file,
      back,
      length,
      row.atMs,
    ];
    back -= length;
    return { sql: INSERT_MESSAGE, params, expect: 1 };
  });
  return { append, statements };
}

const INSERT_MESSAGE = `INSERT INTO messages (session_id, seq, id, role, run_id, start, length, at_ms)
  VALUES (?, 1 + coalesce((SELECT max(seq) FROM messages WHERE session_id = ?), 0), ?, ?, ?,
    (SELECT committed_bytes FROM journals WHERE file = ?) - ?, ?, ?) RETURNING seq`;

/** Number of rows. Sequence numbers have no gaps, so the last one is the count. */
export async function countRows(scope: TenantScope, sessionId: SessionId): Promise<number> {
  const row = await scope.db.find<{ n: number | null }>(
    "SELECT max(seq) AS n FROM messages WHERE session_id = ?",
    [sessionId],
  );
  return row?.n ?? 0;
}

/** Rows with `fromSeq <= seq <= toSeq`, oldest first; of more than `maxBytes` only the newest, but always one. */
export async function readRows(
  scope: TenantScope,
  ref: TranscriptRef,
  fromSeq: number,
  toSeq: number,
  maxBytes = Number.POSITIVE_INFINITY,
): Promise<TranscriptRow[]> {
  const index = await scope.db.list<IndexRow>(
    "SELECT seq, id, run_id, start, length, at_ms FROM messages WHERE session_id = ? AND seq BETWEEN ? AND ? ORDER BY seq",
    [ref.sessionId, fromSeq, toSeq],
  );
  let first = index.length;
  for (let left = maxBytes; first > 0; first--) {
    left -= index[first - 1]?.length ?? 0;
    if (left < 0 && first < index.length) break;
  }
  return readIndexed(scope, ref, index.slice(first));
}

/** One row by its id, or undefined. */
export async function findRow(
  scope: TenantScope,
  ref: TranscriptRef,
  id: string,
): Promise<TranscriptRow | undefined> {
  const index = await scope.db.list<IndexRow>(
    "SELECT seq, id, run_id, start, length, at_ms FROM messages WHERE session_id = ? AND id = ?",
    [ref.sessionId, id],
  );
  return (await readIndexed(scope, ref, index))[0];
}

async function readIndexed(
  scope: TenantScope,
  ref: TranscriptRef,
  index: readonly IndexRow[],
): Promise<TranscriptRow[]> {
  const first = index[0];
  const last = index.at(-1);
  if (first === undefined || last === undefined) return [];
  const file = scope.transcriptFile(ref.agentId, ref.sessionId);
  const length = last.start + last.length - first.start;
  const bytes = await scope.readJournal(file, first.start, length).catch((cause: unknown) => {
    if (cause instanceof AppError) throw cause;
    throw new AppError("tenant_unavailable", "A transcript cannot be read.", { cause });
  });
  return index.map((row) => {
    const at = row.start - first.start;
    return parseLine(bytes.toString("utf8", at, at + row.length), row);
  });
}

function parseLine(line: string, row: IndexRow): TranscriptRow {
  try {
    const stored = JSON.parse(line) as { id: string; message: TranscriptMessage };
    if (stored.id !== row.id) throw new Error(`line holds ${stored.id}, index says ${row.id}`);
    return { id: row.id, seq: row.seq, runId: row.run_id, message: stored.message, atMs: row.at_ms };
  } catch (cause) {
    throw new AppError("tenant_unavailable", "A transcript cannot be read.", { cause });
  }
}

/** A row as clients read it in `chat.history` and `session.message` (PROTOCOL.md 7.1, 8.2). */
export function toWireMessage(row: TranscriptRow): Record<string, unknown> {
  const meta = {
    id: row.id,
    seq: row.seq,
    recordTimestampMs: row.atMs,
    ...(row.runId === null ? {} : { runId: row.runId }),
  };
  const message = row.message;
  if (message.role === "compaction") {
    const content = [{ type: "text", text: message.summary }];
    return {
      role: "system",
      content,
      timestamp: message.timestamp,
      __openclaw: { ...meta, kind: "compaction" },
    };
  }
  if (message.role === "user") {
    const { attachments, ...rest } = message;
    const files = attachments?.map(({ content: _bytes, ...facts }) => facts);
    return {
      ...rest,
      ...(files === undefined ? {} : { attachments: files }),
      __openclaw: { ...meta, senderIsOwner: true },
    };
  }
  return { ...message, __openclaw: meta };
}
