/** What a plan holds: seats, agents, models, turns, tokens and money; each refusal says which and what to do. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type PlanDraft, planSchema } from "#src/config/plan-schema.ts";
import { MACHINE } from "#src/tenancy/actor.ts";
import { runInContext } from "#src/tenancy/context.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { callApi } from "../support/api-call.ts";
import { makeOperator } from "../support/operator.ts";
import { makePerson } from "../support/person.ts";
import { chat, endsOf, ProviderWorld } from "../support/provider-world.ts";
import { RpcError, type SocketClient } from "../support/socket-client.ts";

let world: ProviderWorld;

const PLANS: Record<string, Omit<PlanDraft, "name">> = {
  small: { seats: 2, agents: 2, models: ["demo/*"] },
  serial: { concurrentTurns: 1 },
  thrifty: { tokensPerMinute: 20 },
  dollar: { monthlyBudgetMicros: 1_000_000 },
  halved: { monthlyBudgetMicros: 500_000 },
  penniless: { backgroundBudgetMicros: 0 },
};

beforeAll(async () => {
  const plans = Object.fromEntries(
    Object.entries(PLANS).map(([id, draft]) => [id, planSchema.parse({ name: id, ...draft })]),
  );
  world = await ProviderWorld.start({ config: { plans, turnsAtOnce: 3, turnsPerSession: 25 } });
});

afterAll(() => world.close());

async function onPlan(slug: string, plan: string, fromMs = 0): Promise<void> {
  const { id } = await world.creel.tenant(slug);
  await world.creel.app.plans.pin(id, { plan, fromMs }, "test");
}

async function api(slug: string, path: string, method = "GET", role: "owner" | "readonly" = "owner") {
  const bearer = await world.creel.token(slug, role, randomUUID());
  return callApi(world.creel.url, method, `/t/${slug}${path}`, { bearer }, method === "GET" ? undefined : {});
}

async function refusal(work: Promise<unknown>): Promise<RpcError["error"]> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(RpcError);
  return (thrown as RpcError).error;
}

it("shows the plan, its limits and what is used; a tenant nobody put on a plan has no limit", async () => {
  const { json } = await api("free-land", "/api/billing");
  expect(json).toMatchObject({
    plan: { id: "unlimited", version: 1, name: "Unlimited", until: null },
    currency: "USD",
    budget: { limitMicros: null, spentMicros: 0, reservedMicros: 0, creditMicros: 0 },
    limits: {
      seats: { limit: null },
      agents: { used: 1, limit: null },
      requestsPerMinute: null,
      models: null,
    },
    alerts: [],
    breaker: null,
  });
  const viewer = await api("free-land", "/api/billing", "GET", "readonly");
  expect(viewer.status).toBe(200);
});

it("lets no more people in than there are seats, by whichever way; service accounts take none", async () => {
  await onPlan("seats", "small");
  const { id } = await world.creel.tenant("seats");
  await makePerson(world.creel, "One", "seats", "owner");
  await makePerson(world.creel, "Two", "seats", "member");
  await expect(makePerson(world.creel, "Three", "seats", "member")).rejects.toThrow(/Every seat is taken/);
  const { people, members } = world.creel.app.auth;
  await people.serviceAccounts.create(id, { name: "Robot", role: "member" }, MACHINE);
  expect((await api("seats", "/api/billing")).json).toMatchObject({
    limits: { seats: { used: 2, limit: 2 } },
  });
  // A larger plan helps at once; a later smaller one puts nobody out, and lets nobody in.
  await onPlan("seats", "unlimited");
  const three = await makePerson(world.creel, "Three", "seats", "member");
  await onPlan("seats", "small");
  expect(await members.find(id, three.userId)).toBeDefined();
  await expect(makePerson(world.creel, "Four", "seats", "member")).rejects.toThrow(/Every seat is taken/);
});

it("holds so many agents, of twenty made at once too", async () => {
  await onPlan("agents", "small");
  const client = await world.client("agents");
  const made = await Promise.allSettled(
    Array.from({ length: 20 }, (_, n) =>
      client.call("agents.create", { name: `Agent ${n}`, workspace: "x" }),
    ),
  );
  expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  const error = await refusal(client.call("agents.create", { name: "More", workspace: "x" }));
  expect(error).toMatchObject({
    code: "FORBIDDEN",
    message: expect.stringContaining('The plan "small" holds 2 agents'),
    details: { code: "PLAN_LIMIT", plan: "small", limit: 2 },
  });
});

it("refuses a model that the plan does not include, with the reason and without asking the provider", async () => {
  await onPlan("models", "small");
  const before = world.mock.requests.length;
  const { end } = await chat(await world.client("models"), "SAY:hello");
  expect(end).toMatchObject({
    state: "error",
    errorMessage: expect.stringContaining("does not include the model"),
  });
  expect(world.mock.requests).toHaveLength(before);
});

it("makes as many turns at once as the plan says; others of the tenant wait, and none is lost", async () => {
  await onPlan("serial", "serial");
  const client = await world.client("serial");
  const hung = randomUUID();
  await client.call("chat.send", { sessionKey: "agent:main:a", message: "HANG", idempotencyKey: hung });
  const turn = chat(client, "SAY:second", { sessionKey: "agent:main:b" });
  const other = await chat(await world.client("other"), "SAY:other");
  expect(other.end).toMatchObject({ state: "final" });
  expect(client.events("chat").filter((event) => event["state"] === "final")).toHaveLength(0);
  await client.call("chat.abort", { sessionKey: "agent:main:a" });
  expect((await turn).end).toMatchObject({ state: "final" });
  expect(endsOf(client, hung)).toHaveLength(1);
});

it("serves another tenant's turn next while one tenant's turns fill every place", async () => {
  const evil = await world.client("evil");
  const acme = await world.client("acme");
  const keys = Array.from({ length: 30 }, (_, n) => `agent:main:flood-${n}`);
  for (const sessionKey of keys)
    await evil.call("chat.send", { sessionKey, message: "SLOW:flood", idempotencyKey: randomUUID() });
  const { end } = await chat(acme, "SAY:me");
  expect(end).toMatchObject({ state: "final" });
  const finals = evil.events("chat").filter((event) => event["state"] === "final").length;
  // First come, first served would have answered all thirty before.
  expect(finals).toBeLessThan(15);
  for (const sessionKey of keys) await evil.call("chat.abort", { sessionKey });
});

it("refuses a new turn above the tokens of a minute, and says when there are more", async () => {
  await onPlan("thrifty", "thrifty");
  const client = await world.client("thrifty");
  const long = `SAY:${"many words ".repeat(20)}`;
  expect(await refusal(chat(client, long))).toMatchObject({
    code: "FORBIDDEN",
    details: { code: "PLAN_LIMIT", limit: "tokens", perMinute: 20 },
  });
  expect((await chat(client, "SAY:a good many words for so small a plan")).end).toMatchObject({
    state: "final",
  });
  const error = await refusal(chat(client, "SAY:more"));
  expect(error).toMatchObject({
    code: "UNAVAILABLE",
    retryable: true,
    details: { limit: "tokens", perMinute: 20 },
  });
  expect(Number((error as unknown as { retryAfterMs: number }).retryAfterMs)).toBeGreaterThan(0);
});

it("warns once at each level of the plan's budget, admins only, also when looked at by many at once", async () => {
  await onPlan("dollar", "dollar");
  const scope = world.creel.app.door.scope(await world.creel.tenant("dollar"));
  const client = await world.client("dollar");
  await spend(scope, client, 820_000);
  const alert = await client.until((frame) => frame["event"] === "billing.alert" && levelOf(frame) === 80);
  expect(alert["payload"]).toMatchObject({
    kind: "budget",
    scope: "tenant",
    scopeId: "plan",
    limitMicros: 1_000_000,
  });
  const page = await api("dollar", "/api/billing");
  expect(page.json).toMatchObject({ alerts: [{ level: 80, scope: "tenant", scopeId: "plan" }] });
  await Promise.all(
    Array.from({ length: 10 }, () => chat(client, "SAY:x", { sessionKey: `agent:main:${randomUUID()}` })),
  );
  const levels = client.frames.filter((frame) => frame["event"] === "billing.alert").map(levelOf);
  expect(levels.toSorted()).toEqual([50, 80]);
});

it("warns anew at a level that a raised budget put out of reach, and of no other a second time", async () => {
  const scope = world.creel.app.door.scope(await world.creel.tenant("raised"));
  const client = await world.client("raised");
  const setBudget = (limitMicros: number) =>
    client.call("billing.budgets.set", { scope: "tenant", period: "month", limitMicros });
  const told = () =>
    client.frames.filter((frame) => frame["event"] === "billing.alert").map((frame) => levelOf(frame));
  const shown = async () => (await api("raised", "/api/billing")).json["alerts"] as { level: number }[];
  await setBudget(1_000_000);
  await spend(scope, client, 960_000);
  await client.until((frame) => frame["event"] === "billing.alert" && levelOf(frame) === 95);
  expect(told()).toEqual([50, 80, 95]);
  // Half of the new limit is used: that level is still reached, and nobody is told of it again.
  await setBudget(1_500_000);
  await vi.waitFor(async () => expect(await shown()).toMatchObject([{ level: 50 }]), { timeout: 5_000 });
  expect(told()).toEqual([50, 80, 95]);
  await spend(scope, client, 300_000);
  await client.until(
    (frame) => frame["event"] === "billing.alert" && limitOf(frame) === 1_500_000 && levelOf(frame) === 80,
  );
  expect(told()).toEqual([50, 80, 95, 80]);
  expect(await shown()).toMatchObject([{ level: 80, limitMicros: 1_500_000, name: "raised" }]);
  // What was reached keeps its name when the budget is taken away.
  await client.call("billing.budgets.set", { scope: "tenant", period: "month", limitMicros: null });
  expect(await shown()).toMatchObject([{ level: 80, name: "raised" }]);
}, 30_000);

it("looks at budgets when a tenant is put on another plan, without waiting for its next turn", async () => {
  await onPlan("resized", "dollar");
  const scope = world.creel.app.door.scope(await world.creel.tenant("resized"));
  const client = await world.client("resized");
  await spend(scope, client, 400_000);
  const { id } = await world.creel.tenant("resized");
  const operator = await makeOperator(world.creel);
  const pinned = await operator.send("PUT", `/operator/api/tenants/${id}/plan`, { plan: "halved" });
  expect(pinned.status).toBe(200);
  const alert = await client.until((frame) => frame["event"] === "billing.alert" && levelOf(frame) === 80);
  expect(alert["payload"]).toMatchObject({ scopeId: "plan", limitMicros: 500_000 });
  const { body } = await operator.send("GET", "/operator/api/plans");
  const counts = (body.plans as { id: string; tenants: number }[]).filter((plan) =>
    ["dollar", "halved"].includes(plan.id),
  );
  // Two tenants were put on "dollar" before, and one of them has left it.
  expect(Object.fromEntries(counts.map((plan) => [plan.id, plan.tenants]))).toEqual({ dollar: 1, halved: 1 });
});

it("answers people whatever is left for work that nobody waits for", async () => {
  await onPlan("penniless", "penniless");
  const client = await world.client("penniless");
  expect((await chat(client, "SAY:people are answered")).end).toMatchObject({ state: "final" });
});

it("stops a tenant whose session looks like a loop, says why, and lets it go on when an admin says so", async () => {
  const client = await world.client("loop");
  const send = (sessionKey = "agent:main:loop") =>
    client.call("chat.send", { sessionKey, message: "SAY:again", idempotencyKey: randomUUID() });
  for (let n = 0; n < 25; n++) await send();
  const error = await refusal(send());
  expect(error).toMatchObject({
    details: { code: "TURNS_STOPPED", reason: expect.stringContaining("agent:main:loop") },
  });
  expect((await refusal(send("agent:main:elsewhere"))).details).toMatchObject({ code: "TURNS_STOPPED" });
  await client.until((frame) => frame["event"] === "billing.alert");
  expect((await api("loop", "/api/billing")).json["breaker"]).toMatchObject({ reason: expect.any(String) });
  // Nobody else is stopped, and who may only write cannot lift it.
  expect((await chat(await world.client("calm"), "SAY:served")).end).toMatchObject({ state: "final" });
  expect((await api("loop", "/api/billing/breaker/resume", "POST", "readonly")).status).toBe(403);
  expect((await api("loop", "/api/billing/breaker/resume", "POST")).json).toEqual({ resumed: true });
  expect(await client.call("billing.breaker.resume", {})).toEqual({ resumed: false });
  await send("agent:main:elsewhere");
});

it("keeps a tenant on the terms it was put on, and changes plans on their day", async () => {
  const { plans, tenants } = world.creel.app;
  const { id } = await world.creel.tenant("dated");
  const later = Date.now() + 3_600_000;
  await plans.pin(id, { plan: "team", fromMs: 0 }, "test");
  await plans.pin(id, { plan: "free", fromMs: later }, "test");
  expect(await plans.of(id)).toMatchObject({ plan: { id: "team" }, untilMs: later });
  expect((await tenants.getById(id)).plan).toBe("team");
  const { plan: label } = await tenants.getById(id);
  expect(await plans.nameAt({ id, plan: label }, Date.now())).toBe("team");
  expect(await plans.nameAt({ id, plan: label }, later)).toBe("free");
  expect(await plans.nameAt({ id, plan: label }, Date.now() - 3_600_000)).toBe("unlimited");
  // Going back on it before its day takes it away.
  await plans.pin(id, { plan: "business", fromMs: 0 }, "test");
  expect(await plans.of(id)).toMatchObject({ plan: { id: "business" }, untilMs: null });
  await expect(plans.pin(id, { plan: "team", version: 9, fromMs: 0 }, "test")).rejects.toThrow(
    "no such plan",
  );
});

it("names the plan that holds for a tenant in its own row, also after one set for a later day began", async () => {
  const { plans, tenants } = world.creel.app;
  const { id, plan } = await tenants.create({ slug: "labelled" });
  expect(plan).toBe("unlimited");
  expect((await tenants.getById(id)).plan).toBe("unlimited");
  const soon = Date.now() + 300;
  await plans.pin(id, { plan: "team", fromMs: soon }, "test");
  expect((await tenants.getById(id)).plan).toBe("unlimited");
  await expect.poll(() => Date.now(), { interval: 50 }).toBeGreaterThan(soon);
  plans.forget(id);
  await plans.of(id);
  expect((await tenants.getById(id)).plan).toBe("team");
  // An older program's label for tenants on no plan is put right at the start; an operator's own words stay.
  const wrong = await tenants.create({ slug: "mislabelled", plan: "free" });
  const own = await tenants.create({ slug: "contract", plan: "Contract 17" });
  await plans.begin();
  expect((await tenants.getById(wrong.id)).plan).toBe("unlimited");
  expect((await tenants.getById(own.id)).plan).toBe("Contract 17");
  expect((await tenants.getById(id)).plan).toBe("team");
});

it("previews what a limit would have refused last month", async () => {
  expect((await api("dollar", "/api/billing/preview?limitMicros=5")).json).toMatchObject({
    wouldHaveBlocked: [],
    total: { calls: 0, costMicros: 0 },
  });
  for (const wrong of ["", "?limitMicros=-1", "?limitMicros=1.5", "?limitMicros=x"])
    expect((await api("dollar", `/api/billing/preview${wrong}`)).status).toBe(400);
});

function limitOf(frame: Record<string, unknown>): number {
  return Number((frame["payload"] as { limitMicros?: number }).limitMicros);
}

function levelOf(frame: Record<string, unknown>): number {
  return Number((frame["payload"] as { level?: number }).level);
}

/** Have a cost in the month's books, and a turn after which budgets are looked at. */
async function spend(scope: TenantScope, client: SocketClient, amountMicros: number): Promise<void> {
  const period = new Date().toISOString().slice(0, 7);
  await runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, () =>
    scope.db.write({
      statements: [
        {
          sql: `INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms, period)
            VALUES ('test', ?, 0, 'charge', 'budget', 'spent', ?, ?, ?)`,
          params: [randomUUID(), amountMicros, Date.now(), period],
        },
      ],
    }),
  );
  await chat(client, "SAY:x");
}
