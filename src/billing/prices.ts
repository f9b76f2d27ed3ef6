/**
 * What tokens cost. Owns: the order in which prices are looked for, rounding.
 * Refuses to know: who pays, where usage is kept.
 *
 * Money is an integer of micro-units (millionths) of the deployment's one currency. A price is an integer of
 * micro-units per million tokens. Rounding rule: the exact cost of one event is rounded up once, to a whole
 * micro-unit; its parts are rounded so that they add up to it. Sums of events are then exact.
 */

import type { TenantId } from "../kernel/ids.ts";
import type { ModelUsage } from "../protocol/message.ts";
import type { Price, ToolPrice } from "./pricing/price.ts";
import { PriceRows, toPrice } from "./pricing/price-rows.ts";
import { HIGHEST_PRICE, type PriceEntry, type PriceTable, SHIPPED_TABLE } from "./pricing/price-table.ts";

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

const FREE: Price = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, origin: "free" };
const UNKNOWN: Price = { ...FREE, origin: "unknown" };

/** Looks prices up. */
export class PriceBook {
  /** What the book was made from. */
  readonly table: PriceTable;
  private readonly byModel = new Map<string, PriceEntry[]>();
  private rows = new PriceRows();

  /** @param table prices of models that hold where nobody set another */
  constructor(table: PriceTable = SHIPPED_TABLE) {
    this.table = table;
    for (const entry of [...table.entries].sort((left, right) => (left.from < right.from ? 1 : -1))) {
      const key = keyOf(entry.provider, entry.model);
      this.byModel.set(key, [...(this.byModel.get(key) ?? []), entry]);
    }
  }

  /**
   * The price that held at `atMs`. For the platform's keys an operator's row first, the tenant's own before everybody's,
   * and its margin on top of whatever holds; then the model's own cost when it is set and sane, nothing for the demo
   * model and for models used without a key, the newest row of the table that had begun; else zero, origin `unknown`.
   */
  priceOf(model: {
    provider: string;
    model: string;
    atMs: number;
    cost: ConfiguredCost | undefined;
    keyOwner: "tenant" | "platform" | "none";
    /** Who pays; absent for what everybody does. */
    tenantId?: TenantId | undefined;
  }): Price {
    if (model.keyOwner !== "platform") return this.baseOf(model);
    const day = dayOf(model.atMs);
    const { tenantId = "" } = model;
    const row = this.rows.find("model", { provider: model.provider, name: model.model }, tenantId, day);
    return this.rows.withMargin(row === undefined ? this.baseOf(model) : toPrice(row), tenantId, day);
  }

  /** What one call of a tool costs, in micro-units, and where that is from; nothing unless an operator set it. */
  toolPriceOf(tenantId: TenantId, toolName: string, atMs: number): ToolPrice {
    const day = dayOf(atMs);
    const row = this.rows.find("tool", { provider: "", name: toolName }, tenantId, day);
    if (row === undefined || row.input === 0) return { micros: 0, origin: "free" };
    const { input, origin } = this.rows.withMargin(toPrice(row), tenantId, day);
    return { micros: input, origin };
  }

  /** What a GiB costs a tenant for a month, on a day (`YYYY-MM-DD`), and where that is from; nothing unless an operator set it. */
  storagePriceOf(tenantId: TenantId, day: string): { micros: number; origin: string } {
    const row = this.rows.find("storage", { provider: "", name: "" }, tenantId, day);
    if (row === undefined || row.input === 0) return { micros: 0, origin: "free" };
    const { input, origin } = this.rows.withMargin(toPrice(row), tenantId, day);
    return { micros: input, origin };
  }

  /** Whether storage could cost anybody anything on any day. */
  hasStoragePrices(): boolean {
    return this.rows.hasKind("storage");
  }

  /** What a tenant pays on top of prices, in hundredths of a percent. */
  marginOf(tenantId: TenantId, atMs: number): number {
    return this.rows.marginOf(tenantId, dayOf(atMs));
  }

  /** Let other rows of operators hold from now on. */
  replaceRows(rows: PriceRows): void {
    this.rows = rows;
  }

  private baseOf(model: Omit<Parameters<PriceBook["priceOf"]>[0], "tenantId">): Price {
    const configured = model.cost === undefined ? undefined : fromConfig(model.cost);
    if (configured !== undefined) return configured;
    if (model.provider === "demo" || (model.keyOwner === "none" && model.cost === undefined)) return FREE;
    const day = dayOf(model.atMs);
    const entry = this.byModel.get(keyOf(model.provider, model.model))?.find((row) => row.from <= day);
    if (entry === undefined) return UNKNOWN;
    const { input, output, cacheRead = input, cacheWrite = input } = entry;
    const { isShipped, version } = this.table;
    const origin = isShipped ? `book:${entry.from}` : `file:${version}/${entry.from}`;
    return { input, output, cacheRead, cacheWrite, origin };
  }
}

/** What the tokens cost at the price; see the rounding rule in the head of this file. */
export function costOf(usage: ModelUsage, price: Price): Cost {
  const thought = Math.min(usage.reasoningTokens ?? 0, usage.outputTokens);
  const exact = [
    BigInt(usage.inputTokens) * BigInt(price.input),
    BigInt(usage.outputTokens - thought) * BigInt(price.output) +
      BigInt(thought) * BigInt(price.reasoning ?? price.output),
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

function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}

function keyOf(provider: string, model: string): string {
  return `${provider.toLowerCase()}\n${model.toLowerCase()}`;
}
