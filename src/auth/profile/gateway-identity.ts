/**
 * The public identity that a tenant's gateway shows (`gateway.identity.get`). Owns: deriving it.
 * Refuses to know: other tenants' identities; two tenants of one deployment cannot be told to share a host by it.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { deriveKey, sha256Hex } from "../../kernel/crypto.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { AuthKeys } from "../keys.ts";

/** An Ed25519 public key and its name, as OpenClaw devices have them. */
export interface GatewayIdentity {
  /** SHA-256 of the raw key, lower-case hex. */
  deviceId: string;
  /** Raw key, base64url. */
  publicKey: string;
}

/** DER of an Ed25519 private key up to the 32 bytes of seed (RFC 8410). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/** The identity of a tenant's gateway: always the same for a master key, different for each tenant. */
export function gatewayIdentity(keys: Pick<AuthKeys, "identityKey">, tenantId: TenantId): GatewayIdentity {
  const seed = deriveKey(keys.identityKey, tenantId);
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, seed]),
    format: "der",
    type: "pkcs8",
  });
  const raw = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
  return { deviceId: sha256Hex(raw), publicKey: raw.toString("base64url") };
}
