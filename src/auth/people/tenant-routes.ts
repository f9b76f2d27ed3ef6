/**
 * HTTP routes about the tenant itself, and of making one. Owns: their shapes, who may change what.
 * Refuses to know: suspension and deletion (operators have those).
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import { defineRoute, defineTenantRoute, type Route, type TenantRouteCall } from "../../protocol/routes.ts";
import { ROLES } from "../../tenancy/scopes.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import type { Attempts } from "../guard/attempts.ts";
import { slowGuesses } from "../guard/slow-guesses.ts";
import { type FoundTenantDeps, foundTenant } from "./found-tenant.ts";
import { asPerson } from "./joining/joining-routes.ts";
import { checkTenantChange, type TenantSettings, type TenantSettingsStore } from "./tenant-settings.ts";

/** What the routes need. */
export interface TenantRouteDeps extends FoundTenantDeps {
  settings: TenantSettingsStore;
  attempts: Attempts;
}

/** The routes, for the gateway. */
export function makeTenantRoutes(deps: TenantRouteDeps): Route[] {
  return [getTenant(deps), patchTenant(deps), postTenant(deps)];
}

function getTenant({ settings }: TenantRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/tenant",
    scope: "operator.read",
    body: null,
    doc: "This tenant: its names, plan and settings.",
    async handler(call) {
      const { tenant } = call.tenant;
      return {
        status: 200,
        headers: { "cache-control": "no-store" },
        body: shown(tenant, await settings.get(tenant.id)),
      };
    },
  });
}

const CHANGE = z.object({
  displayName: z.string().max(400).optional(),
  slug: z.string().max(100).optional(),
  timeZone: z.string().max(64).optional(),
  joinRequests: z.boolean().optional(),
  breakGlassConsent: z.boolean().optional(),
  ceilings: z
    .object({
      roles: z.enum(ROLES).optional(),
      invitations: z.enum(ROLES).optional(),
      serviceAccounts: z.enum(ROLES).optional(),
    })
    .optional(),
});

function patchTenant({ settings, tenants }: TenantRouteDeps): Route {
  return defineTenantRoute({
    method: "PATCH",
    path: "/api/tenant",
    scope: "operator.admin",
    body: CHANGE,
    doc: "Change this tenant's names and settings; its slug and its ceilings only by an owner.",
    async handler(call) {
      const { slug, ...rest } = call.body;
      if (slug !== undefined || rest.ceilings !== undefined) assertOwner(call);
      // ORDER: what can be wrong is looked at before anything is changed; a taken slug changes nothing else.
      const change = checkTenantChange(rest);
      const { tenantId } = call.tenant;
      if (slug !== undefined) {
        await tenants.rename(tenantId, slug, call.actor);
        await settings.noteNamed(tenantId);
      }
      await settings.change(call.tenant.tenant, change, call.actor);
      const tenant = await tenants.getById(tenantId);
      return { status: 200, body: shown(tenant, await settings.get(tenantId)) };
    },
  });
}

function postTenant(deps: TenantRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/tenants",
    policy: { kind: "browser" },
    body: z.object({
      slug: z.string().max(100),
      name: z.string().min(1).max(400),
      timeZone: z.string().max(64).optional(),
    }),
    doc: "Make a tenant owned by the signed-in person; operators only, unless `tenants.selfService` is on.",
    async handler(call) {
      const { user, actor } = asPerson(call);
      // SECURITY: a taken slug is told, it cannot be otherwise; whoever tries many of them is slowed down.
      const who = { address: call.address, account: user.userId };
      const tenant = await slowGuesses(deps.attempts, who, "conflict", () =>
        foundTenant(deps, user, call.body, actor),
      );
      return { status: 201, body: { slug: tenant.slug } };
    },
  });
}

function assertOwner({ principal }: TenantRouteCall<unknown>): void {
  if (principal.role === "owner") return;
  throw new AppError("forbidden", "Only an owner changes the slug and the ceilings of a tenant.");
}

function shown(tenant: Tenant, settings: TenantSettings) {
  const { needsName, joinRequests, breakGlassConsent, ceilings } = settings;
  return {
    id: tenant.id,
    slug: tenant.slug,
    displayName: tenant.displayName,
    timeZone: tenant.timeZone,
    status: tenant.status,
    plan: tenant.plan,
    createdAtMs: tenant.createdAtMs,
    needsName,
    settings: { joinRequests, breakGlassConsent, ceilings },
  };
}
