/** A tenant is renamed, suspended with and without grace, resumed, deleted and restored; strangers notice nothing. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MACHINE } from "#src/tenancy/actor.ts";
import { start as startMock } from "#test/support/mock-model.ts";
import { socketToken } from "#test/support/operator.ts";
import { auditOf, makePerson, type Person, send } from "#test/support/person.ts";
import { SocketClient } from "#test/support/socket-client.ts";
import { startApp, type TestApp } from "#test/support/start-app.ts";
import { callByHttp, SteeredClock } from "#test/support/world.ts";

const DAY_MS = 24 * 3600 * 1000;

let world: TestApp;
let clock: SteeredClock;

beforeAll(async () => {
  clock = new SteeredClock();
  world = await startApp({ app: { clock }, config: { egressAllowPrivate: ["127.0.0.1"] } });
});
afterAll(() => world.close());

let made = 0;

/** A fresh tenant with an owner and a token. */
async function fresh(): Promise<{ slug: string; owner: Person; token: string; id: string }> {
  const slug = `house-${++made}`;
  const owner = await makePerson(world, `Owner ${made}`, slug, "owner");
  const token = await world.token(slug);
  return { slug, owner, token, id: (await world.tenant(slug)).id };
}

const tenants = () => world.app.tenants;

async function byName(slug: string) {
  return tenants().getBySlug(slug);
}

describe("a renamed tenant", () => {
  it("is named by the old slug too: path, header and upgrade; its id stays", async () => {
    const { slug, owner, token, id } = await fresh();
    const renamed = await tenants().rename((await byName(slug)).id, "new-house", MACHINE);
    expect([renamed.id, renamed.slug]).toEqual([id, "new-house"]);
    for (const name of [slug, "new-house"]) {
      expect((await callByHttp(world.url, `/t/${name}/rpc/health`, token, {})).status).toBe(200);
      const headers = { "x-tenant-id": name };
      expect((await callByHttp(world.url, "/rpc/health", token, {}, headers)).status).toBe(200);
      expect((await owner.send("GET", `/t/${name}/api/break-glass`)).status).toBe(200);
      const client = new SocketClient(`${world.wsUrl}/t/${name}/ws`);
      expect(await client.connect(token)).toMatchObject({ type: "hello-ok" });
      client.socket.close();
    }
    const mixed = await callByHttp(
      world.url,
      `/t/${slug}/rpc/health`,
      token,
      {},
      { "x-tenant-id": "new-house" },
    );
    expect(mixed.status).toBe(200);
    const session = await owner.send("GET", "/auth/session");
    expect(session.body.tenants).toMatchObject([
      { id, slug: "new-house", oldSlugs: [slug], isReadOnly: false },
    ]);
  });

  it("keeps its old slugs from everybody else, for ever, and may go back to them", async () => {
    const { slug } = await fresh();
    const other = await fresh();
    const { id } = await tenants().rename((await byName(slug)).id, "moved-on", MACHINE);
    await expect(tenants().create({ slug })).rejects.toMatchObject({ code: "conflict" });
    await expect(tenants().rename((await byName(other.slug)).id, slug, MACHINE)).rejects.toMatchObject({
      code: "conflict",
    });
    expect((await byName(slug)).id).toBe(id);
    const back = await tenants().rename(id, slug, MACHINE);
    expect(back.slug).toBe(slug);
    expect(await tenants().listOldSlugs(id)).toEqual(["moved-on"]);
    await expect(tenants().create({ slug: "moved-on" })).rejects.toMatchObject({ code: "conflict" });
  });

  it("refuses reserved, malformed and taken slugs, and more old ones than it may keep", async () => {
    const { slug } = await fresh();
    const { id } = await byName(slug);
    for (const bad of ["admin", "x", "Upper", "xn--a", "a--b", "../x"]) {
      await expect(tenants().rename(id, bad, MACHINE), bad).rejects.toMatchObject({
        code: "invalid_request",
      });
    }
    await expect(tenants().rename(id, (await fresh()).slug, MACHINE)).rejects.toMatchObject({
      code: "conflict",
    });
    for (let i = 0; i < 20; i++) await tenants().rename(id, `wanderer-${i}`, MACHINE);
    await expect(tenants().rename(id, "wanderer-20", MACHINE)).rejects.toMatchObject({
      code: "limit_reached",
    });
    await tenants().rename(id, "wanderer-3", MACHINE);
  });

  it("wins a slug from one of two who want it in the same moment", async () => {
    const [left, right] = [await fresh(), await fresh()];
    const outcomes = await Promise.allSettled([
      tenants().rename((await byName(left.slug)).id, "wanted", MACHINE),
      tenants().rename((await byName(right.slug)).id, "wanted", MACHINE),
      tenants().create({ slug: "wanted" }),
    ]);
    expect(outcomes.filter((outcome) => outcome.status === "fulfilled")).toHaveLength(1);
  });

  it("looks to a stranger like one that is not there, by its old slug and its new one", async () => {
    const { slug } = await fresh();
    await tenants().rename((await byName(slug)).id, "hidden-now", MACHINE);
    const stranger = await makePerson(world, "Stranger", `den-${made}`, "owner");
    const token = await world.token(`den-${made}`);
    const answers = [];
    for (const name of [slug, "hidden-now", "nobody-at-all"]) {
      const cookie = await stranger.send("GET", `/t/${name}/api/tenant`);
      const bearer = await callByHttp(world.url, `/t/${name}/rpc/health`, token, {});
      const nobody = await send(world.url, "GET", `/t/${name}/api/tenant`);
      const blank = (text: string) => text.replace(/"requestId":"[^"]+"/, "");
      const headers = [...cookie.headers.keys()].join();
      answers.push(
        JSON.stringify([
          [cookie.status, blank(cookie.text), headers],
          [bearer.status, blank(bearer.text)],
          [nobody.status, blank(nobody.text)],
        ]),
      );
    }
    expect(new Set(answers).size).toBe(1);
  });

  it("has it on record, who and from what to what", async () => {
    const { slug, owner } = await fresh();
    await tenants().rename((await byName(slug)).id, "recorded", MACHINE);
    const log = await auditOf(owner, "recorded");
    expect(log).toContainEqual(
      expect.objectContaining({
        action: "tenant.renamed",
        actor: expect.objectContaining({ kind: "machine" }),
        details: { from: slug, to: "recorded" },
      }),
    );
  });
});

describe("a tenant suspended with grace", () => {
  it("answers every method that reads and refuses every one that changes, by HTTP and by socket", async () => {
    const { slug, token, owner } = await fresh();
    await callByHttp(world.url, "/rpc/chat.send", token, {
      sessionKey: "main",
      message: "before",
      idempotencyKey: "before-1",
    });
    await world.app.drained();
    await tenants().suspend((await byName(slug)).id, { graceMs: DAY_MS, reason: "unpaid" }, MACHINE);
    await world.app.auth.feed.refresh(0);
    const client = new SocketClient(`${world.wsUrl}/t/${slug}/ws`, { origin: world.url });
    const hello = await client.connect(await socketToken(owner, slug), {
      client: { id: "openclaw-control-ui", version: "1", platform: "web", mode: "webchat" },
      scopes: ["operator.admin"],
    });
    expect((hello["auth"] as { scopes: string[] }).scopes).toEqual(["operator.read"]);
    let [reads, writes] = [0, 0];
    for (const method of world.app.methods.list()) {
      const isRead =
        (method.scope === null || method.scope === "operator.read") &&
        !["write", "turn"].includes(method.cost);
      const answer = await callByHttp(world.url, `/t/${slug}/rpc/${method.name}`, token, {});
      const body = JSON.parse(answer.text) as {
        error?: { code: string; message: string; details?: { code: string } };
      };
      const refusal = body?.error;
      const isRefused = refusal?.details?.code === "TENANT_READ_ONLY";
      expect(isRefused, `${method.name}: ${answer.text.slice(0, 200)}`).toBe(!isRead);
      const bySocket = (await client.call(method.name, {}).then(
        () => undefined,
        (thrown) => thrown.error,
      )) as { code: string; message: string; details?: { code?: string } } | undefined;
      expect(bySocket?.details?.code === "TENANT_READ_ONLY", `${method.name} by socket`).toBe(!isRead);
      if (isRead) reads++;
      else {
        writes++;
        expect([answer.status, refusal?.code, bySocket?.code]).toEqual([403, "forbidden", "FORBIDDEN"]);
        expect(refusal?.message).toContain("read-only");
      }
    }
    expect(reads).toBeGreaterThan(20);
    expect(writes).toBeGreaterThan(15);
    const history = await callByHttp(world.url, "/rpc/chat.history", token, { sessionKey: "main" });
    expect(history.text).toContain("before");
    client.socket.close();
  });

  it("refuses every route that changes something, and serves those that read", async () => {
    const { slug, owner, token } = await fresh();
    await tenants().suspend((await byName(slug)).id, { graceMs: DAY_MS }, MACHINE);
    let seen = 0;
    for (const route of world.app.gateway.routes) {
      const { policy } = route;
      if (policy.kind !== "tenant" || policy.servesReadOnly === true) continue;
      seen++;
      const path = `/t/${slug}${route.path.replaceAll(/:\w+/g, "no-such-thing")}`;
      const isRead = route.method === "GET" && policy.scope === "operator.read";
      const byCookie = await owner.send(route.method, path, route.method === "GET" ? undefined : {});
      const byToken = await callByHttp(world.url, path, token, {}, {}, route.method);
      for (const answer of [byCookie, byToken]) {
        const isRefused = answer.status === 403 && answer.text.includes("TENANT_READ_ONLY");
        expect(isRefused, `${route.method} ${route.path}: ${answer.text}`).toBe(!isRead);
      }
    }
    expect(seen).toBeGreaterThan(8);
    const session = await owner.send("GET", "/auth/session");
    expect(session.body.tenants).toMatchObject([{ slug, status: "suspended", isReadOnly: true }]);
  });

  it("sends those who could write away, lets them back to read, and away again when it is over", async () => {
    const { slug, token } = await fresh();
    const { id } = await byName(slug);
    const first = new SocketClient(world.wsUrl);
    await first.connect(token);
    await tenants().suspend(id, { graceMs: 2 * DAY_MS }, MACHINE);
    expect(await first.untilClosed()).toEqual({ code: 4001, reason: "access changed or revoked" });
    const second = new SocketClient(world.wsUrl);
    await second.connect(token);
    await expect(second.call("sessions.list", {})).resolves.toBeDefined();
    clock.pass(2 * DAY_MS);
    expect(await second.untilClosed()).toMatchObject({ code: 4001 });
    expect((await callByHttp(world.url, "/rpc/health", token, {})).status).toBe(401);
    await expect(new SocketClient(world.wsUrl).connect(token)).rejects.toMatchObject({
      error: { details: { code: "AUTH_TOKEN_MISMATCH" } },
    });
    await tenants().resume(id, MACHINE);
    const third = new SocketClient(world.wsUrl);
    expect(await third.connect(token)).toMatchObject({
      auth: { scopes: expect.arrayContaining(["operator.write"]) },
    });
    third.socket.close();
  });

  it("ends the turns that are running, settled, and takes no new ones", async () => {
    const mock = await startMock();
    const { slug, owner, token } = await fresh();
    const { id } = await byName(slug);
    const body = {
      baseUrl: mock.baseUrl,
      apiKey: "sk-mock-0123456789",
      models: [{ id: "mock-1", name: "Mock" }],
    };
    expect((await callByHttp(world.url, "/api/providers/mock", token, body, {}, "PUT")).status).toBeLessThan(
      300,
    );
    const changed = { agentId: "main", model: "mock/mock-1" };
    expect((await callByHttp(world.url, "/rpc/agents.update", token, changed)).status).toBe(200);
    const sent = { sessionKey: "main", message: "HANGMID", idempotencyKey: `hang-${slug}` };
    expect((await callByHttp(world.url, "/rpc/chat.send", token, sent)).status).toBe(200);
    await expect.poll(() => mock.requests.length, { timeout: 10_000 }).toBe(1);
    await tenants().suspend(id, { graceMs: DAY_MS, reason: "now" }, MACHINE);
    await world.app.drained();
    await expect.poll(() => mock.requests[0]?.aborted, { timeout: 5_000 }).toBe(true);
    const history = await owner.send("POST", `/t/${slug}/rpc/chat.history`, { sessionKey: "main" });
    expect(history.text).toContain("HANGMID");
    const again = { ...sent, idempotencyKey: `again-${slug}` };
    expect((await callByHttp(world.url, "/rpc/chat.send", token, again)).text).toContain("TENANT_READ_ONLY");
    expect(mock.requests).toHaveLength(1);
    await mock.close();
  });

  it("sends readers back for the whole of it when it is resumed", async () => {
    const { slug, token } = await fresh();
    const { id } = await byName(slug);
    await tenants().suspend(id, { graceMs: DAY_MS }, MACHINE);
    const reader = new SocketClient(world.wsUrl);
    await reader.connect(token);
    await tenants().resume(id, MACHINE);
    expect(await reader.untilClosed()).toMatchObject({ code: 4001 });
    const again = new SocketClient(world.wsUrl);
    await again.connect(token);
    await expect(again.call("sessions.create", { key: "after" })).resolves.toBeDefined();
    again.socket.close();
  });

  it("refuses a grace beyond 30 days and one that is not a time", async () => {
    const { id } = await byName((await fresh()).slug);
    for (const graceMs of [31 * DAY_MS, -1, Number.NaN]) {
      await expect(tenants().suspend(id, { graceMs }, MACHINE)).rejects.toMatchObject({
        code: "invalid_request",
      });
    }
  });
});

describe("a tenant suspended without grace", () => {
  it("is as good as none to its own people and to strangers, until it is resumed", async () => {
    const { slug, owner, token } = await fresh();
    const { id } = await byName(slug);
    await tenants().suspend(id, { reason: "abuse" }, MACHINE);
    expect((await owner.send("GET", `/t/${slug}/api/break-glass`)).status).toBe(404);
    expect((await callByHttp(world.url, "/rpc/health", token, {})).status).toBe(401);
    await tenants().resume(id, MACHINE);
    expect((await owner.send("GET", `/t/${slug}/api/break-glass`)).status).toBe(200);
  });
});

describe("a deleted tenant", () => {
  it("is gone for everybody at once and back when it is restored in time", async () => {
    const { slug, owner, token } = await fresh();
    const { id } = await byName(slug);
    const client = new SocketClient(world.wsUrl);
    await client.connect(token);
    const deleting = await tenants().markDeleting(id, { reason: "closing shop" }, MACHINE);
    expect(deleting.deleteAfterMs).toBeGreaterThan(clock.nowMs() + 6.9 * DAY_MS);
    expect(await client.untilClosed()).toMatchObject({ code: 4001 });
    expect((await owner.send("GET", "/auth/session")).body.tenants).toEqual([]);
    expect((await owner.send("GET", `/t/${slug}/api/break-glass`)).status).toBe(404);
    await expect(tenants().create({ slug })).rejects.toMatchObject({ code: "conflict" });
    await expect(tenants().suspend(id, {}, MACHINE)).rejects.toMatchObject({ code: "conflict" });
    await expect(tenants().resume(id, MACHINE)).rejects.toMatchObject({ code: "conflict" });
    await expect(tenants().markDeleting(id, { reason: "" }, MACHINE)).rejects.toMatchObject({
      code: "conflict",
    });
    expect((await tenants().restore(id, MACHINE)).status).toBe("active");
    expect((await callByHttp(world.url, "/rpc/health", token, {})).status).toBe(200);
    await expect(tenants().restore(id, MACHINE)).rejects.toMatchObject({ code: "conflict" });
    const actions = (await auditOf(owner, slug)).map((event) => event.action);
    expect(actions).toEqual(expect.arrayContaining(["tenant.deleting", "tenant.restored"]));
  });

  it("that was suspended before comes back suspended, without grace", async () => {
    const { slug, token } = await fresh();
    const { id } = await byName(slug);
    await tenants().suspend(id, { graceMs: DAY_MS }, MACHINE);
    await tenants().markDeleting(id, { reason: "x" }, MACHINE);
    expect(await tenants().restore(id, MACHINE)).toMatchObject({
      status: "suspended",
      readOnlyUntilMs: null,
    });
    expect((await callByHttp(world.url, "/rpc/health", token, {})).status).toBe(401);
  });
});

describe("a changed tenant", () => {
  it("takes name, plan, time zone and hosts, and refuses a host that is the gateway's or another's", async () => {
    const [mine, other] = [await byName((await fresh()).slug), await byName((await fresh()).slug)];
    const wanted = { displayName: "Mine", plan: "gold", timeZone: "Europe/Vienna", hosts: ["mine.example"] };
    expect(await tenants().change(mine.id, wanted, MACHINE)).toMatchObject(wanted);
    await expect(tenants().change(other.id, { hosts: ["mine.example"] }, MACHINE)).rejects.toMatchObject({
      code: "conflict",
    });
    for (const host of ["127.0.0.1", "localhost", "[::1]"]) {
      await expect(tenants().change(other.id, { hosts: [host] }, MACHINE), host).rejects.toMatchObject({
        code: "invalid_request",
      });
    }
    expect((await tenants().change(mine.id, { hosts: [] }, MACHINE)).hosts).toEqual([]);
    await tenants().change(other.id, { hosts: ["mine.example"] }, MACHINE);
  });
});
