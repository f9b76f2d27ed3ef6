/**
 * Who may give, change and take which role. Owns: the rules, as pure decisions. Refuses to know: where roles are kept.
 *
 * 1. Only owners and admins decide about people. 2. Only an owner touches owners. 3. Nobody gives more than they hold
 * themselves, nor more than the tenant's ceilings allow. 4. A service account never owns a tenant.
 * The stores ask these rules first, for a good answer, and say them once more inside the statement, for races.
 */
import type { Actor } from "../../tenancy/actor.ts";
import { ROLES, type Role, roleCovers } from "../../tenancy/scopes.ts";

/** Strongest roles that a tenant lets anybody give, however strong they are themselves. */
export interface Ceilings {
  /** By changing a member's role. */
  roles: Role;
  /** By invitation and by approving a request to join. */
  invitations: Role;
  /** To service accounts; never `owner`. */
  serviceAccounts: Role;
}

/** What holds while a tenant has said nothing else. */
export const DEFAULT_CEILINGS: Ceilings = { roles: "owner", invitations: "owner", serviceAccounts: "admin" };

/** Whose decision it is: a role in the tenant, the platform itself, or nobody who may decide. */
export type Authority = Role | "platform" | "none";

/** Allowed, or why not, for people to read. */
export type Verdict = { ok: true } | { ok: false; reason: string };

const YES: Verdict = { ok: true };

/**
 * The authority of an actor inside a tenant. The command line, the product and operators outside of tenants are not
 * bound by roles; an operator who acts inside a tenant is bound by the role they have there.
 */
export function authorityOf(actor: Actor): Authority {
  if (actor.kind === "machine" || actor.kind === "system") return "platform";
  return actor.role ?? (actor.kind === "operator" ? "platform" : "none");
}

/** The weaker of two roles. */
export function weakerRole(left: Role, right: Role): Role {
  return roleCovers(left, right) ? right : left;
}

/** Higher is stronger; 1 to 4. The same numbers as in `rankSql`. */
export function rankOf(role: Role): number {
  return ROLES.length - ROLES.indexOf(role);
}

/** Whether somebody may decide about people at all. */
export function mayDecide(by: Authority): Verdict {
  if (by === "platform" || by === "owner" || by === "admin") return YES;
  return no("Only owners and admins decide about members.");
}

/** Whether a role may be given to somebody new: by invitation, by approval, to a service account. */
export function mayGive(by: Authority, role: Role, ceiling: Role): Verdict {
  const may = mayDecide(by);
  if (!may.ok) return may;
  if (by !== "platform" && !roleCovers(by as Role, role)) {
    return no(`You cannot give the role "${role}": it is above your own.`);
  }
  if (by !== "platform" && !roleCovers(ceiling, role)) {
    return no(`This tenant gives at most the role "${ceiling}" here.`);
  }
  return YES;
}

/** Whether a member's role may be changed. Making it weaker needs no ceiling. */
export function mayChange(by: Authority, from: Role, to: Role, ceiling: Role): Verdict {
  if (from === "owner" && by !== "owner" && by !== "platform") {
    return no("Only an owner changes the role of an owner.");
  }
  return roleCovers(from, to) ? mayDecide(by) : mayGive(by, to, ceiling);
}

/** Whether a member may be put out. */
export function mayRemove(by: Authority, target: Role): Verdict {
  if (target === "owner" && by !== "owner" && by !== "platform") return no("Only an owner removes an owner.");
  return mayDecide(by);
}

function no(reason: string): Verdict {
  return { ok: false, reason };
}
