/** Role x method and role x route: allowed exactly as the declared scope says, by both transports. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROLES, type Role, type Scope, scopesOf } from "#src/tenancy/scopes.ts";
import { type RpcError, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { callByHttp } from "../support/world.ts";

/** Written down here once more, so that a change of the product's own table is seen. */
const MAY: Readonly<Record<Role, readonly Scope[]>> = {
  owner: [
    "operator.admin",
    "operator.read",
    "operator.write",
    "operator.approvals",
    "operator.pairing",
    "operator.questions",
  ],
  admin: [
    "operator.admin",
    "operator.read",
    "operator.write",
    "operator.approvals",
    "operator.pairing",
    "operator.questions",
  ],
  member: ["operator.read", "operator.write"],
  readonly: ["operator.read"],
};

/** What somebody who may only read can change: things of their own. */
const READERS_WRITE = new Set(["users.prefs.set"]);

let world: TestApp;
const tokens = {} as Record<Role, string>;

beforeAll(async () => {
  world = await startApp();
  for (const role of ROLES) tokens[role] = await world.token("acme", role, role);
});

afterAll(() => world.close());

const allowed = (role: Role, scope: Scope | null) => scope === null || MAY[role].includes(scope);

describe("roles", () => {
  it("hold the scopes that are written down", () => {
    expect(Object.fromEntries(ROLES.map((role) => [role, scopesOf(role)]))).toEqual(MAY);
  });

  it.each(ROLES)("%s is told so in hello, whatever it asks for", async (role) => {
    const client = new SocketClient(world.wsUrl);
    const asked = ["operator.admin", "operator.root", "*", "operator.future", "node.invoke"];
    const hello = await client.connect(tokens[role], {
      scopes: asked,
      caps: ["everything"],
      permissions: { "*": true },
      isOperator: true,
    });
    const { scopes } = hello["auth"] as { scopes: string[] };
    expect([...scopes].sort()).toEqual([...MAY[role]].sort());
    client.close();
  });

  it.each(ROLES)("%s may call by socket what its scopes say and nothing else", async (role) => {
    const client = new SocketClient(world.wsUrl);
    await client.connect(tokens[role]);
    const methods = world.app.methods.list();
    expect(methods.length).toBeGreaterThan(50);
    for (const method of methods) {
      // No method takes a bare number, so whoever may call is told that, and nothing happens.
      const refusal = await client.call(method.name, 7).then(
        () => undefined,
        (thrown: unknown) => (thrown as RpcError).error,
      );
      const expected = allowed(role, method.scope)
        ? { code: "INVALID_REQUEST", message: expect.stringMatching(`^invalid ${method.name} params`) }
        : {
            code: "FORBIDDEN",
            message: `missing scope: ${method.scope}`,
            details: {
              code: "MISSING_SCOPE",
              missingScope: method.scope,
              requiredScopes: [method.scope],
            },
          };
      expect(refusal, `${role} ${method.name}`).toMatchObject(expected);
    }
    client.close();
  });

  it.each(ROLES)("%s may call by HTTP what its scopes say and nothing else", async (role) => {
    for (const method of world.app.methods.list()) {
      const answer = await callByHttp(world.url, `/rpc/${method.name}`, tokens[role], 7);
      const { error } = JSON.parse(answer.text) as { error: { code: string; message: string } };
      expect([answer.status, error.code], `${role} ${method.name}`).toEqual(
        allowed(role, method.scope) ? [400, "invalid_request"] : [403, "forbidden"],
      );
    }
  });

  it.each(ROLES)("%s may use the routes that its scopes allow and no others", async (role) => {
    const routes = world.app.gateway.routes;
    let seen = 0;
    for (const route of routes) {
      if (route.policy.kind !== "tenant") continue;
      seen++;
      const path = route.path.replaceAll(/:\w+/g, "no-such-thing");
      const answer = await callByHttp(world.url, path, tokens[role], 7, {}, route.method);
      const isRefused = answer.status === 403 && answer.text.includes("missing scope");
      expect(isRefused, `${role} ${route.method} ${route.path}: ${answer.text}`).toBe(
        !allowed(role, route.policy.scope),
      );
      expect(answer.status).toBeLessThan(500);
    }
    expect(seen).toBeGreaterThan(8);
  });

  it("leaves nothing that changes things to those who may only read", () => {
    const loose = world.app.methods
      .list()
      .filter((method) => method.cost === "write" || method.cost === "turn")
      .filter((method) => allowed("readonly", method.scope) && !READERS_WRITE.has(method.name));
    expect(loose.map((method) => method.name)).toEqual([]);
  });

  it("are asked for at every route: none is open but those that are meant to be", () => {
    const open = world.app.gateway.routes.filter((route) => route.policy.kind === "public");
    expect(open.map((route) => `${route.method} ${route.path}`).sort()).toEqual([
      "GET /.well-known/jwks.json",
      "GET /auth/callback/:provider",
      "GET /auth/providers",
      "GET /auth/session",
      "GET /healthz",
      "GET /openapi.json",
      "GET /readyz",
      "POST /auth/backchannel-logout/:provider",
      "POST /auth/invitations/look",
      "POST /auth/link",
      "POST /auth/logout",
      "POST /auth/start",
      "POST /webhooks/payments/alipay",
      "POST /webhooks/payments/stripe",
    ]);
  });

  it("mean nothing to whoever has no credential: every route but the open ones answers 401", async () => {
    for (const route of world.app.gateway.routes) {
      if (route.policy.kind === "public") continue;
      const path = route.path.replaceAll(/:\w+/g, "no-such-thing");
      for (const prefix of route.policy.kind === "tenant" ? ["", "/t/acme", "/t/nobody"] : [""]) {
        const hasBody = route.method !== "GET" && route.method !== "DELETE";
        const answer = await fetch(`${world.url}${prefix}${path}`, {
          method: route.method,
          ...(hasBody ? { body: "{}", headers: { "content-type": "application/json" } } : {}),
        });
        expect(answer.status, `${route.method} ${prefix}${path}`).toBe(401);
        expect(answer.headers.get("www-authenticate")).toBe("Bearer");
        await answer.text();
      }
    }
  });
});
