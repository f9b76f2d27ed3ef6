import { describe, expect, it } from "vitest";
import type { ModelUsage } from "../protocol/message.ts";
import { isDay } from "./calendar.ts";
import { costOf, PriceBook } from "./prices.ts";
import type { Price } from "./pricing/price.ts";
import { SHIPPED_TABLE } from "./pricing/price-table.ts";

const AT = Date.UTC(2026, 10, 22);

function usage(input: number, output: number, cacheRead = 0, cacheWrite = 0): ModelUsage {
  return {
    inputTokens: input,
    outputTokens: output,
    cacheReadTokens: cacheRead,
    cacheWriteTokens: cacheWrite,
    isExact: true,
  };
}

function price(input: number, output: number, cacheRead = 0, cacheWrite = 0): Price {
  return { input, output, cacheRead, cacheWrite, origin: "config" };
}

describe("the cost of an event", () => {
  it("is exact where the price divides", () => {
    expect(costOf(usage(120, 20), price(1_000_000, 2_000_000))).toEqual({
      input: 120,
      output: 40,
      cacheRead: 0,
      cacheWrite: 0,
      total: 160,
    });
  });

  it("is rounded up once, not once for each part", () => {
    // 0.4 + 0.4 + 0.1 + 0.1 of a micro-unit are one, not four.
    const cost = costOf(usage(4, 4, 1, 1), price(100_000, 100_000, 100_000, 100_000));
    expect(cost.total).toBe(1);
    expect(cost.input + cost.output + cost.cacheRead + cost.cacheWrite).toBe(1);
    expect(costOf(usage(1, 0), price(1, 0)).total).toBe(1);
    expect(costOf(usage(0, 0), price(1, 1)).total).toBe(0);
  });

  it("has parts that add up and never differ from the exact value by one", () => {
    let seed = 42;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed % below;
    };
    for (let round = 0; round < 2_000; round++) {
      const tokens = [random(9_000), random(9_000), random(9_000), random(9_000)];
      const prices = [random(5_000_000), random(5_000_000), random(5_000_000), random(5_000_000)];
      const cost = costOf(
        usage(tokens[0]!, tokens[1]!, tokens[2], tokens[3]),
        price(prices[0]!, prices[1]!, prices[2], prices[3]),
      );
      const parts = [cost.input, cost.output, cost.cacheRead, cost.cacheWrite];
      const exact = tokens.map((count, index) => (count * prices[index]!) / 1_000_000);
      const sum = exact.reduce((total, part) => total + part, 0);
      expect(parts.reduce((total, part) => total + part, 0)).toBe(cost.total);
      expect(cost.total).toBeGreaterThanOrEqual(sum - 1e-6);
      expect(cost.total).toBeLessThan(sum + 1);
      for (const [index, part] of parts.entries()) expect(Math.abs(part - exact[index]!)).toBeLessThan(1);
    }
  });

  it("stays an exact integer at the highest counts and prices", () => {
    const most = 100_000_000;
    const cost = costOf(usage(most, most, most, most), price(1e11, 1e11, 1e11, 1e11));
    expect(cost.total).toBe(4e13);
    expect(Number.isSafeInteger(cost.total)).toBe(true);
  });
});

describe("where a price comes from", () => {
  const entries = [
    { provider: "acme", model: "m", from: "2026-01-01", input: 10, output: 20, source: "x" },
    { provider: "acme", model: "m", from: "2026-06-01", input: 5, output: 9, cacheRead: 1, source: "x" },
  ];
  const book = new PriceBook({ ...SHIPPED_TABLE, entries });
  const ask = (over: Partial<Parameters<PriceBook["priceOf"]>[0]>) =>
    book.priceOf({ provider: "acme", model: "m", atMs: AT, cost: undefined, keyOwner: "tenant", ...over });

  it("takes the newest row that had begun", () => {
    expect(ask({})).toEqual({ input: 5, output: 9, cacheRead: 1, cacheWrite: 5, origin: "book:2026-06-01" });
    expect(ask({ atMs: Date.UTC(2026, 4, 31) }).origin).toBe("book:2026-01-01");
    expect(ask({ atMs: Date.UTC(2025, 11, 31) }).origin).toBe("unknown");
  });

  it("names an operator's own table and its version in the origin", () => {
    const own = new PriceBook({ currency: "CNY", version: "7b", isShipped: false, entries });
    const call = { provider: "acme", model: "m", atMs: AT, cost: undefined, keyOwner: "tenant" } as const;
    expect(own.priceOf(call)).toMatchObject({ input: 5, origin: "file:7b/2026-06-01" });
  });

  it("takes the model's own cost before the table, also when it is zero", () => {
    expect(ask({ cost: { input: 1, output: 2 } })).toEqual({
      input: 1_000_000,
      output: 2_000_000,
      cacheRead: 1_000_000,
      cacheWrite: 1_000_000,
      origin: "config",
    });
    expect(ask({ cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 } }).origin).toBe("config");
    expect(ask({ cost: { input: 0.000_000_4, output: 0.15 } }).output).toBe(150_000);
  });

  it("does not believe absurd configuration", () => {
    for (const input of [-1, Number.NaN, Number.POSITIVE_INFINITY, 1e9]) {
      expect(ask({ cost: { input, output: 1 } }).origin).toBe("book:2026-06-01");
      expect(ask({ provider: "none", cost: { input, output: 1 } }).origin).toBe("unknown");
    }
  });

  it("charges nothing for the demo model and for models without a key", () => {
    expect(ask({ provider: "demo" }).origin).toBe("free");
    expect(ask({ keyOwner: "none" })).toMatchObject({ input: 0, output: 0, origin: "free" });
  });

  it("ships rows that are dated, sourced and whole", () => {
    expect(SHIPPED_TABLE.entries.length).toBeGreaterThan(3);
    expect(SHIPPED_TABLE).toMatchObject({ currency: "USD", version: expect.stringMatching(/^[\w.-]+$/) });
    for (const row of SHIPPED_TABLE.entries) {
      expect(isDay(row.from)).toBe(true);
      expect(row.source).toMatch(/^https:\/\//);
      for (const micros of [row.input, row.output, row.cacheRead ?? 0])
        expect(Number.isSafeInteger(micros)).toBe(true);
    }
  });
});
