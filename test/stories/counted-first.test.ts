/**
 * What is sent is counted before it is read, and JSON that would hold up everybody's thread is not parsed at all. Most bodies
 * here are announced and never sent: an answer shows that nobody waited for one.
 */
import { request as begin, type IncomingMessage } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { planSchema } from "#src/config/plan-schema.ts";
import { LIMITS } from "#src/kernel/limits.ts";
import { makePerson } from "../support/person.ts";
import { type RpcError, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

const LARGE = 1_900_000;
/** Two megabytes that take thirty milliseconds to parse. */
const DENSE = `[${"[],".repeat(650_000)}0]`;

let world: TestApp;

beforeAll(async () => {
  const plan = (terms: object) => planSchema.parse({ name: "Small", ...terms });
  world = await startApp({
    config: {
      plans: {
        ten: plan({ requestsPerMinute: 10 }),
        forty: plan({ requestsPerMinute: 40 }),
        attachments: plan({ requestsPerMinute: 600, requestsPerMinutePerKey: 300 }),
        five: plan({ requestsPerMinute: 5 }),
      },
      strangersPerMinute: 5,
      tenantTurnsPerMinute: 2,
      trustedProxies: ["127.0.0.1"],
    },
  });
});

afterAll(() => world.close());

async function onPlan(slug: string, plan: string): Promise<string> {
  const { id } = await world.tenant(slug);
  await world.app.plans.pin(id, { plan, fromMs: 0 }, "test");
  return world.token(slug);
}

async function connected(token: string): Promise<SocketClient> {
  const client = new SocketClient(world.wsUrl);
  await client.connect(token);
  return client;
}

/** What a refused call was refused with. */
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (thrown: RpcError) => thrown.error,
  );

interface Sent {
  path?: string;
  method?: string;
  headers?: Record<string, string>;
  /** Nothing is sent of a body that is undefined. */
  body?: string;
}

/** One request on a line of its own; resolves with its answer, however much of the body was taken. */
function send({ path = "/rpc/health", method = "POST", headers = {}, body }: Sent) {
  return new Promise<{ status: number; code: unknown; headers: IncomingMessage["headers"] }>(
    (resolve, reject) => {
      const sent = begin(
        `${world.url}${path}`,
        { method, agent: false, headers: { "content-type": "application/json", ...headers } },
        (answer) => {
          const pieces: Buffer[] = [];
          answer.on("data", (piece: Buffer) => pieces.push(piece));
          answer.on("end", () => {
            const text = Buffer.concat(pieces).toString();
            const error = text.startsWith("{")
              ? (JSON.parse(text) as { error?: { code: string } }).error
              : undefined;
            resolve({ status: answer.statusCode ?? 0, code: error?.code, headers: answer.headers });
            sent.destroy();
          });
        },
      );
      sent.on("error", reject);
      if (body === undefined) sent.flushHeaders();
      else sent.end(body);
    },
  );
}

const announced = (bytes = LARGE) => ({ "content-length": String(bytes) });

describe("of a body that is announced, nothing is waited for", () => {
  it("by whoever is no one, has no such route, or may not call it", async () => {
    const from = { "x-forwarded-for": "203.0.113.20" };
    const { status, headers } = await send({ headers: { ...announced(), ...from } });
    expect([status, headers["connection"]]).toEqual([401, "close"]);
    const bad = { authorization: "Bearer creel_no_such_token_at_all", ...from };
    expect((await send({ headers: { ...announced(), ...bad } })).status).toBe(401);
    expect((await send({ path: "/no/such", headers: { ...announced(), ...from } })).status).toBe(404);
    const unknown = await send({ path: "/operator/api/tenants", headers: { ...announced(), ...from } });
    expect(unknown.status).toBe(401);
    const person = await makePerson(world, "Pia", "people", "member");
    const cookie = { cookie: person.cookie, origin: world.url };
    const operators = { path: "/operator/api/tenants", headers: { ...announced(), ...cookie } };
    expect((await send(operators)).status).toBe(404);
  });

  it("in a tenant over its limit", async () => {
    const token = await onPlan("acme", "forty");
    const headers = { authorization: `Bearer ${token}`, ...announced() };
    const first = await send({ headers, body: JSON.stringify({ x: "y".repeat(LARGE - 8) }) });
    expect([first.status, first.headers["ratelimit-remaining"]]).toEqual([200, "11"]);
    const refused = await send({ headers });
    expect([refused.status, refused.code]).toEqual([429, "rate_limited"]);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(refused.headers["ratelimit-remaining"]).toBe("0");
  });

  it("that no minute of the plan has room for, and smaller calls go on", async () => {
    const token = await onPlan("small", "ten");
    const headers = { authorization: `Bearer ${token}` };
    const refused = await send({ headers: { ...headers, ...announced() } });
    expect([refused.status, refused.code, refused.headers["retry-after"]]).toEqual([
      403,
      "plan_limit",
      undefined,
    ]);
    const small = await send({ headers, body: "{}" });
    expect([small.status, small.headers["ratelimit-remaining"]]).toEqual([200, "9"]);
  });
});

describe("a body whose size is not said", () => {
  it("counts what it turned out to be", async () => {
    const token = await onPlan("chunks", "forty");
    const headers = { authorization: `Bearer ${token}`, "transfer-encoding": "chunked" };
    const body = JSON.stringify({ x: "y".repeat(LARGE) });
    expect((await send({ headers, body })).status).toBe(200);
    // 1 + 28 are used, of 40.
    const refused = await send({ headers, body });
    expect([refused.status, refused.code]).toEqual([429, "rate_limited"]);
    const other = { authorization: `Bearer ${await onPlan("chunks-ten", "ten")}` };
    const unfit = await send({ headers: { ...headers, ...other }, body });
    expect([unfit.status, unfit.code]).toEqual([403, "plan_limit"]);
  });
});

describe("JSON that holds too much", () => {
  it("is refused by HTTP and as a frame, and what is large as one text is not", async () => {
    const token = await world.token("dense");
    const headers = { authorization: `Bearer ${token}` };
    const refused = await send({ headers, body: DENSE });
    expect([refused.status, refused.code]).toEqual([413, "too_large"]);
    const client = await connected(token);
    client.socket.send(`{"type":"req","id":"d","method":"health","params":${DENSE}}`);
    const answer = await client.until((frame) => frame.type === "res" && frame["ok"] === false);
    expect(answer["error"]).toMatchObject({ message: expect.stringContaining("JSON holds too much") });
    const message = { sessionKey: "main", idempotencyKey: "k1", message: "look" };
    const attachments = [{ mimeType: "image/png", fileName: "a.png", content: "A".repeat(7_000_000) }];
    expect(await client.call("chat.send", { ...message, attachments })).toMatchObject({ runId: "k1" });
  });

  it("is refused sooner before it is known who sends it", async () => {
    const client = new SocketClient(world.wsUrl);
    await client.until((frame) => frame["event"] === "connect.challenge");
    const list = `[${"1,".repeat(LIMITS.jsonValuesOfStrangers)}0]`;
    client.socket.send(`{"type":"req","id":"c","method":"connect","params":${list}}`);
    expect(await client.untilClosed()).toMatchObject({ code: 1008 });
    const path = "/auth/link";
    const large = await send({ path, headers: announced(LIMITS.strangerBodyBytes + 1) });
    expect(large.status).toBe(413);
  });
});

describe("a frame over the limits", () => {
  it("is answered under its own id without being parsed", async () => {
    const token = await onPlan("framed", "ten");
    const client = await connected(token);
    client.socket.send(`{"type":"req","id":"mine","method":"health","params":${DENSE}}`);
    const unfit = await client.until((frame) => frame["id"] === "mine");
    expect(unfit["error"]).toMatchObject({ code: "FORBIDDEN", details: { code: "PLAN_LIMIT" } });
    expect(unfit["error"]).not.toHaveProperty("retryable");
    // Four points, then four more; the handshake was the first.
    const piece = { x: "y".repeat(4 * LIMITS.callBytes) };
    await client.call("health", piece);
    const refused = await refusal(client.call("health", piece));
    expect(refused).toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
      details: { code: "RATE_LIMITED" },
    });
  });

  it("with more attachments than a minute has room for is told so, and the next call is let in", async () => {
    const client = await connected(await onPlan("attaching", "attachments"));
    const one = { mimeType: "application/pdf", fileName: "a.pdf", content: "A".repeat(7_000_000) };
    const message = {
      sessionKey: "main",
      message: "see",
      idempotencyKey: "k3",
      attachments: [one, one, one],
    };
    const refused = await refusal(client.call("chat.send", message));
    expect(refused).toMatchObject({ code: "FORBIDDEN", message: expect.stringMatching(/smaller parts/) });
    expect(refused).not.toHaveProperty("retryable");
    expect(await client.call("health", {})).toBeDefined();
    const fewer = { ...message, idempotencyKey: "k1", attachments: [one] };
    expect(await client.call("chat.send", fewer)).toMatchObject({ runId: "k1" });
  });
});

it("a tenant without limits of its own meets the platform's, and another does not", async () => {
  const turn = (client: SocketClient, key: string) =>
    client.call("chat.send", { sessionKey: key, message: "hello", idempotencyKey: key });
  const busy = await connected(await world.token("busy"));
  await turn(busy, "one");
  await turn(busy, "two");
  expect(await refusal(turn(busy, "three"))).toMatchObject({
    message: expect.stringContaining("2 turns a minute"),
    retryable: true,
  });
  expect(await busy.call("health", {})).toBeDefined();
  const calm = await connected(await world.token("calm"));
  expect(await turn(calm, "one")).toMatchObject({ runId: "one" });
});

describe("strangers and handshakes", () => {
  const upgrade = (address: string) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const asked = begin(world.url, {
        agent: false,
        headers: {
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
          "x-forwarded-for": address,
        },
      });
      asked.on("response", (answer) => resolve(answer.resume()));
      asked.on("upgrade", (answer, socket) => {
        socket.destroy();
        resolve(answer);
      });
      asked.on("error", reject);
      asked.end();
    });

  it("are told when to come back, also by the answer to an upgrade", async () => {
    const answers = [];
    for (let n = 0; n < 6; n++) answers.push(await upgrade("203.0.113.30"));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([101, 101, 101, 101, 101, 429]);
    const { headers } = answers[5] as IncomingMessage;
    expect(Number(headers["retry-after"])).toBeGreaterThan(0);
    expect(headers).toMatchObject({ "ratelimit-limit": "5", "ratelimit-remaining": "0" });
  });

  it("are counted for what is not there, also below a tenant's pages", async () => {
    const from = { "x-forwarded-for": "203.0.113.31" };
    const statuses: number[] = [];
    for (let n = 0; n < 6; n++)
      statuses.push((await send({ path: `/nothing/${n}`, method: "GET", headers: from })).status);
    expect(statuses).toEqual([404, 404, 404, 404, 404, 429]);
    // Whoever is known is not taken for one of them.
    const known = { authorization: `Bearer ${await world.token("known")}`, ...from };
    expect((await send({ headers: known, body: "{}" })).status).toBe(200);
  });

  it("of a tenant over its limit are refused, and stay strangers'", async () => {
    const token = await onPlan("greeting", "five");
    const from = { "x-forwarded-for": "203.0.113.32" };
    for (let n = 0; n < 5; n++) {
      const client = new SocketClient(world.wsUrl, from);
      await client.connect(token);
      client.socket.terminate();
    }
    for (let n = 0; n < 5; n++) {
      const client = new SocketClient(world.wsUrl, from);
      const refused = await refusal(client.connect(token));
      expect(refused).toMatchObject({
        code: "UNAVAILABLE",
        retryable: true,
        details: { code: "RATE_LIMITED" },
      });
      expect((await client.untilClosed()).code).toBe(1013);
    }
    expect((await upgrade("203.0.113.32")).statusCode).toBe(429);
  });
});
