/**
 * What stories and isolation tests need besides an app: raw HTTP, protocol calls by HTTP, clocks that do not wait.
 * Owns: bytes to and from a socket, untouched by any client library. Refuses to know: what is asserted.
 */
import { connect } from "node:net";
import { type Clock, systemClock, type Timer } from "#src/kernel/clock.ts";

/** An answer as it came over the wire. */
export interface RawAnswer {
  status: number;
  /** Lower-case names; values of repeated headers joined by a comma and a space. */
  headers: Record<string, string>;
  body: string;
  /** Everything that came, for tests that look at bytes. */
  text: string;
}

/** Send bytes to an address and collect what comes back until the other side closes, or falls silent for `quietMs`. */
export function sendRaw(url: string, bytes: string | readonly string[], quietMs = 2_000): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    const chunks: Buffer[] = [];
    const done = () => {
      socket.destroy();
      resolve(Buffer.concat(chunks).toString("latin1"));
    };
    socket.setTimeout(quietMs, done);
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("close", done);
    socket.on("error", done);
    for (const piece of typeof bytes === "string" ? [bytes] : bytes) socket.write(piece, "latin1");
  });
}

/** The first answer in what came; status 0 when the other side closed without one. */
export function readAnswer(text: string): RawAnswer {
  const end = text.indexOf("\r\n\r\n");
  const [statusLine = "", ...lines] = (end === -1 ? text : text.slice(0, end)).split("\r\n");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1] ?? 0);
  return { status, headers, body: end === -1 ? "" : text.slice(end + 4), text };
}

/**
 * One request by hand: the target and each header line go out exactly as given. `Connection: close` is added, and
 * `Host` unless the lines hold one or `host` is null.
 */
export async function request(
  url: string,
  target: string,
  options: { method?: string; headers?: readonly string[]; body?: string; host?: string | null } = {},
): Promise<RawAnswer> {
  const { method = "GET", headers = [], body, host = new URL(url).host } = options;
  const lines = [
    `${method} ${target} HTTP/1.1`,
    ...(host === null || headers.some((line) => /^host:/i.test(line)) ? [] : [`Host: ${host}`]),
    ...headers,
    "Connection: close",
    ...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
  ];
  const bytes = Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body ?? ""}`).toString("latin1");
  return readAnswer(await sendRaw(url, bytes));
}

/** The header lines of a WebSocket upgrade. */
export const UPGRADE = [
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
];

/** Try to upgrade by hand; the answer is the first one, 101 included. */
export async function upgrade(
  url: string,
  target: string,
  headers: readonly string[] = [],
  options: { host?: string | null; method?: string; lines?: readonly string[] } = {},
): Promise<RawAnswer> {
  const { host = new URL(url).host, method = "GET", lines = UPGRADE } = options;
  const head = [
    `${method} ${target} HTTP/1.1`,
    ...(host === null ? [] : [`Host: ${host}`]),
    ...lines,
    ...headers,
  ];
  const bytes = Buffer.from(`${head.join("\r\n")}\r\n\r\n`).toString("latin1");
  return readAnswer(await sendRaw(url, bytes, 150));
}

/** Call a method by HTTP with a token. */
export async function callByHttp(
  url: string,
  path: string,
  token: string,
  body: unknown,
  headers: Record<string, string> = {},
  method = "POST",
): Promise<{ status: number; text: string; headers: string }> {
  const hasBody = body !== undefined && method !== "GET";
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(hasBody ? { "content-type": "application/json" } : {}),
      ...headers,
    },
    ...(hasBody ? { body: JSON.stringify(body) } : {}),
  });
  return {
    status: answer.status,
    text: await answer.text(),
    headers: [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n"),
  };
}

/** The machine's clock, except that waits of up to a tenth of a second take no time: the demo model answers at once. */
export const hastyClock: Clock = {
  ...systemClock,
  after(delayMs, run) {
    if (delayMs > 100) return systemClock.after(delayMs, run);
    const handle = setImmediate(run);
    return { cancel: () => clearImmediate(handle) };
  },
};

interface Pending {
  dueMs: number;
  periodMs: number | null;
  run: () => void;
}

/** The machine's clock, except that waits of a second and more end only when the test lets time pass. */
export class SteeredClock implements Clock {
  private aheadMs = 0;
  private readonly pending = new Set<Pending>();

  nowMs(): number {
    return systemClock.nowMs() + this.aheadMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.aheadMs;
  }

  after(delayMs: number, run: () => void): Timer {
    if (delayMs < 1_000) return hastyClock.after(delayMs, run);
    return this.add({ dueMs: this.monotonicMs() + delayMs, periodMs: null, run });
  }

  every(periodMs: number, run: () => void): Timer {
    if (periodMs < 1_000) return systemClock.every(periodMs, run);
    return this.add({ dueMs: this.monotonicMs() + periodMs, periodMs, run });
  }

  /** Let time pass; what is due by then runs now, in order. */
  pass(ms: number): void {
    this.aheadMs += ms;
    const nowMs = this.monotonicMs();
    const due = [...this.pending].filter((one) => one.dueMs <= nowMs).sort((a, b) => a.dueMs - b.dueMs);
    for (const one of due) {
      if (!this.pending.has(one)) continue;
      if (one.periodMs === null) this.pending.delete(one);
      else one.dueMs = nowMs + one.periodMs;
      one.run();
    }
  }

  private add(one: Pending): Timer {
    this.pending.add(one);
    return { cancel: () => this.pending.delete(one) };
  }
}
