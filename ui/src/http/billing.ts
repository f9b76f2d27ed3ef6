/** A tenant's plan, money and ledger over HTTP. Owns: those shapes. Refuses to know: how they are shown. */
import type { Reconciliation } from "./operator-reconciliation.ts";
import { requestJson } from "./request.ts";

/** What is taken of something the plan counts; a limit of null is none. */
export interface Taken {
  used: number;
  limit: number | null;
}

/** A warning level that a budget reached. */
export interface BudgetAlert {
  id: string;
  level: number;
  scope: BudgetScope;
  /** `plan` for the plan's own budget. */
  scopeId: string;
  /** Null for the plan, and when nobody of that id is there any more. */
  name: string | null;
  /** Month (`YYYY-MM`) or `total`. */
  period: string;
  limitMicros: number;
  spentMicros: number;
  atMs: number;
}

/** Plan, budget, limits and warnings; amounts are micro-units of `currency`. */
export interface BillingOverview {
  plan: { id: string; version: number; name: string; until: number | null };
  currency: string;
  period: { startMs: number; endMs: number; timeZone: string };
  budget: {
    limitMicros: number | null;
    spentMicros: number;
    reservedMicros: number;
    creditMicros: number;
  };
  limits: {
    seats: Taken;
    agents: Taken;
    storageBytes: Taken;
    requestsPerMinute: number | null;
    concurrentTurns: number | null;
    tokensPerMinute: number | null;
    backgroundBudgetMicros: number | null;
    models: string[] | null;
  };
  alerts: BudgetAlert[];
  breaker: { reason: string; sinceMs: number } | null;
  /** Who takes payments in the tenant's currency, and how much at once. */
  topUp: { providers: string[]; minMicros: number; maxMicros: number };
}

/** Whose spending a budget limits. */
export type BudgetScope = "tenant" | "user" | "agent" | "key";

/** A calendar month, or all time. */
export type BudgetPeriod = "month" | "total";

/** A limit and what counts against it. */
export interface Budget {
  scope: BudgetScope;
  scopeId: string;
  name: string;
  period: BudgetPeriod;
  limitMicros: number;
  spentMicros: number;
  reservedMicros: number;
  resetAtMs: number | null;
}

/** One line of the ledger: an amount from one account to another. */
export interface Transfer {
  seq: number;
  id: string;
  kind: string;
  from: string;
  to: string;
  amountMicros: number;
  atMs: number;
  source: string;
  sourceId: string;
  runId: string | null;
  linkedTo: string | null;
  details: Record<string, unknown>;
}

/** What a limit would have refused last month. */
export interface LimitPreview {
  month: string;
  wouldHaveBlocked: { day: string; calls: number; costMicros: number }[];
  total: { calls: number; costMicros: number };
}

/** A month with a statement. */
export interface StatementHead {
  month: string;
  state: "open" | "closed";
  currency: string;
  totalMicros: number;
  lines: number;
}

/** Where usage is sent, and how far that is. */
export interface UsageExport {
  url: string | null;
  cursor: number;
  newest: number;
  failures: number;
  nextAtMs: number | null;
  lastSentAtMs: number | null;
  lastError: string | null;
}

/** What usage can be grouped by, the coarsest first. */
export const DRILL_GROUPS = ["day", "user", "agent", "model", "channel", "session", "run"] as const;

/** One of them. */
export type DrillGroup = (typeof DRILL_GROUPS)[number];

/** Sums of usage; cost in micro-units. */
export interface DrillSums {
  costMicros: number;
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
  calls: number;
  toolCalls: number;
}

/** Of the answer's tokens those that were thought and not said; only where turns are summed. */
export interface Thought {
  reasoningTokens?: number;
}

/** Usage by one thing; `rest` is what lies beyond the rows. */
export interface Drill {
  from: string;
  to: string;
  timeZone: string;
  rows: (DrillSums & Thought & { key: string; name: string })[];
  rest: (DrillSums & { rows: number }) | null;
  total: DrillSums;
}

/** The address of something of a tenant's. */
export function billingPath(slug: string, rest: string): string {
  return `/t/${encodeURIComponent(slug)}/api/${rest}`;
}

/** Plan, budget and limits. */
export function findBilling(slug: string): Promise<BillingOverview> {
  return requestJson("GET", billingPath(slug, "billing"));
}

/** Lets turns begin again after they were stopped. */
export function resumeTurns(slug: string): Promise<unknown> {
  return requestJson("POST", billingPath(slug, "billing/breaker/resume"));
}

/** What a monthly limit would have refused last month. */
export function previewLimit(slug: string, limitMicros: number): Promise<LimitPreview> {
  return requestJson("GET", billingPath(slug, `billing/preview?limitMicros=${limitMicros}`));
}

/** All budgets. */
export async function listBudgets(slug: string): Promise<Budget[]> {
  return (await requestJson<{ budgets: Budget[] }>("GET", billingPath(slug, "budgets"))).budgets;
}

/** Sets a budget, or takes it away with a limit of null; a conflict when its limit is not the one that is known (null for none). */
export function saveBudget(
  slug: string,
  wish: {
    scope: BudgetScope;
    scopeId: string;
    period: BudgetPeriod;
    limitMicros: number | null;
    knownLimitMicros: number | null;
  },
): Promise<unknown> {
  return requestJson("PUT", billingPath(slug, "budgets"), wish);
}

/** A page of ledger lines, the newest first; `before` is the `next` of the page before it. */
export function listTransfers(
  slug: string,
  filter: { run?: string; kind?: string; from?: number; to?: number },
  before: number | null = null,
  limit = 50,
): Promise<{ transfers: Transfer[]; next: number | null }> {
  const query = new URLSearchParams({ order: "newest", limit: String(limit) });
  for (const [name, value] of Object.entries(filter)) if (value) query.set(name, String(value));
  if (before !== null) query.set("before", String(before));
  return requestJson("GET", billingPath(slug, `ledger?${query}`));
}

/** Months with a statement, newest first. */
export async function listStatements(slug: string): Promise<StatementHead[]> {
  const path = billingPath(slug, "statements");
  return (await requestJson<{ statements: StatementHead[] }>("GET", path)).statements;
}

/** Comparisons with the tenant's own providers; from which day on each is compared. */
export interface OwnReconciliation extends Pick<Reconciliation, "tolerance" | "nights" | "troubles"> {
  providers: { id: string; sinceDay: string }[];
}

/** What the tenant's own providers counted differently in the last nights, the newest first. */
export function findOwnReconciliation(slug: string): Promise<OwnReconciliation> {
  return requestJson("GET", billingPath(slug, "billing/reconciliation"));
}

/** Begins to pay for credit; `returnTo` is a path of this site. The payer goes on at `redirect`. */
export function beginTopUp(
  slug: string,
  wish: { provider: string; amountMicros: number; returnTo: string },
): Promise<{ orderId: string; redirect: string }> {
  return requestJson("POST", billingPath(slug, "top-ups"), wish);
}

/** Turns a code into credit. */
export function redeemCode(slug: string, code: string): Promise<{ amountMicros: number; isNew: boolean }> {
  return requestJson("POST", billingPath(slug, "redeem"), { code });
}

/** Where usage is sent. */
export function findUsageExport(slug: string): Promise<UsageExport> {
  return requestJson("GET", billingPath(slug, "usage-export"));
}

/** Changes that; a new secret is in the answer only. */
export function saveUsageExport(
  slug: string,
  change: { url?: string | null; renewSecret?: boolean; cursor?: number },
): Promise<UsageExport & { secret: string | null }> {
  return requestJson("PUT", billingPath(slug, "usage-export"), change);
}

/** Usage of some days by one thing. */
export function findDrill(slug: string, query: URLSearchParams): Promise<Drill> {
  return requestJson("GET", billingPath(slug, `usage/drill?${query}`));
}
