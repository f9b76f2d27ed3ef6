/**
 * Hashes, constant-time comparison, sealing. Owns: the algorithms. Refuses to know: what is hashed or sealed.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";

/** SHA-256 as lower-case hex. */
export function sha256Hex(input: string | Uint8Array): string {
  return createHash("sha256").update(input).digest("hex");
}

/** HMAC-SHA-256 as lower-case hex (RFC 2104); the key must not be empty. */
export function hmacHex(key: Uint8Array, input: string): string {
  // SECURITY: node accepts an empty HMAC key, which anybody can sign with.
  if (key.length < 16) throw new Error("HMAC key too short");
  return createHmac("sha256", key).update(input).digest("hex");
}

/** Compare two texts in time that depends on neither; lengths may differ. */
export function equalConstantTime(left: string, right: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(left), hash(right));
}

/** Derive a 32-byte key for one purpose from a master key (HKDF-SHA-256, RFC 5869). */
export function deriveKey(master: Uint8Array, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", master, Buffer.alloc(0), purpose, 32));
}

/** Encrypt with AES-256-GCM under a random nonce; `context` is authenticated and must be equal at opening. */
export function seal(key: Uint8Array, plain: string, context: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(context));
  const body = Buffer.concat([cipher.update(plain, "utf8"), cipher.final()]);
  return Buffer.concat([Buffer.from([1]), nonce, cipher.getAuthTag(), body]).toString("base64url");
}

/** Decrypt what `seal` made; throws when key, context or bytes differ. */
export function unseal(key: Uint8Array, sealed: string, context: string): string {
  const raw = Buffer.from(sealed, "base64url");
  if (raw.length < 29 || raw[0] !== 1) throw new Error("sealed text has an unknown form");
  const decipher = createDecipheriv("aes-256-gcm", key, raw.subarray(1, 13)).setAAD(Buffer.from(context));
  decipher.setAuthTag(raw.subarray(13, 29));
  return Buffer.concat([decipher.update(raw.subarray(29)), decipher.final()]).toString("utf8");
}
