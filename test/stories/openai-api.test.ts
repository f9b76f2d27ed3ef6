import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

describe("a program that speaks OpenAI's API", () => {
  let world: TestApp;
  let token: string;
  let openai: OpenAI;

  beforeAll(async () => {
    world = await startApp();
    token = await world.token("acme");
    openai = new OpenAI({ apiKey: token, baseURL: `${world.url}/v1`, maxRetries: 0 });
  });

  afterAll(() => world.close());

  const historyOf = async (key: string): Promise<{ role: string; content: unknown }[]> => {
    const client = new SocketClient(world.wsUrl);
    await client.connect(token);
    const page = (await client.call("chat.history", { sessionKey: key })) as {
      messages: { role: string; content: unknown }[];
    };
    client.close();
    return page.messages;
  };

  it("lists agents and models", async () => {
    const ids: string[] = [];
    for await (const model of openai.models.list()) ids.push(model.id);
    expect(ids).toEqual(expect.arrayContaining(["openclaw", "openclaw/main", "demo/demo"]));
  });

  it("gets a whole answer with usage", async () => {
    const messages = [{ role: "user" as const, content: "hello" }];
    const answer = await openai.chat.completions.create({ model: "openclaw", messages });
    expect(answer.choices[0]?.message.content).toMatch(/demo/i);
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    expect(answer.usage?.total_tokens).toBeGreaterThan(0);
  });

  it("gets a stream whose pieces are the answer, once", async () => {
    const messages = [{ role: "user" as const, content: "stream please" }];
    const stream = await openai.chat.completions.create({
      model: "openclaw/main",
      messages,
      stream: true,
      stream_options: { include_usage: true },
      user: "u-1",
    });
    let text = "";
    let pieces = 0;
    let finish: string | null | undefined;
    let total = 0;
    for await (const chunk of stream) {
      const choice = chunk.choices[0];
      if (choice?.delta.content) {
        text += choice.delta.content;
        pieces++;
      }
      finish = choice?.finish_reason ?? finish;
      total = chunk.usage?.total_tokens ?? total;
    }
    expect(pieces).toBeGreaterThan(1);
    expect(finish).toBe("stop");
    expect(total).toBeGreaterThan(0);
    const rows = await historyOf("openai-user:u-1");
    expect(rows.map((row) => row.role)).toEqual(["user", "assistant"]);
    expect(JSON.stringify(rows[1]?.content)).toContain(JSON.stringify(text).slice(1, -1));
  });

  it("continues the conversation that `user` or the session header names", async () => {
    const messages = [{ role: "user" as const, content: "again" }];
    await openai.chat.completions.create({ model: "openclaw", messages, user: "u-1" });
    expect(await historyOf("openai-user:u-1")).toHaveLength(4);
    const headers = { "x-openclaw-session-key": "agent:main:from-api" };
    await openai.chat.completions.create({ model: "openclaw", messages }, { headers });
    expect(await historyOf("agent:main:from-api")).toHaveLength(2);
  });

  it("is told plainly what is wrong, in one form", async () => {
    const messages = [{ role: "user" as const, content: "x" }];
    await expect(openai.chat.completions.create({ model: "nope/none", messages })).rejects.toMatchObject({
      status: 404,
      code: "not_found",
    });
    const stranger = new OpenAI({
      apiKey: "creel_wrong_wrong_wrong",
      baseURL: `${world.url}/v1`,
      maxRetries: 0,
    });
    await expect(stranger.models.list()).rejects.toMatchObject({ status: 401, code: "unauthenticated" });
    const reader = new OpenAI({
      apiKey: await world.token("acme", "readonly", "reader"),
      baseURL: `${world.url}/v1`,
      maxRetries: 0,
    });
    await expect(reader.chat.completions.create({ model: "openclaw", messages })).rejects.toMatchObject({
      status: 403,
    });
  });

  it("cannot continue another tenant's conversation with the same key", async () => {
    const other = new OpenAI({
      apiKey: await world.token("beta"),
      baseURL: `${world.url}/v1`,
      maxRetries: 0,
    });
    const headers = { "x-openclaw-session-key": "agent:main:from-api" };
    const before = await historyOf("agent:main:from-api");
    const messages = [{ role: "user" as const, content: "CNRY-beta" }];
    await other.chat.completions.create({ model: "openclaw", messages }, { headers });
    expect(await historyOf("agent:main:from-api")).toEqual(before);
  });
});
