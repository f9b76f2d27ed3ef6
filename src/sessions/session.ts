/**
 * A conversation as it is stored and as clients see it. Owns: the row and its wire form.
 * Refuses to know: SQL, transcripts.
 */
import type { AgentId, SessionId, SessionKey } from "../kernel/ids.ts";

/** State of the latest run. */
export type SessionStatus = "running" | "done" | "failed" | "killed";

/** The stored row, column by column. */
export interface SessionRow {
  key: SessionKey;
  agent_id: AgentId;
  session_id: SessionId;
  created_at_ms: number;
  updated_at_ms: number;
  created_by: string;
  channel: string;
  label: string | null;
  title: string | null;
  last_message: string | null;
  pinned: number;
  archived: number;
  unread_at_ms: number | null;
  last_read_at_ms: number | null;
  model: string | null;
  thinking_level: string | null;
  status: SessionStatus | null;
  last_run_id: string | null;
  run_started_at_ms: number | null;
  run_ended_at_ms: number | null;
  input_tokens: number;
  output_tokens: number;
  context_tokens_used: number;
  model_provider: string | null;
  model_id: string | null;
  summary_seq: number | null;
  kept_from_seq: number;
}

/** The model a tenant's sessions use unless they say otherwise. */
export interface ModelDefaults {
  modelProvider: string;
  model: string;
  contextTokens: number;
}

/** The row as OpenClaw's clients read it (PROTOCOL.md 8.1); absent fields are left out. */
export function toWireSession(
  row: SessionRow,
  defaults: ModelDefaults,
  nowMs: number,
): Record<string, unknown> {
  const isRunning = row.status === "running";
  const isMain = row.key === `agent:${row.agent_id}:main`;
  return {
    key: row.key,
    kind: "direct",
    classification: isMain ? "main" : "direct",
    chatType: "direct",
    agentId: row.agent_id,
    isMain,
    sessionId: row.session_id,
    createdAt: row.created_at_ms,
    updatedAt: row.updated_at_ms,
    snapshotAt: nowMs,
    hasActiveRun: isRunning,
    activeRunIds: isRunning && row.last_run_id !== null ? [row.last_run_id] : [],
    ...present({ status: row.status, lastRunId: row.last_run_id, label: row.label, derivedTitle: row.title }),
    displayName: row.label ?? row.title ?? undefined,
    ...present({ lastMessagePreview: row.last_message, lastReadAt: row.last_read_at_ms }),
    ...present({
      startedAt: row.run_started_at_ms,
      endedAt: row.run_ended_at_ms,
      markedUnreadAt: row.unread_at_ms,
    }),
    ...present({ thinkingLevel: row.thinking_level }),
    channel: row.channel,
    unread: row.unread_at_ms !== null,
    archived: row.archived === 1,
    pinned: row.pinned === 1,
    abortedLastRun: row.status === "killed",
    inputTokens: row.input_tokens,
    outputTokens: row.output_tokens,
    totalTokens: row.context_tokens_used,
    totalTokensFresh: true,
    ...modelOf(row, defaults),
    thinkingLevels: THINKING_LEVELS,
    thinkingDefault: "off",
  };
}

/** Levels offered for reasoning; models without it have only `off`. */
export const THINKING_LEVELS = [{ id: "off", label: "off" }] as const;

function modelOf(row: SessionRow, defaults: ModelDefaults): ModelDefaults {
  const chosen = row.model;
  if (chosen !== null) {
    const slash = chosen.indexOf("/");
    return { ...defaults, modelProvider: chosen.slice(0, slash), model: chosen.slice(slash + 1) };
  }
  return { ...defaults };
}

function present(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}
