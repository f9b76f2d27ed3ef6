import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Method, MethodCall } from "#src/protocol/methods.ts";
import type { BrowserUser, RouteAnswer, TenantRouteCall } from "#src/protocol/routes.ts";
import type { Principal } from "#src/tenancy/principal.ts";
import type { Role } from "#src/tenancy/scopes.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { type AuthWorld, startAuthWorld } from "#test/support/auth-world.ts";

let world: AuthWorld;
let acme: Tenant;
let beta: Tenant;

beforeAll(async () => {
  world = await startAuthWorld();
  acme = await world.tenants.create({ slug: "acme", displayName: "Acme" });
  beta = await world.tenants.create({ slug: "beta" });
});
afterAll(() => world.close());

interface Caller {
  cookie: string;
  user: BrowserUser;
  principal: Principal;
}

async function signedIn(name: string, role: Role, tenant = acme): Promise<Caller> {
  const person = await world.auth.users.create({ displayName: name });
  await world.auth.members.add(tenant.id, person.id, role);
  const { cookie } = await world.auth.sessions.signIn(await world.auth.links.create(person.id), null);
  const user = await world.auth.authenticator.browserUser(cookie);
  const principal = user && (await world.auth.authenticator.memberPrincipal(user, tenant));
  if (user === undefined || principal === undefined) throw new Error("not signed in");
  return { cookie, user, principal };
}

/** Call a handler as the gateway does: body checked by the route's schema, caller as given. */
async function call(
  name: string,
  options: {
    body?: unknown;
    caller?: Partial<Caller>;
    params?: Record<string, string>;
    tenant?: Tenant;
  } = {},
): Promise<RouteAnswer> {
  const route = world.auth.routes.find((found) => `${found.method} ${found.path}` === name);
  if (route === undefined) throw new Error(`no route ${name}`);
  const { caller = {} } = options;
  return route.handler({
    requestId: "r",
    body: route.body === null ? undefined : route.body.parse(options.body),
    params: options.params ?? {},
    query: {},
    headers: {},
    address: "192.0.2.1",
    origin: "http://127.0.0.1",
    isSecure: false,
    signal: new AbortController().signal,
    user: caller.user ?? null,
    sessionCookie: caller.cookie ?? null,
    principal: caller.principal,
    tenant: world.door.scope(options.tenant ?? acme),
  } as TenantRouteCall<unknown>);
}

describe("signing in", () => {
  it("turns a link into a cookie, says where to go, and who is there", async () => {
    const person = await world.auth.users.create({ displayName: "Mia" });
    await world.auth.members.add(acme.id, person.id, "member");
    await world.auth.members.add(beta.id, person.id, "owner");
    const token = await world.auth.links.create(person.id, beta.id);
    const answer = await call("POST /auth/link", { body: { token } });
    expect(answer).toMatchObject({ status: 200, body: { redirect: "/t/beta/" } });
    const cookie = answer.sessionCookie?.value ?? "";
    expect(cookie).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(JSON.stringify(answer.body)).not.toContain(cookie);
    const session = await call("GET /auth/session", { caller: { cookie } });
    expect(session).toMatchObject({
      status: 200,
      headers: { "cache-control": "no-store" },
      body: {
        user: { id: person.id, displayName: "Mia", language: null },
        operator: false,
        tenants: [
          { id: acme.id, slug: "acme", name: "Acme", role: "member", status: "active" },
          { id: beta.id, slug: "beta", name: "beta", role: "owner", status: "active" },
        ],
      },
    });
    await expect(call("POST /auth/link", { body: { token } })).rejects.toMatchObject({
      code: "link_invalid",
    });
    const out = await call("POST /auth/logout", { caller: { cookie } });
    expect(out).toMatchObject({ status: 200, body: { redirect: null }, sessionCookie: null });
    await expect(call("GET /auth/session", { caller: { cookie } })).rejects.toMatchObject({
      code: "unauthenticated",
    });
    expect(await call("POST /auth/logout")).toMatchObject({ status: 200, body: { redirect: null } });
  });

  it("lets people change their own name and language, within reason", async () => {
    const caller = await signedIn("Old", "member");
    const answer = await call("PATCH /auth/user", {
      caller,
      body: { displayName: "新名", language: "zh-CN" },
    });
    expect(answer.body).toEqual({ user: { id: caller.user.userId, displayName: "新名", language: "zh-CN" } });
    expect((await call("PATCH /auth/user", { caller, body: { language: null } })).body).toMatchObject({
      user: { displayName: "新名", language: null },
    });
    for (const body of [{ displayName: "" }, { displayName: "a\u0000b" }, { language: "../x" }]) {
      await expect(call("PATCH /auth/user", { caller, body })).rejects.toMatchObject({
        code: "invalid_request",
      });
    }
  });
});

describe("a socket token", () => {
  it("is given to a signed-in browser and to no bearer", async () => {
    const caller = await signedIn("Mia", "readonly");
    const { body } = await call("POST /auth/socket-token", { caller });
    const { token } = body as { token: string };
    expect(await world.auth.socketTokens.verify("socket", token)).toMatchObject({
      tenantId: acme.id,
      userId: caller.user.userId,
      sessionId: caller.user.sessionId,
    });
    await expect(
      call("POST /auth/socket-token", { caller: { principal: caller.principal } }),
    ).rejects.toMatchObject({ code: "forbidden" });
  });
});

describe("token routes", () => {
  it("make, list and revoke tokens of this tenant, never above the caller", async () => {
    const caller = await signedIn("Ada", "admin");
    const made = await call("POST /api/tokens", {
      caller,
      body: { name: "ci", role: "member", expiresInDays: 7 },
    });
    expect(made.status).toBe(201);
    const { token, record } = made.body as { token: string; record: { id: string } };
    expect(record).toMatchObject({
      name: "ci",
      role: "member",
      prefix: token.slice(0, 10),
      revokedAtMs: null,
    });
    await expect(
      call("POST /api/tokens", { caller, body: { name: "x", role: "owner" } }),
    ).rejects.toMatchObject({ code: "forbidden" });
    for (const body of [
      { name: "x", role: "king" },
      { name: "x", role: "member", expiresInDays: -1 },
      { name: "x", role: "member", expiresInDays: 1e12 },
      { name: "", role: "member" },
    ]) {
      await expect(call("POST /api/tokens", { caller, body })).rejects.toThrow();
    }
    const listed = JSON.stringify((await call("GET /api/tokens", { caller })).body);
    expect(listed).toContain(record.id);
    expect(listed).not.toContain(token);

    const stranger = await signedIn("Eve", "owner", beta);
    expect((await call("GET /api/tokens", { caller: stranger, tenant: beta })).body).toEqual({ tokens: [] });
    await expect(
      call("DELETE /api/tokens/:id", { caller: stranger, tenant: beta, params: { id: record.id } }),
    ).rejects.toMatchObject({ code: "not_found" });
    expect(await call("DELETE /api/tokens/:id", { caller, params: { id: record.id } })).toEqual({
      status: 204,
    });
    await expect(world.auth.authenticator.fromBearer(token, "192.0.2.1")).rejects.toMatchObject({
      code: "unauthenticated",
    });
  });

  it("made with a token make tokens that end with it", async () => {
    const parent = await world.auth.tokens.create(acme.id, {
      name: "parent",
      role: "admin",
      maker: { kind: "machine" },
    });
    const { principal } = await world.auth.authenticator.fromBearer(parent.secret, "192.0.2.1");
    const made = await call("POST /api/tokens", {
      caller: { principal },
      body: { name: "child", role: "admin" },
    });
    const { token } = made.body as { token: string };
    await world.auth.authenticator.fromBearer(token, "192.0.2.1");
    await world.auth.tokens.revoke(acme.id, parent.token.id);
    await expect(world.auth.authenticator.fromBearer(token, "192.0.2.1")).rejects.toMatchObject({
      code: "unauthenticated",
    });
  });
});

describe("methods about people", () => {
  async function run(name: string, params: unknown, principal: Principal, tenant = acme): Promise<unknown> {
    const method = world.auth.methods.find((found) => found.name === name) as Method;
    const scope = world.door.scope(tenant);
    const result = await method.handler(method.params.parse(params), {
      tenant: scope,
      principal,
    } as unknown as MethodCall);
    return method.result.parse(result);
  }

  it("show the people of this tenant and of no other", async () => {
    const caller = await signedIn("Only in acme", "readonly");
    const other = await signedIn("Only in beta", "readonly", beta);
    const listed = JSON.stringify(await run("users.list", {}, caller.principal));
    expect(listed).toContain("Only in acme");
    expect(listed).not.toContain("Only in beta");
    expect(listed).not.toContain(other.user.userId);
    expect(await run("users.self", {}, caller.principal)).toMatchObject({
      profile: { id: caller.user.userId, displayName: "Only in acme", role: "readonly", emails: [] },
    });
  });

  it("keep preferences for each person in each tenant", async () => {
    const mia = await signedIn("Mia", "readonly");
    const ben = await signedIn("Ben", "member");
    await world.auth.members.add(beta.id, mia.user.userId, "member");
    const inBeta = { ...mia.principal, tenantId: beta.id };
    const set = (entries: unknown, expectedEntries?: unknown) =>
      run("users.prefs.set", { entries, expectedEntries }, mia.principal);
    expect(await run("users.prefs.get", {}, mia.principal)).toEqual({ status: "ok", entries: {} });
    expect(await set({ "ui.theme": "dark", n: { deep: [1] } })).toEqual({ status: "ok" });
    expect(await run("users.prefs.get", { keys: ["ui.theme", "absent"] }, mia.principal)).toEqual({
      status: "ok",
      entries: { "ui.theme": "dark" },
    });
    expect(await run("users.prefs.get", {}, ben.principal)).toEqual({ status: "ok", entries: {} });
    expect(await run("users.prefs.get", {}, inBeta, beta)).toEqual({ status: "ok", entries: {} });
    await expect(set({ n: 2 }, { "ui.theme": "light" })).rejects.toMatchObject({ code: "conflict" });
    await expect(set({ fresh: 1 }, { n: null })).rejects.toMatchObject({ code: "conflict" });
    await set({ n: null, fresh: true }, { "ui.theme": "dark", fresh: null });
    expect(await run("users.prefs.get", {}, mia.principal)).toEqual({
      status: "ok",
      entries: { "ui.theme": "dark", fresh: true },
    });
    await expect(set({ big: "x".repeat(20_000) })).rejects.toMatchObject({ code: "too_large" });
    for (let i = 0; i < 15; i++) {
      await set(Object.fromEntries(Array.from({ length: 32 }, (_, j) => [`k${i}.${j}`, 1])));
    }
    const full = Object.fromEntries(Array.from({ length: 32 }, (_, j) => [`last.${j}`, 1]));
    await expect(set(full)).rejects.toMatchObject({
      code: "limit_reached",
      details: { code: "USER_PREFS_LIMIT_EXCEEDED" },
    });
    expect(await run("users.prefs.get", { keys: ["last.0"] }, mia.principal)).toEqual({
      status: "ok",
      entries: {},
    });
  });

  it("tell tokens without a person that they keep nothing", async () => {
    const made = await world.auth.tokens.create(acme.id, {
      name: "bot",
      role: "member",
      maker: { kind: "machine" },
    });
    const { principal } = await world.auth.authenticator.fromBearer(made.secret, "192.0.2.1");
    expect(await run("users.prefs.get", {}, principal)).toEqual({ status: "no_durable_identity" });
    expect(await run("users.prefs.set", { entries: { a: 1 } }, principal)).toEqual({
      status: "no_durable_identity",
    });
    expect(await run("users.self", {}, principal)).toMatchObject({ profile: { displayName: "bot" } });
  });

  it("name each tenant's gateway by a key of its own", async () => {
    const { principal } = await signedIn("Mia", "readonly");
    const one = (await run("gateway.identity.get", {}, principal)) as { deviceId: string; publicKey: string };
    expect(one.deviceId).toMatch(/^[0-9a-f]{64}$/);
    expect(Buffer.from(one.publicKey, "base64url")).toHaveLength(32);
    expect(await run("gateway.identity.get", {}, principal)).toEqual(one);
    expect(await run("gateway.identity.get", {}, principal, beta)).not.toEqual(one);
  });
});

describe("device tokens of one person", () => {
  it("are bounded; the longest unused go first", async () => {
    const binding = {
      tenantId: acme.id,
      userId: (await signedIn("Many", "member")).user.userId,
      clientId: "cli",
      scopes: ["operator.read"],
      source: { kind: "browser_session", id: "s" },
    } as const;
    const secrets: string[] = [];
    for (let i = 0; i < 260; i++) {
      world.clock.pass(1_000);
      secrets.push(await world.auth.devices.issue({ ...binding, deviceId: `device-${i}` }));
    }
    const left = await world.control.find<{ n: number }>(
      "SELECT count(*) AS n FROM device_tokens WHERE user_id = ?",
      [binding.userId],
    );
    expect(left?.n).toBe(256);
    expect(await world.auth.devices.findBySecret(secrets[0] ?? "")).toBeUndefined();
    expect(await world.auth.devices.findBySecret(secrets[259] ?? "")).toMatchObject({
      deviceId: "device-259",
    });
  });

  it("are one, when two sockets of one device connect at the same moment", async () => {
    const binding = {
      tenantId: acme.id,
      userId: (await signedIn("Twice", "member")).user.userId,
      deviceId: "d",
      clientId: "cli",
      scopes: ["operator.read"],
      source: { kind: "browser_session", id: "s" },
    } as const;
    const issued = await Promise.all(Array.from({ length: 10 }, () => world.auth.devices.issue(binding)));
    expect(new Set(issued).size).toBe(1);
    expect(await world.auth.devices.findBySecret(issued[0] ?? "")).toBeDefined();
  });
});
