/**
 * Tools that cost something, over the real socket with a streaming provider: what a call costs is held back before it
 * begins, so that no budget is passed, and only calls that were carried out are charged.
 */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Ledger, Transfer } from "#src/billing/ledger/ledger.ts";
import { verifyLedger } from "#src/billing/ledger/verify.ts";
import { runInContext } from "#src/tenancy/context.ts";
import { callApi } from "../support/api-call.ts";
import { makeOperator } from "../support/operator.ts";
import { makePerson, type Person } from "../support/person.ts";
import { agentOf, chat, history, ProviderWorld, until } from "../support/provider-world.ts";
import { SocketClient } from "../support/socket-client.ts";

type Json = Record<string, unknown>;
type Lines = Awaited<ReturnType<Ledger["list"]>>["transfers"];

const PRICE = 1_000_000;
const TOOLS = ["workspace_list", "workspace_read", "shell"];

let world: ProviderWorld;
let operator: Person;
let slug: string;
let client: SocketClient;
let bearer: string;

beforeAll(async () => {
  world = await ProviderWorld.start();
  operator = await makeOperator(world.creel);
  await setPrices([...TOOLS, "web_fetch"], PRICE);
});

afterAll(async () => {
  await world.close();
});

async function setPrices(names: readonly string[], micros: number): Promise<void> {
  const fromDay = new Date().toISOString().slice(0, 10);
  const rows = names.map((name) => ({ kind: "tool", name, fromDay, input: micros, source: "test" }));
  expect((await operator.send("PUT", "/operator/api/prices", { rows })).status).toBe(200);
}

/** Another tenant, with a budget of this many micro-units or none. */
async function begin(limitMicros: number | null): Promise<void> {
  slug = `t-${randomUUID().slice(0, 8)}`;
  client = await world.client(slug);
  bearer = await world.creel.token(slug, "owner", "owner");
  await client.call("agents.list", {});
  await world.allow(slug, TOOLS);
  if (limitMicros !== null) await setBudget({ scope: "tenant", period: "month", limitMicros });
}

const api = (method: string, path: string, body?: unknown) =>
  callApi(world.creel.url, method, `/t/${slug}${path}`, { bearer }, body);

async function setBudget(body: Json): Promise<void> {
  expect((await api("PUT", "/api/budgets", body)).status).toBe(200);
}

/** Lines of tools of a run. */
async function toolLines(run: string): Promise<Transfer[]> {
  const answer = await api("GET", `/api/ledger?run=${run}&limit=500`);
  return (answer.json["transfers"] as Lines).filter((line) => line.source === "tool");
}

/** The same in words. */
async function shapeOf(run: string): Promise<string[]> {
  return (await toolLines(run)).map(({ kind, from, to, amountMicros }) => {
    return `${kind} ${from.replace(/:2.*/, "")}>${to.replace(/:2.*/, "")} ${amountMicros}`;
  });
}

/** What the model was told of its calls: whether each is an error, and its words. */
async function results(sessionKey = "main"): Promise<[boolean, string][]> {
  const { messages } = await history(client, { sessionKey, limit: 1_000 });
  return messages
    .filter((row) => row["role"] === "toolResult")
    .map((row) => [row["isError"] === true, (row["content"] as { text: string }[])[0]?.text ?? ""]);
}

async function budget(): Promise<{ spentMicros: number; reservedMicros: number }> {
  const { budgets } = (await api("GET", "/api/budgets")).json as { budgets: Json[] };
  return budgets[0] as never;
}

/** The whole ledger holds, and nothing is held back. */
async function sound(): Promise<void> {
  const scope = world.creel.app.door.scope(await world.creel.tenant(slug));
  const context = { tenantId: scope.tenantId, principal: null, requestId: "test" };
  const verdict = await runInContext(context, () => verifyLedger(scope));
  expect(verdict.problem).toBeNull();
  expect(verdict.reservedMicros).toBe(0);
}

async function toolEvents(run: string): Promise<{ price_origin: string; cost_micros: number }[]> {
  const { usage } = await world.stored(slug);
  return usage.filter((event) => event.run_id === run && event.kind === "tool") as never;
}

const HELD = `reserve budget:tenant>reserved ${PRICE}`;
const USED = `settle reserved>spent ${PRICE}`;
const BACK = `release reserved>budget:tenant ${PRICE}`;

describe("a call of a tool with a price", () => {
  it("holds its price back, and settles it with its result", async () => {
    await begin(10 * PRICE);
    const { key, end } = await chat(client, "TOOLCALL:workspace_list {}");
    expect(end["state"]).toBe("final");
    expect(await shapeOf(key)).toEqual([HELD, USED]);
    const [reserve, settle] = await toolLines(key);
    expect(reserve).toMatchObject({ runId: key, details: { tool: "workspace_list" } });
    expect(settle).toMatchObject({ linkedTo: reserve?.id, details: { tool: "workspace_list" } });
    expect(await toolEvents(key)).toMatchObject([{ cost_micros: PRICE }]);
    await sound();
  });

  it("is charged without a reservation where no budget applies", async () => {
    await begin(null);
    const { key } = await chat(client, "TOOLCALL:workspace_list {}");
    expect(await shapeOf(key)).toEqual([`charge budget:tenant>spent ${PRICE}`]);
    expect(await toolLines(key)).toMatchObject([{ details: { tool: "workspace_list" } }]);
    await sound();
  });

  it("never passes the budget: of sixteen in one turn those that fit are carried out, the model is told of the rest", async () => {
    const limitMicros = 3 * PRICE + PRICE / 2;
    await begin(limitMicros);
    const { key, end } = await chat(client, "TOOLCALL:workspace_list*16 {}");
    expect(end["state"]).toBe("final");
    expect(await shapeOf(key)).toEqual([HELD, USED, HELD, USED, HELD, USED]);
    const told = await results();
    expect(told.map(([isError]) => isError)).toEqual([...Array(3).fill(false), ...Array(13).fill(true)]);
    expect(told[3]?.[1]).toMatch(
      /^Not carried out: The monthly budget of this organization does not cover a call of workspace_list\./,
    );
    const { spentMicros, reservedMicros } = await budget();
    expect(spentMicros).toBeLessThanOrEqual(limitMicros);
    expect(spentMicros).toBe(3 * PRICE + 2 * 160);
    expect(reservedMicros).toBe(0);
    // Only what began is on record as begun.
    const { steps } = await world.stored(slug);
    expect(steps.map((step) => step.state)).toEqual(["done", "done", "done"]);
    await sound();
  });

  it("ends the turn with the budget's refusal when nothing is left for the answer", async () => {
    await begin(PRICE + 200);
    const { key, end } = await chat(client, "TOOLCALL:workspace_list {}");
    expect(end).toMatchObject({ state: "error", errorDetail: { code: "budget_exhausted" } });
    expect(await shapeOf(key)).toEqual([HELD, USED]);
    expect(await budget()).toMatchObject({ spentMicros: PRICE + 160, reservedMicros: 0 });
    await sound();
  });

  it("holds back and pays the price that was told when it began, whatever is set meanwhile", async () => {
    await begin(10 * PRICE);
    const key = randomUUID();
    const message = 'TOOLCALL:shell {"command":"sleep 1; echo slept"}';
    await client.call("chat.send", { sessionKey: "main", message, idempotencyKey: key });
    await until(client, key, "agent", (payload) => payload["stream"] === "tool");
    expect(await shapeOf(key)).toEqual([HELD]);
    await setPrices(["shell"], 3 * PRICE);
    try {
      expect(await client.terminal(key)).toMatchObject({ state: "final" });
      expect(await shapeOf(key)).toEqual([HELD, USED]);
      await sound();
    } finally {
      await setPrices(["shell"], PRICE);
    }
  });

  it("counts against each budget that applies, and is refused by the narrowest", async () => {
    await begin(100 * PRICE);
    await setBudget({ scope: "agent", scopeId: "main", period: "total", limitMicros: PRICE - 1 });
    const { key } = await chat(client, "TOOLCALL:workspace_list {}");
    expect(await shapeOf(key)).toEqual([]);
    expect((await results())[0]?.[1]).toContain("The budget of this agent does not cover");
    await sound();
  });
});

describe("a call that is not carried out costs nothing, when", () => {
  it.each([
    ["there is no such tool for the agent", "TOOLCALL:web_fetch {}", "There is no tool"],
    ["its arguments are wrong", 'TOOLCALL:workspace_read {"path":7}', "The arguments are wrong"],
  ])("%s", async (_when, message, words) => {
    await begin(10 * PRICE);
    const { key, end } = await chat(client, message);
    expect(end["state"]).toBe("final");
    expect(await results()).toEqual([[true, expect.stringContaining(words)]]);
    expect(await toolLines(key)).toEqual([]);
    expect(await toolEvents(key)).toMatchObject([{ price_origin: "uncharged", cost_micros: 0 }]);
    await sound();
  });

  it("it is one too many of its step", async () => {
    await begin(null);
    const { key } = await chat(client, "TOOLCALL:workspace_list*20 {}");
    expect(await toolLines(key)).toHaveLength(16);
    const events = await toolEvents(key);
    expect(events.map((event) => event.price_origin === "uncharged")).toEqual([
      ...Array(16).fill(false),
      ...Array(4).fill(true),
    ]);
    await sound();
  });

  it("it was stopped before it began; the one that worked is paid for", async () => {
    await begin(10 * PRICE);
    const key = randomUUID();
    const message = 'TOOLCALL:shell*2 {"command":"sleep 20"}';
    await client.call("chat.send", { sessionKey: "main", message, idempotencyKey: key });
    await until(client, key, "agent", (payload) => payload["stream"] === "tool");
    await client.call("chat.abort", { sessionKey: "main", runId: key });
    expect(await client.terminal(key)).toMatchObject({ state: "aborted" });
    const told = await results();
    expect(told.map(([, text]) => text)).toEqual([
      "Stopped before it finished; its effect is uncertain.",
      "Stopped before it began.",
    ]);
    expect(await shapeOf(key)).toEqual([HELD, USED]);
    await sound();
  });
});

it("that fails by itself gives back what it held", async () => {
  await begin(10 * PRICE);
  const { key, end } = await chat(client, 'TOOLCALL:workspace_read {"path":"nowhere.md"}');
  expect(end["state"]).toBe("final");
  expect((await results())[0]?.[0]).toBe(true);
  expect(await shapeOf(key)).toEqual([HELD, BACK]);
  expect(await toolEvents(key)).toMatchObject([{ price_origin: "uncharged", cost_micros: 0 }]);
  expect((await budget()).reservedMicros).toBe(0);
  await sound();
});

it("that was metered again is paid for once", async () => {
  await begin(10 * PRICE);
  const { key } = await chat(client, "TOOLCALL:workspace_list {}");
  const before = await toolLines(key);
  const scope = world.creel.app.door.scope(await world.creel.tenant(slug));
  const context = { tenantId: scope.tenantId, principal: null, requestId: "test" };
  const columns = (
    await runInContext(context, () =>
      scope.db.list<{ name: string }>(
        "SELECT name FROM pragma_table_info('usage_events') WHERE name <> 'seq'",
      ),
    )
  ).map(({ name }) => name);
  const again = `INSERT INTO usage_events (${columns}) SELECT ${columns} FROM usage_events WHERE run_id = ?
    ON CONFLICT (run_id, step, kind, ordinal) DO NOTHING`;
  await runInContext(context, () => scope.db.write({ statements: [{ sql: again, params: [key] }] }));
  expect(await toolLines(key)).toEqual(before);
  await sound();
});

describe("a key's budget", () => {
  /** Two keys of one person, connected. */
  async function twoKeys(): Promise<[SocketClient, SocketClient, string]> {
    const tenant = await world.creel.tenant(slug);
    const person = await makePerson(world.creel, "Pat", slug, "owner");
    const clients: SocketClient[] = [];
    const ids: string[] = [];
    for (const name of ["first", "second"]) {
      const draft = { role: "owner", name, maker: { kind: "machine" }, userId: person.userId } as const;
      const made = await world.creel.app.auth.tokens.create(tenant.id, draft);
      const one = new SocketClient(world.creel.wsUrl);
      await one.connect(made.secret, { caps: ["tool-events"] });
      await one.call("sessions.subscribe", {});
      clients.push(one);
      ids.push(made.token.id);
    }
    return [clients[0]!, clients[1]!, ids[1]!];
  }

  /** A run of the first key, and what the second says while its tool works. */
  async function speakInto(first: SocketClient, second: SocketClient, mark: string): Promise<Json> {
    const sessionKey = `steer-${mark}`;
    const [mine, theirs] = [randomUUID(), randomUUID()];
    const message = 'TOOLCALL:shell {"command":"sleep 0.4; echo slept"}';
    await first.call("chat.send", { sessionKey, message, idempotencyKey: mine });
    await until(first, mine, "agent", (payload) => payload["stream"] === "tool");
    await second.call("chat.send", { sessionKey, message: `SAY:${mark}`, idempotencyKey: theirs });
    expect(await first.terminal(mine)).toMatchObject({ state: "final" });
    return second.terminal(theirs);
  }

  it("is not passed by joining a run of another key; without one, two keys of a person still join", async () => {
    await begin(null);
    const [first, second, keyId] = await twoKeys();
    try {
      expect(await speakInto(first, second, "free")).toMatchObject({ state: "final", stopReason: "steered" });
      await setBudget({ scope: "key", scopeId: keyId, period: "month", limitMicros: 0 });
      const refused = { state: "error", errorDetail: { code: "budget_exhausted", scope: "key" } };
      expect(await speakInto(first, second, "bound")).toMatchObject(refused);
      expect(world.mock.requests.some((one) => JSON.stringify(one.body).includes("SAY:bound"))).toBe(false);
      // Nor is a key's own budget used for what another says.
      await setBudget({ scope: "key", scopeId: keyId, period: "month", limitMicros: 100 * PRICE });
      const waited = await speakInto(second, first, "apart");
      expect(waited).toMatchObject({ state: "final", stopReason: "stop" });
      // The same key joins its own run as before.
      expect(await speakInto(second, second, "own")).toMatchObject({ stopReason: "steered" });
    } finally {
      first.close();
      second.close();
    }
  });
});

it("shows its calls to whoever watches as any other", async () => {
  await begin(PRICE / 2);
  const { key } = await chat(client, "TOOLCALL:workspace_list {}");
  const shown = agentOf(client, key, "tool").map((data) => [data["phase"], data["isError"] ?? null]);
  expect(shown.at(0)?.[0]).toBe("start");
  expect(shown.at(-1)).toEqual(["result", true]);
});

// The last one: whoever was connected is not afterwards.
it("cut by our own stop is not charged, and what it held comes back", async () => {
  await begin(10 * PRICE);
  const key = randomUUID();
  const message = 'TOOLCALL:shell {"command":"sleep 20"}';
  await client.call("chat.send", { sessionKey: "main", message, idempotencyKey: key });
  await until(client, key, "agent", (payload) => payload["stream"] === "tool");
  await world.restart();
  client = await world.client(slug);
  await client.call("agent.wait", { runId: key, timeoutMs: 20_000 });
  expect((await toolLines(key)).map((line) => line.kind)).toEqual(["reserve", "release"]);
  await sound();
});
