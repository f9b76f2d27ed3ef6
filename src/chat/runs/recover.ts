/**
 * After a crash: every run that had not ended is closed honestly or taken up again. Owns: that decision.
 * Refuses to know: which tenants need it (the marks say), transports.
 *
 * A run goes on when nothing it did is uncertain and it was tried less than twice; otherwise it ends as failed and says
 * why. A tool call that was begun, and is not safe to repeat, is marked uncertain and never run again.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import { type ToolResultMessage, type TranscriptMessage, textOf } from "../../protocol/message.ts";
import type { Sessions } from "../../sessions/sessions.ts";
import { appendRows, countRows, newRow, readRows } from "../../sessions/transcript.ts";
import type { Statement } from "../../storage/database.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { SendMessage } from "../send-message.ts";
import type { LiveRuns } from "./live-runs.ts";
import { endRun, listOpenRuns, type RunRow } from "./run.ts";

/** Tries of one run, the first included; a run that kills the process must not do so for ever. */
const ATTEMPTS = 2;

/** What recovery needs. */
export interface RecoverDeps {
  send: SendMessage;
  live: LiveRuns;
  sessions: Sessions;
  clock: Clock;
  log: Log;
  /** The present authority of a run's sender, or undefined when there is none any more. */
  principalOf(scope: TenantScope, userId: string): Promise<Principal | undefined>;
}

interface StepRow {
  call_id: string;
  step: number;
  tool: string;
  is_idempotent: number;
  state: string;
}

/** See the head of this file. */
export class Recovery {
  private readonly deps: RecoverDeps;

  constructor(deps: RecoverDeps) {
    this.deps = deps;
  }

  /** Take care of a tenant's open runs. Returns how many were resumed and how many closed. */
  recover(scope: TenantScope): Promise<{ resumed: number; closed: number }> {
    const context = { tenantId: scope.tenantId, principal: null, requestId: "recovery" };
    return runInContext(context, async () => {
      const counts = { resumed: 0, closed: 0 };
      for (const run of await listOpenRuns(scope)) {
        const resumed = await this.recoverRun(scope, run);
        if (resumed) counts.resumed++;
        else counts.closed++;
      }
      return counts;
    });
  }

  private async recoverRun(scope: TenantScope, run: RunRow): Promise<boolean> {
    const lane = this.deps.live.lane(scope.tenantId, run.session_key);
    const principal = await this.deps.principalOf(scope, run.user_id);
    if (principal === undefined) {
      await this.close(scope, run, "The sender no longer has access, so the message was not answered.");
      return false;
    }
    if (run.state === "queued") {
      lane.waiting.push({ run, principal });
      if (lane.active === undefined)
        await lane.exclusive(() => this.deps.send.startNext(scope, lane, run.session_key));
      return true;
    }
    const uncertain = await this.markUncertain(scope, run);
    const session = await this.deps.sessions.find(scope, run.session_key);
    if (session?.session_id !== run.session_id || uncertain.length > 0 || run.attempts >= ATTEMPTS) {
      await this.close(scope, run, reasonOf(uncertain));
      return false;
    }
    await this.resume(scope, run, principal);
    return true;
  }

  /** Steps that were begun and not finished; the unsafe ones become uncertain for good. */
  private async markUncertain(scope: TenantScope, run: RunRow): Promise<string[]> {
    const open = await scope.db.list<StepRow>(
      "SELECT * FROM run_steps WHERE run_id = ? AND state = 'intent'",
      [run.run_id],
    );
    const unsafe = open.filter((step) => step.is_idempotent === 0);
    if (unsafe.length > 0) {
      await scope.db.write({
        statements: unsafe.map((step) => ({
          sql: "UPDATE run_steps SET state = 'uncertain', ended_at_ms = ? WHERE run_id = ? AND step = ? AND call_id = ?",
          params: [this.deps.clock.nowMs(), run.run_id, step.step, step.call_id],
        })),
      });
    }
    const before = await scope.db.list<StepRow>(
      "SELECT * FROM run_steps WHERE run_id = ? AND state = 'uncertain'",
      [run.run_id],
    );
    return before.map((step) => step.tool);
  }

  private async resume(scope: TenantScope, run: RunRow, principal: Principal): Promise<void> {
    const now = this.deps.clock.nowMs();
    const results = await this.missingResults(scope, run, now);
    const rows = results.map((message) => newRow(message, run.run_id));
    const added =
      rows.length === 0
        ? null
        : appendRows(scope, { agentId: run.agent_id, sessionId: run.session_id }, rows);
    // ORDER: the attempt is counted on disk before it begins, so that a run that kills the process is found out.
    const count: Statement = {
      sql: "UPDATE runs SET attempts = attempts + 1 WHERE run_id = ? AND state = 'running'",
      params: [run.run_id],
      expect: 1,
    };
    await scope.db.write({
      appends: added === null ? [] : [added.append],
      statements: [count, ...(added?.statements ?? [])],
    });
    const lane = this.deps.live.lane(scope.tenantId, run.session_key);
    this.deps.log.info({ runId: run.run_id, attempt: run.attempts + 1 }, "a run is taken up again");
    this.deps.send.start({ scope, principal }, lane, { ...run, attempts: run.attempts + 1 });
  }

  /** Answers for tool calls of the last assistant row that have none: models refuse a history with holes. */
  private async missingResults(scope: TenantScope, run: RunRow, nowMs: number): Promise<ToolResultMessage[]> {
    const ref = { agentId: run.agent_id, sessionId: run.session_id };
    const last = await countRows(scope, run.session_id);
    const rows = await readRows(scope, ref, last - 40, last);
    const answered = new Set(
      rows.map((row) => (row.message.role === "toolResult" ? row.message.toolCallId : "")),
    );
    return rows
      .filter((row) => row.runId === run.run_id)
      .flatMap((row) => toolCallsOf(row.message))
      .filter((call) => !answered.has(call.id))
      .map((call) => ({
        role: "toolResult",
        toolCallId: call.id,
        toolName: call.name,
        content: [
          { type: "text", text: "The gateway restarted before this tool answered. Call it again if needed." },
        ],
        isError: true,
        timestamp: nowMs,
      }));
  }

  private async close(scope: TenantScope, run: RunRow, why: string): Promise<void> {
    const now = this.deps.clock.nowMs();
    const message: TranscriptMessage = {
      role: "assistant",
      content: [],
      provider: "creel",
      model: "gateway",
      stopReason: "error",
      errorMessage: `⚠️ ${why}`,
      timestamp: now,
    };
    const added = appendRows(scope, { agentId: run.agent_id, sessionId: run.session_id }, [
      newRow(message, run.run_id),
    ]);
    const end = {
      state: "failed",
      stopReason: "error",
      errorCode: "interrupted",
      errorMessage: message.errorMessage,
    } as const;
    await scope.db.write({
      appends: [added.append],
      statements: [
        endRun(run.run_id, end, now, true),
        ...added.statements,
        {
          sql: "UPDATE sessions SET status = 'failed', run_ended_at_ms = ?, updated_at_ms = ? WHERE key = ? AND session_id = ?",
          params: [now, now, run.session_key, run.session_id],
        },
      ],
    });
    this.deps.log.warn({ runId: run.run_id, why: textOf(message) || why }, "an interrupted run was closed");
  }
}

function toolCallsOf(message: TranscriptMessage): { id: string; name: string }[] {
  if (message.role !== "assistant") return [];
  return message.content.flatMap((part) =>
    part.type === "toolCall" ? [{ id: part.id, name: part.name }] : [],
  );
}

function reasonOf(uncertain: readonly string[]): string {
  if (uncertain.length === 0)
    return "The gateway restarted while this was being answered. Send it again to retry.";
  const tools = uncertain.join(", ");
  return `The gateway restarted while a tool was running (${tools}). It may or may not have taken effect; check before you retry.`;
}
