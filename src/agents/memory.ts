/**
 * What agents remember, searchable. Owns: the memories of each agent and finding them again.
 * Refuses to know: conversations, the files that say the same in a form people read.
 */
import type { Clock } from "../kernel/clock.ts";
import type { AgentId } from "../kernel/ids.ts";
import type { SqlValue } from "../storage/database.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { Workspaces } from "./workspace.ts";

/** One remembered thing. */
export interface Memory {
  id: number;
  text: string;
  author: string;
  createdAtMs: number;
}

interface MemoryRow {
  id: number;
  text: string;
  author: string;
  created_at_ms: number;
}

/** Longest single memory, characters. */
export const MEMORY_CHARS = 4_000;
/** The index needs three characters; shorter words are looked for one by one. */
const INDEXED_CHARS = 3;
const TERMS = 12;

/** See the head of this file. */
export class Memories {
  private readonly workspaces: Workspaces;
  private readonly clock: Clock;

  constructor(workspaces: Workspaces, clock: Clock) {
    this.workspaces = workspaces;
    this.clock = clock;
  }

  /** Remember a text, in the index and in `memory/YYYY-MM-DD.md` of the tenant's day. Returns the file. */
  async append(scope: TenantScope, agentId: AgentId, text: string, author: string): Promise<string> {
    const nowMs = this.clock.nowMs();
    const file = `memory/${dayOf(nowMs, scope.tenant.timeZone)}.md`;
    await this.workspaces.append(scope, agentId, file, `- ${text.replace(/\s*\n\s*/g, " ")}\n`);
    await scope.db.write({
      statements: [
        {
          sql: "INSERT INTO memories (agent_id, text, author, created_at_ms) VALUES (?, ?, ?, ?)",
          params: [agentId, text, author, nowMs],
        },
        {
          sql: "INSERT INTO memories_text (rowid, text) VALUES (last_insert_rowid(), ?)",
          params: [text],
        },
      ],
    });
    return file;
  }

  /** Memories that hold every word of the query, newest first. No query finds the newest. */
  async search(scope: TenantScope, agentId: AgentId, query: string, limit: number): Promise<Memory[]> {
    const terms = query
      .replaceAll("\u0000", " ")
      .split(/\s+/)
      .filter((term) => term !== "")
      .slice(0, TERMS);
    const long = terms.filter((term) => [...term].length >= INDEXED_CHARS);
    const short = terms.filter((term) => [...term].length < INDEXED_CHARS);
    const conditions = ["m.agent_id = ?", ...short.map(() => "instr(lower(m.text), ?) > 0")];
    const params: SqlValue[] = [agentId, ...short.map((term) => term.toLowerCase())];
    if (long.length > 0) {
      conditions.push("m.id IN (SELECT rowid FROM memories_text WHERE memories_text MATCH ?)");
      // SECURITY: each word is a quoted string, so that no word is ever read as query syntax.
      params.push(long.map((term) => `"${term.replaceAll('"', '""')}"`).join(" "));
    }
    const rows = await scope.db.list<MemoryRow>(
      `SELECT m.id, m.text, m.author, m.created_at_ms FROM memories m
        WHERE ${conditions.join(" AND ")} ORDER BY m.id DESC LIMIT ?`,
      [...params, limit],
    );
    return rows.map((row) => ({
      id: row.id,
      text: row.text,
      author: row.author,
      createdAtMs: row.created_at_ms,
    }));
  }
}

/** The calendar day at a time zone, `YYYY-MM-DD`. */
export function dayOf(atMs: number, timeZone: string): string {
  return new Intl.DateTimeFormat("en-CA", {
    timeZone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
  }).format(atMs);
}
