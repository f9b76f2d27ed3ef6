/**
 * A chat-completions server on loopback, for tests and benchmarks. Owns: the wire form an OpenAI-compatible provider speaks
 * (streamed and whole), and the faults such a provider shows. Refuses to know: anything of the gateway that calls it.
 *
 * Words in the last user message choose what it does; without one it greets and repeats what it was told:
 *
 *   SLOW               forty words with a pause after each         NOUSAGE   a stream that never reports usage
 *   SLOW:n             n words                                     REASON    reasoning_content before the text
 *   TOOLCALL           calls the first tool it was offered         ERR401 ERR429 ERR500   that status, an OpenAI error body
 *   TOOLCALL:name {…}  calls that tool with these arguments        HANG      takes the request and never answers
 *   TOOLCALL:name*n …  n such calls at once                        HANGMID   two pieces, then silence
 *   TEXTTOOL:name {…}  one call, after some text
 *   SAY:text           says exactly the rest of the line           CUTMID    two pieces, then the socket is destroyed
 *   LONG:n             about n characters of text, in 64 pieces    GARBAGE   a stream that is not SSE JSON
 *   USAGE:in:out       reports these token counts                  FLAKY:n   the first n calls with this message answer 500
 *
 * Words that make its own counts differ from what it tells are in mock-usage.
 *
 * After a tool result it answers with a text that quotes the result. Usage is the same on every call (120 in, 20 out) unless
 * `USAGE` says otherwise, so that a test can multiply.
 *
 * As a script: `node test/support/mock-model.ts --port 4010 [--no-bodies]`. `GET /_mock/requests`, `GET /_mock/totals` and
 * `POST /_mock/reset` show and clear what a separate process recorded.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { MockUsage, readUsageScript, type UsageScript } from "./mock-usage.ts";

/** Tokens every call reports when the message does not ask for others. */
export const MOCK_USAGE = { promptTokens: 120, completionTokens: 20 } as const;

/** The model id the server lists; it answers to any other just the same. */
export const MOCK_MODEL_ID = "mock-1";

/** One call the server received, kept in order of arrival. */
export type MockRequest = {
  method: string;
  path: string;
  headers: Record<string, string>;
  /** The parsed JSON body; `undefined` when it was not JSON or bodies are not kept. */
  body: ChatBody | undefined;
  /** Text of the last user message, the one that chose the behaviour. */
  lastUserText: string;
  /** Milliseconds from the request's arrival to the end of the answer; -1 while it is still open. */
  durationMs: number;
  /** HTTP status answered; 0 while nothing was sent. */
  status: number;
  /** True when the caller went away before the answer was complete. */
  aborted: boolean;
};

/** Sum of the token counts that were really sent to callers. */
export type MockTotals = { calls: number; promptTokens: number; completionTokens: number };

/** A running mock model. */
export type MockModel = {
  /** `http://127.0.0.1:<port>`, without a path. */
  url: string;
  /** What a provider's `baseUrl` wants: the url with `/v1`. */
  baseUrl: string;
  port: number;
  requests: MockRequest[];
  totals: MockTotals;
  /** What it counted for itself. */
  counted: MockUsage;
  /** Forgets what was recorded. */
  reset(): void;
  /** From now on every count of usage is this, whatever JSON makes of it; undefined tells the truth again. */
  lieAboutUsage(count: unknown): void;
  /** Resolves with the first recorded call that satisfies the predicate, at once or when it arrives. */
  waitFor(predicate: (request: MockRequest) => boolean): Promise<MockRequest>;
  close(): Promise<void>;
};

/** Where to listen and how to pace. */
export type MockOptions = {
  port?: number;
  /** Pause between two pieces of an ordinary reply, milliseconds (0: none). */
  pieceDelayMs?: number;
  /** Pause between two words of `SLOW`, milliseconds. */
  slowDelayMs?: number;
  /** False keeps no request bodies (benchmarks with tens of thousands of calls). */
  keepBodies?: boolean;
};

type ChatMessage = { role: string; content?: unknown; tool_calls?: unknown; tool_call_id?: string };
type ToolOffer = { type?: string; function?: { name?: string } };
type ChatBody = {
  model?: string;
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
  messages?: ChatMessage[];
  tools?: ToolOffer[];
  [key: string]: unknown;
};

/** What one call will say, decided before the first byte. */
type Plan = {
  pieces: string[];
  reasoning: string[];
  toolCall?: { name: string; args: string; times: number };
  delayMs: number;
  usage?: { promptTokens: number; completionTokens: number };
  script: UsageScript;
  /** Send this many pieces, then stop as `stop` says. */
  cut?: { after: number; how: "hang" | "destroy" };
};

/** Starts a mock model on loopback; port 0 picks a free one. */
export async function start(options: MockOptions = {}): Promise<MockModel> {
  const state = new MockState(options);
  const server = createServer((req, res) => {
    serve(state, req, res).catch(() => res.destroy());
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  const port = (server.address() as AddressInfo).port;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    baseUrl: `${url}/v1`,
    port,
    requests: state.requests,
    totals: state.totals,
    counted: state.counted,
    reset: () => state.reset(),
    lieAboutUsage: (count) => {
      state.lie = count;
    },
    waitFor: (predicate) => state.waitFor(predicate),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The record of one server: calls, totals, who waits for a call, which flaky messages were seen. */
class MockState {
  readonly requests: MockRequest[] = [];
  readonly totals: MockTotals = { calls: 0, promptTokens: 0, completionTokens: 0 };
  readonly flaky = new Map<string, number>();
  readonly counted = new MockUsage();
  readonly options: Required<MockOptions>;
  /** What is reported instead of counts. */
  lie: unknown;
  private waiters: {
    predicate: (request: MockRequest) => boolean;
    resolve: (request: MockRequest) => void;
  }[] = [];

  constructor(options: MockOptions) {
    this.options = { port: 0, pieceDelayMs: 0, slowDelayMs: 40, keepBodies: true, ...options };
  }

  record(request: MockRequest): void {
    this.requests.push(request);
    this.totals.calls += 1;
    const due = this.waiters.filter((waiter) => waiter.predicate(request));
    this.waiters = this.waiters.filter((waiter) => !due.includes(waiter));
    for (const waiter of due) waiter.resolve(request);
  }

  waitFor(predicate: (request: MockRequest) => boolean): Promise<MockRequest> {
    const seen = this.requests.find(predicate);
    if (seen) return Promise.resolve(seen);
    return new Promise((resolve) => this.waiters.push({ predicate, resolve }));
  }

  bill(usage: { promptTokens: number; completionTokens: number }): void {
    this.totals.promptTokens += usage.promptTokens;
    this.totals.completionTokens += usage.completionTokens;
  }

  reset(): void {
    this.requests.length = 0;
    this.flaky.clear();
    this.counted.calls.length = 0;
    Object.assign(this.totals, { calls: 0, promptTokens: 0, completionTokens: 0 });
  }
}

async function serve(state: MockState, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const path = (req.url ?? "/").split("?")[0] ?? "/";
  if (path.startsWith("/_mock/")) return serveControl(state, path, res);
  const startedAt = performance.now();
  const raw = await readBody(req);
  const body = parse(raw);
  const request: MockRequest = {
    method: req.method ?? "",
    path,
    headers: Object.fromEntries(Object.entries(req.headers).map(([name, value]) => [name, String(value)])),
    body: state.options.keepBodies ? body : undefined,
    lastUserText: lastUserText(body?.messages ?? []),
    durationMs: -1,
    status: 0,
    aborted: false,
  };
  res.once("close", () => {
    request.durationMs = performance.now() - startedAt;
    request.status = res.headersSent ? res.statusCode : 0;
    request.aborted = !res.writableFinished;
  });
  state.record(request);
  if (path.endsWith("/organization/usage/completions"))
    return sendJson(res, 200, state.counted.page(new URL(req.url ?? "/", "http://mock").searchParams));
  if (path.endsWith("/models")) return sendJson(res, 200, listModels());
  if (!path.endsWith("/chat/completions") || !body) return sendError(res, body ? 404 : 400, "not_found");
  await answer(state, body, request.lastUserText, res);
}

async function answer(state: MockState, body: ChatBody, text: string, res: ServerResponse): Promise<void> {
  const status = errorStatus(state, text) ?? billedFailure(state, body, text);
  if (status) return sendError(res, status, `scripted ${status}`);
  if (has(text, "HANG")) return;
  if (has(text, "GARBAGE")) {
    res.writeHead(200, { "content-type": "text/event-stream" });
    res.end(
      'data: {"choices":[{"delta":{"content":"half a fra\n\nnot an event\n\ndata: <html>502</html>\n\n',
    );
    return;
  }
  const plan = makePlan(state, body, text);
  if (body.stream) await stream(state, body, plan, res);
  else sendWhole(state, body, plan, res);
}

/** Decides the reply. A conversation whose last turn already holds a tool result gets a text, so that loops end. */
function makePlan(state: MockState, body: ChatBody, text: string): Plan {
  const usage = scriptedUsage(text);
  const script = readUsageScript(text);
  const plan: Plan = { pieces: [], reasoning: [], delayMs: state.options.pieceDelayMs, usage, script };
  const toolResult = lastToolResult(body.messages ?? []);
  if (has(text, "NOUSAGE")) plan.usage = undefined;
  if (has(text, "REASON")) plan.reasoning = ["Let me think. ", "Two and two ", "is four."];
  if (toolResult !== undefined) {
    plan.pieces = ["The tool said: ", ...chop(toolResult.slice(0, 2000), 40), " That is all."];
    return plan;
  }
  const call = scriptedCall(body, text);
  if (call) {
    plan.toolCall = call;
    if (text.includes("TEXTTOOL:")) plan.pieces = ["Let me ", "look. "];
    return plan;
  }
  const slow = /\bSLOW(?::(\d+))?\b/.exec(text);
  if (slow) {
    plan.pieces = Array.from({ length: Number(slow[1] ?? 40) }, (_, n) => `word${n + 1} `);
    plan.delayMs = state.options.slowDelayMs;
    return plan;
  }
  plan.pieces = plainPieces(text);
  if (has(text, "HANGMID")) plan.cut = { after: 2, how: "hang" };
  if (has(text, "CUTMID")) plan.cut = { after: 2, how: "destroy" };
  return plan;
}

function plainPieces(text: string): string[] {
  const say = /\bSAY:(.*)/.exec(text);
  if (say) return chop(say[1]?.trim() || "nothing", 12);
  const long = /\bLONG:(\d+)\b/.exec(text);
  if (long) {
    const size = Number(long[1]);
    return chop(
      "lorem ipsum dolor sit amet ".repeat(Math.ceil(size / 27)).slice(0, size),
      Math.ceil(size / 64),
    );
  }
  return ["Hello ", "from ", "the ", "mock ", "model. ", "You ", "said: ", ...chop(echo(text), 24)];
}

/** The first line of what was said, without the time stamp that gateways put before it. */
function echo(text: string): string {
  const said = text.replace(/^\[[^\]\n]*\] /, "").trim();
  return (said.split("\n")[0] ?? "").slice(0, 200);
}

/** The call the message asks for, if any; the arguments are whatever JSON object follows the name. */
function scriptedCall(body: ChatBody, text: string): Plan["toolCall"] {
  const named = /\b(?:TOOLCALL|TEXTTOOL):([\w.-]+)(?:\*(\d+))?\s*(\{[\s\S]*\})?/.exec(text);
  if (named) return { name: named[1] ?? "", args: named[3] ?? "{}", times: Number(named[2] ?? 1) };
  if (!has(text, "TOOLCALL")) return undefined;
  return { name: body.tools?.[0]?.function?.name ?? "missing_tool", args: "{}", times: 1 };
}

function errorStatus(state: MockState, text: string): number | undefined {
  const scripted = /\bERR(401|402|403|404|429|500|503)\b/.exec(text);
  if (scripted) return Number(scripted[1]);
  const flaky = /\bFLAKY:(\d+)\b/.exec(text);
  if (!flaky) return undefined;
  const seen = state.flaky.get(text) ?? 0;
  state.flaky.set(text, seen + 1);
  return seen < Number(flaky[1]) ? 500 : undefined;
}

/** Calls that were counted and came to nothing for whoever made them. */
function billedFailure(state: MockState, body: ChatBody, text: string): number | undefined {
  const { failures } = readUsageScript(text);
  const seen = state.flaky.get(text) ?? 0;
  if (seen >= failures) return undefined;
  state.flaky.set(text, seen + 1);
  state.counted.count(body.model ?? MOCK_MODEL_ID, scriptedUsage(text), 0);
  return 503;
}

async function stream(state: MockState, body: ChatBody, plan: Plan, res: ServerResponse): Promise<void> {
  res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const send = (choice: unknown, extra: Record<string, unknown> = {}) =>
    res.write(
      `data: ${JSON.stringify({ ...envelope(body, "chat.completion.chunk"), choices: choice ? [choice] : [], ...extra })}\n\n`,
    );
  const piece = async (delta: Record<string, unknown>) => {
    send({ index: 0, delta, finish_reason: null });
    if (plan.delayMs > 0) await pause(plan.delayMs);
  };
  send({ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null });
  for (const reasoning of plan.reasoning) await piece({ reasoning_content: reasoning });
  for (const [index, text] of plan.pieces.entries()) {
    if (res.destroyed) return;
    if (plan.cut && index >= plan.cut.after) {
      if (plan.cut.how === "destroy") res.destroy();
      return;
    }
    await piece({ content: text });
  }
  if (plan.toolCall) await streamCall(plan.toolCall, state.totals.calls, piece);
  if (res.destroyed) return;
  send({ index: 0, delta: {}, finish_reason: plan.toolCall ? "tool_calls" : "stop" });
  if (plan.usage) {
    const { script, usage } = plan;
    if (!script.isDropped) send(undefined, { usage: wireUsage(usage, state.lie, script.told) });
    if (!script.isDropped) state.bill(usage);
    state.counted.count(body.model ?? MOCK_MODEL_ID, usage, script.counted);
  }
  res.end("data: [DONE]\n\n");
}

/** A call arrives as real providers send it: id and name first, the arguments in fragments. */
async function streamCall(
  call: NonNullable<Plan["toolCall"]>,
  serial: number,
  piece: (delta: Record<string, unknown>) => Promise<void>,
): Promise<void> {
  for (let index = 0; index < call.times; index++) {
    const id = index === 0 ? `call_${serial}` : `call_${serial}_${index}`;
    await piece({
      tool_calls: [{ index, id, type: "function", function: { name: call.name, arguments: "" } }],
    });
    for (const part of chop(call.args, 16))
      await piece({ tool_calls: [{ index, function: { arguments: part } }] });
  }
}

function sendWhole(state: MockState, body: ChatBody, plan: Plan, res: ServerResponse): void {
  if (plan.cut) {
    if (plan.cut.how === "destroy") res.destroy();
    return;
  }
  const message: Record<string, unknown> = { role: "assistant", content: plan.pieces.join("") || null };
  if (plan.reasoning.length) message.reasoning_content = plan.reasoning.join("");
  if (plan.toolCall) {
    const { name, args } = plan.toolCall;
    const fn = { name, arguments: args };
    message.tool_calls = [{ id: `call_${state.totals.calls}`, type: "function", function: fn }];
  }
  if (plan.usage) state.bill(plan.usage);
  if (plan.usage) state.counted.count(body.model ?? MOCK_MODEL_ID, plan.usage, plan.script.counted);
  sendJson(res, 200, {
    ...envelope(body, "chat.completion"),
    choices: [{ index: 0, message, finish_reason: plan.toolCall ? "tool_calls" : "stop" }],
    ...(plan.usage ? { usage: wireUsage(plan.usage, state.lie, plan.script.told) } : {}),
  });
}

function serveControl(state: MockState, path: string, res: ServerResponse): void {
  if (path === "/_mock/reset") state.reset();
  const withoutBodies = () => state.requests.map(({ headers: _headers, body: _body, ...rest }) => rest);
  const pages: Record<string, () => unknown> = {
    "/_mock/requests": withoutBodies,
    "/_mock/totals": () => state.totals,
    "/_mock/reset": () => ({ ok: true }),
  };
  const page = pages[path];
  if (page) sendJson(res, 200, page());
  else sendError(res, 404, "no such page");
}

function listModels(): unknown {
  return {
    object: "list",
    data: [{ id: MOCK_MODEL_ID, object: "model", created: 1_700_000_000, owned_by: "mock" }],
  };
}

function envelope(body: ChatBody, object: string): Record<string, unknown> {
  return { id: "chatcmpl-mock", object, created: 1_700_000_000, model: body.model ?? MOCK_MODEL_ID };
}

function wireUsage(
  usage: { promptTokens: number; completionTokens: number },
  lie?: unknown,
  cachedTokens = 0,
): Record<string, unknown> {
  if (lie !== undefined) return { prompt_tokens: lie, completion_tokens: lie, total_tokens: lie };
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

function scriptedUsage(text: string): { promptTokens: number; completionTokens: number } {
  const scripted = /\bUSAGE:(\d+):(\d+)\b/.exec(text);
  return scripted ? { promptTokens: Number(scripted[1]), completionTokens: Number(scripted[2]) } : MOCK_USAGE;
}

function lastUserText(messages: ChatMessage[]): string {
  return contentText(messages.findLast((message) => message.role === "user" && !isContext(message))?.content);
}

/** The tool result that ends the conversation, if one does. */
function lastToolResult(messages: ChatMessage[]): string | undefined {
  const last = messages.findLast((message) => !isContext(message));
  return last?.role === "tool" ? contentText(last.content) : undefined;
}

/** Stock OpenClaw adds a user message of its own after the person's; it is not what the person said. */
function isContext(message: ChatMessage): boolean {
  return contentText(message.content).startsWith("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT");
}

function contentText(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content
    .map((part: { text?: unknown }) => (typeof part?.text === "string" ? part.text : ""))
    .join("");
}

function has(text: string, word: string): boolean {
  return new RegExp(`\\b${word}\\b`).test(text);
}

function chop(text: string, size: number): string[] {
  return Array.from({ length: Math.ceil(text.length / size) }, (_, n) =>
    text.slice(n * size, (n + 1) * size),
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function parse(raw: string): ChatBody | undefined {
  try {
    return JSON.parse(raw || "{}") as ChatBody;
  } catch {
    return undefined;
  }
}

async function readBody(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

function sendJson(res: ServerResponse, status: number, value: unknown): void {
  res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

function sendError(res: ServerResponse, status: number, message: string): void {
  const types: Record<number, string> = {
    401: "invalid_api_key",
    429: "rate_limit_exceeded",
    500: "server_error",
  };
  if (status === 429) res.setHeader("retry-after", "1");
  sendJson(res, status, {
    error: { message, type: types[status] ?? "invalid_request_error", code: types[status] ?? null },
  });
}

if (import.meta.main) {
  const portFlag = process.argv.indexOf("--port");
  const mock = await start({
    port: portFlag > 0 ? Number(process.argv[portFlag + 1]) : 0,
    keepBodies: !process.argv.includes("--no-bodies"),
  });
  process.stdout.write(`${mock.url}\n`);
  process.once("SIGTERM", () => void mock.close().then(() => process.exit(0)));
}
