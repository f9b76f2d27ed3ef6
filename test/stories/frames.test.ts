/** What is answered to each frame, and with which code a socket closes: PROTOCOL.md 4, row by row. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { LIMITS } from "#src/kernel/limits.ts";
import { type Frame, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { SteeredClock } from "../support/world.ts";

const clock = new SteeredClock();
let world: TestApp;
let token: string;
const open = new Set<SocketClient>();

beforeAll(async () => {
  world = await startApp({ app: { clock } });
  token = await world.token("acme");
});

afterEach(() => {
  for (const client of open) client.socket.terminate();
  open.clear();
});

afterAll(() => world.close());

/** A socket with its challenge. */
async function challenged(path = "/"): Promise<SocketClient> {
  const client = new SocketClient(`${world.wsUrl}${path}`);
  open.add(client);
  await client.until((frame) => frame["event"] === "connect.challenge");
  client.frames.length = 0;
  return client;
}

/** A socket after hello. */
async function greeted(overrides: Record<string, unknown> = {}, secret = token): Promise<SocketClient> {
  const client = await challenged();
  client.frames.push({ type: "event", event: "connect.challenge" });
  await client.connect(secret, overrides);
  client.frames.length = 0;
  return client;
}

/** Frames that leave in one write arrive together: the first is not answered before the last is there. */
function inOneSegment(client: SocketClient, send: () => void): void {
  const raw = (client.socket as unknown as { _socket: { cork(): void; uncork(): void } })._socket;
  raw.cork();
  send();
  raw.uncork();
}

const json = JSON.stringify;
const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

function connectFrame(overrides: Record<string, unknown> = {}): string {
  const client = { id: "test", version: "1.0.0", platform: "linux", mode: "test" };
  const params = { minProtocol: 4, maxProtocol: 4, client, role: "operator", scopes: ["operator.admin"] };
  return json({
    type: "req",
    id: "c",
    method: "connect",
    params: { ...params, auth: { token }, ...overrides },
  });
}

const backend = { id: "gateway-client", version: "1", platform: "linux", mode: "backend" };
const page = { id: "openclaw-control-ui", version: "1", platform: "web", mode: "ui" };

interface FirstFrame {
  frame: string | Buffer;
  code: number;
  reason: string;
  error?: Record<string, unknown>;
  id?: string;
}

const FIRST_FRAMES: Record<string, FirstFrame> = {
  "text that is not JSON": { frame: "hello", code: 1000, reason: "" },
  "JSON that is no object": { frame: "[1]", code: 1000, reason: "" },
  "an event": { frame: json({ type: "event", event: "x" }), code: 1008, reason: "invalid request frame" },
  "another request": {
    frame: json({ type: "req", id: "1", method: "sessions.list" }),
    code: 1008,
    reason: "invalid handshake: first request must be connect",
    error: { code: "INVALID_REQUEST", message: "invalid handshake: first request must be connect" },
    id: "1",
  },
  "a request without an id": {
    frame: json({ type: "req", method: "connect" }),
    code: 1008,
    reason: "invalid request frame: must have required property 'id'",
    error: { code: "INVALID_REQUEST", message: "invalid request frame: must have required property 'id'" },
    id: "invalid",
  },
  "JSON that nests too deep": {
    frame: `{"type":"req","id":"c","method":"connect","params":${nested(4_500)}}`,
    code: 1008,
    reason: "invalid request frame: JSON nests deeper than 64 levels.",
    error: { code: "INVALID_REQUEST" },
    id: "invalid",
  },
  "a prototype key": {
    frame: '{"type":"req","id":"c","method":"connect","params":{"__proto__":{"role":"owner"}}}',
    code: 1008,
    reason: 'invalid request frame: The key "__proto__" is not allowed.',
    error: { code: "INVALID_REQUEST" },
    id: "invalid",
  },
  "a prototype key in escapes": {
    frame: '{"type":"req","id":"c","method":"connect","params":{"\\u005f\\u005fproto__":{}}}',
    code: 1008,
    reason: 'invalid request frame: The key "__proto__" is not allowed.',
    error: { code: "INVALID_REQUEST" },
    id: "invalid",
  },
  "more than 64 KiB": {
    frame: connectFrame({ userAgent: "x".repeat(LIMITS.preAuthFrameBytes) }),
    code: 1009,
    reason: "",
  },
  "bytes that are not UTF-8": { frame: Buffer.from([0xff, 0xfe, 0xc3, 0x28]), code: 1000, reason: "" },
  "a connect of no client that we know": {
    frame: connectFrame({ client: { ...backend, id: "curl" } }),
    code: 1008,
    reason: "invalid connect params: at /client/id: must be equal to one of the allowed values",
    error: {
      code: "INVALID_REQUEST",
      message: "invalid connect params: at /client/id: must be equal to one of the allowed values",
    },
    id: "c",
  },
  "a connect in another role": {
    frame: connectFrame({ role: "node" }),
    code: 1008,
    reason: "invalid role",
    error: { code: "INVALID_REQUEST", message: "invalid role" },
    id: "c",
  },
  "a connect of another protocol": {
    frame: connectFrame({ minProtocol: 5, maxProtocol: 6 }),
    code: 1002,
    reason: "protocol mismatch",
    error: {
      code: "INVALID_REQUEST",
      message: "protocol mismatch",
      details: {
        code: "PROTOCOL_MISMATCH",
        clientMinProtocol: 5,
        clientMaxProtocol: 6,
        expectedProtocol: 4,
        minimumProbeProtocol: 3,
      },
    },
    id: "c",
  },
  "a connect with a wrong token": {
    frame: connectFrame({ auth: { token: "creel_wrong" } }),
    code: 1008,
    reason: "unauthorized: gateway token mismatch (provide gateway auth token)",
    error: {
      code: "INVALID_REQUEST",
      message: "unauthorized: gateway token mismatch (provide gateway auth token)",
      details: {
        code: "AUTH_TOKEN_MISMATCH",
        authReason: "token_mismatch",
        canRetryWithDeviceToken: false,
        recommendedNextStep: "update_auth_credentials",
      },
    },
    id: "c",
  },
  "a connect with nothing to show": {
    frame: connectFrame({ auth: undefined, client: backend }),
    code: 1008,
    reason: "device identity required",
    error: {
      code: "NOT_PAIRED",
      message: "device identity required",
      details: { code: "DEVICE_IDENTITY_REQUIRED" },
    },
    id: "c",
  },
  "a connect of a page without an origin": {
    frame: connectFrame({ client: page }),
    code: 1008,
    reason: "origin not allowed (open the Control UI from the gateway host or allow its origin)",
    error: {
      code: "INVALID_REQUEST",
      details: { code: "CONTROL_UI_ORIGIN_NOT_ALLOWED", reason: "origin missing or invalid" },
    },
    id: "c",
  },
};

describe("a first frame that is", () => {
  it.each(Object.entries(FIRST_FRAMES))("%s", async (_what, { frame, code, reason, error, id }) => {
    const client = await challenged();
    client.socket.send(frame);
    expect(await client.untilClosed()).toEqual({ code, reason });
    if (error === undefined) expect(client.frames).toEqual([]);
    else expect(client.frames).toMatchObject([{ type: "res", id, ok: false, error }]);
    expect(client.frames).toHaveLength(error === undefined ? 0 : 1);
  });

  it("nothing at all for fifteen seconds", async () => {
    const client = await challenged();
    clock.pass(14_000);
    expect(client.closed).toBeUndefined();
    clock.pass(1_100);
    expect(await client.untilClosed()).toEqual({ code: 1000, reason: "" });
    expect(client.frames).toEqual([]);
  });

  it("followed by others, none of which is carried out when the first is refused", async () => {
    const client = await challenged();
    inOneSegment(client, () => {
      for (let index = 0; index < 100; index++) client.send("sessions.create", { key: `early-${index}` });
      client.socket.send(connectFrame());
    });
    expect((await client.untilClosed()).code).toBe(1008);
    expect(client.frames).toHaveLength(1);
    const after = await greeted();
    const list = (await after.call("sessions.list", { search: "early-" })) as { sessions: unknown[] };
    expect(list.sessions).toEqual([]);
  });

  it("a connect, with up to fifteen requests behind it that are answered in order after hello", async () => {
    const client = await challenged();
    const ids: string[] = [];
    inOneSegment(client, () => {
      client.socket.send(connectFrame());
      for (let index = 0; index < 15; index++) ids.push(client.send("usage.status"));
    });
    await client.until((frame) => frame["id"] === ids.at(-1));
    expect(client.frames.map((frame) => frame["id"])).toEqual(["c", ...ids]);
    expect(client.frames.every((frame) => frame["ok"] === true)).toBe(true);
  });

  it("a connect with sixteen behind it, which is one too many", async () => {
    const client = await challenged();
    inOneSegment(client, () => {
      client.socket.send(connectFrame());
      for (let index = 0; index < 16; index++) client.send("sessions.create", { key: `hasty-${index}` });
    });
    expect(await client.untilClosed()).toEqual({ code: 1008, reason: "too many frames before hello" });
    const after = await greeted();
    const list = (await after.call("sessions.list", { search: "hasty-" })) as { sessions: unknown[] };
    expect(list.sessions).toEqual([]);
  });

  it("a probe's in protocol 3, and a range from 3 that ends in 4", async () => {
    const probe = await challenged();
    const client = { ...backend, id: "openclaw-probe", mode: "probe" };
    probe.socket.send(connectFrame({ minProtocol: 3, maxProtocol: 3, client }));
    expect(await probe.until((frame) => frame.type === "res")).toMatchObject({ payload: { protocol: 3 } });
    const ranged = await challenged();
    ranged.socket.send(connectFrame({ minProtocol: 3, maxProtocol: 4 }));
    expect(await ranged.until((frame) => frame.type === "res")).toMatchObject({ payload: { protocol: 4 } });
  });
});

const AFTER_HELLO: Record<string, { frame: string; answer: Record<string, unknown> | null }> = {
  "an unknown method": {
    frame: json({ type: "req", id: "1", method: "nope.nope" }),
    answer: { id: "1", ok: false, error: { code: "INVALID_REQUEST", message: "unknown method: nope.nope" } },
  },
  "a method named like a property of objects": {
    frame: json({ type: "req", id: "1", method: "constructor" }),
    answer: {
      id: "1",
      ok: false,
      error: { code: "INVALID_REQUEST", message: "unknown method: constructor" },
    },
  },
  "missing params": {
    frame: json({
      type: "req",
      id: "2",
      method: "chat.send",
      params: { sessionKey: "x", idempotencyKey: "k" },
    }),
    answer: {
      id: "2",
      ok: false,
      error: {
        code: "INVALID_REQUEST",
        message: "invalid chat.send params: must have required property 'message'",
        details: { code: "INVALID_REQUEST" },
      },
    },
  },
  "params that are too short": {
    frame: json({
      type: "req",
      id: "3",
      method: "chat.send",
      params: { sessionKey: "x", message: "m", idempotencyKey: "" },
    }),
    answer: {
      id: "3",
      ok: false,
      error: {
        code: "INVALID_REQUEST",
        message: "invalid chat.send params: at /idempotencyKey: must not have fewer than 1 characters",
        details: { code: "INVALID_REQUEST" },
      },
    },
  },
  "an empty message": {
    frame: json({
      type: "req",
      id: "4",
      method: "chat.send",
      params: { sessionKey: "x", message: " ", idempotencyKey: "k" },
    }),
    answer: {
      id: "4",
      ok: false,
      error: {
        code: "INVALID_REQUEST",
        message: "message or attachment required",
        details: { code: "INVALID_REQUEST" },
      },
    },
  },
  "an agent that is not there": {
    frame: json({
      type: "req",
      id: "5",
      method: "chat.send",
      params: { sessionKey: "agent:ghost:main", message: "m", idempotencyKey: "k" },
    }),
    answer: {
      id: "5",
      ok: false,
      error: {
        code: "INVALID_REQUEST",
        message: 'Agent "ghost" no longer exists in configuration',
        details: { code: "INVALID_REQUEST" },
      },
    },
  },
  "a second connect": {
    frame: connectFrame(),
    answer: {
      id: "c",
      ok: false,
      error: { code: "INVALID_REQUEST", message: "connect is only valid as the first request" },
    },
  },
  "a request without an id": {
    frame: json({ type: "req", method: "health" }),
    answer: {
      id: "invalid",
      ok: false,
      error: { code: "INVALID_REQUEST", message: "invalid request frame: must have required property 'id'" },
    },
  },
  "a request without a method": {
    frame: json({ type: "req", id: "6" }),
    answer: {
      id: "6",
      ok: false,
      error: {
        code: "INVALID_REQUEST",
        message: "invalid request frame: must have required property 'method'",
      },
    },
  },
  "JSON that nests too deep": {
    frame: `{"type":"req","id":"7","method":"health","params":{"x":${nested(4_500)}}}`,
    answer: { id: "invalid", ok: false, error: { code: "INVALID_REQUEST" } },
  },
  "a prototype key": {
    frame: '{"type":"req","id":"8","method":"users.prefs.set","params":{"entries":{"__proto__":1}}}',
    answer: { id: "invalid", ok: false, error: { code: "INVALID_REQUEST" } },
  },
  "a prototype key in escapes": {
    frame: '{"type":"req","id":"8","method":"health","params":{"a":[{"\\u005F_proto_\\u005f":1}]}}',
    answer: { id: "invalid", ok: false, error: { code: "INVALID_REQUEST" } },
  },
  "text that is not JSON": { frame: "{", answer: null },
  "JSON that is no object": { frame: "null", answer: null },
  "an event": { frame: json({ type: "event", event: "tick" }), answer: null },
  "a response": { frame: json({ type: "res", id: "1", ok: true }), answer: null },
};

describe("after hello, the socket stays open for", () => {
  it.each(Object.entries(AFTER_HELLO))("%s", async (_what, { frame, answer }) => {
    const client = await greeted();
    client.socket.send(frame);
    const last = client.send("usage.status");
    await client.until((one) => one["id"] === last);
    const answers = client.frames.filter((one) => one.type === "res" && one["id"] !== last);
    if (answer === null) expect(answers).toEqual([]);
    else expect(answers).toMatchObject([{ type: "res", ...answer }]);
    if (answer?.["id"] === "1") expect(answers).toEqual([{ type: "res", ...answer }]);
    expect(client.closed).toBeUndefined();
  });

  it("ids of any sort: texts are echoed, others are not", async () => {
    const client = await greeted();
    const weird: unknown[] = [7, null, {}, [], "", "x".repeat(1024 * 1024), true, { toString: "x" }];
    for (const id of weird) client.socket.send(json({ type: "req", id, method: "usage.status" }));
    const texts = ["__proto__", "constructor", "\u0000", "\ud83d\ude00", "same", "same"];
    for (const id of texts) client.socket.send(json({ type: "req", id, method: "usage.status" }));
    const last = client.send("usage.status");
    await client.until((frame) => frame["id"] === last);
    const ids = client.frames.filter((frame) => frame.type === "res").map((frame) => frame["id"]);
    expect(ids.filter((id) => id === "invalid")).toHaveLength(weird.length);
    expect(ids.filter((id) => id !== "invalid")).toEqual([...texts, last]);
  });

  it("frames in binary and in pieces", async () => {
    const client = await greeted();
    const text = json({ type: "req", id: "b", method: "usage.status" });
    client.socket.send(Buffer.from(text), { binary: true });
    await client.until((frame) => frame["id"] === "b");
    const pieces = json({ type: "req", id: "p", method: "usage.status" });
    for (let at = 0; at < 50; at++) client.socket.send(pieces.slice(at, at + 1), { fin: false });
    client.socket.send(pieces.slice(50), { fin: true });
    await client.until((frame) => frame["id"] === "p");
    expect(client.closed).toBeUndefined();
  });

  it("two sockets that use the same id at once: each gets its own answer, once", async () => {
    const clients = await Promise.all([greeted(), greeted()]);
    for (const [index, client] of clients.entries()) {
      client.socket.send(
        json({ type: "req", id: "same", method: "sessions.describe", params: { key: `k${index}` } }),
      );
      client.socket.send(json({ type: "req", id: `last${index}`, method: "sessions.list", params: {} }));
    }
    for (const [index, client] of clients.entries()) {
      await client.until((frame) => frame["id"] === `last${index}`);
      expect(client.frames.filter((frame) => frame["id"] === "same")).toHaveLength(1);
      expect(client.frames.filter((frame) => frame["id"] === `last${1 - index}`)).toEqual([]);
    }
  });
});

describe("the size of a frame", () => {
  it("may pass 64 KiB after hello", async () => {
    const client = await greeted();
    const message = "x".repeat(3 * LIMITS.preAuthFrameBytes);
    await client.call("sessions.create", { key: "large" });
    await client.call("chat.inject", { sessionKey: "large", message });
    const page = (await client.call("chat.history", { sessionKey: "large" })) as { messages: Frame[] };
    expect(json(page.messages)).toContain(message);
  });

  it("ends at what hello says", async () => {
    const client = await greeted();
    client.socket.send("x".repeat(LIMITS.frameBytes + 1));
    expect(await client.untilClosed()).toEqual({ code: 1009, reason: "" });
  });

  it("is bounded in pieces too", async () => {
    const client = await greeted();
    for (let index = 0; index < 100; index++) client.socket.send("x", { fin: false });
    expect((await client.untilClosed()).code).toBeGreaterThan(1000);
    expect(client.frames).toEqual([]);
  });
});

describe("a socket that was told to go", () => {
  it("is not listened to any more, whatever it goes on sending", async () => {
    const socket = new WebSocket(world.wsUrl, { autoPong: false });
    await new Promise((resolve) => socket.once("message", resolve));
    socket.send(json({ type: "req", id: "1", method: "nope" }));
    socket.send(connectFrame());
    socket.send(json({ type: "req", id: "2", method: "sessions.create", params: { key: "ghost" } }));
    const frames: Frame[] = [];
    socket.on("message", (bytes) => frames.push(JSON.parse(String(bytes)) as Frame));
    await new Promise((resolve) => socket.once("close", resolve));
    expect(frames).toHaveLength(1);
    const after = await greeted();
    expect(await after.call("sessions.describe", { key: "ghost" })).toEqual({ session: null });
  });
});
