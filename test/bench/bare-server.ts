/**
 * The least a WebSocket server can do for the same clients: the yardstick of `npm run bench`. Owns: challenge, hello, `health`,
 * and a chat turn that calls the model over HTTP and streams the same chat frames. Refuses to know: tenants, tokens, disks,
 * sessions, limits; nothing is checked and nothing is kept. It calls the model with Node's own `fetch`, as one would.
 *
 * `node test/bench/bare-server.ts --port N --model http://127.0.0.1:M/v1`
 */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";

type Request = {
  id: string;
  method: string;
  params?: { sessionKey?: string; message?: string; idempotencyKey?: string };
};

const COALESCE_MS = 75;
const argument = (name: string) => process.argv[process.argv.indexOf(name) + 1] ?? "";
const modelUrl = `${argument("--model")}/chat/completions`;

const http = createServer((_req, res) => res.end("ok"));
const wss = new WebSocketServer({ server: http, perMessageDeflate: false });

wss.on("connection", (socket) => {
  let seq = 0;
  const emit = (event: string, payload: unknown) => {
    seq += 1;
    socket.send(JSON.stringify({ type: "event", event, payload, seq }));
  };
  socket.send(event("connect.challenge", { nonce: randomUUID(), ts: Date.now() }));
  socket.on("message", (bytes: Buffer) => {
    const frame = JSON.parse(bytes.toString("utf8")) as Request;
    if (frame.method === "chat.send") {
      runTurn(socket, frame, emit).catch(() => socket.close(1011));
      return;
    }
    const payload = frame.method === "connect" ? hello() : { ok: true, ts: Date.now(), durationMs: 0 };
    socket.send(JSON.stringify({ type: "res", id: frame.id, ok: true, payload }));
  });
});

http.listen(Number(argument("--port")), "127.0.0.1");

function event(name: string, payload: unknown): string {
  return JSON.stringify({ type: "event", event: name, payload });
}

function hello(): unknown {
  return {
    type: "hello-ok",
    protocol: 4,
    server: { version: "bare", connId: randomUUID() },
    features: { methods: ["health", "chat.send"], events: ["chat"] },
    snapshot: { presence: [], health: {}, stateVersion: { presence: 0, health: 0 }, uptimeMs: 1 },
    auth: { role: "operator", scopes: ["operator.admin"] },
    policy: { maxPayload: 26_214_400, maxBufferedBytes: 52_428_800, tickIntervalMs: 30_000 },
  };
}

/** Ack, deltas at most one per window, one final. */
async function runTurn(
  socket: WebSocket,
  frame: Request,
  emit: (event: string, payload: unknown) => void,
): Promise<void> {
  const { sessionKey = "", message = "", idempotencyKey: runId = randomUUID() } = frame.params ?? {};
  socket.send(JSON.stringify({ type: "res", id: frame.id, ok: true, payload: { runId, status: "started" } }));
  const turn = { runId, sessionKey, agentId: "main" };
  let [text, sent, seq, lastAt] = ["", "", 0, 0];
  const chat = (state: string, more: Record<string, unknown>) => {
    seq += 1;
    const said = { role: "assistant", content: [{ type: "text", text }], timestamp: Date.now() };
    emit("chat", { ...turn, seq, state, ...more, message: said });
  };
  for await (const piece of complete(message)) {
    text += piece;
    if (Date.now() - lastAt < COALESCE_MS) continue;
    lastAt = Date.now();
    chat("delta", { deltaText: text.slice(sent.length) });
    sent = text;
  }
  if (sent !== text) chat("delta", { deltaText: text.slice(sent.length) });
  chat("final", { stopReason: "stop" });
}

/** The text pieces of one streamed completion. */
async function* complete(message: string): AsyncGenerator<string> {
  const response = await fetch(modelUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "mock-1", stream: true, messages: [{ role: "user", content: message }] }),
  });
  let rest = "";
  for await (const text of (response.body as ReadableStream<Uint8Array>).pipeThrough(
    new TextDecoderStream(),
  )) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: {")) continue;
      const parsed = JSON.parse(line.slice(6)) as { choices: { delta?: { content?: string } }[] };
      const piece = parsed.choices[0]?.delta?.content;
      if (piece) yield piece;
    }
  }
}
