/** Which warnings about money and room hold now. Owns: that judgement. Refuses to know: words, requests. */
import type { BillingOverview, Budget, BudgetScope } from "../http/billing.ts";

/** A budget that is nearly or wholly used, as it is now; amounts are micro-units. */
export interface BudgetWarning {
  kind: "budget";
  /** The same for the same level of the same budget and limit, so that a warning put away stays away. */
  id: string;
  level: 80 | 95 | 100;
  scope: BudgetScope;
  isPlan: boolean;
  name: string;
  spentMicros: number;
  limitMicros: number;
  /** When it begins anew; null for a budget that never does. */
  resetAtMs: number | null;
  /** What pays when the plan's budget is used up. */
  creditMicros: number;
}

/** Turns that were stopped. */
export interface StopWarning {
  kind: "stopped";
  id: string;
  sinceMs: number;
}

/** Storage that is nearly or wholly full; bytes. */
export interface StorageWarning {
  kind: "storage";
  /** The same for the same level of the same limit within a month. */
  id: string;
  level: 80 | 95 | 100;
  usedBytes: number;
  limitBytes: number;
}

/** Something an admin should know of. */
export type MoneyWarning = BudgetWarning | StopWarning | StorageWarning;

const LEVELS = [100, 95, 80] as const;

/** The highest level that use has reached, of money or of room; undefined below 80 %, and for a limit of nothing, which is meant. */
export function warningLevel(used: number, limit: number): 80 | 95 | 100 | undefined {
  if (limit === 0) return undefined;
  // A hundred times a large amount is no safe number any more.
  return LEVELS.find((level) => BigInt(used) * 100n >= BigInt(limit) * BigInt(level));
}

function storageWarning({ limits, period }: BillingOverview): StorageWarning[] {
  const { used: usedBytes, limit: limitBytes } = limits.storageBytes;
  const level = limitBytes === null ? undefined : warningLevel(usedBytes, limitBytes);
  if (limitBytes === null || level === undefined) return [];
  const id = ["storage", period.endMs, limitBytes, level].join(":");
  return [{ kind: "storage", id, level, usedBytes, limitBytes }];
}

/** Whether the overview tells of budgets of the tenant's own that may be nearly used. */
export function needsBudgets(overview: BillingOverview): boolean {
  return overview.alerts.some(({ level, scopeId }) => level >= 80 && scopeId !== "plan");
}

function warningOf(
  budget: Omit<BudgetWarning, "kind" | "id" | "level">,
  period: string,
  scopeId: string,
): BudgetWarning[] {
  const level = warningLevel(budget.spentMicros, budget.limitMicros);
  if (level === undefined) return [];
  const id = [budget.scope, scopeId, period, budget.limitMicros, level].join(":");
  return [{ kind: "budget", id, level, ...budget }];
}

/**
 * What holds now, the gravest first. Alerts say what was reached once; a budget that was raised or taken away since
 * warns no more.
 */
export function listWarnings(overview: BillingOverview, budgets: readonly Budget[]): MoneyWarning[] {
  const { alerts, breaker, budget, period } = overview;
  const alerted = (scope: string, scopeId: string) =>
    alerts.find((alert) => alert.level >= 80 && alert.scope === scope && alert.scopeId === scopeId);
  const found: (BudgetWarning | StorageWarning)[] = storageWarning(overview);
  const plan = alerted("tenant", "plan");
  const { creditMicros } = budget;
  if (plan !== undefined && budget.limitMicros !== null) {
    const { limitMicros, spentMicros } = budget;
    const own = { scope: "tenant" as const, isPlan: true, name: "", limitMicros, spentMicros, creditMicros };
    found.push(...warningOf({ ...own, resetAtMs: period.endMs }, plan.period, "plan"));
  }
  for (const { scope, scopeId, name, limitMicros, spentMicros, resetAtMs } of budgets) {
    const alert = alerted(scope, scopeId);
    if (alert === undefined) continue;
    const when = resetAtMs === null ? "total" : String(resetAtMs);
    const own = { scope, isPlan: false, name, limitMicros, spentMicros, resetAtMs, creditMicros: 0 };
    found.push(...warningOf(own, when, scopeId));
  }
  found.sort((left, right) => right.level - left.level);
  if (breaker === null) return found;
  return [{ kind: "stopped", id: `stopped:${breaker.sinceMs}`, sinceMs: breaker.sinceMs }, ...found];
}
