/**
 * HTTP routes of credentials: API tokens, one's own tokens, what is open in a tenant, signing out.
 * Owns: their shapes. Refuses to know: cookies' syntax, origins and policies (the gateway checks them first).
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import type { UserId } from "../../kernel/ids.ts";
import { defineTenantRoute, type Route, type TenantRouteCall } from "../../protocol/routes.ts";
import type { Principal } from "../../tenancy/principal.ts";
import { ROLES } from "../../tenancy/scopes.ts";
import type { Devices } from "../devices.ts";
import type { Members } from "../members.ts";
import { shownDeviceRecord } from "../pairing/routes.ts";
import type { ApiToken, TokenMaker, Tokens } from "../tokens.ts";
import type { SessionUses } from "./session-uses.ts";
import type { SignOuts } from "./sign-out.ts";

/** What the routes need. */
export interface CredentialRouteDeps {
  tokens: Tokens;
  members: Members;
  devices: Devices;
  sessionUses: SessionUses;
  signOuts: SignOuts;
}

const DAY_MS = 24 * 3600 * 1000;

const NEW_TOKEN = {
  name: z.string().min(1).max(100),
  role: z.enum(ROLES),
  scopes: z.array(z.string().max(100)).max(64).nullable().optional(),
  expiresInDays: z.int().min(1).max(3_650).nullable().optional(),
  addresses: z.array(z.string().max(100)).max(64).nullable().optional(),
  agents: z.array(z.string().max(100)).max(64).nullable().optional(),
};

/** The routes, for the gateway. */
export function makeCredentialRoutes(deps: CredentialRouteDeps): Route[] {
  return [
    getTokens(deps),
    postTokens(deps),
    deleteToken(deps),
    getMyTokens(deps),
    postMyTokens(deps),
    deleteMyToken(deps),
    getCredentials(deps),
    postMemberSignOut(deps),
    postSignOutEverywhere(deps),
  ];
}

function getTokens({ tokens }: CredentialRouteDeps): Route {
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

function postTokens({ tokens, members }: CredentialRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/tokens",
    scope: "operator.admin",
    body: z.object({ ...NEW_TOKEN, userId: z.uuid().nullable().optional() }),
    doc: `Make an API token, at most as strong as the caller; its secret is in this answer only. \`userId\`: a service
      account that it acts for; left out, it is an identity of its own.`.replaceAll(/\s+/g, " "),
    async handler(call) {
      const userId = (call.body.userId ?? null) as UserId | null;
      if (userId !== null && (await members.get(call.tenant.tenantId, userId)).kind !== "service") {
        throw new AppError("forbidden", "A token acts for a service account; people make their own tokens.");
      }
      return makeToken(tokens, call, { ...call.body, userId, maker: makerOf(call.principal) });
    },
  });
}

function deleteToken({ tokens }: CredentialRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/tokens/:id",
    scope: "operator.admin",
    body: null,
    doc: "Revoke an API token and all that were made with it.",
    async handler(call) {
      await tokens.revoke(call.tenant.tenantId, call.params["id"] ?? "", call.actor);
      return { status: 204 };
    },
  });
}

function getMyTokens({ tokens }: CredentialRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/my/tokens",
    scope: "operator.read",
    body: null,
    doc: "API tokens that act for the signed-in person in this tenant, newest first.",
    async handler(call) {
      const userId = assertInBrowser(call);
      const found = await tokens.listOfUser(call.tenant.tenantId, userId);
      return { status: 200, body: { tokens: found.map(shown) } };
    },
  });
}

function postMyTokens({ tokens }: CredentialRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/my/tokens",
    scope: "operator.read",
    body: z.object(NEW_TOKEN),
    doc: "Make an API token that acts for the signed-in person, at most as strong as they are.",
    async handler(call) {
      const userId = assertInBrowser(call);
      const maker = { kind: "person", userId, role: call.principal.role } as const;
      return makeToken(tokens, call, { ...call.body, userId, maker });
    },
  });
}

function deleteMyToken({ tokens }: CredentialRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/my/tokens/:id",
    scope: "operator.read",
    body: null,
    doc: "Revoke one of one's own tokens and all that were made with it.",
    async handler(call) {
      const userId = assertInBrowser(call);
      const token = await tokens.get(call.tenant.tenantId, call.params["id"] ?? "");
      // SECURITY: somebody else's token looks like none.
      if (token.userId !== userId) throw new AppError("not_found", "There is no such token.");
      await tokens.revoke(call.tenant.tenantId, token.id, call.actor);
      return { status: 204 };
    },
  });
}

function getCredentials({ tokens, devices, sessionUses }: CredentialRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/credentials",
    scope: "operator.admin",
    body: null,
    doc: "What is open in this tenant: browsers that are signed in and were used here, devices, API tokens.",
    async handler(call) {
      const { tenantId } = call.tenant;
      const [sessions, machines, made] = await Promise.all([
        sessionUses.list(tenantId),
        devices.listOfTenant(tenantId),
        tokens.list(tenantId),
      ]);
      const body = { sessions, devices: machines.map(shownDeviceRecord), tokens: made.map(shown) };
      return { status: 200, body };
    },
  });
}

function postMemberSignOut({ signOuts }: CredentialRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/members/:userId/sign-out",
    scope: "operator.admin",
    body: null,
    doc: "End everything of a member in this tenant: tokens that act for them, devices, browsers. Elsewhere nothing.",
    async handler(call) {
      await signOuts.inTenant(call.tenant.tenantId, (call.params["userId"] ?? "") as UserId, call.actor);
      return { status: 200, body: {} };
    },
  });
}

function postSignOutEverywhere({ signOuts }: CredentialRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/my/sign-out-everywhere",
    scope: "operator.read",
    body: null,
    doc: "End everything of the signed-in person, in every tenant: browsers, devices, tokens that act for them.",
    async handler(call) {
      await signOuts.everywhere(assertInBrowser(call), call.actor);
      return { status: 200, body: {}, sessionCookie: null };
    },
  });
}

async function makeToken(
  tokens: Tokens,
  call: TenantRouteCall<unknown>,
  asked: Omit<Parameters<Tokens["create"]>[1], "expiresInMs" | "limits"> & {
    expiresInDays?: number | null | undefined;
    scopes?: string[] | null | undefined;
    addresses?: string[] | null | undefined;
    agents?: string[] | null | undefined;
  },
) {
  const { name, role, maker, userId, expiresInDays, scopes, addresses, agents } = asked;
  const expiresInMs = expiresInDays == null ? null : expiresInDays * DAY_MS;
  const limits = { scopes, addresses, agents };
  const { secret, token } = await tokens.create(
    call.tenant.tenantId,
    { name, role, maker, userId: userId ?? null, expiresInMs, limits },
    call.actor,
  );
  return {
    status: 201,
    headers: { "cache-control": "no-store" },
    body: { token: secret, record: shown(token) },
  };
}

/** SECURITY: a token must not make, see or end what belongs to a person; only a signed-in browser is that person. */
function assertInBrowser(call: TenantRouteCall<unknown>): UserId {
  if (call.user !== null && call.principal.credential.kind === "browser_session") return call.user.userId;
  throw new AppError("forbidden", "Only a signed-in browser can do this.");
}

/** SECURITY: whatever is limited makes nothing that is not; a device makes no tokens at all. */
function makerOf(principal: Principal): TokenMaker {
  const { credential, role, userId } = principal;
  if (credential.kind === "api_token") return { kind: "token", tokenId: credential.id, role };
  if (credential.kind === "browser_session") return { kind: "person", userId, role };
  throw new AppError("forbidden", "This access cannot make tokens.");
}

function shown(token: ApiToken) {
  const { tenantId: _tenantId, createdBy: _createdBy, addresses, agents, ...rest } = token;
  return { ...rest, addresses: addresses ?? [], agents: agents ?? [] };
}
