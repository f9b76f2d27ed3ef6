/**
 * Plans that were set for a later day, when that day comes. Owns: noticing it once, also after a time without a process:
 * the tenant's row names the plan, and its people are warned when it holds less than was spent.
 * Refuses to know: what is enforced (the plan holds from its moment on whether or not anybody noticed).
 */
import { Recurring } from "../../jobs/recurring.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { TenantPlans } from "./tenant-plans.ts";

/** What this needs. */
export interface PlanBeginningsDeps {
  control: Database;
  plans: Pick<TenantPlans, "forget" | "of">;
  clock: Clock;
  log: Log;
  /** The tenant's scope; undefined when it is gone or going. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
  /** Look at its budgets. */
  look(scope: TenantScope): Promise<unknown>;
}

const TICK_MS = 60_000;
/** A pin is set before its day; one that is still being written for a moment just past must not be passed by. */
const LAG_MS = 30_000;
/** Tenants in one round; the others come with the next. */
const TENANTS = 200;

interface Place {
  fromMs: number;
  tenantId: TenantId;
}

/** See the head of this file. */
export class PlanBeginnings {
  private readonly deps: PlanBeginningsDeps;
  private readonly recurring: Recurring;

  constructor(deps: PlanBeginningsDeps) {
    this.deps = deps;
    const { clock, log } = deps;
    const complaint = "plans that began could not be noticed; it is tried again";
    this.recurring = new Recurring({ clock, log, periodMs: TICK_MS, complaint, round: () => this.round() });
  }

  start(): void {
    this.recurring.start();
  }

  close(): Promise<void> {
    return this.recurring.close();
  }

  /** One round; never rejects. */
  tick(): Promise<void> {
    return this.recurring.tick();
  }

  private async round(): Promise<void> {
    const { control, clock } = this.deps;
    const begun = await control.list<Place>(
      `SELECT p.from_ms AS fromMs, p.tenant_id AS tenantId FROM plan_beginnings b JOIN tenant_plans p
          ON (p.from_ms, p.tenant_id) > (b.from_ms, b.tenant_id)
        WHERE p.from_ms <= ? ORDER BY p.from_ms, p.tenant_id LIMIT ${TENANTS}`,
      [clock.nowMs() - LAG_MS],
    );
    for (const { tenantId } of begun) await this.notice(tenantId);
    const last = begun.at(-1);
    if (last === undefined) return;
    // ORDER: after the looks; what a crash leaves between the two is looked at again, which tells nothing twice.
    await control.write({
      statements: [
        {
          sql: `UPDATE plan_beginnings SET from_ms = ?, tenant_id = ?
            WHERE (from_ms, tenant_id) < (?, ?)`,
          params: [last.fromMs, last.tenantId, last.fromMs, last.tenantId],
        },
      ],
    });
  }

  private async notice(tenantId: TenantId): Promise<void> {
    const { plans, scopeOf, look, log } = this.deps;
    try {
      plans.forget(tenantId);
      const { plan } = await plans.of(tenantId);
      // Without a limit there is nothing to warn of, and the tenant's file stays closed.
      if (plan.terms.monthlyBudgetMicros === null) return;
      const scope = await scopeOf(tenantId);
      if (scope === undefined) return;
      await runInContext({ tenantId, principal: null, requestId: "plans" }, () => look(scope));
    } catch (error) {
      log.warn({ err: error, tenantId }, "budgets could not be looked at when a plan began");
    }
  }
}
