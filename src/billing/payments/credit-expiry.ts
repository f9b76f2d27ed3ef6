/**
 * Credit that ends. Owns: when which tenant is looked at, and until when: as long as something may come back of credit
 * whose time is over. Refuses to know: why credit was given, how much is left (credit lots of the ledger). Only tenants
 * with credit that has ended are opened. Nothing waits for this: a call gets nothing of credit that has ended.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Recurring } from "../../jobs/recurring.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Ledger } from "../ledger/ledger.ts";

/** What the sweep needs. */
export interface CreditExpiryDeps {
  control: Database;
  ledger: Pick<Ledger, "expire">;
  clock: Clock;
  log: Log;
  /** The tenant's scope; undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
}

const TICK_MS = 600_000;
/** How long a grant may come after it was announced. */
const ANNOUNCED_MS = 86_400_000;
/** Tenants in a page of a round. */
const TENANTS = 100;
/** As the triggers of credit lots write the end of credit that never ends. */
const NEVER_MS = Number.MAX_SAFE_INTEGER;
/** Lines of one commit: others write in between. */
const LINES = 50;
const ROWS = 500;

/** Of the grants named that end: those of which something is there, or is held by a call and may come back. */
const PENDING = `WITH pile AS (SELECT max(upto_micros) - (SELECT coalesce(sum(from_credit_micros), 0) FROM reservations
    WHERE state = 'open') AS bottom FROM credit_taken)
  SELECT named.value AS id, lot.seq IS NOT NULL AS isThere, lot.ends_at_ms < ${NEVER_MS} AND (
    lot.left_micros > 0 OR EXISTS (SELECT 1 FROM credit_taken t, pile
      WHERE t.lot = lot.seq AND t.upto_micros > pile.bottom)) AS isPending
  FROM json_each(?) AS named LEFT JOIN credit_lots lot ON lot.id = named.value`;

interface Row {
  line_id: string;
  made_at_ms: number;
}

/** See the head of this file. */
export class CreditExpiry {
  private readonly deps: CreditExpiryDeps;
  private readonly recurring: Recurring;

  constructor(deps: CreditExpiryDeps) {
    this.deps = deps;
    const { clock, log } = deps;
    const complaint = "credit could not be ended; it is tried again";
    this.recurring = new Recurring({ clock, log, periodMs: TICK_MS, complaint, round: () => this.round() });
  }

  start(): void {
    this.recurring.start();
  }

  close(): Promise<void> {
    return this.recurring.close();
  }

  /** Remember when to look at what a line of the ledger gives; the end that counts is the line's own. Repeatable. */
  async schedule(tenantId: TenantId, lineId: string, expiresAtMs: number): Promise<void> {
    const sql = `INSERT INTO credit_expiries (tenant_id, line_id, expires_at_ms, look_at_ms, made_at_ms)
      VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
        made_at_ms = excluded.made_at_ms, look_at_ms = min(look_at_ms, excluded.look_at_ms)`;
    const params = [tenantId, lineId, expiresAtMs, expiresAtMs, this.deps.clock.nowMs()];
    await this.deps.control.write({ statements: [{ sql, params }] });
  }

  /** One round; never rejects. */
  tick(): Promise<void> {
    return this.recurring.tick();
  }

  private async round(): Promise<void> {
    const nowMs = this.deps.clock.nowMs();
    for (let after = ""; ; ) {
      const due = await this.deps.control.list<{ tenant_id: TenantId }>(
        `SELECT DISTINCT tenant_id FROM credit_expiries WHERE look_at_ms <= ? AND tenant_id > ?
          ORDER BY tenant_id LIMIT ${TENANTS}`,
        [nowMs, after],
      );
      for (const { tenant_id } of due) await this.attempt(tenant_id, nowMs);
      const last = due.at(-1);
      if (last === undefined || due.length < TENANTS) return;
      after = last.tenant_id;
    }
  }

  private async attempt(tenantId: TenantId, nowMs: number): Promise<void> {
    try {
      const scope = await this.deps.scopeOf(tenantId);
      if (scope === undefined) await this.wait(tenantId, nowMs);
      else await this.end(scope, nowMs);
    } catch (error) {
      this.deps.log.warn({ err: error, tenantId }, "a tenant's credit could not be ended; it is tried again");
    }
  }

  /** A tenant that is going may come back; one that is gone has a receipt, and takes its rows with it. */
  private async wait(tenantId: TenantId, nowMs: number): Promise<void> {
    await this.deps.control.write({
      statements: [
        {
          sql: `DELETE FROM credit_expiries WHERE tenant_id = ?
            AND EXISTS (SELECT 1 FROM tenant_receipts r WHERE r.tenant_id = credit_expiries.tenant_id)`,
          params: [tenantId],
        },
        {
          sql: "UPDATE credit_expiries SET look_at_ms = ? WHERE tenant_id = ? AND look_at_ms <= ?",
          params: [nowMs + TICK_MS, tenantId, nowMs],
        },
      ],
    });
  }

  /** All of a tenant's credit that has ended, in small commits; then what of it needs no further look. */
  private async end(scope: TenantScope, nowMs: number): Promise<void> {
    while ((await this.deps.ledger.expire(scope, LINES)) === LINES) await nextTurn();
    for (;;) {
      const rows = await this.deps.control.list<Row>(
        `SELECT line_id, made_at_ms FROM credit_expiries WHERE tenant_id = ? AND look_at_ms <= ? LIMIT ${ROWS}`,
        [scope.tenantId, nowMs],
      );
      if (rows.length > 0) await this.settle(scope, rows, nowMs);
      if (rows.length < ROWS) return;
      await nextTurn();
    }
  }

  private async settle({ tenantId, db }: TenantScope, rows: readonly Row[], nowMs: number): Promise<void> {
    const found = await db.list<{ id: string; isThere: number; isPending: number }>(PENDING, [
      JSON.stringify(rows.map((row) => row.line_id)),
    ]);
    const facts = new Map(found.map((fact) => [fact.id, fact]));
    const over: string[] = [];
    const later: string[] = [];
    for (const { line_id: id, made_at_ms: madeAtMs } of rows) {
      const { isThere = 0, isPending = 0 } = facts.get(id) ?? {};
      const isAwaited = isThere === 0 && madeAtMs + ANNOUNCED_MS > nowMs;
      (isAwaited || isPending === 1 ? later : over).push(id);
    }
    await this.deps.control.write({
      statements: [
        {
          sql: "DELETE FROM credit_expiries WHERE tenant_id = ? AND line_id IN (SELECT value FROM json_each(?))",
          params: [tenantId, JSON.stringify(over)],
        },
        {
          sql: `UPDATE credit_expiries SET look_at_ms = ? WHERE tenant_id = ?
            AND line_id IN (SELECT value FROM json_each(?))`,
          params: [nowMs + TICK_MS, tenantId, JSON.stringify(later)],
        },
      ],
    });
  }
}
