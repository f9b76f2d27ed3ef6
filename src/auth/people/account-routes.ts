/**
 * HTTP routes of a person's own account: ways in and signed-in browsers. Owns: their shapes. Refuses to know: tenants.
 */
import { AppError } from "../../kernel/errors.ts";
import type { UserId } from "../../kernel/ids.ts";
import { type BrowserUser, defineRoute, type Route, type RouteCall } from "../../protocol/routes.ts";
import { type Actor, SYSTEM } from "../../tenancy/actor.ts";
import type { BrowserSessions } from "../browser/browser-sessions.ts";
import type { AccessFeed } from "../guard/access-feed.ts";
import type { Users } from "../users.ts";
import type { Identities } from "./identities.ts";
import { DEPLOYMENT, type Identity, type Realm } from "./identity.ts";

/** A provider as the account page shows it. */
export interface AccountProvider {
  id: string;
  realm: Realm;
  label: string;
  icon: string;
}

/** The directory of providers, as far as it is needed here. */
export interface AccountProviders {
  listDeployment(): readonly AccountProvider[];
  find(id: string): Promise<AccountProvider | undefined>;
}

/** What the routes need. */
export interface AccountRouteDeps {
  users: Users;
  identities: Identities;
  providers: AccountProviders;
  sessions: BrowserSessions;
  feed: AccessFeed;
}

/** The routes, for the gateway. */
export function makeAccountRoutes(deps: AccountRouteDeps): Route[] {
  return [getAccount(deps), deleteIdentity(deps), deleteSession(deps), postRevokeOthers(deps)];
}

function getAccount(deps: AccountRouteDeps): Route {
  const { users, identities, sessions, providers } = deps;
  return defineRoute({
    method: "GET",
    path: "/auth/account",
    policy: { kind: "browser" },
    body: null,
    doc: "The signed-in person's own account: ways to sign in, signed-in browsers, and hints at other accounts.",
    async handler(call) {
      const { userId, sessionId, authAtMs } = personOf(call);
      const user = await users.get(userId);
      const own = await identities.listOfUser(userId);
      const known = await providersOf(deps, own);
      const open = await sessions.listOpen(userId);
      const suggested = await identities.listSuggestions(userId);
      const isOfDeployment = (await identities.realmOf(userId)) === DEPLOYMENT;
      return {
        status: 200,
        headers: { "cache-control": "no-store" },
        body: {
          user: {
            id: user.id,
            displayName: user.displayName,
            language: user.language,
            createdAtMs: user.createdAtMs,
          },
          authAtMs,
          identities: own.map((identity) => shownIdentity(identity, known.get(identity.provider))),
          linkable: isOfDeployment
            ? providers.listDeployment().map(({ id, label, icon }) => ({ id, label, icon }))
            : [],
          sessions: open.map((session) => ({ ...session, isCurrent: session.id === sessionId })),
          suggestions: suggested.flatMap(({ provider, email }) => {
            const found = providers.listDeployment().find((one) => one.id === provider);
            return found === undefined ? [] : [{ provider, label: found.label, email }];
          }),
        },
      };
    },
  });
}

function deleteIdentity(deps: AccountRouteDeps): Route {
  const { identities, feed } = deps;
  return defineRoute({
    method: "DELETE",
    path: "/auth/identities/:id",
    policy: { kind: "browser", isStepUp: true },
    body: null,
    doc: "Take a way to sign in away from the signed-in person; never the last one.",
    async handler(call) {
      const { userId, sessionId } = personOf(call);
      const known = await providersOf(deps, await identities.listOfUser(userId));
      await identities.unlink(userId, call.params["id"] ?? "", {
        usable: [...known.keys()],
        keptSessionId: sessionId,
        by: actorOf(call),
      });
      await feed.refresh(0);
      return { status: 204 };
    },
  });
}

function deleteSession({ sessions, feed }: AccountRouteDeps): Route {
  return defineRoute({
    method: "DELETE",
    path: "/auth/sessions/:id",
    policy: { kind: "browser" },
    body: null,
    doc: "Sign one of the signed-in person's browsers out.",
    async handler(call) {
      const { userId, sessionId } = personOf(call);
      const id = call.params["id"] ?? "";
      await sessions.revoke(userId, id, actorOf(call));
      await feed.refresh(0);
      return { status: 204, ...(id === sessionId ? { sessionCookie: null } : {}) };
    },
  });
}

function postRevokeOthers({ sessions, feed }: AccountRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/sessions/revoke-others",
    policy: { kind: "browser" },
    body: null,
    doc: "Sign all of the signed-in person's browsers out but this one.",
    async handler(call) {
      const { userId, sessionId } = personOf(call);
      const revoked = await sessions.revokeOthers(userId, sessionId, actorOf(call));
      await feed.refresh(0);
      return { status: 200, body: { revoked } };
    },
  });
}

/** The providers of some identities that can be used now, by id. */
async function providersOf(
  { providers }: AccountRouteDeps,
  own: readonly Identity[],
): Promise<ReadonlyMap<string, AccountProvider>> {
  const found = await Promise.all(own.map(({ provider }) => providers.find(provider)));
  return new Map(found.flatMap((one) => (one === undefined ? [] : [[one.id, one] as const])));
}

function shownIdentity(identity: Identity, provider: AccountProvider | undefined) {
  return {
    id: identity.id,
    provider: identity.provider,
    label: provider?.label ?? identity.provider,
    icon: provider?.icon ?? "key",
    upstream: identity.upstream,
    displayName: identity.displayName,
    email: identity.email,
    emailVerified: identity.emailVerified,
    linkedAtMs: identity.linkedAtMs,
    lastUsedAtMs: identity.lastUsedAtMs,
  };
}

function personOf(call: RouteCall<unknown>): BrowserUser & { userId: UserId } {
  if (call.user === null) throw new AppError("unauthenticated", "Sign in first.");
  return call.user;
}

function actorOf(call: RouteCall<unknown>): Actor {
  return call.actor ?? SYSTEM;
}
