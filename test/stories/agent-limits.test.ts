/** Tokens that are limited to some agents, on every channel and in every way of naming an agent. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { callApi } from "../support/api-call.ts";
import { type RpcError, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

type Json = Record<string, unknown>;

let world: TestApp;
let owner: string;
const clients: SocketClient[] = [];

beforeAll(async () => {
  world = await startApp();
  owner = await world.token("acme", "owner", "owner");
  const client = await connect(owner);
  await client.call("agents.list", {});
  await client.call("agents.create", { name: "helper" });
  await client.call("sessions.create", { key: "agent:main:secret", label: "of main" });
  await client.call("sessions.create", { key: "agent:helper:open", label: "of helper" });
});

afterAll(async () => {
  for (const client of clients) client.close();
  await world.close();
});

async function connect(token: string): Promise<SocketClient> {
  const client = new SocketClient(world.wsUrl);
  clients.push(client);
  await client.connect(token);
  return client;
}

const api = (method: string, path: string, bearer: string, body?: unknown, more?: Record<string, string>) =>
  callApi(world.url, method, `/t/acme${path}`, { bearer }, body, more);

async function refusal(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "ok",
    (thrown: RpcError) => thrown.error.code,
  );
}

describe("a token with agents", () => {
  let secret: string;
  let client: SocketClient;

  beforeAll(async () => {
    const asked = { name: "limited", role: "owner", agents: ["helper"] };
    secret = (await api("POST", "/api/tokens", owner, asked)).json["token"] as string;
    client = await connect(secret);
  });

  it("reaches those in every way of naming one, and no other", async () => {
    const may: [string, Json][] = [
      ["sessions.describe", { key: "agent:helper:open" }],
      ["sessions.describe", { key: "open", agentId: "helper" }],
      ["sessions.preview", { keys: ["agent:helper:open"] }],
      ["chat.history", { sessionKey: "agent:helper:open" }],
      ["agents.files.list", { agentId: "helper" }],
      ["sessions.list", {}],
      ["sessions.subscribe", {}],
      ["tasks.list", { agentId: "helper" }],
      ["users.self", {}],
      ["health", {}],
      ["agents.list", {}],
    ];
    for (const [method, params] of may)
      expect(await refusal(client.call(method, params)), `${method} ${JSON.stringify(params)}`).toBe("ok");
    const key = randomUUID();
    const mayNot: [string, Json][] = [
      ["sessions.describe", { key: "agent:main:secret" }],
      ["sessions.describe", { key: "agent:Main:secret" }],
      ["sessions.describe", { key: "secret" }],
      ["sessions.describe", { key: "agent:main:secret", agentId: "helper" }],
      ["sessions.preview", { keys: ["agent:helper:open", "agent:main:secret"] }],
      ["sessions.get", { key: "secret" }],
      ["sessions.resolve", { label: "of main" }],
      ["sessions.list", { agentId: "main" }],
      ["sessions.messages.subscribe", { key: "agent:main:secret" }],
      ["chat.history", { sessionKey: "main" }],
      ["chat.send", { sessionKey: "main", message: "x", idempotencyKey: key }],
      [
        "chat.send",
        { sessionKey: "agent:main:secret", agentId: "helper", message: "x", idempotencyKey: key },
      ],
      ["agent", { message: "x", idempotencyKey: key }],
      ["agent", { message: "x", agentId: "main", idempotencyKey: key }],
      ["agent", { message: "x", sessionId: randomUUID(), idempotencyKey: key }],
      ["agent.wait", { runId: "unknown" }],
      ["tasks.list", { agentId: "main" }],
      ["agents.files.list", { agentId: "main" }],
      ["agents.update", { agentId: "main", name: "mine" }],
      ["agents.create", { name: "more" }],
      ["memory.search", { query: "x" }],
      ["usage.cost", { agentId: "main" }],
      ["sessions.usage", {}],
      ["users.list", {}],
      ["config.get", {}],
      ["audit.list", {}],
      ["device.pair.list", {}],
    ];
    for (const [method, params] of mayNot)
      expect(await refusal(client.call(method, params)), `${method} ${JSON.stringify(params)}`).toBe(
        "FORBIDDEN",
      );
  });

  it("does not reach another's session by its id beside the name of its own agent", async () => {
    const all = await connect(owner);
    const { sessionId } = (await all.call("sessions.resolve", { key: "agent:main:secret" })) as Json;
    const messages = async () =>
      ((await all.call("chat.history", { sessionKey: "agent:main:secret" })) as Json)["messages"];
    expect(await messages()).toEqual([]);
    const params = { message: "x", agentId: "helper", sessionId, idempotencyKey: randomUUID() };
    expect(await refusal(client.call("agent", params))).toBe("INVALID_REQUEST");
    expect(await messages()).toEqual([]);
  });

  it("is refused by every method that does not say which agent it is about", async () => {
    const open = new Set([
      ...["health", "status", "agents.list", "sessions.list", "sessions.subscribe", "sessions.unsubscribe"],
      ...["users.self", "users.prefs.get", "commands.list", "gateway.identity.get", "models.authStatus"],
      ...["tasks.list", "usage.cost"],
    ]);
    for (const method of world.app.methods.list())
      expect((await refusal(client.call(method.name, {}))) === "ok", method.name).toBe(open.has(method.name));
  });

  it("is shown nothing of the others", async () => {
    for (const method of ["agents.list", "sessions.list", "health", "status"]) {
      const shown = JSON.stringify(await client.call(method, {}));
      expect(shown, method).not.toContain("agent:main:secret");
      expect(shown, method).not.toContain("of main");
    }
    const { agents } = (await client.call("agents.list", {})) as { agents: Json[] };
    expect(agents.map((agent) => agent["id"])).toEqual(["helper"]);
    const models = await api("GET", "/v1/models", secret);
    const ids = (models.json["data"] as Json[]).map((model) => model["id"]);
    expect(ids).toContain("openclaw/helper");
    expect(ids).not.toContain("openclaw/main");
    expect(ids).not.toContain("openclaw");
  });

  it("hears of its own agent's conversations and not of the others'", async () => {
    const other = await connect(owner);
    await client.call("sessions.subscribe", {});
    const ofMain = randomUUID();
    const ofHelper = randomUUID();
    await other.call("chat.send", { sessionKey: "agent:main:secret", message: "hi", idempotencyKey: ofMain });
    await other.terminal(ofMain);
    await other.call("chat.send", {
      sessionKey: "agent:helper:open",
      message: "hi",
      idempotencyKey: ofHelper,
    });
    expect(await client.terminal(ofHelper)).toMatchObject({ state: "final" });
    expect(JSON.stringify(client.frames.filter((frame) => frame.type === "event"))).not.toContain(ofMain);
  });

  it("is as limited by HTTP, by method, and by the OpenAI API", async () => {
    for (const path of ["/api/members", "/api/tokens", "/api/credentials", "/api/audit", "/api/tenant"])
      expect((await api("GET", path, secret)).status, path).toBe(403);
    expect((await api("POST", "/rpc/sessions.get", secret, { key: "secret" })).status).toBe(403);
    const chat = (model: string, more: Record<string, string> = {}) =>
      api("POST", "/v1/chat/completions", secret, body(model), more);
    const body = (model: string) => ({ model, messages: [{ role: "user", content: "hello" }] });
    expect((await chat("openclaw/helper")).status).toBe(200);
    for (const model of ["openclaw", "openclaw/main", "agent:main", "demo/demo"])
      expect((await chat(model)).status, model).toBe(403);
    const steered = { "x-openclaw-session-key": "agent:main:secret" };
    expect((await chat("openclaw/helper", steered)).status).toBe(403);
    expect((await chat("demo/demo", { "x-openclaw-agent-id": "main" })).status).toBe(403);
  });
});
