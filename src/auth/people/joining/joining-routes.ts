/**
 * HTTP routes with which people come in: invitations and requests. Owns: their shapes, throttling of guesses.
 * Refuses to know: the rules (the stores have them), cookies and origins (the gateway has).
 */
import { z } from "zod";
import { AppError } from "../../../kernel/errors.ts";
import {
  type BrowserUser,
  defineRoute,
  defineTenantRoute,
  type Route,
  type RouteCall,
} from "../../../protocol/routes.ts";
import type { Actor } from "../../../tenancy/actor.ts";
import { ROLES } from "../../../tenancy/scopes.ts";
import type { Attempts } from "../../guard/attempts.ts";
import { slowGuesses } from "../../guard/slow-guesses.ts";
import { shownInvitation } from "../member-routes.ts";
import { checkTie } from "./invitation.ts";
import type { Invitations } from "./invitations.ts";
import type { JoinRequests } from "./join-requests.ts";

/** What the routes need. */
export interface JoiningRouteDeps {
  invitations: Invitations;
  joinRequests: JoinRequests;
  attempts: Attempts;
  /** Where links lead; null for wherever the inviter's browser sees us. */
  publicUrl: string | null;
}

/** The routes, for the gateway. */
export function makeJoiningRoutes(deps: JoiningRouteDeps): Route[] {
  return [
    lookAtInvitation(deps),
    acceptInvitation(deps),
    postInvitation(deps),
    deleteInvitation(deps),
    postJoinRequest(deps),
    approveJoinRequest(deps),
    deleteJoinRequest(deps),
  ];
}

const SECRET = z.object({ secret: z.string().min(1).max(256) });
const NO_STORE = { "cache-control": "no-store" };

function lookAtInvitation(deps: JoiningRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/invitations/look",
    policy: { kind: "public" },
    body: SECRET,
    doc: "What an invitation offers; 401 for every link that does not count, whatever the reason.",
    async handler(call) {
      const at = call.hostTenant?.id ?? null;
      const who = { address: call.address, account: null };
      const body = await slowGuesses(deps.attempts, who, "link_invalid", () =>
        deps.invitations.look(call.body.secret, at),
      );
      return { status: 200, headers: NO_STORE, body };
    },
  });
}

function acceptInvitation(deps: JoiningRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/invitations/accept",
    policy: { kind: "browser" },
    body: SECRET,
    doc: "Join the tenant that an invitation is for, as the signed-in person.",
    async handler(call) {
      const { user, actor } = asPerson(call);
      const at = call.hostTenant?.id ?? null;
      const who = { address: call.address, account: user.userId };
      const body = await slowGuesses(deps.attempts, who, "link_invalid", () =>
        deps.invitations.accept(call.body.secret, user, actor, at),
      );
      return { status: 200, headers: NO_STORE, body };
    },
  });
}

function postInvitation({ invitations, publicUrl }: JoiningRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/invitations",
    scope: "operator.admin",
    body: z.object({
      role: z.enum(ROLES),
      expiresInDays: z.int().min(1).max(30).optional(),
      email: z.string().min(3).max(254).nullable().optional(),
      identity: z
        .object({ provider: z.string().min(1).max(64), subject: z.string().min(1).max(255) })
        .nullable()
        .optional(),
      note: z.string().max(2_000).nullable().optional(),
    }),
    doc: "Invite somebody by link, at most as what the caller is; the link is in this answer only.",
    async handler(call) {
      const { role, expiresInDays = 7, email, identity, note } = call.body;
      const made = await invitations.create(
        call.tenant.tenantId,
        { role, expiresInDays, tie: checkTie(email, identity), note },
        call.actor,
      );
      // SECURITY: from the settings, or from the checked host; a header of the request decides nothing (ATTACKS AU-22).
      const link = `${publicUrl ?? call.origin}/join#invite=${made.secret}`;
      return { status: 201, headers: NO_STORE, body: { link, invitation: shownInvitation(made.invitation) } };
    },
  });
}

function deleteInvitation({ invitations }: JoiningRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/invitations/:id",
    scope: "operator.admin",
    body: null,
    doc: "Take an open invitation back; its link works no more.",
    async handler(call) {
      await invitations.revoke(call.tenant.tenantId, call.params["id"] ?? "", call.actor);
      return { status: 204 };
    },
  });
}

function postJoinRequest({ joinRequests }: JoiningRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/auth/join-requests",
    policy: { kind: "browser" },
    body: z.object({ slug: z.string().min(1).max(100), note: z.string().max(2_000).nullable().optional() }),
    doc: "Ask to be let into a tenant. The answer is the same whether there is such a tenant or not.",
    async handler(call) {
      const { user, actor } = asPerson(call);
      await joinRequests.ask(user.userId, call.body.slug, call.body.note ?? null, actor);
      return { status: 202, headers: NO_STORE, body: { ok: true } };
    },
  });
}

function approveJoinRequest({ joinRequests }: JoiningRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/join-requests/:id/approve",
    scope: "operator.admin",
    body: z.object({ role: z.enum(ROLES) }),
    doc: "Let somebody in who asked.",
    async handler(call) {
      await joinRequests.approve(call.tenant.tenantId, call.params["id"] ?? "", call.body.role, call.actor);
      return { status: 204 };
    },
  });
}

function deleteJoinRequest({ joinRequests }: JoiningRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/join-requests/:id",
    scope: "operator.admin",
    body: null,
    doc: "Refuse a request to join; whoever asked is not told.",
    async handler(call) {
      await joinRequests.refuse(call.tenant.tenantId, call.params["id"] ?? "", call.actor);
      return { status: 204 };
    },
  });
}

/** The signed-in person and the actor they are; the policy `browser` guarantees both. */
export function asPerson(call: RouteCall<unknown>): { user: BrowserUser; actor: Actor } {
  if (call.user === null || call.actor === null) throw new AppError("unauthenticated", "Sign in first.");
  return { user: call.user, actor: call.actor };
}
