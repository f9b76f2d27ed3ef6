/**
 * The loop of a run: ask the model, carry out the tools it asks for, ask again, until it answers. Owns: that order and
 * its bounds. Refuses to know: sessions, queues, transports, files (the recorder makes each step durable).
 */
import type { Clock } from "../kernel/clock.ts";
import { AppError, toAppError } from "../kernel/errors.ts";
import type { Log } from "../kernel/log.ts";
import type { AssistantMessage, CompactionMessage, TranscriptMessage } from "../protocol/message.ts";
import type { ModelCatalog, ResolvedModel } from "./models/catalog.ts";
import type { Effort, ModelRequest } from "./models/model.ts";
import { pairToolCalls } from "./models/pair-tool-calls.ts";
import type { Prompts } from "./prompt.ts";
import type { Toolbox } from "./tools/tool.ts";
import { planCompaction, summaryRequest } from "./turn/compaction.ts";
import type { ModelCallRecord, RunInput, RunOutcome } from "./turn/contract.ts";
import {
  type AskedCall,
  refuseModelStep,
  runModelStep,
  type StepInput,
  type StepResult,
} from "./turn/model-step.ts";
import { boundInputTokens, estimateTokens } from "./turn/tokens.ts";
import { planCalls, runToolCall, toCallPart } from "./turn/tool-calls.ts";

/** What runs need. */
export interface AgentRunsDeps {
  models: ModelCatalog;
  toolbox: Toolbox;
  prompts: Prompts;
  clock: Clock;
  log: Log;
  /** Throws `plan_limit` for a model that the tenant's plan does not include; without it every model is included. */
  assertIncluded?(scope: RunInput["scope"], provider: string, model: string): Promise<void>;
}

/** Model calls of one run. */
const STEPS = 24;

/** What a run carries from step to step. */
interface Course {
  readonly input: RunInput;
  readonly model: ResolvedModel;
  readonly system: string;
  /** What was given, taken and recorded, in order; the recorder counts along. */
  readonly all: TranscriptMessage[];
  /** Tool call ids of this run. */
  readonly usedIds: Set<string>;
  /** Index in `all` of the first message that is sent verbatim. */
  keptFrom: number;
  summary: CompactionMessage | undefined;
  /** Number of the last model call. */
  step: number;
  /** A summary was tried and failed; not tried again in this run. */
  isCompactionBroken: boolean;
  /** A call that was made, came to nothing and must be paid for all the same. */
  unpaid: ModelCallRecord | null;
}

/** See the head of this file. */
export class AgentRuns {
  private readonly deps: AgentRunsDeps;

  constructor(deps: AgentRunsDeps) {
    this.deps = deps;
  }

  /** Run to the end; a failure of the model or a tool is an outcome, only a failure to record is thrown. */
  async run(input: RunInput): Promise<RunOutcome> {
    let course: Course;
    try {
      course = await this.begin(input);
    } catch (thrown) {
      return this.refused(input, toAppError(thrown));
    }
    input.emit({ type: "model", provider: course.model.provider, model: course.model.id });
    return { ...(await this.loop(course)), unpaid: course.unpaid };
  }

  private async loop(course: Course): Promise<RunOutcome> {
    const { input } = course;
    for (let turn = 0; ; turn++) {
      await input.checkpoint?.();
      // ORDER: an aborted run takes no more messages: they would be swallowed with it.
      if (turn > 0 && !input.signal.aborted) course.all.push(...(await input.takeSteering()));
      await this.compact(course);
      if (input.signal.aborted) return this.stopped(course);
      const result = await this.ask(course, turn === STEPS - 1);
      if (result.kind === "broken") return brokenOutcome(course, result, input.signal.aborted);
      if (result.asked.length === 0 || turn === STEPS - 1) return doneOutcome(course, result);
      await this.carryOut(course, result);
    }
  }

  private async begin(input: RunInput): Promise<Course> {
    const { scope, agent } = input;
    const model = await this.deps.models.resolve(scope, input.modelRef, agent.model);
    await this.deps.assertIncluded?.(scope, model.provider, model.id);
    const system = await this.deps.prompts.build(scope, agent, this.deps.toolbox.allowed(agent));
    return {
      input,
      model,
      system,
      all: [...input.history],
      usedIds: new Set(),
      keptFrom: 0,
      summary: undefined,
      step: 0,
      isCompactionBroken: false,
      unpaid: null,
    };
  }

  private ask(course: Course, isLast: boolean): Promise<StepResult> {
    const { input, model } = course;
    course.step++;
    const effort = effortOf(input.thinking, model);
    const request: ModelRequest = {
      modelId: model.id,
      system: course.system,
      messages: visible(course),
      // The last call gets no tools, so that the run ends with an answer.
      tools: isLast ? [] : this.deps.toolbox.offers(input.agent),
      maxOutputTokens: model.maxTokens,
      effort,
      takesImages: model.takesImages,
      signal: input.signal,
    };
    return this.call(course, request, "turn", input.emit.bind(input));
  }

  private async call(
    course: Course,
    request: ModelRequest,
    purpose: ModelCallRecord["purpose"],
    emit: RunInput["emit"],
  ): Promise<StepResult> {
    const { model, step, input } = course;
    const { clock, log } = this.deps;
    const mostInputTokens = boundInputTokens(request);
    const call: StepInput = { model, request, step, purpose, mostInputTokens, clock, emit };
    const { provider, id, cost, keyOwner } = model;
    const { maxOutputTokens } = request;
    const ask = { step, purpose, provider, model: id, cost, keyOwner, maxOutputTokens };
    try {
      await input.spend?.reserve({ ...ask, inputTokens: mostInputTokens });
    } catch (thrown) {
      return refuseModelStep(call, thrown);
    }
    if (request.signal.aborted) return refuseModelStep(call, new AppError("aborted", "The run was stopped."));
    const result = await runModelStep(call);
    if (result.call?.doubted !== undefined) {
      const { doubted, usage } = result.call;
      const facts = {
        tenantId: input.scope.tenantId,
        runId: input.runId,
        provider,
        model: id,
        doubted,
        usage,
      };
      log.warn(facts, "a provider's count cannot be true");
    }
    return result;
  }

  private async carryOut(course: Course, result: Extract<StepResult, { kind: "answered" }>): Promise<void> {
    const { input, step } = course;
    const calls = planCalls(result.asked, input, this.deps.toolbox, course.usedIds);
    const message: AssistantMessage = {
      ...result.message,
      content: [...result.message.content, ...calls.map(toCallPart)],
      stopReason: "toolUse",
    };
    await input.recorder.assistantStep(step, message, result.call);
    course.all.push(message);
    for (const call of calls) course.all.push(await runToolCall(this.deps, input, step, call));
  }

  /** Summarise the older part when the conversation no longer fits. If that fails, go on without. */
  private async compact(course: Course): Promise<void> {
    const { input, model } = course;
    const shown = visible(course);
    const kept = planCompaction(shown, model, estimateTokens(course.system));
    if (kept === undefined || course.isCompactionBroken || input.signal.aborted) return;
    course.step++;
    const request = summaryRequest(shown.slice(0, kept), model, model.id, input.signal);
    const result = await this.call(course, request, "compaction", () => undefined);
    const summary = result.message.content
      .flatMap((part) => (part.type === "text" ? [part.text] : []))
      .join("");
    if (result.kind === "broken" || summary.trim() === "" || result.call === null) {
      course.isCompactionBroken = true;
      course.unpaid = result.call;
      // A call that is billed gives back the rest when it is stored.
      if (result.call === null) await input.spend?.release(course.step);
      this.deps.log.info({ runId: input.runId }, "a conversation could not be summarised");
      return;
    }
    const keptFromSeq = positionOf(course, shown[kept]!);
    const message: CompactionMessage = {
      role: "compaction",
      summary,
      keptFromSeq,
      timestamp: this.deps.clock.nowMs(),
    };
    await input.recorder.compacted(course.step, message, result.call);
    course.summary = message;
    course.keptFrom = keptFromSeq;
  }

  /** The outcome of a run that was aborted between two model calls. */
  private stopped(course: Course): RunOutcome {
    const { model } = course;
    const message: AssistantMessage = {
      role: "assistant",
      content: [],
      provider: model.provider,
      model: model.id,
      stopReason: "aborted",
      timestamp: this.deps.clock.nowMs(),
    };
    const error = new AppError("aborted", "The run was stopped.");
    return { status: "aborted", message, call: null, step: course.step, error };
  }

  private refused(input: RunInput, error: AppError): RunOutcome {
    if (error.code === "internal")
      this.deps.log.error({ err: error, runId: input.runId }, "a run could not begin");
    const ref = input.modelRef ?? input.agent.model ?? "creel/none";
    const slash = ref.indexOf("/");
    const message: AssistantMessage = {
      role: "assistant",
      content: [],
      provider: slash > 0 ? ref.slice(0, slash) : "creel",
      model: ref.slice(slash + 1),
      stopReason: "error",
      errorMessage: error.publicMessage,
      timestamp: this.deps.clock.nowMs(),
    };
    return { status: "failed", message, call: null, step: 0, error };
  }
}

/** What the model is shown: the newest summary and all after it, every tool call with its result. */
function visible(course: Course): TranscriptMessage[] {
  const kept = course.all.slice(course.keptFrom);
  return pairToolCalls(course.summary === undefined ? kept : [course.summary, ...kept]);
}

/** Where a shown message stands in `all`; one that was made up to fill a gap stands where its call does. */
function positionOf(course: Course, message: TranscriptMessage): number {
  const found = course.all.indexOf(message, course.keptFrom);
  return found === -1 ? course.keptFrom : found;
}

function effortOf(thinking: string | undefined, model: ResolvedModel): Effort | undefined {
  const isKnown =
    thinking === "minimal" || thinking === "low" || thinking === "medium" || thinking === "high";
  return model.reasoning && isKnown ? thinking : undefined;
}

function doneOutcome(
  course: Course,
  result: { message: AssistantMessage; call: ModelCallRecord; asked: readonly AskedCall[] },
): RunOutcome {
  const { message, call, asked } = result;
  const isEmpty = message.content.every((part) => part.type !== "text");
  // Only a model that calls tools without being offered any gets here with calls left.
  const text = asked.length > 0 ? "I stopped here: this took too many steps." : "";
  const content =
    isEmpty && text !== "" ? [...message.content, { type: "text" as const, text }] : message.content;
  const stopReason = message.stopReason === "toolUse" ? "stop" : message.stopReason;
  return { status: "done", message: { ...message, content, stopReason }, call, step: course.step };
}

function brokenOutcome(
  course: Course,
  result: Extract<StepResult, { kind: "broken" }>,
  isAborted: boolean,
): RunOutcome {
  const { message, call, error } = result;
  const { errorMessage: _, ...calm } = message;
  if (isAborted) return { status: "aborted", message: calm, call, step: course.step, error };
  return { status: "failed", message, call, step: course.step, error };
}
