/** The life of a socket: what hello shows, ticks and pings, floods, slow readers, the end of the gateway. */
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { LIMITS } from "#src/kernel/limits.ts";
import { type RpcError, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { readAnswer, SteeredClock, sendRaw, UPGRADE, upgrade } from "../support/world.ts";

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

async function greeted(overrides: Record<string, unknown> = {}): Promise<SocketClient> {
  const client = new SocketClient(world.wsUrl);
  open.add(client);
  await client.connect(token, overrides);
  return client;
}

/** True when the last of these requests has its answer; answers may overtake each other. */
function allOf(ids: readonly string[]): (frame: Record<string, unknown>) => boolean {
  const open = new Set(ids);
  return (frame) => {
    open.delete(String(frame["id"]));
    return open.size === 0;
  };
}

describe("hello", () => {
  it("has the shape that clients read, and nothing else", async () => {
    const client = new SocketClient(`${world.wsUrl}/t/acme`);
    open.add(client);
    const hello = await client.connect(token);
    expect(Object.keys(hello).sort()).toEqual([
      "auth",
      "features",
      "policy",
      "protocol",
      "server",
      "snapshot",
      "type",
    ]);
    expect(hello).toMatchObject({
      type: "hello-ok",
      protocol: 4,
      server: { version: expect.any(String), connId: expect.stringMatching(/^[0-9a-f-]{36}$/) },
      features: { methods: world.app.methods.names, events: expect.arrayContaining(["chat", "tick"]) },
      snapshot: {
        stateVersion: { presence: 0, health: 0 },
        authMode: "token",
        sessionDefaults: { mainSessionKey: "agent:main:main" },
      },
      auth: { role: "operator" },
      policy: {
        maxPayload: LIMITS.frameBytes,
        maxBufferedBytes: LIMITS.bufferedBytes,
        tickIntervalMs: LIMITS.tickMs,
      },
    });
    expect(Object.keys(hello["snapshot"] as object).sort()).toEqual([
      "authMode",
      "health",
      "presence",
      "sessionDefaults",
      "stateVersion",
      "uptimeMs",
    ]);
  });

  it("says nothing of the host: no path, no name, no process", async () => {
    const client = await greeted();
    const answers = [JSON.stringify(client.frames)];
    for (const method of world.app.methods
      .list()
      .filter(({ cost }) => ["free", "read", "report"].includes(cost))) {
      const answer = await client
        .call(method.name, {})
        .catch((thrown: unknown) => (thrown as RpcError).error);
      answers.push(JSON.stringify(answer));
    }
    const text = answers.join("\n");
    expect(answers.length).toBeGreaterThan(40);
    for (const secret of [
      world.stateDir,
      process.cwd(),
      hostname(),
      `"pid"`,
      String(process.pid),
      userInfo().homedir,
    ]) {
      // As a word of its own: a host may be called "vm", and any two letters stand somewhere in a random id.
      const alone = new RegExp(`(?<![\\w-])${secret.replace(/\W/g, "\\$&")}(?![\\w-])`);
      expect(alone.exec(text)?.[0], secret).toBeUndefined();
    }
    expect(text).not.toMatch(/"\/(?:home|root|tmp|var|usr|etc|Users)\b|node_modules|\.ts:\d+/);
  });

  it("lists only clients of the same tenant as present", async () => {
    const other = new SocketClient(world.wsUrl);
    open.add(other);
    await other.connect(await world.token("beta", "owner", "stranger"));
    const client = await greeted();
    const present = (await client.call("system-presence")) as { user: { name: string } }[];
    expect(present.length).toBeGreaterThan(0);
    expect(JSON.stringify(present)).not.toContain("stranger");
  });
});

describe("an open socket", () => {
  it("gets a tick every half minute, numbered like any event", async () => {
    const client = await greeted();
    clock.pass(LIMITS.tickMs);
    const tick = await client.until((frame) => frame["event"] === "tick");
    expect(tick).toEqual({ type: "event", event: "tick", payload: { ts: expect.any(Number) }, seq: 1 });
  });

  it("is pinged, and dropped when it does not answer", async () => {
    const deaf = new WebSocket(world.wsUrl, { autoPong: false });
    await new Promise((resolve) => deaf.once("message", resolve));
    const client = await greeted();
    const facts = { id: "test", version: "1", platform: "linux", mode: "test" };
    const params = { minProtocol: 4, maxProtocol: 4, client: facts, auth: { token } };
    deaf.send(JSON.stringify({ type: "req", id: "c", method: "connect", params }));
    await new Promise((resolve) => deaf.once("message", resolve));
    const pinged = new Promise((resolve) => deaf.once("ping", resolve));
    const closed = new Promise((resolve) => deaf.once("close", resolve));
    clock.pass(LIMITS.pingMs);
    await pinged;
    await client.call("health");
    clock.pass(LIMITS.pingMs);
    expect(await closed).toBe(1006);
    expect(client.closed).toBeUndefined();
  });

  it("may ask many things at once and gets every answer", async () => {
    const client = await greeted();
    const ids = Array.from({ length: 1_000 }, () => client.send("sessions.list", {}));
    await client.until(allOf(ids));
    const answered = new Set(client.frames.map((frame) => frame["id"]));
    expect(ids.filter((id) => !answered.has(id))).toEqual([]);
  });

  it("follows a bounded number of sessions, by their literal keys", async () => {
    const client = await greeted({ caps: ["session-scoped-events"] });
    const writer = await greeted();
    const keys = ["*", "agent:*", "**", ".*", "../", "acme:*", "agent:main:%", "agent:main:_"];
    for (const key of keys) await client.call("sessions.messages.subscribe", { key });
    await writer.call("sessions.create", { key: "quiet" });
    await writer.call("chat.inject", { sessionKey: "quiet", message: "nobody asked" });
    await client.call("health");
    expect(client.events("session.message")).toEqual([]);
    const ids = Array.from({ length: 2_000 }, (_, index) =>
      client.send("sessions.messages.subscribe", { key: `flood-${index}` }),
    );
    await client.until(allOf(ids));
    const answers = client.frames.filter((frame) => ids.includes(String(frame["id"])));
    const refused = answers.filter((frame) => frame["ok"] !== true);
    expect(answers).toHaveLength(2_000);
    expect(answers.length - refused.length).toBe(LIMITS.subscriptionsPerConnection - keys.length);
    expect(refused[0]).toMatchObject({
      error: { code: "UNAVAILABLE", details: { code: "LIMIT_REACHED" }, message: /at most 256/ },
    });
    await client.call("sessions.messages.unsubscribe", { key: "flood-0" });
    await client.call("sessions.messages.subscribe", { key: "one more" });
  });
});

describe("a slow reader", () => {
  const LARGE = "x".repeat(900_000);

  async function store(key: string): Promise<SocketClient> {
    const writer = await greeted();
    await writer.call("sessions.create", { key });
    await writer.call("chat.inject", { sessionKey: key, message: LARGE });
    return writer;
  }

  /** A socket that does not read until told to; counts what comes without parsing it. */
  async function sluggish() {
    const client = await greeted();
    const raw = (client.socket as unknown as { _socket: { pause(): void; resume(): void } })._socket;
    client.socket.removeAllListeners("message");
    const heads: string[] = [];
    const tails: string[] = [];
    client.socket.on("message", (bytes: Buffer) => {
      heads.push(bytes.subarray(0, 60).toString("utf8"));
      tails.push(bytes.subarray(-60).toString("utf8"));
    });
    raw.pause();
    return { client, raw, heads, tails };
  }

  it("that lags by more than hello allows is closed, and nobody else is", async () => {
    const writer = await store("heavy");
    const { client, raw, heads } = await sluggish();
    const asked = Math.ceil(LIMITS.bufferedBytes / LARGE.length) + 30;
    for (let index = 0; index < asked; index++) client.send("sessions.get", { key: "heavy" });
    await settled(() => callsOf("sessions.get"));
    raw.resume();
    expect(await client.untilClosed(20_000)).toEqual({ code: 1008, reason: "slow consumer" });
    expect(heads.length).toBeLessThan(asked);
    expect(writer.closed).toBeUndefined();
  });

  it("misses deltas, which the next one repeats, but no end and no number", async () => {
    const writer = await store("middling");
    const { client, raw, heads, tails } = await sluggish();
    for (let index = 0; index < 14; index++) client.send("sessions.get", { key: "middling" });
    await settled(() => callsOf("sessions.get"));
    await writer.call("chat.send", {
      sessionKey: "talk",
      message: "tell a long story",
      idempotencyKey: "slow-run",
    });
    await writer.terminal("slow-run");
    raw.resume();
    await expect
      .poll(() => heads.filter((head) => head.includes('"event":"chat"')).length)
      .toBeGreaterThan(0);
    await expect
      .poll(() => tails.some((tail) => tail.includes('"stopReason"') || /"seq":\d+\}$/.test(tail)))
      .toBe(true);
    await expect.poll(() => lastNumber(tails)).toBeGreaterThan(0);
    await client.socket.ping();
    const numbers = tails.flatMap((tail) => /,"seq":(\d+)\}$/.exec(tail)?.[1] ?? []).map(Number);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    const seen = (of: SocketClient) => of.frames.filter((frame) => frame["event"] === "chat").length;
    expect(heads.filter((head) => head.includes('"event":"chat"')).length).toBeLessThan(seen(writer));
  });

  /** Wait until a figure stops changing. */
  async function settled(read: () => Promise<number>): Promise<void> {
    let last = -1;
    await expect
      .poll(
        async () => {
          const before = last;
          last = await read();
          return last > 0 && last === before;
        },
        { interval: 50, timeout: 20_000 },
      )
      .toBe(true);
  }

  async function callsOf(method: string): Promise<number> {
    const secret = (await readFile(join(world.stateDir, "metrics-token"), "utf8")).trim();
    const answer = await fetch(`${world.url}/metrics`, { headers: { authorization: `Bearer ${secret}` } });
    const line = new RegExp(`^creel_method_calls_total\\{method="${method}"\\} (\\d+)$`, "m");
    return Number(line.exec(await answer.text())?.[1] ?? 0);
  }

  const lastNumber = (tails: readonly string[]) =>
    Number(/,"seq":(\d+)\}$/.exec(tails.findLast((tail) => /,"seq":\d+\}$/.test(tail)) ?? "")?.[1] ?? 0);
});

describe("an upgrade", () => {
  it("offers neither compression nor a subprotocol", async () => {
    const answer = await upgrade(world.url, "/", [
      "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
      "Sec-WebSocket-Protocol: chat, creel_token",
    ]);
    expect(answer.status).toBe(101);
    expect(answer.headers["sec-websocket-extensions"]).toBeUndefined();
    expect(answer.headers["sec-websocket-protocol"]).toBeUndefined();
  });

  it.each([
    [
      "of another protocol",
      ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQ"],
    ],
    ["without a key", ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]],
    [
      "of another version",
      [...UPGRADE.filter((line) => !line.includes("Version")), "Sec-WebSocket-Version: 7"],
    ],
    ["with a bad key", [...UPGRADE.filter((line) => !line.includes("Key")), "Sec-WebSocket-Key: x"]],
  ])("%s is refused and the line is cut, whatever follows", async (_what, lines) => {
    const head = [`GET / HTTP/1.1`, `Host: ${new URL(world.url).host}`, ...lines].join("\r\n");
    const smuggled = `POST /rpc/health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Length: 0\r\n\r\n`;
    const text = await sendRaw(world.url, `${head}\r\n\r\n${smuggled}`, 3_000);
    const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => Number(match[1]));
    expect(statuses).toHaveLength(1);
    expect(statuses[0]).toBeGreaterThanOrEqual(400);
    expect(statuses[0]).toBeLessThan(500);
  });

  it("by another method than GET, or with a body, is refused or the body is no request", async () => {
    expect((await upgrade(world.url, "/", [], { method: "POST" })).status).toBe(405);
    const lines = [...UPGRADE, "Content-Length: 5"];
    const answer = await upgrade(world.url, "/", [], { lines });
    expect([101, 400]).toContain(answer.status);
    expect(answer.text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it("that is refused says why in JSON, and leaves no half-open line", async () => {
    const { hostname: address, port } = new URL(world.url);
    // A peer that does not say goodbye in return keeps the line, unless it is cut.
    const line = connect({ host: address, port: Number(port), allowHalfOpen: true });
    line.on("error", () => undefined);
    const chunks: Buffer[] = [];
    line.on("data", (chunk) => chunks.push(chunk));
    line.write(`GET / HTTP/1.1\r\nHost: evil.test\r\n${UPGRADE.join("\r\n")}\r\n\r\n`);
    await new Promise((resolve) => line.once("end", resolve));
    const answer = readAnswer(Buffer.concat(chunks).toString());
    expect(answer.status).toBe(421);
    expect(JSON.parse(answer.body)).toEqual({
      error: { type: "misdirected", code: "misdirected", message: expect.any(String) },
    });
    await expect
      .poll(() => {
        line.write("x");
        return line.destroyed;
      })
      .toBe(true);
  });

  it("is refused to an address that has too many which do not say who they are", async () => {
    const crowded = await startApp();
    const waiting = await Promise.all(
      Array.from({ length: LIMITS.pendingSocketsPerAddress }, async () => {
        const client = new SocketClient(crowded.wsUrl);
        await client.until((frame) => frame["event"] === "connect.challenge");
        return client;
      }),
    );
    const refused = await upgrade(crowded.url, "/");
    expect(refused.status).toBe(429);
    expect(refused.body).toContain('"type":"rate_limited"');
    waiting[0]?.socket.terminate();
    await expect.poll(async () => (await upgrade(crowded.url, "/")).status).toBe(101);
    await crowded.close();
  });
});

describe("the end of the gateway", () => {
  it("is said to every client, which then comes back by itself", async () => {
    const ending = await startApp();
    const known = new SocketClient(ending.wsUrl);
    await known.connect(await ending.token("acme"));
    const stranger = new SocketClient(ending.wsUrl);
    await stranger.until((frame) => frame["event"] === "connect.challenge");
    await ending.close();
    expect(await known.untilClosed()).toEqual({ code: 1012, reason: "service restart" });
    expect(known.frames.at(-1)).toEqual({
      type: "event",
      event: "shutdown",
      payload: { reason: "gateway stopping" },
      seq: 1,
    });
    expect((await stranger.untilClosed()).code).toBe(1012);
    expect(stranger.events("shutdown")).toEqual([]);
  });
});
