/** The way out: what is refused before a byte leaves, and what an answer may not do (ATTACKS.md SS). */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Egress, type EgressPolicy } from "#src/kernel/egress.ts";
import { AppError } from "#src/kernel/errors.ts";
import { makeLog } from "#src/kernel/log.ts";

const log = makeLog({ level: "silent" });
const seen: IncomingMessage[] = [];
const open: Egress[] = [];
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let port: number;
const server = createServer((request, response) => {
  seen.push(request);
  answer(request, response);
});

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
beforeEach(() => {
  seen.length = 0;
  answer = (_request, response) => response.end("ok");
});
afterAll(async () => {
  server.close().closeAllConnections();
  for (const egress of open) await egress.close();
});

function guard(allowPrivate: readonly string[] = [], names: Record<string, readonly string[]> = {}): Egress {
  const resolve = async (host: string) => names[host] ?? [];
  const egress = new Egress({ allowPrivate, log, resolve });
  open.push(egress);
  return egress;
}

async function refused(
  egress: Egress,
  url: string,
  policy: EgressPolicy = { allowPrivate: false },
): Promise<AppError> {
  const thrown: unknown = await egress
    .fetchFor(policy)(url)
    .then(
      () => "it went through",
      (error: unknown) => error,
    );
  expect(thrown, url).toBeInstanceOf(AppError);
  expect(thrown).toMatchObject({ code: "egress_refused" });
  return thrown as AppError;
}

describe("addresses", () => {
  it.each([
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/",
    "http://100.100.100.100/",
    "http://169.254.170.2/",
    "http://192.0.0.192/",
    "http://168.63.129.16/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/",
    "http://[::ffff:6464:64c8]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::100.100.100.200]/",
    "http://[64:ff9b::6464:64c8]/",
    "http://[2002:6464:64c8::]/",
    "http://[::ffff:0:6464:64c8]/",
    "http://[::]/",
    "http://0.0.0.0/",
    "http://[fe80::1]/",
    "http://2852039166/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://[2001:0:a9fe:a9fe::1]/",
  ])(
    "of metadata services are refused even where the operator allows everything private: %s",
    async (url) => {
      const all = [
        "100.64.0.0/10",
        "169.254.0.0/16",
        "10.0.0.0/8",
        "fc00::/7",
        "metadata.google.internal",
        "0.0.0.0/0",
        "::/0",
      ];
      await refused(guard(all, { "metadata.google.internal": ["169.254.169.254"] }), url, {
        allowPrivate: true,
      });
    },
  );

  it.each([
    "http://127.0.0.1:PORT/",
    "http://127.1:PORT/",
    "http://0x7f000001:PORT/",
    "http://017700000001:PORT/",
    "http://[::1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://localhost:PORT/",
    "http://LOCALHOST.:PORT/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://172.16.0.1/",
    "http://100.64.0.1/",
    "http://[fd12::1]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://198.18.0.1/",
  ])("inside are refused: %s", async (url) => {
    await refused(guard([], { localhost: ["127.0.0.1"] }), url.replace("PORT", String(port)));
    expect(seen).toHaveLength(0);
  });

  it.each([
    "http://ok.test\\@127.0.0.1:PORT/",
    "http://user@127.0.0.1:PORT/",
    "http://user:secret@ok.test/",
    "http://ok.test\t/",
    "http://127.0.0.1%2f@ok.test/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/",
    "data:text/plain,hi",
    "//127.0.0.1/",
    "",
  ])("that are odd are refused whoever asks: %s", async (url) => {
    const egress = guard(["127.0.0.1"], { "ok.test": ["127.0.0.1"] });
    await refused(egress, url.replace("PORT", String(port)), { allowPrivate: true });
    expect(seen).toHaveLength(0);
  });

  it("of a name count all: one inside among public ones condemns it", async () => {
    await refused(guard([], { "evil.test": ["93.184.216.34", "127.0.0.1"] }), `http://evil.test:${port}/`);
    await refused(guard([], { "evil.test": ["93.184.216.34", "fd00::1"] }), "http://evil.test/");
    expect(seen).toHaveLength(0);
  });

  it("that change between two look-ups change nothing: the name is resolved once, where the socket is made", async () => {
    let calls = 0;
    const resolve = async () => (++calls === 1 ? ["127.0.0.1"] : ["10.0.0.1"]);
    const egress = new Egress({ allowPrivate: ["127.0.0.1"], log, resolve });
    open.push(egress);
    const response = await egress.fetchFor({ allowPrivate: true })(`http://twice.test:${port}/`);
    expect(await response.text()).toBe("ok");
    expect(calls).toBe(1);
  });

  it("inside are reached only where the operator listed them and the policy says so", async () => {
    const url = `http://127.0.0.1:${port}/`;
    const listing = guard(["127.0.0.1"]);
    expect(await (await listing.fetchFor({ allowPrivate: true })(url)).text()).toBe("ok");
    // The socket is still open; less rights must not ride on it.
    await refused(listing, url, { allowPrivate: false });
    await refused(guard(), url, { allowPrivate: true });
    const named = { allowPrivate: true, operatorHosts: ["127.0.0.1"] };
    expect(await (await guard().fetchFor(named)(url)).text()).toBe("ok");
    expect(seen).toHaveLength(2);
  });

  it("are refused in the same words whether they do not exist or lead inside", async () => {
    const egress = guard([], { "inside.test": ["10.1.2.3"] });
    const [inside, absent] = [
      await refused(egress, "http://inside.test/"),
      await refused(egress, "http://absent.test/"),
    ];
    expect(inside.publicMessage.replace("inside", "X")).toBe(absent.publicMessage.replace("absent", "X"));
    expect(inside.publicMessage).not.toContain("10.1.2.3");
    expect(inside.details).toEqual(absent.details);
  });
});

describe("redirects", () => {
  const names = { "a.test": ["127.0.0.1"], "b.test": ["127.0.0.1"], "inside.test": ["10.0.0.1"] };
  const local: EgressPolicy = { allowPrivate: true };
  const redirectTo = (location: string, status = 302) => {
    answer = (request, response) => {
      if (request.url === "/start") response.writeHead(status, { location }).end();
      else response.end("arrived");
    };
  };

  it.each([
    "http://10.0.0.1/",
    "http://inside.test/",
    "http://169.254.169.254/",
    "file:///etc/passwd",
    "http://u:p@a.test/",
  ])("are judged anew: %s", async (location) => {
    redirectTo(location);
    await refused(guard(["127.0.0.1"], names), `http://a.test:${port}/start`, local);
    expect(seen).toHaveLength(1);
  });

  it("lose keys, cookies and own headers when they lead elsewhere, and keep them at home", async () => {
    const headers = {
      authorization: "Bearer canary",
      cookie: "c=canary",
      "x-key": "canary",
      accept: "text/plain",
    };
    redirectTo(`http://b.test:${port}/end`, 307);
    const egress = guard(["127.0.0.1"], names);
    const response = await egress.fetchFor(local)(`http://a.test:${port}/start`, { headers });
    expect(await response.text()).toBe("arrived");
    expect(JSON.stringify(seen[1]?.headers)).not.toContain("canary");
    expect(seen[1]?.headers["accept"]).toBe("text/plain");
    redirectTo("/end");
    await egress.fetchFor(local)(`http://a.test:${port}/start`, { headers });
    expect(seen[3]?.headers["authorization"]).toBe("Bearer canary");
  });

  it("are followed five times, not more, and not at all for models", async () => {
    answer = (request, response) => {
      const left = Number(request.url?.slice(1));
      if (left > 0) response.writeHead(302, { location: `/${left - 1}` }).end();
      else response.end("arrived");
    };
    const egress = guard(["127.0.0.1"]);
    const from = (left: number) => `http://127.0.0.1:${port}/${left}`;
    expect(await (await egress.fetchFor(local)(from(5))).text()).toBe("arrived");
    expect((await refused(egress, from(6), local)).details).toEqual({ reason: "redirects" });
    expect((await refused(egress, from(1), { ...local, redirects: 0 })).details).toEqual({
      reason: "redirects",
    });
  });

  it("turn a POST into a GET without its body", async () => {
    redirectTo("/end", 303);
    const egress = guard(["127.0.0.1"]);
    await egress.fetchFor(local)(`http://127.0.0.1:${port}/start`, { method: "POST", body: "canary" });
    expect(seen.map((request) => request.method)).toEqual(["POST", "GET"]);
    expect(seen[1]?.headers["content-length"]).toBeUndefined();
  });
});

describe("answers", () => {
  const policy: EgressPolicy = { allowPrivate: true, maxBytes: 100_000 };
  const fetchIt = (more: Partial<EgressPolicy> = {}) =>
    guard(["127.0.0.1"]).fetchFor({ ...policy, ...more })(`http://127.0.0.1:${port}/`);

  it("are cut off when they grow too large, counted unpacked", async () => {
    answer = (_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(5_000_000)));
    };
    const response = await fetchIt();
    await expect(response.text()).rejects.toMatchObject({
      code: "egress_refused",
      details: { reason: "too_large" },
    });
  });

  it("may be packed three times, not four", async () => {
    const packed = (times: number) => {
      let body = Buffer.from("fine");
      for (let i = 0; i < times; i++) body = i % 2 === 0 ? gzipSync(body) : brotliCompressSync(body);
      const encoding = Array.from({ length: times }, (_, i) => (i % 2 === 0 ? "gzip" : "br")).join(", ");
      answer = (_request, response) => response.writeHead(200, { "content-encoding": encoding }).end(body);
    };
    packed(3);
    expect(await (await fetchIt()).text()).toBe("fine");
    packed(4);
    await expect(fetchIt()).rejects.toMatchObject({ code: "egress_refused" });
  });

  it("that never begin, stall or never end are given up", async () => {
    const timeout = { code: "egress_refused", details: { reason: "timeout" } };
    answer = () => undefined;
    await expect(fetchIt({ idleMs: 50 })).rejects.toMatchObject(timeout);
    answer = (_request, response) => response.write("x");
    await expect((await fetchIt({ idleMs: 50 })).text()).rejects.toMatchObject(timeout);
    answer = (_request, response) => {
      const drip = setInterval(() => response.write("x"), 10);
      response.on("close", () => clearInterval(drip));
    };
    await expect((await fetchIt({ idleMs: 5_000, totalMs: 100 })).text()).rejects.toMatchObject(timeout);
  });

  it("stop with the caller, who gets the own reason back", async () => {
    answer = (_request, response) => response.write("x");
    const controller = new AbortController();
    const egress = guard(["127.0.0.1"]);
    const response = await egress.fetchFor(policy)(`http://127.0.0.1:${port}/`, {
      signal: controller.signal,
    });
    const reason = new Error("enough");
    const text = response.text();
    controller.abort(reason);
    await expect(text).rejects.toBe(reason);
  });

  it("come directly, whatever proxy the environment names", async () => {
    const before = { ...process.env };
    Object.assign(process.env, {
      HTTP_PROXY: "http://127.0.0.1:1",
      http_proxy: "http://127.0.0.1:1",
      NODE_USE_ENV_PROXY: "1",
    });
    try {
      expect(await (await fetchIt()).text()).toBe("ok");
    } finally {
      process.env = before;
    }
  });
});
