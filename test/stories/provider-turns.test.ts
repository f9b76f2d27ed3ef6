/** A real streaming provider, driven end to end: what people see of each way a turn can go, and what it costs. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ChildWorld, OPERATOR_KEY } from "../support/child-server.ts";
import { type MockModel, start as startMock } from "../support/mock-model.ts";
import { textIn } from "../support/provider-ledger.ts";
import { agentOf, chat, endsOf, history, ProviderWorld, until } from "../support/provider-world.ts";
import type { SocketClient } from "../support/socket-client.ts";

const SLUG = "acme";

let world: ProviderWorld;
let client: SocketClient;

beforeAll(async () => {
  world = await ProviderWorld.start({ mock: { pieceDelayMs: 2 } });
  client = await world.client(SLUG);
  await client.call("agents.list", {});
});

afterAll(async () => {
  await world.close();
});

/** Model calls billed for a run. */
async function bills(key: string) {
  const { usage } = await world.stored(SLUG);
  return usage.filter((event) => event.run_id === key && event.kind === "model");
}

function callsWith(text: string): number {
  return world.mock.requests.filter((request) => request.lastUserText.includes(text)).length;
}

describe("an answer", () => {
  it("streams as text that only grows, ends once, is stored and is billed once and exactly", async () => {
    const mark = randomUUID();
    const turn = await chat(client, `SLOW:20 ${mark}`);
    expect(turn.end).toMatchObject({ state: "final", stopReason: "stop" });
    const deltas = turn.chat.filter((event) => event["state"] === "delta");
    expect(deltas.length).toBeGreaterThan(1);
    let text = "";
    for (const delta of deltas) {
      expect(delta["replace"]).toBeUndefined();
      text += String(delta["deltaText"]);
      expect(textIn((delta["message"] as { content: unknown }).content)).toBe(text);
    }
    const said = Array.from({ length: 20 }, (_, n) => `word${n + 1} `).join("");
    expect(textIn((turn.end["message"] as { content: unknown }).content)).toBe(said);
    const seqs = turn.chat.map((event) => Number(event["seq"]));
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(await bills(turn.key)).toMatchObject([
      { input_tokens: 120, output_tokens: 20, is_exact: 1, cost_micros: 160 },
    ]);
    expect(callsWith(mark)).toBe(1);
    const page = await history(client);
    expect(page.messages.at(-1)).toMatchObject({
      role: "assistant",
      provider: "mock",
      model: "mock-1",
      stopReason: "stop",
      usage: { input: 120, output: 20 },
    });
  });

  it("shows what the model thinks apart from what it says", async () => {
    const turn = await chat(client, "REASON about it");
    const thought = agentOf(client, turn.key, "thinking").map((data) => data["delta"]);
    expect(thought.join("")).toContain("Two and two");
    expect(JSON.stringify(turn.end)).not.toContain("Two and two");
    const row = (await history(client)).messages.at(-1) as { content: { type: string }[] };
    expect(row.content.map((part) => part.type)).toEqual(["thinking", "text"]);
  });

  it("is estimated, and flagged so, when the provider reports no usage", async () => {
    const turn = await chat(client, "NOUSAGE please");
    const [bill, ...more] = await bills(turn.key);
    expect(more).toEqual([]);
    expect(bill).toMatchObject({ is_exact: 0 });
    expect(bill?.input_tokens).toBeGreaterThan(0);
    expect(bill?.output_tokens).toBeGreaterThan(0);
  });

  it("comes after a hiccup of the provider, and only what was answered is billed", async () => {
    const turn = await chat(client, `FLAKY:1 ${randomUUID()}`);
    expect(turn.end).toMatchObject({ state: "final" });
    expect(await bills(turn.key)).toHaveLength(1);
  });
});

describe("a tool", () => {
  it("really writes and reads files, shown only to who started it, recorded and billed step by step", async () => {
    const stranger = await world.client(SLUG, "other", []);
    const name = `${randomUUID()}.txt`;
    const write = await chat(
      client,
      `TOOLCALL:workspace_write {"path":"${name}","content":"written by a tool"}`,
    );
    expect(write.end).toMatchObject({ state: "final" });
    const folder = join(world.creel.stateDir, "tenants", (await world.creel.tenant(SLUG)).id, "workspace");
    expect(readFileSync(join(folder, name), "utf8")).toBe("written by a tool");
    const read = await chat(client, `TEXTTOOL:workspace_read {"path":"${name}"}`);
    expect(textIn((read.end["message"] as { content: unknown }).content)).toMatch(
      /^Let me look\. \n\nThe tool said: [\s\S]*written by a tool/,
    );
    for (const { key } of [write, read]) {
      await stranger.terminal(key);
      const phases = agentOf(client, key, "tool").map((data) => data["phase"]);
      expect(phases).toEqual(["start", "result"]);
      expect(agentOf(stranger, key, "tool")).toEqual([]);
      expect(endsOf(client, key)).toHaveLength(1);
      expect(endsOf(stranger, key)).toHaveLength(1);
    }
    const stored = await world.stored(SLUG);
    const rows = stored.messages.filter((row) => row.runId === read.key);
    expect(rows.map((row) => [row.role, row.message.stopReason])).toEqual([
      ["user", undefined],
      ["assistant", "toolUse"],
      ["toolResult", undefined],
      ["assistant", "stop"],
    ]);
    const used = stored.usage.filter((event) => event.run_id === read.key);
    expect(used.map((event) => [event.kind, event.tool_name])).toEqual([
      ["model", ""],
      ["tool", "workspace_read"],
      ["model", ""],
    ]);
  });

  it("that the agent may not use is refused to the model, and nothing runs", async () => {
    const turn = await chat(client, 'TOOLCALL:shell {"command":"echo hi > pwned.txt"}');
    expect(turn.end).toMatchObject({ state: "final" });
    const stored = await world.stored(SLUG);
    expect(stored.steps.filter((step) => step.run_id === turn.key)).toEqual([]);
  });
});

describe("a provider that fails", () => {
  it.each([
    ["ERR401", "authentication failed, HTTP 401", 1],
    ["ERR403", "authentication failed, HTTP 403", 1],
    ["ERR429", "rate limit reached, HTTP 429", 3],
    ["ERR500", "the provider has problems, HTTP 500", 3],
    ["GARBAGE", "not understood", 1],
  ])("%s ends in one error with words, no key and no bill", async (word, words, calls) => {
    const mark = randomUUID();
    const turn = await chat(client, `${word} ${mark}`);
    expect(turn.end["state"]).toBe("error");
    expect(turn.end["errorMessage"]).toMatch(/^⚠️ mock\/mock-1 request failed/);
    expect(turn.end["errorMessage"]).toContain(words);
    expect(turn.end["errorDetail"]).toMatchObject({ provider: "mock", model: "mock-1" });
    expect(endsOf(client, turn.key)).toHaveLength(1);
    expect(callsWith(mark)).toBe(calls);
    expect(await bills(turn.key)).toEqual([]);
    expect((await history(client)).messages.at(-1)).toMatchObject({ role: "assistant", stopReason: "error" });
    const waited = (await client.call("agent.wait", { runId: turn.key })) as Record<string, unknown>;
    expect(waited).toMatchObject({ status: "error", error: expect.stringContaining(words) });
    expect(JSON.stringify(client.frames)).not.toContain(OPERATOR_KEY);
  });

  it("in the middle keeps what came as incomplete, estimates its cost, and the next turn works", async () => {
    const turn = await chat(client, `CUTMID ${randomUUID()}`);
    expect(turn.end["state"]).toBe("error");
    expect(endsOf(client, turn.key)).toHaveLength(1);
    const rows = (await world.stored(SLUG)).messages.filter((row) => row.runId === turn.key);
    expect(rows.map((row) => row.message.stopReason)).toEqual([undefined, "error"]);
    expect(textIn(rows[1]?.message.content)).toContain("Hello from");
    expect(await bills(turn.key)).toMatchObject([{ is_exact: 0 }]);
    expect((await chat(client, "still there?")).end).toMatchObject({ state: "final" });
  });
});

describe("a provider that hangs", () => {
  it.each(["HANG", "HANGMID"])("%s is let go when the person stops it", async (word) => {
    const mark = randomUUID();
    const key = randomUUID();
    await client.call("chat.send", { sessionKey: "main", message: `${word} ${mark}`, idempotencyKey: key });
    const request = await world.mock.waitFor((one) => one.lastUserText.includes(mark));
    if (word === "HANGMID") await until(client, key, "chat", (payload) => payload["state"] === "delta");
    const answer = await client.call("chat.abort", { sessionKey: "main", runId: key });
    expect(answer).toMatchObject({ ok: true, aborted: true, runIds: [key] });
    expect(endsOf(client, key)).toMatchObject([{ state: "aborted", stopReason: "rpc" }]);
    await expect.poll(() => request.aborted).toBe(true);
    expect(await bills(key)).toMatchObject([{ is_exact: 0 }]);
  });

  it("ends by the time the sender gave it", async () => {
    const turn = await chat(client, `HANG ${randomUUID()}`, { timeoutMs: 300 });
    expect(turn.end).toMatchObject({ state: "aborted", stopReason: "timeout" });
  });

  it("is not cut short by a time no timer can hold", async () => {
    const turn = await chat(client, "hello", { timeoutMs: Number.MAX_SAFE_INTEGER });
    expect(turn.end).toMatchObject({ state: "final" });
  });
});

describe("keys and addresses", () => {
  it("of a tenant's provider that has no key: says what to do, and asks nobody", async () => {
    const owner = await world.creel.token("beta");
    const response = await fetch(`${world.creel.url}/t/beta/api/providers/own`, {
      method: "PUT",
      headers: { authorization: `Bearer ${owner}`, "content-type": "application/json" },
      body: JSON.stringify({ baseUrl: "https://models.example/v1", apiKey: "", models: [{ id: "m" }] }),
    });
    expect(response.status).toBe(200);
    const beta = await world.client("beta");
    await beta.call("sessions.create", { key: "agent:main:keyless", model: "own/m" });
    const before = world.mock.requests.length;
    const turn = await chat(beta, "hello", { sessionKey: "agent:main:keyless" });
    expect(turn.end["state"]).toBe("error");
    expect(turn.end["errorMessage"]).toMatch(/own has no API key\. An admin can add one in Settings/);
    expect(turn.end["errorDetail"]).toMatchObject({ code: "not_configured" });
    expect(world.mock.requests).toHaveLength(before);
  });

  it("of a tenant's own provider carry the tenant's key, never the operator's", async () => {
    const own: MockModel = await startMock();
    const owner = await world.creel.token("beta");
    for (const [id, apiKey] of [
      ["withkey", "sk-tenant-key-1"],
      ["nokey", undefined],
    ] as const) {
      const response = await fetch(`${world.creel.url}/t/beta/api/providers/${id}`, {
        method: "PUT",
        headers: { authorization: `Bearer ${owner}`, "content-type": "application/json" },
        body: JSON.stringify({ baseUrl: own.baseUrl, apiKey, models: [{ id: "m" }] }),
      });
      expect(response.status).toBe(200);
      const beta = await world.client("beta");
      await beta.call("sessions.create", { key: `agent:main:${id}`, model: `${id}/m` });
      const turn = await chat(beta, "hello", { sessionKey: `agent:main:${id}` });
      expect(turn.end).toMatchObject({ state: "final" });
    }
    expect(own.requests.map((request) => request.headers["authorization"])).toEqual([
      "Bearer sk-tenant-key-1",
      undefined,
    ]);
    expect(JSON.stringify(own.requests)).not.toContain(OPERATOR_KEY);
    await own.close();
  });
});

describe("the operator's environment", () => {
  it("reaches no endpoint, and no key reaches a log", async () => {
    const mock = await startMock();
    const child = await ChildWorld.make({ baseUrl: mock.baseUrl, slugs: [SLUG] });
    try {
      await child.start({
        env: {
          OPENAI_API_KEY: "sk-env-canary-1",
          OPENAI_BASE_URL: "http://127.0.0.1:1/env",
          OPENAI_ORG_ID: "org-env-canary-2",
          DASHSCOPE_API_KEY: "sk-env-canary-3",
          ANTHROPIC_API_KEY: "sk-env-canary-4",
          HTTP_PROXY: "http://env-canary-5:pw@127.0.0.1:1",
          HTTPS_PROXY: "http://env-canary-5:pw@127.0.0.1:1",
          ALL_PROXY: "http://env-canary-5:pw@127.0.0.1:1",
          NODE_USE_ENV_PROXY: "1",
        },
      });
      const acme = await child.client(SLUG);
      for (const message of ["hello", "ERR401", "ERR500", "CUTMID"]) await chat(acme, message);
      expect(mock.requests.length).toBeGreaterThanOrEqual(4);
      for (const request of mock.requests) {
        expect(request.headers["authorization"]).toBe(`Bearer ${OPERATOR_KEY}`);
        expect(JSON.stringify(request)).not.toContain("env-canary");
      }
      expect(JSON.stringify(acme.frames)).not.toMatch(/env-canary|sk-operator/);
      await child.stop();
      expect(child.output).toContain("a run ended without an answer");
      expect(child.output).not.toMatch(/env-canary|sk-operator/);
      expect(child.output).not.toContain(child.tenant(SLUG).tokens.owner);
    } finally {
      await child.close();
      await mock.close();
    }
  });
});
