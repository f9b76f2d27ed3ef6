/** What operators see and change of their own export, over HTTP: by cookie only, with a fresh proof, on record. */
import SqliteDatabase from "better-sqlite3";
import { afterAll, beforeAll, expect, it } from "vitest";
import { FakeMeterEvents } from "../support/fake-meter-events.ts";
import { makeOperator } from "../support/operator.ts";
import { makePerson, type Person } from "../support/person.ts";
import { chat, ProviderWorld } from "../support/provider-world.ts";

const PATH = "/operator/api/usage-export";
const stripe = new FakeMeterEvents(() => Date.now());
let world: ProviderWorld;
let operator: Person;

beforeAll(async () => {
  const apiBase = await stripe.listen();
  const customers = { acme: "cus_1", gratis: null };
  world = await ProviderWorld.start({
    config: { usageExport: { kind: "stripe", apiKey: "sk_test_fake", meter: "m", customers, apiBase } },
  });
  operator = await makeOperator(world.creel);
});

afterAll(async () => {
  await world.close();
  stripe.close();
});

/** Writes what the server's own work would have written sooner or later. */
function write(sql: string, ...params: (string | number)[]): void {
  const control = new SqliteDatabase(`${world.creel.stateDir}/control.db`);
  control.prepare(sql).run(...params);
  control.close();
}

const look = async (query = "") => (await operator.send("GET", `${PATH}${query}`)).body;

it("is listed by tenant: who is billed, who is held, what was set aside", async () => {
  for (const slug of ["acme", "gratis", "nobody"]) {
    await chat(await world.client(slug), "SAY:x");
    const { id } = await world.creel.tenant(slug);
    write("INSERT OR REPLACE INTO usage_daily_marks VALUES (?, '2026-01-01', 1, 1)", id);
  }
  const acme = await world.creel.tenant("acme");
  const { kind, tenants, next } = await look();
  expect([kind, next]).toEqual(["meter", null]);
  const of = (slug: string) => tenants.find((one: { slug: string }) => one.slug === slug);
  expect(of("acme")).toMatchObject({ customer: "cus_1", isHeld: false, newest: 1, failures: 0 });
  expect(of("gratis")).toMatchObject({ customer: null, isHeld: false });
  expect(of("nobody")).toMatchObject({ customer: null, isHeld: true, cursor: 0, newest: 1 });
  expect((await look("?trouble=1")).tenants).toMatchObject([{ slug: "nobody" }]);
  expect((await look(`?tenant=${acme.id}`)).tenants).toMatchObject([{ slug: "acme" }]);
  expect((await look("?after=z")).tenants).toEqual([]);
  const sql =
    "INSERT INTO usage_charges VALUES ('c-1', ?, 'cus_1', '2026-01-01', 700, 1, 1, 3, 1, 2, 'It was sent.')";
  write(sql, acme.id);
  expect((await look("?trouble=1")).setAside).toMatchObject([
    { identifier: "c-1", tenantId: acme.id, amountMicros: 700, reason: "It was sent." },
  ]);
});

it("is changed by operators only, and each change is on record", async () => {
  const acme = await world.creel.tenant("acme");
  const change = (body: object, by = operator) => by.send("PUT", PATH, body);
  const stranger = await makePerson(world.creel, "Somebody");
  for (const method of ["GET", "PUT"] as const)
    expect((await stranger.send(method, PATH, method === "PUT" ? {} : undefined)).status).toBe(404);
  expect((await change({ tenantId: acme.id, cursor: 99 })).status).toBe(400);
  expect((await change({ tenantId: acme.id, cursor: 1, charge: "c-1" })).status).toBe(400);
  expect((await change({ tenantId: operator.userId })).status).toBe(404);
  expect((await change({ charge: "nothing", decision: "send" })).status).toBe(404);
  expect((await change({ charge: "c-1", decision: "close" })).body.tenant).toMatchObject({
    setAside: { count: 0, amountMicros: 0 },
  });
  expect((await change({ charge: "c-1", decision: "close" })).status).toBe(404);
  expect((await change({ tenantId: acme.id, cursor: 1 })).body.tenant).toMatchObject({ cursor: 1 });
  expect((await change({ tenantId: acme.id })).status).toBe(200);
  const { text } = await operator.send("GET", "/operator/api/audit?limit=100");
  for (const action of ["usage_charge.decided", "usage_export.moved", "usage_export.retried"])
    expect(text).toContain(action);
});
