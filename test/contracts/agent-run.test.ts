/** The loop of a run, over real files, a real database and a model server that streams. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { MAIN_AGENT_ID } from "#src/agents/agent.ts";
import { defineTool } from "#src/agents/tools/tool.ts";
import { AppError } from "#src/kernel/errors.ts";
import type { TranscriptMessage } from "#src/protocol/message.ts";
import { AgentWorld, type AgentWorldOptions, textOfOutcome, user } from "#test/support/agent-world.ts";
import { type MockModel, start } from "#test/support/mock-model.ts";

let mock: MockModel;
let world: AgentWorld;

const effects: string[] = [];
const sendMail = defineTool({
  name: "send_mail",
  label: "Send mail",
  description: "Sends",
  group: "web",
  risk: "high",
  params: z.object({ to: z.string() }),
  isIdempotent: false,
  title: () => "Send",
  run: async ({ to }) => {
    effects.push(to);
    return "sent";
  },
});
const bigTool = defineTool({
  name: "big",
  label: "Big",
  description: "Much",
  group: "web",
  risk: "low",
  params: z.object({}),
  isIdempotent: true,
  title: () => "Big",
  run: async () => "x".repeat(1_000_000),
});

function options(more: AgentWorldOptions = {}): AgentWorldOptions {
  const model = { id: "mock-1", contextWindow: 16_000, maxTokens: 1_000, cost: { input: 1, output: 2 } };
  const providers = { mock: { baseUrl: mock.baseUrl, apiKey: "operator-key", models: [model] } };
  return { platform: { providers, primary: "mock/mock-1" }, moreTools: [sendMail, bigTool], ...more };
}

beforeAll(async () => {
  mock = await start();
});
afterAll(() => mock.close());
beforeEach(async () => {
  world = await AgentWorld.open(options());
});
afterEach(async () => {
  mock.reset();
  effects.length = 0;
  await world.close();
});

describe("a run", () => {
  it("answers, and says what it used and who pays", async () => {
    const { outcome, events, recorded } = await world.run("hello");
    expect(outcome).toMatchObject({
      status: "done",
      step: 1,
      message: { provider: "mock", model: "mock-1", stopReason: "stop" },
      call: { step: 1, purpose: "turn", keyOwner: "platform", cost: { input: 1, output: 2 } },
    });
    expect(outcome.call?.usage).toMatchObject({ inputTokens: 120, outputTokens: 20, isExact: true });
    expect(textOfOutcome(outcome)).toBe("Hello from the mock model. You said: hello");
    expect(recorded).toEqual([]);
    const texts = events.filter((event) => event.type === "text");
    expect(texts.at(-1)?.text).toBe(textOfOutcome(outcome));
    expect(texts.map((event) => event.delta).join("")).toBe(textOfOutcome(outcome));
    expect(events[0]).toEqual({ type: "model", provider: "mock", model: "mock-1" });
  });

  it("tells the model who it is, in the tenant's time zone, without any secret or host path", async () => {
    await world.run("hello");
    const system = JSON.stringify(mock.requests[0]?.body?.messages?.[0]);
    expect(system).toContain("Asia/Shanghai");
    expect(system).toContain("SOUL.md");
    expect(system).toContain("workspace_list");
    expect(system).not.toContain(world.directory);
    expect(system).not.toContain("operator-key");
  });

  it("reads a changed SOUL.md in the next run", async () => {
    await world.run("hello");
    await world.workspaces.write(world.scope, MAIN_AGENT_ID, "SOUL.md", "You are a pirate.");
    await world.run("hello");
    expect(JSON.stringify(mock.requests[1]?.body?.messages?.[0])).toContain("You are a pirate.");
  });

  it("carries out a tool: intent, run, result, and an answer that knows it", async () => {
    const { outcome, events, recorded } = await world.run(
      'TEXTTOOL:workspace_write {"path":"notes/a.md","content":"hi"}',
    );
    expect(recorded.map(({ kind, step }) => `${kind} ${step}`)).toEqual([
      "assistant 1",
      "intent 1",
      "result 1",
    ]);
    expect(recorded[0]).toMatchObject({
      message: {
        stopReason: "toolUse",
        content: [
          { type: "text", text: "Let me look. " },
          { type: "toolCall", name: "workspace_write", arguments: { path: "notes/a.md", content: "hi" } },
        ],
      },
    });
    expect(recorded[1]).toMatchObject({ call: { isIdempotent: true } });
    expect(outcome).toMatchObject({ status: "done", step: 2 });
    expect(textOfOutcome(outcome)).toContain("Wrote notes/a.md (2 bytes).");
    const main = await world.agents.get(world.scope, "main");
    expect(await world.workspaces.findText(world.scope, main.id, "notes/a.md")).toBe("hi");
    const kinds = events.map((event) => event.type);
    expect(kinds.indexOf("tool_start")).toBeLessThan(kinds.indexOf("tool_end"));
    expect(events.find((event) => event.type === "tool_end")).toMatchObject({
      isError: false,
      title: "Write notes/a.md",
    });
  });

  it("refuses a tool that the agent may not use, as if there were none", async () => {
    const { outcome, recorded } = await world.run('TOOLCALL:send_mail {"to":"evil@example.com"}');
    expect(effects).toEqual([]);
    expect(recorded.map(({ kind }) => kind)).toEqual(["assistant", "result"]);
    expect(textOfOutcome(outcome)).toContain('There is no tool "send_mail"');
    const offered = (mock.requests[0]?.body?.tools ?? []).map((tool) => tool.function?.name);
    expect(offered).not.toContain("send_mail");
    expect(offered).not.toContain("web_fetch");
    expect(offered).not.toContain("shell");
  });

  it("uses a tool once an admin allowed it", async () => {
    const agent = await world.agentWith(["send_mail"]);
    const { recorded } = await world.run('TOOLCALL:send_mail {"to":"bob"}', { agent });
    expect(effects).toEqual(["bob"]);
    expect(recorded[1]).toMatchObject({ kind: "intent", call: { name: "send_mail", isIdempotent: false } });
  });

  it("does not run a tool whose intent could not be recorded", async () => {
    const agent = await world.agentWith(["send_mail"]);
    const broken = async () => {
      throw new AppError("storage_uncertain", "disk");
    };
    const never = async () => undefined;
    const recorder = { assistantStep: never, toolIntent: broken, toolResult: never, compacted: never };
    await expect(world.run('TOOLCALL:send_mail {"to":"bob"}', { agent, recorder })).rejects.toThrow("disk");
    expect(effects).toEqual([]);
  });

  it.each([
    ["wrong arguments", 'TOOLCALL:workspace_read {"path":7}', "The arguments are wrong"],
    ["broken JSON", "TOOLCALL:workspace_read {nope}", "cannot be read"],
    ["a path that leads out", 'TOOLCALL:workspace_read {"path":"../../secret"}', "must not go up"],
    ["an unknown name", "TOOLCALL:rm_rf {}", "There is no tool"],
    [
      "arguments nested deeper than 64",
      `TOOLCALL:workspace_read {"path":${"[".repeat(70)}${"]".repeat(70)}}`,
      "deeper than 64",
    ],
    ["a prototype key", 'TOOLCALL:workspace_read {"__proto__":{"x":1},"path":"a"}', "__proto__"],
  ])("answers a call with %s by an error, and goes on", async (_what, said, words) => {
    const { outcome, recorded } = await world.run(said);
    expect(outcome.status).toBe("done");
    expect(recorded.at(-1)).toMatchObject({ kind: "result", message: { isError: true } });
    expect(JSON.stringify(recorded.at(-1))).toContain(words);
  });

  it("cuts a result at 64 KiB", async () => {
    const agent = await world.agentWith(["big"]);
    const { recorded } = await world.run("TOOLCALL:big {}", { agent });
    const result = recorded.at(-1)?.kind === "result" ? JSON.stringify(recorded.at(-1)) : "";
    expect(result.length).toBeLessThan(70_000);
    expect(result).toContain("characters left out");
  });

  it("tells the model what was said meanwhile, between two calls", async () => {
    let asked = 0;
    const takeSteering = async () => {
      asked++;
      return asked === 1 ? [user("SAY:I heard you")] : [];
    };
    const { outcome } = await world.run("TOOLCALL:workspace_list {}", { takeSteering });
    expect(asked).toBe(1);
    expect(textOfOutcome(outcome)).toBe("I heard you");
  });

  it("ends after 24 model calls", async () => {
    const takeSteering = async () => [user("TOOLCALL:workspace_list {}")];
    const { outcome, recorded } = await world.run("TOOLCALL:workspace_list {}", { takeSteering });
    expect(outcome).toMatchObject({ status: "done", step: 24 });
    expect(mock.requests).toHaveLength(24);
    expect(recorded.filter(({ kind }) => kind === "assistant")).toHaveLength(23);
    const ids = recorded.flatMap((entry) => (entry.kind === "intent" ? [entry.call.id] : []));
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("gives every call in a broken history a result", async () => {
    const history: TranscriptMessage[] = [
      user("do it"),
      {
        role: "assistant",
        content: [{ type: "toolCall", id: "c1", name: "send_mail", arguments: {} }],
        provider: "mock",
        model: "mock-1",
        stopReason: "toolUse",
        timestamp: 2,
      },
      user("SAY:and now?"),
    ];
    await world.run(history);
    const sent = mock.requests[0]?.body?.messages ?? [];
    expect(sent.map((message) => message.role)).toEqual(["system", "user", "assistant", "tool", "user"]);
    expect(String(sent[3]?.content)).toContain("outcome is unknown");
  });
});

describe("a run that does not go well", () => {
  it.each([
    ["ERR401", "auth"],
    ["ERR429", "rate_limit"],
    ["ERR500", "overloaded"],
    ["GARBAGE", "format"],
  ])("%s ends as failed, with words and without a bill", async (word, failure) => {
    const { outcome } = await world.run(word);
    expect(outcome).toMatchObject({
      status: "failed",
      call: null,
      message: { stopReason: "error", content: [] },
      error: { code: "provider_failed", details: { failure } },
    });
    expect(outcome.message.errorMessage).toMatch(/^⚠️ mock\/mock-1 request failed/);
    expect(JSON.stringify(outcome)).not.toContain("operator-key");
  });

  it("keeps what arrived before a hang, and estimates its cost", async () => {
    await world.close();
    world = await AgentWorld.open(options({ deadlines: { idleMs: 100 } }));
    const { outcome } = await world.run("HANGMID");
    expect(outcome).toMatchObject({ status: "failed", error: { details: { failure: "timeout" } } });
    expect(textOfOutcome(outcome)).toBe("Hello from ");
    expect(outcome.call?.usage.isExact).toBe(false);
    expect(outcome.call?.usage.inputTokens).toBeGreaterThan(0);
    expect(outcome.call?.usage.outputTokens).toBeGreaterThan(0);
  });

  it("stops at once when aborted, keeps the partial text, and the provider is let go", async () => {
    const controller = new AbortController();
    const running = world.run("SLOW:400", {
      signal: controller.signal,
      emit: (event) => {
        if (event.type === "text") controller.abort();
      },
    });
    const { outcome } = await running;
    expect(outcome).toMatchObject({ status: "aborted", message: { stopReason: "aborted" } });
    expect(textOfOutcome(outcome)).toMatch(/^word1 /);
    expect(outcome.call?.usage).toMatchObject({ isExact: false });
    expect(outcome.message.errorMessage).toBeUndefined();
    const [seen] = mock.requests;
    await expect.poll(() => seen?.aborted).toBe(true);
  });

  it("takes no more messages and asks no model once aborted in a tool", async () => {
    const controller = new AbortController();
    let asked = 0;
    const { outcome } = await world.run("TOOLCALL:workspace_list {}", {
      signal: controller.signal,
      emit: (event) => {
        if (event.type === "tool_start") controller.abort();
      },
      takeSteering: async () => {
        asked++;
        return [];
      },
    });
    expect(outcome).toMatchObject({ status: "aborted", call: null });
    expect(asked).toBe(0);
    expect(mock.requests).toHaveLength(1);
  });

  it.each([
    ["USAGE:0:0", 1],
    ["USAGE:999999999999:5", 5],
  ])("does not believe impossible counts: %s", async (said, atLeast) => {
    const { outcome } = await world.run(said);
    expect(outcome.status).toBe("done");
    expect(outcome.call?.usage.isExact).toBe(false);
    expect(outcome.call?.usage.inputTokens).toBeGreaterThan(0);
    expect(outcome.call?.usage.inputTokens).toBeLessThan(1_000_000);
    expect(outcome.call?.usage.outputTokens).toBeGreaterThanOrEqual(atLeast);
  });

  it("says what to do when a model is not there", async () => {
    const { outcome } = await world.run("hello", { modelRef: "nobody/none" });
    expect(outcome).toMatchObject({ status: "failed", call: null, error: { code: "not_configured" } });
    expect(outcome.error?.publicMessage).toContain("Settings → Models");
  });
});

describe("a conversation that no longer fits", () => {
  const long = (count: number): TranscriptMessage[] =>
    Array.from({ length: count }, (_, index) => user(`Message ${index}: ${"lorem ipsum ".repeat(160)}`));

  it("is summarised once, its end kept word for word, and the summary is paid for", async () => {
    const history = [...long(40), user("SAY:done")];
    const { outcome, recorded } = await world.run(history);
    const compacted = recorded.filter((entry) => entry.kind === "compacted");
    expect(compacted).toHaveLength(1);
    expect(compacted[0]).toMatchObject({ step: 1, call: { step: 1, purpose: "compaction" } });
    expect(outcome).toMatchObject({ status: "done", step: 2, call: { step: 2, purpose: "turn" } });
    const message = compacted[0]?.message;
    const keptFrom = message?.role === "compaction" ? message.keptFromSeq : -1;
    expect(keptFrom).toBeGreaterThan(20);
    expect(keptFrom).toBeLessThan(history.length);
    const sent = (mock.requests[1]?.body?.messages ?? []).map((each) => String(each.content));
    expect(sent[1]).toContain("Summary of the conversation so far");
    expect(sent.slice(2)).toEqual(
      history.slice(keptFrom).map((each) => (each.role === "user" ? each.content : "")),
    );
    expect(mock.requests[0]?.body?.tools).toBeUndefined();
  });

  it("is summarised by the demo model too, the same way each time", async () => {
    const history = [...long(60), user("hi")];
    const first = await world.run(history, { modelRef: "demo/demo" });
    const second = await world.run(history, { modelRef: "demo/demo" });
    const summaryOf = (seen: typeof first) =>
      seen.recorded.flatMap((entry) => (entry.kind === "compacted" ? [JSON.stringify(entry.message)] : []));
    expect(first.recorded.some(({ kind }) => kind === "compacted")).toBe(true);
    expect(summaryOf(first).map(withoutTime)).toEqual(summaryOf(second).map(withoutTime));
    expect(first.outcome).toMatchObject({ status: "done", call: { keyOwner: "none", cost: undefined } });
  });

  it("goes on without a summary when none can be made", async () => {
    const { outcome, recorded } = await world.run([user("ERR500"), ...long(40), user("SAY:fine")]);
    expect(recorded).toEqual([]);
    expect(textOfOutcome(outcome)).toBe("fine");
  });
});

function withoutTime(text: string): string {
  return text.replace(/"timestamp":\d+/, "");
}
