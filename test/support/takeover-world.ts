/**
 * A victim, an attacker with providers that say anything, and a look into the database. Owns: how an attempt is made and
 * what became of it. Refuses to know: which attempts there are.
 */
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { type HostileProvider, type Saying, startHostileProvider } from "./hostile-provider.ts";
import { type Account, type OidcWorld, startOidcWorld } from "./oidc-world.ts";
import type { WebBrowser } from "./web-browser.ts";
import { SteeredClock } from "./world.ts";

/** What became of an attempt: a person, or a problem's name. */
export type Attempted =
  | { userId: string; browser: WebBrowser; problem?: undefined }
  | { userId?: undefined; browser: WebBrowser; problem: string };

/** The providers by name: `alpha` and `beta` are trusted with addresses, `gamma` is not, `delta` was never asked. */
export type ProviderName = "alpha" | "beta" | "gamma" | "delta";

/** Somebody who is signed in now. */
export interface Present {
  userId: string;
  browser: WebBrowser;
  account: Account | undefined;
  /** Tenants they can open. */
  tenants: unknown[];
}

const NAMES: readonly ProviderName[] = ["alpha", "beta", "gamma", "delta"];
const SESSION = "creel-loopback";

/** The victim's identity at `alpha`, as it is said at their own sign-ins. */
export const VICTIM = {
  sub: "vera",
  name: "Vera Victim",
  email: "vera@mail.example",
  email_verified: true,
  idp: "wechat",
  wechat_openid: "o-vera",
  wechat_unionid: "u-vera",
} as const;

/** Start it; the victim is signed in and owns the tenant `harbour`. */
export async function startTakeoverWorld(): Promise<TakeoverWorld> {
  const started = await Promise.all(NAMES.map(() => startHostileProvider()));
  const providers = Object.fromEntries(NAMES.map((name, i) => [name, started[i]])) as Record<
    ProviderName,
    HostileProvider
  >;
  const upstream = { provider: "idp", openid: "wechat_openid", unionid: "wechat_unionid" };
  const settings = Object.fromEntries(
    NAMES.map((name) => [name, { ...providers[name].settings, upstream, trustEmail: name !== "gamma" }]),
  );
  const clock = new SteeredClock();
  const base = await startOidcWorld({
    ...{ accounts: [{ id: "ada" }, { id: "eve" }], providers: settings, clock },
    config: { trustedProxies: ["127.0.0.1"] },
  });
  const world = new TakeoverWorld(base, clock, providers);
  const first = await world.attempt("alpha", { claims: VICTIM });
  if (first.userId === undefined) throw new Error(`the victim is not signed in: ${first.problem}`);
  const tenant = await base.app.tenant("harbour");
  await base.app.app.auth.members.add(tenant.id, first.userId as never, "owner");
  world.victim = { userId: first.userId, browser: first.browser };
  return world;
}

/** See the head of this file. */
export class TakeoverWorld {
  readonly oidc: OidcWorld;
  readonly clock: SteeredClock;
  readonly providers: Record<ProviderName, HostileProvider>;
  victim: { userId: string; browser: WebBrowser };
  private browsers = 0;

  constructor(oidc: OidcWorld, clock: SteeredClock, providers: Record<ProviderName, HostileProvider>) {
    this.oidc = oidc;
    this.clock = clock;
    this.providers = providers;
    this.victim = { userId: "", browser: this.browser() };
  }

  get url(): string {
    return this.oidc.url;
  }

  /** A fresh browser, each at another address: what is tested is what a patient attacker reaches. */
  browser(): WebBrowser {
    const browser = this.oidc.browser();
    browser.address = `198.51.${Math.floor(this.browsers / 250)}.${(this.browsers++ % 250) + 1}`;
    return browser;
  }

  /** Sign in through a provider that says this; in a browser of its own unless one is given. */
  async attempt(provider: ProviderName, saying: Saying, browser = this.browser()): Promise<Attempted> {
    this.providers[provider].say(saying);
    const begun = await this.oidc.start(browser, { provider });
    if (begun.redirect === "") return { browser, problem: `start ${begun.status}` };
    const back = await browser.follow(begun.redirect, (url) => !url.includes("/auth/"));
    this.providers[provider].say({});
    const place = back.headers.get("location") ?? String(back.status);
    if (place.startsWith("/login#problem="))
      return { browser, problem: place.slice("/login#problem=".length) };
    const account = await this.oidc.account(browser);
    if (account === undefined) return { browser, problem: `no account: ${place}` };
    return { userId: account.user.id, browser };
  }

  /** The same for somebody who gets in; throws when they do not. */
  async arrive(provider: ProviderName, claims: Readonly<Record<string, unknown>>): Promise<Present> {
    const { userId, browser, problem } = await this.attempt(provider, { claims });
    if (problem !== undefined) throw new Error(`nobody got in: ${problem}`);
    const session = JSON.parse((await browser.send(`${this.url}/auth/session`)).text) as {
      tenants: unknown[];
    };
    return { userId, browser, tenants: session.tenants, account: await this.oidc.account(browser) };
  }

  /** The same for somebody who should not get in: the problem, whether they have a session, and people made by it. */
  async refuse(
    provider: ProviderName,
    saying: Saying,
  ): Promise<{ problem: string | undefined; hasSession: boolean; made: number }> {
    const count = () => this.rows<{ n: number }>("SELECT count(*) AS n FROM users")[0]?.n ?? 0;
    const people = count();
    const { problem, browser } = await this.attempt(provider, saying);
    const hasSession = browser.cookie(this.url, SESSION) !== undefined;
    return { problem, hasSession, made: count() - people };
  }

  /** Ask to link; the answer is the address that the browser is sent to. */
  async beginLink(browser: WebBrowser, provider: ProviderName, saying: Saying): Promise<string> {
    this.providers[provider].say(saying);
    const answer = await browser.page("POST", `${this.url}/auth/identities/link`, { provider });
    if (answer.status !== 200) throw new Error(`refused ${answer.status}`);
    return (JSON.parse(answer.text) as { redirect: string }).redirect;
  }

  /** Link to the end; the answer is where that leads. */
  async link(browser: WebBrowser, provider: ProviderName, saying: Saying): Promise<string> {
    const redirect = await this.beginLink(browser, provider, saying);
    const back = await browser.follow(redirect, (url) => !url.includes("/auth/"));
    this.providers[provider].say({});
    return back.headers.get("location") ?? String(back.status);
  }

  /** Rows of control.db as they are now. */
  rows<Row>(sql: string, ...params: unknown[]): Row[] {
    const file = new Sqlite(join(this.oidc.app.stateDir, "control.db"), { readonly: true });
    try {
      return file.prepare(sql).all(...params) as Row[];
    } finally {
      file.close();
    }
  }

  /** Identities of a person as `provider/subject`, sorted. */
  waysIn(userId: string): string[] {
    return this.rows<{ way: string }>(
      "SELECT provider || '/' || subject AS way FROM identities WHERE user_id = ? ORDER BY 1",
      userId,
    ).map(({ way }) => way);
  }

  /** All that makes the victim who they are. */
  standing(): { ways: string[]; members: unknown[] } {
    const { userId } = this.victim;
    const members = this.rows("SELECT * FROM members WHERE user_id = ? ORDER BY tenant_id", userId);
    return { ways: this.waysIn(userId), members };
  }

  async close(): Promise<void> {
    await this.oidc.close();
    await Promise.all(Object.values(this.providers).map((provider) => provider.close()));
  }
}
