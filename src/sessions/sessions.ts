/**
 * The index of a tenant's conversations. Owns: rows, order, search, counts.
 * Refuses to know: transcripts' contents, runs.
 */
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { type AgentId, newId, type SessionId, type SessionKey } from "../kernel/ids.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { SqlValue, Statement } from "../storage/database.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { SessionRow } from "./session.ts";
import type { ParsedKey } from "./session-key.ts";

/** Which sessions to list. */
export interface SessionQuery {
  agentId?: AgentId | undefined;
  archived?: boolean | "all" | undefined;
  search?: string | undefined;
  label?: string | undefined;
  /** Only sessions changed since then. */
  sinceMs?: number | undefined;
  limit: number;
  offset: number;
}

/** One page, newest first. */
export interface SessionPage {
  rows: SessionRow[];
  totalCount: number;
}

/** What a patch may change; undefined leaves as it is, null clears. */
export interface SessionPatch {
  label?: string | null | undefined;
  pinned?: boolean | undefined;
  archived?: boolean | undefined;
  unread?: boolean | undefined;
  model?: string | null | undefined;
  thinkingLevel?: string | null | undefined;
}

/** See the head of this file. */
export class Sessions {
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  find(scope: TenantScope, key: SessionKey): Promise<SessionRow | undefined> {
    return scope.db.find<SessionRow>("SELECT * FROM sessions WHERE key = ?", [key]);
  }

  findBySessionId(scope: TenantScope, sessionId: string): Promise<SessionRow | undefined> {
    return scope.db.find<SessionRow>("SELECT * FROM sessions WHERE session_id = ?", [sessionId]);
  }

  /** Throws `not_found`, the same for a session that never was and for one of another tenant. */
  async get(scope: TenantScope, key: SessionKey): Promise<SessionRow> {
    const row = await this.find(scope, key);
    if (row === undefined) throw new AppError("not_found", "There is no such session.");
    return row;
  }

  async list(scope: TenantScope, query: SessionQuery): Promise<SessionPage> {
    const { where, params, isPlain } = conditions(query);
    const rows = await scope.db.list<SessionRow>(
      `SELECT * FROM sessions ${where} ORDER BY updated_at_ms DESC, key LIMIT ? OFFSET ?`,
      [...params, Math.min(query.limit, LIMITS.listRows), query.offset],
    );
    if (isPlain) return { rows, totalCount: await this.count(scope, query) };
    const counted = await scope.db.find<{ n: number }>(`SELECT count(*) AS n FROM sessions ${where}`, params);
    return { rows, totalCount: counted?.n ?? 0 };
  }

  /** Number of sessions of an agent (or of all), without looking at them. */
  async count(
    scope: TenantScope,
    query: { agentId?: AgentId | undefined; archived?: boolean | "all" | undefined },
  ) {
    const archived = query.archived === "all" ? [0, 1] : [query.archived === true ? 1 : 0];
    const row = await scope.db.find<{ n: number | null }>(
      `SELECT sum(n) AS n FROM session_counts WHERE archived IN (${archived.join(",")})
        ${query.agentId === undefined ? "" : "AND agent_id = ?"}`,
      query.agentId === undefined ? [] : [query.agentId],
    );
    return row?.n ?? 0;
  }

  /** The statement that makes a session unless the key is taken, and the id it gets then. */
  insertion(
    parsed: ParsedKey,
    by: { userId: string; channel: string },
  ): { statement: Statement; sessionId: SessionId } {
    const sessionId = newId() as SessionId;
    const now = this.clock.nowMs();
    return {
      sessionId,
      statement: {
        sql: `INSERT INTO sessions (key, agent_id, session_id, created_at_ms, updated_at_ms, created_by, channel)
          VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        params: [parsed.key, parsed.agentId, sessionId, now, now, by.userId, by.channel],
      },
    };
  }

  /** The session with this key, made if need be. Throws `limit_reached` when the tenant has too many. */
  async ensure(
    scope: TenantScope,
    parsed: ParsedKey,
    by: { userId: string; channel: string },
  ): Promise<SessionRow> {
    const existing = await this.find(scope, parsed.key);
    if (existing !== undefined) return existing;
    if ((await this.count(scope, { archived: "all" })) >= LIMITS.sessionsPerTenant) {
      throw new AppError(
        "limit_reached",
        `A tenant holds at most ${LIMITS.sessionsPerTenant} sessions; delete some.`,
      );
    }
    await scope.db.write({ statements: [this.insertion(parsed, by).statement] });
    return this.get(scope, parsed.key);
  }

  /** Change fields; throws `not_found`, or `conflict` when the label is another session's. */
  async patch(scope: TenantScope, key: SessionKey, patch: SessionPatch): Promise<SessionRow> {
    const now = this.clock.nowMs();
    const changes: [string, SqlValue][] = [];
    if (patch.label !== undefined)
      changes.push(["label", patch.label === null ? null : patch.label.trim() || null]);
    if (patch.pinned !== undefined) changes.push(["pinned", patch.pinned ? 1 : 0]);
    if (patch.archived !== undefined) changes.push(["archived", patch.archived ? 1 : 0]);
    if (patch.unread !== undefined) changes.push(["unread_at_ms", patch.unread ? now : null]);
    if (patch.unread === false) changes.push(["last_read_at_ms", now]);
    if (patch.model !== undefined) changes.push(["model", patch.model]);
    if (patch.thinkingLevel !== undefined) changes.push(["thinking_level", patch.thinkingLevel]);
    if (changes.length === 0) return this.get(scope, key);
    const outcome = await scope.db.write({
      statements: [
        {
          sql: `UPDATE sessions SET ${changes.map(([column]) => `${column} = ?`).join(", ")} WHERE key = ?`,
          params: [...changes.map(([, value]) => value), key],
          expect: 1,
        },
      ],
    });
    if (!outcome.committed) throw new AppError("not_found", "There is no such session.");
    return this.get(scope, key);
  }

  /** Begin the conversation anew under the same key; the old transcript stays on disk. */
  async reset(scope: TenantScope, key: SessionKey): Promise<SessionRow> {
    const now = this.clock.nowMs();
    const outcome = await scope.db.write({
      statements: [
        {
          sql: `UPDATE sessions SET session_id = ?, updated_at_ms = ?, title = NULL, last_message = NULL, status = NULL,
            last_run_id = NULL, run_started_at_ms = NULL, run_ended_at_ms = NULL, input_tokens = 0, output_tokens = 0,
            context_tokens_used = 0, summary_seq = NULL, kept_from_seq = 1, unread_at_ms = NULL WHERE key = ?`,
          params: [newId(), now, key],
          expect: 1,
        },
      ],
    });
    if (!outcome.committed) throw new AppError("not_found", "There is no such session.");
    return this.get(scope, key);
  }

  /** Take a session out of the index; returns the row it was, or undefined. Its transcript file stays on disk. */
  async remove(scope: TenantScope, key: SessionKey): Promise<SessionRow | undefined> {
    const row = await this.find(scope, key);
    if (row === undefined) return undefined;
    await scope.db.write({
      statements: [
        { sql: "DELETE FROM messages WHERE session_id = ?", params: [row.session_id] },
        { sql: "DELETE FROM sessions WHERE key = ?", params: [key] },
      ],
    });
    return row;
  }
}

function conditions(query: SessionQuery): { where: string; params: SqlValue[]; isPlain: boolean } {
  const parts: string[] = [];
  const params: SqlValue[] = [];
  const add = (sql: string, ...values: SqlValue[]) => {
    parts.push(sql);
    params.push(...values);
  };
  if (query.archived !== "all") add("archived = ?", query.archived === true ? 1 : 0);
  if (query.agentId !== undefined) add("agent_id = ?", query.agentId);
  const plainParts = parts.length;
  if (query.sinceMs !== undefined) add("updated_at_ms >= ?", query.sinceMs);
  if (query.label !== undefined) add("label = ?", query.label);
  if (query.search !== undefined && query.search.trim() !== "") {
    const pattern = `%${query.search.trim().replace(/[\\%_]/g, "\\$&")}%`;
    add(
      "(label LIKE ? ESCAPE '\\' OR title LIKE ? ESCAPE '\\' OR last_message LIKE ? ESCAPE '\\' OR key LIKE ? ESCAPE '\\')",
      pattern,
      pattern,
      pattern,
      pattern,
    );
  }
  const where = parts.length === 0 ? "" : `WHERE ${parts.join(" AND ")}`;
  return { where, params, isPlain: parts.length === plainParts };
}
