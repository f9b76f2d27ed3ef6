/**
 * One model call of a run. Owns: collecting the pieces, what was used, what is left when it breaks.
 * Refuses to know: tools' meaning, recording, further calls.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError, toAppError } from "../../kernel/errors.ts";
import type { AssistantMessage, ContentPart, ModelUsage, StopReason } from "../../protocol/message.ts";
import type { ResolvedModel } from "../models/catalog.ts";
import { wasAtWork } from "../models/failure.ts";
import type { ModelEvent, ModelRequest } from "../models/model.ts";
import type { ModelCallRecord, RunEvent } from "./contract.ts";
import { settleUsage } from "./tokens.ts";

/** A call a model asked for, as it wrote it. */
export interface AskedCall {
  id: string;
  name: string;
  argsText: string;
}

/** How a model call ended. `call` is null when nothing was used that anybody could bill. */
export type StepResult =
  | { kind: "answered"; message: AssistantMessage; call: ModelCallRecord; asked: readonly AskedCall[] }
  | { kind: "broken"; message: AssistantMessage; call: ModelCallRecord | null; error: AppError };

/** What a step needs besides the request. */
export interface StepInput {
  model: ResolvedModel;
  request: ModelRequest;
  step: number;
  purpose: ModelCallRecord["purpose"];
  /** See `boundInputTokens`; no call is counted with more. */
  mostInputTokens: number;
  clock: Clock;
  emit(event: RunEvent): void;
}

/** Text of one answer that is kept, characters; a model that writes more is stopped. */
const ANSWER_CHARS = 2_000_000;

/** Ask a model once; never throws. */
export async function runModelStep(input: StepInput): Promise<StepResult> {
  const collector = new Collector(input);
  try {
    for await (const event of input.model.model.stream(input.request)) collector.take(event);
    return collector.answered();
  } catch (thrown) {
    return collector.broken(thrown);
  }
}

/** A call that may not be made: as if the provider had refused it at once. */
export function refuseModelStep(input: StepInput, thrown: unknown): StepResult {
  return new Collector(input).refused(toAppError(thrown));
}

class Collector {
  private readonly input: StepInput;
  private readonly startedAtMs: number;
  private readonly asked: AskedCall[] = [];
  /** Calls that are being written, by id: names and arguments so far. */
  private readonly begun = new Map<string, string>();
  private text = "";
  private thinking = "";
  private finish: Extract<ModelEvent, { type: "finish" }> | undefined;

  constructor(input: StepInput) {
    this.input = input;
    this.startedAtMs = input.clock.nowMs();
  }

  take(event: ModelEvent): void {
    switch (event.type) {
      case "text":
        this.grow(event.delta);
        return;
      case "reasoning":
        this.thinking += event.delta;
        this.checkLength();
        this.input.emit({ type: "thinking", delta: event.delta });
        return;
      case "tool_input":
        this.begun.set(event.id, (this.begun.get(event.id) ?? "") + event.delta);
        return;
      case "tool_call":
        this.begun.delete(event.id);
        this.asked.push({ id: event.id, name: event.name, argsText: event.argsText });
        return;
      case "finish":
        this.finish = event;
        return;
      default:
        event satisfies never;
    }
  }

  answered(): StepResult {
    if (this.finish === undefined)
      return this.broken(new AppError("provider_failed", "⚠️ The answer broke off."));
    const { usage, stopReason } = this.finish;
    const call = this.record(usage);
    this.input.emit({ type: "usage", outputTokens: call.usage.outputTokens });
    return { kind: "answered", message: this.message(stopReason), call, asked: this.asked };
  }

  broken(thrown: unknown): StepResult {
    const isAborted = this.input.request.signal.aborted;
    const error = isAborted ? new AppError("aborted", "The run was stopped.") : toAppError(thrown);
    // A provider that was stopped at work, or broke off after it began, will bill; one that refused will not.
    const hasWorked = (isAborted && wasAtWork(thrown)) || this.hasArrived();
    const call = hasWorked ? this.record(this.finish?.usage ?? null) : null;
    const message = this.message(isAborted ? "aborted" : "error");
    return { kind: "broken", message: { ...message, errorMessage: error.publicMessage }, call, error };
  }

  /** Nothing was asked, so nothing was used, whatever the signal says. */
  refused(error: AppError): StepResult {
    const message = { ...this.message("error"), errorMessage: error.publicMessage };
    return { kind: "broken", message, call: null, error };
  }

  private hasArrived(): boolean {
    return this.text !== "" || this.thinking !== "" || this.asked.length > 0 || this.begun.size > 0;
  }

  private grow(delta: string): void {
    this.text += delta;
    this.checkLength();
    this.input.emit({ type: "text", text: this.text, delta });
  }

  private checkLength(): void {
    if (this.text.length + this.thinking.length > ANSWER_CHARS) {
      throw new AppError("provider_failed", "⚠️ The model wrote without end and was stopped.");
    }
  }

  private message(stopReason: StopReason): AssistantMessage {
    const { model, clock } = this.input;
    const content: ContentPart[] = [];
    if (this.thinking !== "") content.push({ type: "thinking", thinking: this.thinking.toWellFormed() });
    if (this.text !== "") content.push({ type: "text", text: this.text.toWellFormed() });
    return {
      role: "assistant",
      content,
      api: model.keyOwner === "none" ? "demo" : "openai-completions",
      provider: model.provider,
      model: model.id,
      stopReason,
      timestamp: clock.nowMs(),
    };
  }

  private record(reported: ModelUsage | null): ModelCallRecord {
    const { model, step, purpose, clock, request, mostInputTokens } = this.input;
    const { text, thinking } = this;
    const calls = [...this.asked.map((call) => call.name + call.argsText), ...this.begun.values()];
    const { maxOutputTokens } = request;
    const usage = settleUsage(reported, {
      request,
      mostInputTokens,
      maxOutputTokens,
      arrived: { text, thinking, calls },
    });
    return {
      step,
      purpose,
      provider: model.provider,
      model: model.id,
      usage,
      ...(reported === null || usage.isExact ? {} : { doubted: reported }),
      cost: model.cost,
      keyOwner: model.keyOwner,
      startedAtMs: this.startedAtMs,
      endedAtMs: clock.nowMs(),
    };
  }
}
