/**
 * After a crash: every run that had not ended is closed honestly or taken up again. Owns: that decision.
 * Refuses to know: which tenants need it (the marks say), transports.
 *
 * A run goes on when nothing it did is uncertain and it was tried less than twice; otherwise it ends as failed and says
 * why. A tool call that was begun, and is not safe to repeat, is marked uncertain and never run again.
 */
import { releaseRun } from "../../billing/ledger/reserve-sql.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { UserId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { ToolResultMessage, TranscriptMessage } from "../../protocol/message.ts";
import type { Sessions } from "../../sessions/sessions.ts";
import { appendRows, countRows, newRow, readRows } from "../../sessions/transcript.ts";
import type { Statement } from "../../storage/database.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { SendMessage } from "../send-message.ts";
import type { LiveRuns } from "./live-runs.ts";
import { endRun, listOpenRuns, pendingInputOf, type RunRow, type RunSettings, settingsOf } from "./run.ts";

/** Tries of one run, the first included; a run that kills the process must not do so for ever. */
const ATTEMPTS = 2;

/** What recovery needs. */
export interface RecoverDeps {
  send: SendMessage;
  live: LiveRuns;
  sessions: Sessions;
  clock: Clock;
  log: Log;
  /** The present authority of a run's sender, or undefined when there is none any more. `by`: what it was sent with. */
  principalOf(scope: TenantScope, userId: UserId, by: RunSettings["by"]): Promise<Principal | undefined>;
}

/** A run to be decided about, and the ones that go where it goes. */
interface Unit {
  run: RunRow;
  joined: RunRow[];
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

  /**
   * Take care of a tenant's open runs. Returns how many were resumed and how many closed. When something could not be
   * decided the tenant stays marked, so that the next start looks again.
   */
  recover(scope: TenantScope): Promise<{ resumed: number; closed: number }> {
    const context = { tenantId: scope.tenantId, principal: null, requestId: "recovery" };
    return runInContext(context, async () => {
      const release = this.deps.live.hold(scope.tenantId);
      const counts = { resumed: 0, closed: 0 };
      const open = await listOpenRuns(scope);
      const units = [...(await this.runningGroups(scope, open)), ...queuedUnits(open)];
      let failures = 0;
      for (const unit of units) {
        try {
          if (await this.recoverUnit(scope, unit)) counts.resumed++;
          else counts.closed++;
        } catch (thrown) {
          failures++;
          this.deps.log.error({ err: thrown, runId: unit.run.run_id }, "an open run could not be recovered");
        }
      }
      if (failures === 0) release();
      return counts;
    });
  }

  /**
   * Runs that were going on. Several of one session are one run with the inputs that were told to it meanwhile: the one
   * whose input stands first in the transcript began it.
   */
  private async runningGroups(scope: TenantScope, open: readonly RunRow[]): Promise<Unit[]> {
    const rows = await scope.db.list<{ run_id: string }>(
      `SELECT m.run_id FROM runs r JOIN messages m ON m.run_id = r.run_id AND m.session_id = r.session_id
        WHERE r.state = 'running' GROUP BY m.run_id ORDER BY min(m.seq) LIMIT 10000`,
    );
    const place = new Map(rows.map((row, index) => [row.run_id, index]));
    const placeOf = (run: RunRow) => place.get(run.run_id) ?? Number.MAX_SAFE_INTEGER;
    const running = open.filter((run) => run.state === "running").sort((a, b) => placeOf(a) - placeOf(b));
    const groups = Map.groupBy(running, (run) => run.session_id);
    return [...groups.values()].map(([run, ...joined]) => ({ run: run!, joined }));
  }

  private async recoverUnit(scope: TenantScope, { run, joined }: Unit): Promise<boolean> {
    const principal = await this.deps.principalOf(scope, run.user_id, settingsOf(run).by);
    if (principal === undefined) {
      await this.close(
        scope,
        run,
        joined,
        "The sender no longer has access, so the message was not answered.",
      );
      return false;
    }
    if (run.state === "queued") {
      await this.deps.live.exclusive(scope.tenantId, run.session_key, async (lane) => {
        lane.nextAcceptedMs(run.accepted_at_ms);
        lane.waiting.push({ run, scope, principal });
        if (lane.active === undefined) await this.deps.send.queue.startNext(scope, lane, run.session_key);
      });
      return true;
    }
    const uncertain = await this.markUncertain(scope, run);
    const session = await this.deps.sessions.find(scope, run.session_key);
    if (session?.session_id !== run.session_id || uncertain.length > 0 || run.attempts >= ATTEMPTS) {
      await this.close(scope, run, joined, reasonOf(uncertain));
      return false;
    }
    await this.resume(scope, run, joined, principal);
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

  private async resume(
    scope: TenantScope,
    run: RunRow,
    joined: readonly RunRow[],
    principal: Principal,
  ): Promise<void> {
    const now = this.deps.clock.nowMs();
    const results = await this.missingResults(scope, run, now);
    const rows = results.map((message) => newRow(message, run.run_id));
    const ref = { agentId: run.agent_id, sessionId: run.session_id };
    const added = rows.length === 0 ? null : appendRows(scope, ref, rows);
    // ORDER: the attempt is counted on disk before it begins, so that a run that kills the process is found out.
    const count: Statement = {
      sql: "UPDATE runs SET attempts = attempts + 1 WHERE run_id = ? AND state = 'running'",
      params: [run.run_id],
      expect: 1,
    };
    const outcome = await scope.db.write({
      appends: added === null ? [] : [added.append],
      statements: [count, ...(added?.statements ?? [])],
    });
    if (!outcome.committed) throw new AppError("conflict", "The run ended meanwhile.");
    const attempts = run.attempts + 1;
    this.deps.log.info({ runId: run.run_id, attempt: attempts }, "a run is taken up again");
    await this.deps.live.exclusive(scope.tenantId, run.session_key, async (lane) => {
      lane.nextAcceptedMs(run.accepted_at_ms);
      this.deps.send.queue.start({ scope, principal }, lane, { ...run, attempts }, joined);
    });
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

  /** End a run, and those whose input it had taken, with a row that says why. */
  private async close(
    scope: TenantScope,
    run: RunRow,
    joined: readonly RunRow[],
    why: string,
  ): Promise<void> {
    const now = this.deps.clock.nowMs();
    const errorMessage = `⚠️ ${why}`;
    const message: TranscriptMessage = {
      role: "assistant",
      content: [],
      provider: "creel",
      model: "gateway",
      stopReason: "error",
      errorMessage,
      timestamp: now,
    };
    // An input that waited is no row yet; it was acknowledged, so it becomes one.
    const inputs = run.state === "queued" ? [newRow(pendingInputOf(run), run.run_id)] : [];
    const ref = { agentId: run.agent_id, sessionId: run.session_id };
    const added = appendRows(scope, ref, [...inputs, newRow(message, run.run_id)]);
    const end = { state: "failed", stopReason: "error", errorCode: "interrupted", errorMessage } as const;
    const outcome = await scope.db.write({
      appends: [added.append],
      statements: [
        endRun(run.run_id, end, now, true),
        ...joined.map((one) => endRun(one.run_id, end, now, false)),
        ...added.statements,
        // What its calls held back when the process died.
        releaseRun(run.run_id, now),
        {
          sql: "UPDATE sessions SET status = 'failed', run_ended_at_ms = ?, updated_at_ms = ? WHERE key = ? AND session_id = ?",
          params: [now, now, run.session_key, run.session_id],
        },
      ],
    });
    if (!outcome.committed) throw new AppError("conflict", "The run ended meanwhile.");
    this.deps.log.warn({ runId: run.run_id, why }, "an interrupted run was closed");
  }
}

function queuedUnits(open: readonly RunRow[]): Unit[] {
  return open.filter((run) => run.state === "queued").map((run) => ({ run, joined: [] }));
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
