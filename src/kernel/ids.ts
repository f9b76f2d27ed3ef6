/**
 * Branded identifiers and how they are made.
 * Owns: the shape of every id in the product. Refuses to know: what the ids point at.
 */
import { randomBytes } from "node:crypto";
import { uuidv7 } from "uuidv7";

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Immutable identity of a tenant; a slug may change, this never does. UUIDv7 text. */
export type TenantId = Brand<string, "TenantId">;
/** Immutable identity of a person. UUIDv7 text. */
export type UserId = Brand<string, "UserId">;
/** Tenant-local name of an agent, e.g. `main`; only meaningful together with a tenant. */
export type AgentId = Brand<string, "AgentId">;
/** Identity of one conversation incarnation; a reset makes a new one. UUID text. */
export type SessionId = Brand<string, "SessionId">;
/** Canonical session key, `agent:<agentId>:<rest>`; only meaningful together with a tenant. */
export type SessionKey = Brand<string, "SessionKey">;
/** Identity of one run (turn); equals the caller's idempotency key, hence unique per tenant only. */
export type RunId = Brand<string, "RunId">;

/** Make a time-ordered identifier (UUIDv7, RFC 9562). Not a secret: it reveals its time. */
export function newId(): string {
  return uuidv7();
}

/** Make an unguessable text of `bytes` random bytes, base64url. Use for anything that grants access. */
export function newSecret(bytes = 32): string {
  return randomBytes(bytes).toString("base64url");
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether the text is a lower-case UUID. SECURITY: ids that become file names must pass this first. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

const AGENT_ID = /^[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?$/;

/** Whether the text may name an agent (and so a folder): 1-64 of `a-z 0-9 _ -`, no edge dashes. */
export function isAgentId(text: string): text is AgentId {
  return AGENT_ID.test(text);
}
