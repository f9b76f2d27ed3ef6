import { describe, expect, it } from "vitest";
import type { TranscriptMessage } from "../../protocol/message.ts";
import { boundInputTokens, estimateHistoryTokens, estimateTokens } from "./tokens.ts";

const EMPTY = { system: "", messages: [], tools: [] };

describe("the bound of a question's tokens", () => {
  it("is at least the bytes of every text in it", () => {
    const text = "你好 🙂 hello";
    const bytes = Buffer.byteLength(text);
    const messages: TranscriptMessage[] = [
      { role: "user", content: text, timestamp: 1 },
      { role: "compaction", summary: text, keptFromSeq: 0, timestamp: 1 },
      {
        role: "assistant",
        content: [
          { type: "text", text },
          { type: "toolCall", id: text, name: text, arguments: { text } },
        ],
        provider: "p",
        model: "m",
        stopReason: "toolUse",
        timestamp: 1,
      },
      {
        role: "toolResult",
        toolCallId: text,
        toolName: text,
        content: [{ type: "text", text }],
        isError: false,
        timestamp: 1,
      },
    ];
    const tools = [{ name: text, description: text, parameters: { text } }];
    expect(boundInputTokens({ system: text, messages, tools })).toBeGreaterThan(bytes * 13);
  });

  it("is above every estimate, also for pictures and files", () => {
    const picture = { mimeType: "image/png", content: "AAAA", fileName: "p.png" };
    const file = { mimeType: "text/plain", content: "A".repeat(4_000), fileName: "f.txt" };
    const asked = (content: string) =>
      ({ role: "user", content, timestamp: 1, attachments: [picture, file] }) as unknown as TranscriptMessage;
    for (const text of ["", "a", "a".repeat(999), "你".repeat(999), "\u0300".repeat(99)]) {
      const messages = [asked(text), asked(text)];
      const estimate = estimateTokens(text) + estimateHistoryTokens(messages);
      expect(boundInputTokens({ ...EMPTY, system: text, messages })).toBeGreaterThan(estimate);
    }
  });
});
