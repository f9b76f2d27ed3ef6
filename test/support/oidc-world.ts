/**
 * A whole Creel beside a real identity provider, and people in browsers. Owns: starting and ending both, the walk through
 * a sign-in. Refuses to know: what is asserted.
 */
import type { Config } from "#src/config/options.ts";
import type { Clock } from "#src/kernel/clock.ts";
import {
  type IdentityProvider,
  PROVIDER_ID,
  type ProviderAccount,
  startIdentityProvider,
} from "./identity-provider.ts";
import { startApp, type TestApp } from "./start-app.ts";
import { type WebAnswer, WebBrowser } from "./web-browser.ts";

/** Both, running. */
export interface OidcWorld {
  app: TestApp;
  idp: IdentityProvider;
  url: string;
  /** A fresh browser. */
  browser(): WebBrowser;
  /** Begin a flow; the answer is where the provider would be asked. */
  start(
    browser: WebBrowser,
    wish?: { provider?: string; intent?: string; returnTo?: string; url?: string },
  ): Promise<WebAnswer & { redirect: string }>;
  /** Walk from there to the callback's address, which is not yet opened. */
  atProvider(browser: WebBrowser, redirect: string, account: string): Promise<string>;
  /** All of it; the answer is the callback's. */
  signIn(
    browser: WebBrowser,
    account: string,
    wish?: { provider?: string; returnTo?: string },
  ): Promise<WebAnswer>;
  /** What `GET /auth/account` says; undefined when nobody is signed in. */
  account(browser: WebBrowser): Promise<Account | undefined>;
  close(): Promise<void>;
}

/** As far as tests read it. */
export interface Account {
  user: { id: string; displayName: string };
  authAtMs: number;
  identities: {
    id: string;
    provider: string;
    upstream: string | null;
    email: string | null;
    emailVerified: boolean;
  }[];
  linkable: { id: string }[];
  sessions: { id: string; isCurrent: boolean; method: string; address: string; agent: string }[];
  suggestions: { provider: string; label: string; email: string }[];
}

/** Start both. `providers` are added to the one at the real provider. */
export async function startOidcWorld(options: {
  accounts: readonly ProviderAccount[];
  providers?: Config["signInProviders"];
  config?: Partial<Config>;
  clock?: Clock;
}): Promise<OidcWorld> {
  const idp = await startIdentityProvider({ accounts: options.accounts });
  const { issuer, clientId, clientSecret, label, icon, upstream, trustEmail } = idp.clientConfig();
  const own = { issuer, clientId, clientSecret, label, icon, upstream, trustEmail };
  const app = await startApp({
    config: {
      egressAllowPrivate: ["127.0.0.1"],
      signInProviders: { [PROVIDER_ID]: own, ...options.providers },
      ...options.config,
    },
    ...(options.clock === undefined ? {} : { app: { clock: options.clock } }),
  });
  idp.addOrigin(app.url);
  const world: OidcWorld = {
    app,
    idp,
    url: app.url,
    browser: () => new WebBrowser(),
    async start(browser, wish = {}) {
      const { url = app.url, provider = PROVIDER_ID, intent = "sign_in", returnTo } = wish;
      const answer = await browser.page("POST", `${url}/auth/start`, { provider, intent, returnTo });
      const body = (answer.text === "" ? {} : JSON.parse(answer.text)) as { redirect?: string };
      return { ...answer, redirect: body.redirect ?? "" };
    },
    async atProvider(browser, redirect, account) {
      idp.nextAccount(account);
      // Whoever the provider knew before is another person's sign-in there.
      browser.forget(redirect, /^_/);
      const answer = await browser.follow(redirect, (url) => url.includes("/auth/callback/"));
      if (answer.location === null) throw new Error(`the provider did not lead back: ${answer.text}`);
      return answer.location;
    },
    async signIn(browser, account, wish = {}) {
      const { redirect, text } = await world.start(browser, wish);
      if (redirect === "") throw new Error(`no flow: ${text}`);
      return browser.send(await world.atProvider(browser, redirect, account));
    },
    async account(browser) {
      const answer = await browser.send(`${app.url}/auth/account`);
      return answer.status === 200 ? (JSON.parse(answer.text) as Account) : undefined;
    },
    async close() {
      await app.close();
      await idp.close();
    },
  };
  return world;
}
