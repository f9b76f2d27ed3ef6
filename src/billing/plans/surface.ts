/**
 * A tenant's plan and its limits over the protocol and HTTP. Owns: shapes and scopes. Refuses to know: how they are kept.
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import { defineMethod, looseResult, type Method } from "../../protocol/methods.ts";
import { defineTenantRoute, type Route } from "../../protocol/routes.ts";
import { Calendars } from "../calendar.ts";
import { type OverviewDeps, readOverview } from "./overview.ts";
import { previewLimit } from "./preview.ts";

const RESUMED = { action: "billing.turns_resumed", target: null } as const;

/** The methods of plans. */
export function makePlanMethods(deps: OverviewDeps): Method[] {
  return [
    defineMethod({
      name: "billing.status",
      scope: "operator.read",
      params: z.object({}),
      result: looseResult({ plan: looseResult({}), currency: z.string(), budget: looseResult({}) }),
      cost: "read",
      doc: "The tenant's plan, what it spent and may spend this month, its limits, warnings, and whether its turns are stopped. Amounts in millionths of the currency.",
      handler: (_params, { tenant }) => readOverview(deps, tenant),
    }),
    defineMethod({
      name: "billing.breaker.resume",
      scope: "operator.admin",
      params: z.object({}),
      result: looseResult({ resumed: z.boolean() }),
      cost: "write",
      doc: "Let turns begin again after they were stopped because they looked like a loop; `resumed` is false when they were not stopped.",
      audit: (_params, result) => (result.resumed ? RESUMED : null),
      handler: async (_params, { tenant }) => ({ resumed: await deps.plans.resume(tenant.tenantId) }),
    }),
  ];
}

/** The routes of plans. */
export function makePlanRoutes(deps: OverviewDeps): Route[] {
  const calendars = new Calendars();
  return [
    defineTenantRoute({
      method: "GET",
      path: "/api/billing",
      scope: "operator.read",
      body: null,
      doc: "The tenant's plan, what it spent and may spend this month, its limits, warnings, and whether its turns are stopped.",
      handler: async ({ tenant }) => ({ status: 200, body: await readOverview(deps, tenant) }),
    }),
    defineTenantRoute({
      method: "POST",
      path: "/api/billing/breaker/resume",
      scope: "operator.admin",
      body: z.object({}).optional(),
      doc: "Let turns begin again after they were stopped because they looked like a loop.",
      audit: (_call, answer) => ((answer.body as { resumed: boolean }).resumed ? RESUMED : null),
      handler: async ({ tenant }) => ({
        status: 200,
        body: { resumed: await deps.plans.resume(tenant.tenantId) },
      }),
    }),
    defineTenantRoute({
      method: "GET",
      path: "/api/billing/preview",
      scope: "operator.admin",
      body: null,
      doc: "What a monthly limit (`limitMicros`) would have refused last month, by day.",
      async handler({ tenant, query }) {
        const limit = readMicros(query["limitMicros"]);
        const month = deps.spending.lastMonth(tenant);
        return { status: 200, body: await previewLimit(tenant, month, limit, calendars) };
      },
    }),
  ];
}

function readMicros(text: string | undefined): number {
  const micros = /^\d{1,16}$/.test(text ?? "") ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(micros)) return micros;
  throw new AppError("invalid_request", "limitMicros is a whole number of millionths, not below zero.", {
    details: { field: "limitMicros" },
  });
}
