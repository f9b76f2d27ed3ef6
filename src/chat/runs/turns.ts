/**
 * One run from its first model call to its one terminal event. Owns: history for the model, the closing commit, the
 * order commit -> events. Refuses to know: queues, acknowledgements, transports.
 */

import type { Agents } from "../../agents/agents.ts";
import type { AgentRuns } from "../../agents/run.ts";
import type { RunEvent, RunOutcome } from "../../agents/turn/contract.ts";
import type { UsageMeter } from "../../billing/usage.ts";
import type { Clock } from "../../kernel/clock.ts";
import { type AppError, toAppError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import { type AssistantMessage, textOf, type UserMessage } from "../../protocol/message.ts";
import type { SessionAnnouncer } from "../../sessions/announce.ts";
import type { SessionRow } from "../../sessions/session.ts";
import type { Sessions } from "../../sessions/sessions.ts";
import { appendRows, countRows, newRow, readRows, type TranscriptRow } from "../../sessions/transcript.ts";
import type { Statement } from "../../storage/database.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { ActiveRun, RunResult } from "./live-runs.ts";
import { TurnRecorder } from "./recorder.ts";
import { endRun, findRun, settingsOf } from "./run.ts";

/** What turns need. */
export interface TurnDeps {
  agents: Agents;
  agentRuns: AgentRuns;
  meter: UsageMeter;
  sessions: Sessions;
  announcer: SessionAnnouncer;
  clock: Clock;
  log: Log;
}

/** A turn to be made. */
export interface TurnInput {
  scope: TenantScope;
  principal: Principal;
  active: ActiveRun;
  /** Inputs that arrived meanwhile and may be told to the model between its calls. */
  takeSteering(): Promise<{ message: UserMessage; seq: number }[]>;
}

/** See the head of this file. */
export class Turns {
  private readonly deps: TurnDeps;

  constructor(deps: TurnDeps) {
    this.deps = deps;
  }

  /** Make the turn; never throws, whatever happens ends in one terminal event. */
  async make(input: TurnInput): Promise<RunResult> {
    const { scope, active } = input;
    try {
      await this.announceStart(input);
      const { recorder, outcome } = await this.run(input);
      if (active.isAbandoned) return abandoned(active, this.deps.clock.nowMs());
      return await this.close(input, recorder, outcome);
    } catch (thrown) {
      if (active.isAbandoned) return abandoned(active, this.deps.clock.nowMs());
      const error = toAppError(thrown);
      this.deps.log[error.rule.level]({ err: error, runId: active.run.run_id }, "a turn failed");
      return this.closeFailed(scope, active, error);
    }
  }

  private async announceStart({ scope, active }: TurnInput): Promise<void> {
    const { run, stream } = active;
    stream.status("preparing_context");
    stream.lifecycle({ phase: "start", startedAt: run.started_at_ms });
    await this.announce(scope, active, { phase: "start", runId: run.run_id, reason: "agent.run.started" });
  }

  private async run(input: TurnInput): Promise<{ recorder: TurnRecorder; outcome: RunOutcome }> {
    const { scope, active, principal } = input;
    const { run, stream } = active;
    const session = await this.deps.sessions.get(scope, run.session_key);
    const history = await loadHistory(scope, session);
    const recorder = new TurnRecorder(this.deps, scope, run, history.seqs, (row) =>
      this.deps.announcer.message(scope, session, row),
    );
    const settings = settingsOf(run);
    const agent = await this.deps.agents.get(scope, run.agent_id);
    stream.status("starting_model");
    const outcome = await this.deps.agentRuns.run({
      scope,
      principal,
      agent,
      sessionKey: run.session_key,
      sessionId: run.session_id,
      runId: run.run_id,
      modelRef: settings.model ?? session.model ?? undefined,
      ...(settings.thinking === undefined ? {} : { thinking: settings.thinking }),
      history: history.rows.map((row) => row.message),
      signal: active.controller.signal,
      recorder,
      takeSteering: async () => {
        const taken = await input.takeSteering();
        for (const { seq } of taken) recorder.noteSteered(seq);
        return taken.map(({ message }) => message);
      },
      emit: (event) => relay(stream, event),
    });
    return { recorder, outcome };
  }

  /** The commit that ends a run: last message, its usage, the run and the session, all or nothing. */
  private async close(input: TurnInput, recorder: TurnRecorder, outcome: RunOutcome): Promise<RunResult> {
    const { scope, active } = input;
    const { run, stream } = active;
    const metered = outcome.call === null ? null : recorder.meter(outcome.step, outcome.call);
    const message = this.lastMessage(active, outcome, metered?.wire);
    const hasRow = message.content.length > 0 || outcome.status === "failed";
    const row = newRow(message, run.run_id);
    const added = hasRow ? appendRows(scope, recorder.ref, [row]) : null;
    const end = endOf(outcome, active);
    const now = this.deps.clock.nowMs();
    const statements: Statement[] = [
      endRun(run.run_id, end, now, true),
      ...(added?.statements ?? []),
      ...(metered?.statements ?? []),
      ...(outcome.call === null ? [] : [recorder.tokens(outcome.call)]),
      ...active.joined.map((joined) => endRun(joined.run_id, { ...end, stopReason: "steered" }, now, false)),
      closeSession(active, outcome, textOf(message), now),
    ];
    await this.commitClose(scope, active, { appends: added === null ? [] : [added.append], statements });
    if (added !== null) {
      const seq = await countRows(scope, run.session_id);
      const session = await this.deps.sessions.find(scope, run.session_key);
      if (session !== undefined) await this.deps.announcer.message(scope, session, { ...row, seq });
    }
    return this.announceEnd(scope, active, outcome, end, stream.text || textOf(message));
  }

  private lastMessage(
    active: ActiveRun,
    outcome: RunOutcome,
    usage: AssistantMessage["usage"],
  ): AssistantMessage {
    const message: AssistantMessage = { ...outcome.message, ...(usage === undefined ? {} : { usage }) };
    if (outcome.status !== "aborted") return message;
    const origin = active.abortOrigin ?? "rpc";
    return {
      ...message,
      stopReason: "stop",
      openclawAbort: { aborted: true, origin, runId: active.run.run_id },
    };
  }

  /** A failed commit is an unknown outcome: look before trying once more. */
  private async commitClose(
    scope: TenantScope,
    active: ActiveRun,
    batch: { appends: ReturnType<typeof appendRows>["append"][]; statements: Statement[] },
  ): Promise<void> {
    try {
      await scope.db.write(batch);
    } catch (thrown) {
      const error = toAppError(thrown);
      if (error.code !== "storage_uncertain") throw error;
      const stored = await findRun(scope, active.run.run_id);
      if (stored?.state === "running") await scope.db.write(batch);
    }
  }

  private async announceEnd(
    scope: TenantScope,
    active: ActiveRun,
    outcome: RunOutcome,
    end: ReturnType<typeof endOf>,
    text: string,
  ): Promise<RunResult> {
    const { run, stream } = active;
    const endedAtMs = this.deps.clock.nowMs();
    if (outcome.status === "aborted") stream.aborted(active.abortOrigin ?? "rpc");
    const lifecycle = {
      phase: "end",
      stopReason: end.stopReason,
      aborted: outcome.status === "aborted",
      endedAt: endedAtMs,
    };
    stream.lifecycle({ ...lifecycle, startedAt: run.started_at_ms, executionSettled: true });
    if (outcome.status === "done") {
      const content = text === "" ? [] : [{ type: "text", text }];
      stream.final(end.stopReason, { role: "assistant", content, timestamp: endedAtMs });
    } else if (outcome.status === "failed") {
      stream.failed(end.errorMessage ?? "The run failed.", errorDetail(outcome));
    }
    await this.announce(scope, active, { reason: "agent.input.settled", phase: "end", runId: run.run_id });
    const usage = {
      inputTokens: outcome.call?.usage.inputTokens ?? 0,
      outputTokens: outcome.call?.usage.outputTokens ?? 0,
    };
    return {
      status: outcome.status,
      text,
      stopReason: end.stopReason,
      errorMessage: end.errorMessage,
      usage,
      endedAtMs,
    };
  }

  /** The turn broke in our hands: end the run as failed, if the store lets us; else the next start will. */
  private async closeFailed(scope: TenantScope, active: ActiveRun, error: AppError): Promise<RunResult> {
    const now = this.deps.clock.nowMs();
    const errorMessage = `⚠️ ${error.publicMessage}`;
    const end = { state: "failed", stopReason: "error", errorCode: error.code, errorMessage } as const;
    await scope.db
      .write({
        statements: [
          endRun(active.run.run_id, end, now, false),
          {
            sql: "UPDATE sessions SET status = 'failed', run_ended_at_ms = ?, updated_at_ms = ? WHERE key = ?",
            params: [now, now, active.run.session_key],
          },
        ],
      })
      .catch((thrown: unknown) => this.deps.log.error({ err: thrown }, "a failed run could not be closed"));
    active.stream.lifecycle({ phase: "error", error: errorMessage, endedAt: now });
    active.stream.failed(errorMessage, { code: error.code });
    await this.announce(scope, active, { phase: "end", runId: active.run.run_id }).catch(() => undefined);
    const usage = { inputTokens: 0, outputTokens: 0 };
    return {
      status: "failed",
      text: active.stream.text,
      stopReason: "error",
      errorMessage,
      usage,
      endedAtMs: now,
    };
  }

  private async announce(scope: TenantScope, active: ActiveRun, why: Record<string, unknown>): Promise<void> {
    const row = await this.deps.sessions.find(scope, active.run.session_key);
    if (row !== undefined) await this.deps.announcer.changed(scope, row, why);
  }
}

/** What the model is told of the past: the newest summary, and all rows after what it sums up. */
export async function loadHistory(
  scope: TenantScope,
  session: SessionRow,
): Promise<{ rows: TranscriptRow[]; seqs: number[] }> {
  const ref = { agentId: session.agent_id, sessionId: session.session_id };
  const last = await countRows(scope, session.session_id);
  const kept = await readRows(scope, ref, session.kept_from_seq, last);
  const rows = kept.filter((row) => row.message.role !== "compaction");
  if (session.summary_seq !== null)
    rows.unshift(...(await readRows(scope, ref, session.summary_seq, session.summary_seq)));
  return { rows, seqs: rows.map((row) => row.seq) };
}

function abandoned(active: ActiveRun, endedAtMs: number): RunResult {
  const usage = { inputTokens: 0, outputTokens: 0 };
  const stopReason = "restart";
  return {
    status: "aborted",
    text: active.stream.text,
    stopReason,
    errorMessage: undefined,
    usage,
    endedAtMs,
  };
}

function relay(stream: ActiveRun["stream"], event: RunEvent): void {
  switch (event.type) {
    case "model":
      stream.lifecycle({ phase: "model", provider: event.provider, model: event.model });
      return;
    case "text":
      stream.grow(event.text);
      return;
    case "thinking":
      stream.thinking(event.delta);
      return;
    case "tool_start":
      stream.toolStarted(event);
      return;
    case "tool_update":
      stream.toolUpdated({ ...event, name: "" });
      return;
    case "tool_end":
      stream.toolEnded(event);
      return;
    case "usage":
      stream.usage(event.outputTokens);
      return;
    default:
      event satisfies never;
  }
}

function endOf(outcome: RunOutcome, active: ActiveRun) {
  if (outcome.status === "aborted")
    return { state: "aborted", stopReason: active.abortOrigin ?? "rpc" } as const;
  if (outcome.status === "done") return { state: "done", stopReason: outcome.message.stopReason } as const;
  const message = outcome.error?.publicMessage ?? outcome.message.errorMessage ?? "The run failed.";
  const errorMessage = message.startsWith("⚠️") ? message : `⚠️ ${message}`;
  return { state: "failed", stopReason: "error", errorCode: outcome.error?.code, errorMessage } as const;
}

function errorDetail(outcome: RunOutcome): Record<string, unknown> {
  const { provider, model } = outcome.message;
  return { provider, model, code: outcome.error?.code ?? "provider_failed", ...outcome.error?.details };
}

function closeSession(active: ActiveRun, outcome: RunOutcome, text: string, nowMs: number): Statement {
  const status = { done: "done", aborted: "killed", failed: "failed" }[outcome.status];
  const { run } = active;
  const preview = active.stream.text || text;
  return {
    sql: `UPDATE sessions SET status = ?, run_ended_at_ms = ?, updated_at_ms = ?, unread_at_ms = ?,
      last_message = coalesce(?, last_message) WHERE key = ? AND session_id = ?`,
    params: [
      status,
      nowMs,
      nowMs,
      nowMs,
      preview === "" ? null : preview.slice(0, 280),
      run.session_key,
      run.session_id,
    ],
  };
}
