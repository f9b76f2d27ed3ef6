/**
 * What a role may do, in OpenClaw's words. Owns: role -> scopes, implication, intersection.
 * Refuses to know: methods (each names the one scope it needs).
 */
import { serviceOf, type Tenant } from "./tenant.ts";

/** A person's standing in one tenant. */
export type Role = "owner" | "admin" | "member" | "readonly";

/** All roles, strongest first. */
export const ROLES: readonly Role[] = ["owner", "admin", "member", "readonly"];

/** The operator scopes of OpenClaw protocol v4 that Creel grants. */
export type Scope =
  | "operator.admin"
  | "operator.read"
  | "operator.write"
  | "operator.approvals"
  | "operator.pairing"
  | "operator.questions";

const ADMIN_SCOPES: readonly Scope[] = [
  "operator.admin",
  "operator.read",
  "operator.write",
  "operator.approvals",
  "operator.pairing",
  "operator.questions",
];

const SCOPES_OF: Readonly<Record<Role, readonly Scope[]>> = {
  owner: ADMIN_SCOPES,
  admin: ADMIN_SCOPES,
  member: ["operator.read", "operator.write"],
  readonly: ["operator.read"],
};

/** Whether the text is a role; use on anything from outside. */
export function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}

/** Whether the text is a scope that Creel grants; use on anything from outside. */
export function isScope(text: string): text is Scope {
  return (ADMIN_SCOPES as readonly string[]).includes(text);
}

/** Scopes that a role holds, strongest first. */
export function scopesOf(role: Role): readonly Scope[] {
  return SCOPES_OF[role];
}

/** Scopes that a role holds in a tenant at `nowMs`: all of its own, only reading in the grace of a suspension, or none. */
export function standingScopes(
  role: Role,
  tenant: Pick<Tenant, "status" | "readOnlyUntilMs">,
  nowMs: number,
): readonly Scope[] {
  const service = serviceOf(tenant, nowMs);
  if (service === "open") return scopesOf(role);
  return service === "read_only" ? scopesOf(role).filter((scope) => scope === "operator.read") : [];
}

/** Whether `outer` is at least as strong as `inner`. */
export function roleCovers(outer: Role, inner: Role): boolean {
  return ROLES.indexOf(outer) <= ROLES.indexOf(inner);
}

/**
 * Scopes to grant: what was asked for, as far as the ceiling goes. Asking for `operator.admin` asks for all that it
 * implies; asking for `operator.write` asks for reading too. An unknown word is dropped, never echoed.
 */
export function grantScopes(requested: readonly string[], ceiling: readonly Scope[]): Scope[] {
  const wanted = new Set<string>(requested);
  const wantsAll = wanted.has("operator.admin");
  if (wanted.has("operator.write")) wanted.add("operator.read");
  return ceiling.filter((scope) => wantsAll || wanted.has(scope));
}

/** Whether the granted scopes allow what needs `needed`; `null` needs nothing. Admin covers all, write covers read. */
export function allows(granted: ReadonlySet<Scope>, needed: Scope | null): boolean {
  if (needed === null || granted.has(needed) || granted.has("operator.admin")) return true;
  return needed === "operator.read" && granted.has("operator.write");
}
