/**
 * A device's proof that it holds its key (PROTOCOL.md 3.2; Ed25519, RFC 8032). Owns: the signed text and its check.
 * Refuses to know: what a proven device may do.
 */
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import type { ConnectParams } from "./connect-params.ts";
import type { ProofFault } from "./refusals.ts";

/** How far a device's clock may be off. */
export const PROOF_SKEW_MS = 120_000;

/** DER of an Ed25519 public key up to the 32 raw bytes (RFC 8410). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** Check the proof for this socket's nonce; undefined when it holds, else what is wrong with it. */
export function checkDeviceProof(
  params: ConnectParams & { device: NonNullable<ConnectParams["device"]> },
  nonce: string,
  nowMs: number,
): ProofFault | undefined {
  const { device } = params;
  const raw = decodeExact(device.publicKey, 32);
  if (raw === undefined || createHash("sha256").update(raw).digest("hex") !== device.id) return "id";
  if (Math.abs(nowMs - device.signedAt) > PROOF_SKEW_MS) return "stale";
  if (device.nonce !== nonce) return "nonce";
  const signature = decodeExact(device.signature, 64);
  const key = readKey(raw);
  if (signature === undefined || key === undefined) return "signature";
  const isSigned = signedTexts(params).some((text) => verify(null, Buffer.from(text), key, signature));
  return isSigned ? undefined : "signature";
}

/** The texts a device may have signed: version 3, then version 2, which lacks the platform. */
export function signedTexts(
  params: ConnectParams & { device: NonNullable<ConnectParams["device"]> },
): [string, string] {
  const { client, device, auth } = params;
  const shared = [
    device.id,
    client.id,
    client.mode,
    params.role ?? "operator",
    (params.scopes ?? []).join(","),
    String(device.signedAt),
    auth?.token || auth?.deviceToken || auth?.bootstrapToken || "",
    device.nonce,
  ];
  const v3 = ["v3", ...shared, fold(client.platform), fold(client.deviceFamily ?? "")].join("|");
  return [v3, ["v2", ...shared].join("|")];
}

function fold(text: string): string {
  return text.trim().replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Decode base64url of exactly so many bytes; the decoder alone would accept many spellings of one value. */
function decodeExact(text: string, bytes: number): Buffer | undefined {
  const raw = Buffer.from(text, "base64url");
  return raw.length === bytes && raw.toString("base64url") === text ? raw : undefined;
}

function readKey(raw: Buffer): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}
