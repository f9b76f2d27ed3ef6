/** Signing out, from here and from the provider: a person who left is gone on both sides, and nobody else is. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type HostileProvider, startHostileProvider } from "#test/support/hostile-provider.ts";
import { type OidcWorld, startOidcWorld } from "#test/support/oidc-world.ts";
import type { WebBrowser } from "#test/support/web-browser.ts";

const SESSION = "creel-loopback";
const EVENT = { "http://schemas.openid.net/event/backchannel-logout": {} };
let world: OidcWorld;
let second: HostileProvider;
let addresses = 0;

beforeAll(async () => {
  second = await startHostileProvider();
  world = await startOidcWorld({
    accounts: [{ id: "ada", claims: { name: "Ada" } }, { id: "bob" }],
    providers: { second: second.settings, third: { ...second.settings, clientId: "third", label: "Third" } },
    config: { trustedProxies: ["127.0.0.1"] },
  });
});
afterAll(async () => {
  await world.close();
  await second.close();
});

const isSignedIn = async (browser: WebBrowser) => (await world.account(browser)) !== undefined;

/** Sign in at the second provider, which calls its session `sid`. */
async function bySecond(sub: string, sid: string): Promise<WebBrowser> {
  const browser = world.browser();
  second.say({ claims: { sub, sid } });
  const { redirect } = await world.start(browser, { provider: "second" });
  await browser.follow(redirect, (url) => !url.includes("/auth/"));
  expect(await isSignedIn(browser)).toBe(true);
  return browser;
}

function message(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const nowS = Math.floor(Date.now() / 1_000);
  const jti = `${nowS}-${Math.random()}`;
  return { iss: second.issuer, aud: "creel", iat: nowS, exp: nowS + 120, jti, events: EVENT, ...changes };
}

/** Each from another address, so that what fails before does not slow what is tried next. */
function elsewhere(): Record<string, string> {
  addresses++;
  return { "x-forwarded-for": `198.51.100.${addresses}` };
}

async function tell(token: string, provider = "second"): Promise<number> {
  const answer = await fetch(`${world.url}/auth/backchannel-logout/${provider}`, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded", ...elsewhere() },
    body: new URLSearchParams({ logout_token: token }),
  });
  return answer.status;
}

describe("leaving here", () => {
  it("ends the session and leads to the provider, which leads back", async () => {
    const browser = world.browser();
    await world.signIn(browser, "ada");
    const cookie = browser.cookie(world.url, SESSION) ?? "";
    const answer = await browser.page("POST", `${world.url}/auth/logout`);
    expect(answer.status).toBe(200);
    const { redirect } = JSON.parse(answer.text) as { redirect: string };
    const asked = new URL(redirect);
    expect(asked.origin).toBe(world.idp.issuer);
    expect(asked.searchParams.get("client_id")).toBe("creel");
    expect(asked.searchParams.get("post_logout_redirect_uri")).toBe(`${world.url}/login`);
    expect(asked.searchParams.get("id_token_hint")?.split(".")).toHaveLength(3);
    expect(browser.cookie(world.url, SESSION)).toBeUndefined();
    const copied = world.browser();
    copied.setCookie(world.url, SESSION, cookie);
    expect(await isSignedIn(copied)).toBe(false);
    const page = await browser.send(redirect);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? "";
    const left = await browser.send(`${world.idp.issuer}/session/end/confirm`, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ xsrf, logout: "yes" }).toString(),
    });
    expect(left.location).toBe(`${world.url}/login`);
  });

  it("keeps the provider's token sealed, and no longer than the session", async () => {
    const { default: Sqlite } = await import("better-sqlite3");
    const browser = world.browser();
    await world.signIn(browser, "bob");
    const file = new Sqlite(`${world.app.stateDir}/control.db`, { readonly: true });
    const kept = () =>
      file
        .prepare(
          "SELECT sealed_id_token AS token FROM browser_sessions ORDER BY created_at_ms DESC, id DESC LIMIT 1",
        )
        .get() as { token: string | null };
    expect(kept().token).toMatch(/^[\w-]+$/);
    expect(Buffer.from(kept().token ?? "", "base64url").toString("latin1")).not.toContain("ES256");
    await browser.page("POST", `${world.url}/auth/logout`);
    expect(kept().token).toBeNull();
    file.close();
  });

  it("does nothing for nobody, and leads nowhere for whoever came by a link", async () => {
    const nobody = await world.browser().page("POST", `${world.url}/auth/logout`);
    expect(JSON.parse(nobody.text)).toEqual({ redirect: null });
    const browser = world.browser();
    const { user } = world.app.app.firstRun;
    const token = await world.app.app.auth.links.create(user.id);
    await browser.page("POST", `${world.url}/auth/link`, { token });
    const [session] = (await world.account(browser))?.sessions ?? [];
    expect(session).toMatchObject({ method: "link", address: "127.0.0.1", agent: "TestBrowser/1.0" });
    const left = await browser.page("POST", `${world.url}/auth/logout`);
    expect(JSON.parse(left.text)).toEqual({ redirect: null });
    expect(await isSignedIn(browser)).toBe(false);
  });
});

describe("leaving at the provider", () => {
  it("ends the browsers that signed in there, by its own message", async () => {
    const browser = world.browser();
    const other = world.browser();
    await world.signIn(browser, "ada");
    await world.signIn(other, "bob");
    const page = await browser.send(`${world.idp.issuer}/session/end?client_id=creel`);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? "";
    await browser.send(`${world.idp.issuer}/session/end/confirm`, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ xsrf, logout: "yes" }).toString(),
    });
    expect(await isSignedIn(browser)).toBe(false);
    expect(await isSignedIn(other)).toBe(true);
  });

  it("ends one session by its name, or all of a person", async () => {
    const [first, twin, foreign] = [
      await bySecond("s1", "a"),
      await bySecond("s1", "b"),
      await bySecond("s2", "c"),
    ];
    expect(await tell(second.signed(message({ sid: "a" }), { typ: "logout+jwt" }))).toBe(200);
    expect([await isSignedIn(first), await isSignedIn(twin), await isSignedIn(foreign)]).toEqual([
      false,
      true,
      true,
    ]);
    // Both names must fit one session.
    expect(await tell(second.signed(message({ sid: "c", sub: "s1" }), { typ: "logout+jwt" }))).toBe(200);
    expect(await isSignedIn(foreign)).toBe(true);
    expect(await tell(second.signed(message({ sub: "s1" }), { typ: "logout+jwt" }))).toBe(200);
    expect([await isSignedIn(twin), await isSignedIn(foreign)]).toEqual([false, true]);
  });

  it("counts once", async () => {
    const token = second.signed(message({ sub: "s9" }), { typ: "logout+jwt" });
    const statuses = await Promise.all([tell(token), tell(token), tell(token)]);
    expect(statuses.sort()).toEqual([200, 400, 400]);
    const again = await bySecond("s9", "x");
    expect(await tell(token)).toBe(400);
    expect(await isSignedIn(again)).toBe(true);
  });

  it("is said by the right provider, to us, now, in the right form, or it counts for nothing", async () => {
    const browser = await bySecond("s5", "z");
    const nowS = Math.floor(Date.now() / 1_000);
    const typ = "logout+jwt";
    const stranger = await startHostileProvider();
    const forged: [string, string][] = [
      ["an ID token", second.signed({ ...message({ sub: "s5" }), nonce: "n" }, { typ })],
      ["another type", second.signed(message({ sub: "s5" }), { typ: "JWT" })],
      ["no type", second.signed(message({ sub: "s5" }), { typ: undefined })],
      ["another event", second.signed(message({ sub: "s5", events: { other: {} } }), { typ })],
      ["no event", second.signed(message({ sub: "s5", events: undefined }), { typ })],
      ["another client", second.signed(message({ sub: "s5", aud: "x" }), { typ })],
      ["another issuer", second.signed(message({ sub: "s5", iss: world.idp.issuer }), { typ })],
      ["old", second.signed(message({ sub: "s5", iat: nowS - 600, exp: nowS + 60 }), { typ })],
      ["over", second.signed(message({ sub: "s5", exp: nowS - 60 }), { typ })],
      ["from the future", second.signed(message({ sub: "s5", iat: nowS + 600 }), { typ })],
      ["no id", second.signed(message({ sub: "s5", jti: undefined }), { typ })],
      ["nobody", second.signed(message(), { typ })],
      [
        "alg none",
        `${second
          .signed(message({ sub: "s5" }), { typ, alg: "none" })
          .split(".")
          .slice(0, 2)
          .join(".")}.`,
      ],
      ["HS256", second.signed(message({ sub: "s5" }), { typ, alg: "HS256" })],
      ["unknown key", second.signed(message({ sub: "s5" }), { typ, kid: "../../etc/passwd" })],
      [
        "embedded key",
        stranger.signed({ ...message({ sub: "s5" }) }, { typ, kid: undefined, jwk: stranger.jwk }),
      ],
      ["garbage", "a.b.c"],
      ["too long", `${"a".repeat(9_000)}.b.c`],
    ];
    for (const [what, token] of forged) expect(await tell(token), what).toBe(400);
    const good = second.signed(message({ sub: "s5" }), { typ });
    expect(await tell(good, "mcpmarket"), "another provider").toBe(400);
    expect(await tell(good, "third"), "another client of the provider").toBe(400);
    expect(await tell(good, "nobody"), "no provider").toBe(400);
    expect(await isSignedIn(browser)).toBe(true);
    await stranger.close();
  });

  it("takes forms from providers only where they are meant, and JSON nowhere there", async () => {
    const url = `${world.url}/auth/backchannel-logout/second`;
    const json = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...elsewhere() },
      body: JSON.stringify({ logout_token: "a.b.c" }),
    });
    expect(json.status).toBe(400);
    const page = await fetch(url, {
      method: "POST",
      headers: { origin: "https://evil.example", "content-type": "application/x-www-form-urlencoded" },
      body: "logout_token=a.b.c",
    });
    expect(page.status).toBe(403);
    const twice = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: "logout_token=a.b.c&logout_token=d.e.f",
    });
    expect(twice.status).toBe(400);
  });
});
