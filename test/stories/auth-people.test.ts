import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { type AuthWorld, startAuthWorld } from "#test/support/auth-world.ts";

let world: AuthWorld;
let acme: Tenant;

beforeAll(async () => {
  world = await startAuthWorld();
  acme = await world.tenants.create({ slug: "acme" });
});
afterAll(() => world.close());

async function owners(count: number, tenant: Tenant) {
  const users = [];
  for (let i = 0; i < count; i++) {
    const user = await world.auth.users.create({ displayName: `Owner ${i}` });
    await world.auth.members.add(tenant.id, user.id, "owner");
    users.push(user);
  }
  return users;
}

async function ownersLeft(tenant: Tenant) {
  return (await world.auth.members.list(tenant.id)).filter((member) => member.role === "owner");
}

describe("the last owner", () => {
  it("can neither be demoted nor removed", async () => {
    const tenant = await world.tenants.create({ slug: "single" });
    const [owner] = await owners(1, tenant);
    if (owner === undefined) throw new Error("no owner");
    await expect(world.auth.members.setRole(tenant.id, owner.id, "admin")).rejects.toMatchObject({
      code: "last_owner",
    });
    await expect(world.auth.members.remove(tenant.id, owner.id)).rejects.toMatchObject({
      code: "last_owner",
    });
    await world.auth.members.setRole(tenant.id, owner.id, "owner");
    expect((await ownersLeft(tenant)).map((found) => found.userId)).toEqual([owner.id]);
  });

  it("is one of fifty who leave or demote each other at the same moment", async () => {
    const tenant = await world.tenants.create({ slug: "crowd" });
    const users = await owners(50, tenant);
    const outcomes = await Promise.allSettled(
      users.map((user, index) =>
        index % 2 === 0
          ? world.auth.members.remove(tenant.id, user.id)
          : world.auth.members.setRole(tenant.id, user.id, "readonly"),
      ),
    );
    expect(await ownersLeft(tenant)).toHaveLength(1);
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(refused.map((outcome) => outcome.reason.code)).toEqual(["last_owner"]);
  });

  it("of one tenant does not count for another", async () => {
    const left = await world.tenants.create({ slug: "left" });
    const right = await world.tenants.create({ slug: "right" });
    const [person] = await owners(1, left);
    if (person === undefined) throw new Error("no person");
    await world.auth.members.add(right.id, person.id, "owner");
    await expect(world.auth.members.setRole(left.id, person.id, "member")).rejects.toMatchObject({
      code: "last_owner",
    });
    expect(await ownersLeft(right)).toHaveLength(1);
  });
});

describe("a stranger", () => {
  it("is not found in a tenant, whatever is asked", async () => {
    const user = await world.auth.users.create({ displayName: "Nobody" });
    await expect(world.auth.members.setRole(acme.id, user.id, "owner")).rejects.toMatchObject({
      code: "not_found",
    });
    await expect(world.auth.members.remove(acme.id, user.id)).rejects.toMatchObject({ code: "not_found" });
    expect(await world.auth.members.find(acme.id, user.id)).toBeUndefined();
  });
});

describe("a sign-in link", () => {
  it("works once, also for fifty who use it at the same moment", async () => {
    const user = await world.auth.users.create({ displayName: "Lin" });
    const secret = await world.auth.links.create(user.id, acme.id);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 50 }, () => world.auth.sessions.signIn(secret, null)),
    );
    const let_in = outcomes.filter((outcome) => outcome.status === "fulfilled");
    expect(let_in).toHaveLength(1);
    expect(let_in[0]?.value).toMatchObject({ userId: user.id, tenantId: acme.id });
    const codes = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason.code] : []));
    expect(new Set(codes)).toEqual(new Set(["link_invalid"]));
    const sessions = await world.control.find<{ n: number }>(
      "SELECT count(*) AS n FROM browser_sessions WHERE user_id = ?",
      [user.id],
    );
    expect(sessions?.n).toBe(1);
  });

  it("ends after fifteen minutes and is not stored in the clear", async () => {
    const user = await world.auth.users.create({ displayName: "Late" });
    const secret = await world.auth.links.create(user.id);
    expect(JSON.stringify(await world.control.list("SELECT * FROM login_links"))).not.toContain(secret);
    world.clock.pass(15 * 60 * 1000);
    await expect(world.auth.sessions.signIn(secret, null)).rejects.toMatchObject({ code: "link_invalid" });
  });
});

describe("a browser session", () => {
  async function signIn(name: string, previous: string | null = null) {
    const user = await world.auth.users.create({ displayName: name });
    const { cookie } = await world.auth.sessions.signIn(await world.auth.links.create(user.id), previous);
    return { user, cookie };
  }

  it("is new at every sign-in, and ends the one before", async () => {
    const first = await signIn("First");
    const second = await signIn("Second", first.cookie);
    expect(second.cookie).not.toBe(first.cookie);
    expect(await world.auth.authenticator.browserUser(first.cookie)).toBeUndefined();
    expect(await world.auth.authenticator.browserUser(second.cookie)).toMatchObject({
      userId: second.user.id,
      displayName: "Second",
      isOperator: false,
    });
    // A cookie that somebody planted before the sign-in is worth nothing after it.
    const planted = "planted-by-somebody";
    await signIn("Third", planted);
    expect(await world.auth.authenticator.browserUser(planted)).toBeUndefined();
  });

  it("ends when not seen for seven days, and after thirty however often it is seen", async () => {
    const { cookie } = await signIn("Daily");
    const day = 24 * 3600 * 1000;
    for (let i = 1; i < 30; i++) {
      world.clock.pass(day);
      const seenMs = world.clock.nowMs();
      expect(await world.auth.authenticator.browserUser(cookie), `day ${i}`).toBeDefined();
      await expect
        .poll(() => world.control.find("SELECT 1 FROM browser_sessions WHERE last_seen_at_ms = ?", [seenMs]))
        .toBeDefined();
    }
    world.clock.pass(day);
    expect(await world.auth.authenticator.browserUser(cookie)).toBeUndefined();
    const idle = await signIn("Idle");
    world.clock.pass(7 * day);
    expect(await world.auth.authenticator.browserUser(idle.cookie)).toBeUndefined();
  });

  it("can be ended everywhere at once", async () => {
    const { user, cookie } = await signIn("Everywhere");
    const other = await world.auth.sessions.signIn(await world.auth.links.create(user.id), null);
    await world.auth.sessions.revokeAll(user.id);
    expect(await world.auth.authenticator.browserUser(cookie)).toBeUndefined();
    expect(await world.auth.authenticator.browserUser(other.cookie)).toBeUndefined();
  });
});

describe("the first start", () => {
  it("makes one operator and one tenant, also when two start at once, and nothing the second time", async () => {
    const fresh = await startAuthWorld();
    try {
      const [left, right] = await Promise.all([
        fresh.auth.ensureFirstRun({ tenantSlug: "home-town" }),
        fresh.another().ensureFirstRun({ tenantSlug: "home-town" }),
      ]);
      expect(left.user.id).toBe(right.user.id);
      const made = [left.createdTenant, right.createdTenant].filter((tenant) => tenant !== null);
      expect(made).toHaveLength(1);
      expect(made[0]).toMatchObject({ slug: "home-town", status: "active" });
      expect(await fresh.auth.members.listOfUser(left.user.id)).toMatchObject([{ role: "owner" }]);
      const { cookie } = await fresh.auth.sessions.signIn(left.loginLinkSecret ?? "", null);
      expect(await fresh.auth.authenticator.browserUser(cookie)).toMatchObject({ isOperator: true });
      const later = await fresh.auth.ensureFirstRun({ tenantSlug: "elsewhere" });
      expect(later).toMatchObject({ createdTenant: null, loginLinkSecret: null });
      expect(await fresh.tenants.count()).toBe(1);
    } finally {
      await fresh.close();
    }
  });

  it("leaves tenants alone that are there already", async () => {
    const fresh = await startAuthWorld();
    try {
      const tenant = await fresh.tenants.create({ slug: "earlier" });
      const first = await fresh.auth.ensureFirstRun({ tenantSlug: "home-town" });
      expect(first.createdTenant).toBeNull();
      expect(await fresh.auth.members.list(tenant.id)).toEqual([]);
    } finally {
      await fresh.close();
    }
  });
});
