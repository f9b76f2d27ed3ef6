/** Operators run the platform by its own routes: what they may, what needs a fresh proof, what nobody else may see. */
import { mkdir, writeFile } from "node:fs/promises";
import SqliteDatabase from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newId } from "#src/kernel/ids.ts";
import { MACHINE } from "#src/tenancy/actor.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { makeOperator } from "#test/support/operator.ts";
import { auditOf, makePerson, type Person, send } from "#test/support/person.ts";
import { startApp, type TestApp } from "#test/support/start-app.ts";
import { callByHttp, SteeredClock } from "#test/support/world.ts";

const MINUTE_MS = 60_000;

let world: TestApp;
let clock: SteeredClock;
let operator: Person;
let owner: Person;

beforeAll(async () => {
  clock = new SteeredClock();
  world = await startApp({ app: { clock } });
  operator = await makeOperator(world);
  owner = await makePerson(world, "Olga Owner", "acme", "owner");
});
afterAll(() => world.close());

const idOf = async (slug: string) => (await world.tenant(slug)).id;
const routes = () => world.app.gateway.routes.filter((route) => route.policy.kind === "operator");
const steppedUp = () => routes().filter((route) => "isStepUp" in route.policy && route.policy.isStepUp);

async function pathOf(path: string): Promise<string> {
  return path.replaceAll(/:\w+/g, await idOf("acme"));
}

/** A tenant of which nothing was recorded yet, so that nobody has opened its database. */
async function bareTenant(slug: string): Promise<Tenant> {
  const control = new SqliteDatabase(`${world.stateDir}/control.db`);
  control
    .prepare(
      `INSERT INTO tenants (id, slug, display_name, status, plan, time_zone, created_at_ms)
        VALUES (?, ?, ?, 'active', 'free', 'UTC', 1)`,
    )
    .run(newId(), slug, slug);
  control.close();
  return world.app.tenants.getBySlug(slug);
}

describe("the operators' routes", () => {
  it("are not there for members, owners, and people without a tenant", async () => {
    expect(routes().length).toBeGreaterThan(10);
    const nobody = await makePerson(world, "Nobody");
    for (const route of routes()) {
      for (const person of [owner, nobody]) {
        const body = route.method === "GET" || route.method === "DELETE" ? undefined : {};
        const answer = await person.send(route.method, await pathOf(route.path), body);
        expect([answer.status, answer.code], `${route.method} ${route.path}`).toEqual([404, "not_found"]);
        expect(answer.body.error.message).toBe("There is nothing here.");
      }
    }
  });

  it("take no tokens, not even an operator's or a tenant owner's, and nobody without a cookie", async () => {
    const token = await world.token("acme");
    for (const route of routes()) {
      const path = await pathOf(route.path);
      const body = route.method === "GET" ? undefined : {};
      expect((await callByHttp(world.url, path, token, body, {}, route.method)).status).toBe(401);
      const sent = route.method === "GET" || route.method === "DELETE" ? {} : { body: {} };
      expect((await send(world.url, route.method, path, sent)).status).toBe(401);
    }
  });

  it("refuse changes that another site asks for", async () => {
    const path = `/operator/api/tenants/${await idOf("acme")}/suspend`;
    const answer = await operator.send("POST", path, { reason: "x" }, { origin: "https://evil.example" });
    expect([answer.status, answer.code]).toEqual([403, "origin_refused"]);
  });

  it("want a fresh proof for what cannot be undone, and do nothing without", async () => {
    const tired = await makeOperator(world, "Tired");
    clock.pass(5 * MINUTE_MS + 1_000);
    expect(steppedUp().map((route) => route.path.split("/").at(-1))).toEqual([
      "delete",
      "restore",
      "break-glass",
      // Tried in usage-export-operator.test.ts.
      "usage-export",
      // Tried in payments.test.ts.
      "credits",
      "codes",
      ":batch",
      // Tried in adjustments.test.ts.
      "adjustments",
    ]);
    const bodies = {
      delete: { confirmSlug: "acme", reason: "tired of it" },
      restore: {},
      "break-glass": { reason: "long enough a reason", minutes: 5 },
    };
    for (const [verb, body] of Object.entries(bodies)) {
      const answer = await tired.send("POST", `/operator/api/tenants/${await idOf("acme")}/${verb}`, body);
      expect([answer.status, answer.code, answer.body.error.details], verb).toEqual([
        403,
        "step_up_required",
        { maxAgeMs: 5 * MINUTE_MS },
      ]);
    }
    for (const body of [{ slug: "acme-two" }, { hosts: ["acme.example"] }]) {
      const answer = await tired.send("PATCH", `/operator/api/tenants/${await idOf("acme")}`, body);
      expect(answer.code).toBe("step_up_required");
    }
    expect(
      (await tired.send("PATCH", `/operator/api/tenants/${await idOf("acme")}`, { plan: "team" })).status,
    ).toBe(200);
    expect(await world.app.tenants.findBySlug("acme")).toMatchObject({
      status: "active",
      hosts: [],
      plan: "team",
    });
    const session = await tired.send("GET", "/operator/api/session");
    expect(session.body.steppedUpUntilMs).toBeLessThan(clock.nowMs());
    await tired.signInAgain();
    expect((await tired.send("GET", "/operator/api/session")).body.steppedUpUntilMs).toBeGreaterThan(
      clock.nowMs(),
    );
  });

  it("end the moment somebody is no operator any more", async () => {
    const former = await makeOperator(world, "Former");
    expect((await former.send("GET", "/operator/api/tenants")).status).toBe(200);
    await world.app.auth.operators.remove(former.userId, MACHINE);
    expect((await former.send("GET", "/operator/api/tenants")).status).toBe(404);
  });
});

describe("the list of tenants", () => {
  it("is paged, searched and filtered, and shows facts without contents", async () => {
    for (let i = 0; i < 7; i++) await world.tenant(`listed-${i}`);
    const slugs: string[] = [];
    let after = "";
    for (let pages = 0; pages < 20; pages++) {
      const page = await operator.send("GET", `/operator/api/tenants?search=listed-&limit=3&after=${after}`);
      slugs.push(...page.body.tenants.map((tenant: { slug: string }) => tenant.slug));
      if (page.body.next === null) break;
      after = page.body.next;
    }
    expect(slugs).toEqual(Array.from({ length: 7 }, (_, i) => `listed-${i}`));
    await world.app.tenants.suspend(await idOf("listed-4"), { graceMs: MINUTE_MS * 60 }, MACHINE);
    const suspended = await operator.send("GET", "/operator/api/tenants?status=suspended");
    expect(suspended.body.tenants).toMatchObject([{ slug: "listed-4", status: "suspended" }]);
    expect(suspended.body.tenants[0].readOnlyUntilMs).toBeGreaterThan(clock.nowMs());
    for (const query of ["status=odd", "limit=0", "limit=9999", "limit=x"]) {
      expect((await operator.send("GET", `/operator/api/tenants?${query}`)).status, query).toBe(400);
    }
    for (const search of ["%25", "_", "'", "listed-9"]) {
      expect((await operator.send("GET", `/operator/api/tenants?search=${search}`)).body.tenants).toEqual([]);
    }
  });

  it("says how many members, how much disk, and whether the database opens, without opening all of them", async () => {
    await world.token("acme");
    await callByHttp(world.url, "/rpc/sessions.create", await world.token("acme"), { key: "sized" });
    const find = async () =>
      (await operator.send("GET", "/operator/api/tenants?search=acme")).body.tenants.find(
        (tenant: { slug: string }) => tenant.slug === "acme",
      );
    expect(await find()).toMatchObject({ members: 1, health: "ok", breakGlass: null });
    await world.app.admin.gauge.settled();
    expect((await find()).storageBytes).toBeGreaterThan(10_000);
    const never = await bareTenant("never-used");
    const listed = await operator.send("GET", "/operator/api/tenants?search=never-used");
    expect(listed.body.tenants).toMatchObject([{ health: "ok", storageBytes: 0, lastActivityAtMs: null }]);
    await world.app.admin.gauge.settled();
    expect(await world.app.door.databaseSizeBytes(never)).toBe(0);
  });

  it("says so when a database cannot be read", async () => {
    const { id } = await bareTenant("broken-one");
    await mkdir(`${world.stateDir}/tenants/${id}`, { recursive: true });
    await writeFile(`${world.stateDir}/tenants/${id}/tenant.db`, "not a database at all ".repeat(500));
    const detail = await operator.send("GET", `/operator/api/tenants/${id}`);
    expect([detail.status, detail.body.health]).toEqual([200, "unavailable"]);
  });
});

describe("one tenant", () => {
  it("is made with a link for its first owner, who then owns it", async () => {
    const body = { slug: "fresh-co", name: "Fresh Co", timeZone: "Europe/Vienna", plan: "business" };
    const made = await operator.send("POST", "/operator/api/tenants", body);
    expect([made.status, made.body.tenant]).toMatchObject([
      201,
      { slug: "fresh-co", name: "Fresh Co", members: 0 },
    ]);
    const secret = new URL(made.body.ownerLink).hash.replace("#invite=", "");
    const founder = await makePerson(world, "Fiona");
    const accepted = await founder.send("POST", "/auth/invitations/accept", { secret });
    expect(accepted.body).toMatchObject({ slug: "fresh-co", role: "owner" });
    const agents = await founder.send("POST", "/t/fresh-co/rpc/agents.list", {});
    expect(agents.text).toContain("main");
    const actions = (await auditOf(founder, "fresh-co")).map((event) => event.action);
    expect(actions).toEqual(
      expect.arrayContaining(["tenant.created", "invitation.created", "invitation.accepted"]),
    );
    expect((await operator.send("POST", "/operator/api/tenants", body)).status).toBe(409);
    expect((await operator.send("GET", "/t/fresh-co/api/tenant")).status).toBe(404);
  });

  it("shows what the platform recorded, old slugs and hosts", async () => {
    const id = await idOf("renamed-often");
    await operator.signInAgain();
    const patch = { slug: "renamed-once", name: "Renamed", hosts: ["renamed.example"] };
    const changed = await operator.send("PATCH", `/operator/api/tenants/${id}`, patch);
    expect(changed.body).toMatchObject({ ...patch, oldSlugs: ["renamed-often"] });
    await operator.send("POST", `/operator/api/tenants/${id}/suspend`, {
      reason: "unpaid bills",
      graceDays: 3,
    });
    await expect
      .poll(async () => {
        const detail = await operator.send("GET", `/operator/api/tenants/${id}`);
        return detail.body.history.map((event: { action: string }) => event.action);
      })
      .toEqual(expect.arrayContaining(["tenant.renamed", "tenant.changed", "tenant.suspended"]));
    const detail = (await operator.send("GET", `/operator/api/tenants/${id}`)).body;
    expect(detail).toMatchObject({ reason: "unpaid bills", status: "suspended" });
    expect(detail.history[0]).toMatchObject({ actorKind: "operator", actorName: "Odile Operator" });
    const resumed = await operator.send("POST", `/operator/api/tenants/${id}/resume`, {});
    expect(resumed.body).toMatchObject({ status: "active", readOnlyUntilMs: null });
  });

  it("is deleted only by its slug typed out, and restored", async () => {
    const id = await idOf("doomed");
    await operator.signInAgain();
    const wrong = await operator.send("POST", `/operator/api/tenants/${id}/delete`, {
      confirmSlug: "acme",
      reason: "x",
    });
    expect([wrong.status, wrong.body.error.details]).toEqual([400, { field: "confirmSlug" }]);
    const right = await operator.send("POST", `/operator/api/tenants/${id}/delete`, {
      confirmSlug: "doomed",
      reason: "x",
    });
    expect(right.body).toMatchObject({ status: "deleting" });
    expect(right.body.deleteAfterMs).toBeGreaterThan(clock.nowMs());
    const back = await operator.send("POST", `/operator/api/tenants/${id}/restore`, {});
    expect(back.body).toMatchObject({ status: "active", deleteAfterMs: null });
  });

  it("that is not there is not found, whatever its id looks like", async () => {
    await operator.signInAgain();
    for (const id of ["01890000-0000-7000-8000-000000000000", "x", "..%2f..", "acme"]) {
      for (const [verb, body] of [
        ["", undefined],
        ["/resume", {}],
        ["/restore", {}],
      ] as const) {
        const method = verb === "" ? "GET" : "POST";
        const answer = await operator.send(method, `/operator/api/tenants/${id}${verb}`, body);
        expect([400, 404], `${id}${verb}`).toContain(answer.status);
      }
    }
  });

  it("is removed when the time is over; the receipt stays", async () => {
    const id = await idOf("goner");
    await operator.signInAgain();
    await operator.send("POST", `/operator/api/tenants/${id}/delete`, { confirmSlug: "goner", reason: "x" });
    clock.pass(7 * 24 * 60 * MINUTE_MS + MINUTE_MS);
    await world.app.admin.sweep.run();
    await operator.signInAgain();
    expect((await operator.send("GET", `/operator/api/tenants/${id}`)).status).toBe(404);
    const { receipts } = (await operator.send("GET", "/operator/api/receipts")).body;
    expect(receipts).toMatchObject([{ tenantId: id, slug: "goner" }]);
    expect(
      (await operator.send("POST", "/operator/api/tenants", { slug: "goner", name: "Again" })).status,
    ).toBe(409);
  });
});

describe("operators themselves", () => {
  it("are at least one, also when two remove each other in the same moment", async () => {
    const { operators } = world.app.auth;
    const all = await operators.list();
    const outcomes = await Promise.allSettled(all.map((one) => operators.remove(one.userId, MACHINE)));
    expect(await operators.list()).toHaveLength(1);
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(refused.map((outcome) => outcome.reason.code)).toEqual(["last_owner"]);
  });
});
