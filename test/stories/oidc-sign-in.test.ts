/** Signing in through a real OpenID provider, over real HTTP with cookies and redirects. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadConfig } from "#src/config/load.ts";
import { type HostileProvider, startHostileProvider } from "#test/support/hostile-provider.ts";
import { type OidcWorld, startOidcWorld } from "#test/support/oidc-world.ts";
import type { WebBrowser } from "#test/support/web-browser.ts";
import { request, SteeredClock } from "#test/support/world.ts";

const SESSION = "creel-loopback";
const FLOW = "creel-flow-loopback";
const clock = new SteeredClock();
let world: OidcWorld;
let second: HostileProvider;

beforeAll(async () => {
  second = await startHostileProvider();
  world = await startOidcWorld({
    accounts: [
      { id: "ada", claims: { name: "Ada Lovelace", email: "ada@mail.example", email_verified: true } },
      { id: "bob", claims: { nickname: "Bob\u202e\u0007 <b>" } },
      { id: "eve", claims: { name: "Eve" } },
    ],
    providers: { second: second.settings },
    clock,
  });
});
afterAll(async () => {
  await world.close();
  await second.close();
});

/** Nobody is signed in, and the page says no more than `problem`. */
async function expectProblem(browser: WebBrowser, callback: string, problem: string): Promise<void> {
  const answer = await browser.send(callback);
  expect(answer.status).toBe(303);
  expect(answer.headers.get("location")).toBe(`/login#problem=${problem}`);
  expect(answer.text).toBe("");
  expect(browser.cookie(world.url, SESSION)).toBeUndefined();
}

async function callbackOf(browser: WebBrowser, account = "ada"): Promise<URL> {
  const { redirect } = await world.start(browser);
  return new URL(await world.atProvider(browser, redirect, account));
}

describe("signing in", () => {
  it("offers the providers of the deployment, whatever binding is asked for", async () => {
    for (const query of ["", "?binding=nobody", "?binding=mcpmarket", "?binding=__proto__"]) {
      const answer = await world.browser().send(`${world.url}/auth/providers${query}`);
      expect(JSON.parse(answer.text)).toEqual({
        providers: [
          { id: "mcpmarket", label: "Development sign-in", icon: "key" },
          { id: "second", label: "Hostile", icon: "key" },
        ],
        link: true,
      });
    }
  });

  it("asks the provider with a challenge, a state and a nonce, and names one exact address to return to", async () => {
    const started = await world.start(world.browser(), { returnTo: "/t/home/" });
    const asked = new URL(started.redirect);
    expect(`${asked.origin}`).toBe(world.idp.issuer);
    const { state, nonce, code_challenge, ...rest } = Object.fromEntries(asked.searchParams);
    expect([state, nonce, code_challenge].map((one) => one?.length)).toEqual([43, 43, 43]);
    expect(rest).toEqual({
      client_id: "creel",
      response_type: "code",
      scope: "openid profile email",
      code_challenge_method: "S256",
      redirect_uri: `${world.url}/auth/callback/mcpmarket`,
    });
    expect(started.headers.get("set-cookie")).toMatch(
      /^creel-flow-loopback=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/,
    );
  });

  it("makes a person of a stranger, and finds them again", async () => {
    const browser = world.browser();
    browser.agent = `Firefox\u00e9 ${"x".repeat(500)}`;
    const answer = await world.signIn(browser, "ada");
    expect(answer.status).toBe(303);
    expect(answer.headers.get("location")).toBe("/");
    expect(answer.headers.get("set-cookie")).toMatch(
      /creel-loopback=[\w-]{43}; Max-Age=\d+; Path=\/; HttpOnly/,
    );
    expect(browser.cookie(world.url, FLOW)).toBeUndefined();
    const first = await world.account(browser);
    expect(first?.user.displayName).toBe("Ada Lovelace");
    expect(first?.identities).toMatchObject([
      { provider: "mcpmarket", email: "ada@mail.example", emailVerified: true, upstream: null },
    ]);
    expect(first?.sessions).toMatchObject([{ isCurrent: true, method: "oidc", address: "127.0.0.1" }]);
    expect(first?.sessions[0]?.agent).toMatch(/^Firefox x+$/);
    expect(first?.sessions[0]?.agent).toHaveLength(200);
    const again = world.browser();
    await world.signIn(again, "ada");
    const later = await world.account(again);
    expect(later?.user.id).toBe(first?.user.id);
    expect(later?.sessions).toHaveLength(2);
  });

  it("takes a name that people can read, and keeps two people of one name apart", async () => {
    const browser = world.browser();
    await world.signIn(browser, "bob");
    expect((await world.account(browser))?.user.displayName).toBe("Bob <b>");
  });

  it("ends the session the browser had, and gives a new secret", async () => {
    const browser = world.browser();
    await world.signIn(browser, "ada");
    const before = browser.cookie(world.url, SESSION) ?? "";
    await world.signIn(browser, "eve");
    expect(browser.cookie(world.url, SESSION)).not.toBe(before);
    expect((await world.account(browser))?.user.displayName).toBe("Eve");
    const old = world.browser();
    old.setCookie(world.url, SESSION, before);
    expect(await world.account(old)).toBeUndefined();
  });

  it("returns to a page of ours and to nothing else", async () => {
    for (const [returnTo, expected] of [
      ["/join#invite=abc", "/join#invite=abc"],
      ["//evil.example/x", "/"],
      ["https://evil.example/", "/"],
      ["/\\evil.example", "/"],
      ["/auth/logout", "/"],
    ] as const) {
      const answer = await world.signIn(world.browser(), "ada", { returnTo });
      expect(answer.headers.get("location"), returnTo).toBe(expected);
    }
  });

  it("leads into the tenant of whoever has just one", async () => {
    const browser = world.browser();
    await world.signIn(browser, "eve");
    const { user } = (await world.account(browser)) ?? { user: { id: "" } };
    const tenant = await world.app.tenant("harbour");
    await world.app.app.auth.members.add(tenant.id, user.id as never, "member");
    const answer = await world.signIn(world.browser(), "eve");
    expect(answer.headers.get("location")).toBe("/t/harbour/");
  });
});

describe("an answer that is not the one awaited", () => {
  it("has another state, none, or one of a browser that never asked", async () => {
    const browser = world.browser();
    for (const change of [
      (url: URL) => url.searchParams.set("state", "x".repeat(43)),
      (url: URL) => url.searchParams.delete("state"),
      (url: URL) => url.searchParams.append("state", "x"),
    ]) {
      const callback = await callbackOf(browser);
      change(callback);
      await expectProblem(browser, callback.href, "flow_expired");
    }
  });

  it("comes to another browser; the right one can still use it", async () => {
    const victim = world.browser();
    const attacker = world.browser();
    const callback = await callbackOf(attacker);
    await expectProblem(victim, callback.href, "flow_expired");
    await world.start(victim);
    await expectProblem(victim, callback.href, "flow_expired");
    expect((await attacker.send(callback.href)).headers.get("location")).toBe("/");
  });

  it("comes twice, also at the same time", async () => {
    const browser = world.browser();
    const callback = (await callbackOf(browser)).href;
    const answers = await Promise.all([
      browser.send(callback),
      browser.send(callback),
      browser.send(callback),
    ]);
    const places = answers.map((answer) => answer.headers.get("location"));
    expect(places.filter((place) => place === "/")).toHaveLength(1);
    expect(places.filter((place) => place === "/login#problem=flow_expired")).toHaveLength(2);
  });

  it("comes after ten minutes", async () => {
    const browser = world.browser();
    const callback = await callbackOf(browser);
    clock.pass(10 * 60_000 + 1);
    await expectProblem(browser, callback.href, "flow_expired");
  });

  it("was asked for with another nonce, without a challenge, or with a plain one", async () => {
    for (const change of [
      (url: URL) => url.searchParams.set("nonce", "n".repeat(43)),
      (url: URL) => url.searchParams.delete("nonce"),
      (url: URL) => {
        url.searchParams.delete("code_challenge");
        url.searchParams.delete("code_challenge_method");
      },
      (url: URL) => url.searchParams.set("code_challenge", "c".repeat(43)),
    ]) {
      const browser = world.browser();
      const asked = new URL((await world.start(browser)).redirect);
      change(asked);
      await expectProblem(browser, await world.atProvider(browser, asked.href, "ada"), "sign_in_failed");
    }
  });

  it("says that another issuer gave it, or none", async () => {
    for (const change of [
      (url: URL) => url.searchParams.set("iss", "https://accounts.example"),
      (url: URL) => url.searchParams.delete("iss"),
    ]) {
      const browser = world.browser();
      const callback = await callbackOf(browser);
      change(callback);
      await expectProblem(browser, callback.href, "sign_in_failed");
    }
  });

  it("comes to the address of another provider; the code is sent to neither", async () => {
    const browser = world.browser();
    const callback = await callbackOf(browser);
    const before = second.redeemed.length;
    await expectProblem(browser, callback.href.replace("/mcpmarket", "/second"), "sign_in_failed");
    await expectProblem(browser, callback.href.replace("/mcpmarket", "/nobody"), "flow_expired");
    expect(second.redeemed).toHaveLength(before);
  });

  it("is a refusal, whose words are not repeated", async () => {
    const browser = world.browser();
    const callback = await callbackOf(browser);
    callback.searchParams.delete("code");
    callback.searchParams.set("error", "<script>alert(1)</script>");
    callback.searchParams.set("error_description", "<script>alert(2)</script>");
    await expectProblem(browser, callback.href, "sign_in_failed");
  });

  it("comes from a provider that is not there any more", async () => {
    const gone = await startHostileProvider();
    const passing = await startOidcWorld({ accounts: [], providers: { gone: gone.settings } });
    const browser = passing.browser();
    const { redirect } = await passing.start(browser, { provider: "gone" });
    const { location } = await browser.send(redirect);
    await gone.close();
    const answer = await browser.send(location ?? "");
    expect(answer.headers.get("location")).toBe("/login#problem=provider_unavailable");
    await passing.close();
  });
});

describe("beginning", () => {
  it("refuses unknown providers, foreign pages and steps up for nobody", async () => {
    const browser = world.browser();
    expect((await world.start(browser, { provider: "nobody" })).status).toBe(404);
    expect((await world.start(browser, { provider: "__proto__" })).status).toBe(404);
    expect((await world.start(browser, { intent: "step_up" })).status).toBe(401);
    expect((await world.start(browser, { intent: "link" })).status).toBe(400);
    const foreign = await browser.send(`${world.url}/auth/start`, {
      method: "POST",
      headers: { origin: "https://evil.example", "content-type": "application/json" },
      body: JSON.stringify({ provider: "mcpmarket" }),
    });
    expect(foreign.status).toBe(403);
    const form = await browser.send(`${world.url}/auth/start`, {
      method: "POST",
      headers: { origin: world.url, "content-type": "application/x-www-form-urlencoded" },
      body: "provider=mcpmarket",
    });
    expect(form.status).toBe(400);
    expect(browser.cookie(world.url, FLOW)).toBeUndefined();
  });

  it("makes its address of a host that is ours, whatever the request says", async () => {
    const body = JSON.stringify({ provider: "mcpmarket" });
    const headers = ["content-type: application/json"];
    const poisoned = await request(world.url, "/auth/start", {
      method: "POST",
      headers: [...headers, "Host: evil.example"],
      body,
    });
    expect(poisoned.status).toBe(421);
    const forwarded = await request(world.url, "/auth/start", {
      method: "POST",
      headers: [...headers, "X-Forwarded-Host: evil.example", "Forwarded: host=evil.example"],
      body,
    });
    expect(forwarded.text).toContain(encodeURIComponent(`${world.url}/auth/callback/mcpmarket`));
    expect(forwarded.text).not.toContain("evil");
  });

  it("is not what fills the database: flows of one address have an end", async () => {
    const browser = world.browser();
    const before = openFlows();
    const answers = await Promise.all(Array.from({ length: 220 }, () => world.start(world.browser())));
    const refused = answers.filter((answer) => answer.status === 429);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.every((answer) => Number(answer.headers.get("retry-after")) > 0)).toBe(true);
    expect(openFlows() - before).toBeLessThanOrEqual(200);
    clock.pass(10 * 60_000 + 1);
    expect((await world.start(browser)).status).toBe(200);
    expect(openFlows()).toBe(1);
  });

  it("waits when an address failed too often, and says how long", async () => {
    const crowd = await startOidcWorld({ accounts: [{ id: "ada" }] });
    const browser = crowd.browser();
    for (let i = 0; i < 21; i++) await browser.send(`${crowd.url}/auth/callback/mcpmarket?state=${i}`);
    const answer = await crowd.start(browser);
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    await crowd.close();
  });
});

function openFlows(): number {
  const file = new Sqlite(join(world.app.stateDir, "control.db"), { readonly: true });
  try {
    return (file.prepare("SELECT count(*) AS n FROM sign_in_flows").get() as { n: number }).n;
  } finally {
    file.close();
  }
}

describe("proving it once more", () => {
  it("gives the session a new secret and a new time, and keeps what it is", async () => {
    const browser = world.browser();
    await world.signIn(browser, "ada");
    clock.pass(6 * 60_000);
    const before = await world.account(browser);
    const old = browser.cookie(world.url, SESSION) ?? "";
    const refused = await browser.page("POST", `${world.url}/auth/identities/link`, { provider: "second" });
    expect(refused.status).toBe(403);
    expect(refused.text).toContain("step_up_required");
    const { redirect } = await world.start(browser, { intent: "step_up", returnTo: "/account" });
    expect(Object.fromEntries(new URL(redirect).searchParams)).toMatchObject({
      prompt: "login",
      max_age: "0",
    });
    const answer = await browser.send(await world.atProvider(browser, redirect, "ada"));
    expect(answer.headers.get("location")).toBe("/account");
    const after = await world.account(browser);
    expect(after?.authAtMs).toBeGreaterThan((before?.authAtMs ?? 0) + 6 * 60_000 - 1);
    expect(after?.sessions.find((one) => one.isCurrent)?.id).toBe(
      before?.sessions.find((one) => one.isCurrent)?.id,
    );
    const copied = world.browser();
    copied.setCookie(world.url, SESSION, old);
    expect(await world.account(copied)).toBeUndefined();
    const again = await browser.page("POST", `${world.url}/auth/identities/link`, { provider: "second" });
    expect(again.status).toBe(200);
  });

  it("gives one new secret for one old one, also when two answers come at once", async () => {
    const browser = world.browser();
    await world.signIn(browser, "ada");
    const callbacks: string[] = [];
    for (let i = 0; i < 2; i++) {
      const { redirect } = await world.start(browser, { intent: "step_up", returnTo: "/account" });
      callbacks.push(await world.atProvider(browser, redirect, "ada"));
    }
    const answers = await Promise.all(callbacks.map((callback) => browser.send(callback)));
    expect(answers.map((answer) => answer.headers.get("location")).sort()).toEqual([
      "/account",
      "/login#problem=flow_expired",
    ]);
    expect(await world.account(browser)).toBeDefined();
  });

  it("does not count as somebody else, nor with an old sign-in at the provider", async () => {
    const browser = world.browser();
    await world.signIn(browser, "ada");
    const cookie = browser.cookie(world.url, SESSION);
    const { redirect } = await world.start(browser, { intent: "step_up" });
    const answer = await browser.send(await world.atProvider(browser, redirect, "eve"));
    expect(answer.headers.get("location")).toBe("/login#problem=not_linked");
    expect(browser.cookie(world.url, SESSION)).toBe(cookie);
    second.say({ claims: { sub: "slow" } });
    const other = world.browser();
    const first = await world.start(other, { provider: "second" });
    await other.follow(first.redirect, (url) => !url.includes("/auth/"));
    for (const auth_time of [undefined, Math.floor(Date.now() / 1_000) - 300]) {
      second.say({ claims: { sub: "slow", auth_time } });
      const step = await world.start(other, { provider: "second", intent: "step_up" });
      const back = await other.follow(step.redirect, (url) => url.includes("#"));
      expect(back.headers.get("location")).toBe("/login#problem=sign_in_failed");
    }
    second.say({});
  });
});

describe("settings", () => {
  it("are five lines, and refuse what is no secret", async () => {
    const stateDir = await mkdtemp(join(tmpdir(), "creel-config-"));
    const load = async (secret: string, env: Record<string, string> = {}) => {
      const text = `{ auth: { providers: { mcpmarket: {
        issuer: "https://id.mcpmarket.example",
        clientId: "creel",
        clientSecret: ${secret},
        label: "MCP Market",
        icon: "key",
      } } } }`;
      await writeFile(join(stateDir, "creel.json5"), text);
      return loadConfig({ env, flags: { "state-dir": stateDir } }).config.signInProviders["mcpmarket"];
    };
    expect(await load('{ source: "env", id: "S" }', { S: " a-long-enough-secret " })).toMatchObject({
      clientSecret: "a-long-enough-secret",
      trustEmail: false,
    });
    for (const [secret, value] of [
      ['""', ""],
      ['"    "', ""],
      ['"undefined"', ""],
      ['"changeme"', ""],
      ['"your-client-secret-goes-here"', ""],
      ['"short"', ""],
      ['{ source: "env", id: "S" }', ""],
      ['{ source: "env", id: "S" }', "   "],
      ['{ source: "file", id: "/nowhere/at/all" }', ""],
      [JSON.stringify(`$\{S}`), ""],
    ] as const) {
      await expect(load(secret, { S: value }), secret).rejects.toThrow(
        /auth\.providers\.mcpmarket\.clientSecret/,
      );
    }
    await expect(load('"a-long-enough-secret", trustMail: true')).rejects.toThrow(/auth\.providers/);
    await rm(stateDir, { recursive: true });
  });
});
