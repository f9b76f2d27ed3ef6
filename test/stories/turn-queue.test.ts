/** More than one input at a time: waiting, steering, interrupting, stopping; each input once, in order, with its own end. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { assertSettled, textIn } from "../support/provider-ledger.ts";
import { chat, chatOf, endsOf, history, ProviderWorld, until } from "../support/provider-world.ts";
import type { SocketClient } from "../support/socket-client.ts";

const SLUG = "acme";
/** A tool call that takes long enough for something to be said meanwhile. */
const TOOLS = ["workspace_read", "workspace_write", "memory_append", "shell"];

let world: ProviderWorld;
let client: SocketClient;
let other: SocketClient;
/** Everything that was acknowledged, by key. */
const sent = new Map<string, string>();

beforeAll(async () => {
  world = await ProviderWorld.start({ mock: { pieceDelayMs: 2 } });
  client = await world.client(SLUG);
  other = await world.client(SLUG, "other");
  await client.call("agents.list", {});
  await world.allow(SLUG, TOOLS);
});

afterAll(async () => {
  await world.close();
});

async function send(
  who: SocketClient,
  sessionKey: string,
  message: string,
  params: Record<string, unknown> = {},
): Promise<string> {
  const key = randomUUID();
  const ack = await who.call("chat.send", { sessionKey, message, idempotencyKey: key, ...params });
  expect(ack).toMatchObject({ runId: key, status: "started" });
  sent.set(key, message);
  return key;
}

const fresh = () => `agent:main:q-${randomUUID()}`;

/** The provider's view: what the last request with this text held, as `role: text` lines. */
function asked(mark: string): string[] {
  const request = world.mock.requests.findLast((one) => JSON.stringify(one.body).includes(mark));
  return (request?.body?.messages ?? []).map((message) => `${message.role}: ${textIn(message.content)}`);
}

describe("a second message while the first is answered", () => {
  it("is acknowledged, shows as waiting, and is answered after it, each once", async () => {
    const sessionKey = fresh();
    const [a, b, c] = [randomUUID(), randomUUID(), randomUUID()];
    const first = await send(client, sessionKey, `SLOW:25 ${a}`);
    await until(client, first, "chat", (payload) => payload["state"] === "delta");
    const second = await send(client, sessionKey, `two ${b}`);
    const third = await send(client, sessionKey, `three ${c}`);
    const page = await history(client, { sessionKey });
    expect(page.pendingInputs.items).toMatchObject([
      { runId: second, state: "queued", message: { role: "user", content: `two ${b}` } },
      { runId: third, state: "queued", message: { role: "user", content: `three ${c}` } },
    ]);
    expect(page.messages.map((row) => row["role"])).toEqual(["user"]);
    expect(page["inFlightRun"]).toMatchObject({ runId: first });
    for (const key of [first, second, third]) {
      expect(await client.terminal(key)).toMatchObject({ state: "final" });
      expect(endsOf(client, key)).toHaveLength(1);
    }
    const after = await history(client, { sessionKey });
    expect(after.pendingInputs.total).toBe(0);
    expect(after.messages.map((row) => row["role"])).toEqual([
      ...["user", "assistant"],
      ...["user", "assistant"],
      ...["user", "assistant"],
    ]);
    // No words of one run after those of the next began.
    const order = client
      .events("chat")
      .filter((event) => [first, second, third].includes(String(event["runId"])))
      .map((event) => String(event["runId"]));
    expect(order.filter((key, index) => key !== order[index - 1])).toEqual([first, second, third]);
  });

  it("keeps its order among many that come at once", async () => {
    const sessionKey = fresh();
    const keys = Array.from({ length: 12 }, () => randomUUID());
    const acks = keys.map((key, n) =>
      client.call("chat.send", { sessionKey, message: `burst ${n}`, idempotencyKey: key }),
    );
    await Promise.all(acks);
    for (const key of keys) expect(await client.terminal(key)).toMatchObject({ state: "final" });
    const page = await history(client, { sessionKey });
    const said = page.messages.filter((row) => row["role"] === "user").map((row) => row["content"]);
    expect(said).toEqual(keys.map((_, n) => `burst ${n}`));
    expect(page.messages.map((row) => row["role"])).toEqual(keys.flatMap(() => ["user", "assistant"]));
    keys.forEach((key, n) => void sent.set(key, `burst ${n}`));
  });

  it("never runs beside another of its session, also when one comes just as the last one ends", async () => {
    const sessionKey = fresh();
    for (let round = 0; round < 25; round++) {
      const first = await send(client, sessionKey, `round ${round}`);
      // The terminal event leaves before the session is free, so the next ones arrive in between.
      await client.terminal(first);
      await Promise.all([send(client, sessionKey, `a ${round}`), send(client, sessionKey, `b ${round}`)]);
    }
    await expect
      .poll(
        async () => (await world.stored(SLUG)).runs.filter((run) => /queued|running/.test(run.state)).length,
      )
      .toBe(0);
    const page = await history(client, { sessionKey, limit: 1_000 });
    const roles = page.messages.map((row) => row["role"]);
    expect(roles).toEqual(Array.from({ length: 75 }, () => ["user", "assistant"]).flat());
  }, 60_000);
});

describe("steering", () => {
  const slowTool = 'TOOLCALL:shell {"command":"sleep 0.4; echo slept"}';

  it("tells the model between two of its calls; the joined input ends with the run", async () => {
    const sessionKey = fresh();
    const mark = randomUUID();
    const first = await send(client, sessionKey, slowTool);
    await until(client, first, "agent", (payload) => payload["stream"] === "tool");
    const second = await send(client, sessionKey, `SAY:steered ${mark}`);
    expect(await client.terminal(first)).toMatchObject({ state: "final" });
    expect(await client.terminal(second)).toMatchObject({ state: "final", stopReason: "steered" });
    expect(endsOf(client, second)).toHaveLength(1);
    expect(asked(mark).slice(-2)).toEqual([
      expect.stringMatching(/^tool: slept/),
      `user: SAY:steered ${mark}`,
    ]);
    const roles = (await history(client, { sessionKey })).messages.map((row) => row["role"]);
    expect(roles).toEqual(["user", "assistant", "toolResult", "user", "assistant"]);
    expect(await client.call("agent.wait", { runId: second })).toMatchObject({ status: "ok" });
  });

  it("never joins what different people say", async () => {
    const sessionKey = fresh();
    const [mine, theirs] = [randomUUID(), randomUUID()];
    const first = await send(client, sessionKey, slowTool);
    await until(client, first, "agent", (payload) => payload["stream"] === "tool");
    const foreign = await send(other, sessionKey, `SAY:foreign ${theirs}`);
    const own = await send(client, sessionKey, `SAY:own ${mine}`);
    expect(await client.terminal(first)).toMatchObject({ state: "final" });
    expect(await client.terminal(own)).toMatchObject({ stopReason: "steered" });
    expect(asked(mine).join("\n")).not.toContain(theirs);
    expect(await client.terminal(foreign)).toMatchObject({ state: "final", stopReason: "stop" });
    expect(asked(theirs).at(-1)).toBe(`user: SAY:foreign ${theirs}`);
  });

  it("is not done to an input that wants its own answer", async () => {
    const sessionKey = fresh();
    const first = await send(client, sessionKey, slowTool);
    await until(client, first, "agent", (payload) => payload["stream"] === "tool");
    const second = await send(client, sessionKey, "SAY:later", { queueMode: "followup" });
    await client.terminal(first);
    expect(await client.terminal(second)).toMatchObject({ state: "final", stopReason: "stop" });
  });

  it("ends the joined input as the run ends: stopped", async () => {
    const sessionKey = fresh();
    const first = await send(client, sessionKey, slowTool);
    await until(client, first, "agent", (payload) => payload["stream"] === "tool");
    const second = await send(client, sessionKey, "HANG steered");
    await world.mock.waitFor((one) => one.lastUserText.includes("HANG steered"));
    // Stopping the input that joined stops the run that took it.
    const answer = (await client.call("chat.abort", { sessionKey, runId: second })) as { runIds: string[] };
    expect(answer).toMatchObject({ aborted: true });
    expect(new Set(answer.runIds)).toEqual(new Set([first, second]));
    for (const key of [first, second]) {
      expect(await client.terminal(key)).toMatchObject({ state: "aborted" });
      expect(endsOf(client, key)).toHaveLength(1);
    }
  });

  it("ends the joined input as the run ends: failed", async () => {
    const sessionKey = fresh();
    const first = await send(client, sessionKey, slowTool);
    await until(client, first, "agent", (payload) => payload["stream"] === "tool");
    const second = await send(client, sessionKey, "ERR401 steered");
    expect(await client.terminal(first)).toMatchObject({ state: "error" });
    expect(await client.terminal(second)).toMatchObject({ state: "error" });
    expect(endsOf(client, second)).toHaveLength(1);
  });
});

describe("stopping", () => {
  it("shows the partial answer, then says so, then no more words", async () => {
    const sessionKey = fresh();
    const key = await send(client, sessionKey, "SLOW:200");
    await until(client, key, "chat", (payload) => payload["state"] === "delta");
    const id = client.send("chat.abort", { sessionKey, runId: key });
    const answer = await client.until((frame) => frame.type === "res" && frame["id"] === id);
    expect(answer["payload"]).toEqual({ ok: true, aborted: true, runIds: [key] });
    const end = client.frames.findIndex(
      (frame) => frame["event"] === "chat" && JSON.stringify(frame["payload"]).includes('"aborted"'),
    );
    expect(end).toBeGreaterThan(0);
    expect(end).toBeLessThan(client.frames.indexOf(answer));
    expect(await client.terminal(key)).toMatchObject({ state: "aborted", stopReason: "rpc" });
    const page = await history(client, { sessionKey });
    const partial = page.messages.at(-1) as { content: unknown };
    expect(partial).toMatchObject({
      role: "assistant",
      stopReason: "stop",
      openclawAbort: { aborted: true, origin: "rpc", runId: key },
    });
    expect(textIn(partial.content)).toContain("word1 ");
    expect(textIn(partial.content)).not.toContain("word200");
    await chat(client, "next", { sessionKey });
    expect(chatOf(client, key).at(-1)).toMatchObject({ state: "aborted" });
    expect(asked("next").join("\n")).toContain("word1 ");
  });

  it("without a run id stops what is active and what waits, each once", async () => {
    const sessionKey = fresh();
    const first = await send(client, sessionKey, "SLOW:200");
    await until(client, first, "chat", (payload) => payload["state"] === "delta");
    const second = await send(client, sessionKey, "waits one");
    const third = await send(client, sessionKey, "waits two");
    const answer = (await client.call("chat.abort", { sessionKey })) as { runIds: string[] };
    expect(new Set(answer.runIds)).toEqual(new Set([first, second, third]));
    for (const key of [first, second, third]) {
      expect(await client.terminal(key)).toMatchObject({ state: "aborted" });
      expect(endsOf(client, key)).toHaveLength(1);
    }
    expect((await history(client, { sessionKey })).pendingInputs.total).toBe(0);
    for (const key of [second, third]) sent.delete(key);
  });

  it("of one that waits leaves the others", async () => {
    const sessionKey = fresh();
    const first = await send(client, sessionKey, "SLOW:20");
    const second = await send(client, sessionKey, "never asked");
    const third = await send(client, sessionKey, "asked");
    expect(await client.call("chat.abort", { sessionKey, runId: second })).toEqual({
      ok: true,
      aborted: true,
      runIds: [second],
    });
    expect(await client.terminal(first)).toMatchObject({ state: "final" });
    expect(await client.terminal(second)).toMatchObject({ state: "aborted" });
    expect(await client.terminal(third)).toMatchObject({ state: "final" });
    expect(asked("never asked")).toEqual([]);
    sent.delete(second);
  });

  it("of nothing, or of somebody unknown, changes nothing", async () => {
    const sessionKey = fresh();
    const nothing = { ok: true, aborted: false, runIds: [] };
    expect(await client.call("chat.abort", { sessionKey })).toEqual(nothing);
    const key = await send(client, sessionKey, "SLOW:10");
    expect(await client.call("chat.abort", { sessionKey, runId: "unknown" })).toEqual(nothing);
    expect(await client.terminal(key)).toMatchObject({ state: "final" });
    expect(await client.call("chat.abort", { sessionKey, runId: key })).toEqual(nothing);
  });

  it("by another tenant's person changes nothing", async () => {
    const key = await send(client, "agent:main:main", "SLOW:15");
    const foreign = await world.client("beta");
    const nothing = { ok: true, aborted: false, runIds: [] };
    expect(await foreign.call("chat.abort", { sessionKey: "main", runId: key })).toEqual(nothing);
    expect(await foreign.call("chat.abort", { sessionKey: "main" })).toEqual(nothing);
    expect(await foreign.call("sessions.abort", { runId: key })).toMatchObject({ aborted: false });
    expect(await foreign.call("agent.wait", { runId: key, timeoutMs: 0 })).toEqual({
      runId: key,
      status: "timeout",
    });
    expect(await client.terminal(key)).toMatchObject({ state: "final" });
    expect(JSON.stringify(foreign.frames)).not.toContain("word1");
  });
});

describe("interrupting", () => {
  it("stops the answer that is written and answers the new input", async () => {
    const sessionKey = fresh();
    const first = await send(client, sessionKey, "SLOW:200");
    await until(client, first, "chat", (payload) => payload["state"] === "delta");
    const second = await send(client, sessionKey, "SAY:instead", { queueMode: "interrupt" });
    expect(await client.terminal(first)).toMatchObject({ state: "aborted", stopReason: "interrupt" });
    expect(await client.terminal(second)).toMatchObject({ state: "final" });
  });

  it("is not done again by a replay of the same key", async () => {
    const sessionKey = fresh();
    const first = await send(client, sessionKey, "SAY:done", { queueMode: "interrupt" });
    await client.terminal(first);
    const second = await send(client, sessionKey, "SLOW:15");
    await until(client, second, "chat", (payload) => payload["state"] === "delta");
    const replay = { sessionKey, message: "SAY:done", idempotencyKey: first, queueMode: "interrupt" };
    expect(await client.call("chat.send", replay)).toEqual({ runId: first, status: "ok" });
    expect(await client.terminal(second)).toMatchObject({ state: "final" });
  });
});

describe("an idempotency key", () => {
  it("answers what became of its run", async () => {
    const sessionKey = fresh();
    const again = (idempotencyKey: string, message: string) =>
      client.call("chat.send", { sessionKey, message, idempotencyKey });
    const running = await send(client, sessionKey, "SLOW:200");
    await until(client, running, "chat", (payload) => payload["state"] === "delta");
    expect(await again(running, "SLOW:200")).toEqual({ runId: running, status: "in_flight" });
    const waiting = await send(client, sessionKey, "waiting");
    expect(await again(waiting, "waiting")).toEqual({ runId: waiting, status: "in_flight" });
    await client.call("chat.abort", { sessionKey });
    sent.delete(waiting);
    expect(await again(running, "SLOW:200")).toEqual({
      runId: running,
      status: "timeout",
      summary: "aborted",
      stopReason: "rpc",
      endedAt: expect.any(Number),
    });
    const done = await send(client, sessionKey, "SAY:done");
    await client.terminal(done);
    expect(await again(done, "SAY:done")).toEqual({ runId: done, status: "ok" });
    const failed = await send(client, sessionKey, "ERR401");
    await client.terminal(failed);
    await expect(again(failed, "ERR401")).rejects.toMatchObject({
      frame: {
        ok: false,
        error: { code: "UNAVAILABLE", message: expect.stringMatching(/^⚠️ /) },
        payload: { runId: failed, status: "error", summary: expect.stringMatching(/^⚠️ /) },
      },
    });
    for (const [key, message] of [
      [done, "other words"],
      [failed, "ERR401 "],
    ] as const) {
      await expect(again(key, message)).rejects.toMatchObject({
        error: { code: "INVALID_REQUEST", details: { reason: "chat-request-conflict" } },
      });
    }
    for (const key of [running, done, failed]) expect(endsOf(client, key)).toHaveLength(1);
  });

  it("makes one run of many that come at once, on several connections", async () => {
    const sessionKey = fresh();
    const key = randomUUID();
    const message = `once ${key}`;
    const params = { sessionKey, message, idempotencyKey: key };
    const acks = (await Promise.all(Array.from({ length: 8 }, () => client.call("chat.send", params)))) as {
      status: string;
    }[];
    expect(acks.filter((ack) => ack.status === "started")).toHaveLength(1);
    await client.terminal(key);
    sent.set(key, message);
    expect(world.mock.requests.filter((one) => one.lastUserText.includes(message))).toHaveLength(1);
  });

  it("is one person's: another's same words under it are refused", async () => {
    const sessionKey = fresh();
    const key = await send(client, sessionKey, "SAY:mine");
    await expect(
      other.call("chat.send", { sessionKey, message: "SAY:mine", idempotencyKey: key }),
    ).rejects.toMatchObject({ error: { details: { reason: "chat-request-conflict" } } });
    await client.terminal(key);
  });
});

describe("a command", () => {
  async function command(sessionKey: string, message: string): Promise<string> {
    const key = randomUUID();
    const ack = await client.call("chat.send", { sessionKey, message, idempotencyKey: key });
    expect(ack).toEqual({ runId: key, status: "started" });
    expect(await client.terminal(key)).toMatchObject({ state: "final" });
    return key;
  }

  it("is carried out once, however often its key comes", async () => {
    const sessionKey = fresh();
    await chat(client, "SAY:before", { sessionKey });
    const key = await command(sessionKey, "/new");
    await chat(client, "SAY:after", { sessionKey });
    const again = (message: string) => client.call("chat.send", { sessionKey, message, idempotencyKey: key });
    expect(await again("/new")).toEqual({ runId: key, status: "ok" });
    await expect(again("/help")).rejects.toMatchObject({
      error: { details: { reason: "chat-request-conflict" } },
    });
    const page = await history(client, { sessionKey });
    expect(page.messages.map((row) => textIn(row["content"]))).toEqual(["SAY:after", "after"]);
    expect(endsOf(client, key)).toHaveLength(1);
    expect(await client.call("agent.wait", { runId: key, timeoutMs: 0 })).toMatchObject({ status: "ok" });
  });

  it.each(["/new", "/help", "/status", "/stop", "/model", "/model mock/mock-1"])(
    "works where nothing was said yet: %s",
    async (text) => {
      const sessionKey = fresh();
      await command(sessionKey, text);
      expect((await chat(client, "SAY:then", { sessionKey })).end).toMatchObject({ state: "final" });
    },
  );
});

describe("a conversation that is begun anew or deleted while it is answered", () => {
  it.each(["sessions.reset", "sessions.delete"])(
    "%s ends what runs and waits, and the next input works",
    async (method) => {
      const sessionKey = fresh();
      const first = await send(client, sessionKey, "SLOW:200");
      await until(client, first, "chat", (payload) => payload["state"] === "delta");
      const second = await send(client, sessionKey, "waits");
      await client.call(method, { key: sessionKey });
      for (const key of [first, second])
        expect(await client.terminal(key)).toMatchObject({ state: "aborted" });
      const turn = await chat(client, "SAY:fresh", { sessionKey });
      expect(turn.end).toMatchObject({ state: "final" });
      const page = await history(client, { sessionKey });
      expect(page.messages.map((row) => row["role"])).toEqual(["user", "assistant"]);
      expect(asked("SAY:fresh").join("\n")).not.toContain("word1");
      for (const key of [first, second]) sent.delete(key);
    },
  );
});

describe("afterwards", () => {
  it("every input that was acknowledged is on disk once, and nothing is left open", async () => {
    assertSettled(await world.stored(SLUG), new Map());
    const stored = await world.stored(SLUG);
    for (const [key, text] of sent) {
      const rows = stored.messages.filter((row) => row.role === "user" && row.runId === key);
      expect(rows.map((row) => row.message.content)).toEqual([text]);
    }
  });
});
