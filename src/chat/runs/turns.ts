/**
 * One run from its first model call to its one terminal event. Owns: history for the model, the closing commit, the
 * order commit -> events. Refuses to know: queues, acknowledgements, transports.
 */

import type { Agents } from "../../agents/agents.ts";
import type { AgentRuns } from "../../agents/run.ts";
import type { RunEvent, RunOutcome } from "../../agents/turn/contract.ts";
import type { Reservations } from "../../billing/ledger/reservations.ts";
import type { UsageMeter } from "../../billing/usage.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError, toAppError } from "../../kernel/errors.ts";
import type { SessionId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import { type AssistantMessage, textOf, type UserMessage } from "../../protocol/message.ts";
import type { SessionAnnouncer } from "../../sessions/announce.ts";
import type { SessionRow } from "../../sessions/session.ts";
import type { Sessions } from "../../sessions/sessions.ts";
import { appendRows, countRows, newRow, readRows, type TranscriptRow } from "../../sessions/transcript.ts";
import type { Statement } from "../../storage/database.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { writeKnowing } from "./begin-run.ts";
import { ACCESS_ENDED, type ActiveRun, LAID_ASIDE, type RunResult } from "./live-runs.ts";
import { TurnRecorder } from "./recorder.ts";
import { endRun, findRun, settingsOf } from "./run.ts";
import { TurnSpend } from "./turn-spend.ts";

/** What turns need. */
export interface TurnDeps {
  agents: Agents;
  agentRuns: AgentRuns;
  meter: UsageMeter;
  reservations: Reservations;
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
  /** The session as it was when the run began; undefined when it could not be read. */
  session: SessionRow | undefined;
  /** Inputs that arrived meanwhile and may be told to the model between its calls. */
  takeSteering(): Promise<{ message: UserMessage; seq: number }[]>;
  /** Stops the run if whoever began it may not go on. */
  checkpoint(): Promise<void>;
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
    const spend = new TurnSpend(this.deps.reservations, this.deps.meter, scope, active.run);
    const recorder = new TurnRecorder(this.deps, scope, active, spend, (row) => this.announceRow(scope, row));
    try {
      await this.announceStart(input);
      const outcome = await this.run(input, recorder);
      // An answer that is complete is kept, and a person who stopped theirs does not want it again.
      const isCut = outcome.status !== "done" && active.abortOrigin === undefined;
      if (active.isAbandoned && isCut) return await this.abandon(scope, active, recorder);
      return await this.close(input, recorder, outcome);
    } catch (thrown) {
      if (active.isAbandoned) return abandoned(active, this.deps.clock.nowMs());
      const error = toAppError(thrown);
      this.deps.log[error.rule.level]({ err: error, runId: active.run.run_id }, "a turn failed");
      return await this.closeFailed(scope, active, recorder, error);
    } finally {
      spend.end();
    }
  }

  private async announceStart({ scope, active, session }: TurnInput): Promise<void> {
    const { run, stream } = active;
    stream.status("preparing_context");
    stream.lifecycle({ phase: "start", startedAt: run.started_at_ms });
    const why = { phase: "start", runId: run.run_id, reason: "agent.run.started" };
    if (session !== undefined) await this.announce(scope, active, why, session);
  }

  private async run(input: TurnInput, recorder: TurnRecorder): Promise<RunOutcome> {
    const { scope, active, principal } = input;
    const { run, stream } = active;
    const session = input.session ?? (await this.deps.sessions.get(scope, run.session_key));
    if (session.session_id !== run.session_id) {
      throw new AppError("conflict", "The conversation was begun anew before this was answered.");
    }
    const history = await loadHistory(scope, session);
    for (const seq of history.seqs) recorder.noteKnown(seq);
    const settings = settingsOf(run);
    const agent = await this.deps.agents.get(scope, run.agent_id);
    stream.status("starting_model");
    return this.deps.agentRuns.run({
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
      spend: recorder.spend,
      takeSteering: async () => {
        const taken = await input.takeSteering();
        for (const { seq } of taken) recorder.noteKnown(seq);
        return taken.map(({ message }) => message);
      },
      checkpoint: () => input.checkpoint(),
      emit: (event) => relay(stream, event),
    });
  }

  /** The commit that ends a run: last message, its usage, the run and the session, all or nothing. */
  private async close(input: TurnInput, recorder: TurnRecorder, outcome: RunOutcome): Promise<RunResult> {
    const { scope, active } = input;
    const { run, stream } = active;
    const calls = [outcome.unpaid ?? null, outcome.call].filter((call) => call !== null);
    if (outcome.unpaid != null) recorder.meter(outcome.unpaid.step, outcome.unpaid);
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
      ...recorder.owed(),
      ...recorder.spend.releases(now),
      ...calls.map((call) => recorder.tokens(call)),
      ...active.joined.map((joined) => endRun(joined.run_id, { ...end, stopReason: "steered" }, now, false)),
      closeSession(active, outcome, textOf(message), now),
    ];
    const batch = { appends: added === null ? [] : [added.append], statements };
    const isEnded = async () => (await findRun(scope, run.run_id))?.state !== "running";
    const committed = await writeKnowing(scope, batch, isEnded);
    if (!committed.committed) throw new AppError("storage_uncertain", "The end of the run was not stored.");
    recorder.settled();
    const session = await this.quietly("the end of a run was not announced", () =>
      this.deps.sessions.find(scope, run.session_key),
    );
    if (added !== null) {
      const seq = committed.results[1]?.rows[0]?.["seq"] ?? (await countRows(scope, run.session_id));
      await this.announceRow(scope, { ...row, seq: Number(seq), sessionId: run.session_id }, session);
    }
    return this.announceEnd(input, outcome, end, stream.text || textOf(message), session);
  }

  /**
   * The process ends and the run stays open. We cut the call that was going on and throw away what came of it, so it is not
   * charged, as after a crash: what it held goes back, and the next attempt has lines of its own.
   */
  private async abandon(scope: TenantScope, active: ActiveRun, recorder: TurnRecorder): Promise<RunResult> {
    const now = this.deps.clock.nowMs();
    const statements = recorder.spend.releases(now);
    if (statements.length > 0) await scope.db.write({ statements });
    return abandoned(active, now);
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

  private async announceEnd(
    { scope, active }: TurnInput,
    outcome: RunOutcome,
    end: ReturnType<typeof endOf>,
    text: string,
    session: SessionRow | undefined,
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
      const { code = "provider_failed", details } = outcome.error ?? {};
      this.deps.log.info({ runId: run.run_id, code, ...details }, "a run ended without an answer");
      stream.failed(end.errorMessage ?? "The run failed.", errorDetail(outcome));
    }
    const why = { reason: "agent.input.settled", phase: "end", runId: run.run_id };
    await this.announce(scope, active, why, session);
    return {
      status: outcome.status,
      text,
      stopReason: end.stopReason,
      errorMessage: end.errorMessage,
      endedAtMs,
    };
  }

  /** The turn broke in our hands: end the run as failed, if the store lets us; else the next start will. */
  private async closeFailed(
    scope: TenantScope,
    active: ActiveRun,
    recorder: TurnRecorder,
    error: AppError,
  ): Promise<RunResult> {
    const now = this.deps.clock.nowMs();
    const errorMessage = error.publicMessage.startsWith("⚠️")
      ? error.publicMessage
      : `⚠️ ${error.publicMessage}`;
    const owed = [...recorder.owed(), ...recorder.spend.releases(now)];
    const statements = failedStatements(active, error, errorMessage, owed, now);
    const store = async () => void (await scope.db.write({ statements }));
    const settle = await store().then(
      () => undefined,
      (thrown: unknown) => {
        this.deps.log.error({ err: thrown }, "a failed run could not be closed; it is tried again");
        return () => store().then(() => this.announce(scope, active, { phase: "end" }));
      },
    );
    active.stream.lifecycle({ phase: "error", error: errorMessage, endedAt: now });
    active.stream.failed(errorMessage, { code: error.code });
    await this.announce(scope, active, { phase: "end", runId: active.run.run_id });
    return {
      status: "failed",
      text: active.stream.text,
      stopReason: "error",
      errorMessage,
      endedAtMs: now,
      settle,
    };
  }

  /** Tell that the session changed. What is stored is stored: a lost announcement fails nothing. */
  private async announce(
    scope: TenantScope,
    active: ActiveRun,
    why: Record<string, unknown>,
    known?: SessionRow,
  ): Promise<void> {
    await this.quietly("a change of a session was not announced", async () => {
      const row = known ?? (await this.deps.sessions.find(scope, active.run.session_key));
      if (row?.session_id === active.run.session_id) await this.deps.announcer.changed(scope, row, why);
    });
  }

  private async announceRow(
    scope: TenantScope,
    row: TranscriptRow & { sessionId: SessionId },
    known?: SessionRow,
  ): Promise<void> {
    await this.quietly("a message was not announced", async () => {
      const session = known ?? (await this.deps.sessions.findBySessionId(scope, row.sessionId));
      if (session?.session_id === row.sessionId) await this.deps.announcer.message(scope, session, row);
    });
  }

  private async quietly<T>(otherwise: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (thrown) {
      this.deps.log.warn({ err: thrown }, otherwise);
      return undefined;
    }
  }
}

/** The batch that ends a run which broke: what it used is paid for, and those who joined it end with it. */
function failedStatements(
  { run, joined }: ActiveRun,
  error: AppError,
  errorMessage: string,
  owed: readonly Statement[],
  nowMs: number,
): Statement[] {
  const end = { state: "failed", stopReason: "error", errorCode: error.code, errorMessage } as const;
  return [
    ...[run, ...joined].map((one) => endRun(one.run_id, end, nowMs, false)),
    ...owed,
    {
      sql: "UPDATE sessions SET status = 'failed', run_ended_at_ms = ?, updated_at_ms = ? WHERE key = ? AND session_id = ?",
      params: [nowMs, nowMs, run.session_key, run.session_id],
    },
  ];
}

/** What the model is told of the past: the newest summary, and all rows after what it sums up. */
export async function loadHistory(
  scope: TenantScope,
  session: SessionRow,
): Promise<{ rows: TranscriptRow[]; seqs: number[] }> {
  const ref = { agentId: session.agent_id, sessionId: session.session_id };
  const kept = await readRows(scope, ref, session.kept_from_seq, Number.MAX_SAFE_INTEGER);
  const rows = kept.filter((row) => row.message.role !== "compaction");
  if (session.summary_seq !== null)
    rows.unshift(...(await readRows(scope, ref, session.summary_seq, session.summary_seq)));
  return { rows, seqs: rows.map((row) => row.seq) };
}

function abandoned(active: ActiveRun, endedAtMs: number): RunResult {
  const stopReason = LAID_ASIDE;
  return {
    status: "aborted",
    text: active.stream.text,
    stopReason,
    errorMessage: undefined,
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

/** Said of a run that nobody asked to stop. */
function abortMessage(stopReason: string): string | undefined {
  return stopReason === ACCESS_ENDED ? "⚠️ Access changed or was revoked while this was answered." : undefined;
}

function endOf(outcome: RunOutcome, active: ActiveRun) {
  if (outcome.status === "aborted") {
    const stopReason = active.abortOrigin ?? "rpc";
    return { state: "aborted", stopReason, errorMessage: abortMessage(stopReason) } as const;
  }
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
