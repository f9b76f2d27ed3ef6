/**
 * What agents did, in OpenClaw's form: beginnings and ends of runs and of tool calls. Owns: reading them from the
 * tenant's own runs. Refuses to know: who did what to the tenant (that is the log), contents of conversations.
 * Source: AuditEvent and AuditActivityEventV1 of @openclaw/gateway-protocol.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { SqlValue } from "../storage/database.ts";
import type { TenantScope } from "../tenancy/scoped.ts";

/** What is asked for; all that is given must hold. */
export interface ActivityQuery {
  agentId?: string | undefined;
  sessionKey?: string | undefined;
  runId?: string | undefined;
  kind?: "agent_run" | "tool_action" | undefined;
  status?: string | undefined;
  /** Wall-clock, inclusive. */
  after?: number | undefined;
  /** Wall-clock, exclusive. */
  before?: number | undefined;
  limit: number;
  /** Only events with a lower sequence number. */
  below?: number | undefined;
}

/** An event as OpenClaw writes it. */
export type ActivityEvent = Record<string, unknown> & { sequence: number };

interface ActivityRow {
  seq: number;
  at_ms: number;
  run_id: string;
  step: number | null;
  call_id: string | null;
  is_end: number;
  place: number;
  agent_id: string;
  session_key: string;
  session_id: string;
  tool: string | null;
  status: string;
}

/** Events looked at between two turns of the loop, and such pieces in one call. */
const WINDOW = 2_000;
const WINDOWS = 10;

// A tool's outcome is known by its usage event, which commits together with its result.
const STATUS = `CASE WHEN a.is_end = 0 THEN 'started'
  WHEN a.step IS NULL THEN CASE r.state WHEN 'done' THEN 'succeeded' WHEN 'failed' THEN 'failed'
    ELSE iif(r.stop_reason = 'timeout', 'timed_out', 'cancelled') END
  WHEN s.state = 'done' THEN coalesce((SELECT iif(u.is_error, 'failed', 'succeeded') FROM usage_events u
    WHERE u.run_id = a.run_id AND u.step = a.step AND u.kind = 'tool' AND u.call_id = a.call_id LIMIT 1), 'unknown')
  ELSE 'unknown' END`;

const SELECT = `SELECT * FROM (
  SELECT a.seq, a.at_ms, a.run_id, a.step, a.call_id, a.is_end, r.agent_id, r.session_key, r.session_id, s.tool,
    (SELECT count(*) FROM activity b WHERE b.run_id = a.run_id AND b.seq <= a.seq) AS place, ${STATUS} AS status
  FROM activity a JOIN runs r ON r.run_id = a.run_id
    LEFT JOIN run_steps s ON s.run_id = a.run_id AND s.step = a.step AND s.call_id = a.call_id)`;

/** At most `limit` events, newest first, and where to go on. A page can be short and still have a next one. */
export async function listActivity(
  scope: TenantScope,
  query: ActivityQuery,
): Promise<{ events: ActivityEvent[]; next: number | undefined }> {
  const { parts, params } = conditions(query);
  const found: ActivityRow[] = [];
  let top = query.below ?? (await lastSeq(scope)) + 1;
  for (let window = 0; window < WINDOWS && top > 1 && found.length < query.limit; window++) {
    if (window > 0) await nextTurn();
    const bottom = query.runId === undefined ? Math.max(1, top - WINDOW) : 1;
    const wanted = query.limit - found.length;
    const rows = await scope.db.list<ActivityRow>(
      `${SELECT} WHERE ${["seq < ?", "seq >= ?", ...parts].join(" AND ")} ORDER BY seq DESC LIMIT ?`,
      [top, bottom, ...params, wanted],
    );
    found.push(...rows);
    top = rows.length === wanted ? (rows.at(-1)?.seq ?? bottom) : bottom;
  }
  return { events: found.map(toEvent), next: top > 1 ? top : undefined };
}

async function lastSeq(scope: TenantScope): Promise<number> {
  return (await scope.db.find<{ seq: number | null }>("SELECT max(seq) AS seq FROM activity"))?.seq ?? 0;
}

function conditions(query: ActivityQuery): { parts: string[]; params: SqlValue[] } {
  const parts: string[] = [];
  const params: SqlValue[] = [];
  const add = (sql: string, value: SqlValue | undefined) => {
    if (value === undefined) return;
    parts.push(sql);
    params.push(value);
  };
  add("run_id = ?", query.runId);
  add("agent_id = ?", query.agentId);
  add("session_key = ?", query.sessionKey);
  add("status = ?", query.status);
  add("at_ms >= ?", query.after);
  add("at_ms < ?", query.before);
  if (query.kind !== undefined) parts.push(query.kind === "agent_run" ? "step IS NULL" : "step IS NOT NULL");
  return { parts, params };
}

const FAILURES: Readonly<Record<string, string>> = {
  failed: "failed",
  cancelled: "cancelled",
  timed_out: "timed_out",
};

function toEvent(row: ActivityRow): ActivityEvent {
  const isTool = row.step !== null;
  const word = row.is_end === 1 ? "finished" : "started";
  const failure = row.status === "unknown" ? "outcome_unknown" : FAILURES[row.status];
  return {
    eventId: `${row.run_id}/${isTool ? `${row.step}/${row.call_id ?? ""}` : "run"}/${word}`,
    sequence: row.seq,
    sourceSequence: row.place,
    occurredAt: row.at_ms,
    kind: isTool ? "tool_action" : "agent_run",
    action: `${isTool ? "tool.action" : "agent.run"}.${word}`,
    status: row.status,
    ...(failure === undefined ? {} : { errorCode: `${isTool ? "tool" : "run"}_${failure}` }),
    actor: { type: "agent", id: row.agent_id },
    agentId: row.agent_id,
    ...textOf("sessionKey", row.session_key),
    ...textOf("sessionId", row.session_id),
    runId: row.run_id,
    ...(isTool ? { ...textOf("toolCallId", row.call_id), ...textOf("toolName", row.tool) } : {}),
    redaction: "metadata_only",
  };
}

/** Texts of the protocol are never empty; what is not known is left out. */
function textOf(name: string, value: string | null): Record<string, string> {
  return value === null || value === "" ? {} : { [name]: value };
}
