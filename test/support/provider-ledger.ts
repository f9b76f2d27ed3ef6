/**
 * What is on disk of one tenant, read without the product, and what must hold of it after any fault.
 * Owns: the invariants of stored conversations.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { expect } from "vitest";

/** A row of a transcript: its index and its line. */
export interface StoredMessage {
  sessionId: string;
  seq: number;
  id: string;
  role: string;
  runId: string | null;
  message: { content?: unknown; stopReason?: string; errorMessage?: string; idempotencyKey?: string };
}

/** One run. */
export interface StoredRun {
  run_id: string;
  session_key: string;
  state: string;
  attempts: number;
  stop_reason: string | null;
  error_code: string | null;
  error_message: string | null;
  pending_input: string | null;
}

/** One metered call. */
export interface StoredUsage {
  run_id: string;
  step: number;
  kind: string;
  tool_name: string;
  input_tokens: number;
  output_tokens: number;
  is_exact: number;
  purpose: string;
}

/** Everything the invariants speak about. */
export interface Stored {
  runs: StoredRun[];
  messages: StoredMessage[];
  usage: StoredUsage[];
  steps: { run_id: string; tool: string; state: string }[];
  memories: string[];
  sessions: { key: string; session_id: string; status: string | null }[];
}

/** Read a tenant's file and transcripts, and check that they are sound: integrity, lines, positions, order. */
export function readStored(stateDir: string, tenantId: string): Stored {
  const folder = join(stateDir, "tenants", tenantId);
  const db = new SqliteDatabase(join(folder, "tenant.db"), { fileMustExist: true });
  try {
    expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
    expect(db.pragma("foreign_key_check")).toEqual([]);
    const all = <Row>(sql: string) => db.prepare(sql).all() as Row[];
    return {
      runs: all("SELECT * FROM runs ORDER BY accepted_at_ms, run_id"),
      messages: readTranscripts(folder, db),
      usage: all("SELECT * FROM usage_events ORDER BY seq"),
      steps: all("SELECT run_id, tool, state FROM run_steps"),
      memories: all<{ text: string }>("SELECT text FROM memories ORDER BY id").map((row) => row.text),
      sessions: all("SELECT key, session_id, status FROM sessions"),
    };
  } finally {
    db.close();
  }
}

function readTranscripts(folder: string, db: SqliteDatabase.Database): StoredMessage[] {
  const journals = db.prepare("SELECT file, committed_bytes AS bytes FROM journals").all() as {
    file: string;
    bytes: number;
  }[];
  const found: StoredMessage[] = [];
  for (const { file, bytes } of journals) {
    const path = join(folder, file);
    expect(statSync(path).size).toBeGreaterThanOrEqual(bytes);
    const buffer = readFileSync(path).subarray(0, bytes);
    expect(buffer.at(-1)).toBe(0x0a);
    const sessionId = /([^/]+)\.jsonl$/.exec(file)?.[1] ?? "";
    const rows = db.prepare("SELECT * FROM messages WHERE session_id = ? ORDER BY seq").all(sessionId) as {
      seq: number;
      id: string;
      role: string;
      run_id: string | null;
      start: number;
      length: number;
    }[];
    // A deleted conversation leaves its file.
    if (rows.length === 0) continue;
    const lines = buffer.toString("utf8").trimEnd().split("\n");
    // No line without its row, no row without its line, no gap, no overlap.
    expect(rows.map((row) => row.seq)).toEqual(rows.map((_, index) => index + 1));
    expect(lines).toHaveLength(rows.length);
    let end = 0;
    for (const [index, row] of rows.entries()) {
      expect(row.start).toBe(end);
      end = row.start + row.length;
      const line = JSON.parse(lines[index] ?? "") as { id: string; runId: string | null; message: never };
      expect(line.id).toBe(row.id);
      const { seq, id, role, run_id: runId } = row;
      found.push({ sessionId, seq, id, role, runId, message: line.message });
    }
    expect(end).toBe(bytes);
  }
  return found;
}

/** What must hold once everything has come to rest. `sent` are the inputs that were acknowledged: key to text. */
export function assertSettled(stored: Stored, sent: ReadonlyMap<string, string>): void {
  expect(stored.runs.filter((run) => run.state === "running" || run.state === "queued")).toEqual([]);
  expect(stored.sessions.filter((session) => session.status === "running")).toEqual([]);
  expect(stored.steps.filter((step) => step.state === "intent" && !IDEMPOTENT.has(step.tool))).toEqual([]);
  for (const [key, text] of sent) {
    expect(stored.runs.filter((run) => run.run_id === key)).toHaveLength(1);
    const rows = stored.messages.filter((row) => row.role === "user" && row.runId === key);
    expect(rows.map((row) => row.message.content)).toEqual([text]);
  }
  // Nobody's words but those that were sent, and each once.
  const inputs = stored.messages.filter((row) => row.role === "user").map((row) => row.runId);
  expect(new Set(inputs).size).toBe(inputs.length);
  for (const run of stored.runs) assertOneEnd(stored, run);
  const steps = stored.usage.map((event) => `${event.run_id}/${event.step}/${event.kind}/${event.tool_name}`);
  expect(new Set(steps).size).toBe(steps.length);
}

const IDEMPOTENT = new Set(["workspace_read", "workspace_write", "workspace_list", "workspace_search"]);

/** A finished run has one last answer; a failed one says why. */
function assertOneEnd(stored: Stored, run: StoredRun): void {
  const answers = stored.messages.filter(
    (row) => row.runId === run.run_id && row.role === "assistant" && row.message.stopReason !== "toolUse",
  );
  if (run.state === "done") {
    // A run that was told to another one has no answer of its own.
    expect(answers.length).toBeLessThanOrEqual(1);
    for (const answer of answers) expect(answer.message.stopReason).toBe("stop");
  }
  if (run.state === "failed") expect(run.error_message).toMatch(/^⚠️ /);
}

/** Text of a message. */
export function textIn(content: unknown): string {
  if (typeof content === "string") return content;
  return ((content ?? []) as { text?: string }[]).map((part) => part.text ?? "").join("");
}
