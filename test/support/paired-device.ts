/**
 * A device with an Ed25519 key of its own, as OpenClaw clients have one (PROTOCOL.md 3.2). Owns: its proof at connect,
 * written down here once more. Refuses to know: what a gateway makes of it.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { RpcError, SocketClient } from "./socket-client.ts";

/** See the head of this file. */
export interface TestDevice {
  id: string;
  publicKey: string;
  privateKey: KeyObject;
}

/** Make a device nobody knows. */
export function newTestDevice(): TestDevice {
  const pair = generateKeyPairSync("ed25519");
  const raw = pair.publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  return {
    id: createHash("sha256").update(raw).digest("hex"),
    publicKey: raw.toString("base64url"),
    privateKey: pair.privateKey,
  };
}

/** What a device says at connect. */
export interface DeviceConnect {
  auth?: { token?: string; deviceToken?: string; bootstrapToken?: string };
  scopes?: string[];
  client?: Record<string, string>;
  role?: string;
  headers?: Record<string, string>;
}

/** A client program on the device. */
export const TUI = {
  id: "openclaw-tui",
  version: "1.0.0",
  platform: "linux",
  mode: "ui",
  displayName: "A laptop",
};

/** The signed `device` of a connect. */
export function proofOf(
  device: TestDevice,
  challenge: { nonce: string; ts: number },
  params: { client: Record<string, string>; role: string; scopes: string[]; auth?: DeviceConnect["auth"] },
) {
  const { client, role, scopes, auth } = params;
  const secret = auth?.token ?? auth?.deviceToken ?? auth?.bootstrapToken ?? "";
  const text = [
    ...["v3", device.id, client["id"], client["mode"], role, scopes.join(","), String(challenge.ts)],
    ...[secret, challenge.nonce, client["platform"], client["deviceFamily"] ?? ""],
  ].join("|");
  return {
    ...{ id: device.id, publicKey: device.publicKey, nonce: challenge.nonce, signedAt: challenge.ts },
    signature: sign(null, Buffer.from(text), device.privateKey).toString("base64url"),
  };
}

/** Open a socket and connect with the device's proof; rejects with RpcError when refused. */
export async function connectDevice(
  url: string,
  device: TestDevice,
  said: DeviceConnect = {},
): Promise<{ client: SocketClient; hello: Record<string, unknown> }> {
  const client = new SocketClient(url, said.headers);
  const frame = await client.until((one) => one["event"] === "connect.challenge");
  const challenge = frame["payload"] as { nonce: string; ts: number };
  const {
    client: program = TUI,
    role = "operator",
    scopes = ["operator.read", "operator.write"],
    auth,
  } = said;
  const params = {
    ...{ minProtocol: 4, maxProtocol: 4, client: program, caps: [], role, scopes },
    ...(auth === undefined ? {} : { auth }),
    device: proofOf(device, challenge, { client: program, role, scopes, auth }),
  };
  const hello = (await client.call("connect", params)) as Record<string, unknown>;
  return { client, hello };
}

/** The refusal of a connect, with how the socket was closed. */
export async function refusedDevice(url: string, device: TestDevice, said: DeviceConnect = {}) {
  const opened = await connectDevice(url, device, said).catch((thrown: unknown) => thrown);
  if (!(opened instanceof RpcError)) throw new Error(`was let in: ${String(opened)}`);
  return { code: opened.error.code, message: opened.error.message, ...opened.error.details } as Record<
    string,
    unknown
  > & { requestId?: string };
}

/** What hello-ok says about authority. */
export function authOf(hello: Record<string, unknown>): { deviceToken?: string; scopes: string[] } {
  return hello["auth"] as { deviceToken?: string; scopes: string[] };
}
