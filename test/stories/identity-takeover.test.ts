/**
 * Taking over somebody's account. Each row names an attack and says what must become of it; what counts is what the
 * database and the API show afterwards. After every row the victim is who they were, with the ways in they had.
 * Tokens and providers that lie are in identity-forgery.test.ts.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startApp } from "#test/support/start-app.ts";
import {
  type Present,
  type ProviderName,
  startTakeoverWorld,
  type TakeoverWorld,
  VICTIM,
} from "#test/support/takeover-world.ts";

let world: TakeoverWorld;
let before: unknown;

const ATTACKER = { sub: "mallory", name: "Mallory" };
beforeAll(async () => {
  world = await startTakeoverWorld();
});
afterAll(() => world.close());

beforeEach(() => {
  before = world.standing();
});
afterEach(() => {
  expect(world.standing()).toEqual(before);
});

/** A person who is not the victim and belongs to nothing. */
async function expectStranger(provider: ProviderName, claims: Record<string, unknown>): Promise<Present> {
  const person = await world.arrive(provider, claims);
  expect(person.userId).not.toBe(world.victim.userId);
  expect(person.tenants).toEqual([]);
  return person;
}

let made = 0;
/** Claims of somebody new. */
const fresh = (claims: Record<string, unknown> = {}) => ({
  sub: `new-${++made}`,
  name: "Mallory",
  ...claims,
});

interface Row {
  attack: string;
  run(): Promise<void>;
}

const email = VICTIM.email;

/** Looking like the victim. */
const LOOKALIKES: Row[] = [
  ...([undefined, false, "true", "false", 1, null, {}, ["true"]] as const).map((email_verified) => ({
    attack: `the victim's address, verified: ${JSON.stringify(email_verified)}`,
    async run() {
      const { account } = await expectStranger("beta", fresh({ email, email_verified }));
      expect(account?.identities).toMatchObject([{ email, emailVerified: false }]);
      expect(account?.suggestions).toEqual([]);
    },
  })),
  {
    attack: "the victim's address, verified by a provider nobody trusts with addresses",
    async run() {
      const { account } = await expectStranger("gamma", fresh({ email, email_verified: true }));
      expect(account?.identities).toMatchObject([{ email, emailVerified: false }]);
      expect(account?.suggestions).toEqual([]);
    },
  },
  {
    attack: "the victim's address, verified by a trusted provider: a hint and no more",
    async run() {
      const { account } = await expectStranger("beta", fresh({ email, email_verified: true }));
      expect(account?.suggestions).toEqual([{ provider: "alpha", label: "Hostile", email }]);
    },
  },
  ...[
    "VERA@mail.example",
    "vera+1@mail.example",
    "\uff56era@mail.example",
    "vera@mail.example.",
    "vera@MAIL.EXAMPLE",
    '"vera"@mail.example',
    "vera@xn--mail-example",
    "vera@mail.example\u0000",
    " vera@mail.example",
  ].map((address) => ({
    attack: `another spelling of the victim's address: ${JSON.stringify(address)}`,
    async run() {
      const { account } = await expectStranger("beta", fresh({ email: address, email_verified: true }));
      for (const hint of account?.suggestions ?? []) expect(hint.email.toLowerCase().trim()).toContain(email);
    },
  })),
  {
    attack: "the victim's name, nickname and user name",
    run: async () =>
      void (await expectStranger(
        "beta",
        fresh({ name: VICTIM.name, nickname: "vera", preferred_username: "vera" }),
      )),
  },
  {
    attack: "the victim's unionid at another provider",
    run: async () => void (await expectStranger("beta", fresh({ idp: "wechat", wechat_unionid: "u-vera" }))),
  },
  {
    attack: "the victim's unionid and openid at the victim's own provider, with another subject",
    run: async () => void (await expectStranger("alpha", { ...VICTIM, sub: "not-vera" })),
  },
  {
    attack: "an address made up of the victim's unionid",
    run: async () =>
      void (await expectStranger("beta", fresh({ email: "u-vera@wechat.invalid", email_verified: true }))),
  },
  {
    attack: "the victim's subject at another issuer",
    run: async () => void (await expectStranger("beta", { ...VICTIM, email_verified: false })),
  },
  ...["VERA", "vera ", " vera", "ve\u0301ra", "vera%00", "vera\u200b"].map((sub) => ({
    attack: `a subject that looks like the victim's: ${JSON.stringify(sub)}`,
    run: async () => void (await expectStranger("alpha", { ...ATTACKER, sub })),
  })),
];

/** Getting into the victim's flows and sessions. */
const FLOWS: Row[] = [
  {
    attack: "the victim's code put into the attacker's own flow (code injection)",
    async run() {
      const [victim, attacker] = [world.browser(), world.browser()];
      const theirs = new URL(
        await world.oidc.atProvider(victim, (await world.oidc.start(victim)).redirect, "ada"),
      );
      const own = new URL(
        await world.oidc.atProvider(attacker, (await world.oidc.start(attacker)).redirect, "eve"),
      );
      own.searchParams.set("code", theirs.searchParams.get("code") ?? "");
      const answer = await attacker.send(own.href);
      expect(answer.headers.get("location")).toBe("/login#problem=sign_in_failed");
      expect(await world.oidc.account(attacker)).toBeUndefined();
    },
  },
  {
    attack: "a code used again in a new flow",
    async run() {
      const browser = world.browser();
      const first = new URL(
        await world.oidc.atProvider(browser, (await world.oidc.start(browser)).redirect, "ada"),
      );
      await browser.send(first.href);
      const thief = world.browser();
      const again = new URL(
        await world.oidc.atProvider(thief, (await world.oidc.start(thief)).redirect, "eve"),
      );
      again.searchParams.set("code", first.searchParams.get("code") ?? "");
      expect((await thief.send(again.href)).headers.get("location")).toBe("/login#problem=sign_in_failed");
    },
  },
  {
    attack: "the attacker's link flow finished in the victim's browser (link by forgery)",
    async run() {
      const mallory = await world.attempt("beta", { claims: ATTACKER });
      world.providers.gamma.say({ claims: { sub: "mallory-2" } });
      const answer = await mallory.browser.page("POST", `${world.url}/auth/identities/link`, {
        provider: "gamma",
      });
      const { redirect } = JSON.parse(answer.text) as { redirect: string };
      const { location } = await mallory.browser.send(redirect);
      const back = await world.victim.browser.send(location ?? "");
      expect(back.headers.get("location")).toBe("/login#problem=flow_expired");
      expect(world.rows("SELECT 1 FROM identities WHERE subject = 'mallory-2'")).toEqual([]);
    },
  },
  {
    attack: "linking by a request that the victim did not make",
    async run() {
      const { browser } = world.victim;
      const url = `${world.url}/auth/identities/link`;
      expect((await browser.send(`${url}?provider=beta`)).status).toBe(404);
      for (const headers of [
        { origin: "https://evil.example", "content-type": "application/json" },
        { origin: "null", "content-type": "application/json" },
        { "content-type": "application/json" },
        { origin: world.url, "content-type": "text/plain" },
      ]) {
        const body = JSON.stringify({ provider: "beta" });
        const answer = await browser.send(url, { method: "POST", headers, body });
        expect([400, 403]).toContain(answer.status);
      }
    },
  },
  {
    attack: "linking with a session left open, long after its person proved who they are",
    async run() {
      const { browser } = await expectStranger("beta", fresh());
      world.clock.pass(5 * 60_000 + 1_000);
      await expect(world.link(browser, "gamma", { claims: fresh() })).rejects.toThrow("refused 403");
    },
  },
  {
    attack: "two tabs: a link begun by one person, finished after another signed in",
    async run() {
      const { browser, userId } = await expectStranger("beta", fresh());
      world.providers.gamma.say({ claims: { sub: "two-tabs" } });
      const answer = await browser.page("POST", `${world.url}/auth/identities/link`, { provider: "gamma" });
      const { redirect } = JSON.parse(answer.text) as { redirect: string };
      const second = await world.attempt("beta", { claims: fresh() }, browser);
      const back = await browser.follow(redirect, (url) => !url.includes("/auth/"));
      expect(back.headers.get("location")).toBe("/login#problem=flow_expired");
      expect(world.rows("SELECT 1 FROM identities WHERE subject = 'two-tabs'")).toEqual([]);
      expect([world.waysIn(userId).length, world.waysIn(second.userId ?? "").length]).toEqual([1, 1]);
    },
  },
  {
    attack: "linking what is the victim's already",
    async run() {
      const { browser, userId } = await expectStranger("beta", fresh());
      const place = await world.link(browser, "alpha", { claims: VICTIM });
      expect(place).toBe("/login#problem=identity_taken");
      expect(world.waysIn(userId)).toHaveLength(1);
    },
  },
  {
    attack: "two people linking one identity at once",
    async run() {
      const people = [await expectStranger("beta", fresh()), await expectStranger("beta", fresh())];
      const claims = { sub: "wanted-by-two" };
      world.providers.gamma.say({ claims });
      const callbacks = await Promise.all(
        people.map(async ({ browser }) => {
          const answer = await browser.page("POST", `${world.url}/auth/identities/link`, {
            provider: "gamma",
          });
          const { redirect } = JSON.parse(answer.text) as { redirect: string };
          return (await browser.send(redirect)).location ?? "";
        }),
      );
      const places = await Promise.all(people.map(({ browser }, i) => browser.send(callbacks[i] ?? "")));
      expect(places.map((one) => one.headers.get("location")).sort()).toEqual([
        "/account",
        "/login#problem=identity_taken",
      ]);
      expect(world.rows("SELECT 1 FROM identities WHERE subject = 'wanted-by-two'")).toHaveLength(1);
    },
  },
  {
    attack: "a copied cookie from before a link",
    async run() {
      const { browser } = await expectStranger("beta", fresh());
      const copied = world.browser();
      copied.setCookie(world.url, "creel-loopback", browser.cookie(world.url, "creel-loopback") ?? "");
      expect(await world.link(browser, "gamma", { claims: fresh() })).toBe("/account");
      expect(await world.oidc.account(copied)).toBeUndefined();
      expect(await world.oidc.account(browser)).toBeDefined();
    },
  },
  {
    attack: "a planted flow cookie",
    async run() {
      const [attacker, victim] = [world.browser(), world.browser()];
      const { redirect } = await world.oidc.start(attacker, { provider: "beta" });
      world.providers.beta.say({ claims: ATTACKER });
      const { location } = await attacker.send(redirect);
      const planted = attacker.cookie(world.url, "creel-flow-loopback") ?? "";
      // Two cookies of the name: the browser's own, and the planted one.
      await world.oidc.start(victim, { provider: "beta" });
      const own = victim.cookie(world.url, "creel-flow-loopback") ?? "";
      const answer = await victim.send(location ?? "", {
        headers: { cookie: `creel-flow-loopback=${own}; creel-flow-loopback=${planted}` },
      });
      expect(answer.headers.get("location")).toBe("/login#problem=flow_expired");
    },
  },
];

/** Registering first, coming later, changing what is said. */
const TIMES: Row[] = [
  {
    attack: "registering the address of somebody who comes later",
    async run() {
      const claims = { email: "later@mail.example", email_verified: true };
      const early = await expectStranger("beta", fresh(claims));
      const late = await expectStranger("alpha", fresh(claims));
      expect(late.userId).not.toBe(early.userId);
      expect(late.account?.identities).toHaveLength(1);
      expect(world.waysIn(early.userId)).toHaveLength(1);
    },
  },
  {
    attack: "the victim's unionid appears, changes, empties and goes: always the victim, never somebody else",
    async run() {
      for (const wechat_unionid of ["u-vera", "u-other", "", undefined, "u-vera"]) {
        const again = await world.attempt("alpha", { claims: { ...VICTIM, wechat_unionid } });
        expect(again.userId).toBe(world.victim.userId);
      }
      const ids = world.rows<{ value: string }>(
        `SELECT x.value FROM identity_external_ids x JOIN identities i ON i.id = x.identity_id
          WHERE i.user_id = ? AND x.kind = 'unionid' ORDER BY 1`,
        world.victim.userId,
      );
      expect(ids.map(({ value }) => value)).toEqual(["u-other", "u-vera"]);
    },
  },
  {
    attack: "the victim's address moves to the attacker at the provider",
    async run() {
      await world.attempt("alpha", { claims: { ...VICTIM, email: "moved@mail.example" } });
      await expectStranger("alpha", fresh({ email, email_verified: true }));
      expect((await world.attempt("alpha", { claims: VICTIM })).userId).toBe(world.victim.userId);
    },
  },
  {
    attack: "all sessions are gone: the same issuer and subject lead to the same person",
    async run() {
      const { browser } = world.victim;
      await world.oidc.app.app.auth.sessions.revokeAll(world.victim.userId as never);
      expect(await world.oidc.account(browser)).toBeUndefined();
      const back = await world.attempt("alpha", { claims: VICTIM }, browser);
      expect(back.userId).toBe(world.victim.userId);
    },
  },
];

/** Losing the way in, and taking away somebody else's. */
const UNLINKING: Row[] = [
  {
    attack: "taking away the only way in",
    async run() {
      const { browser, account } = await expectStranger("beta", fresh());
      const id = account?.identities[0]?.id ?? "";
      const answer = await browser.page("DELETE", `${world.url}/auth/identities/${id}`);
      expect(answer.status).toBe(409);
      expect(answer.text).toContain("last_way_in");
    },
  },
  {
    attack: "taking away both ways in at once, from two tabs",
    async run() {
      const { browser, userId } = await expectStranger("beta", fresh());
      await world.link(browser, "gamma", { claims: fresh() });
      const ids = (await world.oidc.account(browser))?.identities.map(({ id }) => id) ?? [];
      expect(ids).toHaveLength(2);
      const answers = await Promise.all(
        ids.map((id) => browser.page("DELETE", `${world.url}/auth/identities/${id}`)),
      );
      expect(answers.map(({ status }) => status).sort()).toEqual([204, 409]);
      expect(world.waysIn(userId)).toHaveLength(1);
    },
  },
  {
    attack: "taking away the victim's way in",
    async run() {
      const { browser } = await expectStranger("beta", fresh());
      const [row] = world.rows<{ id: string }>(
        "SELECT id FROM identities WHERE user_id = ?",
        world.victim.userId,
      );
      for (const id of [row?.id ?? "", "nobody", "%", "__proto__"]) {
        const answer = await browser.page("DELETE", `${world.url}/auth/identities/${encodeURIComponent(id)}`);
        expect(answer.status, id).toBe(404);
      }
    },
  },
  {
    attack: "staying signed in with a way in that was taken away",
    async run() {
      const claims = fresh();
      const { browser } = await expectStranger("beta", fresh());
      await world.link(browser, "gamma", { claims });
      const thief = await world.attempt("gamma", { claims });
      expect(thief.userId).toBeDefined();
      const gamma = (await world.oidc.account(browser))?.identities.find((one) => one.provider === "gamma");
      const answer = await browser.page("DELETE", `${world.url}/auth/identities/${gamma?.id}`);
      expect(answer.status).toBe(204);
      expect(await world.oidc.account(thief.browser)).toBeUndefined();
      expect(await world.oidc.account(browser)).toBeDefined();
      await expectStranger("gamma", claims);
    },
  },
  {
    attack: "moving an identity to another person below all code",
    async run() {
      const { default: Sqlite } = await import("better-sqlite3");
      const { userId } = await expectStranger("beta", fresh());
      const file = new Sqlite(`${world.oidc.app.stateDir}/control.db`);
      const move = file.prepare("UPDATE identities SET user_id = ? WHERE user_id = ?");
      expect(() => move.run(userId, world.victim.userId)).toThrow(/belongs to one person/);
      file.close();
    },
  },
];

describe.each([
  ["looking like the victim", LOOKALIKES],
  ["flows", FLOWS],
  ["times", TIMES],
  ["ways in", UNLINKING],
] as const)("attacks by %s", (_group, rows) => {
  it.each(rows.map((row) => [row.attack, row] as const))("%s", (_attack, row) => row.run());
});

describe("a broker that is exchanged for another", () => {
  it("does not inherit the people of the former, although it names them alike", async () => {
    const { alpha, beta } = world.providers;
    const config = {
      egressAllowPrivate: ["127.0.0.1"],
      signInProviders: { alpha: { ...beta.settings } },
    };
    // The same people and tenants, seen by a gateway whose `alpha` is another issuer now.
    const other = await startApp({ stateDir: world.oidc.app.stateDir, config });
    beta.say({ claims: VICTIM });
    const browser = world.browser();
    const begun = await world.oidc.start(browser, { provider: "alpha", url: other.url });
    await browser.follow(begun.redirect, (url) => !url.includes("/auth/"));
    beta.say({});
    const account = JSON.parse((await browser.send(`${other.url}/auth/account`)).text) as {
      user: { id: string };
    };
    expect(account.user.id).not.toBe(world.victim.userId);
    expect(alpha.issuer).not.toBe(beta.issuer);
    await other.close();
  });
});
