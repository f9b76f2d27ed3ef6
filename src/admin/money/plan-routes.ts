/**
 * Plans and who is on which, for operators, by cookie only. Owns: the routes' shapes and their records.
 * Refuses to know: what plans limit, prices.
 */
import { z } from "zod";
import { auditRecord, auditStatement, PLATFORM } from "../../audit/record.ts";
import type { Plan } from "../../billing/plans/plan.ts";
import type { PlanBook } from "../../billing/plans/plan-book.ts";
import type { TenantPlans } from "../../billing/plans/tenant-plans.ts";
import { PLAN_ID, planSchema } from "../../config/plan-schema.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { isUuid, type TenantId } from "../../kernel/ids.ts";
import { defineRoute, type Route, type RouteCall } from "../../protocol/routes.ts";
import type { Database } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import { platformCurrency } from "./spending-list.ts";

/** What the routes need. */
export interface PlanRouteDeps {
  control: Database;
  tenants: Tenants;
  book: PlanBook;
  plans: TenantPlans;
  clock: Clock;
  /** A tenant's door; undefined when there is no such tenant any more. */
  scopeOf(id: TenantId): Promise<TenantScope | undefined>;
  /** A tenant was put on a plan. Must not throw. */
  onPlanSet(scope: TenantScope): void;
}

const NO_STORE = { "cache-control": "no-store" };

/** The routes, for the gateway. */
export function makeOperatorPlanRoutes(deps: PlanRouteDeps): Route[] {
  return [listPlans(deps), addPlan(deps), getPins(deps), pinPlan(deps)];
}

function listPlans({ book, control, clock }: PlanRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/plans",
    policy: { kind: "operator" },
    body: null,
    doc: "All versions of all plans, the newest of each first, how many tenants are on each or will be, and the platform's currency.",
    async handler() {
      const currency = await platformCurrency(control);
      const pinned = await control.list<{ plan: string; version: number; tenants: number }>(
        `SELECT plan, version, count(DISTINCT tenant_id) AS tenants FROM tenant_plans AS pin
          WHERE from_ms >= coalesce((SELECT max(from_ms) FROM tenant_plans AS current
            WHERE current.tenant_id = pin.tenant_id AND current.from_ms <= ?), 0)
          GROUP BY plan, version LIMIT 1000`,
        [clock.nowMs()],
      );
      const count = ({ id, version }: Plan) =>
        pinned.find((row) => row.plan === id && row.version === version)?.tenants ?? 0;
      const plans = (await book.list()).map((plan) => ({ ...plan, tenants: count(plan) }));
      return { status: 200, headers: NO_STORE, body: { currency, plans } };
    },
  });
}

function addPlan({ book, clock }: PlanRouteDeps): Route {
  return defineRoute({
    method: "PUT",
    path: "/operator/api/plans",
    policy: { kind: "operator" },
    body: z.object({ id: PLAN_ID, terms: planSchema.omit({ version: true }) }),
    doc: "Add a version of a plan. Nobody's terms change: tenants keep the version that they were put on.",
    async handler(call) {
      const by = actorOf(call);
      const { id, terms } = call.body;
      const made = await book.add(id, terms, by.id, (plan) => {
        const details = { version: plan.version, terms: plan.terms };
        const record = auditRecord(clock.nowMs(), by, "plan.version_added", { kind: "plan", id }, details);
        return [auditStatement(PLATFORM, record)];
      });
      return { status: 201, headers: NO_STORE, body: { plan: made } };
    },
  });
}

function getPins({ tenants, plans }: PlanRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/tenants/:id/plan",
    policy: { kind: "operator" },
    body: null,
    doc: "The plan that holds for a tenant, until when, and all that were and will be.",
    async handler(call) {
      const { id } = await tenants.getById(idOf(call));
      const { plan, untilMs, breaker } = await plans.of(id);
      return {
        status: 200,
        headers: NO_STORE,
        body: { plan, untilMs, breaker, pins: await plans.listPins(id) },
      };
    },
  });
}

function pinPlan({ tenants, plans, clock, scopeOf, onPlanSet }: PlanRouteDeps): Route {
  return defineRoute({
    method: "PUT",
    path: "/operator/api/tenants/:id/plan",
    policy: { kind: "operator" },
    body: z.object({
      plan: PLAN_ID,
      version: z.int().min(1).optional(),
      fromMs: z.int().min(0).max(8_640_000_000_000_000).optional(),
    }),
    doc: "Put a tenant on a plan's version, now or from a day on; what was set for later than that falls away.",
    async handler(call) {
      const by = actorOf(call);
      const { id } = await tenants.getById(idOf(call));
      const { plan: before } = await plans.of(id);
      const { plan, version, fromMs = 0 } = call.body;
      const pinned = await plans.pin(id, { plan, version, fromMs }, by.id, (pin) => {
        const details = { before: before.id, beforeVersion: before.version, ...pin };
        return [
          auditStatement(
            id,
            auditRecord(clock.nowMs(), by, "tenant.plan_set", { kind: "tenant", id }, details),
          ),
        ];
      });
      const scope = await scopeOf(id);
      if (scope !== undefined) onPlanSet(scope);
      return { status: 200, headers: NO_STORE, body: { pin: pinned } };
    },
  });
}

/** Who acts, for the record. */
export function actorOf(call: RouteCall<unknown>): Actor {
  if (call.actor === null) throw new AppError("internal", "An operator's act has no actor.");
  return call.actor;
}

function idOf(call: RouteCall<unknown>): string {
  const id = call.params["id"] ?? "";
  if (!isUuid(id)) throw new AppError("not_found", "There is no such tenant.");
  return id;
}
