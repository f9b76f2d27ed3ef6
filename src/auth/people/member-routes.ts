/**
 * HTTP routes about a tenant's members and service accounts. Owns: their shapes. Refuses to know: the rules (the stores
 * have them), cookies and origins (the gateway has).
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import type { UserId } from "../../kernel/ids.ts";
import { defineTenantRoute, type Route, type TenantRouteCall } from "../../protocol/routes.ts";
import { ROLES } from "../../tenancy/scopes.ts";
import type { AccessFeed } from "../guard/access-feed.ts";
import type { Members, SeenMember } from "../members.ts";
import type { Invitation } from "./joining/invitation.ts";
import type { Invitations } from "./joining/invitations.ts";
import type { JoinRequests } from "./joining/join-requests.ts";
import type { OwnershipOffer, OwnershipOffers } from "./ownership/ownership-offers.ts";
import { weakerRole } from "./role-rules.ts";
import type { ServiceAccounts } from "./service-accounts.ts";
import type { TenantSettingsStore } from "./tenant-settings.ts";

/** What the routes need. */
export interface MemberRouteDeps {
  members: Members;
  invitations: Invitations;
  joinRequests: JoinRequests;
  offers: OwnershipOffers;
  serviceAccounts: ServiceAccounts;
  settings: TenantSettingsStore;
  feed: AccessFeed;
}

/** The routes, for the gateway. */
export function makeMemberRoutes(deps: MemberRouteDeps): Route[] {
  return [getMembers(deps), patchMember(deps), deleteMe(deps), deleteMember(deps), postServiceAccount(deps)];
}

function getMembers(deps: MemberRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/members",
    scope: "operator.admin",
    body: null,
    doc: "Members, open invitations, requests to join and offers of ownership of this tenant.",
    async handler(call) {
      const { tenantId } = call.tenant;
      const [members, invitations, joinRequests, offers, settings] = await Promise.all([
        deps.members.listSeen(tenantId),
        deps.invitations.list(tenantId),
        deps.joinRequests.list(tenantId),
        deps.offers.list(tenantId),
        deps.settings.get(tenantId),
      ]);
      return {
        status: 200,
        headers: { "cache-control": "no-store" },
        body: {
          members: members.map((member) => shownMember(member, call.principal.userId)),
          invitations: invitations.map(shownInvitation),
          joinRequests,
          offers: offers.map((offer) => shownOffer(offer, call.principal.userId)),
          ceiling: weakerRole(call.principal.role, settings.ceilings.roles),
          settings: { joinRequests: settings.joinRequests, ceilings: settings.ceilings },
        },
      };
    },
  });
}

function patchMember({ members, feed }: MemberRouteDeps): Route {
  return defineTenantRoute({
    method: "PATCH",
    path: "/api/members/:userId",
    scope: "operator.admin",
    body: z.object({ role: z.enum(ROLES) }),
    doc: "Change a member's role; never above the caller's own, and owners only by owners.",
    async handler(call) {
      const { tenantId } = call.tenant;
      const userId = (call.params["userId"] ?? "") as UserId;
      await members.setRole(tenantId, userId, call.body.role, call.actor);
      await feed.refresh(0);
      const member = (await members.listSeen(tenantId)).find((found) => found.userId === userId);
      if (member === undefined)
        throw new AppError("not_found", "That person is not a member of this tenant.");
      return { status: 200, body: shownMember(member, call.principal.userId) };
    },
  });
}

function deleteMember({ members, feed }: MemberRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/members/:userId",
    scope: "operator.admin",
    body: null,
    doc: "Put a member out; their tokens, devices and open connections here end.",
    async handler(call) {
      await members.remove(call.tenant.tenantId, (call.params["userId"] ?? "") as UserId, call.actor);
      await feed.refresh(0);
      return { status: 204 };
    },
  });
}

function deleteMe({ members, feed }: MemberRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/members/me",
    scope: "operator.read",
    body: null,
    doc: "Leave this tenant; only for a signed-in browser.",
    async handler(call) {
      await members.leave(call.tenant.tenantId, signedIn(call), call.actor);
      await feed.refresh(0);
      return { status: 204 };
    },
  });
}

function postServiceAccount({ serviceAccounts }: MemberRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/service-accounts",
    scope: "operator.admin",
    body: z.object({ name: z.string().min(1).max(400), role: z.enum(ROLES) }),
    doc: "Make an account for a bot: a member that acts by API tokens only.",
    async handler(call) {
      const userId = await serviceAccounts.create(call.tenant.tenantId, call.body, call.actor);
      return { status: 201, body: { userId } };
    },
  });
}

/**
 * The person at the browser. SECURITY: what a person decides about themselves is not decided by a token that acts for
 * them: a leaked one must not give their membership away, nor take a tenant over. Throws `forbidden`.
 */
export function signedIn(call: TenantRouteCall<unknown>): UserId {
  if (call.user === null || call.principal.credential.kind !== "browser_session") {
    throw new AppError("forbidden", "Only a signed-in browser can do that.");
  }
  return call.user.userId;
}

function shownMember(member: SeenMember, you: UserId) {
  return {
    userId: member.userId,
    displayName: member.displayName,
    role: member.role,
    kind: member.kind,
    joinedAtMs: member.createdAtMs,
    lastSeenAtMs: member.lastSeenAtMs,
    isYou: member.userId === you,
  };
}

/** An invitation as admins see it. */
export function shownInvitation(invitation: Invitation) {
  const { tenantId: _tenantId, ...rest } = invitation;
  return rest;
}

/** An offer as those in the tenant see it: the other side's name, whoever looks. */
export function shownOffer(offer: OwnershipOffer, you: UserId) {
  const isToYou = offer.toUserId === you;
  return {
    id: offer.id,
    userId: isToYou ? offer.fromUserId : offer.toUserId,
    displayName: isToYou ? offer.fromName : offer.toName,
    createdAtMs: offer.createdAtMs,
    expiresAtMs: offer.expiresAtMs,
    isMine: offer.fromUserId === you,
    isToYou,
  };
}
