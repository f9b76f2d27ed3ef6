/** Both tenants at the same moment, with the same names for everything: each gets its own and only its own. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Frame, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { callByHttp, hastyClock } from "../support/world.ts";
import { makeCanary } from "./twins.ts";

const SLUGS = ["azure", "beige"] as const;
const ROUNDS = 12;
const KEY = "agent:main:main";

interface Side {
  slug: string;
  token: string;
  client: SocketClient;
  canary: string;
}

let world: TestApp;
let sides: Side[];

beforeAll(async () => {
  world = await startApp({ app: { clock: hastyClock } });
  sides = [];
  for (const slug of SLUGS) {
    const token = await world.token(slug);
    const client = new SocketClient(world.wsUrl);
    await client.connect(token, { caps: ["tool-events"] });
    await client.call("sessions.subscribe", {});
    await client.call("sessions.messages.subscribe", { key: KEY });
    sides.push({ slug, token, client, canary: makeCanary(slug, "message") });
  }
});

afterAll(async () => {
  for (const { client } of sides) client.close();
  await world.close();
});

const otherOf = (side: Side) => sides.find((one) => one !== side) as Side;

function expectOwnOnly(side: Side, text: string): void {
  expect(text).toContain(side.canary);
  expect(text).not.toContain(otherOf(side).canary);
}

describe("the same key at the same moment", () => {
  it("starts a run in each tenant, with its own words and its own events", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const runId = `run-${round}`;
      const acks = await Promise.all(
        sides.map(({ client, canary }) =>
          client.call("chat.send", { sessionKey: KEY, message: `${canary} ${round}`, idempotencyKey: runId }),
        ),
      );
      expect(acks).toEqual([
        { runId, status: "started" },
        { runId, status: "started" },
      ]);
      await Promise.all(sides.map(({ client }) => client.terminal(runId)));
    }
    for (const side of sides) {
      expectOwnOnly(side, JSON.stringify(side.client.frames));
      const history = (await side.client.call("chat.history", { sessionKey: KEY })) as {
        messages: unknown[];
      };
      expect(history.messages).toHaveLength(ROUNDS * 2);
      expectOwnOnly(side, JSON.stringify(history));
    }
  });

  it("is a replay in the tenant that used it, whatever the other did, and a conflict for other words", async () => {
    const [first, second] = sides as [Side, Side];
    const replay = { sessionKey: KEY, message: `${first.canary} 0`, idempotencyKey: "run-0" };
    expect(await first.client.call("chat.send", replay)).toEqual({ runId: "run-0", status: "ok" });
    await expect(second.client.call("chat.send", replay)).rejects.toMatchObject({
      error: { details: { reason: "chat-request-conflict" } },
    });
    const only = { sessionKey: KEY, message: `${first.canary} only`, idempotencyKey: "run-only" };
    await first.client.call("chat.send", only);
    await first.client.terminal("run-only");
    const mine = { ...only, message: `${second.canary} only` };
    expect(await second.client.call("chat.send", mine)).toEqual({ runId: "run-only", status: "started" });
    await second.client.terminal("run-only");
  });

  it("answers each by its own, over HTTP and with keep-alive connections shared by both", async () => {
    const rounds = Array.from({ length: 40 }, (_, index) => index);
    await Promise.all(
      rounds.flatMap((index) =>
        sides.map(async (side) => {
          const headers: Record<string, string> = index % 2 === 0 ? {} : { "x-tenant-id": side.slug };
          const path = index % 3 === 0 ? `/t/${side.slug}/rpc/chat.history` : "/rpc/chat.history";
          const answer = await callByHttp(world.url, path, side.token, { sessionKey: KEY }, headers);
          expect(answer.status).toBe(200);
          expectOwnOnly(side, answer.text);
        }),
      ),
    );
  });

  it("stops the run of the tenant that asks, not its twin's", async () => {
    const runId = "run-abort";
    const [first, second] = sides as [Side, Side];
    await Promise.all(
      sides.map(({ client, canary }) =>
        client.call("chat.send", {
          sessionKey: KEY,
          message: `${canary} tell a long story`,
          idempotencyKey: runId,
        }),
      ),
    );
    await Promise.all([
      first.client.call("chat.abort", { sessionKey: KEY, runId }),
      first.client.call("sessions.abort", { runId }),
      first.client.call("tasks.cancel", { taskId: runId }),
    ]);
    const ends = await Promise.all([first.client.terminal(runId), second.client.terminal(runId)]);
    expect(ends.map((end) => end["state"])).toEqual(["aborted", "final"]);
  });
});

describe("an idempotency key of HTTP", () => {
  it("belongs to the tenant: the same key and the same body at once make two answers", async () => {
    const answers = await Promise.all(
      sides.map((side) =>
        callByHttp(
          world.url,
          "/v1/chat/completions",
          side.token,
          { messages: [{ role: "user", content: "hello" }], user: "same" },
          { "idempotency-key": "same-key" },
        ),
      ),
    );
    expect(answers.map((answer) => answer.status)).toEqual([200, 200]);
    const lists = await Promise.all(
      sides.map(({ client }) => client.call("sessions.list", { search: "openai-user" })),
    );
    const ids = lists.map((list) => (list as { sessions: { sessionId: string }[] }).sessions[0]?.sessionId);
    expect(new Set(ids).size).toBe(2);
  });
});

describe("a tenant that listens", () => {
  it("hears nothing of another's many deeds, and its counter shows none of them", async () => {
    const silent = new SocketClient(world.wsUrl);
    const listener = sides[1] as Side;
    const actor = sides[0] as Side;
    await silent.connect(listener.token, { caps: ["tool-events", "session-scoped-events"] });
    await silent.call("sessions.subscribe", {});
    await silent.call("sessions.messages.subscribe", { key: KEY });
    silent.frames.length = 0;
    for (let index = 0; index < 10; index++) {
      const runId = `deed-${index}`;
      await actor.client.call("chat.send", { sessionKey: KEY, message: "list files", idempotencyKey: runId });
      await actor.client.call("sessions.create", { key: `deed-${index}`, label: `deed ${index}` });
      await actor.client.call("sessions.patch", { key: `deed-${index}`, pinned: true });
      await actor.client.call("chat.inject", { sessionKey: `deed-${index}`, message: "note" });
      await actor.client.call("sessions.delete", { key: `deed-${index}` });
      await actor.client.terminal(runId);
    }
    const passing = new SocketClient(world.wsUrl);
    await passing.connect(actor.token);
    passing.close();
    await silent.call("health");
    expect(
      silent.frames.filter((frame: Frame) => frame.type === "event" && frame["event"] !== "tick"),
    ).toEqual([]);
    // The next event of its own is the first that it counts.
    await silent.call("sessions.create", { key: "own" });
    const own = await silent.until((frame) => frame["event"] === "sessions.changed");
    expect(own["seq"]).toBe(1);
    silent.close();
  });
});
