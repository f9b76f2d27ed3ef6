/**
 * What a budget is. Owns: the types, the month a moment counts for. Refuses to know: where budgets are kept.
 */
import type { Tenant } from "../../tenancy/tenant.ts";
import type { Calendar } from "../calendar.ts";

/** Whose spending a budget limits; `key` is a credential, by its row id. */
export const BUDGET_SCOPES = ["tenant", "user", "agent", "key"] as const;
/** One of the above. */
export type BudgetScope = (typeof BUDGET_SCOPES)[number];
/** A calendar month in the tenant's time zone, or all time. */
export type BudgetPeriod = "month" | "total";

/** Whom a limit is for. `scopeId` is empty for the tenant. */
export interface BudgetKey {
  scope: BudgetScope;
  scopeId: string;
  period: BudgetPeriod;
}

/** A limit and what counts against it now. Micro-units. */
export interface Budget extends BudgetKey {
  limitMicros: number;
  spentMicros: number;
  reservedMicros: number;
  /** Start of the next period; null for budgets that never begin anew. */
  resetAtMs: number | null;
}

/** Where the plan's monthly limit comes from; null is no limit. Spending above it takes from credit. */
export interface BudgetSource {
  monthlyLimitOf(tenant: Tenant): Promise<number | null>;
  /** The part of it for work that nobody waits for; without this there is none. */
  backgroundLimitOf?(tenant: Tenant): Promise<number | null>;
}

/** No plan limits anything. */
export const UNLIMITED: BudgetSource = { monthlyLimitOf: () => Promise.resolve(null) };

/** The month of an instant in a tenant's calendar: `YYYY-MM`, and its end. */
export function monthOf(calendar: Calendar, atMs: number): { month: string; endMs: number } {
  const month = calendar.dayOf(atMs).slice(0, 7);
  return { month, endMs: calendar.startOf(`${nextMonth(month)}-01`) };
}

function nextMonth(month: string): string {
  const [year, number] = month.split("-").map(Number) as [number, number];
  return number === 12 ? `${year + 1}-01` : `${year}-${String(number + 1).padStart(2, "0")}`;
}
