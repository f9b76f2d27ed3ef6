/**
 * A bare protocol client for tests: frames in, frames out, nothing hidden. Owns: waiting for what is expected.
 */
import { WebSocket } from "ws";

/** A frame as it came. */
export type Frame = Record<string, unknown> & { type: string };

/** A failed answer. */
export class RpcError extends Error {
  readonly frame: Frame;
  constructor(frame: Frame) {
    super(JSON.stringify(frame["error"]));
    this.frame = frame;
  }
  get error(): { code: string; message: string; details?: Record<string, unknown> } {
    return this.frame["error"] as { code: string; message: string };
  }
}

/** See the head of this file. */
export class SocketClient {
  readonly frames: Frame[] = [];
  closed: { code: number; reason: string } | undefined;
  readonly socket: WebSocket;
  private nextId = 1;
  private readonly waiters = new Set<() => void>();

  constructor(url: string, headers: Record<string, string> = {}) {
    this.socket = new WebSocket(url, { headers });
    this.socket.on("message", (data) => {
      this.frames.push(JSON.parse(String(data)) as Frame);
      this.wake();
    });
    this.socket.on("close", (code, reason) => {
      this.closed = { code, reason: String(reason) };
      this.wake();
    });
    this.socket.on("error", () => this.wake());
  }

  /** The first frame that fits, also one that came before; rejects when the socket closes without it. */
  async until(fits: (frame: Frame) => boolean, timeoutMs = 10_000): Promise<Frame> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = this.frames.find(fits);
      if (found !== undefined) return found;
      if (this.closed !== undefined) throw new Error(`closed ${this.closed.code} ${this.closed.reason}`);
      await this.change(deadline);
    }
  }

  /** Wait for the close. */
  async untilClosed(timeoutMs = 10_000): Promise<{ code: number; reason: string }> {
    const deadline = Date.now() + timeoutMs;
    while (this.closed === undefined) await this.change(deadline);
    return this.closed;
  }

  /** Do the handshake with a token; returns hello-ok. */
  async connect(token: string, overrides: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    await this.until((frame) => frame["event"] === "connect.challenge");
    const client = { id: "test", version: "1.0.0", platform: "linux", mode: "test" };
    const scopes = ["operator.admin"];
    const params = {
      minProtocol: 4,
      maxProtocol: 4,
      client,
      role: "operator",
      scopes,
      auth: { token },
      ...overrides,
    };
    return (await this.call("connect", params)) as Record<string, unknown>;
  }

  /** Send a request and wait for its first answer. */
  async call(method: string, params?: unknown): Promise<unknown> {
    const id = this.send(method, params);
    const answer = await this.until((frame) => frame.type === "res" && frame["id"] === id);
    if (answer["ok"] !== true) throw new RpcError(answer);
    return answer["payload"];
  }

  /** Send a request; returns its id. */
  send(method: string, params?: unknown): string {
    const id = `t${this.nextId++}`;
    this.socket.send(
      JSON.stringify({ type: "req", id, method, ...(params === undefined ? {} : { params }) }),
    );
    return id;
  }

  /** Events of one name so far. */
  events(name: string): Record<string, unknown>[] {
    return this.frames
      .filter((frame) => frame["event"] === name)
      .map((frame) => frame["payload"] as Record<string, unknown>);
  }

  /** The terminal `chat` event of a run. */
  async terminal(runId: string, timeoutMs = 20_000): Promise<Record<string, unknown>> {
    const frame = await this.until((one) => {
      const payload = one["payload"] as Record<string, unknown> | undefined;
      return (
        one["event"] === "chat" &&
        payload?.["runId"] === runId &&
        ["final", "aborted", "error"].includes(String(payload["state"]))
      );
    }, timeoutMs);
    return frame["payload"] as Record<string, unknown>;
  }

  close(): void {
    this.socket.close();
  }

  private change(deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`waited in vain; last frames: ${JSON.stringify(this.frames.slice(-4))}`)),
        Math.max(0, deadline - Date.now()),
      );
      const done = () => {
        clearTimeout(timer);
        this.waiters.delete(done);
        resolve();
      };
      this.waiters.add(done);
    });
  }

  private wake(): void {
    for (const waiter of [...this.waiters]) waiter();
  }
}
