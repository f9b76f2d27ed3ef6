/**
 * A message becomes a run. Owns: acceptance: one commit, then the acknowledgement.
 * Refuses to know: transports, models, what comes after (the queue does).
 *
 * ORDER: idempotency row, user message and session commit together before `send` resolves; the turn starts after.
 */
import type { Agents } from "../agents/agents.ts";
import { AppError } from "../kernel/errors.ts";
import type { RunId, SessionId } from "../kernel/ids.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { MessageAttachment, UserMessage } from "../protocol/message.ts";
import type { ParsedKey } from "../sessions/session-key.ts";
import { type Principal, reachesAgent } from "../tenancy/principal.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { beginStatements, writeKnowing } from "./runs/begin-run.ts";
import type { Lane } from "./runs/live-runs.ts";
import { assertSameInput, findRun, hashInput, insertRun, type RunRow, type RunSettings } from "./runs/run.ts";
import { type QueueDeps, RunQueue } from "./runs/run-queue.ts";

/** What sending needs. */
export interface SendDeps extends QueueDeps {
  agents: Agents;
  /** Hold back room for a message; throws `plan_limit`. What was stored is counted where it is stored. */
  takeRoom(
    scope: TenantScope,
    sizeBytes: number,
    hasFiles: boolean,
  ): Promise<{ end(changedBytes: number): void }>;
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
  /** What the accepted runs go to. */
  readonly queue: RunQueue;
  private readonly deps: SendDeps;

  constructor(deps: SendDeps) {
    this.deps = deps;
    this.queue = new RunQueue(deps);
  }

  /** Accept a message; resolves after it is on disk. Throws `invalid_request`, `limit_reached`, `plan_limit`, `idempotency_conflict`. */
  async send(input: SendInput): Promise<SendOutcome> {
    const { scope, parsed, principal } = input;
    if (!reachesAgent(principal, parsed.agentId)) {
      throw new AppError("forbidden", "This token is limited to other agents.");
    }
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
    const turn = { key: parsed.key, sender: principal.credential.id };
    const counted = await this.deps.gate.admit(scope, turn, input.channel, input.message);
    try {
      const outcome = await this.acceptWithRoom(input, hash);
      if (outcome.isReplay) counted.takeBack();
      return outcome;
    } catch (thrown) {
      counted.takeBack();
      throw thrown;
    }
  }

  /** Hold back room for words that are no input, e.g. put into a conversation by an admin; throws `plan_limit`. */
  takeRoom(scope: TenantScope, sizeBytes: number): Promise<{ end(changedBytes: number): void }> {
    return this.deps.takeRoom(scope, sizeBytes, false);
  }

  private async acceptWithRoom(input: SendInput, hash: string): Promise<SendOutcome> {
    const { scope, parsed } = input;
    const place = await this.deps.takeRoom(scope, sizeOf(input), input.attachments.length > 0);
    try {
      await this.deps.marks.mark(scope.tenantId);
      return await this.deps.live.exclusive(scope.tenantId, parsed.key, (lane) =>
        this.accept(input, lane, hash),
      );
    } finally {
      place.end(0);
    }
  }

  private async accept(input: SendInput, lane: Lane, hash: string): Promise<SendOutcome> {
    const { scope } = input;
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
    lane.isStarting = !waits;
    try {
      return await this.store(input, lane, hash, waits);
    } finally {
      lane.isStarting = false;
    }
  }

  private async store(input: SendInput, lane: Lane, hash: string, waits: boolean): Promise<SendOutcome> {
    const { scope, parsed } = input;
    const by = { userId: input.principal.userId, channel: input.channel };
    const session = await this.deps.sessions.ensure(scope, parsed, by);
    const now = lane.nextAcceptedMs(this.deps.clock.nowMs());
    const message = userMessage(input, now);
    const run = newRun(input, session.session_id, hash, now, waits ? JSON.stringify(message) : null);
    const begin = waits ? null : beginStatements(scope, session, run, message, now);
    const batch = {
      appends: begin === null ? [] : [begin.append],
      statements: [insertRun(run), ...(begin?.statements ?? [])],
    };
    const outcome = await writeKnowing(scope, batch, async () => {
      const stored = await findRun(scope, run.run_id);
      return stored?.input_hash === hash && stored.accepted_at_ms === now;
    });
    if (!outcome.committed) return this.resolveRefusal(input, hash);
    if (!waits) this.queue.start(input, lane, run);
    else lane.waiting.push({ run, scope, principal: input.principal });
    // Whoever waits while nothing is active was left behind by a store that refused; it may work again.
    if (waits && lane.active === undefined) {
      await this.queue.startNext(scope, lane, parsed.key).catch(() => undefined);
    }
    return { run, isReplay: false };
  }

  /** Somebody else used the key, or reset the session, between our look and our commit. */
  private async resolveRefusal(input: SendInput, hash: string): Promise<SendOutcome> {
    const known = await findRun(input.scope, input.idempotencyKey);
    if (known !== undefined) return replay(known, hash);
    throw new AppError("overloaded", "The session changed meanwhile; send again.", { retryAfterMs: 50 });
  }

  /** Stop runs of a session; see `RunQueue.abort`. */
  abort(
    scope: TenantScope,
    key: ParsedKey["key"],
    runId: string | undefined,
    origin: string,
  ): Promise<string[]> {
    return this.queue.abort(scope, key, runId, origin);
  }

  /** Stop working, for the process ends; see `RunQueue.abandonAll`. */
  abandonAll(): Promise<void> {
    return this.queue.abandonAll();
  }
}

/** Bytes that a message takes in the transcript, about. */
function sizeOf({ message, attachments }: SendInput): number {
  const files = attachments.reduce((sum, { content }) => sum + content.length, 0);
  return Buffer.byteLength(message) + files;
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
  const { kind, id } = input.principal.credential;
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
    settings: JSON.stringify({ ...input.settings, by: { kind, id } }),
    attempts: pending === null ? 1 : 0,
    accepted_at_ms: nowMs,
    started_at_ms: pending === null ? nowMs : null,
    ended_at_ms: null,
    stop_reason: null,
    error_code: null,
    error_message: null,
  };
}
