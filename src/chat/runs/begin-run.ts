/**
 * The commit with which a run begins, and commits whose outcome is unknown. Owns: which rows change together.
 * Refuses to know: whose turn it is.
 */
import { toAppError } from "../../kernel/errors.ts";
import type { UserMessage } from "../../protocol/message.ts";
import type { SessionRow } from "../../sessions/session.ts";
import { appendRows, newRow } from "../../sessions/transcript.ts";
import type { Append, Batch, Statement, WriteOutcome } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { RunRow } from "./run.ts";

/** The transcript row of an input and what the session shows from now on; refuses when the session was reset. */
export function beginStatements(
  scope: TenantScope,
  session: SessionRow,
  run: RunRow,
  message: UserMessage,
  nowMs: number,
): { append: Append; statements: Statement[] } {
  const ref = { agentId: session.agent_id, sessionId: session.session_id };
  const added = appendRows(scope, ref, [newRow(message, run.run_id)]);
  const text = typeof message.content === "string" ? message.content : "";
  const touch: Statement = {
    sql: `UPDATE sessions SET status = 'running', last_run_id = ?, run_started_at_ms = ?, run_ended_at_ms = NULL,
      updated_at_ms = ?, last_message = ?, title = coalesce(title, ?), archived = 0 WHERE key = ? AND session_id = ?`,
    params: [
      ...[run.run_id, nowMs, nowMs, text.slice(0, 280), titleOf(text)],
      ...[session.key, session.session_id],
    ],
    expect: 1,
  };
  return { append: added.append, statements: [...added.statements, touch] };
}

/**
 * Write a batch; a failed commit is an unknown outcome, so look before trying once more. When `isDone` says that it
 * took after all, the outcome carries no results.
 */
export async function writeKnowing(
  scope: TenantScope,
  batch: Batch,
  isDone: () => Promise<boolean>,
): Promise<WriteOutcome> {
  try {
    return await scope.db.write(batch);
  } catch (thrown) {
    if (toAppError(thrown).code !== "storage_uncertain") throw thrown;
    if (await isDone()) return { committed: true, results: [] };
    return scope.db.write(batch);
  }
}

function titleOf(text: string): string | null {
  const line =
    text
      .trim()
      .split("\n", 1)[0]
      ?.replace(/\p{Cc}/gu, " ")
      .trim() ?? "";
  if (line === "") return null;
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
}
