/**
 * What a client sees when it opens or reopens a conversation. Owns: pages, cursors, what waits, what is in flight.
 * Refuses to know: how messages get there. Source: PROTOCOL.md 8.2.
 */

import type { Clock } from "../kernel/clock.ts";
import type { AgentId } from "../kernel/ids.ts";
import type { DefaultsOf } from "../sessions/announce.ts";
import { type SessionRow, toWireSession } from "../sessions/session.ts";
import type { ParsedKey } from "../sessions/session-key.ts";
import type { Sessions } from "../sessions/sessions.ts";
import { countRows, readRows, type TranscriptRow, toWireMessage } from "../sessions/transcript.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { LiveRuns } from "./runs/live-runs.ts";
import { listWaiting, pendingInputOf, type RunRow } from "./runs/run.ts";

/** Which part of a conversation. */
export interface HistoryQuery {
  parsed: ParsedKey;
  /** The key as the client wrote it; echoed. */
  askedKey: string;
  cursor?: string | undefined;
  limit?: number | undefined;
  /** Rows to skip, counted from the newest. */
  offset?: number | undefined;
  /** Bound of the answer's size; older rows fall off first. */
  maxBytes?: number | undefined;
  /** Longer texts are cut. */
  maxChars?: number | undefined;
}

/** What history needs. */
export interface HistoryDeps {
  sessions: Sessions;
  live: LiveRuns;
  defaultsOf: DefaultsOf;
  clock: Clock;
}

const DEFAULT_ROWS = 200;
/** Bytes of stored rows that one answer is made of: a page must fit into a frame, whatever people pasted. */
const PAGE_BYTES = 6 * 1024 * 1024;

/** See the head of this file. */
export class History {
  private readonly deps: HistoryDeps;

  constructor(deps: HistoryDeps) {
    this.deps = deps;
  }

  /** A page, or with a cursor what was added since; a cursor that fits no more answers `{kind: "reset"}`. */
  async read(scope: TenantScope, query: HistoryQuery): Promise<Record<string, unknown>> {
    const session = await this.deps.sessions.find(scope, query.parsed.key);
    if (query.cursor !== undefined) return this.since(scope, session, query.cursor);
    return this.page(scope, session, query);
  }

  private async since(scope: TenantScope, session: SessionRow | undefined, cursor: string) {
    const from = session === undefined ? undefined : readCursor(cursor, session);
    if (session === undefined || from === undefined) return { kind: "reset" };
    const last = await countRows(scope, session.session_id);
    if (from > last || last - from > DEFAULT_ROWS) return { kind: "reset" };
    const ref = { agentId: session.agent_id, sessionId: session.session_id };
    const rows = await readRows(scope, ref, from + 1, last, PAGE_BYTES);
    if (rows.length < last - from) return { kind: "reset" };
    const wire = await this.wire(scope, session);
    return {
      kind: "delta",
      messages: rows.map((row) => ({
        sessionKey: session.key,
        agentId: session.agent_id,
        messageId: row.id,
        messageSeq: row.seq,
        message: toWireMessage(row),
        session: wire,
      })),
      deltaCursor: makeCursor(session, last),
      sessionInfo: wire,
      ...this.inFlight(scope, session),
    };
  }

  private async page(scope: TenantScope, session: SessionRow | undefined, query: HistoryQuery) {
    const defaults = { ...(await this.deps.defaultsOf(scope)), thinkingDefault: "off" };
    const shared = { sessionKey: query.askedKey, defaults, thinkingLevel: "off" };
    if (session === undefined) return { ...shared, ...EMPTY_PAGE };
    const total = await countRows(scope, session.session_id);
    const offset = query.offset ?? 0;
    const limit = query.limit ?? DEFAULT_ROWS;
    const ref = { agentId: session.agent_id, sessionId: session.session_id };
    const newest = total - offset;
    const rows = await readRows(scope, ref, Math.max(1, newest - limit + 1), newest, PAGE_BYTES);
    const messages = bound(rows, query);
    const next = offset + messages.length;
    const waiting = await listWaiting(scope, session.key);
    return {
      ...shared,
      sessionId: session.session_id,
      messages,
      pendingInputs: { items: waiting.map(toPendingInput), total: waiting.length },
      deltaCursor: makeCursor(session, total),
      hasMore: next < total,
      nextOffset: next,
      ...(offset > 0 ? { offset } : {}),
      totalMessages: total,
      sessionInfo: await this.wire(scope, session),
      thinkingLevel: session.thinking_level ?? "off",
      ...this.inFlight(scope, session),
    };
  }

  private inFlight(scope: TenantScope, session: SessionRow): Record<string, unknown> {
    const active = this.deps.live.find(scope.tenantId, session.key)?.active;
    return active === undefined ? {} : { inFlightRun: active.stream.inFlight() };
  }

  private async wire(scope: TenantScope, session: SessionRow): Promise<Record<string, unknown>> {
    return toWireSession(session, await this.deps.defaultsOf(scope), this.deps.clock.nowMs());
  }
}

const EMPTY_PAGE = {
  messages: [],
  pendingInputs: { items: [], total: 0 },
  hasMore: false,
  nextOffset: 0,
  totalMessages: 0,
};

/** Newest rows that fit, oldest first; at least one. */
function bound(rows: readonly TranscriptRow[], query: HistoryQuery): Record<string, unknown>[] {
  const wire = rows.map((row) => cut(toWireMessage(row), query.maxChars));
  if (query.maxBytes === undefined) return wire;
  let left = query.maxBytes;
  let first = wire.length;
  while (first > 0) {
    left -= Buffer.byteLength(JSON.stringify(wire[first - 1]));
    if (left < 0 && first < wire.length) break;
    first--;
  }
  return wire.slice(first);
}

function cut(message: Record<string, unknown>, maxChars: number | undefined): Record<string, unknown> {
  if (maxChars === undefined) return message;
  const shorten = (text: string) => (text.length > maxChars ? `${text.slice(0, maxChars)}…` : text);
  const content = message["content"];
  if (typeof content === "string") return { ...message, content: shorten(content) };
  if (!Array.isArray(content)) return message;
  const parts = (content as { text?: unknown }[]).map((part) =>
    typeof part.text === "string" ? { ...part, text: shorten(part.text) } : part,
  );
  return { ...message, content: parts };
}

function toPendingInput(run: RunRow): Record<string, unknown> {
  const message = pendingInputOf(run);
  return { id: run.run_id, acceptedAt: run.accepted_at_ms, state: "queued", runId: run.run_id, message };
}

function makeCursor(session: SessionRow, seq: number): string {
  return Buffer.from(`${session.session_id}:${seq}`).toString("base64url");
}

function readCursor(cursor: string, session: SessionRow): number | undefined {
  const [sessionId, seq] = Buffer.from(cursor, "base64url").toString("utf8").split(":");
  return sessionId === session.session_id && /^\d{1,12}$/.test(seq ?? "") ? Number(seq) : undefined;
}

/** Where a session's transcript is. */
export function transcriptOf(session: SessionRow): { agentId: AgentId; sessionId: SessionRow["session_id"] } {
  return { agentId: session.agent_id, sessionId: session.session_id };
}
