import { describe, expect, it } from "vitest";
import type { Price } from "../pricing/price.ts";
import { worstCaseMicros } from "./worst-case.ts";

const PRICE: Price = {
  input: 1_000_000,
  output: 3_000_000,
  cacheRead: 100_000,
  cacheWrite: 2_000_000,
  origin: "config",
};
const CALL = { model: "m", inputTokens: 10, maxOutputTokens: 5 };

describe("the worst case", () => {
  it("takes the dearest price of a question's token and the ceiling of the answer", () => {
    expect(worstCaseMicros(CALL, PRICE)).toBe(10 * 2 + 5 * 3);
  });

  it("covers tokens of reasoning where they cost more", () => {
    expect(worstCaseMicros(CALL, { ...PRICE, reasoning: 4_000_000 })).toBe(10 * 2 + 5 * 4);
  });

  it("is rounded up once, as events are", () => {
    expect(
      worstCaseMicros({ ...CALL, inputTokens: 1 }, { ...PRICE, cacheWrite: 1, input: 1, output: 1 }),
    ).toBe(1);
    const free = { ...PRICE, input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
    expect(worstCaseMicros(CALL, free)).toBe(0);
  });

  it("counts a question whose length nobody can say as the longest there is", () => {
    const longest = worstCaseMicros({ ...CALL, inputTokens: 1e300 }, PRICE);
    for (const inputTokens of [Number.NaN, Number.POSITIVE_INFINITY, -1])
      expect(worstCaseMicros({ ...CALL, inputTokens }, PRICE)).toBe(longest);
    expect(Number.isSafeInteger(longest)).toBe(true);
  });

  it("cannot be said without a price or a ceiling", () => {
    const codeOf = (work: () => number) => {
      try {
        return String(work());
      } catch (thrown) {
        return (thrown as { code: string }).code;
      }
    };
    expect(codeOf(() => worstCaseMicros(CALL, { ...PRICE, origin: "unknown" }))).toBe("model_unpriced");
    for (const maxOutputTokens of [undefined, 0, -1, 0.5, Number.NaN, 2 ** 53, 1e9])
      expect(codeOf(() => worstCaseMicros({ ...CALL, maxOutputTokens }, PRICE))).toBe("output_unbounded");
  });
});
