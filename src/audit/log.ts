/**
 * A tenant's audit log, and the platform's own. Owns: appending, finding, what a row looks like outside.
 * Refuses to know: transports, the outbox (mover), when heads are signed.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { isUuid } from "../kernel/ids.ts";
import type { Database, SqlValue } from "../storage/database.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { type AuditRow, appendStatement, COLUMNS } from "./chain.ts";
import type { AuditOutcome, AuditRecord } from "./record.ts";
import { type HeadReader, type Verdict, verifyChain } from "./verify.ts";

/** Whose log: a tenant's, or the platform's own. */
export type LogOf = TenantScope | "platform";

/** Name of the platform's chain: the owner written into control.db. */
export const PLATFORM_CHAIN = "control";

/** Which rows; all that are given must hold. */
export interface AuditFilter {
  /** Only rows with a higher number. */
  after?: number | undefined;
  /** Only rows with a lower number: where the next page begins. */
  before?: number | undefined;
  /** `token.created`, or all of a kind: `token.*`. */
  action?: string | undefined;
  /** An id, or a part of a name. */
  actor?: string | undefined;
  target?: string | undefined;
  outcome?: AuditOutcome | undefined;
  /** Wall-clock, from (inclusive) and to (exclusive). */
  from?: number | undefined;
  to?: number | undefined;
}

/** One page, newest first. */
export interface AuditPage {
  rows: AuditRow[];
  /** `before` of the next page, or null at the end. A page may be short or empty and still have a next one. */
  next: number | null;
}

/** Rows looked at between two turns of the loop where no index helps, and such pieces for one page. */
const WINDOW = 10_000;
const WINDOWS = 10;

/** See the head of this file. */
export class AuditLog {
  private readonly control: Database;
  /** Checks running now, by chain: nobody makes the same one run twice at once. */
  private readonly verifying = new Map<string, Promise<Verdict>>();

  constructor(control: Database) {
    this.control = control;
  }

  /** Append one record; on disk when this resolves. A record that is there already changes nothing. */
  async append(of: LogOf, record: AuditRecord): Promise<void> {
    await this.database(of).write({ statements: [appendStatement(record)] });
  }

  /** A page of at most `limit` rows. */
  async list(of: LogOf, filter: AuditFilter, limit: number): Promise<AuditPage> {
    const { parts, params, isExact } = conditions(filter);
    const end = (await this.lastSeq(of)) + 1;
    const bottom = (filter.after ?? 0) + 1;
    const where = ["seq < ?", "seq >= ?", ...parts].join(" AND ");
    const sql = `SELECT ${COLUMNS.join(", ")} FROM audit_log WHERE ${where} ORDER BY seq DESC LIMIT ?`;
    const rows: AuditRow[] = [];
    let top = Math.min(filter.before ?? end, end);
    for (let window = 0; window < WINDOWS && top > bottom && rows.length < limit; window++) {
      if (window > 0) await nextTurn();
      const floor = isExact ? bottom : Math.max(bottom, top - WINDOW);
      const wanted = limit - rows.length;
      const found = await this.database(of).list<AuditRow>(sql, [top, floor, ...params, wanted]);
      rows.push(...found);
      top = found.length === wanted ? (found.at(-1)?.seq ?? floor) : floor;
    }
    return { rows, next: top > bottom ? top : null };
  }

  /** Number of the last row; 0 when there is none. */
  async lastSeq(of: LogOf): Promise<number> {
    return (await this.database(of).find<{ seq: number }>("SELECT seq FROM audit_end"))?.seq ?? 0;
  }

  /** At most `limit` rows after a number, oldest first. */
  async forward(of: LogOf, filter: AuditFilter, limit: number): Promise<AuditRow[]> {
    const { parts, params } = conditions(filter);
    const where = ["seq > ?", "seq < ?", ...parts].join(" AND ");
    return this.database(of).list<AuditRow>(
      `SELECT ${COLUMNS.join(", ")} FROM audit_log WHERE ${where} ORDER BY seq LIMIT ?`,
      [filter.after ?? 0, filter.before ?? Number.MAX_SAFE_INTEGER, ...params, limit],
    );
  }

  /** Walk the whole chain; see verify. */
  verify(of: LogOf, readHead?: HeadReader): Promise<Verdict> {
    const chain = this.chainOf(of);
    const running = this.verifying.get(chain);
    if (running !== undefined) return running;
    const work = verifyChain(this.database(of), chain, readHead).finally(() => this.verifying.delete(chain));
    this.verifying.set(chain, work);
    return work;
  }

  /** Name of a chain: the tenant's id, or PLATFORM_CHAIN. */
  chainOf(of: LogOf): string {
    return of === "platform" ? PLATFORM_CHAIN : of.tenantId;
  }

  /** Where a chain is stored. */
  database(of: LogOf): Database {
    return of === "platform" ? this.control : of.db;
  }
}

function conditions(filter: AuditFilter): { parts: string[]; params: SqlValue[]; isExact: boolean } {
  const parts: string[] = [];
  const params: SqlValue[] = [];
  let isExact = true;
  const add = (sql: string, ...values: SqlValue[]) => {
    parts.push(sql);
    params.push(...values);
  };
  if (filter.action?.endsWith("*") === true) {
    add("action LIKE ? ESCAPE '\\'", `${escapeLike(filter.action.slice(0, -1))}%`);
    isExact = false;
  } else if (filter.action !== undefined) add("action = ?", filter.action);
  for (const who of ["actor", "target"] as const) {
    const text = filter[who];
    if (text === undefined) continue;
    if (isUuid(text)) add(`${who}_id = ?`, text);
    else {
      add(`(${who}_id = ? OR ${who}_name LIKE ? ESCAPE '\\')`, text, `%${escapeLike(text)}%`);
      isExact = false;
    }
  }
  if (filter.outcome !== undefined) add("outcome = ?", filter.outcome);
  // The index holds only what did not go well, and has to be told that this is asked for.
  if (filter.outcome === "denied" || filter.outcome === "failed") parts.push("outcome <> 'ok'");
  if (filter.from !== undefined || filter.to !== undefined) isExact = false;
  if (filter.from !== undefined) add("at_ms >= ?", filter.from);
  if (filter.to !== undefined) add("at_ms < ?", filter.to);
  return { parts, params, isExact };
}

function escapeLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, "\\$&");
}

/** A row as it is shown by HTTP and by method. */
export function toWireRow(row: AuditRow) {
  const { credential_kind, credential_id, target_kind, target_id, target_name } = row;
  return {
    ...{ seq: row.seq, id: row.id, atMs: row.at_ms, action: row.action, outcome: row.outcome },
    actor: {
      ...{ kind: row.actor_kind, id: row.actor_id, name: row.actor_name, role: row.actor_role },
      credential: credential_kind === null ? null : { kind: credential_kind, id: credential_id ?? "" },
      address: row.address,
      requestId: row.request_id,
    },
    target: target_kind === null ? null : { kind: target_kind, id: target_id ?? "", name: target_name },
    details: JSON.parse(row.details) as Record<string, unknown>,
    hash: row.hash,
  };
}
