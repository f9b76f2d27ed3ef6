/**
 * HTTP routes of signing in and of tokens. Owns: their shapes. Refuses to know: cookies' syntax, origins and policies
 * (the gateway checks both before a handler runs).
 */
import { z } from "zod";
import { AppError } from "../kernel/errors.ts";
import { defineRoute, defineTenantRoute, type Route } from "../protocol/routes.ts";
import type { Principal } from "../tenancy/principal.ts";
import { ROLES } from "../tenancy/scopes.ts";
import type { Authenticator } from "./authenticate.ts";
import { type BrowserSessions, SESSION_MS } from "./browser/browser-sessions.ts";
import type { SocketTokens } from "./browser/socket-tokens.ts";
import type { Attempts } from "./guard/attempts.ts";
import type { Members } from "./members.ts";
import type { ApiToken, TokenMaker, Tokens } from "./tokens.ts";
import type { Users } from "./users.ts";

/** What the routes need. */
export interface AuthRouteDeps {
  authenticator: Authenticator;
  users: Users;
  members: Members;
  tokens: Tokens;
  sessions: BrowserSessions;
  socketTokens: SocketTokens;
  attempts: Attempts;
}

const DAY_MS = 24 * 3600 * 1000;

/** The routes, for the gateway. */
export function makeAuthRoutes(deps: AuthRouteDeps): Route[] {
  return [
    getSession(deps),
    postLink(deps),
    postLogout(deps),
    patchUser(deps),
    postSocketToken(deps),
    getTokens(deps),
    postTokens(deps),
    deleteToken(deps),
  ];
}

function getSession({ authenticator, members }: AuthRouteDeps): Route {
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
      const memberships = await members.listOfUser(user.userId);
      return {
        status: 200,
        headers: { "cache-control": "no-store" },
        body: {
          user: { id: user.userId, displayName: user.displayName, language: user.language },
          operator: user.isOperator,
          tenants: memberships.map((found) => ({
            id: found.tenantId,
            slug: found.slug,
            name: found.displayName,
            role: found.role,
            status: found.status,
          })),
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
      const opened = await deps.sessions.signIn(call.body.token, call.sessionCookie).catch((thrown) => {
        if (thrown instanceof AppError && thrown.code === "link_invalid") {
          deps.attempts.noteFailure(call.address, null);
        }
        throw thrown;
      });
      const memberships = (await deps.members.listOfUser(opened.userId)).filter(
        (found) => found.status === "active",
      );
      const target = memberships.find((found) => found.tenantId === opened.tenantId) ?? memberships[0];
      return {
        status: 200,
        headers: { "cache-control": "no-store" },
        body: { redirect: target === undefined ? "/" : `/t/${target.slug}/` },
        sessionCookie: { value: opened.cookie, maxAgeMs: SESSION_MS },
      };
    },
  });
}

function postLogout({ sessions }: AuthRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/logout",
    policy: { kind: "public" },
    body: null,
    doc: "End this browser's session; nothing happens when there is none.",
    async handler(call) {
      if (call.sessionCookie !== null) await sessions.signOut(call.sessionCookie);
      return { status: 204, sessionCookie: null };
    },
  });
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
    body: null,
    doc: "A five-minute token with which the signed-in browser opens its socket in this tenant.",
    async handler(call) {
      // SECURITY: a bearer token must not turn itself into a browser's credential.
      if (call.user === null || call.principal.credential.kind !== "browser_session") {
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

function getTokens({ tokens }: AuthRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/tokens",
    scope: "operator.admin",
    body: null,
    doc: "API tokens of this tenant, newest first; never their secrets.",
    async handler(call) {
      const found = await tokens.list(call.tenant.tenantId);
      return { status: 200, body: { tokens: found.map(shown) } };
    },
  });
}

function postTokens({ tokens }: AuthRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/tokens",
    scope: "operator.admin",
    body: z.object({
      name: z.string().min(1).max(100),
      role: z.enum(ROLES),
      expiresInDays: z.int().min(1).max(3_650).nullable().optional(),
    }),
    doc: "Make an API token, at most as strong as the caller; its secret is in this answer only.",
    async handler(call) {
      const { secret, token } = await tokens.create(call.tenant.tenantId, {
        name: call.body.name,
        role: call.body.role,
        maker: makerOf(call.principal),
        expiresInMs: call.body.expiresInDays == null ? null : call.body.expiresInDays * DAY_MS,
      });
      return {
        status: 201,
        headers: { "cache-control": "no-store" },
        body: { token: secret, record: shown(token) },
      };
    },
  });
}

function deleteToken({ tokens }: AuthRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/tokens/:id",
    scope: "operator.admin",
    body: null,
    doc: "Revoke an API token and all that were made with it.",
    async handler(call) {
      await tokens.revoke(call.tenant.tenantId, call.params["id"] ?? "");
      return { status: 204 };
    },
  });
}

function makerOf(principal: Principal): TokenMaker {
  return principal.credential.kind === "api_token"
    ? { kind: "token", tokenId: principal.credential.id, role: principal.role }
    : { kind: "person", userId: principal.userId, role: principal.role };
}

function shown(token: ApiToken) {
  return {
    id: token.id,
    name: token.name,
    role: token.role,
    prefix: token.prefix,
    last4: token.last4,
    createdAtMs: token.createdAtMs,
    expiresAtMs: token.expiresAtMs,
    lastUsedAtMs: token.lastUsedAtMs,
    revokedAtMs: token.revokedAtMs,
  };
}
