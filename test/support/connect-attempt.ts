/**
 * Connects without a socket: params, a device's proof, and what the transport knows. Owns: a plain attempt to bend.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import type { ConnectInput, ConnectOutcome } from "#src/auth/connect.ts";
import { signedTexts } from "#src/auth/handshake/device-proof.ts";
import type { AuthWorld } from "./auth-world.ts";

/** Where our own page is served. */
export const ORIGIN = "http://127.0.0.1:18789";

/** Client programs by how they say they are. */
const CLIENTS = {
  backend: { id: "gateway-client", version: "0", platform: "linux", mode: "backend" },
  cli: { id: "cli", version: "0", platform: "linux", mode: "cli" },
  probe: { id: "cli", version: "0", platform: "linux", mode: "probe" },
  tui: { id: "openclaw-tui", version: "0", platform: "linux", mode: "ui" },
  ui: { id: "openclaw-control-ui", version: "0", platform: "web", mode: "webchat" },
};

/** A device and its key. */
export interface Device {
  id: string;
  publicKey: string;
  privateKey: KeyObject;
}

/** A device with a new key. */
export function makeDevice(): Device {
  const pair = generateKeyPairSync("ed25519");
  const raw = pair.publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  return {
    id: createHash("sha256").update(raw).digest("hex"),
    publicKey: raw.toString("base64url"),
    privateKey: pair.privateKey,
  };
}

/** One connect, as far as it differs from a plain one. */
export interface Attempt {
  client?: keyof typeof CLIENTS;
  auth?: Record<string, string | undefined>;
  scopes?: string[];
  device?: Device;
  /** Changes to the signed device object. */
  bend?: Record<string, unknown>;
  params?: Record<string, unknown>;
  input?: Partial<ConnectInput>;
}

/** Decide about a connect as a socket would ask for it, with a proof of the device if there is one. */
export async function attemptConnect(
  world: AuthWorld,
  attempt: Attempt,
  auth = world.auth,
): Promise<ConnectOutcome> {
  const nonce = randomUUID();
  const params = {
    minProtocol: 4,
    maxProtocol: 4,
    client: CLIENTS[attempt.client ?? "backend"],
    caps: [],
    role: "operator",
    scopes: attempt.scopes ?? ["operator.admin"],
    ...(attempt.auth === undefined ? {} : { auth: attempt.auth }),
    ...attempt.params,
  };
  const { device } = attempt;
  const facts = { signedAt: world.clock.nowMs(), nonce };
  const text =
    device && signedTexts({ ...params, device: { ...device, signature: "", ...facts } } as never)[0];
  return auth.connect.authenticate({
    named: null,
    params: device
      ? {
          ...params,
          device: {
            id: device.id,
            publicKey: device.publicKey,
            signature: sign(null, Buffer.from(text ?? ""), device.privateKey).toString("base64url"),
            ...facts,
            ...attempt.bend,
          },
        }
      : params,
    nonce,
    challengeTsMs: world.clock.nowMs(),
    address: "192.0.2.7",
    origin: attempt.client === "ui" ? ORIGIN : undefined,
    allowedOrigins: [ORIGIN],
    ...attempt.input,
  });
}
