/**
 * Plans and who is on which, for operators, by cookie only. Owns: the routes' shapes and their records.
 * Refuses to know: what plans limit, prices.
 */
import { z } from "zod";
import { auditRecord, auditStatement, PLATFORM } from "../../audit/record.ts";
import type { Plan } from "../../billing/plans/plan.ts";
import type { PlanBook } from "../../billing/plans/plan-book.ts";
import type { Pin, TenantPlans } from "../../billing/plans/tenant-plans.ts";
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

function listPlans({ book, plans, control, clock }: PlanRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/plans",
    policy: { kind: "operator" },
    body: null,
    doc: "All versions of all plans, the newest of each first; how many tenants are on each now (`tenants`, those that nobody put on a plan with the default one) and will be by a day that is set (`planned`), without tenants being deleted; the platform's currency.",
    async handler() {
      const currency = await platformCurrency(control);
      const [inForce, planned] = await countTenants(control, plans.fallbackPlan, clock.nowMs());
      const listed = (await book.list()).map((plan) => ({
        ...plan,
        tenants: countOf(inForce, plan),
        planned: countOf(planned, plan),
      }));
      return { status: 200, headers: NO_STORE, body: { currency, plans: listed } };
    },
  });
}

interface PlanCount {
  plan: string;
  version: number;
  tenants: number;
}

// Read by the report thread: with 100,000 tenants it takes a part of a second.
const IN_FORCE = `SELECT coalesce(p.plan, ?) AS plan, coalesce(p.version, ?) AS version, count(*) AS tenants
  FROM tenants t LEFT JOIN tenant_plans p ON p.tenant_id = t.id AND p.from_ms = (SELECT c.from_ms FROM tenant_plans c
    WHERE c.tenant_id = t.id AND c.from_ms <= ? ORDER BY c.from_ms DESC LIMIT 1)
  WHERE t.status <> 'deleting' GROUP BY 1, 2 LIMIT 1000`;

const PLANNED = `SELECT p.plan, p.version, count(DISTINCT p.tenant_id) AS tenants
  FROM tenant_plans p JOIN tenants t ON t.id = p.tenant_id
  WHERE p.from_ms > ? AND t.status <> 'deleting' GROUP BY p.plan, p.version LIMIT 1000`;

function countTenants(
  control: Database,
  { id, version }: Pick<Plan, "id" | "version">,
  nowMs: number,
): Promise<[PlanCount[], PlanCount[]]> {
  return Promise.all([
    control.report<PlanCount>(IN_FORCE, [id, version, nowMs]),
    control.report<PlanCount>(PLANNED, [nowMs]),
  ]);
}

function countOf(counts: readonly PlanCount[], { id, version }: Plan): number {
  return counts.find((row) => row.plan === id && row.version === version)?.tenants ?? 0;
}

function addPlan({ book, clock }: PlanRouteDeps): Route {
  return defineRoute({
    method: "PUT",
    path: "/operator/api/plans",
    policy: { kind: "operator" },
    body: z.object({
      id: PLAN_ID,
      terms: planSchema.omit({ version: true }),
      knownVersion: z.int().min(0).optional(),
    }),
    doc: "Add a version of a plan. Nobody's terms change: tenants keep the version that they were put on. With `knownVersion`, the newest one that was seen (0 for none), another one by now is a `conflict`.",
    async handler(call) {
      const by = actorOf(call);
      const { id, terms, knownVersion } = call.body;
      const recordOf = (plan: Plan) => {
        const details = { version: plan.version, terms: plan.terms };
        const record = auditRecord(clock.nowMs(), by, "plan.version_added", { kind: "plan", id }, details);
        return [auditStatement(PLATFORM, record)];
      };
      const made = await book.add(id, terms, by.id, recordOf, knownVersion);
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

function pinPlan(deps: PlanRouteDeps): Route {
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
      const { id } = await deps.tenants.getById(idOf(call));
      const { plan, version, fromMs = 0 } = call.body;
      const pin = await putOnPlan(deps, id, { plan, version, fromMs }, by);
      return { status: 200, headers: NO_STORE, body: { pin } };
    },
  });
}

/** Put a tenant on a plan, with its record, and look at its budgets under it. Throws as `TenantPlans.pin` does. */
export async function putOnPlan(
  { plans, clock, scopeOf, onPlanSet }: Pick<PlanRouteDeps, "plans" | "clock" | "scopeOf" | "onPlanSet">,
  id: TenantId,
  wanted: { plan: string; version?: number | undefined; fromMs: number },
  by: Actor,
): Promise<Pin> {
  const { plan: before } = await plans.of(id);
  const pinned = await plans.pin(id, wanted, by.id, (pin) => {
    const details = { before: before.id, beforeVersion: before.version, ...pin };
    const record = auditRecord(clock.nowMs(), by, "tenant.plan_set", { kind: "tenant", id }, details);
    return [auditStatement(id, record)];
  });
  const scope = await scopeOf(id);
  if (scope !== undefined) onPlanSet(scope);
  return pinned;
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
