/**
 * Who else belongs to the twins, and who is about to: a member, an invitation, a request to join, an offer of ownership.
 * Owns: planting them, and what a caller's own calls about them are answered when they cannot succeed.
 */
import { MACHINE, SYSTEM } from "#src/tenancy/actor.ts";
import type { TestApp } from "../support/start-app.ts";
import type { Twin } from "./twins.ts";

/** Ids of what only one of the two has. */
export interface OnlyPeople {
  memberId: string;
  invitationId: string;
  joinRequestId: string;
  offerId: string;
}

type Owner = Pick<Twin, "tenant" | "userId">;

/** Plant one of each; the names are canaries. */
export async function plantPeople(
  world: TestApp,
  owner: Owner,
  canary: (surface: string) => string,
): Promise<OnlyPeople> {
  return {
    memberId: await plantMember(world, owner, canary("member")),
    invitationId: await plantInvitation(world, owner, canary("invitation")),
    joinRequestId: await plantJoinRequest(world, owner, canary("join-request")),
    offerId: await plantOffer(world, owner, canary("offer")),
  };
}

async function plantMember({ app }: TestApp, { tenant }: Owner, name: string): Promise<string> {
  const user = await app.auth.users.create({ displayName: name });
  await app.auth.members.add(tenant.id, user.id, "readonly");
  return user.id;
}

async function plantInvitation({ app }: TestApp, { tenant }: Owner, note: string): Promise<string> {
  const terms = { role: "member", expiresInDays: 7, tie: { kind: "none" }, note } as const;
  return (await app.auth.people.invitations.create(tenant.id, terms, MACHINE)).invitation.id;
}

async function plantJoinRequest({ app }: TestApp, { tenant }: Owner, name: string): Promise<string> {
  const user = await app.auth.users.create({ displayName: name });
  await app.auth.people.settings.change(tenant, { joinRequests: true }, MACHINE);
  const { slug } = await app.tenants.getById(tenant.id);
  await app.auth.people.joinRequests.ask(user.id, slug, name, SYSTEM);
  const found = (await app.auth.people.joinRequests.list(tenant.id)).find((one) => one.note === name);
  if (found === undefined) throw new Error("the request was not planted");
  return found.id;
}

/** The owner may have one offer at a time: a new one takes the place of the last. */
async function plantOffer(world: TestApp, owner: Owner, name: string): Promise<string> {
  const { offers } = world.app.auth.people;
  const { tenant, userId } = owner;
  for (const offer of await offers.list(tenant.id)) await offers.end(tenant.id, offer.id, userId, SYSTEM);
  const to = (await plantMember(world, owner, name)) as typeof userId;
  return (await offers.create(tenant.id, userId, to, SYSTEM)).id;
}

type MakeOwn = (on: { world: TestApp; mine: Twin }) => Promise<string>;

const ownMember: MakeOwn = ({ world, mine }) => plantMember(world, mine, "own member");
const ownRequest: MakeOwn = ({ world, mine }) => plantJoinRequest(world, mine, `own request ${made++}`);
const ownOffer: MakeOwn = ({ world, mine }) => plantOffer(world, mine, "own offer");
let made = 0;

/** Values of path parameters that are the caller's own, made anew. */
export const OWN_PEOPLE: Readonly<Record<string, MakeOwn>> = {
  "PATCH /api/members/:userId": ownMember,
  "DELETE /api/members/:userId": ownMember,
  "POST /api/members/:userId/sign-out": ownMember,
  "DELETE /api/invitations/:id": ({ world, mine }) => plantInvitation(world, mine, "own invitation"),
  "POST /api/join-requests/:id/approve": ownRequest,
  "DELETE /api/join-requests/:id": ownRequest,
  "POST /api/ownership/offers/:id/accept": ownOffer,
  "DELETE /api/ownership/offers/:id": ownOffer,
};

/** What a path parameter names. */
export const FOREIGN_PEOPLE: Readonly<Record<string, keyof OnlyPeople>> = {
  "PATCH /api/members/:userId": "memberId",
  "DELETE /api/members/:userId": "memberId",
  "POST /api/members/:userId/sign-out": "memberId",
  "DELETE /api/invitations/:id": "invitationId",
  "POST /api/join-requests/:id/approve": "joinRequestId",
  "DELETE /api/join-requests/:id": "joinRequestId",
  "POST /api/ownership/offers/:id/accept": "offerId",
  "DELETE /api/ownership/offers/:id": "offerId",
};

/** Calls that cannot succeed for the tenant's one owner: what a token is answered, and what a cookie. */
export const OWN_PEOPLE_ANSWERS: Readonly<Record<string, { byToken: number; byCookie: number }>> = {
  "DELETE /api/members/me": { byToken: 403, byCookie: 409 },
  "POST /api/ownership/offers": { byToken: 403, byCookie: 409 },
  "POST /api/ownership/offers/:id/accept": { byToken: 403, byCookie: 404 },
  "DELETE /api/ownership/offers/:id": { byToken: 403, byCookie: 204 },
};
