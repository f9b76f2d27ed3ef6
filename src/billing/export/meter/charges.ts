/**
 * Charges on their way to a meter elsewhere. Owns: their rows, in control.db, from the commit that moves a cursor past
 * their events until the meter has them; what an operator decides of those that were set aside. Refuses to know: the meter.
 *
 * A meter forgets what it was sent, so what may have arrived is remembered here before it is sent.
 */
import type { Clock } from "../../../kernel/clock.ts";
import { AppError } from "../../../kernel/errors.ts";
import type { TenantId } from "../../../kernel/ids.ts";
import type { Database, Statement } from "../../../storage/database.ts";
import { PLATFORM } from "../export-cursors.ts";
import type { UsageMessage } from "../usage-message.ts";
import type { Charge } from "../usage-sink.ts";

/** A charge that the meter has not confirmed. */
export interface WaitingCharge extends Charge {
  tenantId: TenantId;
  /** Of UTC, in which its events happened. */
  day: string;
  madeAtMs: number;
  tries: number;
  /** Since when it may have arrived; null when it certainly did not. */
  unsureSinceMs: number | null;
  /** When it was given up until an operator decides; null while it is on its way. */
  setAsideAtMs: number | null;
  reason: string | null;
}

/** What an operator decides of a charge that was set aside: send it once more, or let it be, e.g. since it was billed. */
export type ChargeDecision = "send" | "close";

const COLUMNS = `identifier, tenant_id AS tenantId, customer, day, amount_micros AS amountMicros,
  timestamp_ms AS timestampMs, made_at_ms AS madeAtMs, tries, unsure_since_ms AS unsureSinceMs,
  set_aside_at_ms AS setAsideAtMs, reason`;
/** Charges that are looked at in one round. */
const WAITING_AT_ONCE = 200;
const SHOWN = 200;

/** See the head of this file. */
export class Charges {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /** The statements that make a message's charges, for the batch that moves the cursor: one for each day of UTC. */
  statementsOf(message: UsageMessage, customer: string): Statement[] {
    const nowMs = this.clock.nowMs();
    return [...chargedByDay(message)].map(([day, { amountMicros, lastMs }]) => ({
      sql: `INSERT INTO usage_charges (identifier, tenant_id, customer, day, amount_micros, timestamp_ms, made_at_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      params: [
        ...[`${message.id}.${day}`, message.tenantId, customer, day, amountMicros],
        // What a clock that was wrong put into the future has happened all the same.
        ...[Math.min(lastMs, nowMs), nowMs],
      ],
    }));
  }

  /** Those of a tenant that are on their way, least tried first. */
  listWaiting(tenantId: TenantId): Promise<WaitingCharge[]> {
    return this.control.list(
      `SELECT ${COLUMNS} FROM usage_charges WHERE tenant_id = ? AND set_aside_at_ms IS NULL
        ORDER BY tries, made_at_ms, identifier LIMIT ${WAITING_AT_ONCE}`,
      [tenantId],
    );
  }

  /** Tenants with charges on their way that no failure puts off, and of whom nothing else may say that they are due. */
  async listForgotten(limit: number): Promise<TenantId[]> {
    const rows = await this.control.list<{ tenantId: TenantId }>(
      `SELECT DISTINCT tenant_id AS tenantId FROM usage_charges WHERE set_aside_at_ms IS NULL AND NOT EXISTS
        (SELECT 1 FROM usage_export_cursors c WHERE c.export_of = ? AND c.tenant_id = usage_charges.tenant_id
        AND c.next_at_ms > 0) LIMIT ?`,
      [PLATFORM, limit],
    );
    return rows.map((row) => row.tenantId);
  }

  /** Set aside, of one tenant or of all, the newest first; at most 200. */
  listAside(tenantId: TenantId | null): Promise<WaitingCharge[]> {
    return this.control.list(
      `SELECT ${COLUMNS} FROM usage_charges WHERE set_aside_at_ms IS NOT NULL AND (? IS NULL OR tenant_id = ?)
        ORDER BY set_aside_at_ms DESC, identifier LIMIT ${SHOWN}`,
      [tenantId, tenantId],
    );
  }

  /** Remember that it may arrive, before it is sent. False when it is no longer on its way. */
  async begin({ identifier, customer }: Charge): Promise<boolean> {
    const outcome = await this.control.write({
      statements: [
        {
          sql: `UPDATE usage_charges SET tries = tries + 1, customer = ?,
            unsure_since_ms = coalesce(unsure_since_ms, ?) WHERE identifier = ? AND set_aside_at_ms IS NULL`,
          params: [customer, this.clock.nowMs(), identifier],
          expect: 1,
        },
      ],
    });
    return outcome.committed;
  }

  /** The meter has it. */
  async end({ identifier, tenantId }: WaitingCharge): Promise<void> {
    await this.control.write({
      statements: [
        { sql: "DELETE FROM usage_charges WHERE identifier = ?", params: [identifier] },
        {
          sql: "UPDATE usage_export_cursors SET last_sent_at_ms = ? WHERE export_of = ? AND tenant_id = ?",
          params: [this.clock.nowMs(), PLATFORM, tenantId],
        },
      ],
    });
  }

  /** This request was refused. What an earlier one came to stays as unknown as it was. */
  async refuse({ identifier, unsureSinceMs }: WaitingCharge, reason: string): Promise<void> {
    await this.change(identifier, "unsure_since_ms = ?, reason = ?", [unsureSinceMs, reason.slice(0, 300)]);
  }

  /** Give it up until an operator decides. */
  async setAside({ identifier }: Charge, reason: string): Promise<void> {
    const values = [this.clock.nowMs(), reason.slice(0, 300)];
    await this.change(identifier, "set_aside_at_ms = ?, reason = ?", values);
  }

  /**
   * What an operator decided. Throws `not_found` unless the charge is set aside.
   * @param also becomes durable with it
   */
  async decide(
    identifier: string,
    decision: ChargeDecision,
    longestAgeMs: number,
    also: (charge: WaitingCharge) => readonly Statement[],
  ): Promise<WaitingCharge> {
    const where = "identifier = ? AND set_aside_at_ms IS NOT NULL";
    const charge = await this.control.find<WaitingCharge>(
      `SELECT ${COLUMNS} FROM usage_charges WHERE ${where}`,
      [identifier],
    );
    if (charge === undefined) throw new AppError("not_found", "No such charge is set aside.");
    const nowMs = this.clock.nowMs();
    // What is too old for the meter counts for today: the operator wants it billed.
    const isOld = charge.timestampMs <= nowMs - longestAgeMs || charge.timestampMs > nowMs;
    const act: Statement =
      decision === "close"
        ? { sql: `DELETE FROM usage_charges WHERE ${where}`, params: [identifier], expect: 1 }
        : {
            sql: `UPDATE usage_charges SET set_aside_at_ms = NULL, unsure_since_ms = NULL, tries = 0, timestamp_ms = ?
              WHERE ${where}`,
            params: [isOld ? nowMs : charge.timestampMs, identifier],
            expect: 1,
          };
    const outcome = await this.control.write({ statements: [act, ...also(charge)] });
    if (!outcome.committed) throw new AppError("conflict", "Somebody else decided this in the meantime.");
    return charge;
  }

  private async change(identifier: string, set: string, values: (string | number | null)[]): Promise<void> {
    const sql = `UPDATE usage_charges SET ${set} WHERE identifier = ?`;
    await this.control.write({ statements: [{ sql, params: [...values, identifier] }] });
  }
}

/** What is charged on each day of UTC, and when the last of it happened; days without charges are left out. */
function chargedByDay(message: UsageMessage): Map<string, { amountMicros: number; lastMs: number }> {
  const byDay = new Map<string, { amountMicros: number; lastMs: number }>();
  for (const { time, data } of message.events) {
    const micros = Number(data["chargedMicros"]);
    if (!(micros > 0)) continue;
    const day = time.slice(0, 10);
    const { amountMicros, lastMs } = byDay.get(day) ?? { amountMicros: 0, lastMs: 0 };
    byDay.set(day, { amountMicros: amountMicros + micros, lastMs: Math.max(lastMs, Date.parse(time)) });
  }
  return byDay;
}
