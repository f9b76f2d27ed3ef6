/**
 * One tenant's socket: token, handshake, reconnect, liveness. One per browser tab.
 * Owns: link state and who may listen. Refuses to know: sessions, chats and pages.
 */
import {
  type EventFrame,
  GatewayProtocolClient,
  type GatewayProtocolSocket,
  type GatewayProtocolSocketHandlers,
  type HelloOk,
} from "@openclaw/gateway-client/browser";
import { issueSocketToken } from "../http/account.ts";
import { HttpFailure } from "../http/request.ts";
import { newId } from "./new-id.ts";

/** What the link is doing; the last three end reconnecting. */
export type LinkPhase = "connecting" | "ready" | "reconnecting" | "signed_out" | "no_tenant" | "refused";

/** A snapshot of the link; a new object on each change. */
export interface LinkState {
  phase: LinkPhase;
  scopes: readonly string[];
  methods: ReadonlySet<string>;
  defaultAgentId: string;
  serverVersion: string;
  /** Largest frame the server takes. */
  maxPayloadBytes: number;
  failure: string | undefined;
}

type EventListener = (event: string, payload: unknown) => void;

const SCOPES = [
  "operator.admin",
  "operator.read",
  "operator.write",
  "operator.approvals",
  "operator.questions",
  "operator.pairing",
];
const HANDSHAKE_TIMEOUT_MS = 15_000;
const DEFAULT_TICK_MS = 30_000;
const DEFAULT_PAYLOAD_BYTES = 25 * 1024 * 1024;
const MAX_REFUSALS = 2;
const TERMINAL: readonly LinkPhase[] = ["signed_out", "no_tenant", "refused"];

function openSocket(url: string, handlers: GatewayProtocolSocketHandlers): GatewayProtocolSocket {
  const socket = new WebSocket(url);
  socket.onopen = () => handlers.open();
  socket.onmessage = (event) => handlers.message(String(event.data));
  socket.onclose = (event) => handlers.close(event.code, event.reason);
  socket.onerror = () => handlers.error(new Error("socket error"));
  return {
    isOpen: () => socket.readyState === WebSocket.OPEN,
    send: (frame) => socket.send(frame),
    close: (code, reason) => socket.close(browserCloseCode(code), reason),
  };
}

/** Browsers refuse reserved close codes such as 1008; 4000-4999 are ours to use. */
function browserCloseCode(code: number | undefined): number | undefined {
  if (code === undefined || code === 1000 || (code >= 3000 && code <= 4999)) return code;
  return 4000;
}

/** The socket of one tenant with its state, events and calls. */
export class TenantConnection {
  readonly slug: string;
  private readonly client: GatewayProtocolClient<{ token: string }>;
  private state: LinkState;
  private readonly stateListeners = new Set<() => void>();
  private readonly eventListeners = new Set<EventListener>();
  private readonly readyListeners = new Set<() => void>();
  private watchdog: ReturnType<typeof setInterval> | undefined;
  private lastActivityMs = 0;
  private refusals = 0;

  constructor(slug: string) {
    this.slug = slug;
    this.state = {
      phase: "connecting",
      scopes: [],
      methods: new Set(),
      defaultAgentId: "main",
      serverVersion: "",
      maxPayloadBytes: DEFAULT_PAYLOAD_BYTES,
      failure: undefined,
    };
    this.client = this.createClient();
  }

  /** The current snapshot; stable between changes. */
  readonly getState = (): LinkState => this.state;

  /** Calls back after each change of state; returns the way out. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.stateListeners.add(listener);
    return () => this.stateListeners.delete(listener);
  };

  /** Calls back for each server event. */
  onEvent(listener: EventListener): () => void {
    this.eventListeners.add(listener);
    return () => this.eventListeners.delete(listener);
  }

  /** Calls back after every successful (re)connect, and at once when already connected. */
  onReady(listener: () => void): () => void {
    this.readyListeners.add(listener);
    if (this.state.phase === "ready") listener();
    return () => this.readyListeners.delete(listener);
  }

  /** Opens the socket and keeps it open until stop. */
  start(): void {
    window.addEventListener("online", this.retryNow);
    document.addEventListener("visibilitychange", this.retryWhenVisible);
    this.client.start();
  }

  /** Closes the socket for good. */
  stop(): void {
    window.removeEventListener("online", this.retryNow);
    document.removeEventListener("visibilitychange", this.retryWhenVisible);
    clearInterval(this.watchdog);
    this.client.stop();
  }

  /** One protocol call. Rejects with GatewayProtocolRequestError, or a plain Error when the link is down. */
  call<T>(method: string, params: Record<string, unknown> = {}, timeoutMs?: number): Promise<T> {
    return this.client.request<T>(method, params, timeoutMs === undefined ? undefined : { timeoutMs });
  }

  /** Skips the wait before the next attempt. */
  readonly retryNow = (): void => {
    if (this.state.phase === "ready" || this.state.phase === "connecting") return;
    this.refusals = 0;
    this.client.resetReconnectBackoff(500);
    this.client.start();
  };

  private readonly retryWhenVisible = (): void => {
    if (document.visibilityState === "visible" && this.state.phase === "reconnecting") this.retryNow();
  };

  private createClient(): GatewayProtocolClient<{ token: string }> {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const url = `${scheme}//${location.host}/t/${encodeURIComponent(this.slug)}`;
    return new GatewayProtocolClient<{ token: string }>({
      createSocket: (handlers) => openSocket(url, handlers),
      createRequestId: newId,
      buildConnectPlan: async () => ({ token: (await issueSocketToken(this.slug)).token }),
      buildConnectParams: (plan) => this.connectParams(plan.token),
      onConnectPlanError: (error) => this.settleFailure(phaseOfHttp(error), error),
      onConnectFailure: (error) => this.settleFailure(this.phaseOfRefusal(error.details), error),
      onConnectHello: (hello) => this.settleHello(hello),
      resolveClose: () => ({ retry: !TERMINAL.includes(this.state.phase), notify: true }),
      onClose: (context) => this.settleClose(context.helloReceived || context.connectRequestSent),
      onEvent: (frame) => this.deliver(frame),
      onGap: () => this.announceReady(),
      onActivity: () => {
        this.lastActivityMs = Date.now();
      },
      onCallbackError: (label, error) => console.error(label, error),
      handshake: { mode: "require-challenge", timeoutMs: HANDSHAKE_TIMEOUT_MS },
      reconnect: { initialMs: 600, multiplier: 1.7, maxMs: 15_000 },
    });
  }

  private connectParams(token: string): Record<string, unknown> {
    return {
      minProtocol: 4,
      maxProtocol: 4,
      client: {
        id: "openclaw-control-ui",
        displayName: "Creel",
        version: "1.0.0",
        platform: "web",
        mode: "webchat",
      },
      role: "operator",
      scopes: SCOPES,
      caps: ["tool-events"],
      auth: { token },
      locale: navigator.language,
    };
  }

  private phaseOfRefusal(details: unknown): LinkPhase {
    const code = (details as { code?: unknown } | undefined)?.code;
    if (code === "AUTH_RATE_LIMITED") return "reconnecting";
    // A token may lose a race with its own expiry once; twice in a row is a real refusal.
    this.refusals += 1;
    return this.refusals > MAX_REFUSALS ? "refused" : "reconnecting";
  }

  private settleFailure(phase: LinkPhase, error: Error) {
    this.set({ phase, failure: error.message });
    return { closeCode: 4000, closeReason: "connect failed", stop: TERMINAL.includes(phase) };
  }

  private settleHello(hello: HelloOk): void {
    this.refusals = 0;
    const defaults = (hello.snapshot as { sessionDefaults?: { defaultAgentId?: string } }).sessionDefaults;
    this.lastActivityMs = Date.now();
    this.watch(hello.policy?.tickIntervalMs ?? DEFAULT_TICK_MS);
    this.set({
      phase: "ready",
      scopes: hello.auth?.scopes ?? [],
      methods: new Set(hello.features?.methods ?? []),
      defaultAgentId: defaults?.defaultAgentId ?? "main",
      serverVersion: hello.server?.version ?? "",
      maxPayloadBytes: hello.policy?.maxPayload ?? DEFAULT_PAYLOAD_BYTES,
      failure: undefined,
    });
    this.announceReady();
  }

  private settleClose(reachedServer: boolean): void {
    clearInterval(this.watchdog);
    if (TERMINAL.includes(this.state.phase)) return;
    this.set({ phase: "reconnecting" });
    // A browser cannot see why an upgrade failed; asking over HTTP tells "signed out" from "server away".
    if (!reachedServer) void this.askWhy();
  }

  private async askWhy(): Promise<void> {
    try {
      await issueSocketToken(this.slug);
    } catch (error) {
      const phase = phaseOfHttp(error);
      if (this.state.phase !== "reconnecting" || phase === "reconnecting") return;
      this.client.stop();
      this.set({ phase, failure: error instanceof Error ? error.message : String(error) });
    }
  }

  private watch(tickIntervalMs: number): void {
    clearInterval(this.watchdog);
    this.watchdog = setInterval(() => {
      if (Date.now() - this.lastActivityMs > tickIntervalMs * 2.2)
        this.client.closeSocket(4000, "tick timeout");
    }, tickIntervalMs / 2);
  }

  private deliver(frame: EventFrame): void {
    for (const listener of [...this.eventListeners]) listener(frame.event, frame.payload);
  }

  private announceReady(): void {
    for (const listener of [...this.readyListeners]) listener();
  }

  private set(change: Partial<LinkState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of [...this.stateListeners]) listener();
  }
}

function phaseOfHttp(error: unknown): LinkPhase {
  if (!(error instanceof HttpFailure)) return "reconnecting";
  if (error.status === 401) return "signed_out";
  if (error.status === 404 || error.status === 403) return "no_tenant";
  return "reconnecting";
}
