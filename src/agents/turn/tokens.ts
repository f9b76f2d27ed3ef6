/**
 * Counting tokens when nobody else did. Owns: estimates, and making sense of what providers report.
 * Refuses to know: prices.
 */
import { type ModelUsage, type TranscriptMessage, textOf } from "../../protocol/message.ts";

/** More than any model takes or gives in one call; a provider that reports more is not believed. */
const BELIEVABLE_TOKENS = 50_000_000;
/** What providers charge for one picture, roughly. */
const IMAGE_TOKENS = 1_000;

/** Estimate the tokens of a text: four Latin characters make one, of other scripts each character nearly does. */
export function estimateTokens(text: string): number {
  // Plain ASCII is told without looking at every character; a quarter of a megabyte takes a millisecond otherwise.
  if (Buffer.byteLength(text) === text.length) return Math.ceil(text.length / 4);
  let wide = 0;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x2ff) wide++;
  return Math.ceil((text.length - wide) / 4 + wide * 0.8);
}

/** Estimate the tokens of one message as a model reads it. */
export function estimateMessageTokens(message: TranscriptMessage): number {
  let tokens = 4 + estimateTokens(textOf(message));
  if (message.role === "assistant") {
    for (const part of message.content) {
      if (part.type === "toolCall") tokens += 8 + estimateTokens(JSON.stringify(part.arguments));
    }
  }
  if (message.role === "user") {
    for (const attachment of message.attachments ?? []) {
      tokens += attachment.mimeType.startsWith("image/")
        ? IMAGE_TOKENS
        : Math.ceil(attachment.content.length / 5);
    }
  }
  return tokens;
}

/** Tokens a chat template may add to a message, a tool, a call; no model's adds as many. */
const TEMPLATE_TOKENS = 64;
/** Tokens of the largest picture that models take (Qwen-VL's highest resolution); others scale pictures down. */
const IMAGE_CEILING_TOKENS = 16_384;

/**
 * An upper bound of the tokens a provider can count for a question. No token of any tokenizer in use is shorter than a
 * byte of UTF-8, so the bytes bound the text; templates add a little to each message, and pictures count by size.
 */
export function boundInputTokens(request: {
  system: string;
  messages: readonly TranscriptMessage[];
  tools: readonly { name: string; description: string; parameters: unknown }[];
}): number {
  const tools = request.tools.length === 0 ? 0 : Buffer.byteLength(JSON.stringify(request.tools));
  const fixed = Buffer.byteLength(request.system) + tools + TEMPLATE_TOKENS * (4 + request.tools.length);
  return request.messages.reduce((sum, message) => sum + boundMessageTokens(message), fixed);
}

function boundMessageTokens(message: TranscriptMessage): number {
  let tokens = TEMPLATE_TOKENS + Buffer.byteLength(textOf(message));
  if (message.role === "assistant") {
    for (const part of message.content) {
      if (part.type !== "toolCall") continue;
      const { id, name } = part;
      tokens += TEMPLATE_TOKENS + Buffer.byteLength(id + name + JSON.stringify(part.arguments));
    }
  }
  if (message.role === "toolResult") tokens += Buffer.byteLength(message.toolCallId + message.toolName);
  if (message.role === "user") {
    for (const { mimeType, content, fileName } of message.attachments ?? []) {
      const name = TEMPLATE_TOKENS + Buffer.byteLength(mimeType + (fileName ?? ""));
      tokens += name + (mimeType.startsWith("image/") ? IMAGE_CEILING_TOKENS : content.length);
    }
  }
  return tokens;
}

/** Estimate the tokens of a conversation. */
export function estimateHistoryTokens(messages: readonly TranscriptMessage[]): number {
  return messages.reduce((sum, message) => sum + estimateMessageTokens(message), 0);
}

/** What a call used: the provider's count where it can be believed, else our estimate. */
export function settleUsage(reported: ModelUsage | null, estimate: () => ModelUsage): ModelUsage {
  if (reported === null) return { ...estimate(), isExact: false };
  const fields = [
    reported.inputTokens,
    reported.outputTokens,
    reported.cacheReadTokens,
    reported.cacheWriteTokens,
  ];
  const isSane = fields.every(
    (count) => Number.isSafeInteger(count) && count >= 0 && count <= BELIEVABLE_TOKENS,
  );
  if (isSane) return reported;
  const { inputTokens, outputTokens } = estimate();
  const pick = (count: number, fallback: number) =>
    Number.isFinite(count) && count >= 0 && count <= BELIEVABLE_TOKENS ? Math.round(count) : fallback;
  return {
    inputTokens: pick(reported.inputTokens, inputTokens),
    outputTokens: pick(reported.outputTokens, outputTokens),
    cacheReadTokens: pick(reported.cacheReadTokens, 0),
    cacheWriteTokens: pick(reported.cacheWriteTokens, 0),
    isExact: false,
  };
}
