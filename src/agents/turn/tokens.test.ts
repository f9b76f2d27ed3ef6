import { describe, expect, it } from "vitest";
import type { ModelUsage, TranscriptMessage } from "../../protocol/message.ts";
import {
  boundInputTokens,
  estimateHistoryTokens,
  estimateInputTokens,
  estimateTokens,
  type KnownOfCall,
  settleUsage,
} from "./tokens.ts";

const EMPTY = { system: "", messages: [], tools: [] };

function asked(content: string, attachments: unknown[] = []): TranscriptMessage {
  return { role: "user", content, timestamp: 1, attachments } as unknown as TranscriptMessage;
}

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
    for (const text of ["", "a", "a".repeat(999), "你".repeat(999), "\u0300".repeat(99)]) {
      const messages = [asked(text, [picture, file]), asked(text, [picture, file])];
      for (const takesImages of [true, false]) {
        const estimate = estimateTokens(text) + estimateHistoryTokens(messages, takesImages);
        expect(boundInputTokens({ ...EMPTY, system: text, messages, takesImages })).toBeGreaterThan(estimate);
      }
    }
  });
});

describe("a file that comes with a message", () => {
  const content = Buffer.alloc(3_000_000, "lorem ipsum ").toString("base64");
  const tokensOf = (mimeType: string, takesImages: boolean) => {
    const request = {
      ...EMPTY,
      messages: [asked("hi", [{ mimeType, content, fileName: "f" }])],
      takesImages,
    };
    return { estimate: estimateInputTokens(request), bound: boundInputTokens(request) };
  };

  it("counts as the line that stands for it when the model cannot open it", () => {
    for (const mimeType of ["application/pdf", "image/png"]) {
      const { estimate, bound } = tokensOf(mimeType, false);
      expect(estimate).toBeLessThan(50);
      expect(bound).toBeLessThan(600);
    }
  });

  it("counts as a picture only for models that are sent pictures", () => {
    const { estimate, bound } = tokensOf("image/png", true);
    expect(estimate).toBeGreaterThanOrEqual(1_000);
    expect(bound).toBeGreaterThanOrEqual(16_384);
  });

  it("counts as text up to what is shown of it", () => {
    const { estimate, bound } = tokensOf("text/plain", false);
    expect(estimate).toBeGreaterThan(16_384);
    expect(estimate).toBeLessThan(16_450);
    expect(bound).toBeGreaterThan(65_536);
    expect(bound).toBeLessThan(66_200);
  });

  it("of wide characters is cut where it is cut for the model", () => {
    const wide = Buffer.from("字".repeat(200_000)).toString("base64");
    const messages = [asked("", [{ mimeType: "text/plain", content: wide }])];
    expect(boundInputTokens({ ...EMPTY, messages })).toBeGreaterThan(65_536 * 3);
  });
});

describe("a provider's count", () => {
  const TOLD: ModelUsage = {
    ...{ inputTokens: 80, cacheReadTokens: 20, cacheWriteTokens: 0, outputTokens: 50, reasoningTokens: 10 },
    isExact: true,
  };
  const KNOWN: KnownOfCall = {
    request: { ...EMPTY, messages: [asked("x".repeat(400))] },
    mostInputTokens: 500,
    maxOutputTokens: 100,
    arrived: { text: "y".repeat(200), thinking: "", calls: [] },
  };
  const settle = (told: Partial<ModelUsage>, known: Partial<KnownOfCall> = {}) =>
    settleUsage({ ...TOLD, ...told }, { ...KNOWN, ...known });

  it("is kept as it is when it can be true", () => {
    expect(settle({})).toEqual(TOLD);
    const full = { inputTokens: 500, cacheReadTokens: 0, outputTokens: 100, reasoningTokens: 100 };
    expect(settle(full)).toEqual({ ...TOLD, ...full });
  });

  it("of a question is at most what was sent, and cached tokens are part of it", () => {
    expect(settle({ inputTokens: 40_000_000 })).toMatchObject({ inputTokens: 480, isExact: false });
    expect(settle({ inputTokens: 100 - 40_000_000, cacheReadTokens: 40_000_000 })).toMatchObject({
      ...{ inputTokens: 0, cacheReadTokens: 100, isExact: false },
    });
  });

  it("of an answer is at most the ceiling, or what can have arrived", () => {
    expect(settle({ outputTokens: 45_000_000 })).toMatchObject({ outputTokens: 100, isExact: false });
    const thinking = "z".repeat(8_000);
    const arrived = { text: "yes", thinking, calls: [] };
    expect(settle({ outputTokens: 2_000 }, { arrived })).toMatchObject({
      outputTokens: 2_000,
      isExact: true,
    });
    expect(settle({ outputTokens: 45_000 }, { arrived })).toMatchObject({
      outputTokens: 2_001,
      isExact: false,
    });
  });

  it("of an answer is no less than the longest tokens make of what arrived", () => {
    expect(settle({ outputTokens: 0 })).toMatchObject({ outputTokens: 50, isExact: false });
    expect(settle({ outputTokens: 1 })).toMatchObject({ outputTokens: 50, isExact: false });
    expect(settle({ outputTokens: 2 })).toMatchObject({ outputTokens: 2, reasoningTokens: 2 });
    const arrived = { text: "", thinking: "", calls: ["write{}"] };
    expect(settle({ outputTokens: 0 }, { arrived })).toMatchObject({ outputTokens: 10, isExact: false });
    const nothing = { text: "", thinking: "", calls: [] };
    expect(settle({ outputTokens: 0, reasoningTokens: 0 }, { arrived: nothing })).toMatchObject({
      ...{ outputTokens: 0, isExact: true },
    });
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 1e308])("of %s is our estimate", (count) => {
    const estimate = { inputTokens: 104, outputTokens: 50, cacheReadTokens: 0, isExact: false };
    expect(settle({ inputTokens: count, outputTokens: count, cacheReadTokens: 0 })).toMatchObject(estimate);
  });

  it("of thought tokens is a part of the answer's", () => {
    expect(settle({ reasoningTokens: -7 })).toMatchObject({ reasoningTokens: 0, isExact: false });
    expect(settle({ reasoningTokens: 900 })).toMatchObject({ reasoningTokens: 50, isExact: false });
  });

  it("that never came is estimated from what was sent and what arrived", () => {
    expect(settleUsage(null, KNOWN)).toEqual({
      ...{ inputTokens: 104, outputTokens: 50, cacheReadTokens: 0, cacheWriteTokens: 0, isExact: false },
    });
  });
});
