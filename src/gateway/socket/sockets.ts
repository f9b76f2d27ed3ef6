/**
 * From an HTTP upgrade to a connection, and all connections' common clock. Owns: the upgrade's own checks, ticks,
 * pings, the end of all sockets. Refuses to know: what connections say.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { AccessChange } from "../../auth/guard/access-feed.ts";
import type { Timer } from "../../kernel/clock.ts";
import { AppError, toAppError } from "../../kernel/errors.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Ingress, IngressReader } from "../ingress.ts";
import { limitHeaders, OverLimit } from "../traffic/traffic.ts";
import { Connection } from "./connection.ts";
import type { ConnectionDeps } from "./connection-deps.ts";

/** By when some of an address's handshakes have come to an end. */
const PENDING_RETRY_MS = 5_000;

/** See the head of this file. */
export class Sockets {
  private readonly deps: ConnectionDeps;
  private readonly ingress: IngressReader;
  private readonly connections = new Map<string, Connection>();
  private readonly pendingByAddress = new Map<string, number>();
  private readonly server: WebSocketServer;
  private readonly timers: Timer[] = [];
  private isClosing = false;

  constructor(deps: Omit<ConnectionDeps, "raiseFrameLimit" | "onClosed">, ingress: IngressReader) {
    this.deps = { ...deps, raiseFrameLimit, onClosed: (id) => this.connections.delete(id) };
    this.ingress = ingress;
    this.server = new WebSocketServer({
      noServer: true,
      maxPayload: LIMITS.preAuthFrameBytes,
      maxFragments: LIMITS.frameFragments,
      perMessageDeflate: false,
      clientTracking: false,
      handleProtocols: () => false,
    });
  }

  /** Take over the upgrades of an HTTP server and begin to tick. */
  attach(server: Server): void {
    server.on("upgrade", (request, stream, head) => this.upgrade(request, stream, head));
    this.timers.push(this.deps.clock.every(LIMITS.tickMs, () => this.tick()));
    this.timers.push(this.deps.clock.every(LIMITS.pingMs, () => this.pingAll()));
  }

  get openCount(): number {
    return this.connections.size;
  }

  /** Look again at connections that a change may touch: of the tenant, of the person, or, when it names none, all. */
  review({ tenantId, userId }: AccessChange): void {
    const isAll = tenantId === null && userId === null;
    if (tenantId !== null) {
      for (const member of this.deps.rooms.members(tenantId)) void (member as Connection).review();
    }
    if (userId === null && !isAll) return;
    for (const connection of this.connections.values())
      if (isAll || connection.userId === userId) void connection.review();
  }

  /** Say goodbye: a `shutdown` event, then close code 1012, which makes clients come back by themselves. */
  async close(): Promise<void> {
    this.isClosing = true;
    for (const timer of this.timers) timer.cancel();
    for (const { member } of this.deps.rooms.unscopedMembers()) {
      member.deliver("shutdown", JSON.stringify({ reason: "gateway stopping" }), false);
    }
    for (const connection of this.connections.values()) connection.expel(1012, "service restart");
    const waitUntil = this.deps.clock.monotonicMs() + 2_000;
    while (this.connections.size > 0 && this.deps.clock.monotonicMs() < waitUntil) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const connection of this.connections.values()) connection.drop();
    this.server.close();
  }

  private upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    // ORDER: first of all; a reset during the checks would otherwise end the process.
    stream.on("error", () => stream.destroy());
    this.admit(request)
      .then((ingress) =>
        this.server.handleUpgrade(request, stream, head, (socket) =>
          this.begin(socket, stream, ingress, request),
        ),
      )
      .catch((thrown: unknown) => refuse(stream, toAppError(thrown)));
  }

  private async admit(request: IncomingMessage): Promise<Ingress> {
    if (this.isClosing) throw new AppError("shutting_down", "The gateway is stopping.");
    if (request.method !== "GET") throw new AppError("method_not_allowed", "A socket begins with GET.");
    const ingress = await this.ingress.read(request);
    await this.deps.traffic.admitStranger(ingress.peer.address);
    const pending = this.pendingByAddress.get(ingress.peer.address) ?? 0;
    if (pending >= LIMITS.pendingSocketsPerAddress) {
      const message = "Too many sockets of this address wait for their handshake.";
      throw new AppError("rate_limited", message, { retryAfterMs: PENDING_RETRY_MS });
    }
    return ingress;
  }

  private begin(socket: WebSocket, stream: Duplex, ingress: Ingress, request: IncomingMessage): void {
    socket.on("error", () => undefined);
    const { address } = ingress.peer;
    this.pendingByAddress.set(address, (this.pendingByAddress.get(address) ?? 0) + 1);
    const connection = new Connection(this.deps, socket, stream, ingress, request.headers.origin, () =>
      this.settled(address),
    );
    this.connections.set(connection.id, connection);
  }

  /** A socket is known or gone: it no longer counts as pending. */
  private settled(address: string): void {
    const left = (this.pendingByAddress.get(address) ?? 1) - 1;
    if (left <= 0) this.pendingByAddress.delete(address);
    else this.pendingByAddress.set(address, left);
  }

  private tick(): void {
    const nowMs = this.deps.clock.nowMs();
    for (const connection of this.connections.values()) connection.expire(nowMs);
    const payload = JSON.stringify({ ts: nowMs });
    for (const { member } of this.deps.rooms.unscopedMembers()) member.deliver("tick", payload, false);
  }

  private pingAll(): void {
    for (const connection of this.connections.values()) connection.ping();
  }
}

/**
 * `ws` has one limit for a socket's whole life, but a stranger may send less than a known client. The receiver's field
 * is private; a test fails when an upgrade of `ws` renames it.
 */
function raiseFrameLimit(socket: WebSocket): void {
  const receiver = (socket as unknown as { _receiver?: { _maxPayload?: number } })._receiver;
  if (receiver?._maxPayload !== LIMITS.preAuthFrameBytes)
    throw new Error("ws no longer keeps its limit where we set it");
  receiver._maxPayload = LIMITS.frameBytes;
}

/** Refuse an upgrade with JSON that OpenClaw's Node client shows to people (PROTOCOL.md 4). */
function refuse(stream: Duplex, error: AppError): void {
  const body = JSON.stringify({
    error: { type: error.code, code: error.code, message: error.publicMessage },
  });
  const { status } = error.rule;
  const wait =
    error.retryAfterMs === undefined ? {} : { "retry-after": Math.ceil(error.retryAfterMs / 1_000) };
  const limit = error instanceof OverLimit ? limitHeaders(error.allowance) : {};
  const more = Object.entries({ ...wait, ...limit }).map(([name, value]) => `${name}: ${value}\r\n`);
  // Ending is half a goodbye; a peer that never says its half would keep the line.
  stream.once("finish", () => stream.destroy());
  stream.end(
    `HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n${more.join("")}` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
