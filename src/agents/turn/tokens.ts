/**
 * Counting tokens when nobody else did. Owns: estimates and bounds of what is sent, and what of a provider's count can be
 * true. Refuses to know: prices. Counted is what prompt-parts makes of a message, so nothing that is not sent.
 */

import type { ModelUsage, TranscriptMessage } from "../../protocol/message.ts";
import type { ModelRequest } from "../models/model.ts";
import { type PromptMessage, toMessage } from "../models/prompt-parts.ts";

/** More than any model takes or gives in one call; a provider that reports more is not believed. */
const BELIEVABLE_TOKENS = 50_000_000;
/** What providers charge for one picture, roughly. */
const IMAGE_TOKENS = 1_000;
/** Characters of the longest token that tokenizers have (a run of spaces). */
const LONGEST_TOKEN_CHARS = 128;

/** Estimate the tokens of a text: four Latin characters make one, of other scripts each character nearly does. */
export function estimateTokens(text: string): number {
  // Plain ASCII is told without looking at every character; a quarter of a megabyte takes a millisecond otherwise.
  if (Buffer.byteLength(text) === text.length) return Math.ceil(text.length / 4);
  let wide = 0;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x2ff) wide++;
  return Math.ceil((text.length - wide) / 4 + wide * 0.8);
}

/** Estimate the tokens of one message as a model reads it. */
export function estimateMessageTokens(message: TranscriptMessage, takesImages: boolean): number {
  const sent = toMessage(message, takesImages);
  if (sent === undefined) return 0;
  return piecesOf(sent).reduce((sum, piece) => {
    if (piece.kind === "picture") return sum + IMAGE_TOKENS;
    return sum + estimateTokens(piece.text) + (piece.kind === "call" ? 8 : 0);
  }, 4);
}

/** Estimate the tokens of a conversation. */
export function estimateHistoryTokens(messages: readonly TranscriptMessage[], takesImages: boolean): number {
  return messages.reduce((sum, message) => sum + estimateMessageTokens(message, takesImages), 0);
}

/** What is asked, as far as it is counted. */
export type CountedRequest = Pick<ModelRequest, "system" | "messages" | "tools" | "takesImages">;

/** Estimate the tokens of a question with all that goes with it. */
export function estimateInputTokens({ system, messages, tools, takesImages }: CountedRequest): number {
  const offered = tools.length === 0 ? 0 : estimateTokens(JSON.stringify(tools));
  return estimateTokens(system) + estimateHistoryTokens(messages, takesImages === true) + offered;
}

/** Tokens a chat template may add to a message, a tool, a call; no model's adds as many. */
const TEMPLATE_TOKENS = 64;
/** Tokens of the largest picture that models take (Qwen-VL's highest resolution); others scale pictures down. */
const IMAGE_CEILING_TOKENS = 16_384;

/**
 * An upper bound of the tokens a provider can count for a question. No token of any tokenizer in use is shorter than a
 * byte of UTF-8, so the bytes bound the text; templates add a little to each message, and pictures count by size.
 */
export function boundInputTokens(request: CountedRequest): number {
  const tools = request.tools.length === 0 ? 0 : Buffer.byteLength(JSON.stringify(request.tools));
  const fixed = Buffer.byteLength(request.system) + tools + TEMPLATE_TOKENS * (4 + request.tools.length);
  const takesImages = request.takesImages === true;
  return request.messages.reduce((sum, message) => sum + boundMessageTokens(message, takesImages), fixed);
}

function boundMessageTokens(message: TranscriptMessage, takesImages: boolean): number {
  const sent = toMessage(message, takesImages);
  if (sent === undefined) return 0;
  return piecesOf(sent).reduce((sum, { kind, text, names }) => {
    const picture = kind === "picture" ? IMAGE_CEILING_TOKENS : 0;
    return sum + picture + Buffer.byteLength(text) + Buffer.byteLength(names) + TEMPLATE_TOKENS;
  }, TEMPLATE_TOKENS);
}

/** A part of a message; `names` are ids and the like that are sent with it. */
interface Piece {
  kind: "text" | "picture" | "call";
  text: string;
  names: string;
}

function piecesOf({ content }: PromptMessage): Piece[] {
  if (typeof content === "string") return [{ kind: "text", text: content, names: "" }];
  return content.map((part): Piece => {
    switch (part.type) {
      case "text":
        return { kind: "text", text: part.text, names: "" };
      case "file":
        return { kind: "picture", text: "", names: part.mediaType };
      case "tool-call":
        return { kind: "call", text: JSON.stringify(part.input), names: part.toolCallId + part.toolName };
      case "tool-result":
        return { kind: "text", text: resultText(part.output), names: part.toolCallId + part.toolName };
      default:
        return { kind: "text", text: JSON.stringify(part), names: "" };
    }
  });
}

function resultText(output: { type: string; value?: unknown }): string {
  return typeof output.value === "string" ? output.value : JSON.stringify(output);
}

/** An answer as far as it arrived. */
export interface Arrived {
  text: string;
  thinking: string;
  /** Names and arguments of calls, complete or not. */
  calls: readonly string[];
}

/** Estimate the tokens of what arrived. */
export function estimateOutputTokens({ text, thinking, calls }: Arrived): number {
  const asked = calls.reduce((sum, call) => sum + 8 + estimateTokens(call), 0);
  return estimateTokens(text) + estimateTokens(thinking) + asked;
}

/** What is known of a call, whatever the provider counts. */
export interface KnownOfCall {
  request: CountedRequest;
  /** See `boundInputTokens`. */
  mostInputTokens: number;
  /** The limit that the provider was told; undefined for none. */
  maxOutputTokens: number | undefined;
  arrived: Arrived;
}

/**
 * What a call used: the provider's count as far as it can be true. More than was sent, or than was allowed and arrived,
 * counts as the most there can be; what is no count, or less than arrived, as our estimate; more cached than asked as
 * all of it. `isExact` only when nothing had to be changed. So nobody pays for more than the worst case of the call.
 */
export function settleUsage(reported: ModelUsage | null, known: KnownOfCall): ModelUsage {
  if (reported === null) {
    return {
      inputTokens: estimateInputTokens(known.request),
      outputTokens: estimateOutputTokens(known.arrived),
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
      isExact: false,
    };
  }
  const asked = reported.inputTokens + reported.cacheReadTokens + reported.cacheWriteTokens;
  const input = isCount(asked)
    ? Math.min(Math.ceil(asked), known.mostInputTokens)
    : Math.min(estimateInputTokens(known.request), known.mostInputTokens);
  const cacheReadTokens = within(reported.cacheReadTokens, input);
  const cacheWriteTokens = within(reported.cacheWriteTokens, input - cacheReadTokens);
  const outputTokens = soundOutput(reported.outputTokens, known);
  const settled: ModelUsage = {
    inputTokens: input - cacheReadTokens - cacheWriteTokens,
    ...{ outputTokens, cacheReadTokens, cacheWriteTokens },
    ...(reported.reasoningTokens === undefined
      ? {}
      : { reasoningTokens: within(reported.reasoningTokens, outputTokens) }),
    isExact: reported.isExact,
  };
  const names = Object.keys(settled) as (keyof ModelUsage)[];
  return { ...settled, isExact: reported.isExact && names.every((name) => settled[name] === reported[name]) };
}

function soundOutput(told: number, known: KnownOfCall): number {
  const { arrived, maxOutputTokens = BELIEVABLE_TOKENS } = known;
  const shown = arrived.calls.reduce((sum, call) => sum + call.length, arrived.text.length);
  if (!isCount(told) || told < shown / LONGEST_TOKEN_CHARS) return estimateOutputTokens(arrived);
  if (told <= maxOutputTokens) return Math.ceil(told);
  // Some providers let models think beyond the limit; what can have arrived is believed.
  const made = arrived.calls.reduce(
    (sum, call) => sum + TEMPLATE_TOKENS + Buffer.byteLength(call),
    TEMPLATE_TOKENS + Buffer.byteLength(arrived.text) + Buffer.byteLength(arrived.thinking),
  );
  return told <= made ? Math.ceil(told) : Math.max(maxOutputTokens, estimateOutputTokens(arrived));
}

function isCount(tokens: number): boolean {
  return Number.isFinite(tokens) && tokens >= 0 && tokens <= BELIEVABLE_TOKENS;
}

function within(tokens: number, most: number): number {
  return isCount(tokens) ? Math.min(Math.ceil(tokens), most) : 0;
}
