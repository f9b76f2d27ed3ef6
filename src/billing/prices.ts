/**
 * What tokens cost. Owns: the dated price table, the order in which prices are looked for, rounding.
 * Refuses to know: who pays, where usage is kept.
 *
 * Money is an integer of micro-units (millionths) of the deployment's one currency. A price is an integer of
 * micro-units per million tokens. Rounding rule: the exact cost of one event is rounded up once, to a whole
 * micro-unit; its parts are rounded so that they add up to it. Sums of events are then exact.
 */
import type { ModelUsage } from "../protocol/message.ts";
import priceTable from "./prices.json" with { type: "json" };

/** Prices in micro-units per million tokens. Integers, never negative. */
export interface Price {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  /** Where it is from: `config`, `free`, `book:<day>` or `unknown` (all zero then). */
  origin: string;
}

/** A row of the price table; a missing cache price means that cached tokens cost what fresh ones do. */
export interface PriceEntry {
  provider: string;
  model: string;
  /** First day (UTC, `YYYY-MM-DD`) on which it holds, until a later row of the same model. */
  from: string;
  input: number;
  output: number;
  cacheRead?: number;
  cacheWrite?: number;
  source: string;
}

/** A model's own cost as OpenClaw's configuration has it: currency per million tokens. */
export interface ConfiguredCost {
  input: number;
  output: number;
  cacheRead?: number | undefined;
  cacheWrite?: number | undefined;
}

/** The cost of one event in micro-units; the four parts add up to `total`. */
export interface Cost {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  total: number;
}

/** The rows that come with the product. */
export const SHIPPED_PRICES: readonly PriceEntry[] = priceTable.prices;

/** No model costs more than this per million tokens; keeps every product within exact integers. */
const HIGHEST_PRICE = 100_000_000_000;

const FREE: Price = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, origin: "free" };
const UNKNOWN: Price = { ...FREE, origin: "unknown" };

/** Looks prices up. */
export class PriceBook {
  private readonly byModel = new Map<string, PriceEntry[]>();

  constructor(entries: readonly PriceEntry[] = SHIPPED_PRICES) {
    for (const entry of [...entries].sort((left, right) => (left.from < right.from ? 1 : -1))) {
      const key = keyOf(entry.provider, entry.model);
      this.byModel.set(key, [...(this.byModel.get(key) ?? []), entry]);
    }
  }

  /**
   * The price that held at `atMs`: the model's own cost when it is set and sane, nothing for the demo model and for
   * models used without a key, else the newest row that had begun; otherwise zero with the origin `unknown`.
   */
  priceOf(model: {
    provider: string;
    model: string;
    atMs: number;
    cost: ConfiguredCost | undefined;
    keyOwner: "tenant" | "platform" | "none";
  }): Price {
    const configured = model.cost === undefined ? undefined : fromConfig(model.cost);
    if (configured !== undefined) return configured;
    if (model.provider === "demo" || (model.keyOwner === "none" && model.cost === undefined)) return FREE;
    const day = new Date(model.atMs).toISOString().slice(0, 10);
    const entry = this.byModel.get(keyOf(model.provider, model.model))?.find((row) => row.from <= day);
    if (entry === undefined) return UNKNOWN;
    const { input, output, cacheRead = input, cacheWrite = input } = entry;
    return { input, output, cacheRead, cacheWrite, origin: `book:${entry.from}` };
  }
}

/** What the tokens cost at the price; see the rounding rule in the head of this file. */
export function costOf(usage: ModelUsage, price: Price): Cost {
  const exact = [
    BigInt(usage.inputTokens) * BigInt(price.input),
    BigInt(usage.outputTokens) * BigInt(price.output),
    BigInt(usage.cacheReadTokens) * BigInt(price.cacheRead),
    BigInt(usage.cacheWriteTokens) * BigInt(price.cacheWrite),
  ];
  const total = exact.reduce((sum, part) => sum + part, 999_999n) / 1_000_000n;
  const parts = exact.map((part) => part / 1_000_000n);
  let left = total - parts.reduce((sum, part) => sum + part, 0n);
  const byRemainder = [0, 1, 2, 3].sort(
    (a, b) => Number(exact[b]! % 1_000_000n) - Number(exact[a]! % 1_000_000n),
  );
  for (const index of byRemainder) {
    if (left === 0n) break;
    parts[index]! += 1n;
    left -= 1n;
  }
  const [input, output, cacheRead, cacheWrite] = parts.map(Number) as [number, number, number, number];
  return { input, output, cacheRead, cacheWrite, total: Number(total) };
}

/** Micro-units as whole units of currency; only for showing. */
export function toCurrency(micros: number): number {
  return micros / 1_000_000;
}

function fromConfig(cost: ConfiguredCost): Price | undefined {
  const input = toMicros(cost.input);
  const output = toMicros(cost.output);
  if (input === undefined || output === undefined) return undefined;
  const cacheRead = cost.cacheRead === undefined ? input : toMicros(cost.cacheRead);
  const cacheWrite = cost.cacheWrite === undefined ? input : toMicros(cost.cacheWrite);
  if (cacheRead === undefined || cacheWrite === undefined) return undefined;
  return { input, output, cacheRead, cacheWrite, origin: "config" };
}

function toMicros(currency: number): number | undefined {
  const micros = Math.round(currency * 1_000_000);
  return micros >= 0 && micros <= HIGHEST_PRICE ? micros : undefined;
}

function keyOf(provider: string, model: string): string {
  return `${provider.toLowerCase()}\n${model.toLowerCase()}`;
}
