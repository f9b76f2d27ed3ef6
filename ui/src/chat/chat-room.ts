/**
 * One conversation as it lives in this tab. Owns: rows, the live run, messages on their way, recovery after reconnect.
 * Refuses to know: how anything looks and which page shows it.
 */
import { GatewayProtocolRequestError } from "@openclaw/gateway-client/browser";
import type { Attachment } from "../composer/attachments.ts";
import type { TenantConnection } from "../gateway/connection.ts";
import { newId } from "../gateway/new-id.ts";
import type { AgentEvent, ChatEvent, HistoryPage, SessionRow, TranscriptRow } from "../gateway/wire.ts";
import { applyAgentEvent, applyChatEvent, type LiveRun, startRun, textOf, toolsOfRows } from "./live-run.ts";
import { loadOutgoing, type Outgoing, saveOutgoing } from "./outgoing.ts";
import { holdsAnswer, localRows, takeOlder, takeRow, takeTail } from "./transcript-rows.ts";

/** A snapshot of a conversation; a new object on each change. */
export interface RoomState {
  phase: "loading" | "ready" | "error";
  failure: Error | undefined;
  rows: readonly TranscriptRow[];
  hasMore: boolean;
  loadingOlder: boolean;
  run: LiveRun | undefined;
  outgoing: readonly Outgoing[];
  session: SessionRow | undefined;
}

const PAGE_SIZE = 80;

/** One session's conversation. */
export class ChatRoom {
  readonly key: string;
  private readonly connection: TenantConnection;
  private state: RoomState;
  private readonly listeners = new Set<() => void>();
  private sessionId: string | undefined;
  private olderOffset = 0;
  private loadGeneration = 0;
  private settleTimer: ReturnType<typeof setTimeout> | undefined;
  private wantedModel: string | undefined;
  private onFirst: (() => void) | undefined;

  constructor(connection: TenantConnection, key: string) {
    this.connection = connection;
    this.key = key;
    this.state = {
      phase: "loading",
      failure: undefined,
      rows: [],
      hasMore: false,
      loadingOlder: false,
      run: undefined,
      outgoing: loadOutgoing(connection.slug, key),
      session: undefined,
    };
  }

  /** The current snapshot; stable between changes. */
  readonly getState = (): RoomState => this.state;

  /** Calls back after each change; returns the way out. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Begins without asking the server; calls back at the first message. */
  startEmpty(onFirst: () => void): void {
    this.state = { ...this.state, phase: "ready" };
    this.onFirst = onFirst;
  }

  /** Catches up with the server: newest page, run in flight, and messages that still wait. */
  async sync(): Promise<void> {
    this.loadGeneration += 1;
    const generation = this.loadGeneration;
    void this.connection.call("sessions.messages.subscribe", { key: this.key }).catch(() => undefined);
    try {
      const page = await this.connection.call<HistoryPage>("chat.history", {
        sessionKey: this.key,
        limit: PAGE_SIZE,
      });
      if (generation !== this.loadGeneration) return;
      this.takeHistory(page);
    } catch (error) {
      if (generation !== this.loadGeneration || this.connection.getState().phase !== "ready") return;
      if (this.state.phase !== "ready") this.set({ phase: "error", failure: asError(error) });
    }
    this.sendWaiting();
  }

  /** Fetches the page before the oldest row shown. */
  async loadOlder(): Promise<void> {
    if (!this.state.hasMore || this.state.loadingOlder) return;
    this.set({ loadingOlder: true });
    try {
      const page = await this.connection.call<HistoryPage>("chat.history", {
        sessionKey: this.key,
        limit: PAGE_SIZE,
        offset: this.olderOffset,
      });
      this.olderOffset = page.nextOffset ?? this.olderOffset + page.messages.length;
      const hasMore = page.hasMore === true && page.messages.length > 0;
      this.set({ rows: takeOlder(page.messages, this.state.rows), hasMore });
    } catch {
      // The button stays; the reader may ask again.
    }
    this.set({ loadingOlder: false });
  }

  /** Chooses the model, as provider/id; a session that does not exist yet is made with it at the first message. */
  async chooseModel(provider: string, model: string): Promise<void> {
    this.set({ session: { ...(this.state.session ?? { key: this.key }), modelProvider: provider, model } });
    if (this.state.rows.length === 0 && this.sessionId === undefined)
      this.wantedModel = `${provider}/${model}`;
    else await this.connection.call("sessions.patch", { key: this.key, model: `${provider}/${model}` });
  }

  /** Shows a message at once and sends it; it survives a lost connection and a reload. */
  send(text: string, attachments: readonly Attachment[] = []): void {
    if (this.onFirst) {
      this.onFirst();
      this.onFirst = undefined;
      void this.connection.call("sessions.messages.subscribe", { key: this.key }).catch(() => undefined);
    }
    const item: Outgoing = { idempotencyKey: newId(), text, attachments, atMs: Date.now(), state: "waiting" };
    this.setOutgoing([...this.state.outgoing, item]);
    this.sendWaiting();
  }

  /** Tries a failed message again, under its old key so that it cannot arrive twice; a conflict needs a new key. */
  retry(idempotencyKey: string): void {
    const item = this.state.outgoing.find((other) => other.idempotencyKey === idempotencyKey);
    const next = isKeyConflict(item?.failure) ? newId() : idempotencyKey;
    this.changeOutgoing(idempotencyKey, { state: "waiting", idempotencyKey: next });
    this.sendWaiting();
  }

  /** Forgets a message that was not accepted and gives its words back. */
  discard(idempotencyKey: string): string {
    const item = this.state.outgoing.find((other) => other.idempotencyKey === idempotencyKey);
    this.setOutgoing(this.state.outgoing.filter((other) => other.idempotencyKey !== idempotencyKey));
    return item?.text ?? "";
  }

  /** Stops the run in progress. */
  async stop(): Promise<void> {
    const run = this.state.run;
    await this.connection.call("chat.abort", {
      sessionKey: this.key,
      ...(run && !run.ended ? { runId: run.runId } : {}),
    });
  }

  /** Takes one server event that names this session. */
  onEvent(event: string, payload: unknown): void {
    if (event === "chat") this.onChat(payload as ChatEvent);
    else if (event === "agent") this.onAgent(payload as AgentEvent);
    else if (event === "session.message") {
      this.onMessage((payload as { message?: TranscriptRow }).message);
    } else if (event === "sessions.changed") {
      const row = (payload as { session?: SessionRow }).session;
      if (row) this.set({ session: { ...this.state.session, ...row } });
    }
  }

  private onChat(event: ChatEvent): void {
    const run = this.runFor(event.runId);
    if (!run) return;
    this.acknowledge(event.runId);
    this.set({ run: applyChatEvent(run, event) });
    if (event.state !== "delta" && event.state !== "status") this.settleSoon();
  }

  private onAgent(event: AgentEvent): void {
    const run = this.runFor(event.runId);
    if (!run) return;
    const next = applyAgentEvent(run, event, Date.now());
    if (next !== run) this.set({ run: next });
  }

  /** The live run with this id; a new one when it is not the run that has just ended. */
  private runFor(runId: string): LiveRun | undefined {
    const run = this.state.run;
    if (run?.runId === runId) return run.ended ? undefined : run;
    if (run && !run.ended) return run.runId === runId ? run : undefined;
    if (this.state.rows.some((row) => row.__openclaw?.runId === runId && row.stopReason === "stop"))
      return undefined;
    return startRun(runId, Date.now());
  }

  private onMessage(row: TranscriptRow | undefined): void {
    if (!row) return;
    const outgoing = row.role === "user" ? withoutRow(this.state.outgoing, row) : this.state.outgoing;
    this.set({ rows: takeRow(this.state.rows, row) });
    if (outgoing.length !== this.state.outgoing.length) this.setOutgoing(outgoing);
  }

  private takeHistory(page: HistoryPage): void {
    const replaced = page.sessionId !== undefined && page.sessionId !== this.sessionId;
    this.sessionId = page.sessionId ?? this.sessionId;
    let rows = takeTail(replaced ? [] : this.state.rows, page.messages);
    const older = page.messages.length > 0 && rows[0] !== page.messages[0];
    if (!older) this.olderOffset = page.nextOffset ?? page.messages.length;
    let outgoing: readonly Outgoing[] = withQueued(this.state.outgoing, page);
    for (const row of rows) if (row.role === "user") outgoing = withoutRow(outgoing, row);
    const run = this.runAfter(page, rows, outgoing);
    if (run?.ended) {
      const asked = outgoing.find((item) => item.idempotencyKey === run.runId);
      outgoing = outgoing.filter((item) => item !== asked);
      rows = [...rows, ...localRows(run, asked?.text, rows)];
    }
    this.set({
      phase: "ready",
      failure: undefined,
      rows,
      hasMore: older ? this.state.hasMore : page.hasMore === true,
      session: page.sessionInfo ?? this.state.session,
      run: run?.ended ? undefined : run,
    });
    if (outgoing !== this.state.outgoing) this.setOutgoing(outgoing);
  }

  /** What is live after a page: the run in flight, or the ended one when the page does not hold its answer yet. */
  private runAfter(
    page: HistoryPage,
    rows: readonly TranscriptRow[],
    outgoing: readonly Outgoing[],
  ): LiveRun | undefined {
    const run = this.state.run;
    const flight = page.inFlightRun;
    if (flight?.runId) {
      const known =
        run?.runId === flight.runId ? run : startRun(flight.runId, flight.startedAt ?? Date.now());
      if (known.ended) return known;
      const text = flight.text ?? "";
      const tools = known.tools.length > 0 ? known.tools : toolsOfRows(rows, flight.runId);
      return { ...known, tools, text: text.length > known.text.length ? text : known.text };
    }
    // Its end was not heard, for instance while the connection was away, but the page has what it said.
    if (run === undefined || holdsAnswer(rows, run.runId)) return undefined;
    if (run.ended) return run;
    const isWaiting = outgoing.some((item) => item.idempotencyKey === run.runId && item.state !== "failed");
    return isWaiting ? run : undefined;
  }

  private settleSoon(): void {
    clearTimeout(this.settleTimer);
    this.settleTimer = setTimeout(() => void this.sync(), 60);
  }

  private sendWaiting(): void {
    if (this.connection.getState().phase !== "ready") return;
    for (const item of this.state.outgoing) if (item.state === "waiting") void this.deliver(item);
  }

  private async deliver(item: Outgoing): Promise<void> {
    this.changeOutgoing(item.idempotencyKey, { state: "sending" });
    try {
      await this.createWithModel();
      await this.connection.call("chat.send", {
        sessionKey: this.key,
        message: item.text,
        ...(item.attachments.length > 0 ? { attachments: item.attachments.map(toWire) } : {}),
        deliver: false,
        idempotencyKey: item.idempotencyKey,
      });
      this.acknowledge(item.idempotencyKey);
      if (!this.state.run || this.state.run.ended) {
        const run = this.runFor(item.idempotencyKey);
        if (run) this.set({ run });
      }
      this.set({ phase: "ready" });
    } catch (error) {
      const refused = error instanceof GatewayProtocolRequestError;
      // Without an answer nobody knows whether it arrived; the same key makes sending again safe.
      this.changeOutgoing(
        item.idempotencyKey,
        refused ? { state: "failed", failure: error } : { state: "waiting" },
      );
    }
  }

  private async createWithModel(): Promise<void> {
    if (this.wantedModel === undefined) return;
    await this.connection.call("sessions.create", { key: this.key, model: this.wantedModel });
    this.wantedModel = undefined;
  }

  private acknowledge(runId: string): void {
    const item = this.state.outgoing.find((other) => other.idempotencyKey === runId);
    if (item && item.state !== "accepted") this.changeOutgoing(runId, { state: "accepted" });
  }

  private changeOutgoing(idempotencyKey: string, change: Partial<Outgoing>): void {
    this.setOutgoing(
      this.state.outgoing.map((item) =>
        item.idempotencyKey === idempotencyKey ? { ...item, ...change } : item,
      ),
    );
  }

  private setOutgoing(outgoing: readonly Outgoing[]): void {
    saveOutgoing(this.connection.slug, this.key, outgoing);
    this.set({ outgoing });
  }

  private set(change: Partial<RoomState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of [...this.listeners]) listener();
  }
}

function withoutRow(outgoing: readonly Outgoing[], row: TranscriptRow): readonly Outgoing[] {
  const key = row.idempotencyKey?.replace(/:user$/, "");
  return key ? outgoing.filter((item) => item.idempotencyKey !== key) : outgoing;
}

/** Adds what the server holds back until the run in progress has ended, for instance after a reload. */
function withQueued(outgoing: readonly Outgoing[], page: HistoryPage): readonly Outgoing[] {
  const known = new Set(outgoing.map((item) => item.idempotencyKey));
  const queued = (page.pendingInputs?.items ?? []).flatMap((item): Outgoing[] => {
    if (!item.runId || known.has(item.runId)) return [];
    const text = textOf(item.message?.content);
    return [
      {
        idempotencyKey: item.runId,
        text,
        attachments: [],
        atMs: item.acceptedAt ?? Date.now(),
        state: "accepted",
      },
    ];
  });
  return queued.length > 0 ? [...outgoing, ...queued] : outgoing;
}

function isKeyConflict(failure: Error | undefined): boolean {
  if (!(failure instanceof GatewayProtocolRequestError)) return false;
  const { reason, code } = (failure.details ?? {}) as { reason?: unknown; code?: unknown };
  return reason === "chat-request-conflict" || code === "idempotency_conflict";
}

function toWire({ type, mimeType, fileName, content }: Attachment) {
  return { type, mimeType, fileName, content };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
