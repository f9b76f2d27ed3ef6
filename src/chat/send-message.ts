/**
 * A message becomes a run. Owns: acceptance (one commit, then the acknowledgement), order within a session, steering,
 * aborting. Refuses to know: transports, models.
 *
 * ORDER: idempotency row, user message and session commit together before `send` resolves; the turn starts after.
 */
import type { Agents } from "../agents/agents.ts";
import type { EventHub } from "../events/hub.ts";
import type { Clock } from "../kernel/clock.ts";
import { AppError, toAppError } from "../kernel/errors.ts";
import type { RunId, SessionId } from "../kernel/ids.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { MessageAttachment, UserMessage } from "../protocol/message.ts";
import type { SessionAnnouncer } from "../sessions/announce.ts";
import type { SessionRow } from "../sessions/session.ts";
import type { ParsedKey } from "../sessions/session-key.ts";
import type { Sessions } from "../sessions/sessions.ts";
import { appendRows, newRow } from "../sessions/transcript.ts";
import type { Append, Batch, Statement } from "../storage/database.ts";
import { runInContext } from "../tenancy/context.ts";
import type { Principal } from "../tenancy/principal.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { ActiveRun, Lane, LiveRuns, RunResult } from "./runs/live-runs.ts";
import {
  assertSameInput,
  endRun,
  findRun,
  hashInput,
  insertRun,
  pendingInputOf,
  type RunRow,
  type RunSettings,
  settingsOf,
  startRun,
} from "./runs/run.ts";
import { RunStream } from "./runs/run-stream.ts";
import type { Turns } from "./runs/turns.ts";
import type { WorkMarks } from "./runs/work-marks.ts";

/** What sending needs. */
export interface SendDeps {
  agents: Agents;
  sessions: Sessions;
  announcer: SessionAnnouncer;
  turns: Turns;
  live: LiveRuns;
  marks: WorkMarks;
  hub: EventHub;
  clock: Clock;
}

/** A message from a person, a channel or a program. */
export interface SendInput {
  scope: TenantScope;
  principal: Principal;
  parsed: ParsedKey;
  message: string;
  attachments: MessageAttachment[];
  /** Becomes the run id. */
  idempotencyKey: string;
  channel: string;
  settings: RunSettings;
}

/** `replayed` says that the key was seen before with the same input; nothing new was made. */
export interface SendOutcome {
  run: RunRow;
  isReplay: boolean;
}

/** See the head of this file. */
export class SendMessage {
  private readonly deps: SendDeps;

  constructor(deps: SendDeps) {
    this.deps = deps;
  }

  /** Accept a message; resolves after it is on disk. Throws `invalid_request`, `limit_reached`, `idempotency_conflict`. */
  async send(input: SendInput): Promise<SendOutcome> {
    const { scope, parsed, principal } = input;
    if (input.message.trim() === "" && input.attachments.length === 0) {
      throw new AppError("invalid_request", "message or attachment required");
    }
    if (input.message.length > LIMITS.messageChars) {
      throw new AppError("too_large", `A message has at most ${LIMITS.messageChars} characters.`);
    }
    const hash = hashInput(parsed.key, principal.userId, input.message, input.attachments);
    const known = await findRun(scope, input.idempotencyKey);
    if (known !== undefined) return replay(known, hash);
    if ((await this.deps.agents.find(scope, parsed.agentId)) === undefined) {
      throw new AppError("invalid_request", `Agent "${parsed.agentId}" no longer exists in configuration`);
    }
    await this.deps.marks.mark(scope.tenantId);
    const lane = this.deps.live.lane(scope.tenantId, parsed.key);
    try {
      return await lane.exclusive(() => this.accept(input, lane, hash));
    } finally {
      this.deps.live.sweep(scope.tenantId, parsed.key);
    }
  }

  private async accept(input: SendInput, lane: Lane, hash: string): Promise<SendOutcome> {
    const { scope, parsed } = input;
    const waits = lane.active !== undefined || lane.waiting.length > 0;
    if (lane.waiting.length >= LIMITS.queuedRunsPerSession) {
      throw new AppError("limit_reached", "Too many messages wait in this session.", { retryAfterMs: 5_000 });
    }
    if (!waits && this.deps.live.countActive(scope.tenantId) >= LIMITS.activeRunsPerTenant) {
      throw new AppError(
        "limit_reached",
        "Too many conversations are being answered at once; try again shortly.",
        {
          retryAfterMs: 2_000,
        },
      );
    }
    const session = await this.deps.sessions.ensure(scope, parsed, {
      userId: input.principal.userId,
      channel: input.channel,
    });
    const now = this.deps.clock.nowMs();
    const message = userMessage(input, now);
    const run = newRun(input, session.session_id, hash, now, waits ? JSON.stringify(message) : null);
    const begin = waits ? null : beginStatements(scope, session, run, message, now);
    const batch = {
      appends: begin === null ? [] : [begin.append],
      statements: [insertRun(run), ...(begin?.statements ?? [])],
    };
    if (!(await isStored(scope, batch, run))) return this.resolveRefusal(input, hash);
    if (!waits) {
      this.start(input, lane, run);
    } else {
      lane.waiting.push({ run, principal: input.principal });
      // What waits behind nothing was left there by a failure of the store.
      if (lane.active === undefined) await this.startNext(scope, lane, parsed.key).catch(() => undefined);
    }
    return { run, isReplay: false };
  }

  /** Somebody else used the key, or reset the session, between our look and our commit. */
  private async resolveRefusal(input: SendInput, hash: string): Promise<SendOutcome> {
    const known = await findRun(input.scope, input.idempotencyKey);
    if (known !== undefined) return replay(known, hash);
    throw new AppError("overloaded", "The session changed meanwhile; send again.", { retryAfterMs: 50 });
  }

  /** Put a run whose input is a transcript row into its lane and make the turn after the acknowledgement left. */
  start(by: { scope: TenantScope; principal: Principal }, lane: Lane, run: RunRow): void {
    const { scope, principal } = by;
    const { promise, resolve } = Promise.withResolvers<RunResult>();
    const stream = new RunStream(this.deps.hub, this.deps.clock, scope.tenantId, run);
    const active: ActiveRun = {
      run,
      stream,
      controller: new AbortController(),
      abortOrigin: undefined,
      isAbandoned: false,
      joined: [],
      done: promise,
    };
    lane.active = active;
    const timeoutMs = settingsOf(run).timeoutMs;
    if (timeoutMs !== undefined && timeoutMs > 0) {
      this.deps.clock.after(timeoutMs, () => abortActive(active, "timeout"));
    }
    // SECURITY: a timer or a finished run of somebody else may be what calls us; bind our own tenant anew.
    const context = { tenantId: scope.tenantId, principal, requestId: run.run_id };
    setImmediate(() => {
      void runInContext(context, async () => {
        await this.announceAccepted(scope, run);
        const takeSteering = () => this.steer(scope, lane, active);
        const result = await this.deps.turns.make({ scope, principal, active, takeSteering });
        await lane.exclusive(() => this.finish(scope, lane, active, result)).finally(() => resolve(result));
        this.deps.live.sweep(scope.tenantId, run.session_key);
        this.deps.marks.quiet(scope.tenantId, () => this.deps.live.isBusy(scope.tenantId));
      });
    });
  }

  private async announceAccepted(scope: TenantScope, run: RunRow): Promise<void> {
    try {
      const session = await this.deps.sessions.find(scope, run.session_key);
      if (session !== undefined) await this.deps.announcer.changed(scope, session, { reason: "send" });
    } catch {
      // Only an announcement is lost; the turn meets the same trouble and reports it.
    }
  }

  private async finish(scope: TenantScope, lane: Lane, active: ActiveRun, result: RunResult): Promise<void> {
    const { tenantId } = scope;
    lane.active = undefined;
    this.deps.live.ended(tenantId, active.run.run_id, result);
    for (const joined of active.joined) {
      new RunStream(this.deps.hub, this.deps.clock, tenantId, joined).final("steered", undefined);
      this.deps.live.ended(tenantId, joined.run_id, { ...result, text: "", stopReason: "steered" });
    }
    if (!active.isAbandoned) await this.startNext(scope, lane, active.run.session_key).catch(() => undefined);
  }

  /** Stop working, for the process ends: runs stay open in the store and the next start takes them up. */
  async abandonAll(): Promise<void> {
    const active = this.deps.live.unscopedActive();
    for (const one of active) {
      one.isAbandoned = true;
      one.controller.abort();
    }
    await Promise.all(active.map((one) => one.done));
  }

  /** Begin the oldest waiting run of a lane, as whoever sent it; its input becomes a transcript row now. */
  async startNext(scope: TenantScope, lane: Lane, key: ParsedKey["key"]): Promise<void> {
    const next = lane.waiting[0];
    if (next === undefined || lane.active !== undefined) return;
    const { run, principal } = next;
    const session = await this.deps.sessions.get(scope, key);
    const now = this.deps.clock.nowMs();
    const begin = beginStatements(scope, session, run, pendingInputOf(run), now);
    const outcome = await scope.db.write({
      appends: [begin.append],
      statements: [startRun(run, session.session_id, now), ...begin.statements],
    });
    lane.waiting.shift();
    if (!outcome.committed) {
      await this.startNext(scope, lane, key);
      return;
    }
    const begun = {
      state: "running",
      session_id: session.session_id,
      started_at_ms: now,
      pending_input: null,
    } as const;
    this.start({ scope, principal }, lane, { ...run, ...begun, attempts: run.attempts + 1 });
  }

  /** Hand waiting inputs to the model between two of its calls. */
  private steer(
    scope: TenantScope,
    lane: Lane,
    active: ActiveRun,
  ): Promise<{ message: UserMessage; seq: number }[]> {
    return lane.exclusive(async () => {
      const taken = lane.waiting.filter(({ run }) => isSteerable(run, active)).map(({ run }) => run);
      if (taken.length === 0) return [];
      const now = this.deps.clock.nowMs();
      const rows = taken.map((run) => newRow(pendingInputOf(run), run.run_id));
      const added = appendRows(
        scope,
        { agentId: active.run.agent_id, sessionId: active.run.session_id },
        rows,
      );
      const starts = taken.map((run) => startRun(run, active.run.session_id, now));
      const outcome = await scope.db.write({
        appends: [added.append],
        statements: [...added.statements, ...starts],
      });
      if (!outcome.committed) return [];
      removeWaiting(lane, taken);
      active.joined.push(...taken);
      const session = await this.deps.sessions.get(scope, active.run.session_key);
      const steered = rows.map((row, index) => ({
        ...row,
        seq: Number(outcome.results[index]?.rows[0]?.["seq"]),
      }));
      for (const row of steered) await this.deps.announcer.message(scope, session, row);
      return steered.map(({ message, seq }) => ({ message: message as UserMessage, seq }));
    });
  }

  /**
   * Stop runs of a session: the named one, or the active and all waiting ones. Resolves when they have ended.
   * @returns ids of the runs that were stopped
   */
  async abort(
    scope: TenantScope,
    key: ParsedKey["key"],
    runId: string | undefined,
    origin: string,
  ): Promise<string[]> {
    const lane = this.deps.live.find(scope.tenantId, key);
    if (lane === undefined) return [];
    const waiting = await lane.exclusive(() => this.abortWaiting(scope, lane, runId, origin));
    const active = lane.active;
    if (active === undefined || (runId !== undefined && active.run.run_id !== runId)) return waiting;
    abortActive(active, origin);
    await active.done;
    return [active.run.run_id, ...waiting];
  }

  private async abortWaiting(
    scope: TenantScope,
    lane: Lane,
    runId: string | undefined,
    origin: string,
  ): Promise<string[]> {
    const taken = lane.waiting
      .map(({ run }) => run)
      .filter((run) => runId === undefined || run.run_id === runId);
    if (taken.length === 0) return [];
    const now = this.deps.clock.nowMs();
    const end = { state: "aborted", stopReason: origin } as const;
    await scope.db.write({ statements: taken.map((run) => endRun(run.run_id, end, now, false)) });
    removeWaiting(lane, taken);
    for (const run of taken) {
      new RunStream(this.deps.hub, this.deps.clock, scope.tenantId, run).aborted(origin);
      const usage = { inputTokens: 0, outputTokens: 0 };
      const result = {
        status: "aborted",
        text: "",
        stopReason: origin,
        errorMessage: undefined,
        usage,
        endedAtMs: now,
      } as const;
      this.deps.live.ended(scope.tenantId, run.run_id, result);
    }
    return taken.map((run) => run.run_id);
  }
}

/**
 * SECURITY: only an input of the same person may join a run: the run goes on with the authority of whoever began it.
 */
function isSteerable(run: RunRow, active: ActiveRun): boolean {
  return settingsOf(run).queueMode === "steer" && run.user_id === active.run.user_id;
}

function removeWaiting(lane: Lane, taken: readonly RunRow[]): void {
  const left = lane.waiting.filter(({ run }) => !taken.includes(run));
  lane.waiting.splice(0, lane.waiting.length, ...left);
}

/**
 * Whether a new run is on disk. A failed commit is an unknown outcome: the row itself tells, and a run that is there
 * must be worked on, or it would stay "in flight" until the next start.
 */
async function isStored(scope: TenantScope, batch: Batch, run: RunRow): Promise<boolean> {
  try {
    return (await scope.db.write(batch)).committed;
  } catch (thrown) {
    if (toAppError(thrown).code !== "storage_uncertain") throw thrown;
    if ((await findRun(scope, run.run_id))?.input_hash !== run.input_hash) throw thrown;
    return true;
  }
}

function abortActive(active: ActiveRun, origin: string): void {
  active.abortOrigin ??= origin;
  active.controller.abort();
}

function replay(run: RunRow, hash: string): SendOutcome {
  assertSameInput(run, hash);
  return { run, isReplay: true };
}

function userMessage(input: SendInput, nowMs: number): UserMessage {
  return {
    role: "user",
    content: input.message,
    timestamp: nowMs,
    idempotencyKey: `${input.idempotencyKey}:user`,
    ...(input.attachments.length === 0 ? {} : { attachments: input.attachments }),
  };
}

function newRun(
  input: SendInput,
  sessionId: SessionId,
  hash: string,
  nowMs: number,
  pending: string | null,
): RunRow {
  return {
    run_id: input.idempotencyKey as RunId,
    input_hash: hash,
    session_key: input.parsed.key,
    session_id: sessionId,
    agent_id: input.parsed.agentId,
    user_id: input.principal.userId,
    channel: input.channel,
    state: pending === null ? "running" : "queued",
    pending_input: pending,
    settings: JSON.stringify(input.settings),
    attempts: pending === null ? 1 : 0,
    accepted_at_ms: nowMs,
    started_at_ms: pending === null ? nowMs : null,
    ended_at_ms: null,
    stop_reason: null,
    error_code: null,
    error_message: null,
  };
}

/** The transcript row of an input and what the session shows from now on; refuses when the session was reset. */
function beginStatements(
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
