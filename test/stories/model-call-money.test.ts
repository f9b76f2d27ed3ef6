/** What a call of a model costs when something about it is odd: attachments, prices set meanwhile, cuts, stops, wild counts. */
import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { callApi } from "../support/api-call.ts";
import { type OddModel, RAW_TEXT, startOddModel } from "../support/odd-model.ts";
import { makeOperator } from "../support/operator.ts";
import type { Person } from "../support/person.ts";
import type { StoredUsage } from "../support/provider-ledger.ts";
import { chat, ProviderWorld, until } from "../support/provider-world.ts";
import type { SocketClient } from "../support/socket-client.ts";

type Json = Record<string, unknown>;
type Line = { kind: string; amountMicros: number; details: Json };
type Event = StoredUsage & Record<string, number | string>;

const RICH = 1_000_000_000_000;
const CEILING = 4_096;
const COST = { input: 1, output: 2, cacheRead: 1, cacheWrite: 0 };

let odd: OddModel;
let world: ProviderWorld;
let operator: Person;

beforeAll(async () => {
  odd = await startOddModel();
  const models = [{ id: "odd-1", name: "Odd", contextWindow: 128_000, maxTokens: CEILING, cost: COST }];
  world = await ProviderWorld.start({
    mock: { pieceDelayMs: 1 },
    model: { cost: COST },
    moreModels: [{ id: "mock-2", name: "Mock 2", contextWindow: 128_000, maxTokens: CEILING, cost: COST }],
    providers: { odd: { baseUrl: odd.baseUrl, apiKey: "k", models } },
  });
  operator = await makeOperator(world.creel);
});

afterAll(async () => {
  await world.close();
  await odd.close();
});

async function api(slug: string, method: string, path: string, body?: unknown) {
  const bearer = await world.creel.token(slug, "owner", "owner");
  return callApi(world.creel.url, method, `/t/${slug}${path}`, { bearer }, body);
}

/** A client of a tenant; with a budget that covers everything, or without any. */
async function enter(slug: string, hasBudget: boolean): Promise<SocketClient> {
  const client = await world.client(slug);
  await client.call("agents.list", {});
  const limitMicros = hasBudget ? RICH : null;
  const set = await api(slug, "PUT", "/api/budgets", { scope: "tenant", period: "month", limitMicros });
  expect(set.status).toBe(200);
  return client;
}

/** One turn in a conversation of its own. */
async function ask(client: SocketClient, model: string, message: string, params: Json = {}) {
  const sessionKey = `agent:main:${randomUUID()}`;
  await client.call("sessions.create", { key: sessionKey, model });
  return chat(client, message, { sessionKey, ...params });
}

async function linesOf(slug: string, run: string): Promise<Line[]> {
  return (await api(slug, "GET", `/api/ledger?run=${run}&limit=500`)).json["transfers"] as Line[];
}

async function kindsOf(slug: string, run: string): Promise<string[]> {
  return (await linesOf(slug, run)).map(({ kind, amountMicros }) =>
    kind === "charge" || kind === "settle" ? `${kind} ${amountMicros}` : kind,
  );
}

async function eventsOf(slug: string, run: string): Promise<Event[]> {
  const { usage } = await world.stored(slug);
  return usage.filter((event) => event.run_id === run && event.kind === "model") as Event[];
}

describe.each([
  ["a file that no model opens", "application/pdf", randomBytes(1_200_000), 5_000],
  ["a picture for a model that sees none", "image/png", randomBytes(1_200_000), 5_000],
  ["a text longer than what is shown", "text/plain", Buffer.from("lorem ipsum ".repeat(100_000)), 21_000],
])("%s", (_what, mimeType, bytes, mostTokens) => {
  const slug = "files";
  const attachments = [{ type: "file", mimeType, fileName: "a.bin", content: bytes.toString("base64") }];

  it("counts as what is sent, in estimates, reservations, stopped and later turns", async () => {
    const client = await enter(slug, true);
    const sessionKey = `agent:main:${randomUUID()}`;
    const first = await chat(client, "NOUSAGE hello", { sessionKey, attachments });
    const sent = world.mock.requests.at(-1)?.body;
    const [event] = await eventsOf(slug, first.key);
    expect(event).toMatchObject({ is_exact: 0, cost_micros: expect.any(Number) });
    expect(event?.input_tokens).toBeLessThan(mostTokens);
    // All that is sent in bytes, and a little for each message and tool.
    const parts = (sent?.messages?.length ?? 0) + (sent?.tools?.length ?? 0) + 20;
    const most = Buffer.byteLength(JSON.stringify(sent)) + 64 * parts + CEILING * 2;
    const [held] = await linesOf(slug, first.key);
    expect(held).toMatchObject({ kind: "reserve" });
    expect(held?.amountMicros).toBeLessThanOrEqual(most);
    const key = randomUUID();
    await client.call("chat.send", { sessionKey, message: `HANG ${key}`, idempotencyKey: key, attachments });
    await world.mock.waitFor((one) => one.lastUserText.includes(key));
    await client.call("chat.abort", { sessionKey, runId: key });
    const [stopped, ...more] = await eventsOf(slug, key);
    expect(stopped?.input_tokens).toBeLessThan(mostTokens * 2);
    expect([stopped?.purpose, ...more]).toEqual(["turn"]);
  });
});

describe.each([
  ["under a budget", true],
  ["without one", false],
])("a price that is set while a call goes on, %s", (_name, hasBudget) => {
  it("holds for the next one", async () => {
    const slug = hasBudget ? "prices" : "prices-free";
    const client = await enter(slug, hasBudget);
    const sessionKey = `agent:main:${randomUUID()}`;
    await client.call("sessions.create", { key: sessionKey, model: "mock/mock-2" });
    const before = await chat(client, "hello", { sessionKey });
    const [was] = await eventsOf(slug, before.key);
    const key = randomUUID();
    await client.call("chat.send", { sessionKey, message: "SLOW:60", idempotencyKey: key });
    await until(client, key, "chat", (payload) => payload["state"] === "delta");
    const price = { kind: "model", provider: "mock", name: "mock-2", source: "test", output: 15_000_000 };
    const fromDay = new Date().toISOString().slice(0, 10);
    const input = hasBudget ? 3_000_000_000 : 4_000_000_000;
    const rows = [{ ...price, fromDay, input }];
    expect((await operator.send("PUT", "/operator/api/prices", { rows })).status).toBe(200);
    expect(await client.terminal(key)).toMatchObject({ state: "final" });
    const [event] = await eventsOf(slug, key);
    expect(event).toMatchObject({ cost_micros: was?.["cost_micros"], price_origin: was?.["price_origin"] });
    const lines = await linesOf(slug, key);
    expect(lines.map((line) => line.kind)).toEqual(hasBudget ? ["reserve", "settle", "release"] : ["charge"]);
    const next = await chat(client, "hello", { sessionKey });
    const [after] = await eventsOf(slug, next.key);
    expect(after).toMatchObject({ cost_micros: (120 * input + 20 * 15_000_000) / 1_000_000 });
    expect(after?.["price_origin"]).toMatch(/^row:/);
  });
});

describe("a stream that is cut while a tool's call is written", () => {
  it("has begun: it is asked once, and what arrived is charged", async () => {
    const client = await enter("cut", true);
    const { key, end } = await ask(client, "odd/odd-1", "CUTCALL please");
    expect(end).toMatchObject({ state: "error", errorDetail: { failure: "interrupted" } });
    expect(odd.calls.filter((text) => text.includes("CUTCALL"))).toHaveLength(1);
    const [event, ...more] = await eventsOf("cut", key);
    expect(more).toEqual([]);
    expect(event).toMatchObject({ is_exact: 0 });
    expect(event?.output_tokens).toBeGreaterThan(100);
    expect(await kindsOf("cut", key)).toEqual(["reserve", `settle ${event?.["cost_micros"]}`, "release"]);
  });
});

describe("a count that cannot be true", () => {
  const shown = Math.ceil(RAW_TEXT.length / 4);
  it.each([
    ["an answer of no tokens", { completion_tokens: 0 }, [100, 0, shown, 0]],
    ["an answer beyond the ceiling", { completion_tokens: 45_000_000 }, [100, 0, CEILING, 0]],
    ["more cached than asked", { prompt_tokens_details: { cached_tokens: 40_000_000 } }, [0, 100, 2_000, 0]],
    ["negative thinking", { completion_tokens_details: { reasoning_tokens: -7 } }, [100, 0, 2_000, 0]],
    [
      "more thought than answered",
      { completion_tokens_details: { reasoning_tokens: 9_000 } },
      [100, 0, 2_000, 2_000],
    ],
  ])("costs the same with and without a budget, and is no exact count: %s", async (_what, lie, counts) => {
    const usage = { prompt_tokens: 100, completion_tokens: 2_000, ...lie };
    for (const hasBudget of [true, false]) {
      const slug = hasBudget ? "lies" : "lies-free";
      const client = await enter(slug, hasBudget);
      const { key, end } = await ask(client, "odd/odd-1", `RAW${JSON.stringify(usage)}`);
      expect(end).toMatchObject({ state: "final" });
      const [event] = await eventsOf(slug, key);
      const { input_tokens, cache_read_tokens, output_tokens, reasoning_tokens } = event!;
      expect([input_tokens, cache_read_tokens, output_tokens, reasoning_tokens]).toEqual(counts);
      expect(event).toMatchObject({ is_exact: 0, cost_micros: counts[0]! + counts[1]! + counts[2]! * 2 });
      const paid = hasBudget
        ? ["reserve", `settle ${event?.["cost_micros"]}`, "release"]
        : [`charge ${event?.["cost_micros"]}`];
      expect(await kindsOf(slug, key)).toEqual(paid);
    }
  });

  it("of the question is at most what was sent", async () => {
    for (const hasBudget of [true, false]) {
      const slug = hasBudget ? "lies" : "lies-free";
      const client = await enter(slug, hasBudget);
      const lie = JSON.stringify({ prompt_tokens: 40_000_000, completion_tokens: 2_000 });
      const { key } = await ask(client, "odd/odd-1", `RAW${lie}`);
      const [event] = await eventsOf(slug, key);
      expect(event).toMatchObject({ is_exact: 0, output_tokens: 2_000 });
      expect(event?.input_tokens).toBeLessThan(50_000);
      expect((await kindsOf(slug, key)).filter((kind) => kind === "overrun")).toEqual([]);
    }
  });

  it("is none when it can be true", async () => {
    const client = await enter("lies", true);
    const usage = {
      prompt_tokens: 100,
      completion_tokens: 2_000,
      completion_tokens_details: { reasoning_tokens: 500 },
    };
    const { key } = await ask(client, "odd/odd-1", `RAW${JSON.stringify(usage)}`);
    expect(await eventsOf("lies", key)).toMatchObject([
      { is_exact: 1, input_tokens: 100, output_tokens: 2_000, reasoning_tokens: 500 },
    ]);
  });
});

describe("a stop of ours", () => {
  it.each([
    ["under a budget", true, ["reserve", "release", "reserve", "settle 160", "release"]],
    ["without one", false, ["charge 160"]],
  ])("charges the attempt that answered, and not the one we cut, %s", async (_name, hasBudget, lines) => {
    const slug = hasBudget ? "stop" : "stop-free";
    const client = await enter(slug, hasBudget);
    const key = randomUUID();
    await client.call("chat.send", { sessionKey: "main", message: "SLOW:100", idempotencyKey: key });
    await until(client, key, "chat", (payload) => payload["state"] === "delta");
    await world.restart();
    operator = await makeOperator(world.creel);
    await expect
      .poll(async () => (await world.stored(slug)).runs[0]?.state, { timeout: 15_000 })
      .toBe("done");
    expect(await eventsOf(slug, key)).toMatchObject([{ step: 1_001, is_exact: 1, cost_micros: 160 }]);
    expect(await kindsOf(slug, key)).toEqual(lines);
  });
});

describe("usage over OpenAI's API", () => {
  const TOLD = { prompt_tokens: 240, completion_tokens: 40, total_tokens: 280 };

  it("is that of the whole run: what is metered, also when the key is sent again", async () => {
    await enter("programs", false);
    await world.allow("programs", ["workspace_list"]);
    const bearer = await world.creel.token("programs", "owner", "owner");
    const headers = { authorization: `Bearer ${bearer}`, "content-type": "application/json" };
    const send = (key: string, more: Json) =>
      fetch(`${world.creel.url}/t/programs/v1/chat/completions`, {
        method: "POST",
        headers: { ...headers, "idempotency-key": key },
        body: JSON.stringify({
          messages: [{ role: "user", content: "TOOLCALL:workspace_list {}" }],
          user: "u",
          ...more,
        }),
      });
    const key = randomUUID();
    for (let round = 0; round < 2; round++) {
      const answer = (await (await send(key, {})).json()) as { usage: Json };
      expect(answer.usage).toMatchObject(TOLD);
    }
    const sum = (await eventsOf("programs", key)).reduce(
      (all, one) => all + one.input_tokens + one.output_tokens,
      0,
    );
    expect(sum).toBe(TOLD.total_tokens);
    const stream = await (
      await send(randomUUID(), { stream: true, stream_options: { include_usage: true } })
    ).text();
    const usages = stream.split("\n").filter((line) => line.includes('"usage":{'));
    expect(usages).toHaveLength(1);
    expect(JSON.parse(usages[0]!.slice("data: ".length))).toMatchObject({ usage: TOLD });
  });
});
