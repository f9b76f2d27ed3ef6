import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { looksLikeToken } from "#src/auth/tokens.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { type AuthWorld, startAuthWorld } from "#test/support/auth-world.ts";

let world: AuthWorld;
let acme: Tenant;
let beta: Tenant;

beforeAll(async () => {
  world = await startAuthWorld();
  acme = await world.tenants.create({ slug: "acme" });
  beta = await world.tenants.create({ slug: "beta" });
});
afterAll(() => world.close());

const machine = { kind: "machine" } as const;

async function person(name: string, role: "owner" | "admin" | "member" | "readonly", tenant = acme) {
  const user = await world.auth.users.create({ displayName: name });
  await world.auth.members.add(tenant.id, user.id, role);
  return user;
}

describe("an API token", () => {
  it("opens its own tenant with its role, and is shown without its secret", async () => {
    const { secret, token } = await world.auth.tokens.create(acme.id, {
      name: "ci",
      role: "member",
      maker: machine,
    });
    expect(secret).toMatch(/^creel_[A-Za-z0-9_-]{43}[0-9a-f]{6}$/);
    expect(looksLikeToken(secret)).toBe(true);
    expect(looksLikeToken(`${secret.slice(0, -1)}${secret.endsWith("0") ? "1" : "0"}`)).toBe(false);
    const { principal, tenant } = await world.auth.authenticator.fromBearer(secret, "192.0.2.1");
    expect(tenant.id).toBe(acme.id);
    expect(principal).toMatchObject({
      tenantId: acme.id,
      role: "member",
      userId: token.id,
      displayName: "ci",
    });
    expect([...principal.scopes].sort()).toEqual(["operator.read", "operator.write"]);
    const listed = JSON.stringify(await world.auth.tokens.list(acme.id));
    expect(listed).toContain(token.id);
    expect(listed).not.toContain(secret);
    const dump = JSON.stringify(await world.control.list("SELECT * FROM api_tokens"));
    expect(dump).not.toContain(secret);
    expect(dump).not.toContain(secret.slice(12, 40));
    expect(await world.auth.tokens.list(beta.id)).toEqual([]);
  });

  it("is refused in one and the same way when wrong, revoked, expired, or its tenant does not serve", async () => {
    const expiring = await world.auth.tokens.create(acme.id, {
      name: "short",
      role: "admin",
      maker: machine,
      expiresInMs: 60_000,
    });
    const revoked = await world.auth.tokens.create(acme.id, { name: "gone", role: "admin", maker: machine });
    await world.auth.tokens.revoke(acme.id, revoked.token.id);
    const gamma = await world.tenants.create({ slug: "gamma" });
    const suspended = await world.auth.tokens.create(gamma.id, { name: "s", role: "owner", maker: machine });
    await world.tenants.suspend(gamma.id);
    await world.auth.authenticator.fromBearer(expiring.secret, "192.0.2.1");
    world.clock.pass(60_000);
    const refusals = [];
    const secrets = [
      expiring.secret,
      revoked.secret,
      suspended.secret,
      "creel_nope",
      "",
      "x".repeat(100_000),
    ];
    for (const secret of secrets) {
      refusals.push(
        await world.auth.authenticator.fromBearer(secret, "192.0.2.1").then(
          () => "let in",
          (error) => [error.code, error.publicMessage, error.details],
        ),
      );
    }
    expect(new Set(refusals.map((found) => JSON.stringify(found))).size).toBe(1);
    expect(refusals[0]).toEqual(["unauthenticated", "The token is not valid.", undefined]);
    await world.tenants.resume(gamma.id);
    await world.auth.authenticator.fromBearer(suspended.secret, "192.0.2.1");
  });

  it("can neither be seen nor revoked from another tenant", async () => {
    const { secret, token } = await world.auth.tokens.create(acme.id, {
      name: "mine",
      role: "member",
      maker: machine,
    });
    await expect(world.auth.tokens.revoke(beta.id, token.id)).rejects.toMatchObject({ code: "not_found" });
    await expect(world.auth.tokens.get(beta.id, token.id)).rejects.toMatchObject({ code: "not_found" });
    await world.auth.authenticator.fromBearer(secret, "192.0.2.1");
  });

  it("never holds more than whoever made it, then or later", async () => {
    const admin = await person("Ada", "admin");
    const maker = { kind: "person", userId: admin.id, role: "admin" } as const;
    await expect(
      world.auth.tokens.create(acme.id, { name: "too strong", role: "owner", maker }),
    ).rejects.toMatchObject({ code: "forbidden" });
    const { secret } = await world.auth.tokens.create(acme.id, { name: "equal", role: "admin", maker });
    const roleNow = async () =>
      (await world.auth.authenticator.fromBearer(secret, "192.0.2.1")).principal.role;
    expect(await roleNow()).toBe("admin");
    await world.auth.members.setRole(acme.id, admin.id, "readonly");
    expect(await roleNow()).toBe("readonly");
    await world.auth.members.remove(acme.id, admin.id);
    await expect(roleNow()).rejects.toMatchObject({ code: "unauthenticated" });
    await world.auth.members.add(acme.id, admin.id, "admin");
    await expect(roleNow(), "coming back does not revive old tokens").rejects.toMatchObject({
      code: "unauthenticated",
    });
  });

  it("takes the tokens made with it along when it is revoked, and none outlives it", async () => {
    const parent = await world.auth.tokens.create(acme.id, {
      name: "parent",
      role: "admin",
      maker: machine,
      expiresInMs: 1_000_000,
    });
    const maker = { kind: "token", tokenId: parent.token.id, role: "admin" } as const;
    const child = await world.auth.tokens.create(acme.id, { name: "child", role: "member", maker });
    expect(child.token.expiresAtMs).toBe(parent.token.expiresAtMs);
    const grandchild = await world.auth.tokens.create(acme.id, {
      name: "grandchild",
      role: "readonly",
      maker: { kind: "token", tokenId: child.token.id, role: "member" },
    });
    await world.auth.tokens.revoke(acme.id, parent.token.id);
    for (const { secret } of [parent, child, grandchild]) {
      await expect(world.auth.authenticator.fromBearer(secret, "192.0.2.1")).rejects.toMatchObject({
        code: "unauthenticated",
      });
    }
    await expect(
      world.auth.tokens.create(acme.id, { name: "late", role: "member", maker }),
    ).rejects.toMatchObject({ code: "not_found" });
  });

  it("says when it was last used, to the minute", async () => {
    const { secret, token } = await world.auth.tokens.create(acme.id, {
      name: "used",
      role: "member",
      maker: machine,
    });
    const lastUsed = async () => (await world.auth.tokens.get(acme.id, token.id)).lastUsedAtMs;
    expect(await lastUsed()).toBeNull();
    const firstMs = world.clock.nowMs();
    await world.auth.authenticator.fromBearer(secret, "192.0.2.1");
    await expect.poll(lastUsed).toBe(firstMs);
    world.clock.pass(59_000);
    await world.auth.authenticator.fromBearer(secret, "192.0.2.1");
    world.clock.pass(1_000);
    await world.auth.authenticator.fromBearer(secret, "192.0.2.1");
    await expect.poll(lastUsed).toBe(firstMs + 60_000);
  });
});

describe("a revocation", () => {
  it("is noticed by every process within a second, for tokens, roles, members and tenants", async () => {
    const elsewhere = world.another();
    const delta = await world.tenants.create({ slug: "delta" });
    const keeper = await person("Keeper", "owner", delta);
    const owner = await person("Olga", "owner", delta);
    const made = await world.auth.tokens.create(delta.id, { name: "t", role: "admin", maker: machine });
    const other = await world.auth.tokens.create(acme.id, { name: "o", role: "admin", maker: machine });
    const { principal } = await elsewhere.authenticator.fromBearer(made.secret, "192.0.2.1");
    const bystander = (await elsewhere.authenticator.fromBearer(other.secret, "192.0.2.1")).principal;
    const personal = { ...principal, userId: owner.id, role: "owner" as const };
    expect(await elsewhere.authenticator.isLive(principal)).toBe(true);
    const heard: unknown[] = [];
    elsewhere.feed.subscribe((change) => heard.push(change));

    await world.auth.tokens.revoke(delta.id, made.token.id);
    world.clock.pass(500);
    expect(await elsewhere.authenticator.isLive(principal)).toBe(false);
    expect(heard).toEqual([{ tenantId: delta.id, userId: null }]);

    const { cookie } = await world.auth.sessions.signIn(await world.auth.links.create(owner.id), null);
    const user = await elsewhere.authenticator.browserUser(cookie);
    const member = user && (await elsewhere.authenticator.memberPrincipal(user, delta));
    if (user === undefined || member === undefined) throw new Error("not signed in");
    expect(member).toMatchObject({ role: "owner", userId: personal.userId });
    expect(await elsewhere.authenticator.isLive(member)).toBe(true);
    await world.auth.members.setRole(delta.id, owner.id, "member");
    world.clock.pass(500);
    expect(await elsewhere.authenticator.isLive(member)).toBe(false);
    const demoted = await elsewhere.authenticator.memberPrincipal(user, delta);
    expect(await elsewhere.authenticator.isLive(demoted ?? member)).toBe(true);
    await world.auth.sessions.signOut(cookie);
    world.clock.pass(500);
    expect(await elsewhere.authenticator.isLive(demoted ?? member)).toBe(false);

    const again = await world.auth.tokens.create(delta.id, { name: "t2", role: "admin", maker: machine });
    const second = (await elsewhere.authenticator.fromBearer(again.secret, "192.0.2.1")).principal;
    expect(await elsewhere.authenticator.isLive(second)).toBe(true);
    await world.tenants.suspend(delta.id);
    world.clock.pass(500);
    expect(await elsewhere.authenticator.isLive(second)).toBe(false);
    expect(await elsewhere.authenticator.isLive(bystander)).toBe(true);
    expect(keeper.id).not.toBe(owner.id);
  });

  it("costs no lookup while nothing changes", async () => {
    const made = await world.auth.tokens.create(acme.id, { name: "busy", role: "admin", maker: machine });
    const auth = world.another();
    const { principal } = await auth.authenticator.fromBearer(made.secret, "192.0.2.1");
    await auth.authenticator.isLive(principal);
    const find = world.control.find;
    let lookups = 0;
    world.control.find = ((sql: string, params?: never) => {
      lookups++;
      return find(sql, params);
    }) as typeof find;
    for (let i = 0; i < 1_000; i++) expect(await auth.authenticator.isLive(principal)).toBe(true);
    world.control.find = find;
    expect(lookups).toBe(0);
  });

  it("bites at the token's own end without anybody revoking it", async () => {
    const made = await world.auth.tokens.create(acme.id, {
      name: "ends",
      role: "admin",
      maker: machine,
      expiresInMs: 10_000,
    });
    const { principal } = await world.auth.authenticator.fromBearer(made.secret, "192.0.2.1");
    expect(await world.auth.authenticator.isLive(principal)).toBe(true);
    world.clock.pass(10_000);
    expect(await world.auth.authenticator.isLive(principal)).toBe(false);
  });
});

describe("work that is taken up again", () => {
  it("is that of whoever began it, as they and what they began it with are now", async () => {
    const { authenticator, tokens } = world.auth;
    const ann = await person("Ann", "member");
    const limits = { agents: ["helper"] };
    const { token } = await tokens.create(acme.id, {
      name: "w",
      role: "member",
      maker: machine,
      userId: ann.id,
      limits,
    });
    const by = { kind: "api_token", id: token.id } as const;
    const found = await authenticator.workPrincipal(acme.id, ann.id, by);
    expect(found).toMatchObject({ userId: ann.id, role: "member", credential: by });
    expect([...(found?.agents ?? [])]).toEqual(["helper"]);
    expect(await authenticator.workPrincipal(beta.id, ann.id, by)).toBeUndefined();
    await tokens.revoke(acme.id, token.id);
    expect(await authenticator.workPrincipal(acme.id, ann.id, by)).toBeUndefined();
    // Rows of earlier versions name the person alone.
    const legacy = await authenticator.workPrincipal(acme.id, ann.id, undefined);
    expect(legacy).toMatchObject({ userId: ann.id, role: "member" });
    await world.auth.feed.refresh(0);
    expect(await authenticator.mayGoOn(legacy!)).toBe(true);
    await world.auth.members.setRole(acme.id, ann.id, "readonly");
    await world.auth.feed.refresh(0);
    expect(await authenticator.mayGoOn(legacy!)).toBe(false);
    expect(await authenticator.workPrincipal(acme.id, ann.id, undefined)).toBeUndefined();
    const service = await tokens.create(acme.id, { name: "bot", role: "member", maker: machine });
    const bot = service.token.id as typeof ann.id;
    expect(await authenticator.workPrincipal(acme.id, bot, undefined)).toMatchObject({ userId: bot });
  });
});
