/**
 * The keys that credentials are hashed, derived and sealed with. Owns: one key per purpose, from the master key.
 * Refuses to know: where the master key is kept.
 */
import { deriveKey, hmacHex } from "../kernel/crypto.ts";

/** One key for each purpose, so that a value made for one is worthless for another. */
export interface AuthKeys {
  /** Hashes secrets before they are stored or looked up. */
  hashKey: Buffer;
  /** Derives device tokens. */
  deviceKey: Buffer;
  /** Seals private signing keys. */
  sealKey: Buffer;
  /** Derives the public identity of each tenant's gateway. */
  identityKey: Buffer;
}

/** Derive the keys; `masterKey` has at least 32 bytes. */
export function makeAuthKeys(masterKey: Uint8Array): AuthKeys {
  if (masterKey.length < 32) throw new Error("the master key must have at least 32 bytes");
  return {
    hashKey: deriveKey(masterKey, "creel/credential-hash/v1"),
    deviceKey: deriveKey(masterKey, "creel/device-token/v1"),
    sealKey: deriveKey(masterKey, "creel/signing-key-seal/v1"),
    identityKey: deriveKey(masterKey, "creel/gateway-identity/v1"),
  };
}

/** What a secret is for; the same text hashes differently for each. */
export type SecretKind =
  | "api-token"
  | "device-token"
  | "setup-code"
  | "login-link"
  | "invitation"
  | "browser-session"
  | "sign-in-state"
  | "sign-in-browser";

/** Longest secret that is hashed as it is; longer ones cannot be ours. */
const SECRET_CHARS = 512;

/** Keyed hash under which a secret is stored. Any input costs the same one hash. */
export function hashSecret(key: Uint8Array, kind: SecretKind, secret: string): string {
  return hmacHex(key, `${kind}\n${secret.length > SECRET_CHARS ? "\n" : secret}`);
}
