/** Money on the operators' surface over HTTP. Owns: those shapes. Refuses to know: tenants' contents, how things are shown. */
import { requestJson } from "./request.ts";

/** A tenant by what it spends; amounts are micro-units of its plan's currency. */
export interface SpendingRow {
  id: string;
  slug: string;
  name: string;
  plan: string;
  spentMicros: number;
  limitMicros: number | null;
  /** 0.5 is half as much again as in the same days of the last month. */
  growth: number | null;
  marginMicros: number;
  isOver: boolean;
}

/** Numbers that a plan may limit; null is no limit. */
export const PLAN_COUNTS = [
  ...(["seats", "agents", "channels", "storageBytes", "requestsPerMinute"] as const),
  ...(["turnsPerMinute", "concurrentTurns", "tokensPerMinute"] as const),
] as const;

/** Amounts that a plan may limit. */
export const PLAN_AMOUNTS = ["monthlyBudgetMicros", "backgroundBudgetMicros"] as const;

/** What a plan allows. */
export type PlanTerms = {
  name: string;
  currency: "USD" | "CNY";
  models: string[] | null;
} & Record<(typeof PLAN_COUNTS)[number] | (typeof PLAN_AMOUNTS)[number], number | null>;

/** One version of a plan. */
export interface Plan {
  id: string;
  version: number;
  terms: PlanTerms & { version?: number };
  origin: "shipped" | "config" | "operator";
  tenants: number;
}

/** A price that an operator set, in micro-units per million tokens (per call for tools). */
export interface PriceRow {
  seq: number;
  kind: "model" | "tool" | "storage";
  tenantId: string;
  provider: string;
  name: string;
  fromDay: string;
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  source: string;
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
}

/** A price as it is sent. */
export interface PriceDraft {
  kind: "model";
  provider: string;
  name: string;
  fromDay: string;
  input: number;
  output: number;
  cacheRead?: number;
  cacheWrite?: number;
  source: string;
}

/** What a price would have changed in the last 30 days. */
export interface PriceEffect {
  provider: string;
  model: string;
  tenants: number;
  beforeMicros: number;
  afterMicros: number;
}

const path = (rest: string): string => `/operator/api/${rest}`;

/** The tenants that spent or grew most this month. */
export async function listSpending(sort: "spend" | "growth"): Promise<SpendingRow[]> {
  return (await requestJson<{ tenants: SpendingRow[] }>("GET", path(`billing?sort=${sort}`))).tenants;
}

/** All versions of all plans. */
export async function listPlans(): Promise<Plan[]> {
  return (await requestJson<{ plans: Plan[] }>("GET", path("plans"))).plans;
}

/** Adds a version of a plan. */
export function addPlan(id: string, terms: PlanTerms): Promise<unknown> {
  return requestJson("PUT", path("plans"), { id, terms });
}

/** Puts a tenant on a plan's version, now or from a moment on. */
export function pinPlan(
  tenantId: string,
  wish: { plan: string; version: number; fromMs?: number },
): Promise<unknown> {
  return requestJson("PUT", path(`tenants/${encodeURIComponent(tenantId)}/plan`), wish);
}

/** Prices that operators set and those that come with the product. */
export function listPrices(): Promise<{ rows: PriceRow[]; shipped: ShippedPrice[] }> {
  return requestJson("GET", path("prices"));
}

/** Adds prices, or only says what they would have changed. */
export function setPrices(
  rows: readonly PriceDraft[],
  isPreview: boolean,
): Promise<{ effects: PriceEffect[] }> {
  return requestJson("PUT", path("prices"), { rows, isPreview });
}
