import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

const KEY = "agent:main:main";

describe("a person chats inside a tenant", () => {
  let world: TestApp;
  let client: SocketClient;

  beforeAll(async () => {
    world = await startApp();
    client = new SocketClient(world.wsUrl);
    await client.connect(await world.token("acme"));
    await client.call("sessions.subscribe", {});
  });

  afterAll(async () => {
    client.close();
    await world.close();
  });

  it("gets an acknowledgement, words as they come, and exactly one end", async () => {
    const runId = randomUUID();
    const ack = await client.call("chat.send", {
      sessionKey: "main",
      message: "hello",
      idempotencyKey: runId,
    });
    expect(ack).toEqual({ runId, status: "started" });
    const end = await client.terminal(runId);
    expect(end).toMatchObject({ state: "final", sessionKey: KEY, agentId: "main" });
    const ends = client
      .events("chat")
      .filter(
        (event) => event["runId"] === runId && event["state"] !== "delta" && event["state"] !== "status",
      );
    expect(ends).toHaveLength(1);
    expect(
      client.events("chat").some((event) => event["runId"] === runId && event["state"] === "delta"),
    ).toBe(true);
  });

  it("finds both rows in the history, once each", async () => {
    const history = (await client.call("chat.history", { sessionKey: KEY })) as {
      messages: Record<string, unknown>[];
    };
    expect(history.messages.map((message) => message["role"])).toEqual(["user", "assistant"]);
    expect(history.messages[0]).toMatchObject({ content: "hello" });
  });

  it("numbers the events of a connection without a gap", () => {
    const seqs = client.frames
      .filter((frame) => frame.type === "event" && frame["event"] !== "connect.challenge")
      .map((frame) => frame["seq"]);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
  });

  it("answers a repeated key without a second run, and refuses it for other words", async () => {
    const runId = randomUUID();
    await client.call("chat.send", { sessionKey: KEY, message: "once", idempotencyKey: runId });
    await client.terminal(runId);
    const replay = await client.call("chat.send", {
      sessionKey: KEY,
      message: "once",
      idempotencyKey: runId,
    });
    expect(replay).toEqual({ runId, status: "ok" });
    await expect(
      client.call("chat.send", { sessionKey: KEY, message: "twice", idempotencyKey: runId }),
    ).rejects.toMatchObject({
      error: { code: "INVALID_REQUEST", details: { reason: "chat-request-conflict" } },
    });
    const history = (await client.call("chat.history", { sessionKey: KEY })) as {
      messages: Record<string, unknown>[];
    };
    expect(history.messages.filter((message) => message["content"] === "once")).toHaveLength(1);
  });

  it("keeps the conversation over a restart", async () => {
    client.close();
    await world.restart();
    client = new SocketClient(world.wsUrl);
    await client.connect(await world.token("acme"));
    const history = (await client.call("chat.startup", { sessionKey: KEY })) as {
      messages: unknown[];
      metadata: unknown;
    };
    expect(history.messages).toHaveLength(4);
    expect(history.metadata).toMatchObject({ models: [{ provider: "demo" }] });
  });
});
