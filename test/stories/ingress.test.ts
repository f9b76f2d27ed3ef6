/** Which tenant a request or an upgrade names: one rule for all sources, and never a guess. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Peers } from "#src/gateway/address.ts";
import { RpcError, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { callByHttp, type RawAnswer, readAnswer, request, sendRaw, upgrade } from "../support/world.ts";

const HOST = { acme: "acme.gw.test", beta: "beta.gw.test", sleepy: "sleepy.gw.test" } as const;

/** Behind a proxy that is believed, so that every call can come from an address of its own and none is slowed down. */
let world: TestApp;
let token: string;
let foreignToken: string;

beforeAll(async () => {
  world = await startApp({ config: { trustedProxies: ["127.0.0.1"] } });
  for (const [slug, host] of Object.entries(HOST)) await world.app.tenants.create({ slug, hosts: [host] });
  token = await world.token("acme");
  foreignToken = await world.token("beta");
  const sleepy = await world.app.tenants.getBySlug("sleepy");
  await world.app.tenants.suspend(sleepy.id);
});

afterAll(() => world.close());

const bearer = (secret: string) => `Authorization: Bearer ${secret}`;

let callers = 0;
function freshAddress(): string {
  callers++;
  return `198.51.${callers >> 8}.${callers & 255}`;
}

/** Ask who one is: a method that needs a tenant. */
function whoami(target: string, headers: string[] = [], host?: string | null, secret = token) {
  return request(world.url, target, {
    method: "POST",
    headers: [
      bearer(secret),
      `X-Forwarded-For: ${freshAddress()}`,
      "Content-Type: application/json",
      ...headers,
    ],
    body: "{}",
    ...(host === undefined ? {} : { host }),
  });
}

function codeOf(answer: RawAnswer): string {
  try {
    return (JSON.parse(answer.body) as { error?: { code?: string } }).error?.code ?? "ok";
  } catch {
    return `no JSON: ${answer.text.slice(0, 200)}`;
  }
}

/** An answer without what differs from one request to the next. */
function comparable(answer: RawAnswer): unknown {
  const { date, "x-request-id": requestId, ...headers } = answer.headers;
  return {
    status: answer.status,
    headers,
    body: answer.body.replaceAll(/"requestId":"[^"]*"/g, ""),
    had: [typeof date, typeof requestId],
  };
}

type Named = "acme" | "beta" | "sleepy" | "nobody" | null;
const NAMES: Named[] = ["acme", "beta", "sleepy", "nobody", null];

/** Every combination of what host, path and header can say. A host nobody has is another story. */
const COMBINATIONS = NAMES.filter((name) => name !== "nobody").flatMap((host) =>
  NAMES.flatMap((path) => NAMES.map((header) => ({ host, path, header }))),
);

function expectedCode({ host, path, header }: (typeof COMBINATIONS)[number]): string {
  const named = new Set([host, path, header].filter((name) => name !== null));
  if (named.size > 1) return "tenant_ambiguous";
  const [only] = named;
  return only === undefined || only === "acme" ? "ok" : "tenant_mismatch";
}

describe("host, path and header", () => {
  it("must agree with each other and with the token, in every combination, by HTTP", async () => {
    for (const combination of COMBINATIONS) {
      const { host, path, header } = combination;
      const answer = await whoami(
        `${path === null ? "" : `/t/${path}`}/rpc/health`,
        header === null ? [] : [`X-Tenant-Id: ${header}`],
        host === null ? undefined : HOST[host as keyof typeof HOST],
      );
      expect(codeOf(answer), JSON.stringify(combination)).toBe(expectedCode(combination));
    }
  });

  it("must agree in every combination when a socket opens", async () => {
    for (const combination of COMBINATIONS) {
      const { host, path, header } = combination;
      const client = new SocketClient(`${world.wsUrl}${path === null ? "/" : `/t/${path}/ws`}`, {
        "x-forwarded-for": freshAddress(),
        ...(host === null ? {} : { host: HOST[host as keyof typeof HOST] }),
        ...(header === null ? {} : { "x-tenant-id": header }),
      });
      const outcome = await client.connect(token).then(
        () => "ok",
        (thrown: unknown) =>
          thrown instanceof RpcError
            ? String(thrown.error.details?.["code"])
            : `closed ${client.closed?.code}`,
      );
      const expected = { ok: "ok", tenant_ambiguous: "closed 1006", tenant_mismatch: "AUTH_TOKEN_MISMATCH" };
      expect(outcome, JSON.stringify(combination)).toBe(expected[expectedCode(combination) as "ok"]);
      client.close();
    }
  });

  it("take the tenant's id in the header as well as its slug", async () => {
    const { id } = await world.app.tenants.getBySlug("acme");
    const other = await world.app.tenants.getBySlug("beta");
    expect(codeOf(await whoami("/rpc/health", [`X-Tenant-Id: ${id}`]))).toBe("ok");
    expect(codeOf(await whoami("/t/acme/rpc/health", [`X-Tenant-Id: ${other.id}`]))).toBe("tenant_ambiguous");
    expect(codeOf(await whoami("/rpc/health", [`X-Tenant-Id: ${other.id}`]))).toBe("tenant_mismatch");
  });

  it("are refused when a header that decides is there twice", async () => {
    for (const lines of [
      ["X-Tenant-Id: acme", "X-Tenant-Id: beta"],
      ["X-Tenant-Id: acme", "x-tenant-id: acme"],
      ["X-Tenant-Id: acme, beta"],
      ["X-Tenant-Id: "],
      ["X-Tenant-Id: ACME"],
      ["X-Tenant-Id: acme/../beta"],
      ["Host: acme.gw.test", "Host: beta.gw.test"],
      ["Host: acme.gw.test", "Host: acme.gw.test"],
    ]) {
      const answer = await whoami("/rpc/health", lines);
      expect(answer.status, lines.join(" | ")).toBe(400);
      const opened = await upgrade(world.url, "/", lines, {
        host: lines.some((line) => line.startsWith("Host")) ? null : new URL(world.url).host,
      });
      expect(opened.status, lines.join(" | ")).toBe(400);
    }
  });

  it("give nothing to other headers that might name a host or a path", async () => {
    const inert = [
      "Forwarded: host=beta.gw.test",
      "X-Original-Host: beta.gw.test",
      "X-Forwarded-Host: beta.gw.test",
      "X-Forwarded-Proto: https",
      "X-Rewrite-URL: /t/beta/rpc/health",
      "X-Original-URL: /t/beta/rpc/health",
      "X-HTTP-Method-Override: DELETE",
      "X-Forwarded-Prefix: /t/beta",
    ];
    const direct = await startApp();
    const secret = await direct.token("acme");
    const ask = async (lines: string[]) => {
      const headers = [bearer(secret), "Content-Type: application/json", ...lines];
      const answer = await request(direct.url, "/rpc/users.self", { method: "POST", headers, body: "{}" });
      expect(answer.status).toBe(200);
      return comparable(answer);
    };
    const plain = await ask([]);
    for (const line of inert) expect(await ask([line]), line).toEqual(plain);
    await direct.close();
  });
});

describe("a host", () => {
  it.each([
    "acme.gw.test@beta.gw.test",
    "acme.gw.test, beta.gw.test",
    "acme.gw.test beta.gw.test",
    "acme.gw.test/../beta.gw.test",
    "acme.gw.test#",
    "acme.gw.test?x",
    "[acme]",
    "[::1",
    "acme..gw.test",
    ".acme.gw.test",
    "-acme.gw.test",
    "acme_x.gw.test",
    "acme.gw.test.",
    "ACME.GW.TEST.:443",
    "acme.gw.test:",
    "acme.gw.test:0443",
    "acme.gw.test:65536",
    "acme.gw.test:80:80",
    "acme.gw.test:80a",
    "ａcme.gw.test",
    "",
    `${"a".repeat(64)}.gw.test`,
    `${"a.".repeat(200)}test`,
  ])("%j is refused, for requests and for sockets", async (host) => {
    const answers = [
      await whoami("/rpc/health", [], host),
      await request(world.url, "/healthz", { host }),
      await upgrade(world.url, "/", [], { host }),
    ];
    expect(answers.map((answer) => answer.status)).toEqual([400, 400, 400]);
  });

  it("is the same in any case and with any port", async () => {
    for (const host of ["ACME.gw.TEST", "acme.gw.test:443", "acme.gw.test:1", "AcMe.gw.test:65535"]) {
      expect(codeOf(await whoami("/rpc/health", [], host)), host).toBe("ok");
      expect(codeOf(await whoami("/rpc/health", [], host, foreignToken)), host).toBe("tenant_mismatch");
    }
  });

  it("that is not ours gets 421 and no page, so that no other name can be rebound to us", async () => {
    for (const host of ["evil.test", "gw.test", "www.acme.gw.test", "xacme.gw.test", "localhost.evil.test"]) {
      expect((await request(world.url, "/", { host })).status, host).toBe(421);
      expect((await whoami("/rpc/health", [], host)).status, host).toBe(421);
      expect((await upgrade(world.url, "/", [], { host })).status, host).toBe(421);
    }
  });

  it("that is missing is refused, also in HTTP/1.0", async () => {
    for (const version of ["HTTP/1.0", "HTTP/1.1"]) {
      const text = await sendRaw(world.url, `GET /healthz ${version}\r\nConnection: close\r\n\r\n`);
      expect(text.startsWith("HTTP/1.1 400"), text.slice(0, 80)).toBe(true);
    }
    expect((await upgrade(world.url, "/", [], { host: null })).status).toBe(400);
  });
});

describe("a target in absolute form", () => {
  it("may only repeat the host", async () => {
    const own = new URL(world.url).host;
    for (const [target, host] of [
      ["http://beta.gw.test/rpc/health", "acme.gw.test"],
      ["http://acme.gw.test/rpc/health", "beta.gw.test"],
      ["http://beta.gw.test/rpc/health", own],
      ["http://acme.gw.test@beta.gw.test/rpc/health", "acme.gw.test"],
      ["http:///rpc/health", "acme.gw.test"],
      ["acme.gw.test:80", "acme.gw.test"],
    ] as const) {
      const answer = await whoami(target, [], host);
      expect([400, 404], target).toContain(answer.status);
      expect((await upgrade(world.url, target, [], { host })).status, target).toBe(400);
    }
  });

  it("is served when it does", async () => {
    expect(codeOf(await whoami("http://acme.gw.test/rpc/health", [], "acme.gw.test"))).toBe("ok");
    expect(codeOf(await whoami("http://acme.gw.test/t/beta/rpc/health", [], "acme.gw.test"))).toBe(
      "tenant_ambiguous",
    );
    const opened = await upgrade(world.url, "http://acme.gw.test/ws", [], { host: "acme.gw.test" });
    expect(opened.status).toBe(101);
  });
});

describe("a path", () => {
  it.each([
    "/t/acme%2f..%2fbeta/rpc/health",
    "/t/acme%00/rpc/health",
    "/t/acme;x=1/rpc/health",
    "/t/%61cme/rpc/health",
    "/t/acme%252fbeta/rpc/health",
    "/t/acme\\..\\beta/rpc/health",
    "/t/ACME/rpc/health",
    "/t//rpc/health",
    "/t/acme//rpc/health",
    "/t/acme/../beta/rpc/health",
    "/t/acme/%2e%2e/beta/rpc/health",
    "/t/acme/..%2fbeta/rpc/health",
    "//t/acme/rpc/health",
    "/%74/acme/rpc/health",
    "/%74/beta/rpc/health",
    "/t%2facme/rpc/health",
    "/T/acme/rpc/health",
    "/./t/acme/rpc/health",
    "/x/../t/beta/rpc/health",
    "/t/acme/t/beta/rpc/health",
    "/t/acme/rpc/health#x",
    "/t/acme.beta/rpc/health",
    "/t/-acme/rpc/health",
    "/t/xn--cme-5cd/rpc/health",
  ])("%j is no tenant's: refused, whoever asks", async (path) => {
    for (const secret of [token, foreignToken]) {
      const answer = await whoami(path, [], undefined, secret);
      expect([400, 404], `${answer.status} ${answer.body}`).toContain(answer.status);
    }
  });

  it("of a socket may be anything below the tenant", async () => {
    for (const path of ["/", "/ws", "/t/acme", "/t/acme/", "/t/acme/ws", "/t/acme/chat/main", "/?x=1"]) {
      const client = new SocketClient(`${world.wsUrl}${path}`);
      expect((await client.connect(token))["type"], path).toBe("hello-ok");
      client.close();
    }
  });

  it("that names a tenant oddly opens no socket", async () => {
    for (const path of [
      "/t/%61cme/ws",
      "/t/acme%2f..%2fbeta",
      "/t/ACME/ws",
      "/%74/acme/ws",
      "//t/acme",
      "/t/acme//ws",
    ]) {
      expect([400, 404], path).toContain((await upgrade(world.url, path)).status);
    }
  });
});

describe("an unknown, a suspended and a foreign tenant", () => {
  const SLUGS = ["nobody", "sleepy", "beta"];

  it("look the same to a stranger, by path and by header, in status, body and headers", async () => {
    const cookie = await signedInCookie();
    // Another wrong token for each question: guessing at one is slowed down.
    const strangers: Record<string, (round: number) => string[]> = {
      "without a credential": () => [],
      "with a wrong token": (round) => [bearer(`creel_${String(round).padStart(4, "0")}${"x".repeat(45)}`)],
      "with a token of their own tenant": () => [bearer(token)],
      "with a cookie": () => [`Cookie: ${cookie}`, `Origin: ${world.url}`],
    };
    let round = 0;
    for (const [who, show] of Object.entries(strangers)) {
      for (const path of [
        "/rpc/health",
        "/rpc/nope",
        "/api/tokens",
        "/v1/models",
        "/auth/socket-token",
        "/nowhere",
      ]) {
        for (const method of ["GET", "POST"]) {
          const lines = show(++round);
          const byPath = [];
          const byHeader = [];
          for (const slug of SLUGS) {
            const from = `X-Forwarded-For: ${freshAddress()}`;
            const inPath = { method, headers: [...lines, from] };
            const inHeader = { method, headers: [...lines, from, `X-Tenant-Id: ${slug}`] };
            byPath.push(comparable(await request(world.url, `/t/${slug}${path}`, inPath)));
            byHeader.push(comparable(await request(world.url, path, inHeader)));
          }
          expect(new Set(byPath.map((one) => JSON.stringify(one))).size, `${who}: ${method} ${path}`).toBe(1);
          expect(new Set(byHeader.map((one) => JSON.stringify(one))).size, `${who}: ${method} ${path}`).toBe(
            1,
          );
        }
      }
    }
  });

  it("look the same to a socket with a token of another tenant", async () => {
    const answers = [];
    for (const slug of SLUGS) {
      const client = new SocketClient(`${world.wsUrl}/t/${slug}`, { "x-forwarded-for": freshAddress() });
      const refusal = await client.connect(token).catch((thrown: unknown) => (thrown as RpcError).error);
      answers.push(JSON.stringify([refusal, await client.untilClosed()]));
    }
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toContain("AUTH_TOKEN_MISMATCH");
  });

  it("with hosts of their own look the same: a suspended one and a foreign one", async () => {
    const answers = [];
    for (const host of [HOST.sleepy, HOST.beta]) {
      answers.push(JSON.stringify(comparable(await whoami("/rpc/health", [], host))));
      answers.push(JSON.stringify(comparable(await request(world.url, "/nowhere", { host }))));
    }
    expect(answers[0]).toBe(answers[2]);
    expect(answers[1]).toBe(answers[3]);
  });

  async function signedInCookie(): Promise<string> {
    const { id } = await world.app.tenants.getBySlug("acme");
    const user = await world.app.auth.users.create({ displayName: "Ada" });
    await world.app.auth.members.add(id, user.id, "owner");
    const link = await world.app.auth.links.create(user.id, id);
    const answer = await fetch(`${world.url}/auth/link`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: world.url },
      body: JSON.stringify({ token: link }),
    });
    return (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  }
});

describe("one connection", () => {
  it("carries requests of several tenants, each answered by its own", async () => {
    const one = (slug: string, secret: string, host: string) =>
      `POST /t/${slug}/rpc/users.list HTTP/1.1\r\nHost: ${host}\r\n${bearer(secret)}\r\nX-Mark: ${slug}\r\n` +
      "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    const user = await world.app.auth.users.create({ displayName: "Only in beta" });
    await world.app.auth.members.add((await world.app.tenants.getBySlug("beta")).id, user.id, "member");
    const rounds = 100;
    const bytes = Array.from({ length: rounds }, () => [
      one("acme", token, HOST.acme),
      one("beta", foreignToken, HOST.beta),
      one("acme", foreignToken, HOST.acme),
    ]).flat();
    bytes.push("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    const text = await sendRaw(world.url, bytes, 10_000);
    const answers = text.split(/(?=HTTP\/1\.1 )/).map(readAnswer);
    expect(answers).toHaveLength(rounds * 3 + 1);
    const shown = answers.slice(0, -1).map((answer) => [answer.status, answer.body.includes("Only in beta")]);
    expect(shown).toEqual(
      Array.from({ length: rounds }, () => [
        [200, false],
        [200, true],
        [403, false],
      ]).flat(),
    );
  });
});

describe("a tenant that is suspended", () => {
  it("loses its sockets and its tokens at once", async () => {
    const { id } = await world.tenant("fleeting");
    const secret = await world.token("fleeting");
    const client = new SocketClient(world.wsUrl);
    await client.connect(secret);
    await world.app.tenants.suspend(id);
    expect(await client.untilClosed(5_000)).toEqual({ code: 4001, reason: "access changed or revoked" });
    expect((await callByHttp(world.url, "/rpc/health", secret, {})).status).toBe(401);
    const again = new SocketClient(world.wsUrl);
    await expect(again.connect(secret)).rejects.toMatchObject({
      error: { details: { code: "AUTH_TOKEN_MISMATCH" } },
    });
    await world.app.tenants.resume(id);
    expect((await callByHttp(world.url, "/rpc/health", secret, {})).status).toBe(200);
  });
});

describe("a slug for a new tenant", () => {
  it.each([
    "\u212A8s",
    "ſales",
    "İstanbul",
    "acme\u200b",
    "ａcme",
    "xn--cme-5cd",
    "Acme",
    "ac",
    "a".repeat(41),
    "-acme",
    "acme-",
    "ac--me",
    "acme.x",
    "../acme",
    "admin",
    "t",
    "__proto__",
    "",
  ])("is never %j", async (slug) => {
    await expect(world.app.tenants.create({ slug })).rejects.toMatchObject({ code: "invalid_request" });
  });
});

describe("a trusted proxy", () => {
  const ask = (lines: string[]) => whoami("/rpc/health", lines);

  it("may name the host, once", async () => {
    expect((await ask([`X-Forwarded-Host: ${HOST.acme}`])).status).toBe(200);
    expect((await ask([`X-Forwarded-Host: ${HOST.beta}`])).status).toBe(403);
    expect((await ask(["X-Forwarded-Host: evil.test"])).status).toBe(421);
    expect((await ask([`X-Forwarded-Host: evil.test, ${HOST.acme}`])).status).toBe(400);
    expect((await ask([`X-Forwarded-Host: ${HOST.acme}`, `X-Forwarded-Host: ${HOST.acme}`])).status).toBe(
      400,
    );
    expect((await ask(["X-Forwarded-Host: "])).status).toBe(400);
  });

  it("is an address or a range; a number of hops is refused at the start", () => {
    expect(() => new Peers(["127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"])).not.toThrow();
    for (const wrong of ["1", "0x7f.1", "0177.0.0.1", "loopback", "", "10.0.0.0/33", "true", "*"]) {
      expect(() => new Peers([wrong]), wrong).toThrow(/neither an address nor a CIDR range/);
    }
  });
});
