/**
 * Going to a provider and coming back: beginning a flow and ending it. Owns: that an answer only counts for the flow,
 * the browser, the provider, the host and the tenant where it began. Refuses to know: HTTP, cookies' syntax, what a proof
 * leads to.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { newSecret } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import type { BrowserSessions, OpenSession } from "../browser/browser-sessions.ts";
import type { Attempts } from "../guard/attempts.ts";
import type { Identities } from "../people/identities.ts";
import { readFacts } from "../people/identity.ts";
import { type Arrivals, problem, type SignInBrowser, type SignInOutcome } from "./arrivals.ts";
import type { Flow, FlowIntent, Flows } from "./flows.ts";
import type { ProviderClients } from "./provider/clients.ts";
import type { Providers, SignInProvider } from "./providers.ts";
import { checkReturnPath } from "./return-path.ts";

/** What signing in is made of. */
export interface SignInDeps {
  clock: Clock;
  log: Log;
  providers: Providers;
  clients: ProviderClients;
  flows: Flows;
  identities: Identities;
  sessions: BrowserSessions;
  attempts: Attempts;
  arrivals: Arrivals;
}

/** See the head of this file. */
export class SignIn {
  private readonly deps: SignInDeps;

  constructor(deps: SignInDeps) {
    this.deps = deps;
  }

  /**
   * Begin a flow. The answer is where to send the browser, and its secret for flows. Throws `not_found` for a provider
   * that cannot be used here, `unauthenticated` when nobody is there to step up, `rate_limited`, `provider_failed`.
   */
  async start(
    wish: { provider: string; intent: FlowIntent; returnTo: string | undefined },
    browser: SignInBrowser,
  ): Promise<{ redirect: string; flowCookie: string }> {
    this.assertMayTry(browser.address);
    const provider = await this.getProvider(wish.provider, browser.hostTenant);
    const session = await this.sessionFor(wish.intent, provider, browser);
    const tenant = provider.tenant ?? browser.hostTenant;
    const flowCookie = browser.flowCookie ?? newSecret(32);
    const flow = {
      provider: provider.id,
      issuer: provider.issuer,
      intent: wish.intent,
      sessionId: session?.user.sessionId ?? null,
      tenantId: tenant?.id ?? null,
      origin: browser.origin,
      verifier: newSecret(48),
      nonce: newSecret(32),
      returnTo: checkReturnPath(wish.returnTo, tenant?.slug ?? null),
    };
    // ORDER: a provider that cannot be reached leaves no flow behind.
    await this.deps.clients.assertUsable(provider);
    const state = await this.deps.flows.begin(flow, flowCookie, browser.address);
    const request = { state, redirectUri: redirectUri(browser.origin, provider.id) };
    return { redirect: await this.deps.clients.authorizationUrl(provider, flow, request), flowCookie };
  }

  /** End a flow with what the provider sent. Never throws for what a stranger can cause. */
  async finish(
    providerId: string,
    query: Readonly<Record<string, string>>,
    browser: SignInBrowser,
  ): Promise<SignInOutcome> {
    const { attempts, flows } = this.deps;
    if (attempts.addressWaitMs(browser.address) > 0) return problem("sign_in_failed");
    const { state } = query;
    const flow =
      state === undefined || browser.flowCookie === null
        ? undefined
        : await flows.spend(state, browser.flowCookie);
    if (flow === undefined || state === undefined) {
      attempts.noteFailure(browser.address, null);
      return problem("flow_expired");
    }
    try {
      const provider = await this.providerOf(flow, providerId, browser);
      const url = new URL(redirectUri(flow.origin, provider.id));
      for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
      if (query["error"] !== undefined) return problem("sign_in_failed");
      const proof = await this.deps.clients.redeem(provider, flow, { url, state });
      const facts = readFacts(proof.claims, provider);
      return await this.deps.arrivals.conclude({ flow, provider, proof, facts, browser });
    } catch (thrown) {
      return this.toProblem(thrown, browser.address);
    }
  }

  private async getProvider(id: string, hostTenant: Tenant | null): Promise<SignInProvider> {
    const provider = await this.deps.providers.find(id);
    const isHere = provider?.tenant == null || hostTenant === null || provider.tenant.id === hostTenant.id;
    if (provider === undefined || !isHere) {
      throw new AppError("not_found", "There is no such way to sign in.");
    }
    return provider;
  }

  private async sessionFor(
    intent: FlowIntent,
    provider: SignInProvider,
    browser: SignInBrowser,
  ): Promise<OpenSession | undefined> {
    if (intent === "sign_in") return undefined;
    const { sessions, identities } = this.deps;
    const session =
      browser.sessionCookie === null ? undefined : await sessions.findOpen(browser.sessionCookie);
    if (session === undefined) throw new AppError("unauthenticated", "Sign in first.");
    // SECURITY: people of the deployment and people of a tenant's own provider never mix.
    if ((await identities.realmOf(session.user.userId)) !== provider.realm) {
      throw new AppError("not_found", "There is no such way to sign in.");
    }
    return session;
  }

  /** The provider of a flow, if it is still what it was and the answer came where it should. */
  private async providerOf(flow: Flow, id: string, browser: SignInBrowser): Promise<SignInProvider> {
    const provider = await this.getProvider(flow.provider, browser.hostTenant);
    const tenantId = (provider.tenant ?? browser.hostTenant)?.id ?? null;
    // SECURITY: mix-up: the answer must come to the address of the provider that was asked, at the host and in the
    // tenant where it began (RFC 9700 section 4.4, ATTACKS ID-04).
    const isSame =
      id === flow.provider &&
      provider.issuer === flow.issuer &&
      browser.origin === flow.origin &&
      tenantId === flow.tenantId;
    if (!isSame) throw new AppError("unauthenticated", "The answer does not belong to this sign-in.");
    return provider;
  }

  /** Whether a browser has other flows under way. */
  hasOpen(flowCookie: string): Promise<boolean> {
    return this.deps.flows.hasOpen(flowCookie);
  }

  private toProblem(thrown: unknown, address: string): SignInOutcome {
    if (!(thrown instanceof AppError)) throw thrown;
    // The operator learns why; the browser does not.
    this.deps.log.info({ err: thrown }, "a sign-in through a provider came to nothing");
    switch (thrown.code) {
      case "egress_refused":
      case "provider_failed":
      case "tenant_unavailable":
        return problem("provider_unavailable");
      case "not_found":
        return problem("account_closed");
      case "unauthenticated":
        this.deps.attempts.noteFailure(address, null);
        return problem("sign_in_failed");
      default:
        throw thrown;
    }
  }

  private assertMayTry(address: string): void {
    const waitMs = this.deps.attempts.addressWaitMs(address);
    if (waitMs === 0) return;
    throw new AppError("rate_limited", "Too many failed attempts. Wait before you try again.", {
      retryAfterMs: waitMs,
    });
  }
}

/** The redirect URI of a provider at an origin; registered with the provider, compared exactly. */
export function redirectUri(origin: string, providerId: string): string {
  return `${origin}/auth/callback/${encodeURIComponent(providerId)}`;
}
