/**
 * One WebSocket from upgrade to close. Owns: its states (handshake, open, closed), its subscriptions, its requests in
 * flight. Refuses to know: what methods do, other connections. Source: PROTOCOL.md 2-5.
 */
import type { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import type { ConnectAccepted } from "../../auth/connect.ts";
import type { Timer } from "../../kernel/clock.ts";
import { AppError, toAppError } from "../../kernel/errors.ts";
import { newId, newSecret, type UserId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { GatewayEvent } from "../../protocol/events.ts";
import {
  peekId,
  type RequestFrame,
  readFrame,
  toWireError,
  type WireError,
  writeError,
  writeResult,
} from "../../protocol/frames.ts";
import type { ConnectionHandle, MethodCall } from "../../protocol/methods.ts";
import { actorOf } from "../../tenancy/actor.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { allows } from "../../tenancy/scopes.ts";
import { reachesEvent } from "../agent-limits.ts";
import { AuthorityEnded, UnknownMethod } from "../dispatch.ts";
import { logFailure } from "../failure-log.ts";
import type { Ingress } from "../ingress.ts";
import { type Call, OverLimit } from "../traffic/traffic.ts";
import type { ConnectionDeps } from "./connection-deps.ts";
import { ACCESS_ENDED, Gate } from "./gate.ts";
import { makeHello } from "./hello.ts";
import { Intake } from "./intake.ts";
import { Outbound } from "./outbound.ts";
import type { Member } from "./rooms.ts";

/** How a frame counts: 0 bytes when these are counted already. */
type Weight = Pick<Call, "sizeBytes" | "isBegun">;

/** Who sent a frame that no minute has room for is not read for so long. */
const UNFIT_PAUSE_MS = 1_000;

interface Open extends ConnectAccepted {
  scope: TenantScope;
  gate: Gate;
  caps: readonly string[];
  capSet: ReadonlySet<string>;
  leave(): void;
}

/** See the head of this file. */
export class Connection implements Member, ConnectionHandle {
  readonly id = newId();
  private readonly deps: ConnectionDeps;
  private readonly socket: WebSocket;
  private readonly ingress: Ingress;
  private readonly originHeader: string | undefined;
  private readonly outbound: Outbound;
  private readonly nonce = newSecret(24);
  private readonly challengeTsMs: number;
  private readonly gone = new AbortController();
  private readonly deadline: Timer;
  private readonly early: Buffer[] = [];
  private readonly messageKeys = new Set<string>();
  private readonly ownRuns = new Set<string>();
  private open: Open | undefined;
  private isConnecting = false;
  private hearsSessions = false;
  private readonly intake: Intake;
  private isAlive = true;
  private readonly since: number;
  private onSettled: (() => void) | undefined;

  /** @param onSettled called once, when the peer is known or gone */
  constructor(
    deps: ConnectionDeps,
    socket: WebSocket,
    stream: Duplex,
    ingress: Ingress,
    originHeader: string | undefined,
    onSettled: () => void,
  ) {
    this.deps = deps;
    this.socket = socket;
    this.ingress = ingress;
    this.originHeader = originHeader;
    this.outbound = new Outbound(socket, stream);
    const take = (bytes: Buffer) => this.takeFrame(bytes);
    this.intake = new Intake({ socket, clock: deps.clock, take });
    this.onSettled = onSettled;
    this.challengeTsMs = deps.clock.nowMs();
    this.since = this.challengeTsMs;
    this.deadline = deps.clock.after(LIMITS.handshakeMs, () => socket.close(1000));
    socket.on("message", (data: RawData) => this.receive(data));
    socket.on("pong", () => {
      this.isAlive = true;
    });
    socket.on("close", () => this.closed());
    this.outbound.sendUnnumbered("connect.challenge", { nonce: this.nonce, ts: this.challengeTsMs });
  }

  // --- what a room and a method may do with a connection ---

  get presence(): Readonly<Record<string, unknown>> {
    const open = this.open;
    if (open === undefined) return {};
    const { client, principal } = open;
    return {
      clientId: client.id,
      mode: client.mode,
      platform: client.platform,
      version: client.version,
      user: { id: principal.userId, name: principal.displayName },
      roles: ["operator"],
      scopes: [...principal.scopes],
      onlineSince: this.since,
      ts: this.since,
      instanceId: this.id,
      reason: "connect",
      text: `${principal.displayName} · ${client.id} · ${client.mode}`,
    };
  }

  wants(event: GatewayEvent): boolean {
    const open = this.open;
    if (open === undefined) return false;
    if (event.delivery === "pairing") return allows(open.principal.scopes, "operator.pairing");
    if (event.delivery === "admin" && !allows(open.principal.scopes, "operator.admin")) return false;
    if (!allows(open.principal.scopes, "operator.read")) return false;
    if (!reachesEvent(open.principal, event)) return false;
    const isSubscribed = event.sessionKey !== undefined && this.messageKeys.has(event.sessionKey);
    switch (event.delivery) {
      case "run":
        return isSubscribed || !open.capSet.has("session-scoped-events");
      case "run-tools":
        return open.capSet.has("tool-events") && this.ownRuns.has(event.runId ?? "");
      case "session-rows":
        return this.hearsSessions || isSubscribed;
      case "session-list":
        return this.hearsSessions;
      case "tenant":
      case "admin":
        return true;
      default:
        return event.delivery satisfies never;
    }
  }

  deliver(event: string, payloadJson: string, isDroppable: boolean): void {
    // SECURITY: looked at before each event: a listener that never asks anything would hear on.
    this.open?.gate.pass(
      () => this.outbound.sendEvent(event, payloadJson, isDroppable),
      payloadJson.length,
      isDroppable,
    );
  }

  expel(code: number, reason: string): void {
    this.intake.close();
    this.socket.close(code, reason);
  }

  subscribeSessions(): void {
    this.hearsSessions = true;
  }

  unsubscribeSessions(): void {
    this.hearsSessions = false;
  }

  subscribeMessages(key: string): void {
    if (this.messageKeys.size >= LIMITS.subscriptionsPerConnection && !this.messageKeys.has(key)) {
      throw new AppError(
        "limit_reached",
        `A connection follows at most ${LIMITS.subscriptionsPerConnection} sessions.`,
      );
    }
    this.messageKeys.add(key);
  }

  unsubscribeMessages(key: string): void {
    this.messageKeys.delete(key);
  }

  startedRun(runId: string): void {
    this.ownRuns.add(runId);
    // The oldest goes first: its tool events are over long before.
    for (const oldest of this.ownRuns) {
      if (this.ownRuns.size <= LIMITS.subscriptionsPerConnection) break;
      this.ownRuns.delete(oldest);
    }
  }

  /** Whether the caller's authority is still good; closes the connection when it is not. */
  async review(): Promise<void> {
    await this.open?.gate.review();
  }

  /** Whose connection it is; undefined before the handshake. */
  get userId(): UserId | undefined {
    return this.open?.principal.userId;
  }

  /** Close when the credential has come to its end: a listener that never asks anything would hear on. */
  expire(nowMs: number): void {
    const endMs = this.open?.principal.credential.expiresAtMs ?? null;
    if (endMs !== null && endMs <= nowMs) this.expel(ACCESS_ENDED.code, ACCESS_ENDED.reason);
  }

  /** Cut the line without a word. */
  drop(): void {
    this.socket.terminate();
  }

  /** Ping the peer; one that did not answer the last ping is dropped. */
  ping(): void {
    if (!this.isAlive) {
      this.socket.terminate();
      return;
    }
    this.isAlive = false;
    if (this.socket.readyState === this.socket.OPEN) this.socket.ping();
  }

  // --- frames ---

  private receive(data: RawData): void {
    // SECURITY: a peer that was told to go may go on sending; nothing of it is read or kept.
    if (this.socket.readyState !== this.socket.OPEN) return;
    const bytes = data as Buffer;
    if (this.open === undefined) {
      this.handshake(bytes);
      return;
    }
    this.intake.receive(bytes);
  }

  private takeFrame(bytes: Buffer): void {
    if (this.open === undefined) return;
    if (bytes.length > LIMITS.parsedFirstBytes) void this.takeLarge(bytes, this.open);
    else this.request(bytes.toString("utf8"), this.open, { sizeBytes: bytes.length });
  }

  /** SECURITY: counted before it is parsed, and parsed in its tenant's turn. */
  private async takeLarge(bytes: Buffer, open: Open): Promise<void> {
    this.intake.bar();
    try {
      await this.deps.traffic.admitBytes(open.principal, bytes.length);
      // Whoever left meanwhile has nothing read.
      if (this.gone.signal.aborted) return;
      this.request(bytes.toString("utf8"), open, { sizeBytes: 0, isBegun: true });
    } catch (thrown) {
      this.slowDown(thrown, true);
      const requestId = this.deps.nextRequestId();
      const error = toAppError(thrown);
      logFailure(this.deps.log, error, { requestId });
      reply(open, this.outbound, writeError(peekId(bytes), toWireError(error, requestId)));
    } finally {
      this.intake.unbar();
    }
  }

  private handshake(bytes: Buffer): void {
    if (this.isConnecting) {
      this.early.push(bytes);
      if (this.early.length > LIMITS.handshakeFrames) this.socket.close(1008, "too many frames before hello");
      return;
    }
    const read = this.read(bytes.toString("utf8"), LIMITS.jsonValuesOfStrangers);
    if (read.kind === "not-json") return this.socket.close(1000);
    if (read.kind === "not-a-request") return this.socket.close(1008, "invalid request frame");
    if (read.kind === "malformed")
      return this.refuse(read.id, { code: "INVALID_REQUEST", message: read.problem }, 1008);
    if (read.frame.method !== "connect") {
      const message = "invalid handshake: first request must be connect";
      return this.refuse(read.frame.id, { code: "INVALID_REQUEST", message }, 1008);
    }
    this.isConnecting = true;
    this.connect(read.frame).catch((thrown: unknown) => {
      this.deps.log.error({ err: thrown }, "a handshake failed");
      this.refuse(read.frame.id, toWireError(thrown, this.id), 1013);
    });
  }

  private async connect(frame: RequestFrame): Promise<void> {
    // ORDER: before the credential is looked at, so that a change during the look counts as later.
    const epoch = this.deps.epochs.current;
    const outcome = await this.deps.authenticator.authenticate({
      named: this.ingress.named,
      claimed: this.ingress.claimed,
      params: frame.params,
      nonce: this.nonce,
      challengeTsMs: this.challengeTsMs,
      address: this.ingress.peer.address,
      origin: this.originHeader,
      allowedOrigins: this.ingress.allowedOrigins,
    });
    this.deps.meters.connected(outcome.ok ? "accepted" : "refused");
    if (!outcome.ok) {
      const { error, closeCode, closeReason } = outcome;
      return this.refuse(frame.id, error, closeCode, closeReason);
    }
    if (this.socket.readyState !== this.socket.OPEN) return;
    const { tenantId } = outcome.principal;
    if (this.deps.rooms.count(tenantId) >= LIMITS.socketsPerTenant) {
      const message = "too many connections; close some and try again";
      return this.refuse(
        frame.id,
        { code: "UNAVAILABLE", message, retryable: true, retryAfterMs: 5_000 },
        1013,
      );
    }
    if (!(await this.isLetIn(frame.id, outcome))) return;
    this.settle();
    void this.deps.traffic.knownNow(this.ingress.peer.address);
    this.deps.raiseFrameLimit(this.socket);
    const scope = this.deps.door.scope(outcome.tenant);
    const capSet = new Set(outcome.caps);
    const gate = this.gateOf(outcome, epoch);
    this.open = { ...outcome, scope, gate, capSet, leave: () => undefined };
    this.open.leave = this.deps.rooms.join(tenantId, this);
    this.outbound.send(writeResult(frame.id, makeHello(this.deps, this.id, outcome)));
    outcome.delivered?.();
    for (const bytes of this.early.splice(0)) this.intake.receive(bytes);
  }

  /** A handshake is a call of its tenant; one that is refused stays a stranger's. */
  private async isLetIn(id: string, { principal }: ConnectAccepted): Promise<boolean> {
    try {
      await this.deps.traffic.admit({ principal, cost: "read", sizeBytes: 0, isHandshake: true });
    } catch (thrown) {
      this.refuse(id, toWireError(thrown, this.id), 1013);
      return false;
    }
    return this.socket.readyState === this.socket.OPEN;
  }

  private gateOf({ principal }: ConnectAccepted, epoch: number): Gate {
    const { epochs, isLive, clock } = this.deps;
    const expel = (code: number, reason: string) => this.expel(code, reason);
    return new Gate({ epochs, isLive, nowMs: () => clock.nowMs(), expel }, principal, epoch);
  }

  private request(text: string, open: Open, weight: Weight): void {
    const read = this.read(text);
    if (read.kind === "not-json" || read.kind === "not-a-request") return this.countJunk(open, weight);
    if (read.kind === "malformed") return this.refuseFrame(read.id, read.problem, open, weight);
    if (read.frame.method === "connect") {
      const message = "connect is only valid as the first request";
      return this.refuseFrame(read.frame.id, message, open, weight);
    }
    this.intake.begun();
    void this.answer(read.frame, open, weight);
  }

  private refuseFrame(id: string, message: string, open: Open, weight: Weight): void {
    this.outbound.send(writeError(id, { code: "INVALID_REQUEST", message }));
    this.countJunk(open, weight);
  }

  /** What is no call was read all the same: it counts like one, and who goes on with it is not read for a moment. */
  private countJunk({ principal }: Open, weight: Weight): void {
    const counted = this.deps.traffic.admit({ principal, cost: "read", ...weight });
    if (counted === undefined) return;
    this.intake.begun();
    counted
      .catch((thrown: unknown) => {
        if (thrown instanceof OverLimit) this.slowDown(thrown);
        else this.deps.log.error({ err: thrown }, "a frame was not counted");
      })
      .finally(() => this.intake.ended());
  }

  /** Who was refused by a limit, or sent what no limit has room for, is read more slowly. */
  private slowDown(thrown: unknown, isLarge = false): void {
    if (thrown instanceof OverLimit) this.intake.refused(thrown.allowance.resetMs, isLarge);
    else if (isLarge) this.intake.refused(UNFIT_PAUSE_MS, true);
  }

  private async answer(frame: RequestFrame, open: Open, weight: Weight): Promise<void> {
    const requestId = this.deps.nextRequestId();
    try {
      const cost = this.deps.registry.find(frame.method)?.cost ?? "read";
      const counted = this.deps.traffic.admit({ principal: open.principal, cost, ...weight });
      // Not waited for without need: most tenants have no limit, and a frame costs little more than a wait.
      if (counted !== undefined) await counted;
      // Whoever left while their call waited for its turn is not answered, and nothing is done.
      if (this.gone.signal.aborted) return;
      this.intake.letIn();
      const result = await this.deps.dispatcher.dispatch(
        frame.method,
        frame.params,
        this.callOf(frame, open, requestId),
      );
      // Whoever gives up what they came with is told that it is done, e.g. the device's new token; the rest is gated.
      const isChange = this.deps.registry.find(frame.method)?.cost === "write";
      if (isChange) this.outbound.send(writeResult(frame.id, result));
      else reply(open, this.outbound, writeResult(frame.id, result));
    } catch (thrown) {
      this.fail(frame, open, thrown, requestId);
    } finally {
      this.intake.ended();
    }
  }

  private callOf(frame: RequestFrame, open: Open, requestId: string): MethodCall {
    return {
      tenant: open.scope,
      principal: open.principal,
      actor: actorOf(open.principal, { address: this.ingress.peer.address, requestId }),
      requestId,
      client: open.client,
      connection: this,
      origin: this.ingress.origin,
      signal: this.gone.signal,
      respondEarly: (payload) => reply(open, this.outbound, writeResult(frame.id, payload)),
    };
  }

  private fail(frame: RequestFrame, open: Open, thrown: unknown, requestId: string): void {
    if (thrown instanceof UnknownMethod) {
      this.outbound.send(writeError(frame.id, { code: "INVALID_REQUEST", message: thrown.message }));
      return;
    }
    if (thrown instanceof AuthorityEnded) {
      this.expel(ACCESS_ENDED.code, ACCESS_ENDED.reason);
      return;
    }
    this.slowDown(thrown);
    const error = toAppError(thrown);
    logFailure(this.deps.log, error, { method: frame.method, requestId });
    reply(open, this.outbound, writeError(frame.id, toWireError(error, requestId), error.payload));
  }

  /** Read a frame; JSON that nests too deep, holds too much or prototype keys is refused under no id of its own. */
  private read(text: string, values: number = LIMITS.jsonValues): ReturnType<typeof readFrame> {
    try {
      return readFrame(text, { values });
    } catch (thrown) {
      const problem = `invalid request frame: ${toAppError(thrown).publicMessage}`;
      return { kind: "malformed", id: "invalid", problem };
    }
  }

  /** SECURITY: the reason is cut to the 123 bytes a close frame may carry; more would throw. */
  private refuse(id: string, error: WireError, closeCode: number, reason = error.message): void {
    this.outbound.send(writeError(id, error));
    this.socket.close(closeCode, cutBytes(reason, 123));
  }

  private settle(): void {
    this.deadline.cancel();
    this.onSettled?.();
    this.onSettled = undefined;
  }

  private closed(): void {
    this.settle();
    this.intake.close();
    this.gone.abort();
    this.open?.leave();
    this.deps.onClosed(this.id);
  }
}

/** Answer a request, unless the caller lost their authority while it was worked on. */
function reply(open: Open, outbound: Outbound, text: string): void {
  open.gate.pass(() => outbound.send(text), text.length);
}

function cutBytes(text: string, bytes: number): string {
  const encoded = Buffer.from(text);
  if (encoded.length <= bytes) return text;
  return encoded
    .subarray(0, bytes)
    .toString("utf8")
    .replace(/\uFFFD+$/, "");
}
