/** Money on the operators' surface over HTTP. Owns: those shapes. Refuses to know: tenants' contents, how things are shown. */
import type { MarginRow, PriceRow } from "./operator-prices.ts";
import { requestJson } from "./request.ts";

/** A tenant by what it spends; amounts are micro-units of its own `currency`. */
export interface SpendingRow {
  id: string;
  slug: string;
  name: string;
  plan: string;
  currency: string;
  spentMicros: number;
  limitMicros: number | null;
  /** 0.5 is half as much again as in the same days of the last month. */
  growth: number | null;
  /** On top of prices today, in hundredths of a percent. */
  marginBasisPoints: number;
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
  /** On it now, those that nobody put on a plan with the default one. */
  tenants: number;
  /** Will be, by a day that is set. */
  planned: number;
}

/** One tenant's money; amounts are micro-units of `currency`. */
export interface TenantMoney {
  currency: string;
  plan: { id: string; version: number; name: string; untilMs: number | null };
  /** All plans that were and will be, the latest first. */
  pins: { plan: string; version: number; fromMs: number }[];
  breaker: { reason: string; sinceMs: number } | null;
  limitMicros: number | null;
  /** Null while its figures cannot be read. */
  funds: { spentMicros: number; reservedMicros: number; creditMicros: number } | null;
  period: { startMs: number; endMs: number; timeZone: string } | null;
  margin: { basisPoints: number; isOwn: boolean; rows: MarginRow[] };
  prices: PriceRow[];
}

const path = (rest: string): string => `/operator/api/${rest}`;

/** How the list of spending is ordered. */
export type SpendingOrder = "spend" | "growth" | "margin";

/** The tenants that spent or grew most this month; `isCut` when there may be more. */
export function listSpending(
  sort: SpendingOrder,
  isOver: boolean,
): Promise<{ currency: string; tenants: SpendingRow[]; isCut: boolean }> {
  return requestJson("GET", path(`billing?sort=${sort}${isOver ? "&over=1" : ""}`));
}

/** All versions of all plans, and the one currency of prices. */
export function listPlans(): Promise<{ currency: PlanTerms["currency"]; plans: Plan[] }> {
  return requestJson("GET", path("plans"));
}

/** Adds a version of a plan; a conflict when its newest is not the one that is known (0 for none). */
export function addPlan(id: string, terms: PlanTerms, knownVersion: number): Promise<unknown> {
  return requestJson("PUT", path("plans"), { id, terms, knownVersion });
}

/** The plan that holds for a tenant. */
export function findPin(tenantId: string): Promise<{ plan: { id: string; version: number } }> {
  return requestJson("GET", path(`tenants/${encodeURIComponent(tenantId)}/plan`));
}

/** Puts a tenant on a plan's version, now or from a moment on. */
export function pinPlan(
  tenantId: string,
  wish: { plan: string; version: number; fromMs?: number },
): Promise<unknown> {
  return requestJson("PUT", path(`tenants/${encodeURIComponent(tenantId)}/plan`), wish);
}

/** What is known of one tenant's money. */
export function findTenantMoney(tenantId: string): Promise<TenantMoney> {
  return requestJson("GET", path(`tenants/${encodeURIComponent(tenantId)}/money`));
}

/** Gives credit; the same key counts once. */
export function giveCredit(wish: {
  tenantId: string;
  amountMicros: number;
  expiresAtMs?: number;
  reason: string;
  idempotencyKey: string;
}): Promise<unknown> {
  return requestJson("POST", path("credits"), wish);
}
