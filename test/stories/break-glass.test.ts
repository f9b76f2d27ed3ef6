/** An operator looks into a tenant: only with a grant, only to read, only for its time, and the tenant sees all of it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MACHINE } from "#src/tenancy/actor.ts";
import { startAuthWorld } from "#test/support/auth-world.ts";
import { makeOperator, socketToken } from "#test/support/operator.ts";
import { authOf, connectDevice, newTestDevice } from "#test/support/paired-device.ts";
import { auditOf, makePerson, type Person } from "#test/support/person.ts";
import { SocketClient } from "#test/support/socket-client.ts";
import { startApp, type TestApp } from "#test/support/start-app.ts";
import { callByHttp, SteeredClock } from "#test/support/world.ts";

const MINUTE_MS = 60_000;
const REASON = "The customer asked why a chat is empty.";

let world: TestApp;
let clock: SteeredClock;
let operator: Person;
let made = 0;

beforeAll(async () => {
  clock = new SteeredClock();
  world = await startApp({ app: { clock } });
  operator = await makeOperator(world);
});
afterAll(() => world.close());

/** A fresh tenant with an owner, a member and a secret in a chat. */
async function fresh(consent = false) {
  const slug = `glass-${++made}`;
  const owner = await makePerson(world, "Olga", slug, "owner");
  const member = await makePerson(world, "Max", slug, "member");
  const token = await world.token(slug);
  const sent = { sessionKey: "main", message: "CNRY-inside", idempotencyKey: `k-${made}` };
  await callByHttp(world.url, "/rpc/chat.send", token, sent);
  await world.app.drained();
  const { id } = await world.tenant(slug);
  if (consent) {
    const answer = await owner.send("PATCH", `/t/${slug}/api/tenant`, { breakGlassConsent: true });
    expect(answer.status, answer.text).toBe(200);
  }
  await operator.signInAgain();
  return { slug, owner, member, token, id };
}

const ask = (id: string, minutes = 30, who = operator) =>
  who.send("POST", `/operator/api/tenants/${id}/break-glass`, { reason: REASON, minutes });
const look = (slug: string, who = operator) =>
  who.send("POST", `/t/${slug}/rpc/chat.history`, { sessionKey: "main" });

async function browserSocket(slug: string, who = operator): Promise<SocketClient> {
  const client = new SocketClient(`${world.wsUrl}/t/${slug}/ws`, { origin: world.url });
  await client.connect(await socketToken(who, slug), {
    client: { id: "openclaw-control-ui", version: "1", platform: "web", mode: "webchat" },
    scopes: ["operator.admin"],
  });
  return client;
}

describe("an operator without a grant", () => {
  it("sees no more of a tenant than a stranger, by every route", async () => {
    const { slug } = await fresh();
    const stranger = await makePerson(world, "Stranger");
    for (const route of world.app.gateway.routes) {
      if (route.policy.kind !== "tenant") continue;
      const path = `/t/${slug}${route.path.replaceAll(/:\w+/g, "x")}`;
      const body = route.method === "GET" || route.method === "DELETE" ? undefined : {};
      const mine = await operator.send(route.method, path, body);
      const theirs = await stranger.send(route.method, path, body);
      const blank = (text: string) => text.replace(/"requestId":"[^"]+"/, "");
      expect([mine.status, blank(mine.text)], route.path).toEqual([404, blank(theirs.text)]);
    }
  });
});

describe("a grant", () => {
  it("wants a reason and a time within bounds", async () => {
    const { id } = await fresh();
    for (const body of [
      { reason: "short", minutes: 30 },
      { reason: REASON, minutes: 4 },
      { reason: REASON, minutes: 241 },
      { reason: " ".repeat(50), minutes: 30 },
      { reason: "x".repeat(501), minutes: 30 },
    ]) {
      const answer = await operator.send("POST", `/operator/api/tenants/${id}/break-glass`, body);
      expect(answer.status).toBe(400);
    }
    expect((await operator.send("GET", `/operator/api/tenants/${id}`)).body.breakGlass).toBeNull();
  });

  it("lets the operator read, and nothing else, by HTTP and by socket", async () => {
    const { slug, id, owner } = await fresh();
    expect(await ask(id)).toMatchObject({ status: 201, body: { breakGlass: { state: "active" } } });
    expect((await look(slug)).text).toContain("CNRY-inside");
    const client = await browserSocket(slug);
    expect(JSON.stringify(await client.call("chat.history", { sessionKey: "main" }))).toContain(
      "CNRY-inside",
    );
    for (const method of world.app.methods.list()) {
      const isRead =
        (method.scope === null || method.scope === "operator.read") &&
        !["write", "turn"].includes(method.cost);
      const answer = await operator.send("POST", `/t/${slug}/rpc/${method.name}`, {});
      expect(answer.text.includes("BREAK_GLASS_READ_ONLY"), method.name).toBe(!isRead);
    }
    for (const route of world.app.gateway.routes) {
      const { policy } = route;
      if (policy.kind !== "tenant" || (route.method === "GET" && policy.scope === "operator.read")) continue;
      const body = route.method === "GET" || route.method === "DELETE" ? undefined : {};
      const answer = await operator.send(
        route.method,
        `/t/${slug}${route.path.replaceAll(/:\w+/g, "x")}`,
        body,
      );
      if (["/auth/socket-token", "/rpc/:method"].includes(route.path)) continue;
      expect(answer.status, `${route.method} ${route.path} ${answer.text}`).toBe(403);
    }
    const members = await owner.send("GET", `/t/${slug}/api/members`);
    expect(members.text).not.toContain(operator.userId);
    expect((await operator.send("GET", "/auth/session")).body.tenants).toContainEqual(
      expect.objectContaining({ slug, role: "readonly", breakGlass: true, isReadOnly: true }),
    );
    client.socket.close();
  });

  it("opens one tenant and no other, and not to another operator", async () => {
    const [one, other] = [await fresh(), await fresh()];
    await ask(one.id);
    expect((await look(other.slug)).status).toBe(404);
    const second = await makeOperator(world, "Second");
    expect((await look(one.slug, second)).status).toBe(404);
    const elsewhere = await operator.send(
      "POST",
      `/t/${one.slug}/rpc/health`,
      {},
      { "x-tenant-id": other.slug },
    );
    expect(elsewhere.status).toBe(400);
  });

  it("is seen by every member while it lasts, and is on the tenant's record with what was looked at", async () => {
    const { slug, id, owner, member } = await fresh();
    await ask(id);
    const seen = await member.send("GET", `/t/${slug}/api/break-glass`);
    expect(seen.body.grants).toMatchObject([
      { operatorName: "Odile Operator", reason: REASON, state: "active", endsAtMs: expect.any(Number) },
    ]);
    await look(slug);
    await look(slug);
    await operator.send("GET", `/t/${slug}/api/break-glass`);
    expect((await operator.send("DELETE", `/operator/api/tenants/${id}/break-glass`)).status).toBe(204);
    expect((await look(slug)).status).toBe(404);
    const log = (await auditOf(owner, slug)).filter((event) => event.action.startsWith("break_glass."));
    expect(log.map((event) => event.action)).toEqual([
      "break_glass.requested",
      "break_glass.started",
      "break_glass.ended",
    ]);
    expect(log[0]).toMatchObject({
      actor: { kind: "operator", name: "Odile Operator" },
      details: { reason: REASON },
    });
    expect(log[2]?.details).toMatchObject({
      looked: { "chat.history main": 2, "GET /api/break-glass": 1 },
    });
    const gone = await member.send("GET", `/t/${slug}/api/break-glass`);
    expect(gone.body.grants).toMatchObject([{ state: "ended" }]);
  });

  it("ends by itself: requests are refused, the socket closes with 4001, the end is on record", async () => {
    const { slug, id, owner } = await fresh();
    await ask(id, 5);
    const client = await browserSocket(slug);
    clock.pass(5 * MINUTE_MS + 1_000);
    expect((await look(slug)).status).toBe(404);
    expect(await client.untilClosed()).toEqual({ code: 4001, reason: "access changed or revoked" });
    await world.app.admin.sweep.run();
    const ended = (await auditOf(owner, slug)).filter((event) => event.action === "break_glass.ended");
    expect(ended).toMatchObject([{ actor: { kind: "system" } }]);
  });

  it("is ended by the tenant's admin at once, also in the grace of a suspension, and by nobody lesser", async () => {
    for (const isSuspended of [false, true]) {
      const { slug, id, owner, member, token } = await fresh();
      const { breakGlass } = (await ask(id)).body;
      const client = await browserSocket(slug);
      if (isSuspended) await world.app.tenants.suspend(id as never, { graceMs: MINUTE_MS * 600 }, MACHINE);
      const path = `/t/${slug}/api/break-glass/${breakGlass.id}/end`;
      expect((await member.send("POST", path, {})).status).toBe(403);
      expect((await operator.send("POST", path, {})).status).toBe(403);
      if (isSuspended) expect((await callByHttp(world.url, path, token, {})).status).toBe(403);
      expect((await owner.send("POST", path, {})).body.grant).toMatchObject({ state: "ended" });
      expect(await client.untilClosed()).toMatchObject({ code: 4001 });
      expect((await look(slug)).status).toBe(404);
      expect((await owner.send("POST", path, {})).status).toBe(409);
    }
  });

  it("cannot be ended, consented to or seen by another tenant's admin", async () => {
    const [one, other] = [await fresh(true), await fresh()];
    const { breakGlass } = (await ask(one.id)).body;
    for (const verb of ["consent", "refuse", "end"]) {
      const theirs = await other.owner.send(
        "POST",
        `/t/${other.slug}/api/break-glass/${breakGlass.id}/${verb}`,
        {},
      );
      expect(theirs.status).toBe(404);
    }
    expect((await other.owner.send("GET", `/t/${other.slug}/api/break-glass`)).body.grants).toEqual([]);
  });

  it("ends with the operator: removed, signed out, or made a member", async () => {
    const { slug, id } = await fresh();
    const second = await makeOperator(world, "Second");
    await ask(id, 30, second);
    const client = await browserSocket(slug, second);
    await world.app.auth.operators.remove(second.userId, MACHINE);
    expect(await client.untilClosed()).toMatchObject({ code: 4001 });
    expect((await look(slug, second)).status).toBe(404);
    const third = await makeOperator(world, "Third");
    await ask(id, 30, third);
    const open = await browserSocket(slug, third);
    await third.send("POST", "/auth/logout");
    expect(await open.untilClosed()).toMatchObject({ code: 4001 });
  });

  it("leaves no credential behind in the tenant, also when the operator comes with a device", async () => {
    const { slug, id } = await fresh();
    await ask(id);
    const { client, hello } = await connectDevice(`${world.wsUrl}/t/${slug}/ws`, newTestDevice(), {
      auth: { token: await socketToken(operator, slug) },
      headers: { origin: world.url },
    });
    expect(authOf(hello).scopes).toEqual(["operator.read"]);
    expect(authOf(hello).deviceToken).toBeUndefined();
    client.socket.close();
  });

  it("is over by its time alone, whether or not anything sweeps", async () => {
    const alone = await startAuthWorld();
    const { auth, tenants, clock: hand } = alone;
    const { id: tenantId } = await tenants.create({ slug: "alone" });
    const { id: operatorId } = await auth.users.create({ displayName: "Odo" });
    await auth.operators.add(operatorId, MACHINE);
    const asked = { tenantId, operatorId, operatorName: "Odo", reason: REASON, minutes: 5 };
    await auth.breakGlass.request(asked, MACHINE);
    hand.pass(5 * MINUTE_MS - 1);
    expect(await auth.breakGlass.findActive(tenantId, operatorId)).toMatchObject({ state: "active" });
    expect(await auth.breakGlass.listOpenOf(operatorId)).toHaveLength(1);
    hand.pass(1);
    expect(await auth.breakGlass.findActive(tenantId, operatorId)).toBeUndefined();
    expect(await auth.breakGlass.listOpenOf(operatorId)).toEqual([]);
    await alone.close();
  });

  it("is not given twice, nor to members, nor where a tenant does not serve", async () => {
    const { id, owner, slug } = await fresh();
    expect((await ask(id)).status).toBe(201);
    expect((await ask(id)).status).toBe(409);
    await world.app.auth.operators.add(owner.userId, MACHINE);
    expect((await ask(id, 30, owner)).status).toBe(409);
    await operator.send("DELETE", `/operator/api/tenants/${id}/break-glass`);
    await world.app.tenants.suspend((await world.tenant(slug)).id, {}, MACHINE);
    expect((await ask(id)).status).toBe(409);
    await world.app.auth.operators.remove(owner.userId, MACHINE);
  });
});

describe("a tenant that wants to be asked", () => {
  it("shows nothing until an admin says yes; the time begins then", async () => {
    const { slug, id, owner, member } = await fresh(true);
    const { breakGlass } = (await ask(id, 10)).body;
    expect(breakGlass.state).toBe("waiting");
    expect((await look(slug)).status).toBe(404);
    const path = `/t/${slug}/api/break-glass/${breakGlass.id}`;
    expect((await member.send("POST", `${path}/consent`, {})).status).toBe(403);
    clock.pass(9 * MINUTE_MS);
    expect((await owner.send("POST", `${path}/consent`, {})).body.grant.state).toBe("active");
    clock.pass(9 * MINUTE_MS);
    expect((await look(slug)).text).toContain("CNRY-inside");
    clock.pass(2 * MINUTE_MS);
    expect((await look(slug)).status).toBe(404);
    const actions = (await auditOf(owner, slug)).map((event) => event.action);
    expect(actions.filter((action) => action.startsWith("break_glass.")).slice(0, 3)).toEqual([
      "break_glass.requested",
      "break_glass.consented",
      "break_glass.started",
    ]);
  });

  it("may refuse, and a request that nobody answers lapses", async () => {
    const { slug, id, owner } = await fresh(true);
    const first = (await ask(id)).body.breakGlass;
    await owner.send("POST", `/t/${slug}/api/break-glass/${first.id}/refuse`, {});
    expect((await owner.send("POST", `/t/${slug}/api/break-glass/${first.id}/consent`, {})).status).toBe(409);
    expect((await look(slug)).status).toBe(404);
    const second = (await ask(id)).body.breakGlass;
    clock.pass(25 * 60 * MINUTE_MS);
    expect((await owner.send("POST", `/t/${slug}/api/break-glass/${second.id}/consent`, {})).status).toBe(
      409,
    );
    await world.app.admin.sweep.run();
    const { grants } = (await owner.send("GET", `/t/${slug}/api/break-glass`)).body;
    expect(grants.map((grant: { state: string }) => grant.state)).toEqual(["ended", "refused"]);
    expect((await look(slug)).status).toBe(404);
  });
});
