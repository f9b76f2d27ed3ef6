/**
 * Who did something, for the record. Owns: the shape of that fact and its making from a principal.
 * Refuses to know: where records are kept, what was done.
 */
import type { Principal } from "./principal.ts";
import type { Role } from "./scopes.ts";

/**
 * `person` somebody signed in; `token` a service identity; `operator` somebody who runs the platform, acting as such;
 * `machine` the command line on the machine itself; `system` the product by its own rules (an expiry, a sweep).
 */
export type ActorKind = "person" | "token" | "operator" | "machine" | "system";

/** Who acted, with what, from where. */
export interface Actor {
  kind: ActorKind;
  /** User id, token id, or the kind itself for `machine` and `system`. */
  id: string;
  /** As it was at the time. */
  name: string;
  role: Role | null;
  /** Kind and row id of the credential, never the secret. */
  credential: { kind: string; id: string } | null;
  /** Address of the peer, proxies considered. */
  address: string | null;
  requestId: string | null;
}

/** What a transport knows of a request besides its principal. */
export interface RequestFacts {
  address: string | null;
  requestId: string;
}

/** The actor behind a principal. */
export function actorOf(principal: Principal, facts: RequestFacts): Actor {
  const { userId, displayName, role, credential } = principal;
  const isToken = credential.kind === "api_token" && credential.id === userId;
  return {
    kind: credential.kind === "break_glass" ? "operator" : isToken ? "token" : "person",
    id: userId,
    name: displayName,
    role,
    credential: { kind: credential.kind, id: credential.id },
    address: facts.address,
    requestId: facts.requestId,
  };
}

/** The command line on the machine itself. */
export const MACHINE: Actor = nobody("machine", "Command line");

/** The product by its own rules. */
export const SYSTEM: Actor = nobody("system", "Creel");

function nobody(kind: "machine" | "system", name: string): Actor {
  return { kind, id: kind, name, role: null, credential: null, address: null, requestId: null };
}
