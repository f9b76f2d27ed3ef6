/** People of one tenant over HTTP: members, invitations, ownership, the tenant's own facts. Owns: those shapes. Refuses to know: how they are shown. */
import type { Role } from "./account.ts";
import { requestJson } from "./request.ts";

/** Somebody, or a service account, in the tenant. */
export interface Member {
  userId: string;
  displayName: string;
  role: Role;
  kind: "person" | "service";
  joinedAtMs: number;
  lastSeenAtMs: number | null;
  isYou: boolean;
}

/** Whom an invitation is for. */
export type InvitationTie =
  | { kind: "none" }
  | { kind: "email"; email: string }
  | { kind: "identity"; provider: string; subject: string };

/** An open invitation; its link is shown only when it is made. */
export interface Invitation {
  id: string;
  role: Role;
  note: string | null;
  tie: InvitationTie;
  createdAtMs: number;
  createdBy: string | null;
  expiresAtMs: number;
}

/** Somebody who asks to be let in. */
export interface JoinRequest {
  id: string;
  displayName: string;
  note: string | null;
  createdAtMs: number;
}

/** An owner's offer to hand the tenant over. */
export interface OwnershipOffer {
  id: string;
  userId: string;
  displayName: string;
  createdAtMs: number;
  expiresAtMs: number;
  /** The reader made it. */
  isMine: boolean;
  /** The reader may accept it. */
  isToYou: boolean;
}

/** The strongest roles that anybody may give, however strong they are themselves. */
export interface Ceilings {
  roles: Role;
  invitations: Role;
  serviceAccounts: Role;
}

/** Everything the members page shows. */
export interface People {
  members: Member[];
  invitations: Invitation[];
  joinRequests: JoinRequest[];
  offers: OwnershipOffer[];
  /** The strongest role the caller may give. */
  ceiling: Role;
  settings: { joinRequests: boolean; ceilings: Ceilings };
}

/** The tenant as its people see it. */
export interface TenantFacts {
  id: string;
  slug: string;
  displayName: string;
  timeZone: string;
  status: string;
  plan: string;
  createdAtMs: number;
  needsName: boolean;
  settings: { joinRequests: boolean; breakGlassConsent: boolean; ceilings: Ceilings };
}

/** What an invitation's link says to whoever holds it. */
export interface InvitationLook {
  tenantName: string;
  role: Role;
  invitedBy: string | null;
  expiresAtMs: number;
  needs: "none" | "verified_email" | "identity";
}

/** An operator's time-boxed look into the tenant. */
export interface BreakGlass {
  id: string;
  operatorName: string;
  reason: string;
  state: "waiting" | "active" | "ended" | "refused";
  requestedAtMs: number;
  startedAtMs: number | null;
  endsAtMs: number | null;
}

const path = (slug: string, rest: string): string => `/t/${encodeURIComponent(slug)}/api/${rest}`;
const part = encodeURIComponent;

/** Members, invitations, requests and offers. */
export function listPeople(slug: string): Promise<People> {
  return requestJson("GET", path(slug, "members"));
}

/** Gives a member another role. */
export function changeRole(slug: string, userId: string, role: Role): Promise<unknown> {
  return requestJson("PATCH", path(slug, `members/${part(userId)}`), { role });
}

/** Puts a member out; `me` leaves. */
export function removeMember(slug: string, userId: string): Promise<void> {
  return requestJson("DELETE", path(slug, `members/${part(userId)}`));
}

/** Ends everything a member is signed in with in this tenant. */
export function signMemberOut(slug: string, userId: string): Promise<unknown> {
  return requestJson("POST", path(slug, `members/${part(userId)}/sign-out`));
}

/** Makes an invitation; the link is in the answer only. */
export function invite(
  slug: string,
  wish: { role: Role; expiresInDays?: number; email?: string; note?: string },
): Promise<{ link: string; invitation: Invitation }> {
  return requestJson("POST", path(slug, "invitations"), wish);
}

/** Takes an invitation back. */
export function revokeInvitation(slug: string, id: string): Promise<void> {
  return requestJson("DELETE", path(slug, `invitations/${part(id)}`));
}

/** Lets somebody in who asked. */
export function approveJoinRequest(slug: string, id: string, role: Role): Promise<void> {
  return requestJson("POST", path(slug, `join-requests/${part(id)}/approve`), { role });
}

/** Turns a request down. */
export function refuseJoinRequest(slug: string, id: string): Promise<void> {
  return requestJson("DELETE", path(slug, `join-requests/${part(id)}`));
}

/** Makes an identity for a bot. */
export function createServiceAccount(
  slug: string,
  wish: { name: string; role: Role },
): Promise<{ userId: string }> {
  return requestJson("POST", path(slug, "service-accounts"), wish);
}

/** Offers the tenant to another member. */
export function offerOwnership(slug: string, userId: string): Promise<unknown> {
  return requestJson("POST", path(slug, "ownership/offers"), { userId });
}

/** Offers made to the caller. */
export async function listMyOffers(slug: string): Promise<OwnershipOffer[]> {
  return (await requestJson<{ offers: OwnershipOffer[] }>("GET", path(slug, "ownership/offers/mine"))).offers;
}

/** Takes the tenant over. */
export function acceptOwnership(slug: string, id: string): Promise<unknown> {
  return requestJson("POST", path(slug, `ownership/offers/${part(id)}/accept`));
}

/** Takes an offer back, or turns it down. */
export function refuseOwnership(slug: string, id: string): Promise<void> {
  return requestJson("DELETE", path(slug, `ownership/offers/${part(id)}`));
}

/** The tenant's own facts. */
export function findTenantFacts(slug: string): Promise<TenantFacts> {
  return requestJson("GET", path(slug, "tenant"));
}

/** Changes the tenant's own facts; only an owner may change the slug and the ceilings. */
export function changeTenant(
  slug: string,
  change: {
    displayName?: string;
    slug?: string;
    timeZone?: string;
    joinRequests?: boolean;
    breakGlassConsent?: boolean;
    ceilings?: Partial<Ceilings>;
  },
): Promise<TenantFacts> {
  return requestJson("PATCH", path(slug, "tenant"), change);
}

/** What an invitation leads to; throws `link_invalid` for any that does not work. */
export function lookAtInvitation(secret: string): Promise<InvitationLook> {
  return requestJson("POST", "/auth/invitations/look", { secret });
}

/** Joins with an invitation. */
export function acceptInvitation(secret: string): Promise<{ slug: string; role: Role }> {
  return requestJson("POST", "/auth/invitations/accept", { secret });
}

/** Makes a tenant of one's own. */
export function createTenant(wish: {
  slug: string;
  name: string;
  timeZone?: string;
}): Promise<{ slug: string }> {
  return requestJson("POST", "/auth/tenants", wish);
}

/** Asks to be let in; the answer never says whether there is such a tenant. */
export function askToJoin(slug: string, note: string): Promise<unknown> {
  return requestJson("POST", "/auth/join-requests", note === "" ? { slug } : { slug, note });
}

/** Operators' looks into the tenant, those that wait and those that go on first. */
export async function listBreakGlass(slug: string): Promise<BreakGlass[]> {
  return (await requestJson<{ grants: BreakGlass[] }>("GET", path(slug, "break-glass"))).grants;
}

/** Answers an operator's request, or ends what goes on. */
export function answerBreakGlass(
  slug: string,
  id: string,
  answer: "consent" | "refuse" | "end",
): Promise<unknown> {
  return requestJson("POST", path(slug, `break-glass/${part(id)}/${answer}`));
}
