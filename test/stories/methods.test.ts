/** Protocol methods as programs meet them: by socket and by HTTP alike, documented, in the reference's words. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RpcError, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { callByHttp, hastyClock } from "../support/world.ts";

let world: TestApp;
let token: string;
let client: SocketClient;

beforeAll(async () => {
  world = await startApp({ app: { clock: hastyClock } });
  token = await world.token("acme");
  client = new SocketClient(world.wsUrl);
  await client.connect(token);
});

afterAll(async () => {
  client.close();
  await world.close();
});

/** What differs from one call to the next. */
const steady = (value: unknown) =>
  JSON.stringify(value)
    .replaceAll(/"(ts|updatedAt|snapshotAt|durationMs|age|onlineSince)":\d+/g, '"$1":0')
    .replaceAll(/"presence":\[.*?\]/g, "");

async function failure(method: string, params: unknown) {
  return client.call(method, params).then(
    () => undefined,
    (thrown: unknown) => (thrown as RpcError).error,
  );
}

describe("a method", () => {
  it("answers the same by HTTP as by socket", async () => {
    const reads = world.app.methods
      .list()
      .filter(({ cost, params }) => cost !== "turn" && cost !== "write" && params.safeParse({}).success)
      .filter(({ name }) => !["sessions.resolve", "system-presence"].includes(name));
    expect(reads.length).toBeGreaterThan(20);
    for (const { name } of reads) {
      const bySocket = await client.call(name, {});
      const byHttp = await callByHttp(world.url, `/rpc/${name}`, token, {});
      expect(byHttp.status, name).toBe(200);
      expect(steady(JSON.parse(byHttp.text)), name).toBe(steady(bySocket));
    }
  });

  it("may be called without params where it needs none", async () => {
    expect(await client.call("health")).toMatchObject({ ok: true });
    const answer = await callByHttp(world.url, "/rpc/health", token, undefined);
    expect([answer.status, JSON.parse(answer.text)]).toMatchObject([200, { ok: true }]);
  });

  it("that is unknown, or refused, is answered in one form by HTTP", async () => {
    const unknown = await callByHttp(world.url, "/rpc/nope.nope", token, {});
    expect(unknown.status).toBe(404);
    expect(JSON.parse(unknown.text)).toEqual({
      error: {
        code: "not_found",
        type: "invalid_request_error",
        message: "unknown method: nope.nope",
        requestId: expect.any(String),
      },
    });
    const bad = await callByHttp(world.url, "/rpc/chat.history", token, {});
    expect(bad.status).toBe(400);
    expect(bad.text).toContain("invalid chat.history params: must have required property 'sessionKey'");
  });

  it("is in the OpenAPI document with its scope, and every route is too", async () => {
    const document = (await (await fetch(`${world.url}/openapi.json`)).json()) as {
      openapi: string;
      paths: Record<string, Record<string, { "x-scope"?: string }>>;
    };
    expect(document.openapi).toBe("3.1.1");
    for (const method of world.app.methods.list()) {
      const operation = document.paths[`/rpc/${method.name}`]?.["post"];
      expect(operation, method.name).toBeDefined();
      expect(operation?.["x-scope"], method.name).toBe(method.scope ?? undefined);
    }
    for (const route of world.app.gateway.routes) {
      if (route.path === "/rpc/:method") continue;
      const path = route.path.replaceAll(/:(\w+)/g, "{$1}");
      expect(document.paths[path]?.[route.method.toLowerCase()], `${route.method} ${path}`).toBeDefined();
    }
  });
});

describe("sessions", () => {
  it("have one key, however its agent is written", async () => {
    const keys = ["agent:main:one", "agent:MAIN:one", "one", " one ", "agent:Main:one"];
    for (const key of keys) await client.call("sessions.create", { key });
    const list = (await client.call("sessions.list", { search: "one" })) as { sessions: { key: string }[] };
    expect(list.sessions.map((session) => session.key)).toEqual(["agent:main:one"]);
  });

  it("are found by every way of naming them, or not found in one way", async () => {
    const made = (await client.call("sessions.create", { key: "named", label: "A name" })) as {
      sessionId: string;
    };
    const found = { ok: true, key: "agent:main:named" };
    for (const by of [
      { key: "named" },
      { sessionId: made.sessionId },
      { label: "A name" },
      { reference: { key: "agent:main:named" } },
    ]) {
      expect(await client.call("sessions.resolve", by)).toMatchObject(found);
    }
    await client.call("sessions.create", { key: "unknown" });
    for (const by of [
      { key: "not there" },
      { sessionId: "x" },
      { label: "x" },
      { reference: { key: "x" } },
      {},
    ]) {
      expect(await failure("sessions.resolve", by)).toMatchObject({ message: "There is no such session." });
      expect(await client.call("sessions.resolve", { ...by, allowMissing: true })).toEqual({ ok: false });
    }
  });

  it("that another one began are asked for by clients; there are none", async () => {
    await client.call("sessions.create", { key: "parent" });
    const list = await client.call("sessions.list", { spawnedBy: "agent:main:parent", limit: 10_000 });
    expect(list).toMatchObject({ sessions: [], totalCount: 0, hasMore: false });
  });

  it("cannot share a label", async () => {
    await client.call("sessions.create", { key: "first", label: "Taken" });
    await client.call("sessions.create", { key: "second" });
    expect(await failure("sessions.patch", { key: "second", label: "Taken" })).toMatchObject({
      code: "INVALID_REQUEST",
      details: { code: "CONFLICT" },
    });
  });
});

describe("an idempotency key", () => {
  it("of one person is of no use to another: neither the answer nor a second run", async () => {
    const other = new SocketClient(world.wsUrl);
    await other.connect(await world.token("acme", "member", "another"));
    const params = { sessionKey: "shared", message: "hello", idempotencyKey: "of-one" };
    await client.call("chat.send", params);
    await client.terminal("of-one");
    const refusal = await other
      .call("chat.send", params)
      .catch((thrown: unknown) => (thrown as RpcError).error);
    expect(refusal).toMatchObject({ details: { reason: "chat-request-conflict" } });
    const history = (await client.call("chat.history", { sessionKey: "shared" })) as { messages: unknown[] };
    expect(history.messages).toHaveLength(2);
    other.close();
  });
});

describe("background work", () => {
  it("is listed by its state", async () => {
    await callByHttp(world.url, "/rpc/agent", token, {
      message: "hello",
      idempotencyKey: "task-1",
      sessionKey: "job",
    });
    const ids = async (params: object) =>
      ((await client.call("tasks.list", params)) as { tasks: { id: string }[] }).tasks.map((task) => task.id);
    expect(await ids({})).toContain("task-1");
    expect(await ids({ status: "completed", sessionKey: "agent:main:job" })).toEqual(["task-1"]);
    expect(await ids({ status: ["queued", "running"] })).toEqual([]);
    expect(await ids({ status: ["completed", "failed"], sessionKey: "job" })).toEqual(["task-1"]);
    expect(await ids({ sessionKey: "agent:main:other" })).toEqual([]);
  });

  it("may be given any amount of time: a very long one is not a very short one", async () => {
    for (const timeoutMs of [2 ** 31, Number.MAX_SAFE_INTEGER]) {
      const idempotencyKey = `patient-${timeoutMs}`;
      await client.call("chat.send", { sessionKey: "patient", message: "hello", timeoutMs, idempotencyKey });
      expect(await client.terminal(idempotencyKey)).toMatchObject({ state: "final" });
    }
  });
});
