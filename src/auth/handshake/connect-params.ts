/**
 * What a client says in `connect` (PROTOCOL.md 3.1, schema ConnectParams). Owns: the schema and the protocol range.
 * Refuses to know: credentials' worth. Unknown properties are dropped: clients run ahead of the schema.
 */
import { z } from "zod";
import { PROBE_VERSION, PROTOCOL_VERSION } from "../../protocol/frames.ts";
import { describeIssues } from "../../protocol/methods.ts";
import { invalidParams, invalidRole, protocolMismatch, type Refusal } from "./refusals.ts";

const CLIENT_IDS = [
  "webchat-ui",
  "openclaw-control-ui",
  "openclaw-browser-copilot",
  "openclaw-tui",
  "webchat",
  "cli",
  "gateway-client",
  "openclaw-macos",
  "openclaw-linux",
  "openclaw-ios",
  "openclaw-watchos",
  "openclaw-android",
  "node-host",
  "openclaw-worker",
  "test",
  "fingerprint",
  "openclaw-probe",
] as const;

const CLIENT_MODES = ["webchat", "cli", "ui", "backend", "node", "worker", "probe", "test"] as const;

const text = (chars: number) => z.string().min(1).max(chars);

const SCHEMA = z.object({
  minProtocol: z.int().min(1),
  maxProtocol: z.int().min(1),
  client: z.object({
    id: z.enum(CLIENT_IDS),
    version: text(128),
    platform: text(256),
    mode: z.enum(CLIENT_MODES),
    deviceFamily: text(128).optional(),
    displayName: text(256).optional(),
    instanceId: text(256).optional(),
    timeZone: text(64).optional(),
  }),
  caps: z.array(text(128)).max(128).default([]),
  role: text(64).optional(),
  scopes: z.array(text(128)).max(128).optional(),
  device: z
    .object({
      id: text(128),
      publicKey: text(256),
      signature: text(256),
      signedAt: z.int().min(0),
      nonce: text(256),
    })
    .optional(),
  auth: z
    .object({
      token: z.string().optional(),
      password: z.string().optional(),
      deviceToken: z.string().optional(),
      bootstrapToken: z.string().optional(),
    })
    .optional(),
  locale: z.string().max(64).optional(),
  userAgent: z.string().max(1024).optional(),
});

/** Params of a well-formed connect. */
export type ConnectParams = z.output<typeof SCHEMA>;

/** Read the params and settle on a protocol version, or say what is wrong. */
export function readConnectParams(
  raw: unknown,
): { ok: true; params: ConnectParams; protocol: number } | Refusal {
  const parsed = SCHEMA.safeParse(raw ?? {}, { reportInput: true });
  if (!parsed.success) {
    // All numbers of a connect are integers, and that is how the reference says it.
    return invalidParams(
      describeIssues(parsed.error.issues).replace(/must be (?:int|number)$/, "must be integer"),
    );
  }
  const params = parsed.data;
  const lowest = params.client.mode === "probe" ? PROBE_VERSION : PROTOCOL_VERSION;
  if (params.maxProtocol < lowest || params.minProtocol > PROTOCOL_VERSION) {
    return protocolMismatch(params.minProtocol, params.maxProtocol);
  }
  if (params.role !== undefined && params.role !== "operator") return invalidRole();
  return { ok: true, params, protocol: Math.min(PROTOCOL_VERSION, params.maxProtocol) };
}

/** Whether the client is one that runs in a page and so must name its origin. */
export function isBrowserClient(client: ConnectParams["client"]): boolean {
  return client.id === "openclaw-control-ui" || client.id.startsWith("webchat") || client.mode === "webchat";
}

/** The credentials of a connect; empty texts count as absent. */
export interface ConnectSecrets {
  /** What came as `token` or `password`. */
  secret: string | undefined;
  deviceToken: string | undefined;
  /** From a setup code; counts only when nothing else is shown, as clients send it. */
  bootstrapToken: string | undefined;
  /** `token` and `password` are both there and differ. */
  isContradictory: boolean;
}

/** Read the credentials. The Control UI sends one secret as token and as password. */
export function readSecrets(auth: ConnectParams["auth"]): ConnectSecrets {
  const token = auth?.token || undefined;
  const password = auth?.password || undefined;
  return {
    secret: token ?? password,
    deviceToken: auth?.deviceToken || undefined,
    bootstrapToken: auth?.bootstrapToken || undefined,
    isContradictory: token !== undefined && password !== undefined && token !== password,
  };
}
