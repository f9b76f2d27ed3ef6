/**
 * What clients send as chat: commands, messages, replays. Owns: the answer to each, in OpenClaw's words (PROTOCOL.md
 * 7.6, 7.7). Refuses to know: which method carried it.
 */

import type { EventHub } from "../events/hub.ts";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { RunId } from "../kernel/ids.ts";
import type { MethodCall } from "../protocol/methods.ts";
import type { ParsedKey } from "../sessions/session-key.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { type RawAttachments, readAttachments } from "./attachments.ts";
import { LAID_ASIDE, type LiveRuns, type RunResult } from "./runs/live-runs.ts";
import { assertSameInput, endRun, findRun, hashInput, insertRun, type RunRow } from "./runs/run.ts";
import { RunStream } from "./runs/run-stream.ts";
import type { SendMessage } from "./send-message.ts";
import { readCommand, type SlashCommands } from "./slash-commands.ts";

/** A message as a method received it. */
export interface ChatInput {
  parsed: ParsedKey;
  message: string;
  attachments?: RawAttachments;
  thinking?: string | undefined;
  model?: string | undefined;
  queueMode?: "steer" | "followup" | "collect" | "interrupt" | undefined;
  timeoutMs?: number | undefined;
  idempotencyKey: string;
}

/** What inputs need. */
export interface InputDeps {
  send: SendMessage;
  commands: SlashCommands;
  live: LiveRuns;
  hub: EventHub;
  clock: Clock;
}

/** See the head of this file. */
export class ChatInputs {
  private readonly deps: InputDeps;

  constructor(deps: InputDeps) {
    this.deps = deps;
  }

  /** Take a message or command; the answer is what `chat.send` answers. */
  async send(call: MethodCall, input: ChatInput): Promise<{ runId: string; status: string }> {
    const command = (input.attachments ?? []).length === 0 ? readCommand(input.message) : undefined;
    call.connection?.startedRun(input.idempotencyKey);
    if (command !== undefined) return this.command(call, input, command);
    const accepted = await this.accept(call, input);
    return accepted.isReplay ? replayAnswer(accepted.run) : { runId: accepted.run.run_id, status: "started" };
  }

  /** Take a message; `isReplay` when the key was seen before. */
  async accept(call: MethodCall, input: ChatInput): Promise<{ run: RunRow; isReplay: boolean }> {
    // A replay interrupts nothing: what runs now may well be what was said after it.
    if (input.queueMode === "interrupt" && (await findRun(call.tenant, input.idempotencyKey)) === undefined) {
      await this.deps.send.abort(call.tenant, input.parsed.key, undefined, "interrupt");
    }
    const mode = input.queueMode ?? "steer";
    return this.deps.send.send({
      scope: call.tenant,
      principal: call.principal,
      parsed: input.parsed,
      message: input.message,
      attachments: readAttachments(input.attachments),
      idempotencyKey: input.idempotencyKey,
      channel: call.client?.mode === undefined ? "api" : channelOf(call.client.mode),
      settings: {
        model: input.model,
        thinking: input.thinking,
        timeoutMs: input.timeoutMs,
        queueMode: mode === "steer" ? "steer" : "followup",
      },
    });
  }

  /** Wait for a run's end, at most `timeoutMs`; undefined when it goes on, or was never there. */
  async wait(
    scope: TenantScope,
    runId: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<EndedRun | undefined> {
    const { promise, resolve } = Promise.withResolvers<RunResult | undefined>();
    const stop = this.deps.live.onEnd(scope.tenantId, runId as RunId, resolve);
    const timer = this.deps.clock.after(timeoutMs, () => resolve(undefined));
    const gone = () => resolve(undefined);
    signal.addEventListener("abort", gone, { once: true });
    try {
      // ORDER: listen first, look second; a run that ends in between is seen by one or the other.
      const stored = await findRun(scope, runId);
      if (stored === undefined) return undefined;
      if (stored.ended_at_ms !== null) return { run: stored, result: undefined };
      const result = await promise;
      // A run that was laid aside because the process stops goes on at the next start.
      if (result === undefined || result.stopReason === LAID_ASIDE) return undefined;
      return { run: stored, result };
    } finally {
      stop();
      timer.cancel();
      signal.removeEventListener("abort", gone);
    }
  }

  /** A command is answered at once by one terminal event; its key is kept, so that a replay begins nothing anew twice. */
  private async command(
    call: MethodCall,
    input: ChatInput,
    command: NonNullable<ReturnType<typeof readCommand>>,
  ): Promise<{ runId: string; status: string }> {
    const nowMs = this.deps.clock.nowMs();
    const run = commandRun(call, input, nowMs);
    const known = await findRun(call.tenant, run.run_id);
    if (known !== undefined) {
      assertSameInput(known, run.input_hash);
      return replayAnswer(known);
    }
    const text = await this.deps.commands.run(call.tenant, call.principal, input.parsed, command);
    const end = endRun(run.run_id, { state: "done", stopReason: "stop" }, nowMs, true);
    await call.tenant.db.write({ statements: [insertRun(run), end] });
    const stream = new RunStream(this.deps.hub, this.deps.clock, call.tenant.tenantId, run);
    setImmediate(() => {
      stream.final("stop", { role: "assistant", content: [{ type: "text", text }], timestamp: nowMs });
    });
    return { runId: input.idempotencyKey, status: "started" };
  }
}

/** A run that has ended: as stored, or as it was seen ending. */
export interface EndedRun {
  run: RunRow;
  result: RunResult | undefined;
}

function replayAnswer(run: RunRow): { runId: string; status: string } {
  const runId = run.run_id;
  if (run.state === "queued" || run.state === "running") return { runId, status: "in_flight" };
  if (run.state === "done") return { runId, status: "ok" };
  if (run.state === "aborted") {
    const stopReason = run.stop_reason ?? "rpc";
    return { runId, status: "timeout", summary: "aborted", stopReason, endedAt: run.ended_at_ms } as {
      runId: string;
      status: string;
    };
  }
  const summary = run.error_message ?? "The run failed.";
  throw new AppError("provider_failed", summary, {
    details: { reason: "run-failed" },
    payload: { runId, status: "error", summary },
  });
}

function channelOf(mode: string): string {
  return mode === "webchat" || mode === "ui" || mode === "cli" ? mode : "api";
}

function commandRun(call: MethodCall, input: ChatInput, nowMs: number): RunRow {
  return {
    run_id: input.idempotencyKey as RunId,
    input_hash: hashInput(input.parsed.key, call.principal.userId, input.message, []),
    session_key: input.parsed.key,
    session_id: "" as RunRow["session_id"],
    agent_id: input.parsed.agentId,
    user_id: call.principal.userId,
    channel: "command",
    state: "running",
    pending_input: null,
    settings: "{}",
    attempts: 1,
    accepted_at_ms: nowMs,
    started_at_ms: nowMs,
    ended_at_ms: nowMs,
    stop_reason: "stop",
    error_code: null,
    error_message: null,
  };
}
