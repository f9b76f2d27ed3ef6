/** A tenant brings its own sign-in provider: its people exist there and nowhere else, whatever the provider claims. */
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type HostileProvider, startHostileProvider } from "#test/support/hostile-provider.ts";
import { type OidcWorld, startOidcWorld } from "#test/support/oidc-world.ts";
import type { WebBrowser } from "#test/support/web-browser.ts";
import { request } from "#test/support/world.ts";

let world: OidcWorld;
let deployment: HostileProvider;
let own: HostileProvider;
let owner: WebBrowser;
let harbour: Awaited<ReturnType<OidcWorld["app"]["tenant"]>>;
const SECRET = "the-secret-of-harbour-0123456789";

interface Own {
  bindingId: string;
  issuer: string;
  clientId: string;
  startLink: string;
  redirectUri: string;
  defaultRole: string | null;
}

beforeAll(async () => {
  [deployment, own] = await Promise.all([startHostileProvider(), startHostileProvider()]);
  world = await startOidcWorld({
    accounts: [],
    providers: { shared: deployment.settings },
    config: { trustedProxies: ["127.0.0.1"], allowedHosts: [] },
  });
  harbour = await world.app.app.tenants.create({ slug: "harbour", hosts: ["harbour.example"] });
  await world.app.app.tenants.create({ slug: "beta", hosts: ["beta.example"] });
  await world.app.app.door.prepare(harbour);
  owner = await signedIn("owner");
});
afterAll(async () => {
  await world.close();
  await Promise.all([deployment.close(), own.close()]);
});

/** Somebody who came by a link just now. */
async function signedIn(role: "owner" | "admin" | "member"): Promise<WebBrowser> {
  const { auth } = world.app.app;
  const person = await auth.users.create({ displayName: `an ${role}` });
  await auth.members.add(harbour.id, person.id, role);
  const browser = world.browser();
  const token = await auth.links.create(person.id, harbour.id);
  expect((await browser.page("POST", `${world.url}/auth/link`, { token })).status).toBe(200);
  return browser;
}

const api = () => `${world.url}/t/harbour/api/sign-in-provider`;
const settings = (changes: Record<string, unknown> = {}) => ({
  ...{
    issuer: own.issuer,
    clientId: "creel",
    clientSecret: SECRET,
    label: "Harbour staff",
    icon: "building",
  },
  ...changes,
});

async function put(changes: Record<string, unknown> = {}): Promise<Own & { problem: string | null }> {
  const answer = await owner.page("PUT", api(), settings(changes));
  expect(answer.status, answer.text).toBe(200);
  const body = JSON.parse(answer.text) as { provider: Own; problem: string | null };
  return { ...body.provider, problem: body.problem };
}

/** Sign in through the tenant's provider. */
async function arrive(bindingId: string, claims: Record<string, unknown>, returnTo?: string) {
  const browser = world.browser();
  own.say({ claims });
  const begun = await world.start(browser, {
    provider: bindingId,
    ...(returnTo === undefined ? {} : { returnTo }),
  });
  if (begun.redirect === "") return { browser, place: `start ${begun.status}` };
  const back = await browser.follow(begun.redirect, (url) => !url.includes("/auth/"));
  return { browser, place: back.headers.get("location") };
}

function rows<Row>(sql: string, ...params: unknown[]): Row[] {
  const file = new Sqlite(join(world.app.stateDir, "control.db"), { readonly: true });
  try {
    return file.prepare(sql).all(...params) as Row[];
  } finally {
    file.close();
  }
}

describe("a tenant's own provider", () => {
  it("is set by an owner who just signed in, and shown without its secret", async () => {
    expect(JSON.parse((await owner.send(api())).text)).toEqual({ provider: null });
    for (const role of ["admin", "member"] as const) {
      const browser = await signedIn(role);
      expect((await browser.page("PUT", api(), settings())).status, role).toBe(403);
      expect((await browser.page("DELETE", api())).status, role).toBe(403);
    }
    const token = await world.app.token("harbour");
    const byToken = await fetch(api(), {
      method: "PUT",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(settings()),
    });
    expect(byToken.status).toBe(403);
    const made = await put();
    expect(made.problem).toBeNull();
    expect(made.bindingId).toMatch(/^[\w-]{32}$/);
    expect(made.startLink).toBe(`${world.url}/login?provider=${made.bindingId}`);
    expect(made.redirectUri).toBe(`${world.url}/auth/callback/${made.bindingId}`);
    const shown = (await owner.send(api())).text;
    expect(shown).toContain(made.bindingId);
    expect(shown).not.toContain(SECRET);
    const [row] = rows<{ sealed_secret: string }>("SELECT sealed_secret FROM own_sign_in_providers");
    expect(row?.sealed_secret).not.toContain(SECRET);
    const changed = await put({ label: "Staff", clientSecret: undefined });
    expect(changed.bindingId).toBe(made.bindingId);
  });

  it("is refused without a secret, and never sends one issuer's secret to another", async () => {
    for (const changes of [
      { clientSecret: "   " },
      { clientSecret: "short" },
      { clientSecret: undefined, issuer: "https://elsewhere.example" },
      { issuer: "ftp://x.example" },
      { defaultRole: "owner" },
    ]) {
      expect((await owner.page("PUT", api(), settings(changes))).status, JSON.stringify(changes)).toBe(400);
    }
  });

  it("is kept, and its owner told, when it cannot be used", async () => {
    for (const issuer of ["http://169.254.169.254", "https://[::ffff:a9fe:a9fe]", "http://100.100.100.200"]) {
      expect((await put({ issuer })).problem, issuer).toMatch(/./);
    }
    expect((await put()).problem).toBeNull();
  });

  it("is shown at the tenant's own host and for its binding, and nowhere else", async () => {
    const { bindingId } = await put();
    const ids = async (host: string, query = "") => {
      const answer = await request(world.url, `/auth/providers${query}`, { headers: [`Host: ${host}`] });
      return (JSON.parse(answer.body) as { providers: { id: string }[] }).providers.map(({ id }) => id);
    };
    const ours = new URL(world.url).host;
    const theirs = ["mcpmarket", "shared"];
    expect(await ids(ours)).toEqual(theirs);
    expect(await ids(ours, `?binding=${bindingId}`)).toEqual([bindingId, ...theirs]);
    expect(await ids("harbour.example")).toEqual([bindingId, ...theirs]);
    expect(await ids("beta.example")).toEqual(theirs);
    expect(await ids("beta.example", `?binding=${bindingId}`)).toEqual(theirs);
    const byHeader = await fetch(`${world.url}/auth/providers`, { headers: { "x-tenant-id": "harbour" } });
    expect(await byHeader.text()).not.toContain(bindingId);
  });

  it("cannot be begun with at another tenant's host", async () => {
    const { bindingId } = await put();
    const headers = ["Host: beta.example", "X-Forwarded-Proto: https", "content-type: application/json"];
    const answer = await request(world.url, "/auth/start", {
      method: "POST",
      headers,
      body: JSON.stringify({ provider: bindingId }),
    });
    expect(answer.status).toBe(404);
    const right = await request(world.url, "/auth/start", {
      method: "POST",
      headers: [headers[0]?.replace("beta", "harbour") ?? "", ...headers.slice(1)],
      body: JSON.stringify({ provider: bindingId, returnTo: "/t/beta/" }),
    });
    expect(right.status).toBe(200);
    expect(right.text).toContain(encodeURIComponent("https://harbour.example/auth/callback/"));
    expect(right.headers["set-cookie"]).toMatch(/^__Host-creel-flow=[\w-]{43};.*; Secure;/);
  });

  it("is answered at the host and in the tenant where it began", async () => {
    const { bindingId } = await put();
    own.say({ claims: { sub: "moved" } });
    const start = await request(world.url, "/auth/start", {
      method: "POST",
      headers: ["Host: harbour.example", "X-Forwarded-Proto: https", "content-type: application/json"],
      body: JSON.stringify({ provider: bindingId }),
    });
    const cookie = /__Host-creel-flow=([\w-]+)/.exec(start.headers["set-cookie"] ?? "")?.[1];
    const { redirect } = JSON.parse(start.body) as { redirect: string };
    const { location } = await world.browser().send(redirect);
    const query = new URL(location ?? "").search;
    const answer = await request(world.url, `/auth/callback/${bindingId}${query}`, {
      headers: [
        `Host: ${new URL(world.url).host}`,
        "X-Forwarded-Proto: https",
        `Cookie: __Host-creel-flow=${cookie}`,
      ],
    });
    expect(answer.headers["location"]).toBe("/login#problem=sign_in_failed");
    expect(rows("SELECT 1 FROM identities WHERE subject = 'moved'")).toEqual([]);
  });
});

describe("a provider that is exchanged while somebody is on the way", () => {
  it("gets neither the code nor the person", async () => {
    const other = await startHostileProvider();
    other.say({ metadata: { authorization_response_iss_parameter_supported: false } });
    const { bindingId } = await put();
    const browser = world.browser();
    own.say({ claims: { sub: "on-the-way" }, back: (parameters) => parameters.delete("iss") });
    const { redirect } = await world.start(browser, { provider: bindingId });
    const { location } = await browser.send(redirect);
    expect((await put({ issuer: other.issuer })).problem).toBeNull();
    const answer = await browser.send(location ?? "");
    expect(answer.headers.get("location")).toBe("/login#problem=sign_in_failed");
    expect(other.redeemed).toEqual([]);
    await other.close();
  });
});

describe("its people", () => {
  it("come in as what the owner said, stay in the tenant, and are noted in its log", async () => {
    const { bindingId } = await put({ defaultRole: "readonly" });
    const { browser, place } = await arrive(bindingId, { sub: "staff-1", name: "Staff One" }, "/t/beta/chat");
    expect(place).toBe("/t/harbour/");
    const session = JSON.parse((await browser.send(`${world.url}/auth/session`)).text) as {
      tenants: { slug: string; role: string }[];
    };
    expect(session.tenants).toMatchObject([{ slug: "harbour", role: "readonly" }]);
    const { auth } = world.app.app;
    const noted = async () => (await owner.send(`${world.url}/t/harbour/api/audit?limit=20`)).text;
    await expect.poll(noted).toContain("signin.ok");
    expect(await noted()).toContain("provider.changed");
    expect(await noted()).not.toContain(SECRET);
    const userId = (await world.account(browser))?.user.id ?? "";
    await auth.members.remove(harbour.id, userId as never);
    const again = await arrive(bindingId, { sub: "staff-1", name: "Staff One" });
    expect(again.place).toBe("/");
    expect((await world.account(again.browser))?.user.id).toBe(userId);
    expect(rows("SELECT 1 FROM members WHERE user_id = ?", userId)).toEqual([]);
  });

  it("are nobody without an invitation when the owner said so", async () => {
    const { bindingId } = await put({ defaultRole: null });
    const { browser, place } = await arrive(bindingId, { sub: "staff-2" });
    expect(place).toBe("/");
    expect((await world.account(browser))?.linkable).toEqual([]);
  });

  it("are not the people of the deployment whom the provider claims them to be", async () => {
    const browser = world.browser();
    const claims = { sub: "vera", name: "Vera", email: "vera@mail.example", email_verified: true };
    deployment.say({ claims });
    const begun = await world.start(browser, { provider: "shared" });
    await browser.follow(begun.redirect, (url) => !url.includes("/auth/"));
    const vera = (await world.account(browser))?.user.id;
    const { bindingId } = await put();
    const same = await arrive(bindingId, claims);
    const account = await world.account(same.browser);
    expect(account?.user.id).not.toBe(vera);
    expect(account?.identities).toMatchObject([{ emailVerified: false }]);
    expect(account?.suggestions).toEqual([]);
    expect((await world.account(browser))?.suggestions).toEqual([]);
    // The tenant may name the very issuer of the deployment; it still is the tenant's word.
    await put({ issuer: deployment.issuer });
    const other = world.browser();
    const second = await world.start(other, { provider: bindingId });
    await other.follow(second.redirect, (url) => !url.includes("/auth/"));
    expect([vera, account?.user.id]).not.toContain((await world.account(other))?.user.id);
    // And the issuer may claim to be another in its tokens.
    await put();
    expect((await arrive(bindingId, { ...claims, iss: deployment.issuer })).place).toBe(
      "/login#problem=sign_in_failed",
    );
  });

  it("do not mix with the deployment's, by linking or otherwise", async () => {
    const { bindingId } = await put({ defaultRole: "member" });
    const theirs = (await arrive(bindingId, { sub: "staff-3" })).browser;
    for (const provider of ["shared", "mcpmarket"]) {
      expect((await theirs.page("POST", `${world.url}/auth/identities/link`, { provider })).status).toBe(404);
      expect((await world.start(theirs, { provider, intent: "step_up" })).status).toBe(404);
    }
    expect(
      (await owner.page("POST", `${world.url}/auth/identities/link`, { provider: bindingId })).status,
    ).toBe(404);
    const userId = (await world.account(theirs))?.user.id as never;
    const beta = await world.app.tenant("beta");
    await expect(world.app.app.auth.members.add(beta.id, userId, "member")).rejects.toThrow();
    const file = new Sqlite(join(world.app.stateDir, "control.db"));
    file.prepare("INSERT INTO operators (user_id, since_ms) VALUES (?, 0)").run(userId);
    expect(file.prepare("SELECT 1 FROM operators WHERE user_id = ?").all(userId)).toEqual([]);
    expect(() => file.prepare("UPDATE users SET only_tenant_id = NULL WHERE id = ?").run(userId)).toThrow();
    file.close();
    expect(rows("SELECT tenant_id FROM members WHERE user_id = ?", userId)).toEqual([
      { tenant_id: harbour.id },
    ]);
  });

  it("are signed out when the provider is changed for another, or taken away", async () => {
    const { bindingId } = await put({ defaultRole: "member" });
    const first = (await arrive(bindingId, { sub: "staff-4" })).browser;
    await put({ label: "Renamed" });
    expect(await world.account(first)).toBeDefined();
    await put({ clientId: "other-client" });
    expect(await world.account(first)).toBeUndefined();
    await put();
    const second = (await arrive(bindingId, { sub: "staff-4" })).browser;
    expect((await owner.page("DELETE", api())).status).toBe(204);
    expect(await world.account(second)).toBeUndefined();
    expect((await arrive(bindingId, { sub: "staff-4" })).place).toBe("start 404");
    expect((await owner.page("DELETE", api())).status).toBe(404);
  });

  it("find themselves again when the provider comes back", async () => {
    const first = await put({ defaultRole: "member" });
    const before = (await world.account((await arrive(first.bindingId, { sub: "staff-5" })).browser))?.user
      .id;
    await owner.page("DELETE", api());
    const second = await put();
    expect(second.bindingId).not.toBe(first.bindingId);
    const after = (await world.account((await arrive(second.bindingId, { sub: "staff-5" })).browser))?.user
      .id;
    expect(after).toBe(before);
  });

  it("cannot come while the tenant does not serve", async () => {
    const { bindingId } = await put();
    const { tenants } = world.app.app;
    await tenants.suspend(
      harbour.id,
      { graceMs: 0, reason: "test" },
      (await import("#src/tenancy/actor.ts")).SYSTEM,
    );
    expect((await arrive(bindingId, { sub: "staff-6" })).place).toBe("start 404");
    await tenants.resume(harbour.id, (await import("#src/tenancy/actor.ts")).SYSTEM);
  });
});
