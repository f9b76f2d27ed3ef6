import { describe, expect, it } from "vitest";
import type { TenantId } from "../../kernel/ids.ts";
import { costOf, PriceBook } from "../prices.ts";
import { addMargin, type MarginRow, type PriceRow, PriceRows } from "./price-rows.ts";
import { SHIPPED_TABLE } from "./price-table.ts";

const [ACME, BETA] = ["acme", "beta"] as [TenantId, TenantId];
const NOON = Date.UTC(2026, 10, 22, 12);

let seq = 0;
function row(over: Partial<PriceRow> = {}): PriceRow {
  const free = { input: 10, output: 20, cacheRead: 1, cacheWrite: 12, reasoning: 20 };
  const what = { kind: "model", tenantId: "", provider: "openai", name: "gpt-x" } as const;
  return { seq: ++seq, ...what, fromDay: "2026-11-01", ...free, source: "test", ...over };
}

function margin(over: Partial<MarginRow>): MarginRow {
  return { seq: ++seq, tenantId: "", fromDay: "2026-11-01", basisPoints: 0, ...over };
}

function bookOf(rows: PriceRow[], margins: MarginRow[] = []) {
  const book = new PriceBook({ ...SHIPPED_TABLE, entries: [] });
  book.replaceRows(new PriceRows(rows, margins));
  return (tenantId: TenantId, over: Partial<Parameters<PriceBook["priceOf"]>[0]> = {}) =>
    book.priceOf({
      ...{ provider: "openai", model: "gpt-x", atMs: NOON, cost: undefined, keyOwner: "platform", tenantId },
      ...over,
    });
}

describe("the price that holds", () => {
  it("is the newest that has begun, from its first instant of UTC", () => {
    const priceOf = bookOf([
      row({ input: 1 }),
      row({ input: 2, fromDay: "2026-11-22" }),
      row({ input: 3, fromDay: "2026-11-23" }),
    ]);
    expect(priceOf(ACME, { atMs: Date.UTC(2026, 10, 22) - 1 }).input).toBe(1);
    expect(priceOf(ACME, { atMs: Date.UTC(2026, 10, 22) }).input).toBe(2);
    expect(priceOf(ACME, { atMs: Date.UTC(2026, 10, 23) - 1 }).input).toBe(2);
    expect(priceOf(ACME, { atMs: Date.UTC(2026, 10, 23) }).input).toBe(3);
    expect(priceOf(ACME, { atMs: Date.UTC(2026, 9, 31) })).toMatchObject({ origin: "unknown" });
  });

  it("is, of two rows of one day, the one made last: a mistake can be put right at once", () => {
    const [wrong, right] = [row({ input: 9_000 }), row({ input: 9 })];
    expect(bookOf([wrong, right])(ACME)).toMatchObject({ input: 9, origin: `row:${right.seq}` });
    expect(bookOf([right, wrong])(ACME).input).toBe(9);
  });

  it("is the tenant's own before everybody's, and nobody else's", () => {
    const priceOf = bookOf([row({ input: 5 }), row({ input: 2, tenantId: ACME })]);
    expect(priceOf(ACME).input).toBe(2);
    expect(priceOf(BETA).input).toBe(5);
  });

  it("is an operator's row before the configured cost, but never for a key that the tenant brought", () => {
    const cost = { input: 3, output: 4 };
    const priceOf = bookOf([row({ input: 5 })], [margin({ basisPoints: 5_000 })]);
    expect(priceOf(ACME, { cost }).input).toBe(8);
    expect(priceOf(ACME, { cost, keyOwner: "tenant" })).toMatchObject({ input: 3_000_000, origin: "config" });
  });
});

describe("margins", () => {
  it("are added to whatever price holds, rounded up, the tenant's own instead of everybody's", () => {
    const rows = [row({ input: 10, output: 333 })];
    const margins = [margin({ basisPoints: 1_000 }), margin({ tenantId: BETA, basisPoints: -2_500 })];
    const priceOf = bookOf(rows, margins);
    expect(priceOf(ACME)).toMatchObject({ input: 11, output: 367, origin: `row:${rows[0]!.seq}+1000bp` });
    expect(priceOf(BETA)).toMatchObject({ input: 8, output: 250, origin: `row:${rows[0]!.seq}-2500bp` });
    expect(addMargin(100, -10_000)).toBe(0);
  });

  it("turn nothing that is unknown into a price", () => {
    expect(bookOf([], [margin({ basisPoints: 1_000 })])(ACME)).toMatchObject({ origin: "unknown", input: 0 });
  });
});

describe("tools and thinking", () => {
  it("cost what an operator says, by call", () => {
    const book = new PriceBook({ ...SHIPPED_TABLE, entries: [] });
    expect(book.toolPriceOf(ACME, "web_fetch", NOON)).toEqual({ micros: 0, origin: "free" });
    const tool = row({ kind: "tool", provider: "", name: "web_fetch", input: 1_500 });
    book.replaceRows(new PriceRows([tool], [margin({ basisPoints: 100 })]));
    expect(book.toolPriceOf(ACME, "web_fetch", NOON)).toEqual({
      micros: 1_515,
      origin: `row:${tool.seq}+100bp`,
    });
    expect(book.toolPriceOf(ACME, "shell", NOON).micros).toBe(0);
  });

  it("price thought tokens by themselves, never more of them than there are", () => {
    const usage = {
      inputTokens: 0,
      outputTokens: 10,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
      isExact: true,
    };
    const price = {
      input: 0,
      output: 1_000_000,
      cacheRead: 0,
      cacheWrite: 0,
      reasoning: 3_000_000,
      origin: "row:1",
    };
    expect(costOf(usage, price).total).toBe(10);
    expect(costOf({ ...usage, reasoningTokens: 4 }, price).total).toBe(18);
    expect(costOf({ ...usage, reasoningTokens: 400 }, price).total).toBe(30);
    expect(costOf({ ...usage, reasoningTokens: 4 }, { ...price, reasoning: undefined }).total).toBe(10);
  });
});
