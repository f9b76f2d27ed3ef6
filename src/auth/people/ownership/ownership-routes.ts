/**
 * HTTP routes of handing a tenant over. Owns: their shapes. Refuses to know: when an offer stands (the store does).
 */
import { z } from "zod";
import type { UserId } from "../../../kernel/ids.ts";
import { defineTenantRoute, type Route } from "../../../protocol/routes.ts";
import type { AccessFeed } from "../../guard/access-feed.ts";
import { shownOffer, signedIn } from "../member-routes.ts";
import type { OwnershipOffers } from "./ownership-offers.ts";

/** What the routes need. */
export interface OwnershipRouteDeps {
  offers: OwnershipOffers;
  feed: AccessFeed;
}

/** The routes, for the gateway. */
export function makeOwnershipRoutes(deps: OwnershipRouteDeps): Route[] {
  return [postOffer(deps), acceptOffer(deps), deleteOffer(deps), myOffers(deps)];
}

function postOffer({ offers }: OwnershipRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/ownership/offers",
    scope: "operator.admin",
    isStepUp: true,
    body: z.object({ userId: z.string().min(1).max(64) }),
    doc: "Offer one's ownership to another member; they accept or refuse within seven days.",
    async handler(call) {
      const from = signedIn(call);
      const offer = await offers.create(call.tenant.tenantId, from, call.body.userId as UserId, call.actor);
      return { status: 201, body: shownOffer(offer, from) };
    },
  });
}

function acceptOffer({ offers, feed }: OwnershipRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/ownership/offers/:id/accept",
    scope: "operator.read",
    body: z.object({}).optional(),
    doc: "Accept an offer of ownership; whoever made it is an admin from then on.",
    async handler(call) {
      await offers.accept(call.tenant.tenantId, call.params["id"] ?? "", signedIn(call), call.actor);
      await feed.refresh(0);
      return { status: 200, body: { role: "owner" } };
    },
  });
}

function deleteOffer({ offers }: OwnershipRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/ownership/offers/:id",
    scope: "operator.read",
    body: null,
    doc: "Take one's own offer back, or turn one down.",
    async handler(call) {
      await offers.end(call.tenant.tenantId, call.params["id"] ?? "", signedIn(call), call.actor);
      return { status: 204 };
    },
  });
}

function myOffers({ offers }: OwnershipRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/ownership/offers/mine",
    scope: "operator.read",
    body: null,
    doc: "Offers of ownership made to the caller.",
    async handler(call) {
      const { userId } = call.principal;
      const found = await offers.listTo(call.tenant.tenantId, userId);
      return {
        status: 200,
        headers: { "cache-control": "no-store" },
        body: { offers: found.map((offer) => shownOffer(offer, userId)) },
      };
    },
  });
}
