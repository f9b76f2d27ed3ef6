/** Prices of operators, however many; a file of list prices in place of the shipped one; figures of another currency. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PriceBook } from "#src/billing/prices.ts";
import { PriceStore } from "#src/billing/pricing/price-store.ts";
import { chooseTable, readPriceFile, SHIPPED_TABLE } from "#src/billing/pricing/price-table.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { makeLog } from "#src/kernel/log.ts";
import { openUsageWorld, type UsageWorld } from "../support/usage-world.ts";

const NOON = Date.UTC(2026, 10, 22, 12);
const log = makeLog({ level: "silent" });

describe("an operator's prices", () => {
  let world: UsageWorld;
  const opened: PriceStore[] = [];

  beforeAll(async () => {
    world = await openUsageWorld();
  });

  afterAll(async () => {
    for (const store of opened) store.close();
    await world.close();
  });

  async function open() {
    const book = new PriceBook();
    const clock = { ...systemClock, nowMs: () => NOON };
    const store = new PriceStore({ control: world.control, book, clock, log });
    await store.start();
    opened.push(store);
    const priceOf = (model: string) => {
      const call = { provider: "mock", model, atMs: NOON, cost: undefined, keyOwner: "platform" } as const;
      const { origin, input } = book.priceOf(call);
      return [origin, input];
    };
    return { store, priceOf };
  }

  const row = (name: string, input = 7) => {
    const what = { kind: "model", tenantId: "", provider: "mock", name } as const;
    return { ...what, fromDay: "2026-11-22", input, output: 7, source: "s" };
  };

  it("all hold, the oldest too, when there are more than 20,000", async () => {
    const { store, priceOf } = await open();
    await store.add([row("m-0")], [], "op");
    expect(priceOf("m-0")).toEqual(["row:1", 7]);
    const rows = Array.from({ length: 20_500 }, (_, index) => row(`m-${index + 1}`));
    for (let at = 0; at < rows.length; at += 4_100) await store.add(rows.slice(at, at + 4_100), [], "op");
    expect([priceOf("m-0"), priceOf("m-1"), priceOf("m-20500")]).toEqual([
      ...[
        ["row:1", 7],
        ["row:2", 7],
        ["row:20501", 7],
      ],
    ]);
    const all = await store.list();
    expect(all.rows.map(({ seq }) => seq)).toEqual(Array.from({ length: 20_501 }, (_, n) => 20_501 - n));
    // Another process reads as many from the start.
    expect((await open()).priceOf("m-0")).toEqual(["row:1", 7]);
  });

  it("are each read once, also when several are added at once, and the last one of a day holds", async () => {
    const { store, priceOf } = await open();
    const added = [1, 2, 3].map((input) => store.add([row("again", input)], [], "op"));
    await Promise.all(added);
    const margin = { tenantId: "", fromDay: "2026-11-22", basisPoints: 1_000 };
    const { rows } = await store.list();
    expect(priceOf("again")).toEqual([`row:${rows[0]?.seq}`, 3]);
    await store.add([row("again", 10)], [margin], "op");
    expect(priceOf("again")).toEqual([`row:${(rows[0]?.seq ?? 0) + 1}+1000bp`, 11]);
    expect(priceOf("m-0")).toEqual(["row:1+1000bp", 8]);
  });
});

describe("a file of list prices", () => {
  const folder = mkdtempSync(join(tmpdir(), "creel-prices-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  const ROW = {
    provider: "acme",
    model: "m",
    from: "2026-01-01",
    input: 5,
    output: 9,
    source: "https://acme",
  };
  const FILE = { currency: "CNY", version: "3", prices: [ROW] };
  const write = (contents: unknown) => {
    const path = join(folder, "prices.json5");
    writeFileSync(path, typeof contents === "string" ? contents : JSON.stringify(contents));
    return path;
  };

  it("takes the place of the shipped one, and its version is in what is charged", () => {
    const book = new PriceBook(chooseTable(write(FILE), "CNY", log));
    const ask = (provider: string, model: string) =>
      book.priceOf({ provider, model, atMs: NOON, cost: undefined, keyOwner: "platform" });
    expect(ask("ACME", "M")).toMatchObject({
      input: 5,
      output: 9,
      cacheRead: 5,
      origin: "file:3/2026-01-01",
    });
    expect(ask("openai", "gpt-4o").origin).toBe("unknown");
  });

  it.each([
    ["{currency:", /prices\.json5: not valid JSON5/],
    [{ ...FILE, currency: undefined }, /: currency: /],
    [{ ...FILE, currency: "EUR" }, /: currency: /],
    [{ ...FILE, version: "" }, /: version: must be 1 to 40 of/],
    [{ ...FILE, more: 1 }, /more/],
    [{ ...FILE, prices: [ROW, { ...ROW, model: "n", input: -1 }] }, /: prices\.1\.input: /],
    [{ ...FILE, prices: [{ ...ROW, input: 0.5 }] }, /: prices\.0\.input: /],
    [{ ...FILE, prices: [{ ...ROW, cachedRead: 1 }] }, /: prices\.0: .*cachedRead/],
    [{ ...FILE, prices: [{ ...ROW, from: "2026-02-30" }] }, /: prices\.0\.from: must be a day/],
    [{ ...FILE, prices: [{ ...ROW, source: " " }] }, /: prices\.0\.source: /],
    [
      { ...FILE, prices: [ROW, { ...ROW, model: "M" }] },
      /: prices\.1 is of the same model and day as prices\.0/,
    ],
  ])("is refused with its place when something is wrong with it: %j", (contents, message) => {
    expect(() => readPriceFile(write(contents))).toThrow(message);
  });

  it("is refused when it is not there", () => {
    expect(() => chooseTable(join(folder, "none.json"), "USD", log)).toThrow(
      /none\.json: the file cannot be read/,
    );
  });

  it("in another currency is never used, and the shipped one is left out with a warning", () => {
    expect(() => chooseTable(write(FILE), "USD", log)).toThrow(
      /its prices are in CNY, and prices here are in USD/,
    );
    const said: unknown[] = [];
    const warn = (...words: unknown[]) => void said.push(words);
    const logged = { ...log, warn } as never;
    const book = new PriceBook(chooseTable(undefined, "CNY", logged));
    const call = { provider: "openai", model: "gpt-4o", atMs: NOON, keyOwner: "platform" } as const;
    expect(book.priceOf({ ...call, cost: undefined })).toMatchObject({ origin: "unknown", input: 0 });
    // A model's own cost is of the platform's currency.
    expect(book.priceOf({ ...call, cost: { input: 1, output: 2 } })).toMatchObject({ origin: "config" });
    expect(said).toMatchObject([[{ shipped: "USD", currency: "CNY" }, expect.stringContaining("not used")]]);
    expect(chooseTable(undefined, "USD", logged)).toBe(SHIPPED_TABLE);
    expect(said).toHaveLength(1);
  });
});

it("the shipped table has the form of an operator's own", () => {
  const path = resolve(import.meta.dirname, "../../src/billing/prices.json");
  expect(readPriceFile(path)).toEqual({ ...SHIPPED_TABLE, isShipped: false });
});
