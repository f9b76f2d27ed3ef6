/**
 * Warnings on their way out of the house. Owns: the rows that say what is still to be sent where, made in the commit of
 * what they tell of or before it. Refuses to know: sending, who reads them.
 *
 * A warning's id follows from what it tells, so that noticing it again after a crash makes nothing new.
 */
import { sha256Hex } from "../../kernel/crypto.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";

/** What happened. */
export type AlertType = "creel.budget.alert.v1" | "creel.storage.alert.v1" | "creel.turns.stopped.v1";

/** Where a warning goes: the operator's own address, or the one that the tenant set up for its usage. */
export type Destination = "operator" | "tenant";

/** A warning. */
export interface AlertNotice {
  tenantId: TenantId;
  type: AlertType;
  /** What tells it apart from others of its type in the tenant, e.g. month, budget and level. */
  key: string;
  atMs: number;
  facts: Readonly<Record<string, string | number | null>>;
}

/** A warning that has not arrived yet. */
export interface Delivery {
  id: string;
  destination: Destination;
  tenantId: TenantId;
  type: AlertType;
  facts: AlertNotice["facts"];
  atMs: number;
  failures: number;
}

/** What the outbox needs. */
export interface AlertOutboxDeps {
  control: Database;
  /** Whether the operator wants to be told. */
  hasOperator: boolean;
}

/** Rows stay so long after their end: longer than a month, so that what a month tells once is sent once. */
const KEPT_MS = 40 * 24 * 3_600_000;
const COLUMNS = "id, destination, tenant_id, type, facts, at_ms, next_at_ms";

type Row = Omit<Delivery, "facts"> & { facts: string };

/** See the head of this file. */
export class AlertOutbox {
  private readonly deps: AlertOutboxDeps;
  private wake: () => void = () => undefined;

  constructor(deps: AlertOutboxDeps) {
    this.deps = deps;
  }

  /** Be told that something may have to be sent. */
  onPost(wake: () => void): void {
    this.wake = wake;
  }

  /** The statements that put a warning on its way, for a batch in control.db; they change nothing the second time. */
  statements(notice: AlertNotice): Statement[] {
    const { tenantId, type, facts, atMs } = notice;
    const id = `alert_${sha256Hex(`${tenantId}\n${type}\n${notice.key}`).slice(0, 40)}`;
    const values = [tenantId, type, JSON.stringify(facts), atMs, atMs];
    this.wake();
    const toTenant = {
      sql: `INSERT INTO alert_deliveries (${COLUMNS}) SELECT ?, 'tenant', ?, ?, ?, ?, ? FROM usage_exports
        WHERE tenant_id = ? ON CONFLICT DO NOTHING`,
      params: [id, ...values, tenantId],
    };
    if (!this.deps.hasOperator) return [toTenant];
    const sql = `INSERT INTO alert_deliveries (${COLUMNS}) SELECT ?, 'operator', id, ?, ?, ?, ? FROM tenants
      WHERE id = ? ON CONFLICT DO NOTHING`;
    return [{ sql, params: [id, ...values.slice(1), tenantId] }, toTenant];
  }

  /** Put a warning on its way; on disk when this resolves. */
  async post(notice: AlertNotice): Promise<void> {
    await this.deps.control.write({ statements: this.statements(notice) });
    this.wake();
  }

  /** What is due; of each destination those first that failed least. */
  async listDue(nowMs: number, limit: number): Promise<Delivery[]> {
    const rows = await this.deps.control.list<Row>(
      `SELECT id, destination, tenant_id AS tenantId, type, facts, at_ms AS atMs, failures FROM alert_deliveries
        WHERE ended_at_ms IS NULL AND next_at_ms <= ? ORDER BY failures, at_ms LIMIT ?`,
      [nowMs, limit],
    );
    return rows.map((row) => ({ ...row, facts: JSON.parse(row.facts) as Delivery["facts"] }));
  }

  /** It arrived, or will never: nothing more is sent. */
  async end({ id, destination }: Delivery, nowMs: number, error: string | null): Promise<void> {
    await this.deps.control.write({
      statements: [
        {
          sql: "UPDATE alert_deliveries SET ended_at_ms = ?, last_error = ? WHERE id = ? AND destination = ?",
          params: [nowMs, error, id, destination],
        },
        { sql: "DELETE FROM alert_deliveries WHERE ended_at_ms < ?", params: [nowMs - KEPT_MS] },
      ],
    });
  }

  /**
   * It did not arrive: tried again at `nextAtMs`, and nothing else to the same address before `addressAtMs`, so that an
   * address that is down is asked rarely, however much waits for it.
   */
  async putOff(delivery: Delivery, error: string, nextAtMs: number, addressAtMs: number): Promise<void> {
    const { id, destination, tenantId } = delivery;
    const isSame =
      destination === "operator" ? "destination = 'operator'" : "destination = 'tenant' AND tenant_id = ?";
    await this.deps.control.write({
      statements: [
        {
          sql: `UPDATE alert_deliveries SET next_at_ms = max(next_at_ms, ?) WHERE ended_at_ms IS NULL AND ${isSame}`,
          params: [addressAtMs, ...(destination === "operator" ? [] : [tenantId])],
        },
        {
          sql: `UPDATE alert_deliveries SET failures = failures + 1, next_at_ms = ?, last_error = ?
            WHERE id = ? AND destination = ?`,
          params: [nextAtMs, error.slice(0, 300), id, destination],
        },
      ],
    });
  }
}
