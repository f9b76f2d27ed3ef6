/** Who belongs to a tenant and as what, over real HTTP: members, roles, ceilings, requests, the record. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROLES, type Role } from "#src/tenancy/scopes.ts";
import { auditOf, makePerson, type Person } from "../support/person.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { SteeredClock } from "../support/world.ts";

const DAY_MS = 24 * 3600 * 1000;

let world: TestApp;
let clock: SteeredClock;
let owner: Person;
let admin: Person;
let member: Person;
let reader: Person;
let stranger: Person;
let twin: Person;

beforeAll(async () => {
  clock = new SteeredClock();
  world = await startApp({ app: { clock } });
  owner = await makePerson(world, "Olga", "acme", "owner");
  admin = await makePerson(world, "Adam", "acme", "admin");
  member = await makePerson(world, "Mina", "acme", "member");
  reader = await makePerson(world, "Rita", "acme", "readonly");
  stranger = await makePerson(world, "Stig");
  twin = await makePerson(world, "Twin", "beta", "owner");
});
afterAll(() => world.close());

const tenantOf = (slug: string) => world.tenant(slug);
const roleOf = async (person: Person, slug = "acme") =>
  (await world.app.auth.members.find((await tenantOf(slug)).id, person.userId))?.role;
const membersOf = async (slug = "acme", by = owner) => (await by.send("GET", `/t/${slug}/api/members`)).body;

describe("the list of members", () => {
  it("says who is there, as what, and what the caller may give", async () => {
    const body = await membersOf();
    expect(
      body.members.map((one: { displayName: string; role: Role }) => [one.displayName, one.role]),
    ).toEqual([
      ["Olga", "owner"],
      ["Adam", "admin"],
      ["Mina", "member"],
      ["Rita", "readonly"],
    ]);
    expect(body.members[0]).toMatchObject({ kind: "person", isYou: true, userId: owner.userId });
    expect(body.members[1]).toMatchObject({ isYou: false });
    expect(body).toMatchObject({
      ...{ invitations: [], joinRequests: [], offers: [], ceiling: "owner" },
      settings: {
        joinRequests: false,
        ceilings: { roles: "owner", invitations: "owner", serviceAccounts: "admin" },
      },
    });
    expect((await membersOf("acme", admin)).ceiling).toBe("admin");
  });

  it("knows when somebody was last here, and nothing of when they were elsewhere", async () => {
    const both = await makePerson(world, "Both", "acme", "readonly");
    await world.app.auth.members.add((await tenantOf("beta")).id, both.userId, "readonly");
    const seenIn = async (slug: string, by: Person) =>
      (await membersOf(slug, by)).members.find((one: { userId: string }) => one.userId === both.userId)
        .lastSeenAtMs;
    expect((await both.send("GET", "/t/beta/api/tenant")).status).toBe(200);
    await expect.poll(() => seenIn("beta", twin)).toBeGreaterThan(0);
    expect(await seenIn("acme", owner)).toBeNull();
    expect((await both.send("DELETE", "/t/acme/api/members/me")).status).toBe(204);
  });
});

describe("roles", () => {
  it("are given and taken as the rules say, whoever tries whatever on whomever", async () => {
    const acting: Record<Role, Person> = { owner, admin, member, readonly: reader };
    for (const by of ROLES) {
      for (const from of ROLES) {
        for (const to of ROLES) {
          const target = await makePerson(world, `${by} ${from} ${to}`, "acme", from);
          const answer = await acting[by].send("PATCH", `/t/acme/api/members/${target.userId}`, { role: to });
          const may = by === "owner" || (by === "admin" && from !== "owner" && to !== "owner");
          expect([by, from, to, answer.status]).toEqual([by, from, to, may ? 200 : 403]);
          expect(await roleOf(target), `${by} ${from} ${to}`).toBe(may ? to : from);
          const out = await acting[by].send("DELETE", `/t/acme/api/members/${target.userId}`);
          const mayRemove = by === "owner" || (by === "admin" && (may ? to : from) !== "owner");
          expect([by, out.status]).toEqual([by, mayRemove ? 204 : 403]);
          if (!mayRemove) await world.app.auth.members.remove((await tenantOf("acme")).id, target.userId);
        }
      }
    }
  }, 60_000);

  it("cannot be raised by oneself, by whatever route takes a body (RO-01)", async () => {
    for (const person of [member, reader]) {
      const before = await roleOf(person);
      const extra = { role: "owner", isOperator: true, scopes: ["operator.admin"] };
      expect((await person.send("PATCH", "/auth/user", { displayName: person.name, ...extra })).status).toBe(
        200,
      );
      for (const [method, path] of [
        ["PATCH", `/t/acme/api/members/${person.userId}`],
        ["POST", "/t/acme/api/invitations"],
        ["PATCH", "/t/acme/api/tenant"],
        ["POST", "/t/acme/api/service-accounts"],
        ["POST", "/t/acme/api/ownership/offers"],
        ["POST", "/t/acme/api/join-requests/x/approve"],
      ] as const) {
        const answer = await person.send(method, path, { ...extra, name: "x", userId: person.userId });
        expect([path, answer.status]).toEqual([path, 403]);
      }
      expect(await roleOf(person)).toBe(before);
    }
  });

  it("of a token go no further than the token, though its person owns the tenant", async () => {
    const { id } = await tenantOf("acme");
    const made = await world.app.auth.tokens.create(id, {
      ...{ role: "admin", name: "narrow", maker: { kind: "machine" }, userId: owner.userId },
    });
    const asToken = (path: string, body: unknown) =>
      fetch(`${world.url}/t/acme${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${made.secret}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    expect((await asToken("/api/invitations", { role: "owner" })).status).toBe(403);
    expect((await asToken("/api/invitations", { role: "admin" })).status).toBe(201);
    expect((await asToken("/api/ownership/offers", { userId: member.userId })).status).toBe(403);
  });

  it("have ceilings that only an owner moves, and that hold for owners too (RO-10)", async () => {
    const ceilings = { roles: "member", invitations: "readonly", serviceAccounts: "readonly" };
    expect((await admin.send("PATCH", "/t/acme/api/tenant", { ceilings })).code).toBe("forbidden");
    expect((await owner.send("PATCH", "/t/acme/api/tenant", { ceilings })).status).toBe(200);
    const target = await makePerson(world, "Capped", "acme", "readonly");
    expect((await membersOf("acme", admin)).ceiling).toBe("member");
    for (const by of [owner, admin]) {
      const up = (role: Role) => by.send("PATCH", `/t/acme/api/members/${target.userId}`, { role });
      expect((await up("admin")).code).toBe("forbidden");
      expect((await up("member")).status).toBe(200);
      expect((await up("readonly")).status).toBe(200);
      expect((await by.send("POST", "/t/acme/api/invitations", { role: "member" })).code).toBe("forbidden");
      const bot = { name: "Bot", role: "member" };
      expect((await by.send("POST", "/t/acme/api/service-accounts", bot)).code).toBe("forbidden");
    }
    const open = { roles: "owner", invitations: "owner", serviceAccounts: "admin" };
    expect((await owner.send("PATCH", "/t/acme/api/tenant", { ceilings: open })).status).toBe(200);
    const bad = { ceilings: { serviceAccounts: "owner" } };
    expect((await owner.send("PATCH", "/t/acme/api/tenant", bad)).code).toBe("invalid_request");
  });
});

describe("leaving and being put out", () => {
  it("ends tokens and sessions here, which a return does not revive (AU-17)", async () => {
    const { id } = await tenantOf("acme");
    const back = await makePerson(world, "Boomerang", "acme", "admin");
    const token = await world.app.auth.tokens.create(id, {
      ...{ role: "member", name: "mine", maker: { kind: "person", userId: back.userId, role: "admin" } },
      userId: back.userId,
    });
    const invited = (await back.send("POST", "/t/acme/api/invitations", { role: "member" })).body.link;
    clock.pass(1_000);
    expect((await owner.send("DELETE", `/t/acme/api/members/${back.userId}`)).status).toBe(204);
    expect((await back.send("GET", "/t/acme/api/tenant")).status).toBe(404);
    clock.pass(1_000);
    const { link } = (await owner.send("POST", "/t/acme/api/invitations", { role: "member" })).body;
    const secret = secretOf(link);
    // The browser from before does not come back with its person.
    expect((await back.send("POST", "/auth/invitations/accept", { secret })).code).toBe("step_up_required");
    const old = back.cookie;
    await back.signInAgain();
    expect((await back.send("POST", "/auth/invitations/accept", { secret })).body).toEqual({
      ...{ slug: "acme", role: "member" },
    });
    expect((await back.send("GET", "/t/acme/api/tenant")).status).toBe(200);
    const asBefore = await fetch(`${world.url}/t/acme/api/tenant`, { headers: { cookie: old } });
    expect(asBefore.status).toBe(404);
    const asToken = await fetch(`${world.url}/t/acme/api/tenant`, {
      headers: { authorization: `Bearer ${token.secret}` },
    });
    expect(asToken.status).toBe(401);
    const again = { secret: secretOf(invited) };
    expect((await stranger.send("POST", "/auth/invitations/accept", again)).code).toBe("link_invalid");
  });

  it("is one's own doing only with a browser: a token gives nobody's membership away", async () => {
    const { id } = await tenantOf("acme");
    const { secret } = await world.app.auth.tokens.create(id, {
      ...{ role: "readonly", name: "leaky", maker: { kind: "machine" }, userId: member.userId },
    });
    const answer = await fetch(`${world.url}/t/acme/api/members/me`, {
      ...{ method: "DELETE", headers: { authorization: `Bearer ${secret}` } },
    });
    expect(answer.status).toBe(403);
    expect(await roleOf(member)).toBe("member");
  });

  it("is refused to the last owner, however they go (RO-05)", async () => {
    const single = await makePerson(world, "Single", "solo", "owner");
    const helper = await makePerson(world, "Helper", "solo", "admin");
    const self = `/t/solo/api/members/${single.userId}`;
    for (const [method, path, body] of [
      ["DELETE", "/t/solo/api/members/me", undefined],
      ["DELETE", self, undefined],
      ["PATCH", self, { role: "admin" }],
    ] as const) {
      expect((await single.send(method, path, body)).code).toBe("last_owner");
      expect((await helper.send(method === "PATCH" ? method : "DELETE", self, body)).status).toBe(403);
    }
    expect(await roleOf(single, "solo")).toBe("owner");
  });

  it("of somebody in another tenant is answered as of nobody", async () => {
    const nobody = "00000000-0000-7000-8000-000000000000";
    for (const [method, body] of [
      ["DELETE", undefined],
      ["PATCH", { role: "admin" }],
    ] as const) {
      const [theirs, none] = await Promise.all(
        [twin.userId, nobody].map((id) => owner.send(method, `/t/acme/api/members/${id}`, body)),
      );
      expect([theirs?.status, none?.status]).toEqual([404, 404]);
      expect({ ...theirs?.body.error, requestId: "" }).toEqual({ ...none?.body.error, requestId: "" });
    }
    expect(await roleOf(twin, "beta")).toBe("owner");
  });
});

describe("service accounts", () => {
  it("are members without a way to sign in, of one tenant for good, never its owner", async () => {
    const made = await admin.send("POST", "/t/acme/api/service-accounts", {
      name: "Builder",
      role: "member",
    });
    expect(made.status).toBe(201);
    const { userId } = made.body;
    const listed = (await membersOf()).members.find((one: { userId: string }) => one.userId === userId);
    expect(listed).toMatchObject({ displayName: "Builder", kind: "service", role: "member" });
    await expect(world.app.auth.links.create(userId)).rejects.toMatchObject({ code: "not_found" });
    const beta = (await tenantOf("beta")).id;
    await expect(world.app.auth.members.add(beta, userId, "member")).rejects.toMatchObject({
      code: "not_found",
    });
    const asOwner = { role: "owner" };
    expect((await owner.send("PATCH", `/t/acme/api/members/${userId}`, asOwner)).code).toBe("forbidden");
    await owner.signInAgain();
    expect((await owner.send("POST", "/t/acme/api/ownership/offers", { userId })).code).toBe(
      "invalid_request",
    );
    const bad = { name: "Boss", role: "owner" };
    expect((await owner.send("POST", "/t/acme/api/service-accounts", bad)).code).toBe("forbidden");
    expect((await admin.send("DELETE", `/t/acme/api/members/${userId}`)).status).toBe(204);
    const actions = (await auditOf(owner, "acme")).map((event) => event.action);
    expect(actions).toContain("service_account.created");
    expect(actions).toContain("service_account.removed");
  });
});

describe("requests to join", () => {
  const ask = (person: Person, slug: string, note?: string) =>
    person.send("POST", "/auth/join-requests", { slug, ...(note === undefined ? {} : { note }) });
  const bare = (answer: { status: number; body: unknown; headers: Headers }) => ({
    status: answer.status,
    body: answer.body,
    headers: [...answer.headers]
      .filter(([name]) => !["date", "x-request-id"].includes(name))
      .map(([name, value]) => `${name}: ${value}`),
  });

  it("get one answer, whatever is there: closed, open, full of them, a member already, nothing", async () => {
    await owner.send("PATCH", "/t/acme/api/tenant", { joinRequests: true });
    const asker = await makePerson(world, "Asker");
    const answers = [
      bare(await ask(asker, "acme", "May I?\nPlease.")),
      bare(await ask(asker, "acme")),
      bare(await ask(asker, "beta")),
      bare(await ask(asker, "nobody-here")),
      bare(await ask(asker, "../..")),
      bare(await ask(member, "acme")),
    ];
    expect(answers[0]).toMatchObject({ status: 202 });
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    const waiting = (await membersOf()).joinRequests;
    expect(waiting).toHaveLength(1);
    expect(waiting[0]).toMatchObject({ displayName: "Asker", note: "May I?\nPlease." });
    expect((await membersOf("beta", twin)).joinRequests).toEqual([]);
    expect((await stranger.send("GET", "/t/acme/api/members")).status).toBe(404);

    const path = `/t/acme/api/join-requests/${waiting[0].id}`;
    expect((await twin.send("DELETE", `/t/beta/api/join-requests/${waiting[0].id}`)).status).toBe(404);
    expect((await admin.send("POST", `${path}/approve`, { role: "owner" })).code).toBe("forbidden");
    expect((await admin.send("POST", `${path}/approve`, { role: "member" })).status).toBe(204);
    expect(await roleOf(asker)).toBe("member");
    expect((await asker.send("GET", "/t/acme/api/tenant")).status).toBe(200);
    expect((await admin.send("POST", `${path}/approve`, { role: "member" })).status).toBe(404);
  });

  it("can be refused, cannot carry tricks, and are few per person and day", async () => {
    const pushy = await makePerson(world, "Pushy");
    expect((await ask(pushy, "acme", "a\u0000b")).code).toBe("invalid_request");
    expect((await ask(pushy, "acme", "x".repeat(501))).code).toBe("invalid_request");
    for (let i = 0; i < 10; i++) expect((await ask(pushy, i === 0 ? "acme" : `guess-${i}`)).status).toBe(202);
    const over = [await ask(pushy, "acme"), await ask(pushy, "nobody-here")];
    expect(over.map((answer) => [answer.status, answer.code])).toEqual([
      [429, "rate_limited"],
      [429, "rate_limited"],
    ]);
    expect(over[0]?.headers.get("retry-after")).toBe("86400");
    const [waiting] = (await membersOf()).joinRequests;
    expect((await admin.send("DELETE", `/t/acme/api/join-requests/${waiting.id}`)).status).toBe(204);
    expect((await membersOf()).joinRequests).toEqual([]);
    expect(await roleOf(pushy)).toBeUndefined();
    clock.pass(DAY_MS);
    await pushy.signInAgain();
    await owner.signInAgain();
    await admin.signInAgain();
    expect((await ask(pushy, "acme")).status).toBe(202);
  });

  it("are off by default", async () => {
    const asker = await makePerson(world, "Knocker");
    await ask(asker, "beta");
    expect((await membersOf("beta", twin)).joinRequests).toEqual([]);
  });
});

describe("the record (RO-18)", () => {
  it("has who did what to whom, before and after, and what was denied", async () => {
    const target = await makePerson(world, "Recorded", "acme", "readonly");
    for (const person of [owner, admin, member]) await person.signInAgain();
    await admin.send("PATCH", `/t/acme/api/members/${target.userId}`, { role: "member" });
    await admin.send("PATCH", `/t/acme/api/members/${target.userId}`, { role: "owner" });
    await member.send("DELETE", `/t/acme/api/members/${target.userId}`);
    await admin.send("DELETE", `/t/acme/api/members/${target.userId}`);
    const events = await auditOf(owner, "acme");
    const about = events.filter((event) => (event.target as { id?: string } | null)?.id === target.userId);
    expect(about).toMatchObject([
      { action: "member.joined", target: { name: "Recorded" } },
      {
        ...{ action: "member.role_changed", outcome: "ok", details: { before: "readonly", after: "member" } },
        actor: { id: admin.userId, kind: "person", name: "Adam" },
      },
      { action: "member.removed", details: { role: "member" }, actor: { id: admin.userId } },
    ]);
    const denied = events.filter((event) => event.outcome === "denied");
    expect(denied.map((event) => (event.actor as { id: string }).id)).toEqual(
      expect.arrayContaining([admin.userId, member.userId]),
    );
  });
});

function secretOf(link: string): string {
  return link.split("#invite=")[1] ?? "";
}
