/**
 * The people around the photographed harbour: who is invited, asks, offers, looks in; organizations in every state.
 * Owns: those facts, made over HTTP as pages make them. Refuses to know: pages, and what people of `home` talk about.
 */
import type { UserId } from "#src/kernel/ids.ts";
import type { Role } from "#src/tenancy/scopes.ts";
import { makeOperator } from "../../support/operator.ts";
import { connectDevice, newTestDevice, refusedDevice, TUI } from "../../support/paired-device.ts";
import { type Answer, makePerson, send } from "../../support/person.ts";
import type { TestApp } from "../../support/start-app.ts";

/** What pictures need to know of them. */
export interface Townspeople {
  /** An open invitation to `home`; looking at it does not use it up. */
  invitation: string;
  /** One for a confirmed address. */
  tiedInvitation: string;
  /** Ids of organizations by slug. */
  tenants: ReadonlyMap<string, string>;
}

type Send = (method: string, path: string, body?: unknown) => Promise<Answer>;

async function browserOf(app: TestApp, userId: UserId): Promise<Send> {
  const token = await app.app.auth.links.create(userId);
  const signedIn = await send(app.url, "POST", "/auth/link", { body: { token } });
  const cookie = (signedIn.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  return async (method, path, body) => {
    const answer = await send(app.url, method, path, { body, cookie });
    if (answer.status >= 400) throw new Error(`${method} ${path} answered ${answer.status} ${answer.text}`);
    return answer;
  };
}

/** Makes everybody; `owner` is the first operator, who owns `home`. */
export async function fillTown(app: TestApp, owner: UserId): Promise<Townspeople> {
  const mei = await browserOf(app, owner);
  const invitations = await fillMembers(app, mei);
  await fillDevices(app, mei);
  await fillLooks(app, owner);
  await fillStates(app, owner, mei);
  const { tenants } = (await mei("GET", "/operator/api/tenants?limit=200")).body as {
    tenants: { id: string; slug: string }[];
  };
  return { ...invitations, tenants: new Map(tenants.map(({ slug, id }) => [slug, id])) };
}

/** `home`: an admin who is offered the ownership, a bot, invitations, people who ask. */
async function fillMembers(app: TestApp, mei: Send) {
  const at = "/t/home/api";
  await mei("PATCH", `${at}/tenant`, { joinRequests: true });
  const ingrid = await makePerson(app, "Ingrid Haugen", "home", "admin");
  await mei("POST", `${at}/service-accounts`, { name: "Nightly landing report", role: "member" });
  await mei("POST", `${at}/ownership/offers`, { userId: ingrid.userId });
  const invite = async (wish: { role: Role; email?: string; note?: string; expiresInDays?: number }) => {
    const { link } = (await mei("POST", `${at}/invitations`, wish)).body as { link: string };
    return link.slice(app.url.length);
  };
  const invitation = await invite({ role: "member", note: "For the new skipper of the Aurora" });
  const tiedInvitation = await invite({ role: "readonly", email: "auction.house@example.com" });
  for (const [name, note] of [
    ["Sigríður Jónsdóttir", "I run the ice plant and would like to see the landing plans."],
    ["王涛", undefined],
  ] as const) {
    await (await makePerson(app, name)).send("POST", "/auth/join-requests", { slug: "home", note });
  }
  // Somebody else's organization is offered to the owner, who is a plain member there.
  const lin = await makePerson(app, "林海", "yuanyang", "owner");
  const members = (await lin.send("GET", "/t/yuanyang/api/members")).body as {
    members: { userId: string; displayName: string }[];
  };
  const target = members.members.find(({ displayName }) => displayName === "Mei Chen");
  await lin.send("POST", "/t/yuanyang/api/ownership/offers", { userId: target?.userId });
  return { invitation, tiedInvitation };
}

/** Devices of `home`: two that are in, one that asks. */
async function fillDevices(app: TestApp, mei: Send): Promise<void> {
  await mei("PATCH", "/t/home/api/pairing", { devicesMayAsk: true });
  const at = `${app.wsUrl}/t/home`;
  const token = await app.token("home", "member", "Skipper's phone");
  const phone = { ...TUI, platform: "android", displayName: "Phone of the harbour master, second floor" };
  const { client } = await connectDevice(at, newTestDevice(), { auth: { token }, client: phone });
  client.close();
  const laptop = { ...TUI, displayName: "Laptop in the auction hall", platform: "macos" };
  await refusedDevice(at, newTestDevice(), { client: laptop });
}

/** Organizations into which operators look: one where the owner is at home, one where she is the operator. */
async function fillLooks(app: TestApp, owner: UserId): Promise<void> {
  const [olga, piet] = [await makeOperator(app, "Olga Petrova"), await makeOperator(app, "Piet de Vries")];
  const hall = await app.app.tenants.create({ slug: "market-hall", displayName: "Market Hall" });
  await app.app.auth.members.add(hall.id, owner, "owner");
  const look = (reason: string, minutes: number) => ({ reason, minutes });
  const path = `/operator/api/tenants/${hall.id}/break-glass`;
  await olga.send("POST", path, look("Ticket 4711: answers stop half way since this morning", 60));
  const mei = await browserOf(app, owner);
  await mei("PATCH", "/t/market-hall/api/tenant", { breakGlassConsent: true });
  await piet.send("POST", path, look("Check the usage that the bill of October shows", 30));
  const works = await app.app.tenants.create({
    slug: "glass-works",
    displayName: "Glass Works",
    plan: "pro",
  });
  await makePerson(app, "Greta Lund", "glass-works", "owner");
  await mei("POST", `/operator/api/tenants/${works.id}/break-glass`, look("Asked by phone, ticket 88", 240));
}

/** One organization of each state. */
async function fillStates(app: TestApp, owner: UserId, mei: Send): Promise<void> {
  const { tenants, auth } = app.app;
  const quay = await tenants.create({ slug: "east-quay", displayName: "East Quay" });
  await auth.members.add(quay.id, owner, "owner");
  const path = (id: string) => `/operator/api/tenants/${id}`;
  await mei("POST", `${path(quay.id)}/suspend`, { reason: "The bill of September is open", graceDays: 7 });
  const gone = await tenants.create({ slug: "salt-house", displayName: "Salt House" });
  await mei("POST", `${path(gone.id)}/delete`, { confirmSlug: "salt-house", reason: "Closed by its owner" });
}
