/** Shapes of the OpenClaw protocol v4 that the Control UI reads. Owns: types only. Refuses to know: sockets and views. */

/** One row of `sessions.list`. */
export interface SessionRow {
  key: string;
  agentId?: string;
  sessionId?: string;
  updatedAt?: number | null;
  label?: string | null;
  displayName?: string | null;
  derivedTitle?: string | null;
  lastMessagePreview?: string | null;
  model?: string;
  modelProvider?: string;
  hasActiveRun?: boolean;
  activeRunIds?: string[];
  status?: string;
  unread?: boolean;
  archived?: boolean;
  pinned?: boolean;
  totalTokens?: number | null;
  contextTokens?: number | null;
}

/** Answer of `sessions.list`. */
export interface SessionsPage {
  sessions: SessionRow[];
  totalCount?: number;
  hasMore?: boolean;
  nextOffset?: number | null;
}

/** One part of a message's content. */
export interface ContentPart {
  type: string;
  text?: string;
  thinking?: string;
  id?: string;
  name?: string;
  arguments?: unknown;
  mimeType?: string;
}

/** One stored row of a transcript. */
export interface TranscriptRow {
  role: string;
  content: string | ContentPart[];
  timestamp?: number;
  idempotencyKey?: string;
  provider?: string;
  model?: string;
  stopReason?: string;
  errorMessage?: string;
  attachments?: { mimeType?: string; fileName?: string }[];
  toolCallId?: string;
  toolName?: string;
  isError?: boolean;
  details?: { durationMs?: number } | null;
  openclawAbort?: { aborted?: boolean };
  usage?: { input?: number; output?: number; totalTokens?: number };
  __openclaw?: { id?: string; seq?: number; runId?: string; recordTimestampMs?: number; kind?: string };
}

/** Answer of `chat.history`. */
export interface HistoryPage {
  sessionKey: string;
  sessionId?: string;
  messages: TranscriptRow[];
  hasMore?: boolean;
  nextOffset?: number | null;
  sessionInfo?: SessionRow | null;
  pendingInputs?: { items?: { runId?: string; acceptedAt?: number; message?: TranscriptRow }[] };
  inFlightRun?: { runId: string; text?: string; startedAt?: number; events?: unknown[] } | null;
  defaults?: { modelProvider?: string; model?: string };
}

/** Payload of a `chat` event. */
export interface ChatEvent {
  runId: string;
  sessionKey: string;
  seq?: number;
  state: "status" | "delta" | "final" | "aborted" | "error";
  phase?: string;
  deltaText?: string;
  replace?: boolean;
  message?: TranscriptRow;
  stopReason?: string;
  errorMessage?: string;
}

/** Payload of an `agent` event. */
export interface AgentEvent {
  runId: string;
  sessionKey?: string;
  stream: string;
  ts?: number;
  data?: Record<string, unknown>;
}

/** One model of `models.list`. */
export interface ModelRow {
  id: string;
  name?: string;
  provider: string;
  contextWindow?: number;
  available?: boolean;
  tags?: string[];
}

/** One agent of `agents.list`. */
export interface AgentRow {
  id: string;
  name?: string;
  identity?: { name?: string; emoji?: string };
  model?: { primary?: string };
  tools?: string[];
}

/** Answer of `agents.list`. */
export interface AgentsPage {
  defaultId: string;
  mainKey: string;
  agents: AgentRow[];
}

/** Token and cost sums; costs in whole units of the tenant's currency. */
export interface UsageTotals {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  totalTokens: number;
  totalCost: number;
}

/** Answer of `sessions.usage`. */
export interface SessionsUsage {
  startDate: string;
  endDate: string;
  sessions: {
    key: string;
    label?: string | null;
    agentId?: string;
    modelProvider?: string;
    model?: string;
    updatedAt?: number;
    usage: UsageTotals | null;
  }[];
  totals: UsageTotals;
  aggregates: {
    /** All of them; the list of sessions ends at its limit. */
    sessionCount?: number;
    messages?: { total?: number; user?: number; assistant?: number; errors?: number };
    tools?: { totalCalls?: number };
    byModel?: { provider: string; model: string; count?: number; totals: UsageTotals }[];
    byAgent?: { agentId: string; totals: UsageTotals }[];
    costDaily?: ({ date: string } & UsageTotals)[];
    daily?: { date: string; tokens: number; cost: number; messages?: number }[];
  };
}

/** The one provider name whose answers are made up by the built-in demo model. */
export const DEMO_PROVIDER = "demo";
