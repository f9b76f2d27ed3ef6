/**
 * The durable record of runs, which is the idempotency table of chat inputs too. Owns: rows and their transitions.
 * Refuses to know: what a run does, who listens.
 */
import { sha256Hex } from "../../kernel/crypto.ts";
import { AppError } from "../../kernel/errors.ts";
import type { AgentId, RunId, SessionId, SessionKey, UserId } from "../../kernel/ids.ts";
import type { UserMessage } from "../../protocol/message.ts";
import type { Statement } from "../../storage/database.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";

/** `queued` waits behind another run; the last three are final. */
export type RunState = "queued" | "running" | "done" | "failed" | "aborted";

/** The stored row. */
export interface RunRow {
  run_id: RunId;
  input_hash: string;
  session_key: SessionKey;
  session_id: SessionId;
  agent_id: AgentId;
  user_id: UserId;
  channel: string;
  state: RunState;
  pending_input: string | null;
  settings: string;
  attempts: number;
  accepted_at_ms: number;
  started_at_ms: number | null;
  ended_at_ms: number | null;
  stop_reason: string | null;
  error_code: string | null;
  error_message: string | null;
}

/** Choices that came with the input. */
export interface RunSettings {
  model?: string | undefined;
  thinking?: string | undefined;
  queueMode: "steer" | "followup";
  timeoutMs?: number | undefined;
  /** With what the input was sent; absent in rows of earlier versions. */
  by?: Pick<Principal["credential"], "kind" | "id"> | undefined;
}

/**
 * What makes two inputs the same. SECURITY: the sender is part of it, so that nobody learns of another's run by
 * replaying its key.
 */
export function hashInput(key: SessionKey, userId: UserId, message: string, attachments: unknown): string {
  return sha256Hex(JSON.stringify([key, userId, message, attachments ?? null]));
}

/** The run with this id (the idempotency key), or undefined. */
export async function findRun(scope: TenantScope, runId: string): Promise<RunRow | undefined> {
  return scope.db.find<RunRow>("SELECT * FROM runs WHERE run_id = ?", [runId]);
}

/** Runs that had not ended, oldest first. */
export async function listOpenRuns(scope: TenantScope): Promise<RunRow[]> {
  return scope.db.list<RunRow>(
    "SELECT * FROM runs WHERE state IN ('queued', 'running') ORDER BY accepted_at_ms, run_id LIMIT 10000",
  );
}

/** Inputs that wait in one session, oldest first. */
export async function listWaiting(scope: TenantScope, key: SessionKey): Promise<RunRow[]> {
  return scope.db.list<RunRow>(
    "SELECT * FROM runs WHERE session_key = ? AND state = 'queued' ORDER BY accepted_at_ms, run_id LIMIT 100",
    [key],
  );
}

/** Refuse a key that was used for another input; throws `invalid_request` with OpenClaw's reason. */
export function assertSameInput(run: RunRow, inputHash: string): void {
  if (run.input_hash === inputHash) return;
  throw new AppError("idempotency_conflict", "This idempotency key was used for another message.", {
    details: { reason: "chat-request-conflict" },
  });
}

/** The statement that records a new run; refuses when the key is taken. */
export function insertRun(run: RunRow): Statement {
  const { run_id, input_hash, session_key, session_id, agent_id, user_id, channel, state } = run;
  return {
    sql: `INSERT INTO runs (run_id, input_hash, session_key, session_id, agent_id, user_id, channel, state,
      pending_input, settings, attempts, accepted_at_ms, started_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO NOTHING`,
    params: [
      ...[run_id, input_hash, session_key, session_id, agent_id, user_id, channel, state],
      run.pending_input,
      run.settings,
      run.attempts,
      run.accepted_at_ms,
      run.started_at_ms,
    ],
    expect: 1,
  };
}

/** The statement that turns a waiting run into a running one, of the session's present incarnation. */
export function startRun(run: RunRow, sessionId: SessionId, nowMs: number): Statement {
  return {
    sql: `UPDATE runs SET state = 'running', pending_input = NULL, session_id = ?, attempts = attempts + 1,
      started_at_ms = ? WHERE run_id = ? AND state = 'queued'`,
    params: [sessionId, nowMs, run.run_id],
    expect: 1,
  };
}

/** The statement that ends a run; a run that has ended stays as it is, and `refusing` makes that refuse the batch. */
export function endRun(
  runId: string,
  end: {
    state: "done" | "failed" | "aborted";
    stopReason: string;
    errorCode?: string | undefined;
    errorMessage?: string | undefined;
  },
  nowMs: number,
  refusing: boolean,
): Statement {
  return {
    sql: `UPDATE runs SET state = ?, stop_reason = ?, error_code = ?, error_message = ?, ended_at_ms = ?,
      pending_input = NULL WHERE run_id = ? AND state IN ('queued', 'running')`,
    params: [end.state, end.stopReason, end.errorCode ?? null, end.errorMessage ?? null, nowMs, runId],
    ...(refusing ? { expect: 1 } : {}),
  };
}

/** Steps of a second attempt are numbered from here on, so that they never meet those of the first. */
const STEPS_PER_ATTEMPT = 1_000;

/** The number of a step of the present attempt, unique within the run. */
export function stepNumber(run: RunRow, step: number): number {
  return (run.attempts - 1) * STEPS_PER_ATTEMPT + step;
}

/** The input of a waiting run. */
export function pendingInputOf(run: RunRow): UserMessage {
  return JSON.parse(run.pending_input ?? '{"role":"user","content":"","timestamp":0}') as UserMessage;
}

/** The credential that a run was begun with, whose budgets it counts for; empty when unknown. */
export function keyOf(run: RunRow): string {
  return settingsOf(run).by?.id ?? "";
}

/** The choices of a run. */
export function settingsOf(run: RunRow): RunSettings {
  return JSON.parse(run.settings) as RunSettings;
}
