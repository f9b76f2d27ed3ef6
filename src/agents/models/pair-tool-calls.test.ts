import { describe, expect, it } from "vitest";
import type { AssistantMessage, ToolResultMessage, TranscriptMessage } from "../../protocol/message.ts";
import { pairToolCalls } from "./pair-tool-calls.ts";

function called(...ids: string[]): AssistantMessage {
  const content = ids.map((id) => ({ type: "toolCall" as const, id, name: "t", arguments: {} }));
  return { role: "assistant", content, provider: "p", model: "m", stopReason: "toolUse", timestamp: 1 };
}

function result(id: string, text: string): ToolResultMessage {
  const content = [{ type: "text" as const, text }];
  return { role: "toolResult", toolCallId: id, toolName: "t", content, isError: false, timestamp: 1 };
}

function shape(messages: readonly TranscriptMessage[]): string[] {
  return messages.map((message) =>
    message.role === "toolResult"
      ? `${message.toolCallId}=${message.content[0]?.text.slice(0, 12)}`
      : message.role,
  );
}

const hi: TranscriptMessage = { role: "user", content: "hi", timestamp: 1 };

describe("a stored conversation", () => {
  it("gets a result for every call, and says that its outcome is unknown", () => {
    expect(shape(pairToolCalls([hi, called("a", "b"), result("b", "two"), hi]))).toEqual([
      "user",
      "assistant",
      "a=This call wa",
      "b=two",
      "user",
    ]);
  });

  it("keeps results apart whose ids repeat from run to run", () => {
    const rows = [called("a"), result("a", "first"), hi, called("a"), result("a", "second")];
    expect(shape(pairToolCalls(rows))).toEqual(["assistant", "a=first", "user", "assistant", "a=second"]);
  });

  it("loses results without a call, second results and messages that say nothing", () => {
    const rows = [result("x", "lost"), hi, called("a"), result("a", "one"), result("a", "again"), called()];
    expect(shape(pairToolCalls(rows))).toEqual(["user", "assistant", "a=one"]);
  });

  it("begins at the newest summary", () => {
    const summary: TranscriptMessage = { role: "compaction", summary: "s", keptFromSeq: 1, timestamp: 1 };
    expect(shape(pairToolCalls([hi, summary, hi, summary, hi]))).toEqual(["compaction", "user"]);
  });
});
