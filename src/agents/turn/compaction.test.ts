import { describe, expect, it } from "vitest";
import type { AssistantMessage, ToolResultMessage, TranscriptMessage } from "../../protocol/message.ts";
import { compactionThreshold, planCompaction, summaryRequest } from "./compaction.ts";
import { estimateHistoryTokens, estimateTokens } from "./tokens.ts";

const ROOM = { contextWindow: 5_000, maxTokens: 1_000 };

function said(chars: number): TranscriptMessage {
  return { role: "user", content: "a".repeat(chars), timestamp: 1 };
}

function called(id: string): AssistantMessage {
  const content = [{ type: "toolCall" as const, id, name: "t", arguments: {} }];
  return { role: "assistant", content, provider: "p", model: "m", stopReason: "toolUse", timestamp: 1 };
}

function result(id: string, chars: number): ToolResultMessage {
  const content = [{ type: "text" as const, text: "b".repeat(chars) }];
  return { role: "toolResult", toolCallId: id, toolName: "t", content, isError: false, timestamp: 1 };
}

describe("a summary", () => {
  it("is due above three quarters of the room, and never below", () => {
    expect(compactionThreshold(ROOM)).toBe(3_000);
    expect(planCompaction([said(2_000), said(2_000)], ROOM, 0)).toBeUndefined();
    expect(planCompaction([said(8_000), said(8_000)], ROOM, 0)).toBe(1);
    expect(planCompaction([said(2_000), said(2_000)], ROOM, 2_900)).toBe(1);
  });

  it("keeps the end that fits, and always what was said last", () => {
    const messages = [said(8_000), said(1_000), said(1_000), said(1_000)];
    expect(planCompaction(messages, ROOM, 500)).toBe(1);
    expect(planCompaction([said(100), said(40_000)], ROOM, 0)).toBe(1);
  });

  it("never parts a result from its call", () => {
    const messages = [said(12_000), called("a"), result("a", 2_000), result("a2", 2_000), said(100)];
    const kept = planCompaction(messages, ROOM, 0);
    expect(kept).toBeDefined();
    expect(messages[kept!]?.role).not.toBe("toolResult");
  });

  it("is not made of nothing", () => {
    expect(planCompaction([said(40_000)], ROOM, 0)).toBeUndefined();
    const summary: TranscriptMessage = {
      role: "compaction",
      summary: "s".repeat(8_000),
      keptFromSeq: 1,
      timestamp: 1,
    };
    expect(planCompaction([summary, said(40_000)], ROOM, 0)).toBeUndefined();
  });

  it("is asked for with a text that fits, without tools", () => {
    const request = summaryRequest([said(400_000)], ROOM, "m", new AbortController().signal);
    expect(estimateHistoryTokens(request.messages, false)).toBeLessThan(3_100);
    expect(request).toMatchObject({ tools: [], task: "summary", maxOutputTokens: 1_000 });
    const text = String(request.messages[0]?.role === "user" ? request.messages[0].content : "");
    expect(text).toContain("left out");
  });
});

describe("estimated tokens", () => {
  it("count a Latin letter as a quarter and a Chinese one as nearly one", () => {
    expect(estimateTokens("")).toBe(0);
    expect(estimateTokens("a".repeat(400))).toBe(100);
    expect(estimateTokens("你".repeat(100))).toBe(80);
  });
});
