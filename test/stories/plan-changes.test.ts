/** What follows when plans change or refuse, and when turns were stopped: who is told, what waits, what is counted. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PlanBeginnings } from "#src/billing/plans/plan-beginnings.ts";
import { PlanBook } from "#src/billing/plans/plan-book.ts";
import { type PlanDraft, planSchema } from "#src/config/plan-schema.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { callApi } from "../support/api-call.ts";
import { makeOperator } from "../support/operator.ts";
import { agentOf, chat, endsOf, history, ProviderWorld } from "../support/provider-world.ts";
import { RpcError, type SocketClient } from "../support/socket-client.ts";
import { startApp } from "../support/start-app.ts";

const PLANS: Record<string, Omit<PlanDraft, "name">> = {
  cheap: { monthlyBudgetMicros: 1_000_000 },
  tight: { monthlyBudgetMicros: 1 },
  serial: { concurrentTurns: 1 },
  pair: { concurrentTurns: 2 },
};

let world: ProviderWorld;

beforeAll(async () => {
  const plans = Object.fromEntries(
    Object.entries(PLANS).map(([id, draft]) => [id, planSchema.parse({ name: id, ...draft })]),
  );
  world = await ProviderWorld.start({ config: { plans, turnsPerSession: 6, turnsPerTenant: 20 } });
});

afterAll(() => world.close());

async function onPlan(slug: string, plan: string, fromMs = 0): Promise<void> {
  const { id } = await world.creel.tenant(slug);
  await world.creel.app.plans.pin(id, { plan, fromMs }, "test");
}

async function billing(slug: string) {
  const bearer = await world.creel.token(slug, "owner", randomUUID());
  return (await callApi(world.creel.url, "GET", `/t/${slug}/api/billing`, { bearer })).json as {
    plan: { id: string };
    breaker: { reason: string } | null;
    alerts: { level: number; limitMicros: number; scopeId: string }[];
  };
}

async function refusal(work: Promise<unknown>): Promise<RpcError["error"]> {
  const thrown = await work.catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(RpcError);
  return (thrown as RpcError).error;
}

const levelOf = (frame: Record<string, unknown>) => (frame["payload"] as { level?: number }).level;
const isAlert = (level: number) => (frame: Record<string, unknown>) =>
  frame["event"] === "billing.alert" && levelOf(frame) === level;

describe("turns that were accepted before they were stopped", () => {
  const begun = (client: SocketClient, keys: readonly string[]) =>
    keys.filter((key) => agentOf(client, key, "lifecycle").some((data) => data["phase"] === "start"));

  it("begin no more, also after a restart, and are all answered once an admin lets them go on", async () => {
    let client = await world.client("held");
    const keys: string[] = [];
    const send = async (message: string) => {
      const idempotencyKey = randomUUID();
      await client.call("chat.send", {
        sessionKey: "agent:main:x",
        message,
        queueMode: "followup",
        idempotencyKey,
      });
      keys.push(idempotencyKey);
    };
    await send("SLOW:20 first");
    for (let n = 0; n < 5; n++) await send(`SAY:${n}`);
    expect((await refusal(send("SAY:too much"))).details).toMatchObject({ code: "TURNS_STOPPED" });
    expect(await client.terminal(keys[0] ?? "")).toMatchObject({ state: "final" });
    // Another organization's turn in between: what would begin had the time to.
    expect((await chat(await world.client("calm"), "SAY:x")).end).toMatchObject({ state: "final" });
    expect(begun(client, keys)).toEqual([keys[0]]);
    const waiting = (await history(client, { sessionKey: "agent:main:x" })).pendingInputs.items;
    expect(waiting.map((item) => item["runId"])).toEqual(keys.slice(1));
    await world.restart();
    client = await world.client("held");
    expect((await chat(await world.client("calm"), "SAY:y")).end).toMatchObject({ state: "final" });
    expect(begun(client, keys)).toEqual([]);
    expect(await client.call("billing.breaker.resume", {})).toEqual({ resumed: true });
    for (const key of keys.slice(1)) {
      expect(await client.terminal(key)).toMatchObject({ state: "final" });
      expect(endsOf(client, key)).toHaveLength(1);
    }
    const { messages } = await history(client, { sessionKey: "agent:main:x", limit: 100 });
    expect(messages.filter((message) => message["role"] === "user")).toHaveLength(6);
    expect((await billing("held")).breaker).toBeNull();
  }, 60_000);

  it("can be given up while they wait", async () => {
    const client = await world.client("given-up");
    const { id } = await world.creel.tenant("given-up");
    const first = randomUUID();
    const second = randomUUID();
    const send = (idempotencyKey: string, message: string) =>
      client.call("chat.send", { sessionKey: "main", message, queueMode: "followup", idempotencyKey });
    await send(first, "SLOW:20 x");
    await send(second, "SAY:never");
    await world.creel.app.plans.stop(id, "for a test");
    await client.terminal(first);
    expect(await client.call("chat.abort", { sessionKey: "main" })).toMatchObject({ runIds: [second] });
    expect(await client.terminal(second)).toMatchObject({ state: "aborted" });
  });
});

it("stops a loop over ever new sessions, by protocol or by HTTP, and no other tenant", async () => {
  const client = await world.client("fresh-loop");
  const bearer = await world.creel.token("fresh-loop", "owner", randomUUID());
  const complete = () =>
    callApi(
      world.creel.url,
      "POST",
      "/t/fresh-loop/v1/chat/completions",
      { bearer },
      {
        model: "openclaw/main",
        messages: [{ role: "user", content: "SAY:x" }],
      },
    );
  for (let n = 0; n < 10; n++) {
    await client.call("chat.send", {
      sessionKey: `agent:main:z${n}`,
      message: "SAY:x",
      idempotencyKey: randomUUID(),
    });
    expect((await complete()).status).toBe(200);
  }
  const stopped = await complete();
  expect([stopped.status, stopped.json["error"]]).toMatchObject([409, { code: "turns_stopped" }]);
  expect((await billing("fresh-loop")).breaker?.reason).toContain("More than 20 turns began within a minute");
  expect((await billing("calm")).breaker).toBeNull();
});

it("makes waiting turns at once when a larger plan lets it, without one that ends", async () => {
  await onPlan("upgraded", "serial");
  const client = await world.client("upgraded");
  const hung = { sessionKey: "agent:main:a", message: "HANG", idempotencyKey: randomUUID() };
  await client.call("chat.send", hung);
  const waiting = chat(client, "SAY:second", { sessionKey: "agent:main:b" });
  await chat(await world.client("calm"), "SAY:z");
  expect(client.events("chat").filter((event) => event["state"] === "final")).toEqual([]);
  await onPlan("upgraded", "pair");
  expect((await waiting).end).toMatchObject({ state: "final" });
  await client.call("chat.abort", { sessionKey: "agent:main:a" });
});

describe("a smaller plan", () => {
  it("that refuses a turn warns of it, once, and says who can do what", async () => {
    await onPlan("down", "cheap");
    const client = await world.client("down");
    await chat(client, "SAY:hello");
    expect((await billing("down")).alerts).toEqual([]);
    await onPlan("down", "tight");
    for (let n = 0; n < 2; n++) {
      const { end } = await chat(client, "SAY:again");
      expect(end["errorMessage"]).toMatch(
        /^⚠️ The plan's monthly budget of this organization is used up\. It begins anew on .*Z\. To go on before, an admin can top up or redeem a code under Billing, or ask whoever runs the platform for a larger plan\.$/,
      );
    }
    await client.until(isAlert(100));
    expect((await billing("down")).alerts).toMatchObject([{ level: 100, limitMicros: 1, scopeId: "plan" }]);
    expect(client.frames.filter(isAlert(100))).toHaveLength(1);
  });

  it("that was set for a later day warns when the day comes, also when nobody uses anything", async () => {
    const { door, plans, tenants, log } = world.creel.app;
    await onPlan("dated", "cheap");
    const client = await world.client("dated");
    await chat(client, "SAY:hello");
    const { id } = await world.creel.tenant("dated");
    const atMs = Date.now() + 3_600_000;
    await plans.pin(id, { plan: "tight", fromMs: atMs }, "test");
    const looked: string[] = [];
    const control = Reflect.get(plans, "deps").control;
    let nowMs = atMs - 1;
    const begin = () =>
      new PlanBeginnings({
        ...{ control, clock: { ...systemClock, nowMs: () => nowMs }, log },
        plans: { forget: () => undefined, of: async () => ({ plan: { terms: PLANS["tight"] } }) as never },
        scopeOf: async (tenantId) => door.scope(await tenants.getById(tenantId)),
        look: async ({ tenantId }) => looked.push(tenantId),
      }).tick();
    await begin();
    expect(looked.filter((one) => one === id)).toHaveLength(1);
    looked.length = 0;
    await begin();
    expect(looked).toEqual([]);
    nowMs = atMs + 60_000;
    await begin();
    // A process that comes after does not look again.
    await begin();
    expect(looked).toEqual([id]);
  });
});

it("changes a tenant's plan as often as it takes, and still knows what held on every day", async () => {
  const { plans } = world.creel.app;
  const tenant = await world.creel.tenant("changeable");
  const control = Reflect.get(plans, "deps").control;
  const old = Array.from({ length: 150 }, (_, n) => ({
    sql: "INSERT INTO tenant_plans SELECT ?, ?, plan, 1, terms, 0, 'test' FROM (SELECT ? AS plan, '{\"name\":\"x\"}' AS terms)",
    params: [tenant.id, 1_000 + n, n % 2 === 0 ? "cheap" : "tight"],
  }));
  await control.write({ statements: old });
  await onPlan("changeable", "pair");
  const later = Date.now() + 3_600_000;
  await onPlan("changeable", "serial", later);
  expect(await plans.of(tenant.id)).toMatchObject({ plan: { id: "pair" }, untilMs: later });
  expect(await plans.nameAt(tenant, 1_000)).toBe("cheap");
  expect(await plans.nameAt(tenant, 1_149)).toBe("tight");
  expect(await plans.nameAt(tenant, 999)).toBe("unlimited");
  expect(await plans.nameAt(tenant, later)).toBe("serial");
  expect(await plans.listPins(tenant.id)).toHaveLength(100);
});

it("counts tenants by the plan in force, those that nobody put on one too, and planned ones apart", async () => {
  const operator = await makeOperator(world.creel);
  const counts = async () => {
    const { body } = await operator.send("GET", "/operator/api/plans");
    const plans = body.plans as { id: string; version: number; tenants: number; planned: number }[];
    return Object.fromEntries(plans.map((plan) => [plan.id, [plan.tenants, plan.planned]]));
  };
  const before = await counts();
  await world.creel.tenant("count-none");
  await onPlan("count-pinned", "pair");
  await onPlan("count-later", "pair", Date.now() + 3_600_000);
  await onPlan("count-later", "serial", Date.now() + 7_200_000);
  await onPlan("count-gone", "pair");
  const gone = await world.creel.tenant("count-gone");
  await world.creel.app.tenants.markDeleting(gone.id, { reason: "for a test" });
  const after = await counts();
  const grown = (id: string) => [0, 1].map((at) => (after[id]?.[at] ?? 0) - (before[id]?.[at] ?? 0));
  expect({ none: grown("unlimited"), pair: grown("pair"), serial: grown("serial") }).toEqual({
    none: [2, 0],
    pair: [1, 1],
    serial: [0, 1],
  });
});

describe("an operator who changes a tenant", () => {
  it("puts it on a plan there is, on record, and on no other", async () => {
    const operator = await makeOperator(world.creel);
    const { id } = await world.creel.tenant("renamed-plan");
    const path = `/operator/api/tenants/${id}`;
    const wrong = await operator.send("PATCH", path, { plan: "Chep", name: "Never" });
    expect([wrong.status, wrong.body.error]).toMatchObject([
      400,
      { code: "invalid_request", message: expect.stringMatching(/no such plan.*cheap.*team/) },
    ]);
    expect(await world.creel.app.tenants.getById(id)).toMatchObject({
      plan: "unlimited",
      displayName: "renamed-plan",
    });
    const made = await operator.send("POST", "/operator/api/tenants", {
      slug: "never-made",
      name: "N",
      plan: "Team",
    });
    expect(made.status).toBe(400);
    expect(await world.creel.app.tenants.findBySlug("never-made")).toBeUndefined();
    const right = await operator.send("PATCH", path, { plan: "cheap" });
    expect([right.status, right.body.plan]).toEqual([200, "cheap"]);
    expect((await billing("renamed-plan")).plan).toMatchObject({ id: "cheap" });
    // The record is part of the commit, and reaches the log a moment later.
    const actions = async () =>
      ((await operator.send("GET", path)).body.history as { action: string }[]).map(({ action }) => action);
    await expect.poll(actions, { timeout: 10_000 }).toContain("tenant.plan_set");
  });
});

describe("a version that the file and an operator both made", () => {
  const terms = (name: string, monthlyBudgetMicros: number) => ({ version: 2, name, monthlyBudgetMicros });

  async function operatorsFree(own: object) {
    const creel = await startApp();
    const control = Reflect.get(creel.app.plans, "deps").control;
    const sql =
      "INSERT INTO plans (id, version, terms, made_at_ms, made_by) VALUES ('free', 2, ?, 0, 'operator')";
    await control.write({ statements: [{ sql, params: [JSON.stringify(own)] }] });
    return { creel, control };
  }

  it("stops the start when their terms differ, with what to write, and does not when they are the same", async () => {
    const { creel, control } = await operatorsFree(planSchema.parse(terms("Operator's", 1)));
    const bookOf = (draft: PlanDraft) =>
      new PlanBook({ control, clock: systemClock, configured: { free: planSchema.parse(draft) } });
    await expect(bookOf(terms("File's", 9)).assertDistinct()).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringMatching(/^plans\.list\.free: an operator made version 2 .*version: 3/),
    });
    await bookOf(terms("Operator's", 1)).assertDistinct();
    await bookOf({ ...terms("File's", 9), version: 3 }).assertDistinct();
    const { stateDir } = creel;
    await creel.app.close();
    const config = { plans: { free: planSchema.parse(terms("File's", 9)) }, defaultPlan: "free" };
    await expect(startApp({ stateDir, config })).rejects.toThrow(/plans\.list\.free/);
    await creel.close();
  });
});
