/**
 * Our transcript in the words of the AI SDK. Owns: the translation of messages and tools; what is counted as sent is what
 * this makes of a message. Refuses to know: HTTP, streaming.
 */
import type { LanguageModelV4CallOptions, LanguageModelV4Prompt } from "@ai-sdk/provider";
import {
  type AssistantMessage,
  type MessageAttachment,
  type TranscriptMessage,
  textOf,
  type UserMessage,
} from "../../protocol/message.ts";
import type { ModelRequest } from "./model.ts";

/** A message as it is sent. */
export type PromptMessage = LanguageModelV4Prompt[number];
type UserParts = Extract<PromptMessage, { role: "user" }>["content"];
type AssistantParts = Extract<PromptMessage, { role: "assistant" }>["content"];

/** Longest text of an attached file that is shown to the model, characters. */
const ATTACHED_TEXT_CHARS = 64 * 1024;
/** Base64 of as many characters at three bytes each, with the line breaks that mail puts in. */
const ATTACHED_BASE64_CHARS = 280_000;

/** Everything the SDK needs for one call. */
export function toCallOptions(request: ModelRequest): LanguageModelV4CallOptions {
  return {
    prompt: toPrompt(request),
    abortSignal: request.signal,
    ...(request.maxOutputTokens === undefined ? {} : { maxOutputTokens: request.maxOutputTokens }),
    ...(request.effort === undefined ? {} : { reasoning: request.effort }),
    ...(request.tools.length === 0
      ? {}
      : {
          tools: request.tools.map((tool) => ({
            type: "function" as const,
            name: tool.name,
            description: tool.description,
            inputSchema: tool.parameters,
          })),
          toolChoice: { type: "auto" as const },
        }),
  };
}

function toPrompt(request: ModelRequest): LanguageModelV4Prompt {
  const prompt: LanguageModelV4Prompt = [];
  if (request.system !== "") prompt.push({ role: "system", content: request.system });
  for (const message of request.messages) {
    const translated = toMessage(message, request.takesImages === true);
    if (translated !== undefined) prompt.push(translated);
  }
  return prompt;
}

/** A message as the model gets it; undefined for one that is not sent at all. */
export function toMessage(message: TranscriptMessage, takesImages: boolean): PromptMessage | undefined {
  if (message.role === "compaction") {
    const text = `Summary of the conversation so far:\n\n${message.summary}`;
    return { role: "user", content: [{ type: "text", text }] };
  }
  if (message.role === "toolResult") {
    const value = textOf(message);
    return {
      role: "tool",
      content: [
        {
          type: "tool-result",
          toolCallId: message.toolCallId,
          toolName: message.toolName,
          output: { type: message.isError ? "error-text" : "text", value },
        },
      ],
    };
  }
  if (message.role === "user") return { role: "user", content: userParts(message, takesImages) };
  const parts = assistantParts(message);
  return parts.length === 0 ? undefined : { role: "assistant", content: parts };
}

function userParts(message: UserMessage, takesImages: boolean): UserParts {
  const parts: UserParts = [];
  const text = textOf(message);
  if (text !== "") parts.push({ type: "text", text });
  for (const attachment of message.attachments ?? []) parts.push(attachmentPart(attachment, takesImages));
  if (parts.length === 0) parts.push({ type: "text", text: "(empty message)" });
  return parts;
}

function attachmentPart(attachment: MessageAttachment, takesImages: boolean): UserParts[number] {
  const name = attachment.fileName ?? "attachment";
  if (attachment.mimeType.startsWith("image/") && takesImages) {
    return {
      type: "file",
      mediaType: attachment.mimeType,
      data: { type: "data", data: attachment.content },
    };
  }
  if (attachment.mimeType.startsWith("text/") || attachment.mimeType === "application/json") {
    const head = Buffer.from(attachment.content.slice(0, ATTACHED_BASE64_CHARS), "base64");
    const text = head.toString("utf8").slice(0, ATTACHED_TEXT_CHARS);
    return { type: "text", text: `Attached file ${name}:\n\n${text}` };
  }
  return { type: "text", text: `[Attached: ${name} (${attachment.mimeType}); this model cannot open it.]` };
}

function assistantParts(message: AssistantMessage): AssistantParts {
  return message.content.flatMap((part): AssistantParts => {
    // Reasoning is not sent back: providers refuse or ignore it, and it costs.
    if (part.type === "thinking") return [];
    if (part.type === "text") return part.text === "" ? [] : [{ type: "text", text: part.text }];
    return [{ type: "tool-call", toolCallId: part.id, toolName: part.name, input: part.arguments }];
  });
}
