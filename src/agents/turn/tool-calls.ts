/**
 * Carrying out what a model asked for. Owns: reading arguments, order of intent, run and result, bounds.
 * Refuses to know: what tools do, the model, what calls cost (the recorder refuses an intent that cannot be paid).
 *
 * One after the other: a model that asks for two writes means them in order.
 */

import type { Clock } from "../../kernel/clock.ts";
import { AppError, toAppError } from "../../kernel/errors.ts";
import { parseUntrusted } from "../../kernel/json.ts";
import type { Log } from "../../kernel/log.ts";
import type { ContentPart, ToolResultMessage } from "../../protocol/message.ts";
import { readArguments, type Tool, type Toolbox } from "../tools/tool.ts";
import type { RunInput, ToolEnd } from "./contract.ts";
import type { AskedCall } from "./model-step.ts";

/** Calls carried out per step; more are answered with an error. */
export const CALLS_PER_STEP = 16;
/** Characters of a result that the model and the transcript get. */
const RESULT_CHARS = 64 * 1024;
/** Characters of a call's arguments. */
const ARGUMENT_CHARS = 2 * 1024 * 1024;

/** A call ready to be carried out, or already answered with what is wrong with it. */
export interface PlannedCall {
  id: string;
  name: string;
  args: Record<string, unknown>;
  tool: Tool | undefined;
  /** Why it is not carried out. */
  problem: string | undefined;
}

/** Read what the model asked for: duplicates dropped, ids made unique within the run, arguments checked. */
export function planCalls(
  asked: readonly AskedCall[],
  input: Pick<RunInput, "agent">,
  toolbox: Toolbox,
  usedIds: Set<string>,
): PlannedCall[] {
  const seen = new Set<string>();
  const planned: PlannedCall[] = [];
  for (const call of asked) {
    if (seen.has(call.id)) continue;
    seen.add(call.id);
    if (planned.length >= CALLS_PER_STEP * 2) break;
    const id = uniqueId(call.id, usedIds);
    const isTooMany = planned.length >= CALLS_PER_STEP;
    planned.push(isTooMany ? tooMany(id, call.name) : plan(id, call, toolbox.find(input.agent, call.name)));
  }
  return planned;
}

/** The part of the assistant's message that asks for a call. */
export function toCallPart(call: PlannedCall): ContentPart {
  return { type: "toolCall", id: call.id, name: call.name, arguments: call.args };
}

function plan(id: string, call: AskedCall, tool: Tool | undefined): PlannedCall {
  const name = call.name.slice(0, 128);
  const args = readJson(call.argsText);
  if (typeof args === "string") return { id, name, args: {}, tool, problem: args };
  if (tool === undefined)
    return { id, name, args, tool, problem: `There is no tool "${name}" for this agent.` };
  const read = readArguments(tool, args);
  if (typeof read === "string") return { id, name, args, tool, problem: `The arguments are wrong: ${read}.` };
  return { id, name, args: read, tool, problem: undefined };
}

function tooMany(id: string, name: string): PlannedCall {
  const problem = `Only ${CALLS_PER_STEP} calls are carried out at once. Ask again for this one.`;
  return { id, name: name.slice(0, 128), args: {}, tool: undefined, problem };
}

function readJson(text: string): Record<string, unknown> | string {
  if (text.length > ARGUMENT_CHARS) return "The arguments are too long.";
  if (text.trim() === "") return {};
  try {
    const value = parseUntrusted(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
    return "The arguments must be a JSON object.";
  } catch (thrown) {
    return `The arguments cannot be read: ${toAppError(thrown).publicMessage}`;
  }
}

function uniqueId(id: string, used: Set<string>): string {
  const clean = /^[\w:.-]{1,128}$/.test(id) ? id : `call_${used.size + 1}`;
  let unique = clean;
  for (let copy = 2; used.has(unique); copy++) unique = `${clean}-${copy}`;
  used.add(unique);
  return unique;
}

/** What carrying out needs. */
export interface ToolCallDeps {
  clock: Clock;
  log: Log;
}

/** Carry out one call; records intent before and result after. Throws only when recording fails. */
export async function runToolCall(
  deps: ToolCallDeps,
  input: RunInput,
  step: number,
  call: PlannedCall,
): Promise<ToolResultMessage> {
  const { id: callId, name, args, tool } = call;
  const title = tool === undefined ? name : titleOf(tool, args);
  const startedMs = deps.clock.monotonicMs();
  await input.checkpoint?.();
  const ready = await begin(input, step, call);
  input.emit({ type: "tool_start", callId, name, args, title });
  const { text, end } = typeof ready === "string" ? unbegun(ready) : await carryOut(deps, input, call, ready);
  const isError = end !== "answered";
  const durationMs = Math.round(deps.clock.monotonicMs() - startedMs);
  const message: ToolResultMessage = {
    role: "toolResult",
    toolCallId: callId,
    toolName: name,
    content: [{ type: "text", text }],
    isError,
    timestamp: deps.clock.nowMs(),
  };
  await input.recorder.toolResult(step, message, end);
  input.emit({ type: "tool_end", callId, name, args, title, isError, text, durationMs });
  return message;
}

/** What a call gave, for the model. */
interface Outcome {
  text: string;
  end: ToolEnd;
}

const STOPPED = "Stopped before it began.";

/** Record that a call is about to be carried out; the tool to run, or why it is not run. */
async function begin(input: RunInput, step: number, call: PlannedCall): Promise<Tool | string> {
  const { id, name, args, tool, problem } = call;
  if (problem !== undefined || tool === undefined) return problem ?? "Unknown tool.";
  if (input.signal.aborted) return STOPPED;
  try {
    await input.recorder.toolIntent(step, { id, name, args, isIdempotent: tool.isIdempotent });
    return tool;
  } catch (thrown) {
    const error = toAppError(thrown);
    if (error.code !== "budget_exhausted" && error.code !== "limit_reached") throw thrown;
    return `Not carried out: ${error.publicMessage.replace(/^⚠️ /u, "")}`;
  }
}

function unbegun(text: string): Outcome {
  return { text, end: "unbegun" };
}

async function carryOut(
  deps: ToolCallDeps,
  input: RunInput,
  call: PlannedCall,
  tool: Tool,
): Promise<Outcome> {
  if (input.signal.aborted) return unbegun(STOPPED);
  const { scope, principal, agent, sessionKey, runId, signal } = input;
  const update = (output: string) =>
    input.emit({ type: "tool_update", callId: call.id, output: clip(output) });
  try {
    const text = await tool.run(call.args, { scope, principal, agent, sessionKey, runId, signal, update });
    return { text: clip(text), end: "answered" };
  } catch (thrown) {
    if (signal.aborted)
      return { text: "Stopped before it finished; its effect is uncertain.", end: "stopped" };
    const error = thrown instanceof AppError ? thrown : toAppError(thrown);
    if (error.code === "internal") deps.log.error({ err: thrown, tool: call.name }, "a tool failed");
    return { text: clip(error.publicMessage), end: "failed" };
  }
}

function titleOf(tool: Tool, args: Record<string, unknown>): string {
  return tool
    .title(args)
    .replace(/\p{Cc}+/gu, " ")
    .slice(0, 120);
}

function clip(text: string): string {
  const sound = text.toWellFormed();
  if (sound.length <= RESULT_CHARS) return sound;
  return `${sound.slice(0, RESULT_CHARS).toWellFormed()}\n[… ${sound.length - RESULT_CHARS} characters left out …]`;
}
