/** A browser's session over HTTP: the cookie's name and flags, who may use it, and what other pages cannot do with it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { UserId } from "#src/kernel/ids.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { type RpcError, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { request } from "../support/world.ts";

const HOST = "creel.gw.test";
const JSON_TYPE = "Content-Type: application/json";
/** What the proxy in front says of a browser that came by TLS. */
const BY_TLS = ["X-Forwarded-Proto: https", `X-Forwarded-Host: ${HOST}`, "X-Forwarded-For: 203.0.113.7"];

let world: TestApp;
let tenant: Tenant;
let userId: UserId;

beforeAll(async () => {
  world = await startApp({ config: { trustedProxies: ["127.0.0.1"], allowedHosts: [HOST] } });
  tenant = await world.tenant("acme");
  await world.tenant("beta");
  userId = (await world.app.auth.users.create({ displayName: "Ada" })).id;
  await world.app.auth.members.add(tenant.id, userId, "owner");
});

afterAll(() => world.close());

const newLink = () => world.app.auth.links.create(userId, tenant.id);

async function signIn(lines: readonly string[] = [], token?: string) {
  const body = JSON.stringify({ token: token ?? (await newLink()) });
  return request(world.url, "/auth/link", { method: "POST", headers: [JSON_TYPE, ...lines], body });
}

/** `name=value` of the cookie that an answer sets. */
const pairOf = (setCookie: string | undefined) => setCookie?.split(";")[0] ?? "";

async function session(): Promise<string> {
  const answer = await signIn([`Origin: ${world.url}`]);
  expect(answer.status).toBe(200);
  return `Cookie: ${pairOf(answer.headers["set-cookie"])}`;
}

const whoami = (headers: readonly string[]) => request(world.url, "/auth/session", { headers });

function act(headers: readonly string[], target = "/t/acme/rpc/users.self") {
  return request(world.url, target, { method: "POST", headers: [JSON_TYPE, ...headers], body: "{}" });
}

describe("the cookie", () => {
  it("by TLS is bound to the host: __Host-, Secure, for every path, for no script", async () => {
    const answer = await signIn([...BY_TLS, `Origin: https://${HOST}`]);
    expect(answer.status).toBe(200);
    expect(answer.headers["strict-transport-security"]).toBe("max-age=31536000");
    const [pair, ...flags] = (answer.headers["set-cookie"] ?? "").split("; ");
    expect(pair).toMatch(/^__Host-creel=[A-Za-z0-9_-]{32,}$/);
    expect(flags.filter((flag) => !flag.startsWith("Max-Age=")).sort()).toEqual([
      "HttpOnly",
      "Path=/",
      "SameSite=Lax",
      "Secure",
    ]);
    expect((await whoami([...BY_TLS, `Cookie: ${pair}`])).status).toBe(200);
  });

  it("by plain HTTP on this machine has another name and opens nothing by TLS, nor the other way round", async () => {
    const plain = await signIn();
    const pair = pairOf(plain.headers["set-cookie"]);
    expect(pair).toMatch(/^creel-loopback=/);
    expect(plain.headers["set-cookie"]).not.toMatch(/Secure|Domain/);
    expect(plain.headers["set-cookie"]).toMatch(/HttpOnly.*SameSite=Lax/);
    const value = pair.split("=")[1];
    expect((await whoami([`Cookie: ${pair}`])).status).toBe(200);
    expect((await whoami([`Cookie: __Host-creel=${value}`])).status).toBe(401);
    expect((await whoami([...BY_TLS, `Cookie: ${pair}`])).status).toBe(401);
  });

  it("is neither given nor taken by plain HTTP from elsewhere", async () => {
    const link = await newLink();
    const refused = await signIn([`X-Forwarded-Host: ${HOST}`], link);
    expect(refused.status).toBe(403);
    expect(refused.body).toContain("needs HTTPS");
    expect(refused.headers["set-cookie"]).toBeUndefined();
    // The link is still good where it can be used.
    expect((await signIn([], link)).status).toBe(200);
    const cookie = await session();
    expect((await whoami([`X-Forwarded-Host: ${HOST}`, cookie])).status).toBe(401);
  });

  it("that is there twice, or oddly written, is none", async () => {
    const cookie = await session();
    const pair = cookie.slice("Cookie: ".length);
    const value = pair.split("=")[1];
    expect((await whoami([cookie])).status).toBe(200);
    expect((await whoami([`Cookie: a=b; ${pair}; c=d`])).status).toBe(200);
    for (const odd of [
      `${pair}; ${pair}`,
      `${pair}; creel-loopback=other`,
      `creel-loopback=other; ${pair}`,
      `Creel-Loopback=${value}`,
      `creel-loopback="${value}"`,
      `$Version=1; creel-loopback="x; ${pair}"`,
      `creel-loopback=${value}%20`,
      `creel-loopback =${value}`,
      `\u00a0creel-loopback=${value}`,
      "creel-loopback=",
      `creel-loopback=${"x".repeat(8_000)}`,
    ]) {
      expect((await whoami([`Cookie: ${odd}`])).status, odd.slice(0, 60)).toBe(401);
    }
  });

  it("is new at every sign-in, and the old one is dead", async () => {
    const first = await session();
    const again = await signIn([first, `Origin: ${world.url}`]);
    expect(pairOf(again.headers["set-cookie"])).not.toBe(first.slice("Cookie: ".length));
    expect((await whoami([first])).status).toBe(401);
  });

  it("is taken away at sign-out, on both sides", async () => {
    const cookie = await session();
    const out = await request(world.url, "/auth/logout", {
      method: "POST",
      headers: [cookie, `Origin: ${world.url}`],
    });
    expect(out.status).toBe(200);
    expect(out.headers["set-cookie"]).toMatch(/^creel-loopback=;.*(Max-Age=0|Expires=Thu, 01 Jan 1970)/);
    expect((await whoami([cookie])).status).toBe(401);
  });

  it("names no tenant: the same one serves each of the person's tenants, by its path, and no others", async () => {
    const cookie = await session();
    const own = `Origin: ${world.url}`;
    expect((await act([cookie, own])).status).toBe(200);
    expect((await act([cookie, own], "/t/beta/rpc/users.self")).status).toBe(404);
    expect((await act([cookie, own], "/t/nobody/rpc/users.self")).status).toBe(404);
    // Without a name there is no tenant to guess, though the person has only one.
    expect((await act([cookie, own], "/rpc/users.self")).status).toBe(404);
  });

  it("beside a token is one credential too many", async () => {
    const cookie = await session();
    const token = await world.token("acme");
    const answer = await act([cookie, `Origin: ${world.url}`, `Authorization: Bearer ${token}`]);
    expect(answer.status).toBe(400);
    expect(answer.body).toContain('"credential_ambiguous"');
  });
});

describe("another page", () => {
  const FOREIGN = [
    ["Origin: https://evil.test"],
    ["Origin: null"],
    ["Origin: http://127.0.0.1"],
    ["Origin: http://localhost.evil.test"],
    ["Sec-Fetch-Site: cross-site"],
    ["Sec-Fetch-Site: same-site"],
    ["Sec-Fetch-Site: none"],
    ["Origin: https://evil.test", "Sec-Fetch-Site: same-origin"],
    [],
  ];

  it("cannot act with the cookie of a browser", async () => {
    const cookie = await session();
    for (const lines of FOREIGN) {
      const answer = await act([cookie, ...lines]);
      expect(answer.status, lines.join(" ")).toBe(403);
      expect(answer.body).toContain('"origin_refused"');
      expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
    }
    expect((await act([cookie, "Sec-Fetch-Site: same-origin"])).status).toBe(200);
    expect((await act([cookie, `Origin: ${world.url}`])).status).toBe(200);
  });

  it("cannot sign a browser in or out", async () => {
    const cookie = await session();
    for (const lines of FOREIGN.filter(([first]) => first?.startsWith("Origin"))) {
      const link = await newLink();
      expect((await signIn(lines, link)).status, lines.join(" ")).toBe(403);
      const out = await request(world.url, "/auth/logout", { method: "POST", headers: [cookie, ...lines] });
      expect(out.status).toBe(403);
      // The link was not used up by the attempt.
      expect((await signIn([`Origin: ${world.url}`], link)).status).toBe(200);
    }
    expect((await whoami([cookie])).status).toBe(200);
  });

  it("cannot open a socket, whatever it shows", async () => {
    const token = await world.token("acme");
    for (const origin of ["https://evil.test", "null", "http://127.0.0.1"]) {
      const client = new SocketClient(world.wsUrl, { origin });
      const refusal = await client.connect(token).catch((thrown: unknown) => (thrown as RpcError).error);
      expect(refusal).toMatchObject({ details: { code: "CONTROL_UI_ORIGIN_NOT_ALLOWED" } });
      expect((await client.untilClosed()).code).toBe(1008);
    }
    const own = new SocketClient(world.wsUrl, { origin: world.url });
    expect((await own.connect(token))["type"]).toBe("hello-ok");
    own.close();
  });

  it("gains nothing from the cookie that a browser sends along with an upgrade", async () => {
    const cookie = (await session()).slice("Cookie: ".length);
    const client = new SocketClient(`${world.wsUrl}/t/acme`, { origin: world.url, cookie });
    const refusal = await client
      .connect("", { auth: undefined })
      .catch((thrown: unknown) => (thrown as RpcError).error);
    expect(refusal).toMatchObject({ code: "NOT_PAIRED" });
  });
});

describe("a link to sign in", () => {
  it("is tried a bounded number of times from one address", async () => {
    const from = "X-Forwarded-For: 203.0.113.99";
    const answers = [];
    for (let index = 0; index < 25; index++) answers.push(await signIn([from], `wrong-${index}`));
    expect(answers[0]?.status).toBe(401);
    const last = answers.at(-1);
    expect(last?.status).toBe(429);
    expect(Number(last?.headers["retry-after"])).toBeGreaterThan(0);
    expect((await signIn([from])).status).toBe(429);
    expect((await signIn(["X-Forwarded-For: 203.0.113.98"])).status).toBe(200);
  });
});
