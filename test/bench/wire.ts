/**
 * A lean protocol client for measuring: as little work per frame as possible, so that the numbers are the server's. Owns: connect,
 * requests, ends of runs, counting. Refuses to know: what is measured. Tests of behaviour use the real client (test/clients).
 */
import { randomUUID } from "node:crypto";
import { WebSocket } from "ws";
import type { Target } from "../clients/target.ts";

type Answer = { ok: boolean; payload: Record<string, unknown>; error?: { message: string } };
type Waiter = { resolve: (payload: Record<string, unknown>) => void; reject: (error: Error) => void };

const SCOPES = ["operator.admin", "operator.read", "operator.write"];

/** One connection after hello. */
export class Wire {
  private readonly socket: WebSocket;
  private readonly waiting = new Map<string, Waiter>();
  private readonly runs = new Map<string, Waiter>();
  private serial = 0;
  private counting: (() => void) | undefined;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (bytes: Buffer) => this.receive(bytes));
    socket.on("close", (code, reason) => this.fail(new Error(`socket closed: ${code} ${reason.toString()}`)));
    socket.on("error", (error) => this.fail(error));
  }

  /** Opens, waits for the challenge, connects as a backend client with the target's token. */
  static async open(target: Target): Promise<Wire> {
    const socket = new WebSocket(target.wsUrl, { perMessageDeflate: false, maxPayload: 64 * 1024 * 1024 });
    const challenged = new Promise<void>((resolve, reject) => {
      socket.once("message", () => resolve());
      socket.once("error", reject);
    });
    await challenged;
    const wire = new Wire(socket);
    await wire.request("connect", {
      minProtocol: 4,
      maxProtocol: 4,
      client: { id: "gateway-client", version: "1.0.0", platform: "linux", mode: "backend" },
      role: "operator",
      scopes: SCOPES,
      caps: [],
      auth: { token: target.token },
    });
    return wire;
  }

  request(method: string, params: unknown = {}): Promise<Record<string, unknown>> {
    this.serial += 1;
    const id = String(this.serial);
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ type: "req", id, method, params }));
    });
  }

  /** Sends a message and resolves at the run's final; rejects when it ends otherwise. */
  async turn(sessionKey: string, message: string): Promise<void> {
    const runId = randomUUID();
    const end = new Promise<void>((resolve, reject) => {
      this.runs.set(runId, { resolve: () => resolve(), reject });
    });
    end.catch(() => undefined);
    await this.request("chat.send", { sessionKey, message, idempotencyKey: runId });
    await end;
  }

  /** Keeps `window` requests in flight for a time; returns how many were answered. Counts without parsing. */
  async flood(method: string, window: number, forMs: number): Promise<number> {
    let answered = 0;
    const first = await this.request(method);
    if (first["ok"] !== true) throw new Error(`${method} answered ${JSON.stringify(first).slice(0, 200)}`);
    const frame = JSON.stringify({ type: "req", id: "flood", method, params: {} });
    const endAt = performance.now() + forMs;
    let open = window;
    return new Promise((resolve) => {
      this.counting = () => {
        answered += 1;
        if (performance.now() < endAt) this.socket.send(frame);
        else {
          open -= 1;
          if (open > 0) return;
          this.counting = undefined;
          resolve(answered);
        }
      };
      for (let n = 0; n < window; n += 1) this.socket.send(frame);
    });
  }

  /** Send a request and never ask what became of it. */
  throwIn(method: string, params: unknown): void {
    this.socket.send(JSON.stringify({ type: "req", id: "thrown", method, params }));
  }

  /** Send a frame as it is, unless the last ones still wait to be taken. */
  throwText(frame: string): void {
    if (this.socket.bufferedAmount < frame.length) this.socket.send(frame);
  }

  /** Leave whatever comes on the line. */
  stopReading(): void {
    this.socket.pause();
  }

  close(): void {
    this.socket.removeAllListeners("close");
    this.socket.close();
  }

  private receive(bytes: Buffer): void {
    if (this.counting && bytes.includes('"id":"flood"')) {
      if (!bytes.includes('"ok":true')) this.fail(new Error(bytes.toString("utf8").slice(0, 300)));
      this.counting?.();
      return;
    }
    const frame = JSON.parse(bytes.toString("utf8")) as { type: string; id: string; event: string } & Answer;
    if (frame.type === "res") this.settle(frame.id, frame);
    else if (frame.event === "chat")
      this.chat(frame.payload as { runId: string; state: string; errorMessage?: string });
  }

  private settle(id: string, answer: Answer): void {
    const waiter = this.waiting.get(id);
    this.waiting.delete(id);
    if (answer.ok) waiter?.resolve(answer.payload);
    else waiter?.reject(new Error(answer.error?.message ?? "refused"));
  }

  private chat(chat: { runId: string; state: string; errorMessage?: string }): void {
    const waiter = this.runs.get(chat.runId);
    if (!waiter || !["final", "error", "aborted"].includes(chat.state)) return;
    this.runs.delete(chat.runId);
    if (chat.state === "final") waiter.resolve({});
    else waiter.reject(new Error(`run ended as ${chat.state}: ${chat.errorMessage ?? ""}`));
  }

  private fail(error: Error): void {
    for (const waiter of [...this.waiting.values(), ...this.runs.values()]) waiter.reject(error);
    this.waiting.clear();
    this.runs.clear();
  }
}
