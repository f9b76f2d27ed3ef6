/**
 * What clients see of one run while it goes on. Owns: the shared counter of `chat` and `agent` events, coalescing of
 * deltas, the one terminal event. Refuses to know: storage, models. Source: PROTOCOL.md 7.1-7.4.
 */
import type { EventHub } from "../../events/hub.ts";
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Delivery, EventName } from "../../protocol/events.ts";
import type { RunRow } from "./run.ts";

/** See the head of this file. */
export class RunStream {
  private readonly hub: EventHub;
  private readonly clock: Clock;
  private readonly tenantId: TenantId;
  private readonly run: RunRow;
  private seq = 0;
  private step = 0;
  /** Text of finished steps, joined. */
  private before = "";
  private stepText = "";
  private sentText = "";
  private sentStepText = "";
  private timer: Timer | undefined;
  private isOver = false;

  constructor(hub: EventHub, clock: Clock, tenantId: TenantId, run: RunRow) {
    this.hub = hub;
    this.clock = clock;
    this.tenantId = tenantId;
    this.run = run;
  }

  /** All that the assistant said so far. */
  get text(): string {
    if (this.before === "" || this.stepText === "") return this.before + this.stepText;
    return `${this.before}\n\n${this.stepText}`;
  }

  /** A phase before the model speaks; clients show it as "thinking". */
  status(phase: "preparing_workspace" | "preparing_context" | "starting_model"): void {
    this.seq++;
    this.chat({ state: "status", phase });
    this.agent("run_status", { phase }, "run");
  }

  lifecycle(data: Record<string, unknown>): void {
    this.seq++;
    this.agent("lifecycle", data, "run");
  }

  /** The text of the current step grew. */
  grow(text: string): void {
    this.stepText = text;
    if (this.timer !== undefined || this.isOver) return;
    this.flush();
    this.timer = this.clock.after(LIMITS.deltaMs, () => {
      this.timer = undefined;
      if (this.sentStepText !== this.stepText) this.grow(this.stepText);
    });
  }

  /** The assistant's message ended; text that follows belongs to the next one. */
  private nextStep(): void {
    this.flush();
    if (this.stepText === "") return;
    this.before = this.text;
    this.stepText = "";
    this.sentStepText = "";
    this.step++;
  }

  thinking(delta: string): void {
    this.seq++;
    this.agent("thinking", { delta }, "run");
  }

  /** A tool call began, and so the message that asked for it is complete. */
  toolStarted(call: { callId: string; name: string; args: Record<string, unknown>; title: string }): void {
    this.nextStep();
    const startedAt = this.clock.nowMs();
    this.item(call, { phase: "start", status: "running", startedAt });
    this.tool({ phase: "start", name: call.name, toolCallId: call.callId, args: call.args });
  }

  toolUpdated(call: { callId: string; name: string; output: string }): void {
    const partialResult = { content: [{ type: "text", text: call.output }] };
    this.tool({ phase: "update", name: call.name, toolCallId: call.callId, partialResult });
  }

  toolEnded(call: {
    callId: string;
    name: string;
    title: string;
    text: string;
    isError: boolean;
    durationMs: number;
  }): void {
    const result = { content: [{ type: "text", text: call.text }], details: { durationMs: call.durationMs } };
    this.tool({ phase: "result", name: call.name, toolCallId: call.callId, isError: call.isError, result });
    const endedAt = this.clock.nowMs();
    this.item(call, { phase: "end", status: call.isError ? "failed" : "completed", endedAt });
  }

  usage(outputTokens: number): void {
    this.seq++;
    this.agent("usage", { outputTokens }, "run");
  }

  /** The one terminal event of a run that answered. */
  final(stopReason: string, message: Record<string, unknown> | undefined): void {
    this.end({ state: "final", stopReason, ...(message === undefined ? {} : { message }) });
  }

  /** The one terminal event of a run that was stopped. */
  aborted(origin: string): void {
    const message = this.text === "" ? {} : { message: this.snapshot() };
    this.end({ state: "aborted", stopReason: origin, ...message });
  }

  /** The one terminal event of a run that failed. */
  failed(errorMessage: string, errorDetail: Record<string, unknown>): void {
    this.end({ state: "error", errorMessage, errorDetail });
  }

  /** What a client that connects now must know to follow on. */
  inFlight(): Record<string, unknown> {
    return { runId: this.run.run_id, text: this.text, startedAt: this.run.started_at_ms, events: [] };
  }

  private end(payload: Record<string, unknown>): void {
    if (this.isOver) return;
    if (payload["state"] !== "error") this.flush();
    this.isOver = true;
    this.timer?.cancel();
    this.seq++;
    this.chat(payload);
  }

  private flush(): void {
    if (this.sentStepText === this.stepText || this.isOver) return;
    const text = this.text;
    const isAppended = text.startsWith(this.sentText);
    const deltaText = isAppended ? text.slice(this.sentText.length) : text;
    this.seq++;
    const delta = this.stepText.startsWith(this.sentStepText)
      ? this.stepText.slice(this.sentStepText.length)
      : this.stepText;
    this.agent(
      "assistant",
      { text: this.stepText, delta, itemId: `${this.run.run_id}:${this.step + 1}` },
      "run",
      true,
    );
    this.chat(
      { state: "delta", deltaText, ...(isAppended ? {} : { replace: true }), message: this.snapshot() },
      true,
    );
    this.sentText = text;
    this.sentStepText = this.stepText;
  }

  private snapshot(): Record<string, unknown> {
    return { role: "assistant", content: [{ type: "text", text: this.text }], timestamp: this.clock.nowMs() };
  }

  private item(call: { callId: string; name: string; title: string }, data: Record<string, unknown>): void {
    this.seq++;
    const facts = { itemId: `tool:${call.callId}`, toolCallId: call.callId, name: call.name, kind: "tool" };
    this.agent("item", { ...facts, title: call.title, meta: call.title, ...data }, "run");
  }

  private tool(data: Record<string, unknown>): void {
    this.seq++;
    this.agent("tool", data, "run-tools");
    this.publish("session.tool", "session-list", this.agentPayload("tool", data), false);
  }

  private agent(
    stream: string,
    data: Record<string, unknown>,
    delivery: Delivery,
    isDroppable = false,
  ): void {
    this.publish("agent", delivery, this.agentPayload(stream, data), isDroppable);
  }

  private agentPayload(stream: string, data: Record<string, unknown>): Record<string, unknown> {
    return { ...this.names(), stream, data, seq: this.seq, ts: this.clock.nowMs(), isHeartbeat: false };
  }

  private chat(payload: Record<string, unknown>, isDroppable = false): void {
    this.publish("chat", "run", { ...this.names(), seq: this.seq, ...payload }, isDroppable);
  }

  private names(): Record<string, unknown> {
    return { runId: this.run.run_id, sessionKey: this.run.session_key, agentId: this.run.agent_id };
  }

  private publish(
    event: EventName,
    delivery: Delivery,
    payload: Record<string, unknown>,
    isDroppable: boolean,
  ): void {
    const { session_key: sessionKey, run_id: runId } = this.run;
    this.hub.publish(this.tenantId, { event, delivery, payload, sessionKey, runId, isDroppable });
  }
}
