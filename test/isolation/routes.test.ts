/**
 * Every declared HTTP route, every path parameter, body field and meaningful header: nothing of another tenant is
 * read, changed or noticed, whether the caller shows a token or a cookie. Made from the declarations.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { UserId } from "#src/kernel/ids.ts";
import type { Route } from "#src/protocol/routes.ts";
import { plantDevice, SHARED_DEVICE } from "./devices.ts";
import { callRoute, closeStage, comparable, openStage, type Reply, type Stage } from "./exercise.ts";
import { FOREIGN_LOOKS, OWN_LOOKS } from "./looks.ts";
import { FOREIGN_PEOPLE, OWN_PEOPLE, OWN_PEOPLE_ANSWERS } from "./people.ts";
import { baseOf, foreignPairs, MALFORMED_NUMBERS, MALFORMED_TEXTS, ownValue } from "./probes.ts";
import { type JsonSchema, type Leaf, leavesOf, toInputSchema, withValue } from "./schema-walk.ts";
import { printTenant } from "./state-print.ts";
import { NOBODY, SHARED } from "./twins.ts";

let stage: Stage;
let before: Record<string, string>;
let cookie: string;
const covered = new Set<string>();

beforeAll(async () => {
  stage = await openStage();
  cookie = await signIn(stage);
  before = printTenant(stage.world.stateDir, stage.other.tenant.id);
});

afterAll(() => closeStage(stage));

async function signIn({ world, mine }: Stage): Promise<string> {
  const token = await world.app.auth.links.create(mine.userId, mine.tenant.id);
  const answer = await fetch(`${world.url}/auth/link`, {
    method: "POST",
    headers: { origin: world.url, "content-type": "application/json" },
    body: JSON.stringify({ token }),
  });
  expect(answer.status).toBe(200);
  return (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
}

function ownToken({ world, mine }: Stage, userId: UserId | null): Promise<string> {
  const input = { role: "readonly", name: "used up", maker: { kind: "machine" }, userId } as const;
  return world.app.auth.tokens.create(mine.tenant.id, input).then(({ token }) => token.id);
}

/** Values of path parameters that are the caller's own, made anew where a call uses them up. */
const OWN_PATH: Readonly<Record<string, (on: Stage) => Promise<string>>> = {
  "DELETE /api/tokens/:id": (on) => ownToken(on, null),
  "DELETE /api/my/tokens/:id": (on) => ownToken(on, on.mine.userId),
  "DELETE /api/providers/:id": async (on) => {
    const body = { baseUrl: "https://own.example/v1", models: [] };
    await callRoute(on, "/api/providers/used-up", body, { method: "PUT" });
    return "used-up";
  },
  "DELETE /api/devices/:deviceId": async (on) => ownDevice(on),
  "DELETE /api/my/devices/:deviceId": async (on) => ownDevice(on),
  "PUT /api/providers/:id": async () => SHARED.provider,
  "POST /rpc/:method": async () => "health",
  "GET /api/statements/:month": async () => new Date().toISOString().slice(0, 7),
  ...OWN_PEOPLE,
  ...OWN_LOOKS,
};

function ownDevice({ world, mine }: Stage): string {
  plantDevice(world.stateDir, mine, SHARED_DEVICE, "own device");
  return SHARED_DEVICE.deviceId;
}

/** What a path parameter names, for the twin's and nobody's. */
const FOREIGN_PATH: Readonly<Record<string, string>> = {
  "DELETE /api/devices/:deviceId": "deviceId",
  "DELETE /api/my/devices/:deviceId": "deviceId",
  "DELETE /api/tokens/:id": "tokenId",
  "DELETE /api/my/tokens/:id": "tokenId",
  "DELETE /api/providers/:id": "provider",
  "PUT /api/providers/:id": "provider",
  ...FOREIGN_PEOPLE,
  ...FOREIGN_LOOKS,
};

/** Answers to the caller's own calls that are not a success, by what is shown. */
const OWN_ANSWERS: Readonly<Record<string, { byToken: number; byCookie: number }>> = {
  "POST /auth/socket-token": { byToken: 403, byCookie: 200 },
  "GET /api/my/tokens": { byToken: 403, byCookie: 200 },
  "POST /api/my/tokens": { byToken: 403, byCookie: 201 },
  "DELETE /api/my/tokens/:id": { byToken: 403, byCookie: 204 },
  "POST /api/my/sign-out-everywhere": { byToken: 403, byCookie: 200 },
  "PUT /api/sign-in-provider": { byToken: 403, byCookie: 200 },
  "DELETE /api/sign-in-provider": { byToken: 403, byCookie: 204 },
  // Without a limit to try out.
  "GET /api/billing/preview": { byToken: 400, byCookie: 400 },
  // Nobody takes payments here, and no codes were made.
  "POST /api/top-ups": { byToken: 404, byCookie: 404 },
  "POST /api/redeem": { byToken: 404, byCookie: 404 },
  ...OWN_PEOPLE_ANSWERS,
};

/** Headers that name things. */
const HEADERS: Readonly<Record<string, Record<string, string>>> = {
  "POST /v1/chat/completions": {
    "x-openclaw-session-key": "sessionKey",
    "x-openclaw-agent-id": "agentId",
    "idempotency-key": "idempotencyKey",
  },
};

const ODD_PATH = [
  "..%2f..%2fetc",
  "a%00b",
  "__proto__",
  "x".repeat(200),
  "%F0%9F%98%80",
  "%",
  "%zz",
  "..;",
  "*",
];

const tenantRoutes = () => stage.world.app.gateway.routes.filter((route) => route.policy.kind === "tenant");
const nameOf = (route: Route) => `${route.method} ${route.path}`;
const parametersOf = (route: Route) => [...route.path.matchAll(/:(\w+)/g)].map((match) => match[0]);
const leafNamed = (name: string): Leaf => ({ steps: [name], label: name, name, isText: true, schema: {} });

async function targetOf(route: Route): Promise<string> {
  const [parameter] = parametersOf(route);
  if (parameter === undefined) return route.path;
  const make = OWN_PATH[nameOf(route)];
  if (make === undefined) throw new Error(`routes.test.ts does not know an own value for ${nameOf(route)}`);
  return route.path.replace(parameter, await make(stage));
}

function bodyOf(route: Route): { schema: JsonSchema; base: () => unknown } {
  const schema = route.body === null ? {} : toInputSchema(route.body);
  const isFree = route.body === null || route.path === "/rpc/:method";
  return {
    schema: isFree ? { type: "object" } : schema,
    base: () => (isFree ? undefined : baseOf(nameOf(route), schema, stage.mine)),
  };
}

async function send(route: Route, target: string, body: unknown, headers: Record<string, string> = {}) {
  const reply = await callRoute(stage, target, body, { method: route.method, headers });
  await stage.world.app.drained();
  expect(reply.status, `${nameOf(route)} ${target}: ${reply.text}`).toBeLessThan(500);
  return reply;
}

function same(theirs: Reply, nobodys: Reply, pair: { foreign: string; absent: string }, what: string): void {
  expect(comparable(theirs, pair, stage), `${what} = ${pair.foreign}`).toBe(comparable(nobodys, pair, stage));
}

async function exerciseBody(route: Route): Promise<void> {
  const { schema, base } = bodyOf(route);
  for (const leaf of leavesOf(schema)) {
    for (const pair of leaf.isText ? foreignPairs(nameOf(route), leaf, stage.other) : []) {
      const theirs = await send(route, await targetOf(route), withValue(base(), leaf.steps, pair.foreign));
      const nobodys = await send(route, await targetOf(route), withValue(base(), leaf.steps, pair.absent));
      same(theirs, nobodys, pair, `${nameOf(route)} ${leaf.label}`);
    }
    const odd = leaf.isText ? MALFORMED_TEXTS : MALFORMED_NUMBERS;
    for (const value of [ownValue(nameOf(route), leaf, stage.mine), ...odd]) {
      await send(route, await targetOf(route), withValue(base(), leaf.steps, value));
    }
    covered.add(`${nameOf(route)} ${leaf.label}`);
  }
}

async function exercisePath(route: Route): Promise<void> {
  const { base } = bodyOf(route);
  for (const parameter of parametersOf(route)) {
    const kind = FOREIGN_PATH[nameOf(route)];
    if (kind !== undefined) {
      const leaf = leafNamed(kind === "tokenId" ? "anything" : kind);
      const pairs = foreignPairs("path", leaf, stage.other);
      for (const pair of pairs.filter(({ foreign }) => foreign === stage.other.only[kind as "tokenId"])) {
        const theirs = await send(
          route,
          route.path.replace(parameter, encodeURIComponent(pair.foreign)),
          base(),
        );
        const nobodys = await send(
          route,
          route.path.replace(parameter, encodeURIComponent(pair.absent)),
          base(),
        );
        same(theirs, nobodys, pair, `${nameOf(route)} ${parameter}`);
        covered.add(`${nameOf(route)} ${parameter}`);
      }
    } else covered.add(`${nameOf(route)} ${parameter}`);
    for (const odd of ODD_PATH) await send(route, route.path.replace(parameter, odd), base());
  }
}

async function exerciseHeaders(route: Route): Promise<void> {
  const { base } = bodyOf(route);
  for (const [header, kind] of Object.entries(HEADERS[nameOf(route)] ?? {})) {
    for (const pair of foreignPairs("header", leafNamed(kind), stage.other)) {
      const theirs = await send(route, route.path, base(), { [header]: pair.foreign });
      const nobodys = await send(route, route.path, base(), { [header]: pair.absent });
      same(theirs, nobodys, pair, `${nameOf(route)} ${header}`);
    }
    for (const odd of ["../../x", "__proto__", "x".repeat(4_000), "'", "agent:*"]) {
      await send(route, route.path, base(), { [header]: odd });
    }
  }
}

describe("routes of tenants", () => {
  it("accept what is the caller's own", async () => {
    expect(tenantRoutes().length).toBeGreaterThan(8);
    for (const route of tenantRoutes()) {
      for (const prefix of ["", `/t/${stage.mine.slug}`]) {
        const reply = await send(route, `${prefix}${await targetOf(route)}`, bodyOf(route).base());
        const expected = OWN_ANSWERS[nameOf(route)]?.byToken ?? Math.min(reply.status, 299);
        expect(reply.status, `${nameOf(route)}: ${reply.text}`).toBe(expected);
      }
    }
  });

  it("answer to the other tenant's things as to nobody's, in body, path and headers", {
    timeout: 60_000,
  }, async () => {
    for (const route of tenantRoutes()) {
      await exercisePath(route);
      await exerciseBody(route);
      await exerciseHeaders(route);
    }
  });

  it("refuse a token in the other tenant as in one that is not there, by path, header and both", async () => {
    const pair = { foreign: stage.other.slug, absent: NOBODY };
    for (const route of tenantRoutes()) {
      const target = await targetOf(route);
      const body = bodyOf(route).base();
      const byPath = [];
      const byHeader = [];
      const byBoth = [];
      for (const slug of [pair.foreign, pair.absent]) {
        byPath.push(await send(route, `/t/${slug}${target}`, body));
        byHeader.push(await send(route, target, body, { "x-tenant-id": slug }));
        byBoth.push(await send(route, `/t/${slug}${target}`, body, { "x-tenant-id": slug }));
      }
      for (const [theirs, nobodys] of [byPath, byHeader, byBoth]) {
        expect(theirs?.status).toBe(403);
        same(theirs as Reply, nobodys as Reply, pair, nameOf(route));
      }
    }
  });

  it("refuse a cookie in the other tenant as in one that is not there", async () => {
    const pair = { foreign: stage.other.slug, absent: NOBODY };
    for (const route of tenantRoutes()) {
      const target = await targetOf(route);
      const body = bodyOf(route).base();
      const inTenant = async (slug: string) => {
        const hasBody = body !== undefined && route.method !== "GET";
        const answer = await fetch(`${stage.world.url}/t/${slug}${target}`, {
          method: route.method,
          headers: {
            cookie,
            origin: stage.world.url,
            ...(hasBody ? { "content-type": "application/json" } : {}),
          },
          ...(hasBody ? { body: JSON.stringify(body) } : {}),
        });
        return { ok: answer.ok, code: "", status: answer.status, text: await answer.text() };
      };
      const [theirs, nobodys] = await Promise.all([pair.foreign, pair.absent].map(inTenant));
      // The last, since it may end the cookie's session.
      const own = await inTenant(stage.mine.slug);
      if (nameOf(route) === "POST /api/my/sign-out-everywhere") cookie = await signIn(stage);
      const expected = OWN_ANSWERS[nameOf(route)]?.byCookie ?? Math.min(own?.status ?? 0, 299);
      expect(own?.status, `${nameOf(route)}: ${own?.text}`).toBe(expected);
      expect(theirs?.status).toBe(404);
      same(theirs as Reply, nobodys as Reply, pair, nameOf(route));
    }
    await stage.world.app.drained();
  });

  it("were tried with every path parameter and body field", () => {
    const expected = tenantRoutes().flatMap((route) => [
      ...parametersOf(route).map((parameter) => `${nameOf(route)} ${parameter}`),
      ...leavesOf(bodyOf(route).schema).map((leaf) => `${nameOf(route)} ${leaf.label}`),
    ]);
    expect(expected.length).toBeGreaterThan(15);
    expect(expected.filter((one) => !covered.has(one))).toEqual([]);
  });
});

describe("routes of nobody in particular", () => {
  it("show a signed-in person their own tenants and no others", async () => {
    const answer = await fetch(`${stage.world.url}/auth/session`, { headers: { cookie } });
    const body = await answer.text();
    expect(body).toContain(stage.mine.slug);
    for (const mark of [...stage.other.canaries, ...stage.other.ids, stage.other.slug]) {
      expect(body).not.toContain(mark);
    }
  });

  it("name no tenant: documents, health, metrics", async () => {
    const { stateDir, url } = stage.world;
    const { readFile } = await import("node:fs/promises");
    const token = (await readFile(`${stateDir}/metrics-token`, "utf8")).trim();
    for (const path of [
      "/healthz",
      "/readyz",
      "/openapi.json",
      "/metrics",
      "/",
      "/login",
      "/t/azure/",
      "/nowhere",
    ]) {
      const answer = await fetch(`${url}${path}`, {
        headers: path === "/metrics" ? { authorization: `Bearer ${token}` } : {},
      });
      const text = JSON.stringify([...answer.headers]) + (await answer.text());
      expect(answer.status).toBeLessThan(500);
      for (const twin of [stage.mine, stage.other]) {
        for (const mark of [...twin.canaries, ...twin.ids, twin.slug]) {
          expect(text.includes(mark) && !path.includes(mark), `${path} ${mark}`).toBe(false);
        }
      }
    }
  });
});

describe("after all of this", () => {
  it("the other tenant holds what it held and heard nothing but ticks", () => {
    expect(printTenant(stage.world.stateDir, stage.other.tenant.id)).toEqual(before);
    expect(stage.witness.frames.filter((frame) => frame["event"] !== "tick")).toEqual([]);
  });
});
