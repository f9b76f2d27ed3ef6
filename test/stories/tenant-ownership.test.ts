/** What concerns a tenant as a whole, over real HTTP: handing it over, its settings, making one. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { auditOf, makePerson, type Person } from "../support/person.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { SteeredClock } from "../support/world.ts";

const DAY_MS = 24 * 3600 * 1000;

let world: TestApp;
let clock: SteeredClock;
let stranger: Person;
let twin: Person;

beforeAll(async () => {
  clock = new SteeredClock();
  world = await startApp({ app: { clock } });
  stranger = await makePerson(world, "Stig");
  twin = await makePerson(world, "Twin", "beta", "owner");
});
afterAll(() => world.close());

const roleOf = async (person: Person, slug: string) =>
  (await world.app.auth.members.find((await world.tenant(slug)).id, person.userId))?.role;

describe("handing a tenant over (RO-12)", () => {
  it("needs a fresh proof, an owner, and the other's consent inside the tenant", async () => {
    const from = await makePerson(world, "From", "handover", "owner");
    const to = await makePerson(world, "To", "handover", "readonly");
    const other = await makePerson(world, "Other", "handover", "admin");
    const offer = (by: Person, userId: string) =>
      by.send("POST", "/t/handover/api/ownership/offers", { userId });
    expect((await offer(other, to.userId)).code).toBe("forbidden");
    expect((await offer(from, twin.userId)).status).toBe(404);
    clock.pass(6 * 60 * 1000);
    expect((await offer(from, to.userId)).code).toBe("step_up_required");
    await from.signInAgain();
    const made = await offer(from, to.userId);
    expect(made.status).toBe(201);
    expect((await offer(from, other.userId)).code).toBe("conflict");
    const path = `/t/handover/api/ownership/offers/${made.body.id}`;
    expect((await to.send("GET", "/t/handover/api/ownership/offers/mine")).body.offers).toMatchObject([
      { id: made.body.id, displayName: "From", isMine: false },
    ]);
    expect((await other.send("GET", "/t/handover/api/ownership/offers/mine")).body.offers).toEqual([]);
    for (const by of [other, from]) expect((await by.send("POST", `${path}/accept`, {})).status).toBe(404);
    expect((await twin.send("POST", `/t/beta/api/ownership/offers/${made.body.id}/accept`, {})).status).toBe(
      404,
    );
    // A foreign page cannot accept for them.
    const forged = await to.send("POST", `${path}/accept`, {}, { origin: "https://evil.example" });
    expect(forged.code).toBe("origin_refused");
    expect((await to.send("POST", `${path}/accept`, {})).status).toBe(200);
    expect([await roleOf(from, "handover"), await roleOf(to, "handover")]).toEqual(["admin", "owner"]);
    expect((await to.send("POST", `${path}/accept`, {})).status).toBe(404);
    const actions = (await auditOf(to, "handover")).map((event) => event.action);
    expect(actions).toEqual(expect.arrayContaining(["ownership.offered", "ownership.accepted"]));
  });

  it("ends when either side changes or goes, when it is refused or taken back, and after seven days", async () => {
    const endings: Record<string, (id: string, from: Person, to: Person) => Promise<unknown>> = {
      "target demoted": (_id, from, to) =>
        from.send("PATCH", `/t/endings/api/members/${to.userId}`, { role: "readonly" }),
      "target gone": (_id, _from, to) => to.send("DELETE", "/t/endings/api/members/me"),
      "owner demoted": (_id, from) =>
        from.send("PATCH", `/t/endings/api/members/${from.userId}`, { role: "admin" }),
      "owner gone": (_id, from) => from.send("DELETE", "/t/endings/api/members/me"),
      "taken back": (id, from) => from.send("DELETE", `/t/endings/api/ownership/offers/${id}`),
      refused: (id, _from, to) => to.send("DELETE", `/t/endings/api/ownership/offers/${id}`),
      "after seven days": async () => clock.pass(7 * DAY_MS),
    };
    await makePerson(world, "Keeper", "endings", "owner");
    for (const [name, end] of Object.entries(endings)) {
      const from = await makePerson(world, `from ${name}`, "endings", "owner");
      const to = await makePerson(world, `to ${name}`, "endings", "member");
      const { body } = await from.send("POST", "/t/endings/api/ownership/offers", { userId: to.userId });
      await end(body.id, from, to);
      if (name === "after seven days") await to.signInAgain();
      const answer = await to.send("POST", `/t/endings/api/ownership/offers/${body.id}/accept`, {});
      expect([name, answer.status]).toEqual([name, 404]);
      expect(await roleOf(to, "endings"), name).not.toBe("owner");
    }
  });
});

describe("a tenant's own settings", () => {
  it("are seen by everybody in it, named by admins, and its slug by owners", async () => {
    const chief = await makePerson(world, "Chief", "named", "owner");
    const clerk = await makePerson(world, "Clerk", "named", "admin");
    const guest = await makePerson(world, "Guest", "named", "readonly");
    const seen = await guest.send("GET", "/t/named/api/tenant");
    expect(seen.body).toMatchObject({
      ...{ slug: "named", displayName: "named", needsName: false, status: "active", timeZone: "UTC" },
      settings: { joinRequests: false, breakGlassConsent: false },
    });
    expect((await guest.send("PATCH", "/t/named/api/tenant", { displayName: "Mine" })).status).toBe(403);
    const changed = await clerk.send("PATCH", "/t/named/api/tenant", {
      ...{ displayName: "Name & Co", timeZone: "Asia/Shanghai", breakGlassConsent: true },
    });
    expect(changed.body).toMatchObject({
      ...{ displayName: "Name & Co", timeZone: "Asia/Shanghai", settings: { breakGlassConsent: true } },
    });
    for (const body of [{ displayName: "" }, { displayName: "a\u0007" }, { timeZone: "Mars/Olympus" }]) {
      expect((await chief.send("PATCH", "/t/named/api/tenant", body)).code).toBe("invalid_request");
    }
    expect((await clerk.send("PATCH", "/t/named/api/tenant", { slug: "renamed" })).code).toBe("forbidden");
    const taken = { slug: "beta", displayName: "Not this" };
    expect((await chief.send("PATCH", "/t/named/api/tenant", taken)).code).toBe("conflict");
    expect((await chief.send("GET", "/t/named/api/tenant")).body.displayName).toBe("Name & Co");
    expect((await chief.send("PATCH", "/t/named/api/tenant", { slug: "renamed" })).body.slug).toBe("renamed");
    expect((await chief.send("GET", "/t/renamed/api/tenant")).body.displayName).toBe("Name & Co");
    const events = await auditOf(chief, "renamed");
    expect(events.filter((event) => event.action === "tenant.changed")).toMatchObject([
      {
        actor: { id: clerk.userId },
        details: {
          displayName: { from: "named", to: "Name & Co" },
          breakGlassConsent: { from: false, to: true },
        },
      },
    ]);
  });

  it("of the first tenant wait for a name", async () => {
    const { app } = world;
    const operator = app.firstRun.user;
    const token = await app.auth.links.create(operator.id);
    const answer = await fetch(`${world.url}/auth/link`, {
      method: "POST",
      headers: { origin: world.url, "content-type": "application/json" },
      body: JSON.stringify({ token }),
    });
    const cookie = (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
    const session = async () =>
      (await fetch(`${world.url}/auth/session`, { headers: { cookie } })).json() as Promise<{
        canCreateTenant: boolean;
        tenants: unknown[];
      }>;
    expect(await session()).toMatchObject({
      ...{ operator: true, canCreateTenant: true, tenants: [{ slug: "home", needsName: true }] },
    });
    const named = await fetch(`${world.url}/t/home/api/tenant`, {
      method: "PATCH",
      headers: { origin: world.url, cookie, "content-type": "application/json" },
      body: JSON.stringify({ displayName: "Our House", slug: "our-house" }),
    });
    expect(await named.json()).toMatchObject({ slug: "our-house", needsName: false });
    expect(await session()).toMatchObject({ tenants: [{ slug: "our-house", needsName: false }] });
  });
});

describe("making a tenant", () => {
  it("is for operators, unless the deployment lets everybody", async () => {
    await stranger.signInAgain();
    const answer = await stranger.send("POST", "/auth/tenants", { slug: "my-own", name: "My own" });
    expect(answer.code).toBe("forbidden");
    expect((await stranger.send("GET", "/auth/session")).body.canCreateTenant).toBe(false);
    expect(await world.app.tenants.findBySlug("my-own")).toBeUndefined();
  });

  it("makes its owner, its folders and its first agent, and has a limit per person", async () => {
    const open = await startApp({ config: { selfService: true } });
    try {
      const founder = await makePerson(open, "Fay");
      expect((await founder.send("GET", "/auth/session")).body.canCreateTenant).toBe(true);
      const made = await founder.send("POST", "/auth/tenants", {
        ...{ slug: "fay-co", name: "Fay & Co", timeZone: "Europe/Paris" },
      });
      expect([made.status, made.body]).toEqual([201, { slug: "fay-co" }]);
      expect((await founder.send("GET", "/t/fay-co/api/members")).body.members).toMatchObject([
        { userId: founder.userId, role: "owner" },
      ]);
      const agents = await founder.send("POST", "/t/fay-co/rpc/agents.list", {});
      expect(JSON.stringify(agents.body)).toContain('"main"');
      for (const [slug, code] of [
        ["fay-co", "conflict"],
        ["admin", "invalid_request"],
        ["x", "invalid_request"],
      ]) {
        expect((await founder.send("POST", "/auth/tenants", { slug, name: "N" })).code).toBe(code);
      }
      const many = await Promise.all(
        Array.from({ length: 25 }, (_, i) =>
          founder.send("POST", "/auth/tenants", { slug: `fay-${i}`, name: "N" }),
        ),
      );
      expect(many.filter((answer) => answer.status === 201)).toHaveLength(19);
      expect(new Set(many.filter((one) => one.status !== 201).map((one) => one.code))).toEqual(
        new Set(["limit_reached"]),
      );
      const actions = (await auditOf(founder, "fay-co")).map((event) => event.action);
      expect(actions.slice(0, 2)).toEqual(["tenant.created", "member.joined"]);
    } finally {
      await open.close();
    }
  });
});
