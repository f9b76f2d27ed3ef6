/**
 * What is known of a device: the facts it states itself, and the row a list shows. Owns: their shapes, and the cleaning
 * of what a stranger calls itself. Refuses to know: where they are kept, what a device may do.
 */
import type { UserId } from "../../kernel/ids.ts";
import type { Scope } from "../../tenancy/scopes.ts";
import type { ConnectParams } from "../handshake/connect-params.ts";

/** What a device says of itself in `connect`, and where from. Only `deviceId` and `publicKey` are proven. */
export interface DeviceFacts {
  /** SHA-256 of the public key, hex. */
  deviceId: string;
  /** Raw Ed25519 key, base64url. */
  publicKey: string;
  displayName: string | null;
  platform: string;
  deviceFamily: string | null;
  clientId: string;
  clientMode: string;
  /** Address of the peer, proxies considered. */
  address: string;
}

/** A device with live tokens in a tenant, for one person; for lists. */
export interface DeviceRecord {
  /** Newest token's row; changes when it is rotated. */
  id: string;
  deviceId: string;
  publicKey: string | null;
  /** For whom it acts: a person, or a service identity by its token's id. */
  userId: UserId;
  displayName: string;
  /** What people here call it; null when nobody named it. */
  label: string | null;
  /** What it calls itself. */
  deviceName: string | null;
  clientId: string;
  clientMode: string | null;
  platform: string | null;
  deviceFamily: string | null;
  scopes: readonly Scope[];
  createdAtMs: number;
  lastUsedAtMs: number;
  rotatedAtMs: number | null;
  /** Last address, null for devices not seen since addresses are noted. */
  address: string | null;
  /** When somebody let it in; null for a device that came with a credential of its own. */
  pairedAtMs: number | null;
}

/** Names are for eyes: a short one is a courtesy to whoever reads the list. */
const NAME_CHARS = 100;

/** The facts of a connect whose device proved its key. */
export function factsOf(
  params: ConnectParams & { device: NonNullable<ConnectParams["device"]> },
  address: string,
): DeviceFacts {
  const { client, device } = params;
  return {
    deviceId: device.id,
    publicKey: device.publicKey,
    displayName: plainText(client.displayName),
    platform: plainText(client.platform) ?? "unknown",
    deviceFamily: plainText(client.deviceFamily),
    clientId: client.id,
    clientMode: client.mode,
    address,
  };
}

/**
 * A stranger's text as one plain line, null when nothing is left. SECURITY: without control, format and bidi characters:
 * whoever approves a request must see what is there.
 */
export function plainText(text: string | undefined): string | null {
  const plain = [
    ...(text ?? "")
      .toWellFormed()
      .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u{FFFD}]/gu, "")
      .trim(),
  ]
    .slice(0, NAME_CHARS)
    .join("");
  return plain.length === 0 ? null : plain;
}
