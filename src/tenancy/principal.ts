/**
 * Who acts. Owns: the shape of an authenticated caller within one tenant.
 * Refuses to know: how a credential is checked (auth does).
 */
import type { TenantId, UserId } from "../kernel/ids.ts";
import type { Role, Scope } from "./scopes.ts";

/** By what the caller showed who they are. */
export type CredentialKind = "api_token" | "device_token" | "socket_token" | "browser_session";

/** An authenticated caller, always within exactly one tenant. */
export interface Principal {
  tenantId: TenantId;
  /** The person, or for a token without a person the token's own service identity. */
  userId: UserId;
  displayName: string;
  role: Role;
  /** Live authority: role, narrowed by the credential and by what was asked for. */
  scopes: ReadonlySet<Scope>;
  credential: {
    kind: CredentialKind;
    /** Row id of the credential, for revocation and audit; never the secret. */
    id: string;
    /** Wall-clock end of the credential, if it has one. */
    expiresAtMs: number | null;
  };
}
