/**
 * Comparisons with providers: of the platform's keys for operators, by cookie only; of a tenant's own keys for its admins.
 * Owns: the routes' shapes. Refuses to know: counts, reasons.
 */
import { z } from "zod";
import type { AuditLog } from "../../audit/log.ts";
import { auditRecord } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { defineRoute, defineTenantRoute, type Route } from "../../protocol/routes.ts";
import type { Database } from "../../storage/database.ts";
import { TOLERANCE } from "./findings.ts";
import { countOwnKeys, listNights } from "./nights.ts";
import { lastNight, type Reconciler } from "./reconciler.ts";
import { listTroubles } from "./troubles.ts";
import { listUsageEndpoints } from "./usage-endpoints.ts";

/** What the routes need. */
export interface ReconciliationRouteDeps {
  control: Database;
  reconciler: Reconciler;
  /** Ids of providers that tell their usage. */
  providers: readonly string[];
  auditLog: AuditLog;
  clock: Clock;
}

const NO_STORE = { "cache-control": "no-store" };

/** The routes, for the gateway. */
export function makeReconciliationRoutes(deps: ReconciliationRouteDeps): Route[] {
  return [getNights(deps), compareAgain(deps), getOwnNights(deps)];
}

function getNights({ control, providers, clock }: ReconciliationRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/reconciliation",
    policy: { kind: "operator" },
    body: null,
    doc: "What nightly comparisons with providers' own counts found in the last 14 days, by provider and day; nights without one are there too. Of tenants' own keys only how many there are, differ and fail.",
    async handler() {
      const nowMs = clock.nowMs();
      const listed = { keyOwner: "platform", providers: providers.map((id) => ({ id })) };
      const nights = await listNights(control, listed, nowMs);
      const troubles = await listTroubles(control, "platform");
      const ownKeys = await countOwnKeys(control, nowMs);
      const body = { providers, tolerance: TOLERANCE, nights, troubles, ownKeys };
      return { status: 200, headers: NO_STORE, body };
    },
  });
}

function getOwnNights({ control, clock }: ReconciliationRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/billing/reconciliation",
    scope: "operator.admin",
    body: null,
    doc: "What nightly comparisons with the own counts of the tenant's providers found in the last 14 days; only of providers that were given a usage address.",
    async handler({ tenant }) {
      const { tenantId } = tenant;
      const endpoints = await listUsageEndpoints(control, tenantId);
      const providers = endpoints.map(({ provider, sinceDay }) => ({ id: provider, sinceDay }));
      const nights = await listNights(control, { keyOwner: tenantId, providers }, clock.nowMs());
      const troubles = await listTroubles(control, tenantId);
      return { status: 200, headers: NO_STORE, body: { providers, tolerance: TOLERANCE, nights, troubles } };
    },
  });
}

function compareAgain(deps: ReconciliationRouteDeps): Route {
  const { providers, reconciler, auditLog, clock } = deps;
  return defineRoute({
    method: "POST",
    path: "/operator/api/reconciliation",
    policy: { kind: "operator" },
    body: z.object({
      provider: z.string().max(64),
      day: z.string().regex(/^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$/),
    }),
    doc: "Compare a day of UTC that is over with a provider's own count at once; the answer replaces what was found before.",
    async handler(call) {
      const { provider, day } = call.body;
      if (!providers.includes(provider))
        throw new AppError("not_found", "This provider is not set up to tell its usage.");
      if (!Number.isFinite(Date.parse(`${day}T00:00:00Z`)) || day > lastNight(clock.nowMs()))
        throw new AppError("invalid_request", "Only days that are over, and settled, can be compared.", {
          details: { field: "day" },
        });
      const found = await reconciler.reconcile(provider, day);
      if (call.actor === null) throw new AppError("internal", "An operator's act has no actor.");
      const details = { provider, day, isWithin: found.isWithin, differences: found.findings.length };
      await auditLog.append(
        "platform",
        auditRecord(clock.nowMs(), call.actor, "usage.compared", null, details),
      );
      return { status: 200, headers: NO_STORE, body: found };
    },
  });
}
