/** Limits of a plan: the same for HTTP and frames, told in headers and frames, felt by nobody else. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { planSchema } from "#src/config/plan-schema.ts";
import { callApi } from "../support/api-call.ts";
import { makePerson } from "../support/person.ts";
import { RpcError, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

const ADDRESS = "203.0.113.77";

let world: TestApp;

beforeAll(async () => {
  const plan = (terms: object) => planSchema.parse({ name: "Small", ...terms });
  world = await startApp({
    config: {
      plans: {
        ten: plan({ requestsPerMinute: 10 }),
        "two-turns": plan({ turnsPerMinute: 2 }),
        four: plan({ requestsPerMinute: 4 }),
        paced: plan({ requestsPerMinute: 120 }),
      },
      strangersPerMinute: 5,
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

const health = (token: string) => callApi(world.url, "POST", "/rpc/health", { bearer: token }, {});

it("counts HTTP and frames together, says where a caller stands, and refuses both alike", async () => {
  const token = await onPlan("acme", "ten");
  const client = await connected(token);
  // The handshake is a call too.
  for (let n = 0; n < 4; n++) await client.call("health", {});
  for (let n = 0; n < 5; n++) {
    const answer = await health(token);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("ratelimit-limit")).toBe("10");
    expect(answer.headers.get("ratelimit-remaining")).toBe(String(4 - n));
    expect(Number(answer.headers.get("ratelimit-reset"))).toBeGreaterThan(0);
  }
  const refused = await health(token);
  expect([refused.status, refused.code]).toEqual([429, "rate_limited"]);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(60);
  expect(refused.headers.get("ratelimit-remaining")).toBe("0");
  const frame = await client.call("health", {}).catch((thrown: unknown) => thrown);
  expect(frame).toBeInstanceOf(RpcError);
  expect((frame as RpcError).error).toMatchObject({
    code: "UNAVAILABLE",
    retryable: true,
    retryAfterMs: expect.any(Number),
    details: { code: "RATE_LIMITED", limit: "tenant", perMinute: 10 },
  });
});

it("does not limit another tenant, nor one without limits, and tells those nothing of limits", async () => {
  const token = await world.token("beta");
  for (let n = 0; n < 30; n++) {
    const answer = await health(token);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("ratelimit-limit")).toBeNull();
  }
});

it("limits turns by themselves, whichever way they are begun", async () => {
  const token = await onPlan("turners", "two-turns");
  const client = await connected(token);
  const send = (n: number) =>
    client.call("chat.send", {
      sessionKey: `agent:main:s${n}`,
      message: "hello",
      idempotencyKey: `turn-${n}`,
    });
  await send(1);
  await send(2);
  await expect(send(3)).rejects.toThrow(/2 turns a minute/);
  const completion = { model: "openclaw/main", messages: [{ role: "user", content: "hello" }] };
  const answer = await callApi(world.url, "POST", "/v1/chat/completions", { bearer: token }, completion);
  expect(answer.status).toBe(429);
  expect(await client.call("health", {})).toBeDefined();
});

it("takes effect with the plan, without a new connection", async () => {
  const token = await world.token("gamma");
  const client = await connected(token);
  for (let n = 0; n < 20; n++) await client.call("health", {});
  await onPlan("gamma", "four");
  for (let n = 0; n < 4; n++) await client.call("health", {});
  await expect(client.call("health", {})).rejects.toThrow(RpcError);
});

it("stops reading a connection that goes on, and others are served meanwhile", async () => {
  const token = await onPlan("flooders", "four");
  const client = await connected(token);
  const flood = Array.from({ length: 3_000 }, () => client.call("health", {}).catch(() => undefined));
  await client.until((frame) => frame["type"] === "res" && frame["ok"] === false);
  const other = await world.token("beta");
  expect((await health(other)).status).toBe(200);
  client.socket.terminate();
  await Promise.allSettled(flood);
});

it("counts strangers by address: pages, sign-ins, bad tokens and handshakes; who is known gets it back", async () => {
  const from = { "x-forwarded-for": ADDRESS };
  const bad = () =>
    callApi(world.url, "POST", "/rpc/health", { bearer: "creel_no_such_token_at_all" }, {}, from);
  const statuses: number[] = [];
  for (let n = 0; n < 8; n++) statuses.push((await bad()).status);
  expect(statuses.slice(0, 1)).toEqual([401]);
  expect(statuses.at(-1)).toBe(429);
  const page = await callApi(world.url, "GET", "/openapi.json", {}, undefined, from);
  expect([page.status, page.code]).toEqual([429, "rate_limited"]);
  expect(page.headers.get("retry-after")).not.toBeNull();
  const socket = new SocketClient(world.wsUrl, from);
  await expect(socket.until(() => true, 3_000)).rejects.toThrow();
  // Whoever has a credential that counts is no stranger, also from there.
  const token = await world.token("beta");
  const known = await callApi(world.url, "POST", "/rpc/health", { bearer: token }, {}, from);
  expect(known.status).toBe(200);
  const elsewhere = await callApi(world.url, "GET", "/openapi.json", {}, undefined, {
    "x-forwarded-for": "203.0.113.78",
  });
  expect(elsewhere.status).toBe(200);
});

it("refuses to start with a default plan that is not there", async () => {
  await expect(startApp({ config: { defaultPlan: "platinum" } })).rejects.toThrow(/plans\.default/);
});

it("does nothing for a caller who lost their access, or left, while the call waited for its turn", async () => {
  const owner = await onPlan("paced", "paced");
  const { id } = await world.tenant("paced");
  const made = await callApi(
    world.url,
    "POST",
    "/api/tokens",
    { bearer: owner },
    { name: "one", role: "admin" },
  );
  const bearer = String(made.json["token"]);
  const agent = (name: string) =>
    callApi(world.url, "POST", "/api/tokens", { bearer }, { name, role: "member" });
  // The burst goes at once; what follows waits half a second longer each.
  const burst = Array.from({ length: 32 }, () => health(owner));
  await Promise.all(burst.slice(0, 25));
  const late = agent("too late");
  const leaving = new AbortController();
  const left = fetch(`${world.url}/api/tokens`, {
    method: "POST",
    headers: { authorization: `Bearer ${owner}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "left", role: "member" }),
    signal: leaving.signal,
  }).catch(() => "left");
  const listed = await world.app.auth.tokens.list(id);
  const one = listed.find(({ name }) => name === "one");
  await world.app.auth.tokens.revoke(id, one?.id ?? "");
  leaving.abort();
  expect(await left).toBe("left");
  expect(made.status).toBe(201);
  const answer = await late;
  expect([answer.status, answer.code]).toEqual([401, "unauthenticated"]);
  await Promise.all(burst);
  expect((await health(owner)).status).toBe(200);
  const names = (await world.app.auth.tokens.list(id)).map(({ name }) => name);
  expect(names).not.toContain("too late");
  expect(names).not.toContain("left");
}, 60_000);

it("judges a call that waited by what its caller may do when its turn comes", async () => {
  const { id } = await world.tenant("changed");
  await world.app.plans.pin(id, { plan: "paced", fromMs: 0 }, "test");
  const owner = await makePerson(world, "Olga", "changed", "owner");
  const admin = await makePerson(world, "Adam", "changed", "admin");
  const burst = Array.from({ length: 32 }, () => admin.send("POST", "/t/changed/rpc/health", {}));
  await Promise.all(burst.slice(0, 25));
  const late = admin.send("POST", "/t/changed/api/tokens", { name: "too late", role: "member" });
  await world.app.auth.members.setRole(id, admin.userId, "member");
  const answer = await late;
  expect([answer.status, answer.code]).toEqual([403, "forbidden"]);
  await Promise.all(burst);
  expect((await owner.send("GET", "/t/changed/api/tokens")).body.tokens).toEqual([]);
}, 60_000);

it("stops at once though calls wait for their turn, and says so to those that waited", async () => {
  const plans = { paced: planSchema.parse({ name: "Paced", requestsPerMinute: 60 }) };
  const stopping = await startApp({ config: { plans } });
  const { id } = await stopping.tenant("acme");
  await stopping.app.plans.pin(id, { plan: "paced", fromMs: 0 }, "test");
  const bearer = await stopping.token("acme");
  const all = Array.from({ length: 45 }, () =>
    callApi(stopping.url, "POST", "/rpc/health", { bearer }, {}).then(({ status }) => status),
  );
  await Promise.all(all.slice(0, 30));
  // The last would wait for a quarter of a minute, and a line that is kept open for more than one.
  await stopping.close();
  const ends = await Promise.all(all);
  expect(ends.filter((status) => status === 200).length).toBeGreaterThanOrEqual(30);
  expect(ends.filter((status) => status === 503).length).toBeGreaterThan(5);
}, 12_000);
