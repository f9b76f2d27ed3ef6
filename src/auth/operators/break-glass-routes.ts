/**
 * What a tenant sees of operators who look in, and how it answers. Owns: the routes' shapes.
 * Refuses to know: the platform's side (admin has it).
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import { defineTenantRoute, type Route, type TenantRouteCall } from "../../protocol/routes.ts";
import { roleCovers } from "../../tenancy/scopes.ts";
import type { AccessFeed } from "../guard/access-feed.ts";
import type { BreakGlass, Grant } from "./break-glass.ts";

/** What the routes need. */
export interface BreakGlassRouteDeps {
  breakGlass: BreakGlass;
  feed: AccessFeed;
}

/** The routes, for the gateway. */
export function makeBreakGlassRoutes(deps: BreakGlassRouteDeps): Route[] {
  return [
    listGrants(deps),
    answer(deps, "consent", "Let the operator look in; the time begins now."),
    answer(deps, "refuse", "Refuse an operator's request to look in."),
    answer(deps, "end", "End an operator's look, or take back a consent, at once."),
  ];
}

function listGrants({ breakGlass }: BreakGlassRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/break-glass",
    scope: "operator.read",
    body: null,
    doc: "Operators who look into this tenant, ask to, or did in the last 30 days, newest first.",
    async handler(call) {
      const grants = await breakGlass.list(call.tenant.tenantId);
      return { status: 200, headers: { "cache-control": "no-store" }, body: { grants: grants.map(shown) } };
    },
  });
}

function answer(
  { breakGlass, feed }: BreakGlassRouteDeps,
  verb: "consent" | "refuse" | "end",
  doc: string,
): Route {
  return defineTenantRoute({
    method: "POST",
    path: `/api/break-glass/:id/${verb}`,
    scope: "operator.read",
    // Saying no must be possible also while the tenant may only read.
    servesReadOnly: true,
    body: z.object({}).optional(),
    doc: `${doc} For admins.`,
    async handler(call) {
      assertAdmin(call);
      const grant = await breakGlass[verb](call.tenant.tenantId, call.params["id"] ?? "", call.actor);
      await feed.refresh(0);
      return { status: 200, body: { grant: shown(grant) } };
    },
  });
}

/** SECURITY: an admin by scope; in the grace of a suspension nobody has it, and the role of a signed-in person counts. */
function assertAdmin({ principal }: TenantRouteCall<unknown>): void {
  if (principal.scopes.has("operator.admin")) return;
  const isPerson = principal.credential.kind === "browser_session";
  if (isPerson && principal.readOnly === "suspended" && roleCovers(principal.role, "admin")) return;
  const details = { missingScope: "operator.admin" };
  throw new AppError("forbidden", "missing scope: operator.admin", { details });
}

function shown(grant: Grant) {
  const isOpen = grant.state === "waiting" || grant.state === "active";
  return {
    id: grant.id,
    operatorName: grant.operatorName,
    reason: grant.reason,
    minutes: grant.minutes,
    state: grant.state === "expired" ? "ended" : grant.state,
    requestedAtMs: grant.requestedAtMs,
    startedAtMs: grant.startedAtMs,
    endsAtMs: isOpen ? grant.untilMs : grant.endedAtMs,
  };
}
