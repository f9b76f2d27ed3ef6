/**
 * The port to a language model. Owns: what is asked and what comes back, whoever answers.
 * Refuses to know: HTTP, keys, prices' meaning.
 */
import type { ModelUsage, TranscriptMessage } from "../../protocol/message.ts";

/** A tool as the model sees it. */
export interface ToolSpec {
  name: string;
  description: string;
  /** JSON Schema of the arguments, an object. */
  parameters: Record<string, unknown>;
}

/** How hard a reasoning model should think. */
export type Effort = "minimal" | "low" | "medium" | "high";

/** One question to a model. */
export interface ModelRequest {
  /** The model's id at its provider. */
  modelId: string;
  system: string;
  /** Paired: every tool call is followed by its result. */
  messages: readonly TranscriptMessage[];
  /** Empty for none. */
  tools: readonly ToolSpec[];
  maxOutputTokens: number | undefined;
  effort?: Effort | undefined;
  /** Set when the conversation is to be summarised; only the built-in model cares. */
  task?: "summary";
  /** Whether pictures may be sent along. */
  takesImages?: boolean;
  signal: AbortSignal;
}

/** A piece of an answer. The last one is `finish`; a failure is thrown instead. */
export type ModelEvent =
  | { type: "text"; delta: string }
  | { type: "reasoning"; delta: string }
  /** A piece of a call that is being written, for counting; the whole call follows unless the answer breaks off. */
  | { type: "tool_input"; id: string; delta: string }
  /** A complete call; `argsText` is what the model wrote, hopefully JSON. */
  | { type: "tool_call"; id: string; name: string; argsText: string }
  | { type: "finish"; stopReason: "stop" | "length" | "toolUse"; usage: ModelUsage | null };

/** Something that answers. */
export interface ModelProvider {
  /**
   * Throws `provider_failed`, `egress_refused` or the reason of the signal. The reason means that the provider was at work
   * when the stop came; a stop that found nothing open throws the failure there was before it, see `wasAtWork`.
   */
  stream(request: ModelRequest): AsyncIterable<ModelEvent>;
}

/** Price in whole currency units per million tokens, as in OpenClaw's configuration. */
export interface ModelCost {
  input: number;
  output: number;
  cacheRead?: number | undefined;
  cacheWrite?: number | undefined;
}

/** Why a provider failed, in `AppError.details.failure`; the words are OpenClaw's where it has them. */
export type ModelFailure =
  | "auth"
  | "billing"
  | "rate_limit"
  | "overloaded"
  | "timeout"
  | "unreachable"
  | "format"
  | "context_overflow"
  | "not_found"
  | "interrupted"
  | "unknown";
