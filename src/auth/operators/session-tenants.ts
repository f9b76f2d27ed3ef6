/**
 * The tenants that a signed-in person can open, as `GET /auth/session` lists them. Owns: that list.
 * Refuses to know: transports.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { UserId } from "../../kernel/ids.ts";
import type { Role } from "../../tenancy/scopes.ts";
import { serviceOf } from "../../tenancy/tenant.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import type { Members } from "../members.ts";
import type { BreakGlass } from "./break-glass.ts";

/** What the list is made from. */
export interface SessionTenantDeps {
  tenants: Tenants;
  members: Members;
  breakGlass: BreakGlass;
  clock: Clock;
}

/** One entry. */
export interface SessionTenant {
  id: string;
  slug: string;
  name: string;
  role: Role;
  /** `active` or `suspended`; see `isReadOnly` for what a suspended one still does. */
  status: string;
  isReadOnly: boolean;
  /** Slugs it had before: links that hold one lead here. */
  oldSlugs: string[];
  needsName: boolean;
  /** Not a member: an operator who looks in for a while. */
  breakGlass: boolean;
}

/** Tenants of a person, by slug; with those that an operator may look into now. */
export async function listSessionTenants(deps: SessionTenantDeps, userId: UserId): Promise<SessionTenant[]> {
  const memberships = await deps.members.listOfUser(userId);
  const grants = (await deps.breakGlass.listOpenOf(userId)).filter((grant) => grant.state === "active");
  const standings = [
    ...memberships.map((found) => ({ ...found, breakGlass: false })),
    ...grants
      .filter((grant) => !memberships.some((found) => found.tenantId === grant.tenantId))
      .map((grant) => ({ tenantId: grant.tenantId, role: "readonly" as Role, breakGlass: true })),
  ];
  const nowMs = deps.clock.nowMs();
  const entries: SessionTenant[] = [];
  for (const standing of standings) {
    const tenant = await deps.tenants.findById(standing.tenantId);
    if (tenant === undefined || tenant.status === "deleting") continue;
    const service = serviceOf(tenant, nowMs);
    if (standing.breakGlass && service === "closed") continue;
    entries.push({
      id: tenant.id,
      slug: tenant.slug,
      name: tenant.displayName,
      role: standing.role,
      status: tenant.status,
      isReadOnly: standing.breakGlass || service === "read_only",
      oldSlugs: await deps.tenants.listOldSlugs(tenant.id),
      needsName: "needsName" in standing && standing.needsName === true,
      breakGlass: standing.breakGlass,
    });
  }
  return entries.sort((left, right) => (left.slug < right.slug ? -1 : 1));
}
