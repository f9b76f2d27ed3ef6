/**
 * `@openclaw/gateway-client` made awaitable for tests. Owns: connecting, remembering events, waiting for one, device identities.
 * Refuses to know: which gateway answers.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import {
  type DeviceAuthTokenRecord,
  type DeviceIdentity,
  GatewayClient,
  type GatewayClientHostDeps,
  type GatewayClientOptions,
} from "@openclaw/gateway-client";
import type { EventFrame, HelloOk } from "@openclaw/gateway-protocol/frame-guards";
import type { Target } from "./target.ts";

/** Fields of a `chat` event's payload that tests look at. */
export type ChatEvent = {
  runId: string;
  sessionKey: string;
  state: string;
  deltaText?: string;
  stopReason?: string;
  errorMessage?: string;
  message?: { role: string; content: { type: string; text?: string }[] };
};

/** A connected client that remembers every event it was sent. */
export type Connected = {
  client: GatewayClient;
  /** The newest hello; replaced on reconnect. */
  hello(): HelloOk;
  hellos: HelloOk[];
  events: EventFrame[];
  /** Gaps the client noticed in the events' `seq`. */
  gaps: unknown[];
  request<T = Record<string, unknown>>(method: string, params?: unknown): Promise<T>;
  /** Resolves with the first event, seen already or to come, that satisfies the predicate. */
  event(what: string, predicate: (event: EventFrame) => boolean): Promise<EventFrame>;
  /** Chat events of one run in order of arrival. */
  chatOf(runId: string): ChatEvent[];
  /** Resolves with the run's one terminal chat event. */
  terminal(runId: string): Promise<ChatEvent>;
  /** Resolves when `hellos` has at least `count` entries. */
  connectedTimes(count: number): Promise<void>;
  close(): Promise<void>;
};

const WAIT_MS = 20_000;

/** Connects and resolves after hello; rejects with the connect error. */
export async function connect(target: Target, options: GatewayClientOptions = {}): Promise<Connected> {
  const events: EventFrame[] = [];
  const hellos: HelloOk[] = [];
  const gaps: unknown[] = [];
  const watchers = new Set<() => void>();
  const changed = () => {
    for (const watcher of [...watchers]) watcher();
  };
  const first = Promise.withResolvers<void>();
  const client = new GatewayClient({
    url: target.wsUrl,
    token: target.token,
    scopes: ["operator.admin", "operator.read", "operator.write"],
    ...options,
    onHelloOk: (hello) => {
      hellos.push(hello);
      first.resolve();
      changed();
    },
    onConnectError: (error) => first.reject(error),
    onEvent: (event) => {
      events.push(event);
      changed();
    },
    onGap: (gap) => gaps.push(gap),
  });
  client.start();
  await first.promise.catch((error: unknown) => {
    client.stop();
    throw error;
  });
  const seen = <T>(what: string, look: () => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      const check = () => {
        const found = look();
        if (found === undefined) return;
        watchers.delete(check);
        clearTimeout(timer);
        resolve(found);
      };
      const timer = setTimeout(() => {
        watchers.delete(check);
        reject(new Error(`${what}: not seen; events so far: ${events.map(nameOf).join(" ")}`));
      }, WAIT_MS);
      watchers.add(check);
      check();
    });
  const chatOf = (runId: string) =>
    events
      .filter(isChat)
      .map(payloadOf)
      .filter((chat) => chat.runId === runId);
  return {
    client,
    hellos,
    hello: () => hellos.at(-1) as HelloOk,
    events,
    gaps,
    request: (method, params) => client.request(method, params),
    event: (what, predicate) => seen(what, () => events.find(predicate)),
    chatOf,
    terminal: (runId) =>
      seen(`end of run ${runId}`, () => chatOf(runId).find((chat) => isTerminal(chat.state))),
    connectedTimes: async (count) => {
      await seen(`connection ${count}`, () => (hellos.length >= count ? true : undefined));
    },
    close: () => client.stopAndWait({ timeoutMs: 2_000 }).catch(() => undefined),
  };
}

/** True for the states that end a run. */
export function isTerminal(state: string): boolean {
  return state === "final" || state === "aborted" || state === "error";
}

/** The text of a chat message. */
export function textOf(chat: ChatEvent): string {
  return (chat.message?.content ?? []).map((part) => part.text ?? "").join("");
}

/** A device as OpenClaw clients have it: an Ed25519 key, and a place that keeps the tokens issued to it. */
export function newDevice(): {
  identity: DeviceIdentity;
  hostDeps: GatewayClientHostDeps;
  issued: DeviceAuthTokenRecord[];
} {
  const keys = generateKeyPairSync("ed25519");
  const identity: DeviceIdentity = {
    publicKeyPem: keys.publicKey.export({ type: "spki", format: "pem" }).toString(),
    privateKeyPem: keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    deviceId: "",
  };
  identity.deviceId = createHash("sha256").update(rawPublicKey(identity.publicKeyPem)).digest("hex");
  const issued: DeviceAuthTokenRecord[] = [];
  const hostDeps: GatewayClientHostDeps = {
    signDevicePayload: (pem, payload) =>
      sign(null, Buffer.from(payload, "utf8"), createPrivateKey(pem)).toString("base64url"),
    publicKeyRawBase64UrlFromPem: (pem) => rawPublicKey(pem).toString("base64url"),
    loadDeviceAuthToken: () => issued.at(-1) ?? null,
    storeDeviceAuthToken: ({ token, scopes }) => {
      issued.push({ token, scopes });
    },
    clearDeviceAuthToken: () => {
      issued.length = 0;
    },
  };
  return { identity, hostDeps, issued };
}

/** The last 32 bytes of an Ed25519 SPKI are the raw key (RFC 8410). */
function rawPublicKey(pem: string): Buffer {
  return createPublicKey(pem).export({ type: "spki", format: "der" }).subarray(-32);
}

function isChat(event: EventFrame): boolean {
  return event.event === "chat";
}

function payloadOf(event: EventFrame): ChatEvent {
  return event.payload as ChatEvent;
}

function nameOf(event: EventFrame): string {
  const state = (event.payload as { state?: string } | undefined)?.state;
  return state ? `${event.event}:${state}` : event.event;
}
