/**
 * Operators set prices, margins and plans, with dates, previews and records; they give credit and make codes, and look at
 * what tenants spend and at what providers counted. What was charged stays as it was.
 */
import SqliteDatabase from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addDays } from "#src/billing/calendar.ts";
import { lastNight } from "#src/billing/reconcile/reconciler.ts";
import { dayOfStorage } from "#src/billing/storage/storage-price.ts";
import { type MockModel, start as startMock } from "../support/mock-model.ts";
import { makeOperator } from "../support/operator.ts";
import { makePerson, type Person } from "../support/person.ts";
import { chat, ProviderWorld } from "../support/provider-world.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

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
  expect(preview.body.effects[0]).toMatchObject({ name: "mock-1", beforeMicros: expect.any(Number) });
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
  const seen = (knownVersion: number, id = "club") =>
    operator.send("PUT", "/operator/api/plans", { id, terms: { name: "Club", seats: 9 }, knownVersion });
  const last = plans.find((plan: { id: string }) => plan.id === "club").version as number;
  for (const stale of [await seen(last - 1), await seen(0)]) {
    expect([stale.status, stale.code, stale.body.error.details]).toEqual([
      409,
      "conflict",
      { version: last },
    ]);
  }
  expect((await seen(1, "nobodys")).body.error.details).toEqual({ version: 0 });
  expect((await seen(last)).body.plan.version).toBe(last + 1);
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
  const { id } = await world.creel.tenant("gamma");
  const owner = await makePerson(world.creel, "Olga Owner", "acme", "owner");
  for (const path of ["billing", "prices", "plans", "codes", "reconciliation", `tenants/${id}/money`])
    expect((await owner.send("GET", `/operator/api/${path}`)).status).toBe(404);
});

/** A line of what the platform knows of a tenant's use; more is spent on days long past, where nobody looks. */
function plantUsage(
  tenantId: string,
  day: string,
  tokens: number,
  costMicros: number,
  model = "old-1",
): void {
  const control = new SqliteDatabase(`${world.creel.stateDir}/control.db`);
  control
    .prepare(
      `INSERT INTO usage_daily VALUES (?, ?, 'main', '', 'web', 'planted', ?, 1, 0, 1, 1, 0, ?, ?, 0, 0, ?, 0, 0, 0, ?, ?, 0, 0)`,
    )
    .run(tenantId, day, model, tokens, tokens, costMicros, costMicros, costMicros);
  control.close();
}

const put = async (body: unknown) => {
  const answer = await operator.send("PUT", "/operator/api/prices", body as object);
  expect(answer.status, answer.text).toBe(200);
  return answer.body.effects as Record<string, unknown>[];
};

describe("a trial of prices", () => {
  const price = (over: object) => ({
    ...{ kind: "model", provider: "planted", name: "old-1", fromDay: today(), source: "trial" },
    ...{ input: 1_000_000, output: 3_000_000, ...over },
  });

  it("reckons with each tenant's margin, and leaves out whoever has a price of their own", async () => {
    const [delta, own, past] = await Promise.all(
      ["delta", "own-price", "past"].map((slug) => world.creel.tenant(slug)),
    );
    plantUsage(delta!.id, today(), 1_000, 700);
    plantUsage(own!.id, today(), 1_000, 900);
    plantUsage(past!.id, "2020-01-01", 1_000, 900);
    await put({ rows: [price({ tenantId: own!.id, input: 5, output: 5 })] });
    await put({ margins: [{ tenantId: delta!.id, fromDay: today(), basisPoints: 2_500 }] });
    const [model] = await put({ rows: [price({})], isPreview: true });
    expect(model).toEqual({
      ...{ kind: "model", tenantId: "", provider: "planted", name: "old-1" },
      // 1000 tokens in and out at 1.25 and 3.75 per million.
      ...{ tenants: 1, beforeMicros: 700, afterMicros: 5_000 },
    });
    const [margin] = await put({
      margins: [{ tenantId: delta!.id, fromDay: today(), basisPoints: 5_000 }],
      isPreview: true,
    });
    expect(margin).toMatchObject({ kind: "margin", tenants: 1, beforeMicros: 700, afterMicros: 840 });
    const nobody = { rows: [price({ tenantId: crypto.randomUUID() })], isPreview: true };
    expect((await operator.send("PUT", "/operator/api/prices", nobody)).status).toBe(404);
  });

  it("counts calls of a tool where they were made, and storage by what is kept", async () => {
    await world.allow("acme", ["workspace_list"]);
    const client = await world.client("acme");
    await chat(client, "TOOLCALL:workspace_list {}");
    // Refused arguments: no price could make this one cost anything.
    await chat(client, 'TOOLCALL:workspace_list {"path":7}');
    const delta = await world.creel.tenant("delta");
    const GIB = 1024 ** 3;
    const control = new SqliteDatabase(`${world.creel.stateDir}/control.db`);
    control.prepare("DELETE FROM tenant_storage WHERE tenant_id = ?").run(delta.id);
    control
      .prepare(
        "INSERT INTO tenant_storage (tenant_id, file_bytes, database_bytes, counted_at_ms) VALUES (?, ?, ?, 1)",
      )
      .run(delta.id, GIB, GIB);
    control.close();
    const days = Array.from({ length: 30 }, (_, back) => addDays(today(), -1 - back));
    const effects = () =>
      put({
        rows: [
          { kind: "tool", name: "workspace_list", fromDay: today(), input: 1_500, source: "trial" },
          { kind: "storage", tenantId: delta.id, fromDay: today(), input: 9_000_000, source: "trial" },
        ],
        isPreview: true,
      });
    // The platform learns of use a moment later; acme pays ten per cent on top.
    await expect.poll(effects, { timeout: 20_000, interval: 500 }).toMatchObject([
      { kind: "tool", tenants: 1, beforeMicros: 0, afterMicros: 1_650 },
      {
        ...{ kind: "storage", tenants: 1, beforeMicros: 0 },
        // With the tenant's margin of a quarter.
        afterMicros: days.reduce((sum, day) => sum + dayOfStorage(2 * GIB, 11_250_000, day), 0),
      },
    ]);
  });

  it("shows which row holds, which will, and which was replaced", async () => {
    const name = "standing-1";
    const fromDay = "2099-01-01";
    await put({ rows: [price({ name, input: 1 })] });
    await put({ rows: [price({ name, input: 2 }), price({ name, input: 3, fromDay })] });
    await put({ rows: [price({ name, input: 4, fromDay })] });
    const { rows, currency } = (await operator.send("GET", "/operator/api/prices")).body;
    const mine = rows.filter((row: { name: string }) => row.name === name);
    expect(mine.map((row: { input: number; standing: string }) => [row.input, row.standing])).toEqual([
      [4, "later"],
      [2, "in_force"],
      [3, "replaced"],
      [1, "replaced"],
    ]);
    expect(currency).toBe("USD");
  });
});

it("gives credit, a margin and a price to one tenant, shows its money, and records all of it", async () => {
  const { id } = await world.creel.tenant("epsilon");
  const credit = {
    ...{
      tenantId: id,
      amountMicros: 12_500_000,
      reason: "Sorry for Tuesday",
      idempotencyKey: crypto.randomUUID(),
    },
    expiresAtMs: Date.now() + 86_400_000,
  };
  for (const isNew of [true, false])
    expect((await operator.send("POST", "/operator/api/credits", credit)).body).toMatchObject({ isNew });
  await put({
    rows: [{ ...ROW, tenantId: id, fromDay: today() }],
    margins: [{ tenantId: id, fromDay: today(), basisPoints: -500 }],
  });
  const path = `/operator/api/tenants/${id}`;
  await operator.send("PUT", `${path}/plan`, { plan: "team" });
  const money = (await operator.send("GET", `${path}/money`)).body;
  expect(money).toMatchObject({
    currency: "USD",
    plan: { id: "team", untilMs: null },
    pins: [{ plan: "team" }],
    funds: { spentMicros: 0, reservedMicros: 0, creditMicros: 12_500_000 },
    margin: { basisPoints: -500, isOwn: true, rows: [{ basisPoints: -500, standing: "in_force" }] },
    prices: [{ name: "mock-1", input: 7_000_000, standing: "in_force" }],
  });
  expect(money.limitMicros).toBeGreaterThan(0);
  // Nothing of another tenant's is among it.
  const other = (
    await operator.send("GET", `/operator/api/tenants/${(await world.creel.tenant("beta")).id}/money`)
  ).body;
  expect(other).toMatchObject({ funds: { creditMicros: 0 }, prices: [], margin: { isOwn: false, rows: [] } });
  expect((await operator.send("GET", `/operator/api/tenants/${crypto.randomUUID()}/money`)).status).toBe(404);
  const actions = async () => {
    const detail = await operator.send("GET", path);
    return detail.body.history.map((event: { action: string }) => event.action);
  };
  for (const action of ["credit.granted", "tenant.prices_set", "tenant.plan_set"])
    await expect.poll(actions, { timeout: 10_000 }).toContain(action);
});

it("lists codes as they were made, with who redeemed them, and never a code", async () => {
  const made = await operator.send("POST", "/operator/api/codes", {
    ...{ count: 3, amountMicros: 5_000_000, currency: "USD", expiresAtMs: Date.now() + 86_400_000 },
  });
  await operator.send("POST", "/operator/api/codes", { count: 1, amountMicros: 1_000_000, currency: "USD" });
  const [code = ""] = made.body.codes as string[];
  const owner = await makePerson(world.creel, "Cora Coder", "zeta", "owner");
  expect((await owner.send("POST", "/t/zeta/api/redeem", { code })).status).toBe(200);
  const list = await operator.send("GET", "/operator/api/codes");
  expect(list.body).toMatchObject({
    currency: "USD",
    isCut: false,
    batches: [
      { made: 1, redeemed: 0, amountMicros: 1_000_000, expiresAtMs: null, redemptions: [] },
      {
        ...{ made: 3, redeemed: 1, amountMicros: 5_000_000, isExpired: false, madeByName: "Odile Operator" },
        redemptions: [{ slug: "zeta", atMs: expect.any(Number) }],
      },
    ],
  });
  for (const shown of made.body.codes) {
    expect(list.text).not.toContain(shown);
    expect(list.text).not.toContain(shown.replaceAll("-", ""));
  }
  expect(list.text).not.toMatch(/[0-9a-f]{64}/);
});

it("never sets amounts of different currencies against each other, and finds who is over budget", async () => {
  const [yuan, spender] = await Promise.all(["in-yuan", "spender"].map((slug) => world.creel.tenant(slug)));
  const control = new SqliteDatabase(`${world.creel.stateDir}/control.db`);
  const terms = { version: 1, name: "Yuan", currency: "CNY", monthlyBudgetMicros: 40_000_000 };
  control
    .prepare("INSERT INTO tenant_plans VALUES (?, 0, 'old-yuan', 1, ?, 0, 'test')")
    .run(yuan!.id, JSON.stringify(terms));
  control.close();
  plantUsage(yuan!.id, today(), 1, 90_000_000, "more");
  plantUsage(spender!.id, today(), 1, 10_000_000, "less");
  const list = async (query: string) =>
    (await operator.send("GET", `/operator/api/billing?${query}`)).body as {
      currency: string;
      tenants: { slug: string; currency: string; isOver: boolean; spentMicros: number }[];
    };
  for (const sort of ["spend", "growth", "margin"]) {
    const { tenants, currency } = await list(`sort=${sort}`);
    expect(currency).toBe("USD");
    const currencies = tenants.map((row) => row.currency);
    expect(currencies.lastIndexOf("USD")).toBeLessThan(currencies.indexOf("CNY"));
  }
  expect((await list("sort=spend")).tenants[0]).toMatchObject({ slug: "spender", spentMicros: 10_000_000 });
  const over = (await list("over=1")).tenants;
  expect(over).toMatchObject([{ slug: "in-yuan", currency: "CNY", isOver: true }]);
});

describe("comparisons with providers", () => {
  let mock: MockModel;
  let creel: TestApp;
  let odile: Person;
  const night = lastNight(Date.now());

  beforeAll(async () => {
    mock = await startMock({});
    const usage = { url: `${mock.url}/v1/organization/usage/completions` };
    const providers = { mock: { baseUrl: mock.baseUrl, apiKey: "test-operator-key", models: [], usage } };
    creel = await startApp({ config: { providers: providers as never, egressAllowPrivate: ["127.0.0.1"] } });
    odile = await makeOperator(creel);
  });

  afterAll(async () => {
    await creel.close();
    await mock.close();
  });

  const nights = async () => {
    const { body } = await odile.send("GET", "/operator/api/reconciliation");
    return body as {
      providers: string[];
      tolerance: object;
      nights: { provider: string; day: string; comparedAtMs: number | null; findings: object[] }[];
    };
  };

  it("say which nights are missing, and compare one at once when an operator asks, with a record", async () => {
    const before = await nights();
    expect(before).toMatchObject({ providers: ["mock"], tolerance: { tokens: 1_000, ratio: 0.005 } });
    expect(before.nights).toHaveLength(14);
    expect(before.nights[0]).toMatchObject({ provider: "mock", day: night, comparedAtMs: null });
    const ask = (provider: string, day: string) =>
      odile.send("POST", "/operator/api/reconciliation", { provider, day });
    expect((await ask("mock", night)).body).toMatchObject({ day: night, isWithin: true, findings: [] });
    expect((await nights()).nights[0]).toMatchObject({ comparedAtMs: expect.any(Number), findings: [] });
    expect((await ask("elsewhere", night)).status).toBe(404);
    expect((await ask("mock", today())).status).toBe(400);
    const { text } = await odile.send("GET", "/operator/api/audit?limit=50");
    expect(text).toContain("usage.compared");
  });

  it("name differences by model", async () => {
    const finding = {
      kind: "retried_calls",
      model: "mock-1",
      calls: 1,
      inputTokens: 120,
      cachedTokens: 0,
      outputTokens: 20,
    };
    const control = new SqliteDatabase(`${creel.stateDir}/control.db`);
    control
      .prepare("INSERT OR REPLACE INTO reconciliations VALUES ('mock', 'platform', ?, 1, 0, ?)")
      .run(night, JSON.stringify([finding]));
    control.close();
    expect((await nights()).nights[0]).toMatchObject({ isWithin: false, findings: [finding] });
  });
});
