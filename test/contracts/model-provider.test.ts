/** What any model provider must do, run against the built-in model and a real server that streams. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { DemoModel } from "#src/agents/models/model.demo.ts";
import { OpenAiCompatibleModel } from "#src/agents/models/model.openai-compatible.ts";
import type { ModelEvent, ModelProvider, ModelRequest } from "#src/agents/models/model.ts";
import { RetryingModel } from "#src/agents/models/retry.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { Egress, type EgressPolicy } from "#src/kernel/egress.ts";
import { AppError } from "#src/kernel/errors.ts";
import { makeLog } from "#src/kernel/log.ts";
import { type MockModel, start } from "#test/support/mock-model.ts";

const egress = new Egress({ allowPrivate: ["127.0.0.1"], log: makeLog({ level: "silent" }) });
let mock: MockModel;

beforeAll(async () => {
  mock = await start();
});
afterEach(() => mock.reset());
afterAll(async () => {
  await mock.close();
  await egress.close();
});

function provider(
  options: { key?: string; baseUrl?: string; policy?: Partial<EgressPolicy> } = {},
): ModelProvider {
  const model = new OpenAiCompatibleModel({
    providerId: "acme",
    baseUrl: options.baseUrl ?? mock.baseUrl,
    apiKey: options.key,
    keyOwner: "tenant",
    fetch: egress.fetchFor({ allowPrivate: true, redirects: 0, ...options.policy }),
  });
  return new RetryingModel(model, { clock: systemClock, random: () => 0.5, pauseMs: 1 });
}

function request(text: string, more: Partial<ModelRequest> = {}): ModelRequest {
  return {
    modelId: "mock-1",
    system: "Be kind.",
    messages: [{ role: "user", content: text, timestamp: 1 }],
    tools: [],
    maxOutputTokens: 100,
    signal: new AbortController().signal,
    ...more,
  };
}

async function collect(model: ModelProvider, asked: ModelRequest): Promise<ModelEvent[]> {
  const events: ModelEvent[] = [];
  for await (const event of model.stream(asked)) events.push(event);
  return events;
}

async function failureOf(model: ModelProvider, asked: ModelRequest): Promise<AppError> {
  const thrown: unknown = await collect(model, asked).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(AppError);
  return thrown as AppError;
}

function textOf(events: readonly ModelEvent[]): string {
  return events.map((event) => (event.type === "text" ? event.delta : "")).join("");
}

const TOOL = {
  name: "workspace_list",
  description: "List files",
  parameters: { type: "object", properties: { path: { type: "string" } } },
};

describe.each([
  ["the built-in model", () => new DemoModel({ clock: systemClock, pieceDelayMs: 0 })],
  ["an OpenAI-compatible server", () => provider({ key: "tenant-key" })],
])("%s", (_name, make) => {
  it("streams a text in pieces and finishes once, with usage", async () => {
    const events = await collect(make(), request("hello"));
    expect(events.filter((event) => event.type === "text").length).toBeGreaterThan(3);
    const finishes = events.filter((event) => event.type === "finish");
    expect(finishes).toHaveLength(1);
    expect(events.at(-1)).toBe(finishes[0]);
    expect(finishes[0]).toMatchObject({ stopReason: "stop", usage: { isExact: true, cacheReadTokens: 0 } });
    expect(textOf(events)).not.toContain("undefined");
  });

  it("asks for a tool when one is offered", async () => {
    const events = await collect(
      make(),
      request("TOOLCALL please list files with a tool", { tools: [TOOL] }),
    );
    const calls = events.filter((event) => event.type === "tool_call");
    expect(calls).toHaveLength(1);
    expect(calls[0]).toMatchObject({ name: "workspace_list", argsText: "{}" });
    expect(events.at(-1)).toMatchObject({ type: "finish", stopReason: "toolUse" });
  });

  it("throws the reason of an abort and says nothing more", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    let pieces = 0;
    const stream = make().stream(request("SLOW long", { signal: controller.signal }));
    const all = (async () => {
      for await (const event of stream) if (event.type === "text" && ++pieces === 2) controller.abort(reason);
    })();
    await expect(all).rejects.toBe(reason);
    expect(pieces).toBe(2);
  });
});

describe("the built-in model", () => {
  const demo = new DemoModel({ clock: systemClock, pieceDelayMs: 0 });

  it.each([
    "hi",
    "show me code",
    "markdown",
    "what about my bill?",
    "tell me a long story",
    "xyzzy",
    "list files",
  ])("says in every answer that it is no real AI: %s", async (text) => {
    expect(textOf(await collect(demo, request(text)))).toContain("not a real AI");
  });

  it("answers in Chinese when asked in Chinese", async () => {
    const text = textOf(await collect(demo, request("你好")));
    expect(text).toContain("不是真正的 AI");
    expect(text).not.toContain("not a real AI");
  });

  it("gives the same answer twice", async () => {
    expect(await collect(demo, request("markdown"))).toEqual(await collect(demo, request("markdown")));
  });
});

describe("an OpenAI-compatible server", () => {
  it("gets the tenant's key, the model, the limit and the wish for usage", async () => {
    await collect(provider({ key: "tenant-key" }), request("hello"));
    const [seen] = mock.requests;
    expect(seen?.headers["authorization"]).toBe("Bearer tenant-key");
    expect(seen?.body).toMatchObject({
      model: "mock-1",
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 100,
      messages: [
        { role: "system", content: "Be kind." },
        { role: "user", content: "hello" },
      ],
    });
    expect(seen?.headers["user-agent"]).toBe("creel");
  });

  it("gets no Authorization without a key, and nothing of the process's environment", async () => {
    const planted: Record<string, string> = {
      OPENAI_API_KEY: "sk-operator-canary",
      OPENAI_ORG_ID: "org-canary",
      OPENAI_PROJECT_ID: "proj-canary",
      OPENAI_BASE_URL: "http://127.0.0.1:1/canary",
      OPENAI_CUSTOM_HEADERS: "x-canary: canary",
      AI_GATEWAY_API_KEY: "gateway-canary",
      HTTP_PROXY: "http://127.0.0.1:1",
      HTTPS_PROXY: "http://127.0.0.1:1",
      ALL_PROXY: "http://127.0.0.1:1",
      NODE_USE_ENV_PROXY: "1",
    };
    const before = { ...process.env };
    Object.assign(process.env, planted);
    try {
      await collect(provider(), request("hello"));
    } finally {
      for (const name of Object.keys(planted)) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
    expect(mock.requests).toHaveLength(1);
    const wire = JSON.stringify(mock.requests[0]);
    expect(mock.requests[0]?.headers["authorization"]).toBeUndefined();
    expect(wire).not.toContain("canary");
  });

  it("may send reasoning before the text", async () => {
    const events = await collect(provider(), request("REASON"));
    const thought = events.map((event) => (event.type === "reasoning" ? event.delta : "")).join("");
    expect(thought).toBe("Let me think. Two and two is four.");
    expect(textOf(events)).not.toContain("Let me think");
  });

  it("may report no usage", async () => {
    const events = await collect(provider(), request("NOUSAGE"));
    expect(events.at(-1)).toEqual({ type: "finish", stopReason: "stop", usage: null });
  });

  it.each([
    ["ERR401", "auth", "(authentication failed, HTTP 401)", 1],
    ["ERR402", "billing", "HTTP 402", 1],
    ["ERR404", "not_found", "HTTP 404", 1],
    ["ERR429", "rate_limit", "(rate limit reached, HTTP 429)", 3],
    ["ERR500", "overloaded", "HTTP 500", 3],
  ])(
    "%s becomes words without keys, after the right number of tries",
    async (word, failure, words, tries) => {
      const error = await failureOf(provider({ key: "sk-tenant-secret-canary" }), request(word));
      expect(error).toMatchObject({
        code: "provider_failed",
        details: { provider: "acme", model: "mock-1", failure },
      });
      expect(error.publicMessage).toMatch(/^⚠️ acme\/mock-1 request failed \(/);
      expect(error.publicMessage).toContain(words);
      expect(JSON.stringify([error.publicMessage, error.details])).not.toContain("canary");
      expect(mock.requests).toHaveLength(tries);
    },
  );

  it("is asked again after a fault, and answers once", async () => {
    const events = await collect(provider(), request("FLAKY:2 hello"));
    expect(mock.requests).toHaveLength(3);
    expect(events.filter((event) => event.type === "finish")).toHaveLength(1);
  });

  it("is not asked again after the first piece", async () => {
    const paced = await start({ pieceDelayMs: 15 });
    const pieces: string[] = [];
    const all = (async () => {
      for await (const event of provider({ baseUrl: paced.baseUrl }).stream(request("CUTMID"))) {
        if (event.type === "text") pieces.push(event.delta);
      }
    })();
    await expect(all).rejects.toMatchObject({ code: "provider_failed", details: { failure: "interrupted" } });
    expect(pieces[0]).toBe("Hello ");
    expect(paced.requests).toHaveLength(1);
    await paced.close();
  });

  it("that sends garbage is not understood, and nothing breaks", async () => {
    const error = await failureOf(provider(), request("GARBAGE"));
    expect(error).toMatchObject({ code: "provider_failed", details: { failure: "format" } });
  });

  it.each(["HANG", "HANGMID"])("that hangs (%s) is given up, and let go", async (word) => {
    const error = await failureOf(provider({ policy: { idleMs: 80 } }), request(word));
    expect(error).toMatchObject({ code: "provider_failed", details: { failure: "timeout" } });
    expect(mock.requests).toHaveLength(1);
  });

  it("that never ends is given up in the end", async () => {
    const error = await failureOf(provider({ policy: { totalMs: 150 } }), request("SLOW:4000"));
    expect(error.details).toMatchObject({ failure: "timeout" });
  });

  it("that is not there is unreachable", async () => {
    const error = await failureOf(provider({ baseUrl: "http://127.0.0.1:1/v1" }), request("hello"));
    expect(error.details).toMatchObject({ failure: "unreachable" });
  });

  it("inside, but not listed by the operator, is refused before any connection", async () => {
    const strict = new Egress({ allowPrivate: [], log: makeLog({ level: "silent" }) });
    const model = new OpenAiCompatibleModel({
      providerId: "acme",
      baseUrl: mock.baseUrl,
      apiKey: "k",
      keyOwner: "tenant",
      fetch: strict.fetchFor({ allowPrivate: true }),
    });
    expect(await failureOf(model, request("hello"))).toMatchObject({ code: "egress_refused" });
    expect(mock.requests).toEqual([]);
    await strict.close();
  });
});

describe("a server of the wild", () => {
  const servers: Server[] = [];
  afterAll(() => {
    for (const server of servers) server.close().closeAllConnections();
  });

  /** A server that streams exactly these lines. */
  async function serve(lines: readonly string[], headers: Record<string, string> = {}, status = 200) {
    let calls = 0;
    const server = createServer((_request, response) => {
      calls++;
      response.writeHead(status, { "content-type": "text/event-stream", ...headers });
      response.end(lines.map((line) => `data: ${line}\n\n`).join(""));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    return { model: provider({ baseUrl, key: "k" }), calls: () => calls };
  }

  const chunk = (delta: unknown, finish: string | null = null, more: object = {}) =>
    JSON.stringify({ id: "1", choices: [{ index: 0, delta, finish_reason: finish }], ...more });

  it.each([
    ["a text where a number belongs", { prompt_tokens: "many", completion_tokens: 1 }],
    ["nothing", {}],
  ])("that counts %s still gives its answer", async (_what, usage) => {
    const { model } = await serve([
      chunk({ content: "fine" }),
      chunk({}, "stop"),
      JSON.stringify({ choices: [], usage }),
      "[DONE]",
    ]);
    const events = await collect(model, request("x"));
    expect(textOf(events)).toBe("fine");
    expect(events.at(-1)).toEqual({ type: "finish", stopReason: "stop", usage: null });
  });

  it("that ends without a word of ending broke off", async () => {
    const { model } = await serve([chunk({ content: "half" })]);
    expect((await failureOf(model, request("x"))).details).toMatchObject({ failure: "interrupted" });
  });

  it("that is cut while a tool's call is written has begun, and is not asked again", async () => {
    const head = { index: 0, id: "c1", type: "function", function: { name: "write", arguments: '{"a":"' } };
    const { model, calls } = await serve([chunk({ tool_calls: [head] })]);
    const events: ModelEvent[] = [];
    const all = (async () => {
      for await (const event of model.stream(request("x", { tools: [TOOL] }))) events.push(event);
    })();
    await expect(all).rejects.toMatchObject({ details: { failure: "interrupted" } });
    expect(events.slice(0, 2)).toEqual([
      { type: "tool_input", id: "c1", delta: "write" },
      { type: "tool_input", id: "c1", delta: '{"a":"' },
    ]);
    expect(calls()).toBe(1);
  });

  it("that refuses just when the person stops has refused", async () => {
    const controller = new AbortController();
    const pull = (stream: ReadableStreamDefaultController) => {
      stream.enqueue(Buffer.from('{"error":{"message":"no"}}'));
      stream.close();
      controller.abort();
    };
    const body = new ReadableStream({ pull }, { highWaterMark: 0 });
    const refusing = () => Promise.resolve(new Response(body, { status: 401 }));
    const common = { providerId: "acme", baseUrl: "https://models.example/v1", apiKey: "k" };
    const model = new OpenAiCompatibleModel({
      ...common,
      keyOwner: "tenant",
      fetch: refusing as typeof fetch,
    });
    const error = await failureOf(model, request("x", { signal: controller.signal }));
    expect(controller.signal.aborted).toBe(true);
    expect(error).toMatchObject({ code: "provider_failed", details: { failure: "auth" } });
  });

  it("that was never asked, because the stop came first, is not said to be at work", async () => {
    const error = await failureOf(provider(), request("hello", { signal: AbortSignal.abort() }));
    expect(error).toMatchObject({ code: "provider_failed" });
    expect(mock.requests).toEqual([]);
  });

  it("that nests five thousand deep does not take us down", async () => {
    const deep = `${"[".repeat(5_000)}${"]".repeat(5_000)}`;
    const { model } = await serve([
      `{"id":"1","choices":[{"index":0,"delta":{"content":"ok"},"finish_reason":"stop","x":${deep}}]}`,
    ]);
    const events = await collect(model, request("x")).catch((error: unknown) => error);
    if (events instanceof Error) expect(events).toMatchObject({ code: "provider_failed" });
    else expect(textOf(events as ModelEvent[])).toBe("ok");
  });

  it("that asks to wait an hour is not asked again, and says so", async () => {
    const { model, calls } = await serve(
      ['{"error":{"message":"slow down"}}'],
      { "retry-after": "3600" },
      429,
    );
    expect(await failureOf(model, request("x"))).toMatchObject({ retryAfterMs: 3_600_000 });
    expect(calls()).toBe(1);
  });

  it("that asks to wait for garbage is asked again at our own pace", async () => {
    const { model, calls } = await serve(
      ['{"error":{"message":"slow down"}}'],
      { "retry-after": "soon" },
      429,
    );
    expect(await failureOf(model, request("x"))).toMatchObject({ retryAfterMs: undefined });
    expect(calls()).toBe(3);
  });

  it("that redirects is not followed, so that the key goes nowhere else", async () => {
    const { model } = await serve([], { location: mock.baseUrl }, 307);
    expect(await failureOf(model, request("x"))).toMatchObject({ code: "provider_failed" });
    expect(mock.requests).toEqual([]);
  });

  it("that echoes the key in an error does not spread it", async () => {
    const { model } = await serve(
      ['{"error":{"message":"bad model for key sk-abcdef0123456789 at https://internal.example/x"}}'],
      {},
      400,
    );
    const error = await failureOf(model, request("x"));
    expect(error.publicMessage).toContain("bad model");
    expect(error.publicMessage).not.toMatch(/sk-abcdef|internal\.example/);
  });
});
