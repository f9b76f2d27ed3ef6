/**
 * Warnings before a budget ends: each level of each budget and period once, and once more where a raised limit put it out
 * of reach again. Owns: noticing, storing, telling. Refuses to know: how people read them, what refuses a call in the end.
 *
 * Looked for a moment after usage or a changed limit, together for all of a burst; the row's key makes it once, also for
 * two processes.
 */
import type { EventHub } from "../../events/hub.ts";
import type { Clock, Timer } from "../../kernel/clock.ts";
import { newId, type TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { type AlertLevel, reachedLevels } from "./alert-levels.ts";
import type { Limited, Spending } from "./spending.ts";

/** A level that was reached. */
export interface Alert {
  id: string;
  level: AlertLevel;
  /** `tenant`, `user`, `agent` or `key`. */
  scope: string;
  /** Whose it is; `plan` for the plan's own monthly budget. */
  scopeId: string;
  /** Month (`YYYY-MM`) or `total`. */
  period: string;
  limitMicros: number;
  spentMicros: number;
  atMs: number;
}

/** An alert before it is stored; `resetAtMs` is when its budget begins anew, null for never. */
export type AlertDraft = Omit<Alert, "id"> & { resetAtMs: number | null };

/** What alerts need. */
export interface AlertsDeps {
  spending: Spending;
  hub: EventHub;
  clock: Clock;
  log: Log;
  /** Puts an alert on its way out of the house; on disk when it resolves, and once however often it is called. */
  leave?: (scope: TenantScope, alert: AlertDraft) => Promise<void>;
}

/** From usage to the look: the commit that stores the usage comes in between, and bursts become one look. */
const LOOK_MS = 400;
const LISTED = 100;

interface Told {
  period: string;
  scope: string;
  scopeId: string;
  level: AlertLevel;
  limitMicros: number;
}

function keyOf({ period, scope, scopeId }: Pick<Told, "period" | "scope" | "scopeId">): string {
  return `${period}\n${scope}\n${scopeId}`;
}

/** See the head of this file. */
export class Alerts {
  private readonly deps: AlertsDeps;
  private readonly pending = new Map<TenantId, Timer>();

  constructor(deps: AlertsDeps) {
    this.deps = deps;
  }

  /** Something is being used in the tenant, or may be: look a moment later. Costs nothing while a look is pending. */
  note(scope: TenantScope): void {
    const { tenantId } = scope;
    if (this.pending.has(tenantId)) return;
    const timer = this.deps.clock.after(LOOK_MS, () => {
      this.pending.delete(tenantId);
      // SECURITY: the timer may run in somebody else's context; bind our own tenant anew.
      void runInContext({ tenantId, principal: null, requestId: "alerts" }, () => this.look(scope)).catch(
        (thrown: unknown) => this.deps.log.warn({ err: thrown, tenantId }, "budgets could not be looked at"),
      );
    });
    this.pending.set(tenantId, timer);
  }

  /** Look at all budgets now, store and tell what is new. */
  async look(scope: TenantScope): Promise<Alert[]> {
    const made: Alert[] = [];
    const limits = await this.deps.spending.limits(scope);
    // Once for all: there may be thousands of budgets, most of them far from their first level.
    const told = await this.told(scope);
    for (const limited of limits) {
      const reached = reachedLevels(limited.spentMicros, limited.limitMicros);
      const known = await this.known(scope, limited, reached, told.get(keyOf(limited)) ?? []);
      for (const level of reached.filter((one) => !known.has(one))) {
        const alert = await this.store(scope, limited, level);
        if (alert !== undefined) made.push(alert);
      }
    }
    for (const alert of made) this.tell(scope, alert);
    return made;
  }

  /** The newest alerts of this month and of budgets without one, the highest level of each budget. */
  async list(scope: TenantScope): Promise<Alert[]> {
    const { name } = this.deps.spending.month(scope);
    return scope.db.list<Alert>(
      `SELECT id, max(level) AS level, scope, scope_id AS scopeId, period, limit_micros AS limitMicros,
          spent_micros AS spentMicros, at_ms AS atMs
        FROM billing_alerts WHERE period IN (?, 'total') GROUP BY period, scope, scope_id
        ORDER BY at_ms DESC, id DESC LIMIT ?`,
      [name, LISTED],
    );
  }

  /** Stop looking; what is pending is looked at after the next usage. */
  close(): void {
    for (const timer of this.pending.values()) timer.cancel();
    this.pending.clear();
  }

  /** What people were told of this month and of budgets without one, by budget. */
  private async told(scope: TenantScope): Promise<Map<string, Told[]>> {
    const { name } = this.deps.spending.month(scope);
    const rows = await scope.db.list<Told>(
      `SELECT period, scope, scope_id AS scopeId, level, limit_micros AS limitMicros FROM billing_alerts
        WHERE period IN (?, 'total')`,
      [name],
    );
    return Map.groupBy(rows, keyOf);
  }

  /** Levels that people were told of; those of a smaller limit that are out of reach now are forgotten. */
  private async known(
    { db }: TenantScope,
    { period, scope, scopeId, limitMicros }: Limited,
    reached: readonly AlertLevel[],
    rows: readonly Told[],
  ): Promise<Set<AlertLevel>> {
    if (rows.some((row) => row.limitMicros < limitMicros && !reached.includes(row.level))) {
      const sql = `DELETE FROM billing_alerts
        WHERE period = ? AND scope = ? AND scope_id = ? AND limit_micros < ? AND level > ?`;
      const params = [period, scope, scopeId, limitMicros, reached.at(-1) ?? 0];
      await db.write({ statements: [{ sql, params }] });
    }
    return new Set(rows.map(({ level }) => level));
  }

  private async store(scope: TenantScope, limited: Limited, level: AlertLevel): Promise<Alert | undefined> {
    const { period, limitMicros, spentMicros } = limited;
    const atMs = this.deps.clock.nowMs();
    const alert = { id: newId(), level, scope: limited.scope, scopeId: limited.scopeId, period };
    const resetAtMs = period === "total" ? null : this.deps.spending.month(scope).endMs;
    // ORDER: on its way before it counts as told; what a crash leaves between the two is noticed again, under the same id.
    await this.deps.leave?.(scope, { ...alert, limitMicros, spentMicros, atMs, resetAtMs });
    const outcome = await scope.db.write({
      statements: [
        {
          sql: `INSERT INTO billing_alerts (id, period, scope, scope_id, level, limit_micros, spent_micros, at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          params: [
            ...[alert.id, period, limited.scope, limited.scopeId, level],
            ...[limitMicros, spentMicros, atMs],
          ],
          expect: 1,
        },
      ],
    });
    return outcome.committed ? { ...alert, limitMicros, spentMicros, atMs } : undefined;
  }

  private tell(scope: TenantScope, alert: Alert): void {
    this.deps.hub.publish(scope.tenantId, {
      event: "billing.alert",
      payload: { kind: "budget", ...alert },
      delivery: "admin",
    });
  }
}
