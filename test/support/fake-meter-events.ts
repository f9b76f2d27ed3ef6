/**
 * Stripe's meter events as that endpoint answers: an identifier counts once within 24 hours and is then refused with a
 * sentence and no code, timestamps lie within 35 days and not in the future. Owns: the server, what it counted.
 */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const DAY_MS = 86_400_000;

/** One event that was counted. */
export interface CountedEvent {
  identifier: string;
  customer: string;
  micros: number;
  timestampMs: number;
}

/** See the head of this file. */
export class FakeMeterEvents {
  readonly counted: CountedEvent[] = [];
  /** Identifiers of all requests, in order. */
  readonly calls: string[] = [];
  readonly keys = new Set<string>();
  /** Count the event and drop the connection. */
  isLosingAnswers = false;
  /** Answer this instead of counting. */
  trouble: { status: number; code?: string; message: string } | undefined;
  /** Answer that there is no meter, for identifiers that end so. */
  refusedEnd: string | undefined;
  private readonly nowMs: () => number;
  private readonly known = new Map<string, number>();
  private server: Server | undefined;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** Answers the address. */
  async listen(port = 0): Promise<string> {
    const server = createServer((req, res) => {
      const chunks: Buffer[] = [];
      req.on("data", (chunk: Buffer) => chunks.push(chunk));
      req.on("end", () => {
        this.keys.add(req.headers.authorization ?? "");
        this.take(new URLSearchParams(Buffer.concat(chunks).toString()), res);
      });
    });
    this.server = server;
    await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  private take(form: URLSearchParams, res: ServerResponse): void {
    const identifier = form.get("identifier") ?? "";
    const timestampMs = Number(form.get("timestamp")) * 1_000;
    this.calls.push(identifier);
    const refuse = (status: number, message: string, code?: string) =>
      res
        .writeHead(status, { "content-type": "application/json", "stripe-should-retry": "false" })
        .end(JSON.stringify({ error: { type: "invalid_request_error", message, ...(code && { code }) } }));
    const nowMs = this.nowMs();
    const { trouble } = this;
    if (trouble !== undefined) return void refuse(trouble.status, trouble.message, trouble.code);
    if (timestampMs < nowMs - 35 * DAY_MS)
      return void refuse(400, "The timestamp is too far in the past.", "timestamp_too_far_in_past");
    if (timestampMs > nowMs + 300_000)
      return void refuse(400, "The timestamp is in the future.", "timestamp_in_future");
    const knownMs = this.known.get(identifier);
    if (knownMs !== undefined && nowMs - knownMs < DAY_MS)
      return void refuse(400, `An event already exists with identifier ${identifier}.`);
    if (this.refusedEnd !== undefined && identifier.endsWith(this.refusedEnd))
      return void refuse(400, "No active meter found.", "no_meter");
    this.known.set(identifier, nowMs);
    const customer = form.get("payload[stripe_customer_id]") ?? "";
    const micros = Number(form.get("payload[value]"));
    this.counted.push({ identifier, customer, micros, timestampMs });
    if (this.isLosingAnswers) return void res.destroy();
    res.writeHead(200, { "content-type": "application/json" }).end('{"object":"billing.meter_event"}');
  }

  /** What a customer owes, or all of them. */
  total(customer?: string): number {
    const of = this.counted.filter((one) => customer === undefined || one.customer === customer);
    return of.reduce((sum, { micros }) => sum + micros, 0);
  }

  close(): void {
    this.server?.closeAllConnections();
    this.server?.close();
  }
}
