/** The price book on the operators' surface over HTTP. Owns: those shapes. Refuses to know: which price holds for whom. */
import { requestJson } from "./request.ts";

/** What a price is for. */
export type PriceKind = "model" | "tool" | "storage";

/** Whether a row holds today, will hold, or another one holds in its place. */
export type Standing = "in_force" | "later" | "replaced";

/** A price that an operator set, in micro-units: per million tokens, per call of a tool, per GiB and month. */
export interface PriceRow {
  seq: number;
  kind: PriceKind;
  /** Empty for everybody. */
  tenantId: string;
  provider: string;
  name: string;
  fromDay: string;
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  reasoning: number;
  source: string;
  standing: Standing;
}

/** What is added to prices, in hundredths of a percent. */
export interface MarginRow {
  seq: number;
  /** Empty for everybody. */
  tenantId: string;
  fromDay: string;
  basisPoints: number;
  standing: Standing;
}

/** A price that comes with the product. */
export interface ShippedPrice {
  provider: string;
  model: string;
  from: string;
  input: number;
  output: number;
  cacheRead?: number;
  cacheWrite?: number;
  source: string;
  standing: Standing;
}

/** All prices and margins there are. */
export interface PriceBook {
  currency: string;
  /** Of UTC. */
  today: string;
  rows: PriceRow[];
  margins: MarginRow[];
  /** Rows of the table that `table` tells of. */
  shipped: ShippedPrice[];
  /** List prices of models: the shipped table, or a file of the operator's; not used in another currency than ours. */
  table: { currency: string; version: string; isShipped: boolean; isUsed: boolean };
  /** There are more of something than the 1,000 that are here. */
  isCut: boolean;
  /** Names of tenants by id. */
  tenants: Record<string, string>;
}

/** A price as it is sent; what is left out costs what input and output do. */
export type PriceDraft = Pick<PriceRow, "kind" | "tenantId" | "fromDay" | "input" | "source"> &
  Partial<Pick<PriceRow, "provider" | "name" | "output" | "cacheRead" | "cacheWrite" | "reasoning">>;

/** A margin as it is sent. */
export type MarginDraft = Pick<MarginRow, "tenantId" | "fromDay" | "basisPoints">;

/** Prices and margins as they are sent together. */
export interface PriceWish {
  rows?: readonly PriceDraft[];
  margins?: readonly MarginDraft[];
}

/** What one draft would have changed in the last 30 days. */
export interface PriceEffect {
  kind: PriceKind | "margin";
  tenants: number;
  beforeMicros: number;
  afterMicros: number;
}

const PATH = "/operator/api/prices";

/** Prices that operators set and those that come with the product. */
export function listPrices(): Promise<PriceBook> {
  return requestJson("GET", PATH);
}

/** Says what prices would have changed; changes nothing. */
export async function tryPrices(wish: PriceWish): Promise<PriceEffect[]> {
  return (await requestJson<{ effects: PriceEffect[] }>("PUT", PATH, { ...wish, isPreview: true })).effects;
}

/** Adds prices and margins. */
export function setPrices(wish: PriceWish): Promise<unknown> {
  return requestJson("PUT", PATH, wish);
}
