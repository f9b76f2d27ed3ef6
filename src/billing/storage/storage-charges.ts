/**
 * Charging what is kept. Owns: which days of which tenants are due, one usage event for each, once.
 * Refuses to know: how bytes are counted, what becomes of the event (ledger, statement and exports follow from it).
 *
 * A day of the tenant's calendar is charged when it is over, by what is kept then. Only tenants with a price and with
 * something to pay for are opened; nobody is while no price of storage is set.
 */
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { addDays, Calendars } from "../calendar.ts";
import type { PriceBook } from "../prices.ts";
import { dayOfStorage } from "./storage-price.ts";

/** What charging needs. */
export interface StorageChargesDeps {
  control: Database;
  prices: Pick<PriceBook, "hasStoragePrices" | "storagePriceOf">;
  clock: Clock;
  log: Log;
  /** The tenant's scope; undefined when it is gone or going. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
  /** Told about every tenant that was charged. */
  noteChange(scope: TenantScope): void;
}

const TICK_MS = 600_000;
const PAGE = 200;
/** Days that are charged later because nobody was there to do it. */
const MOST_DAYS = 31;
const FURTHEST_ZONE_MS = 14 * 3_600_000;

interface Kept {
  tenantId: TenantId;
  sizeBytes: number;
  chargedDay: string;
  timeZone: string;
}

const DUE = `SELECT s.tenant_id AS tenantId, s.file_bytes + s.database_bytes AS sizeBytes, s.charged_day AS chargedDay,
    t.time_zone AS timeZone
  FROM tenant_storage s JOIN tenants t ON t.id = s.tenant_id
  WHERE s.tenant_id > ? AND s.charged_day < ? AND t.status <> 'deleting' ORDER BY s.tenant_id LIMIT ${PAGE}`;

// Step -1: no run, whatever its caller calls it, has such a step. See migrations/tenant/0010-storage.sql.
const CHARGE = `INSERT INTO usage_events (tenant_id, run_id, step, kind, ordinal, purpose, agent_id, session_key,
    session_id, user_id, channel, provider, model, call_id, tool_name, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, user_messages, assistant_messages, is_error, is_exact, is_cost_missing, input_cost_micros,
    output_cost_micros, cache_read_cost_micros, cache_write_cost_micros, cost_micros, price_origin, key_owner, at_ms, day)
  VALUES (?, 'storage/' || ?, -1, 'tool', 0, 'tool', '', 'storage', 'storage', '', 'storage', '', '', ?, 'storage', 0, 0,
    0, 0, 0, 0, 0, 1, 0, ?, 0, 0, 0, ?, ?, 'platform', ?, ?)
  ON CONFLICT (run_id, step, kind, ordinal) DO NOTHING`;

/** See the head of this file. */
export class StorageCharges {
  private readonly deps: StorageChargesDeps;
  private readonly calendars = new Calendars();
  private timer: Timer | undefined;
  private ticking: Promise<void> | undefined;

  constructor(deps: StorageChargesDeps) {
    this.deps = deps;
  }

  start(): void {
    this.timer = this.deps.clock.every(TICK_MS, () => void this.tick());
  }

  async close(): Promise<void> {
    this.timer?.cancel();
    await this.ticking;
  }

  /** One round; never rejects. */
  tick(): Promise<void> {
    this.ticking ??= this.round()
      .catch((error: unknown) =>
        this.deps.log.warn({ err: error }, "storage could not be charged; it is tried again"),
      )
      .finally(() => {
        this.ticking = undefined;
      });
    return this.ticking;
  }

  private async round(): Promise<void> {
    const { control, clock, prices, log } = this.deps;
    if (!prices.hasStoragePrices()) return;
    const latest = addDays(new Date(clock.nowMs() + FURTHEST_ZONE_MS).toISOString().slice(0, 10), -1);
    for (let after = ""; ; ) {
      const page = await control.list<Kept>(DUE, [after, latest]);
      const marks: Statement[] = [];
      for (const kept of page) {
        const mark = await this.attempt(kept).catch((error: unknown) => {
          log.warn(
            { err: error, tenantId: kept.tenantId },
            "a tenant's storage could not be charged; it is tried again",
          );
          return undefined;
        });
        if (mark !== undefined) marks.push(mark);
      }
      // ORDER: after the tenants' own commits. What a crash leaves between the two is charged again, which changes nothing.
      if (marks.length > 0) await control.write({ statements: marks });
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      after = last.tenantId;
    }
  }

  /** Charge the days of one tenant that are over; returns how to remember it, undefined when none is. */
  private async attempt({ tenantId, sizeBytes, chargedDay, timeZone }: Kept): Promise<Statement | undefined> {
    const calendar = this.calendars.of(timeZone);
    const last = addDays(calendar.dayOf(this.deps.clock.nowMs()), -1);
    if (chargedDay >= last) return undefined;
    const charges: Statement[] = [];
    // Without a first day there is nothing to look back on: charging begins with the day that it is.
    const earliest = addDays(last, 1 - MOST_DAYS);
    const next = chargedDay === "" ? addDays(last, 1) : addDays(chargedDay, 1);
    for (let day = next < earliest ? earliest : next; day <= last; day = addDays(day, 1)) {
      const { micros: price, origin } = this.deps.prices.storagePriceOf(tenantId, day);
      const micros = dayOfStorage(sizeBytes, price, day);
      const atMs = calendar.startOf(addDays(day, 1)) - 1;
      const params = [tenantId, day, String(sizeBytes), micros, micros, origin, atMs, day];
      if (micros > 0) charges.push({ sql: CHARGE, params });
    }
    if (charges.length > 0) {
      const scope = await this.deps.scopeOf(tenantId);
      if (scope === undefined) return undefined;
      await scope.db.write({ statements: charges });
      this.deps.noteChange(scope);
    }
    return {
      sql: "UPDATE tenant_storage SET charged_day = ? WHERE tenant_id = ? AND charged_day < ?",
      params: [last, tenantId, last],
    };
  }
}
