/**
 * Who acts. Owns: the shape of an authenticated caller within one tenant.
 * Refuses to know: how a credential is checked (auth does).
 */
import type { TenantId, UserId } from "../kernel/ids.ts";
import { allows, type Role, type Scope, standingScopes } from "./scopes.ts";
import { serviceOf, type Tenant } from "./tenant.ts";

/** By what the caller showed who they are; `break_glass`: an operator who is no member looks in for a while. */
export type CredentialKind =
  | "api_token"
  | "device_token"
  | "socket_token"
  | "browser_session"
  | "break_glass";

/** Why a caller may only read. */
export type ReadOnlyCause = "suspended" | "break_glass";

/** An authenticated caller, always within exactly one tenant. */
export interface Principal {
  tenantId: TenantId;
  /** The person, or for a token without a person the token's own service identity. */
  userId: UserId;
  displayName: string;
  role: Role;
  /** Live authority: role, narrowed by the credential and by what was asked for. */
  scopes: ReadonlySet<Scope>;
  /** Ids of the agents that the credential is limited to; null or absent for all of the tenant's. */
  agents?: ReadonlySet<string> | null;
  /** Why nothing may be changed whatever the role: the tenant is suspended with grace, or an operator looks in. */
  readOnly?: ReadOnlyCause | null;
  credential: {
    kind: CredentialKind;
    /** Row id of the credential, for revocation and audit; never the secret. */
    id: string;
    /** Wall-clock end of the credential, if it has one. */
    expiresAtMs: number | null;
  };
}

/**
 * The same caller as far as the tenant serves at `nowMs`: in the grace of a suspension only reading is left, and only
 * until the grace ends. SECURITY: every principal that a credential yields goes through this.
 */
export function asServed(principal: Principal, tenant: Tenant, nowMs: number): Principal {
  if (serviceOf(tenant, nowMs) === "open") return principal;
  const left = new Set(standingScopes(principal.role, tenant, nowMs));
  const scopes = new Set([...left].filter((scope) => allows(principal.scopes, scope)));
  const expiresAtMs = earlier(principal.credential.expiresAtMs, tenant.readOnlyUntilMs);
  return {
    ...principal,
    scopes,
    readOnly: "suspended",
    credential: { ...principal.credential, expiresAtMs },
  };
}

/** Whether the caller's credential lets them reach an agent of their tenant. */
export function reachesAgent(principal: Pick<Principal, "agents">, agentId: string): boolean {
  return principal.agents == null || principal.agents.has(agentId);
}

/** The earlier of two times, null being never. */
export function earlier(left: number | null, right: number | null): number | null {
  return left === null ? right : right === null ? left : Math.min(left, right);
}
