/**
 * HTTP routes of signing in and out through providers. Owns: their shapes. Refuses to know: the protocol with
 * providers, what a sign-in leads to.
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import { defineRoute, type Route, type RouteAnswer, type RouteCall } from "../../protocol/routes.ts";
import { agentName } from "../browser/browser-sessions.ts";
import type { AccessFeed } from "../guard/access-feed.ts";
import type { Attempts } from "../guard/attempts.ts";
import type { SignInBrowser } from "./arrivals.ts";
import { FLOW_MS } from "./flows.ts";
import type { Providers, SignInProvider } from "./providers.ts";
import { callbackOrigin } from "./return-path.ts";
import type { SignIn } from "./sign-in.ts";
import type { SignOut } from "./sign-out.ts";

/** What the routes need. */
export interface OidcRouteDeps {
  providers: Providers;
  signIn: SignIn;
  signOut: SignOut;
  attempts: Attempts;
  feed: AccessFeed;
  publicUrl: string | undefined;
}

/** Purpose of the cookie that binds a flow to its browser. */
const FLOW_COOKIE = "flow";
const NO_STORE = { "cache-control": "no-store" };

const idSchema = z.string().min(1).max(128);
const pathSchema = z.string().max(2_048).optional();

/** The routes, for the gateway. */
export function makeOidcRoutes(deps: OidcRouteDeps): Route[] {
  return [
    getProviders(deps),
    postStart(deps),
    postLinkStart(deps),
    getCallback(deps),
    postBackchannelLogout(deps),
    postLogout(deps),
  ];
}

function getProviders({ providers }: OidcRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/auth/providers",
    policy: { kind: "public" },
    body: null,
    doc: "Ways to sign in: the deployment's, and a tenant's own at its host or for its binding id.",
    async handler(call) {
      const own = await findOwn(providers, call);
      const shown = [...(own === undefined ? [] : [own]), ...providers.listDeployment()];
      return { status: 200, headers: NO_STORE, body: { providers: shown.map(toShown), link: true } };
    },
  });
}

function postStart({ signIn, publicUrl }: OidcRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/start",
    policy: { kind: "public" },
    body: z.object({
      provider: idSchema,
      intent: z.enum(["sign_in", "step_up"]).default("sign_in"),
      returnTo: pathSchema,
    }),
    doc: "Begin to sign in, or to prove once more who one is; says where to send the browser.",
    async handler(call) {
      const { provider, intent, returnTo } = call.body;
      return begun(await signIn.start({ provider, intent, returnTo }, browserOf(call, publicUrl)));
    },
  });
}

function postLinkStart({ signIn, publicUrl }: OidcRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/identities/link",
    // SECURITY: proof of the one side just now, and of the other at the provider, in one session (ATTACKS ID-12).
    policy: { kind: "browser", isStepUp: true },
    body: z.object({ provider: idSchema, returnTo: pathSchema }),
    doc: "Begin to add a way to sign in; says where to send the browser.",
    async handler(call) {
      const { provider, returnTo } = call.body;
      return begun(await signIn.start({ provider, intent: "link", returnTo }, browserOf(call, publicUrl)));
    },
  });
}

function getCallback({ signIn, publicUrl }: OidcRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/auth/callback/:provider",
    policy: { kind: "public" },
    body: null,
    doc: "Where a provider sends the browser back; leads on to a page, signed in or with a problem's name.",
    async handler(call) {
      const browser = browserOf(call, publicUrl);
      const outcome = await signIn.finish(call.params["provider"] ?? "", call.query, browser);
      const isOver = browser.flowCookie !== null && !(await signIn.hasOpen(browser.flowCookie));
      const cookies = isOver ? { cookies: { [FLOW_COOKIE]: null } } : {};
      if (outcome.kind === "problem") return { ...leadTo(`/login#problem=${outcome.problem}`), ...cookies };
      const sessionCookie = { value: outcome.cookie, maxAgeMs: outcome.maxAgeMs };
      return { ...leadTo(outcome.path), ...cookies, sessionCookie };
    },
  });
}

function postBackchannelLogout({ signOut, attempts, feed }: OidcRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/backchannel-logout/:provider",
    policy: { kind: "public" },
    isForm: true,
    body: z.object({ logout_token: z.string().min(1).max(16_384) }),
    doc: "A provider says that somebody signed out there; their browsers are signed out here.",
    async handler(call) {
      const waitMs = attempts.addressWaitMs(call.address);
      if (waitMs > 0)
        throw new AppError("rate_limited", "Too many messages that did not count.", { retryAfterMs: waitMs });
      if (!(await signOut.hear(call.params["provider"] ?? "", call.body.logout_token))) {
        attempts.noteFailure(call.address, null);
        throw new AppError("invalid_request", "The logout token does not count.");
      }
      await feed.refresh(0);
      return { status: 200, headers: NO_STORE };
    },
  });
}

function postLogout({ signOut, feed, publicUrl }: OidcRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/logout",
    policy: { kind: "public" },
    body: null,
    doc: "End this browser's session; says where to sign out at the provider as well, if there is such a place.",
    async handler(call) {
      const { address, requestId } = call;
      const place = { origin: callbackOrigin(call.origin, publicUrl), address, requestId };
      const redirect = call.sessionCookie === null ? null : await signOut.leave(call.sessionCookie, place);
      await feed.refresh(0);
      return { status: 200, headers: NO_STORE, body: { redirect }, sessionCookie: null };
    },
  });
}

/** SECURITY: a tenant's own provider is shown where its host or its binding names it, and nowhere else. */
async function findOwn(providers: Providers, call: RouteCall<unknown>): Promise<SignInProvider | undefined> {
  const { binding } = call.query;
  const bound = binding === undefined || binding.length > 128 ? undefined : await providers.find(binding);
  const { hostTenant } = call;
  if (hostTenant !== null) return providers.findOf(hostTenant);
  return bound?.tenant === null ? undefined : bound;
}

function toShown({ id, label, icon }: SignInProvider) {
  return { id, label, icon };
}

function browserOf(call: RouteCall<unknown>, publicUrl: string | undefined): SignInBrowser {
  return {
    flowCookie: call.cookie(FLOW_COOKIE),
    sessionCookie: call.sessionCookie,
    origin: callbackOrigin(call.origin, publicUrl),
    hostTenant: call.hostTenant,
    address: call.address,
    agent: agentName(call.headers["user-agent"]),
    requestId: call.requestId,
  };
}

function begun(started: { redirect: string; flowCookie: string }): RouteAnswer {
  return {
    status: 200,
    headers: NO_STORE,
    body: { redirect: started.redirect },
    cookies: { [FLOW_COOKIE]: { value: started.flowCookie, maxAgeMs: FLOW_MS } },
  };
}

function leadTo(path: string): RouteAnswer {
  return { status: 303, headers: { ...NO_STORE, location: path, "referrer-policy": "no-referrer" } };
}
