/** Operators set prices and plans, with dates, previews and records; what was charged stays as it was. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeOperator } from "../support/operator.ts";
import { makePerson, type Person } from "../support/person.ts";
import { chat, ProviderWorld } from "../support/provider-world.ts";

let world: ProviderWorld;
let operator: Person;

beforeAll(async () => {
  world = await ProviderWorld.start();
  operator = await makeOperator(world.creel);
});

afterAll(() => world.close());

const today = () => new Date().toISOString().slice(0, 10);
const ROW = {
  kind: "model",
  provider: "mock",
  name: "mock-1",
  input: 7_000_000,
  output: 9_000_000,
  source: "contract 12",
};

it("charges at the price that an operator set, with the tenant's margin, from then on", async () => {
  const acme = await world.creel.tenant("acme");
  const client = await world.client("acme");
  await chat(client, "SAY:before");
  const margins = [{ tenantId: acme.id, fromDay: today(), basisPoints: 1_000 }];
  const set = await operator.send("PUT", "/operator/api/prices", {
    rows: [{ ...ROW, fromDay: today() }],
    margins,
  });
  expect(set.status).toBe(200);
  await chat(client, "SAY:after");
  await chat(await world.client("beta"), "SAY:beta");
  const events = (await world.stored("acme")).usage as unknown as Record<string, unknown>[];
  expect(events.map((event) => event["price_origin"])).toEqual([
    "config",
    expect.stringMatching(/^row:\d+\+1000bp$/),
  ]);
  const [, after] = events;
  const exact = Number(after?.["input_tokens"]) * 7_700_000 + Number(after?.["output_tokens"]) * 9_900_000;
  expect(after?.["cost_micros"]).toBe(Math.ceil(exact / 1_000_000));
  const beta = (await world.stored("beta")).usage as unknown as Record<string, unknown>[];
  expect(beta[0]?.["price_origin"]).toMatch(/^row:\d+$/);
  const book = await operator.send("GET", "/operator/api/prices");
  expect(book.body.rows[0]).toMatchObject({ name: "mock-1", input: 7_000_000, reasoning: 9_000_000 });
  expect(book.body.shipped.length).toBeGreaterThan(0);
});

it("changes nothing for a preview, and nothing that is past", async () => {
  const before = await operator.send("GET", "/operator/api/prices");
  const rows = [{ ...ROW, fromDay: today(), input: 1 }];
  const preview = await operator.send("PUT", "/operator/api/prices", { rows, isPreview: true });
  expect(preview.body.effects[0]).toMatchObject({ model: "mock-1", beforeMicros: expect.any(Number) });
  const past = await operator.send("PUT", "/operator/api/prices", {
    rows: [{ ...ROW, fromDay: "2020-01-01" }],
  });
  expect([past.status, past.code]).toEqual([400, "invalid_request"]);
  const wrong: Record<string, unknown>[] = [
    { ...ROW, fromDay: today(), input: -1 },
    { ...ROW, fromDay: today(), input: 1.5 },
    { ...ROW, fromDay: today(), provider: "" },
    { ...ROW, fromDay: today(), kind: "tool" },
    { ...ROW, fromDay: "2026-13-01" },
  ];
  for (const row of wrong)
    expect((await operator.send("PUT", "/operator/api/prices", { rows: [row] })).status).toBe(400);
  expect((await operator.send("GET", "/operator/api/prices")).body).toEqual(before.body);
});

it("adds plan versions without changing anybody's terms, and pins tenants with a record", async () => {
  const { id } = await world.creel.tenant("gamma");
  const add = (seats: number) =>
    operator.send("PUT", "/operator/api/plans", { id: "club", terms: { name: "Club", seats } });
  expect((await add(3)).body.plan).toMatchObject({ id: "club", version: 1 });
  const pin = await operator.send("PUT", `/operator/api/tenants/${id}/plan`, { plan: "club" });
  expect(pin.body.pin).toMatchObject({ plan: "club", version: 1 });
  expect((await add(9)).body.plan).toMatchObject({ version: 2 });
  const shown = await operator.send("GET", `/operator/api/tenants/${id}/plan`);
  expect(shown.body.plan).toMatchObject({ version: 1, terms: { seats: 3 } });
  const { plans } = (await operator.send("GET", "/operator/api/plans")).body;
  expect(plans.filter((plan: { id: string }) => plan.id === "club")).toMatchObject([
    { version: 2, tenants: 0 },
    { version: 1, tenants: 1 },
  ]);
  for (const shipped of ["free", "team", "business", "unlimited"])
    expect(plans.map((plan: { id: string }) => plan.id)).toContain(shipped);
  expect((await operator.send("PUT", `/operator/api/tenants/${id}/plan`, { plan: "nowhere" })).status).toBe(
    404,
  );
  expect(
    (await operator.send("PUT", "/operator/api/plans", { id: "x", terms: { name: "X", seatz: 3 } })).status,
  ).toBe(400);
  const actions = async () => {
    const detail = await operator.send("GET", `/operator/api/tenants/${id}`);
    return detail.body.history.map((event: { action: string }) => event.action);
  };
  // The record is in the act's own commit, and in the tenant's log a moment later.
  await expect.poll(actions, { timeout: 10_000 }).toContain("tenant.plan_set");
});

it("refuses a plan in another currency than that of the prices", async () => {
  const { id } = await world.creel.tenant("yuan");
  const terms = { name: "Yuan", currency: "CNY" };
  expect((await operator.send("PUT", "/operator/api/plans", { id: "yuan", terms })).status).toBe(201);
  const path = `/operator/api/tenants/${id}/plan`;
  const pin = await operator.send("PUT", path, { plan: "yuan" });
  expect([pin.status, pin.code]).toEqual([400, "invalid_request"]);
  expect((await operator.send("GET", path)).body.pins).toEqual([]);
});

it("lists tenants by what they spent, and lets nobody but operators see any of it", async () => {
  const list = await operator.send("GET", "/operator/api/billing?sort=spend");
  expect(list.status).toBe(200);
  expect(list.body.tenants.find((row: { slug: string }) => row.slug === "gamma")).toMatchObject({
    plan: "club",
    spentMicros: 0,
    limitMicros: null,
    growth: null,
    isOver: false,
  });
  expect((await operator.send("GET", "/operator/api/billing?sort=name")).status).toBe(400);
  const owner = await makePerson(world.creel, "Olga Owner", "acme", "owner");
  for (const path of ["billing", "prices", "plans"])
    expect((await owner.send("GET", `/operator/api/${path}`)).status).toBe(404);
});
