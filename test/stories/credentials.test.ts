/** Credentials as people handle them: limited tokens on every channel, lists, signing out. ATTACKS AU-10, 11, 12, 16, 17, 26, RO-16. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TenantId, UserId } from "#src/kernel/ids.ts";
import { MACHINE } from "#src/tenancy/actor.ts";
import type { Role } from "#src/tenancy/scopes.ts";
import { type Caller, callApi } from "../support/api-call.ts";
import { type RpcError, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

type Json = Record<string, unknown>;

let world: TestApp;
let tenantId: TenantId;
let owner: string;
const clients: SocketClient[] = [];

beforeAll(async () => {
  world = await startApp();
  tenantId = (await world.tenant("acme")).id;
  owner = await world.token("acme", "owner", "owner");
});

afterAll(async () => {
  for (const client of clients) client.close();
  await world.close();
});

async function connect(token: string, overrides: Json = {}): Promise<SocketClient> {
  const client = new SocketClient(world.wsUrl);
  clients.push(client);
  await client.connect(token, overrides);
  return client;
}

const http = (method: string, path: string, by: Caller, body?: unknown, more: Record<string, string> = {}) =>
  callApi(world.url, method, path, by, body, more);
const api = (method: string, path: string, by: Caller, body?: unknown) =>
  http(method, `/t/acme${path}`, by, body);

async function person(role: Role, slug = "acme") {
  const { auth } = world.app;
  const tenant = await world.tenant(slug);
  const user = await auth.users.create({ displayName: `${role} ${randomUUID().slice(0, 6)}` });
  await auth.members.add(tenant.id, user.id, role, MACHINE);
  return { id: user.id, cookie: await signIn(user.id) };
}

async function signIn(userId: UserId): Promise<string> {
  const { auth } = world.app;
  return (await auth.sessions.signIn(await auth.links.create(userId, null), null)).cookie;
}

async function make(by: Caller, body: Json, path = "/api/tokens") {
  const made = await api("POST", path, by, { name: "t", role: "admin", ...body });
  return { ...made, secret: made.json["token"] as string, record: made.json["record"] as Json };
}

async function refusal(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "ok",
    (thrown: RpcError) => thrown.error.code,
  );
}

describe("a token with scopes", () => {
  it("holds those and no more by HTTP, by method and by socket", async () => {
    const { secret, record } = await make({ bearer: owner }, { role: "admin", scopes: ["operator.read"] });
    expect(record).toMatchObject({ scopes: ["operator.read"], addresses: [], agents: [], role: "admin" });
    expect((await api("GET", "/api/tokens", { bearer: secret })).status).toBe(403);
    expect((await api("POST", "/rpc/sessions.list", { bearer: secret }, {})).status).toBe(200);
    expect((await api("POST", "/rpc/sessions.create", { bearer: secret }, {})).status).toBe(403);
    const chat = { model: "openclaw", messages: [{ role: "user", content: "x" }] };
    expect((await api("POST", "/v1/chat/completions", { bearer: secret }, chat)).status).toBe(403);
    const client = new SocketClient(world.wsUrl);
    clients.push(client);
    const hello = await client.connect(secret, { scopes: ["operator.admin", "operator.write"] });
    expect((hello["auth"] as Json)["scopes"]).toEqual(["operator.read"]);
    expect(await refusal(client.call("sessions.create", {}))).toBe("FORBIDDEN");
  });

  it("that are none can do nothing at all (AU-12, RO-16)", async () => {
    const { secret, record } = await make({ bearer: owner }, { scopes: [] });
    expect(record["scopes"]).toEqual([]);
    expect((await api("GET", "/api/members", { bearer: secret })).status).toBe(403);
    expect((await api("POST", "/rpc/users.self", { bearer: secret }, {})).status).toBe(403);
    expect((await api("GET", "/v1/models", { bearer: secret })).status).toBe(403);
  });
});

describe("making tokens beyond oneself (AU-12)", () => {
  it("is refused, whatever is asked for", async () => {
    const admin = await person("admin");
    const member = await person("member");
    const stranger = await person("owner", "beta");
    const by = { cookie: admin.cookie };
    const tries: [Json, number][] = [
      [{ role: "owner" }, 403],
      [{ scopes: ["*"] }, 400],
      [{ scopes: ["operator.root"] }, 400],
      [{ role: "member", scopes: ["operator.admin"] }, 403],
      [{ addresses: [] }, 400],
      [{ addresses: ["*"] }, 400],
      [{ addresses: [""] }, 400],
      [{ addresses: ["0.0.0.0/0"] }, 400],
      [{ agents: [] }, 400],
      [{ agents: ["*"] }, 400],
      [{ agents: [""] }, 400],
      [{ expiresInDays: -1 }, 400],
      [{ expiresInDays: 1e12 }, 400],
      [{ expiresInDays: 0 }, 400],
      [{ userId: member.id }, 403],
      [{ userId: stranger.id }, 404],
      [{ userId: randomUUID() }, 404],
      [{ role: "operator" }, 400],
    ];
    for (const [body, status] of tries)
      expect((await make(by, body)).status, JSON.stringify(body)).toBe(status);
    // What is not ours to say is not heard.
    const heard = await make(by, {
      tenant: "beta",
      tenantId: "beta",
      allowed_routes: ["/*"],
      createdBy: stranger.id,
    });
    expect(heard.status).toBe(201);
    expect((await api("POST", "/rpc/users.self", { bearer: heard.secret }, {})).status).toBe(200);
    expect((await make({ cookie: member.cookie }, { role: "readonly" })).status).toBe(403);
    expect((await make({ cookie: member.cookie }, { role: "admin" }, "/api/my/tokens")).status).toBe(403);
    // Looked at again when it is used: the maker is an admin no more.
    await world.app.auth.members.setRole(tenantId, admin.id, "readonly", MACHINE);
    expect((await api("GET", "/api/tokens", { bearer: heard.secret })).status).toBe(403);
  });

  it("is refused to limited tokens, whose own limits go along", async () => {
    const limits = { scopes: ["operator.admin"], addresses: ["127.0.0.1"] };
    const parent = await make({ bearer: owner }, limits);
    const child = await make({ bearer: parent.secret }, { name: "child" });
    expect(child.record).toMatchObject({ addresses: ["127.0.0.1"] });
    expect((await make({ bearer: parent.secret }, { addresses: ["10.0.0.0/8"] })).status).toBe(403);
    await api("DELETE", `/api/tokens/${String(parent.record["id"])}`, { bearer: owner });
    expect((await api("GET", "/api/tokens", { bearer: child.secret })).status).toBe(401);
    const ofAgents = await make({ bearer: owner }, { agents: ["helper"] });
    expect((await make({ bearer: ofAgents.secret }, {})).status).toBe(403);
  });
});

describe("a token with addresses", () => {
  it("is no token from elsewhere, on every channel", async () => {
    const here = await make({ bearer: owner }, { addresses: ["127.0.0.1"] });
    const mapped = await make({ bearer: owner }, { addresses: ["::ffff:127.0.0.0/120"] });
    const away = await make({ bearer: owner }, { addresses: ["192.0.2.0/24"] });
    for (const { secret } of [here, mapped]) {
      expect((await api("GET", "/api/tokens", { bearer: secret })).status).toBe(200);
      expect((await connect(secret)).closed).toBeUndefined();
    }
    expect((await api("GET", "/api/tokens", { bearer: away.secret })).status).toBe(401);
    expect((await api("GET", "/v1/models", { bearer: away.secret })).status).toBe(401);
    expect((await api("POST", "/rpc/users.self", { bearer: away.secret }, {})).status).toBe(401);
    await expect(connect(away.secret)).rejects.toThrow();
    await expect(connect("x", { auth: { password: away.secret } })).rejects.toThrow();
    // The same words as for a token that never was.
    const none = await api("GET", "/api/tokens", { bearer: `creel_${"x".repeat(49)}` });
    const wrong = await api("GET", "/api/tokens", { bearer: away.secret });
    expect({ ...(wrong.json["error"] as Json), requestId: "" }).toEqual({
      ...(none.json["error"] as Json),
      requestId: "",
    });
  });
});

describe("one credential, in one place", () => {
  it("is taken; two that could disagree are refused (AU-10)", async () => {
    const { cookie } = await person("member");
    expect((await api("GET", "/api/tokens", { bearer: owner, cookie })).code).toBe("credential_ambiguous");
    const doubled = await http("GET", "/t/acme/api/tokens", { bearer: owner }, undefined, {
      "x-api-key": owner,
    });
    expect(doubled.code).toBe("credential_ambiguous");
  });

  it("counts nowhere else (AU-11)", async () => {
    const path = "/t/acme/api/tokens";
    const basic = Buffer.from(`${owner}:`).toString("base64");
    const tries: [string, Record<string, string>][] = [
      [path, { "x-api-key": owner }],
      [`${path}?api_key=${owner}`, {}],
      [`${path}?access_token=${owner}`, {}],
      [`${path}?token=${owner}`, {}],
      [path, { authorization: `Basic ${basic}` }],
      [path, { cookie: `creel-loopback=${owner}` }],
      [path, { "sec-websocket-protocol": owner }],
    ];
    for (const [target, headers] of tries)
      expect(
        (await http("GET", target, {}, undefined, headers)).status,
        `${target} ${Object.keys(headers)}`,
      ).toBe(401);
    const socket = new SocketClient(`${world.wsUrl}/?token=${owner}`, { "x-api-key": owner });
    clients.push(socket);
    await expect(socket.connect("", { auth: {} })).rejects.toThrow();
  });
});

describe("one's own tokens", () => {
  it("act as the person, are seen and ended by them, and by nobody like them", async () => {
    const ann = await person("member");
    const ben = await person("member");
    const made = await make({ cookie: ann.cookie }, { name: "laptop", role: "member" }, "/api/my/tokens");
    expect(made.record).toMatchObject({ name: "laptop", role: "member", userId: ann.id });
    const self = await api("POST", "/rpc/users.self", { bearer: made.secret }, {});
    expect((self.json["profile"] as Json)["id"]).toBe(ann.id);
    const mine = async () => (await api("GET", "/api/my/tokens", { cookie: ann.cookie })).json["tokens"];
    // When it was used last is written beside the request.
    await expect.poll(mine).toMatchObject([{ id: made.record["id"], lastAgent: "story/1" }]);
    expect((await api("GET", "/api/my/tokens", { cookie: ben.cookie })).json["tokens"]).toEqual([]);
    const path = `/api/my/tokens/${String(made.record["id"])}`;
    expect((await api("DELETE", path, { cookie: ben.cookie })).status).toBe(404);
    expect((await api("DELETE", path, { bearer: made.secret })).status).toBe(403);
    expect((await make({ bearer: made.secret }, { role: "member" }, "/api/my/tokens")).status).toBe(403);
    expect((await api("DELETE", path, { cookie: ann.cookie })).status).toBe(204);
    expect((await api("POST", "/rpc/users.self", { bearer: made.secret }, {})).status).toBe(401);
  });

  it("are dead for good when the person is put out, also after they come back (AU-17)", async () => {
    const { auth } = world.app;
    const ann = await person("member");
    const made = await make({ cookie: ann.cookie }, { role: "member" }, "/api/my/tokens");
    const client = await connect(made.secret);
    await auth.members.remove(tenantId, ann.id, MACHINE);
    expect((await client.untilClosed()).code).toBe(4001);
    await auth.members.add(tenantId, ann.id, "owner", MACHINE);
    expect((await api("GET", "/api/tokens", { bearer: made.secret })).status).toBe(401);
    // The browser is still signed in, but what it proved was before.
    expect((await api("GET", "/api/tokens", { cookie: ann.cookie })).status).toBe(404);
    expect((await api("GET", "/api/tokens", { cookie: await signIn(ann.id) })).status).toBe(200);
  });
});

describe("what is open in a tenant", () => {
  it("is listed with last use, address and program, without secrets (AU-26), and only as far as it is of here", async () => {
    const { auth } = world.app;
    const ann = await person("member");
    const beta = await world.tenant("beta");
    await auth.members.add(beta.id, ann.id, "member", MACHINE);
    const other = await signIn(ann.id);
    await api("GET", "/api/my/tokens", { cookie: ann.cookie });
    await http("GET", "/t/beta/api/my/tokens", { cookie: other }, undefined, { "user-agent": "elsewhere/9" });
    const made = await make({ bearer: owner }, { name: "listed" });
    await api("GET", "/api/tokens", { bearer: made.secret });
    const list = async () => (await api("GET", "/api/credentials", { bearer: owner })).json;
    await expect.poll(async () => JSON.stringify((await list())["sessions"])).toContain(ann.id);
    const { sessions, tokens, devices } = (await list()) as {
      sessions: Json[];
      tokens: Json[];
      devices: Json[];
    };
    const ofAnn = sessions.filter((session) => session["userId"] === ann.id);
    expect(ofAnn).toMatchObject([{ method: "link", address: "127.0.0.1", agent: "story/1" }]);
    expect(Object.keys(ofAnn[0] ?? {}).sort()).toEqual(
      ["address", "agent", "displayName", "id", "lastSeenAtMs", "method", "userId"].sort(),
    );
    expect(JSON.stringify(sessions)).not.toContain("elsewhere/9");
    const listed = tokens.find((token) => token["id"] === made.record["id"]);
    expect(listed).toMatchObject({ prefix: made.secret.slice(0, 10), last4: made.secret.slice(-4) });
    await expect
      .poll(async () => JSON.stringify((await list())["tokens"]))
      .toContain('"lastAddress":"127.0.0.1"');
    expect(Array.isArray(devices)).toBe(true);
    const all = JSON.stringify(await list());
    for (const secret of [made.secret, ann.cookie, other, owner]) expect(all).not.toContain(secret);
    expect((await api("GET", "/api/credentials", { cookie: ann.cookie })).status).toBe(403);
  });
});

describe("signing out", () => {
  it("of a tenant by its admins ends everything there and nothing elsewhere", async () => {
    const { auth } = world.app;
    const ann = await person("member");
    const beta = await world.tenant("beta");
    await auth.members.add(beta.id, ann.id, "member", MACHINE);
    const made = await make({ cookie: ann.cookie }, { role: "member" }, "/api/my/tokens");
    const client = await connect(made.secret);
    const path = `/api/members/${ann.id}/sign-out`;
    expect((await api("POST", path, { cookie: ann.cookie })).status).toBe(403);
    expect(
      (await http("POST", `/t/beta${path}`, { bearer: await world.token("beta", "member") })).status,
    ).toBe(403);
    expect((await api("POST", path, { bearer: owner })).status).toBe(200);
    expect((await client.untilClosed()).code).toBe(4001);
    expect((await api("POST", "/rpc/users.self", { bearer: made.secret }, {})).status).toBe(401);
    expect((await api("GET", "/api/my/tokens", { cookie: ann.cookie })).status).toBe(404);
    expect((await http("GET", "/t/beta/api/my/tokens", { cookie: ann.cookie })).status).toBe(200);
    expect((await api("GET", "/api/my/tokens", { cookie: await signIn(ann.id) })).status).toBe(200);
    const stranger = `/api/members/${randomUUID()}/sign-out`;
    expect((await api("POST", stranger, { bearer: owner })).status).toBe(404);
    expect((await api("POST", "/api/members/x/sign-out", { bearer: owner })).status).toBe(404);
    // An admin signs out whom they could put out.
    const admin = await person("admin");
    const chief = await person("owner");
    expect((await api("POST", `/api/members/${chief.id}/sign-out`, { cookie: admin.cookie })).status).toBe(
      403,
    );
  });

  it("everywhere ends browsers, devices and tokens of the person in every tenant (AU-16)", async () => {
    const { auth } = world.app;
    const ann = await person("member");
    const beta = await world.tenant("beta");
    await auth.members.add(beta.id, ann.id, "member", MACHINE);
    const phone = await signIn(ann.id);
    const here = await make({ cookie: ann.cookie }, { role: "member" }, "/api/my/tokens");
    const there = await http(
      "POST",
      "/t/beta/api/my/tokens",
      { cookie: phone },
      { name: "b", role: "member" },
    );
    const socketToken = await api("POST", "/auth/socket-token", { cookie: phone });
    const sockets = [await connect(here.secret), await connect(String(socketToken.json["token"]))];
    const away = await connect(String(there.json["token"]));
    const bystander = await connect(owner);
    expect((await api("POST", "/api/my/sign-out-everywhere", { bearer: here.secret })).status).toBe(403);
    const out = await api("POST", "/api/my/sign-out-everywhere", { cookie: ann.cookie });
    expect(out.status).toBe(200);
    expect(out.headers.get("set-cookie")).toMatch(/creel-loopback=;/);
    for (const socket of [...sockets, away]) expect((await socket.untilClosed()).code).toBe(4001);
    for (const cookie of [ann.cookie, phone])
      expect((await http("GET", "/auth/session", { cookie })).status).toBe(401);
    expect((await api("POST", "/rpc/users.self", { bearer: here.secret }, {})).status).toBe(401);
    expect(bystander.closed).toBeUndefined();
  });
});

describe("the record", () => {
  it("says who made, revoked and signed out, with the limits and without the secret", async () => {
    const made = await make(
      { bearer: owner },
      { name: "recorded", addresses: ["127.0.0.1"], agents: ["helper"] },
    );
    const id = String(made.record["id"]);
    await api("DELETE", `/api/tokens/${id}`, { bearer: owner });
    await api("DELETE", `/api/tokens/${id}`, { bearer: owner });
    const read = async () => {
      const { json } = await api("GET", `/api/audit?target=${id}`, { bearer: owner });
      return json["events"] as Json[];
    };
    await expect.poll(async () => (await read()).length).toBe(2);
    const [revoked, created] = await read();
    expect(created).toMatchObject({
      action: "token.created",
      actor: { kind: "token", name: "owner" },
      details: { role: "admin", addresses: ["127.0.0.1"], agents: ["helper"] },
    });
    expect(revoked).toMatchObject({ action: "token.revoked", target: { name: "recorded" } });
    expect(JSON.stringify(await read())).not.toContain(made.secret);
  });
});

describe("the gateway's public keys", () => {
  it("are there for everybody, for a while, and hold nothing private", async () => {
    const answer = await http("GET", "/.well-known/jwks.json", {});
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("public, max-age=300");
    const keys = answer.json["keys"] as Json[];
    expect(new Set(keys.map((key) => key["purpose"]))).toEqual(new Set(["socket", "record"]));
    for (const key of keys)
      expect(Object.keys(key).sort()).toEqual(["alg", "crv", "kid", "kty", "purpose", "use", "x"]);
  });
});
