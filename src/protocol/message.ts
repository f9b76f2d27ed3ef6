/**
 * A row of a transcript, in OpenClaw's shape. Owns: the types both ends agree on.
 * Refuses to know: files, models, sockets.
 */

/** A piece of an assistant message. */
export type ContentPart =
  | { type: "text"; text: string }
  | { type: "thinking"; thinking: string }
  | { type: "toolCall"; id: string; name: string; arguments: Record<string, unknown> };

/** An image or file that came with a user message; the bytes stay inline, base64. */
export interface MessageAttachment {
  type: string;
  mimeType: string;
  fileName?: string | undefined;
  content: string;
}

/** What a person or a channel said. */
export interface UserMessage {
  role: "user";
  content: string | ContentPart[];
  timestamp: number;
  idempotencyKey?: string | undefined;
  attachments?: MessageAttachment[] | undefined;
}

/** Why the model stopped. */
export type StopReason = "stop" | "length" | "toolUse" | "error" | "aborted";

/** What the model said. `usage` is in OpenClaw's form, for clients; billing has the exact one. */
export interface AssistantMessage {
  role: "assistant";
  content: ContentPart[];
  provider: string;
  model: string;
  api?: string | undefined;
  usage?: WireUsage | undefined;
  stopReason: StopReason;
  errorMessage?: string | undefined;
  timestamp: number;
  openclawAbort?: { aborted: true; origin: string; runId: string } | undefined;
}

/** What a tool answered. */
export interface ToolResultMessage {
  role: "toolResult";
  toolCallId: string;
  toolName: string;
  content: { type: "text"; text: string }[];
  isError: boolean;
  timestamp: number;
}

/** A summary that stands for everything before it, made when the context was full. */
export interface CompactionMessage {
  role: "compaction";
  summary: string;
  /** Sequence number of the first message that is kept verbatim. */
  keptFromSeq: number;
  timestamp: number;
}

/** Any row of a transcript. */
export type TranscriptMessage = UserMessage | AssistantMessage | ToolResultMessage | CompactionMessage;

/** Tokens of one model call. Integers, never negative. */
export interface ModelUsage {
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
  /** Of `outputTokens` those that were thought and not said, where the provider tells them apart. */
  reasoningTokens?: number | undefined;
  /** False when the provider sent no usable count and these are our estimate. */
  isExact: boolean;
}

/** Usage as OpenClaw's clients read it; cost in whole currency units, only for showing. */
export interface WireUsage {
  input: number;
  output: number;
  totalTokens: number;
  cacheRead: number;
  cacheWrite: number;
  cost: { input: number; output: number; cacheRead: number; cacheWrite: number; total: number };
}

/** The text of a message as people read it. */
export function textOf(message: TranscriptMessage): string {
  if (message.role === "compaction") return message.summary;
  if (typeof message.content === "string") return message.content;
  return message.content.map((part) => (part.type === "text" ? part.text : "")).join("");
}
