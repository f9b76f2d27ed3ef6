/**
 * How far every export is. Owns: cursors, who is due, what the newest messages were made of. Refuses to know: sending,
 * addresses. An export with an empty name is the operator's, about every tenant.
 *
 * Who has news is told by numbers in control.db, never by a clock, and without opening anything of a tenant.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { KEY_CHARS, newestSeq, readKeys, type UsageMessage } from "./usage-message.ts";

/** The operator's export. */
export const PLATFORM = "";

/** What the log says when a cursor was put back. */
export const RESTORED =
  "a tenant's file comes from a backup; its usage is sent from where the file and what was sent part";

/** How far an export is with one tenant. */
export interface Cursor {
  exportOf: string;
  tenantId: TenantId;
  cursorSeq: number;
  /** What the event at the cursor was; empty when nobody knows. */
  cursorKey: string;
  pendingSeq: number | null;
  moves: number;
  failures: number;
  nextAtMs: number;
  lastSentAtMs: number | null;
  lastError: string | null;
}

interface CursorRow {
  cursor_seq: number;
  cursor_key: string;
  pending_seq: number | null;
  moves: number;
  failures: number;
  next_at_ms: number;
  last_sent_at_ms: number | null;
  last_error: string | null;
}

interface SentRow {
  first_seq: number;
  last_seq: number;
  keys: string;
}

/** Longest time until something that failed is tried again. */
export const LONGEST_WAIT_MS = 3_600_000;
/** A time that lies further away than anything is put off was set by a clock that was wrong. */
const MOST_AHEAD_MS = 2 * LONGEST_WAIT_MS;

/** Whether a time is one to wait for. */
export function isAhead(atMs: number, nowMs: number): boolean {
  return atMs > nowMs && atMs <= nowMs + MOST_AHEAD_MS;
}

/** Events that are remembered: a backup that is newer than these continues exactly where it was. */
const REMEMBERED_EVENTS = 20_000;
const SENT_AT_ONCE = 20;

const NEWS = {
  platform: `SELECT n.tenant_id AS tenantId, n.number FROM usage_news n
    LEFT JOIN usage_export_cursors c ON c.export_of = '' AND c.tenant_id = n.tenant_id`,
  tenants: `SELECT n.tenant_id AS tenantId, n.number FROM usage_news n JOIN usage_exports e ON e.tenant_id = n.tenant_id
    LEFT JOIN usage_export_cursors c ON c.export_of = n.tenant_id AND c.tenant_id = n.tenant_id`,
};
const DUE = `SELECT c.tenant_id AS tenantId FROM usage_export_cursors c WHERE c.next_at_ms > 0
  AND (c.next_at_ms <= ? OR c.next_at_ms > ?)`;
const DUE_OF = {
  platform: `${DUE} AND c.export_of = ''`,
  tenants: `${DUE} AND c.export_of = c.tenant_id AND EXISTS (SELECT 1 FROM usage_exports e WHERE e.tenant_id = c.tenant_id)`,
};

/** The operator's export, or those that tenants set up. */
export type ExportKind = keyof typeof NEWS;

/** See the head of this file. */
export class ExportCursors {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /** Number of the newest news of all tenants. */
  async newestNumber(): Promise<number> {
    const row = await this.control.find<{ number: number | null }>(
      "SELECT max(number) AS number FROM usage_news",
    );
    return row?.number ?? 0;
  }

  /** Number of a tenant's newest news, 0 for none. */
  async numberOf(tenantId: TenantId): Promise<number> {
    const sql = "SELECT number FROM usage_news WHERE tenant_id = ?";
    return (await this.control.find<{ number: number }>(sql, [tenantId]))?.number ?? 0;
  }

  /** Tenants with news after a number that their export has not dealt with, in order; not those that are put off. */
  listNews(
    kind: ExportKind,
    afterNumber: number,
    limit: number,
  ): Promise<{ tenantId: TenantId; number: number }[]> {
    return this.control.list(
      `${NEWS[kind]} WHERE n.number > ? AND n.number > coalesce(c.seen_number, 0) AND coalesce(c.next_at_ms, 0) = 0
        ORDER BY n.number LIMIT ?`,
      [afterNumber, limit],
    );
  }

  /** Tenants whose export is to go on now, longest due first: those that failed, or the others. */
  async listDue(kind: ExportKind, isFailing: boolean, limit: number): Promise<TenantId[]> {
    const nowMs = this.clock.nowMs();
    const rows = await this.control.list<{ tenantId: TenantId }>(
      `${DUE_OF[kind]} AND (c.failures > 0) = ? ORDER BY c.next_at_ms LIMIT ?`,
      [nowMs, nowMs + MOST_AHEAD_MS, isFailing ? 1 : 0, limit],
    );
    return rows.map((row) => row.tenantId);
  }

  /** How far an export is with a tenant. */
  async get(exportOf: string, tenantId: TenantId): Promise<Cursor> {
    const row = await this.control.find<CursorRow>(
      "SELECT * FROM usage_export_cursors WHERE export_of = ? AND tenant_id = ?",
      [exportOf, tenantId],
    );
    return {
      ...{ exportOf, tenantId, cursorSeq: row?.cursor_seq ?? 0, cursorKey: row?.cursor_key ?? "" },
      ...{ pendingSeq: row?.pending_seq ?? null, moves: row?.moves ?? 0 },
      ...{ failures: row?.failures ?? 0, nextAtMs: row?.next_at_ms ?? 0 },
      ...{ lastSentAtMs: row?.last_sent_at_ms ?? null, lastError: row?.last_error ?? null },
    };
  }

  /** Remember where the message under way ends, before it is sent. False when the cursor was moved meanwhile. */
  async begin(at: Cursor, lastSeq: number): Promise<boolean> {
    return this.apply([
      {
        sql: `INSERT INTO usage_export_cursors (export_of, tenant_id, cursor_seq, pending_seq) VALUES (?, ?, ?, ?)
          ON CONFLICT DO UPDATE SET pending_seq = excluded.pending_seq WHERE cursor_seq = excluded.cursor_seq AND moves = ?`,
        params: [at.exportOf, at.tenantId, at.cursorSeq, lastSeq, at.moves],
        expect: 1,
      },
    ]);
  }

  /** The message arrived. False, and nothing changes, when the cursor was moved meanwhile. */
  confirm(at: Cursor, message: UsageMessage): Promise<boolean> {
    return this.apply(this.advanceStatements(at, message, this.clock.nowMs()));
  }

  /**
   * The statements that move the cursor past a message; the batch is refused when somebody moved it meanwhile.
   * @param sentAtMs when the message arrived; null when only what follows from it is on disk
   */
  advanceStatements(at: Cursor, message: UsageMessage, sentAtMs: number | null): Statement[] {
    const { exportOf, tenantId, cursorSeq, moves } = at;
    const { firstSeq, lastSeq, keys } = message;
    const isSent = sentAtMs === null ? 0 : 1;
    return [
      {
        sql: `INSERT INTO usage_export_cursors (export_of, tenant_id, cursor_seq, cursor_key, last_sent_at_ms)
          VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET cursor_seq = excluded.cursor_seq,
          cursor_key = excluded.cursor_key, pending_seq = NULL, failures = iif(?, 0, failures),
          next_at_ms = iif(?, 0, next_at_ms), last_error = iif(?, NULL, last_error),
          last_sent_at_ms = coalesce(excluded.last_sent_at_ms, last_sent_at_ms)
          WHERE cursor_seq = ? AND moves = ?`,
        params: [
          ...[exportOf, tenantId, lastSeq, keys.at(-1) ?? "", sentAtMs],
          ...[isSent, isSent, isSent, cursorSeq, moves],
        ],
        expect: 1,
      },
      {
        sql: "INSERT OR REPLACE INTO usage_export_sent VALUES (?, ?, ?, ?, ?)",
        params: [exportOf, tenantId, lastSeq, firstSeq, keys.join("")],
      },
      {
        sql: "DELETE FROM usage_export_sent WHERE export_of = ? AND tenant_id = ? AND last_seq < ?",
        params: [exportOf, tenantId, firstSeq - REMEMBERED_EVENTS],
      },
    ];
  }

  /** It failed; tried again at `nextAtMs`. Nothing changes when the cursor was moved meanwhile. */
  async fail(at: Cursor, reason: string, nextAtMs: number): Promise<boolean> {
    return this.apply([
      {
        sql: `INSERT INTO usage_export_cursors (export_of, tenant_id, cursor_seq, failures, next_at_ms, last_error)
          VALUES (?, ?, 0, 1, ?, ?) ON CONFLICT DO UPDATE SET failures = failures + 1, next_at_ms = excluded.next_at_ms,
          last_error = excluded.last_error WHERE moves = ?`,
        params: [at.exportOf, at.tenantId, nextAtMs, reason.slice(0, 300), at.moves],
        expect: 1,
      },
    ]);
  }

  /** Everything up to the news with this number is done, or waits for nothing but news. */
  async rest(at: Cursor, seenNumber: number): Promise<void> {
    await this.apply([
      {
        sql: `INSERT INTO usage_export_cursors (export_of, tenant_id, cursor_seq, seen_number) VALUES (?, ?, 0, ?)
          ON CONFLICT DO UPDATE SET seen_number = max(seen_number, excluded.seen_number), pending_seq = NULL,
          failures = 0, next_at_ms = 0, last_error = NULL WHERE moves = ?`,
        params: [at.exportOf, at.tenantId, seenNumber, at.moves],
      },
    ]);
  }

  /** More is waiting: go on at the next round. */
  async goOn(at: Cursor): Promise<void> {
    await this.apply([
      {
        sql: `UPDATE usage_export_cursors SET next_at_ms = ?, failures = 0
          WHERE export_of = ? AND tenant_id = ? AND moves = ?`,
        params: [this.clock.nowMs(), at.exportOf, at.tenantId, at.moves],
      },
    ]);
  }

  /** Nothing is to be remembered any more. */
  async forget(exportOf: string, tenantId: TenantId): Promise<void> {
    const tables = ["usage_export_cursors", "usage_export_sent"];
    await this.apply(
      tables.map((table) => ({
        sql: `DELETE FROM ${table} WHERE export_of = ? AND tenant_id = ?`,
        params: [exportOf, tenantId],
      })),
    );
  }

  /**
   * The cursor, put back where the tenant's file comes from a backup and events after it are new ones. Undefined when the
   * backup is older than what is remembered, so that nobody can tell which events were sent.
   */
  async mend(at: Cursor, scope: TenantScope): Promise<Cursor | undefined> {
    if (at.cursorSeq === 0) return at;
    const isWhole =
      at.cursorKey === ""
        ? (await newestSeq(scope)) >= at.cursorSeq
        : (await readKeys(scope, at.cursorSeq, at.cursorSeq)).get(at.cursorSeq) === at.cursorKey;
    if (isWhole) return at;
    const fork = await this.findFork(at, scope);
    if (fork === undefined) return undefined;
    const isMoved = await this.apply(moveStatements(at, fork.seq, fork.key, this.clock.nowMs()));
    return isMoved ? this.get(at.exportOf, at.tenantId) : undefined;
  }

  /** From the first event on. */
  async restart(at: Cursor): Promise<Cursor> {
    await this.apply(moveStatements(at, 0, "", this.clock.nowMs()));
    return this.get(at.exportOf, at.tenantId);
  }

  /**
   * The newest event that was sent and is still what it was; number 0 when all that were sent are known and none is.
   * Undefined when the file parts from what was sent at a place that is not remembered.
   */
  private async findFork(at: Cursor, scope: TenantScope): Promise<{ seq: number; key: string } | undefined> {
    // Everything from here on is remembered, and is not in the file.
    let known = at.cursorSeq + 1;
    for (;;) {
      const rows = await this.control.list<SentRow>(
        `SELECT first_seq, last_seq, keys FROM usage_export_sent
          WHERE export_of = ? AND tenant_id = ? AND last_seq < ? ORDER BY last_seq DESC LIMIT ${SENT_AT_ONCE}`,
        [at.exportOf, at.tenantId, known],
      );
      for (const row of rows) {
        if (row.last_seq !== known - 1 || !hasEveryKey(row)) return undefined;
        const here = await readKeys(scope, row.first_seq, row.last_seq);
        for (let seq = row.last_seq; seq >= row.first_seq; seq--) {
          const key = keyAt(row, seq);
          if (here.get(seq) === key) return { seq, key };
        }
        known = row.first_seq;
      }
      if (rows.length < SENT_AT_ONCE) return known === 1 ? { seq: 0, key: "" } : undefined;
    }
  }

  /** False when the batch was refused: the cursor is not what it was. */
  private async apply(statements: Statement[]): Promise<boolean> {
    return (await this.control.write({ statements })).committed;
  }
}

function hasEveryKey({ first_seq, last_seq, keys }: SentRow): boolean {
  return keys.length === (last_seq - first_seq + 1) * KEY_CHARS;
}

function keyAt({ first_seq, keys }: SentRow, seq: number): string {
  return keys.slice((seq - first_seq) * KEY_CHARS, (seq - first_seq + 1) * KEY_CHARS);
}

/**
 * Go on after `seq`, at once; the batch is refused when somebody else moved the cursor since `at` was read.
 * @param key what the event there is; empty when there is none
 */
export function moveStatements(
  at: Pick<Cursor, "exportOf" | "tenantId" | "moves">,
  seq: number,
  key: string,
  nowMs: number,
): Statement[] {
  const { exportOf, tenantId, moves } = at;
  const [where, own] = ["export_of = ? AND tenant_id = ?", [exportOf, tenantId]];
  return [
    {
      sql: `INSERT INTO usage_export_cursors (export_of, tenant_id, cursor_seq, cursor_key, next_at_ms) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET cursor_seq = excluded.cursor_seq, cursor_key = excluded.cursor_key, pending_seq = NULL,
        moves = moves + 1, failures = 0, next_at_ms = excluded.next_at_ms, last_error = NULL WHERE moves = ?`,
      params: [...own, seq, key, nowMs, moves],
      expect: 1,
    },
    { sql: `DELETE FROM usage_export_sent WHERE ${where} AND first_seq > ?`, params: [...own, seq] },
    {
      sql: `UPDATE usage_export_sent SET keys = substr(keys, 1, ${KEY_CHARS} * (? - first_seq + 1)), last_seq = ?
        WHERE ${where} AND last_seq > ?`,
      params: [seq, seq, ...own, seq],
    },
    {
      sql: "INSERT OR IGNORE INTO usage_export_sent SELECT ?, ?, ?, ?, ? WHERE ? <> ''",
      params: [...own, seq, seq, key, key],
    },
  ];
}

/** Go on where it is, at once, and let answers to what is under way count for nothing. */
export function restartStatement(exportOf: string, tenantId: TenantId, nowMs: number): Statement {
  return {
    sql: `UPDATE usage_export_cursors SET pending_seq = NULL, moves = moves + 1, failures = 0, next_at_ms = ?,
      last_error = NULL WHERE export_of = ? AND tenant_id = ?`,
    params: [nowMs, exportOf, tenantId],
  };
}
