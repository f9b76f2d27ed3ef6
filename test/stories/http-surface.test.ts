/** HTTP as strangers and browsers meet it: odd bytes, odd bodies, headers of every answer, cookies, pages and files. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LIMITS } from "#src/kernel/limits.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { callByHttp, type RawAnswer, readAnswer, request, sendRaw } from "../support/world.ts";

let world: TestApp;
let token: string;
let site: string;
const SECRET = "cnry-outside-the-site";

beforeAll(async () => {
  site = await mkdtemp(join(tmpdir(), "creel-site-"));
  const dist = join(site, "dist");
  await mkdir(join(dist, "assets"), { recursive: true });
  await writeFile(join(site, "outside.txt"), SECRET);
  await writeFile(join(dist, "index.html"), `<!doctype html><title>Creel</title>${" ".repeat(2_000)}`);
  await writeFile(join(dist, "assets", "app-Ab3dEf9h.js"), "export {};");
  await writeFile(join(dist, "assets", "app-Ab3dEf9h.js.map"), SECRET);
  await writeFile(join(dist, "favicon.svg"), "<svg/>");
  await symlink(join(site, "outside.txt"), join(dist, "assets", "link.txt"));
  world = await startApp({ app: { uiDirectory: dist } });
  token = await world.token("acme");
});

afterAll(async () => {
  await world.close();
  await rm(site, { recursive: true, force: true });
});

const bearer = () => `Authorization: Bearer ${token}`;
const JSON_TYPE = "Content-Type: application/json";

function post(target: string, body: string, headers: readonly string[] = [bearer(), JSON_TYPE]) {
  return request(world.url, target, { method: "POST", headers, body });
}

function errorOf(answer: RawAnswer): { code: string; type: string; message: string; requestId: string } {
  return (JSON.parse(answer.body) as { error: ReturnType<typeof errorOf> }).error;
}

function statuses(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map((match) => Number(match[1]));
}

describe("bytes that two servers could read in two ways", () => {
  const HEAD = "POST /rpc/health HTTP/1.1\r\nHost: localhost\r\n";
  const SMUGGLED = "GET /t/acme/rpc/nope HTTP/1.1\r\nHost: localhost\r\n\r\n";
  it.each([
    [
      "a length and chunks",
      `${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ["two lengths", `${HEAD}Content-Length: 0\r\nContent-Length: 44\r\n\r\n${SMUGGLED}`],
    ["a length that is none", `${HEAD}Content-Length: +4\r\n\r\nbody${SMUGGLED}`],
    ["a length in hexadecimal", `${HEAD}Content-Length: 0x4\r\n\r\nbody${SMUGGLED}`],
    ["chunks by another name", `${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    [
      "chunks twice",
      `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ["a folded header", `${HEAD}X-A: b\r\n c\r\n\r\n${SMUGGLED}`],
    ["a space before the colon", `${HEAD}Content-Length : 4\r\n\r\nbody${SMUGGLED}`],
    ["a NUL in a header", `${HEAD}X-A: a\0b\r\n\r\n${SMUGGLED}`],
    ["a bare carriage return", `${HEAD}X-A: a\rX-Tenant-Id: beta\r\n\r\n${SMUGGLED}`],
    [
      "a chunk longer than it says",
      `${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ["a version of its own", `GET /healthz HTTP/3.7\r\nHost: localhost\r\n\r\n${SMUGGLED}`],
    ["no request at all", `\u0016\u0003\u0001\u0002\u0000\r\n\r\n${SMUGGLED}`],
  ])("%s: one refusal, and what follows is not read", async (_what, bytes) => {
    const text = await sendRaw(world.url, bytes);
    const seen = statuses(text);
    expect(seen.length).toBeLessThanOrEqual(1);
    if (seen.length === 1) {
      expect(seen[0]).toBeGreaterThanOrEqual(400);
      expect(errorOf(readAnswer(text))).toMatchObject({ type: "invalid_request_error" });
    }
    expect(text).not.toMatch(/HTTP\/1\.1 5/);
  });

  it("a GET with a body that looks like a request is one request", async () => {
    const inner = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const outer = `GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${inner.length}\r\n\r\n`;
    const last = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const seen = statuses(await sendRaw(world.url, outer + inner + last));
    expect(seen.length).toBe(2);
    expect(seen[1]).toBe(404);
  });
});

describe("methods and spellings", () => {
  it.each(["TRACE", "PROPFIND", "OPTIONS", "DELETE", "PUT", "PATCH", "SEARCH", "PURGE"])(
    "%s does nothing where it is not declared",
    async (method) => {
      for (const target of ["/rpc/health", "/healthz", "/", "/t/acme/rpc/health", "/api/tokens"]) {
        const answer = await request(world.url, target, {
          method,
          headers: [bearer(), "X-Secret: cnry-echo"],
        });
        expect([404, 405], `${method} ${target} ${answer.status}`).toContain(answer.status);
        expect(answer.text).not.toContain("cnry-echo");
        expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
      }
    },
  );

  it("CONNECT and methods in lower case get no answer that serves", async () => {
    for (const line of ["CONNECT localhost:22 HTTP/1.1", "get /healthz HTTP/1.1", "OPTIONS * HTTP/1.1"]) {
      const text = await sendRaw(world.url, `${line}\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      const { status } = readAnswer(text);
      expect(status === 0 || (status >= 400 && status < 500), `${line}: ${text.slice(0, 60)}`).toBe(true);
    }
  });

  it("a path is what it is: no slash more, no other case, no semicolon", async () => {
    for (const target of [
      "/rpc/health/",
      "/RPC/health",
      "/rpc/health;x=1",
      "/rpc//health",
      "/rpc/./health",
      "/Healthz",
      "/healthz/",
      "/healthz;",
    ]) {
      expect((await post(target, "{}")).status, target).toBe(404);
    }
  });

  it("every miss is answered in the one form of errors", async () => {
    for (const target of [
      "/nowhere",
      "/api/nope",
      "/rpc/nope.nope",
      "/t/acme/rpc/nope.nope",
      "/assets/nope.js",
      "/%zz",
      "/%",
      `/${"x".repeat(6_000)}`,
    ]) {
      const answer = await post(target, "{}");
      expect([400, 404], target).toContain(answer.status);
      const error = errorOf(answer);
      expect(error, target).toEqual({
        code: expect.stringMatching(/^(not_found|invalid_request)$/),
        type: "invalid_request_error",
        message: expect.any(String),
        requestId: answer.headers["x-request-id"],
      });
      expect(answer.headers["x-content-type-options"], target).toBe("nosniff");
    }
  });

  it("a caller's request id is not taken over", async () => {
    const answer = await request(world.url, "/healthz", {
      headers: ["X-Request-Id: mine\t\u0001", "Request-Id: mine"],
    });
    expect(answer.text).not.toContain("mine");
  });
});

describe("bodies", () => {
  const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

  it.each([
    ["that nest too deep", `{"x":${nested(4_500)}}`, 400],
    ["with a prototype key", '{"__proto__":{"isAdmin":true}}', 400],
    ["with a prototype key in escapes, far inside", '{"a":[{"b":{"\\u005f_proto__":1}}]}', 400],
    ["that are not JSON", "{", 400],
    ["of JSON that is no object", "7", 400],
    ["in bytes that are not UTF-8", '{"a":"\xff\xfe"}', 200],
    ["with the same name twice", '{"probe":true,"probe":false}', 200],
    ["that are empty", "", 200],
  ])("%s are told apart safely", async (_what, body, status) => {
    const answer = await post("/rpc/health", body);
    expect(answer.status, answer.body).toBe(status);
    if (status === 400) expect(errorOf(answer).code).toBe("invalid_request");
    expect(({} as Record<string, unknown>)["isAdmin"]).toBeUndefined();
  });

  it("of another type are not read: forms and plain text are what foreign pages can send", async () => {
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "",
      "application/jsonp",
    ]) {
      const lines = [bearer(), ...(type === "" ? [] : [`Content-Type: ${type}`])];
      const answer = await post("/rpc/sessions.create", '{"key":"by-form"}', lines);
      expect(answer.status, type).toBe(400);
    }
    const packed = await post("/rpc/health", "\x1f\x8b\x08", [bearer(), JSON_TYPE, "Content-Encoding: gzip"]);
    expect(packed.status).toBe(400);
  });

  it("larger than allowed are refused as soon as that is known", async () => {
    const size = LIMITS.bodyBytes + 1;
    const head = `POST /rpc/health HTTP/1.1\r\nHost: localhost\r\n${bearer()}\r\n${JSON_TYPE}\r\n`;
    const announced = await sendRaw(world.url, `${head}Content-Length: ${size}\r\n\r\n{`);
    expect(statuses(announced)).toEqual([413]);
    const piece = `${(65_536).toString(16)}\r\n${"x".repeat(65_536)}\r\n`;
    const pieces = Array.from({ length: LIMITS.bodyBytes / 65_536 + 2 }, () => piece);
    const chunked = await sendRaw(world.url, [`${head}Transfer-Encoding: chunked\r\n\r\n`, ...pieces]);
    // The line may be cut while we still write; what matters is that nobody served it.
    expect([[], [413]]).toContainEqual(statuses(chunked));
  });

  it("may not name a tenant: such fields change nothing", async () => {
    const { id } = await world.tenant("beta");
    const names = ["tenantId", "tenant_id", "tenantUid", "tenant", "ownerId", "workspaceId", "orgId"];
    const fields = Object.fromEntries(names.map((name) => [name, id]));
    const made = await callByHttp(world.url, "/rpc/sessions.create", token, { key: "mass", ...fields });
    expect(made.status).toBe(200);
    const query = new URLSearchParams(fields).toString();
    const own = await callByHttp(world.url, `/rpc/sessions.describe?${query}`, token, { key: "mass" });
    expect(own.text).toContain("agent:main:mass");
    const theirs = await callByHttp(world.url, "/rpc/sessions.describe", await world.token("beta"), {
      key: "mass",
    });
    expect(JSON.parse(theirs.text)).toEqual({ session: null });
  });

  it("and queries with the same name twice, or brackets, change nothing", async () => {
    for (const query of [
      "?id=1&id=2",
      "?id[]=1&id[x]=2",
      "?__proto__[x]=1",
      "?constructor=1",
      `?${"a=1&".repeat(2_000)}`,
    ]) {
      const answer = await request(world.url, `/healthz${query}`);
      expect(answer.status, query.slice(0, 40)).toBe(200);
      expect(answer.body).toBe('{"ok":true}');
    }
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });
});

describe("floods of headers", () => {
  it("are refused, and none is quietly left out", async () => {
    const many = Array.from({ length: 2_000 }, (_, index) => `a${index}: 1`);
    expect([400, 431]).toContain((await request(world.url, "/healthz", { headers: many })).status);
    // Few enough bytes for the parser, too many lines for us; the one that decides comes last.
    const some = Array.from({ length: 190 }, (_, index) => `a${index}: 1`);
    const heard = await post("/rpc/health", "{}", [bearer(), JSON_TYPE, ...some, "X-Tenant-Id: beta"]);
    expect(errorOf(heard).code).toBe("tenant_mismatch");
    some.push(...some);
    const answer = await post("/rpc/health", "{}", [bearer(), JSON_TYPE, ...some, "X-Tenant-Id: beta"]);
    expect([400, 431]).toContain(answer.status);
    const cookies = `Cookie: ${"a=b; ".repeat(2_500)}`;
    expect([200, 400, 431]).toContain((await request(world.url, "/healthz", { headers: [cookies] })).status);
    expect((await request(world.url, "/healthz", { headers: [`a: ${"x".repeat(17_000)}`] })).status).toBe(
      431,
    );
  });
});

describe("the Authorization header", () => {
  it("holds exactly one well-formed bearer token", async () => {
    const wrong = [
      ["Authorization: Bearer"],
      ["Authorization: Bearer "],
      [`Authorization: Bearer ${"x".repeat(9_000)}`],
      [`Authorization: Bearer ${token}, Bearer ${token}`],
      [`Authorization: Basic ${Buffer.from(`x:${token}`).toString("base64")}`],
      [bearer(), bearer()],
      [`Authorization: Bearer  ${token}x`],
      [`Authorization: Token ${token}`],
      [`X-Api-Key: ${token}`],
      [`Cookie: token=${token}`],
      [`Authorization: Bearer ${token}\u00e9`],
    ];
    for (const lines of wrong) {
      const answer = await post("/rpc/health", "{}", [JSON_TYPE, ...lines]);
      expect(answer.status, lines.join(" | ").slice(0, 60)).toBe(401);
      expect(answer.headers["www-authenticate"]).toBe("Bearer");
    }
    for (const query of [`?token=${token}`, `?access_token=${token}`, `?api_key=${token}`]) {
      expect((await post(`/rpc/health${query}`, "{}", [JSON_TYPE])).status).toBe(401);
    }
    expect((await post("/rpc/health", "{}", [JSON_TYPE, `authorization: bearer ${token}`])).status).toBe(200);
  });
});

describe("every answer", () => {
  it("carries the headers that keep browsers honest", async () => {
    for (const [target, method] of [
      ["/", "GET"],
      ["/login", "GET"],
      ["/t/acme/", "GET"],
      ["/t/acme/chat/main", "GET"],
      ["/assets/app-Ab3dEf9h.js", "GET"],
      ["/healthz", "GET"],
      ["/openapi.json", "GET"],
      ["/nowhere", "GET"],
      ["/rpc/health", "POST"],
      ["/%zz", "GET"],
    ] as const) {
      const answer = await request(world.url, target, { method });
      expect(answer.headers, `${method} ${target}`).toMatchObject({
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "x-frame-options": "DENY",
      });
      expect(answer.headers["x-powered-by"] ?? answer.headers["server"], target).toBeUndefined();
      expect(answer.headers["access-control-allow-origin"], target).toBeUndefined();
      expect(answer.headers["strict-transport-security"], target).toBeUndefined();
    }
  });

  it("of a page has a policy without any script from elsewhere, and is not cached unseen", async () => {
    for (const target of ["/", "/login", "/t/acme/", "/t/acme/usage"]) {
      const answer = await request(world.url, target);
      const policy = answer.headers["content-security-policy"] ?? "";
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("script-src 'self';");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/script-src[^;]*(unsafe|\*|http|data:|blob:)/);
      expect(answer.headers["cache-control"]).toBe("no-cache");
      expect(answer.body).toContain("<title>Creel</title>");
    }
  });

  it("of the API is for nobody's cache", async () => {
    const answer = await post("/rpc/health", "{}");
    expect(answer.headers["cache-control"]).toBe("no-store");
    const again = await request(world.url, "/rpc/health", {
      method: "POST",
      headers: [
        bearer(),
        JSON_TYPE,
        'If-None-Match: "x"',
        "If-Modified-Since: Mon, 01 Jan 2029 00:00:00 GMT",
      ],
      body: "{}",
    });
    expect(again.status).toBe(200);
  });

  it("to a foreign origin grants nothing", async () => {
    for (const origin of [
      "https://evil.test",
      "null",
      `${world.url}.evil.test`,
      world.url.replace("http:", "https:"),
    ]) {
      const headers = [
        `Origin: ${origin}`,
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Private-Network: true",
      ];
      const preflight = await request(world.url, "/rpc/health", { method: "OPTIONS", headers });
      const plain = await request(world.url, "/healthz", { headers });
      for (const answer of [preflight, plain]) {
        expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
      }
    }
  });
});

describe("files of the pages", () => {
  it("are served by their exact names, hashed ones for ever", async () => {
    const asset = await request(world.url, "/assets/app-Ab3dEf9h.js");
    expect(asset.headers["cache-control"]).toContain("immutable");
    expect(asset.headers["content-type"]).toBe("text/javascript; charset=utf-8");
    const seen = await request(world.url, "/favicon.svg");
    expect(
      (await request(world.url, "/favicon.svg", { headers: [`If-None-Match: ${seen.headers["etag"]}`] }))
        .status,
    ).toBe(304);
  });

  it.each([
    "/assets/%2e%2e/outside.txt",
    "/assets/../outside.txt",
    "/assets/../../outside.txt",
    "/assets%2f..%2foutside.txt",
    "/assets/..%2f..%2foutside.txt",
    "/assets/..%5c..%5coutside.txt",
    "/assets/..\\outside.txt",
    "/assets/%252e%252e/outside.txt",
    "/assets/link.txt",
    "/assets/app-Ab3dEf9h.js.map",
    "/assets/app-Ab3dEf9h.js%00.txt",
    "/assets/",
    "/assets",
    "/.env",
    "/index.html",
    "/../outside.txt",
    "/%2e%2e/outside.txt",
    "/t/acme/../outside.txt",
    "/t/acme/assets/../../outside.txt",
    "/t/acme/assets/nope.js",
  ])("and nothing by %s", async (target) => {
    const answer = await request(world.url, target);
    expect([400, 404], `${answer.status}`).toContain(answer.status);
    expect(answer.text).not.toContain(SECRET);
  });
});
