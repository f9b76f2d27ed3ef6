/**
 * HTTP routes of signing in. Owns: their shapes. Refuses to know: cookies' syntax, origins and policies
 * (the gateway checks both before a handler runs).
 */
import { z } from "zod";
import { AppError } from "../kernel/errors.ts";
import type { UserId } from "../kernel/ids.ts";
import { defineRoute, defineTenantRoute, type Route, type RouteCall } from "../protocol/routes.ts";
import type { Principal } from "../tenancy/principal.ts";
import type { Authenticator } from "./authenticate.ts";
import {
  agentName,
  type BrowserPlace,
  type BrowserSessions,
  SESSION_MS,
} from "./browser/browser-sessions.ts";
import type { SocketTokens } from "./browser/socket-tokens.ts";
import type { Attempts } from "./guard/attempts.ts";
import type { Members } from "./members.ts";
import type { SessionTenant } from "./operators/session-tenants.ts";
import type { Users } from "./users.ts";

/** What the routes need. */
export interface AuthRouteDeps {
  authenticator: Authenticator;
  users: Users;
  members: Members;
  sessions: BrowserSessions;
  socketTokens: SocketTokens;
  attempts: Attempts;
  /** Tenants that a person can open; see operators/session-tenants. */
  sessionTenants(userId: UserId): Promise<readonly SessionTenant[]>;
  /** Whether somebody may make a tenant of their own. */
  mayFound(founder: { userId: UserId; isOperator: boolean }): boolean;
}

/** The routes, for the gateway. */
export function makeAuthRoutes(deps: AuthRouteDeps): Route[] {
  return [getSession(deps), postLink(deps), patchUser(deps), postSocketToken(deps)];
}

function getSession({ authenticator, sessionTenants, mayFound }: AuthRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/auth/session",
    policy: { kind: "public" },
    body: null,
    doc: "Who is signed in with this browser, and the tenants they belong to; 401 for nobody.",
    async handler(call) {
      const user =
        call.sessionCookie === null ? undefined : await authenticator.browserUser(call.sessionCookie);
      if (user === undefined) throw new AppError("unauthenticated", "Nobody is signed in.");
      return {
        status: 200,
        headers: { "cache-control": "no-store" },
        body: {
          user: { id: user.userId, displayName: user.displayName, language: user.language },
          operator: user.isOperator,
          authAtMs: user.authAtMs,
          canCreateTenant: mayFound(user),
          tenants: await sessionTenants(user.userId),
        },
      };
    },
  });
}

function postLink(deps: AuthRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/link",
    policy: { kind: "public" },
    body: z.object({ token: z.string().min(1).max(256) }),
    doc: "Use a one-time sign-in link; sets the session cookie and says where to go.",
    async handler(call) {
      const waitMs = deps.attempts.addressWaitMs(call.address);
      if (waitMs > 0) {
        throw new AppError("rate_limited", "Too many failed attempts. Wait before you try again.", {
          retryAfterMs: waitMs,
        });
      }
      const opened = await deps.sessions
        .signIn(call.body.token, call.sessionCookie, placeOf(call))
        .catch((thrown) => {
          if (thrown instanceof AppError && thrown.code === "link_invalid") {
            deps.attempts.noteFailure(call.address, null);
          }
          throw thrown;
        });
      const served = (await deps.sessionTenants(opened.userId)).filter(
        (found) => found.status === "active" || found.isReadOnly,
      );
      const target = served.find((found) => found.id === opened.tenantId) ?? served[0];
      return {
        status: 200,
        headers: { "cache-control": "no-store" },
        body: { redirect: target === undefined ? "/" : `/t/${target.slug}/` },
        sessionCookie: { value: opened.cookie, maxAgeMs: SESSION_MS },
      };
    },
  });
}

function placeOf(call: RouteCall<unknown>): BrowserPlace {
  return { address: call.address, agent: agentName(call.headers["user-agent"]) };
}

function patchUser({ users }: AuthRouteDeps): Route {
  return defineRoute({
    method: "PATCH",
    path: "/auth/user",
    policy: { kind: "browser" },
    body: z.object({
      displayName: z.string().max(400).optional(),
      language: z.string().max(35).nullable().optional(),
    }),
    doc: "Change the signed-in person's own name or language.",
    async handler(call) {
      if (call.user === null) throw new AppError("unauthenticated", "Nobody is signed in.");
      const user = await users.update(call.user.userId, call.body);
      return {
        status: 200,
        body: { user: { id: user.id, displayName: user.displayName, language: user.language } },
      };
    },
  });
}

function postSocketToken({ socketTokens }: AuthRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/auth/socket-token",
    scope: "operator.read",
    servesReadOnly: true,
    body: null,
    doc: "A five-minute token with which the signed-in browser opens its socket in this tenant.",
    async handler(call) {
      // SECURITY: a bearer token must not turn itself into a browser's credential.
      if (call.user === null || !isBrowserSession(call.principal)) {
        throw new AppError("forbidden", "Only a signed-in browser can ask for a socket token.");
      }
      const made = await socketTokens.create({
        tenantId: call.tenant.tenantId,
        userId: call.user.userId,
        sessionId: call.user.sessionId,
      });
      return { status: 200, headers: { "cache-control": "no-store" }, body: made };
    },
  });
}

/** Whether somebody came with the cookie of a signed-in browser: as a member, or as an operator who looks in. */
function isBrowserSession({ credential }: Principal): boolean {
  return credential.kind === "browser_session" || credential.kind === "break_glass";
}
