/**
 * Warnings before storage is full: each level once a month. Owns: when to look, storing, telling.
 * Refuses to know: how bytes are counted, what is refused in the end.
 *
 * Looked a moment after a write, together for all of a burst.
 */
import type { EventHub } from "../../events/hub.ts";
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { Calendars } from "../calendar.ts";
import { monthOf } from "../ledger/budget.ts";
import type { StorageCounts } from "./storage-counts.ts";

/** Hundredths of the limit at which admins are told. */
export const STORAGE_LEVELS = [80, 95] as const;
/** One of the above. */
export type StorageLevel = (typeof STORAGE_LEVELS)[number];

/** A level that was reached. */
export interface StorageAlert {
  level: StorageLevel;
  /** The tenant's month, `YYYY-MM`. */
  period: string;
  limitBytes: number;
  usedBytes: number;
  atMs: number;
}

/** What warnings need. */
export interface StorageAlertsDeps {
  control: Database;
  counts: Pick<StorageCounts, "read">;
  hub: EventHub;
  clock: Clock;
  log: Log;
  /** The statements by which a warning leaves the house, part of its own commit. */
  leave(tenantId: TenantId, alert: StorageAlert): readonly Statement[];
}

const LOOK_MS = 400;
const MOST_REMEMBERED = 10_000;

/** The highest level that is reached, or null. Bytes. */
export function storageLevel(usedBytes: number, limitBytes: number): StorageLevel | null {
  return STORAGE_LEVELS.findLast((level) => usedBytes * 100 >= limitBytes * level) ?? null;
}

/** See the head of this file. */
export class StorageAlerts {
  private readonly deps: StorageAlertsDeps;
  private readonly calendars = new Calendars();
  private readonly pending = new Map<TenantId, Timer>();
  /** Month and level that were told last, so that a tenant near its limit costs nothing at each write. */
  private readonly told = new Map<TenantId, string>();

  constructor(deps: StorageAlertsDeps) {
    this.deps = deps;
  }

  /** Look a moment later. Costs nothing while a look is pending. */
  look(scope: TenantScope, limitBytes: number): void {
    const { tenantId } = scope;
    if (this.pending.has(tenantId)) return;
    const timer = this.deps.clock.after(LOOK_MS, () => {
      this.pending.delete(tenantId);
      void this.lookNow(scope, limitBytes).catch((thrown: unknown) =>
        this.deps.log.warn({ err: thrown, tenantId }, "storage could not be looked at"),
      );
    });
    this.pending.set(tenantId, timer);
  }

  /** Store and tell each level that is reached and was not told this month. */
  async lookNow(scope: TenantScope, limitBytes: number): Promise<StorageAlert[]> {
    const { counts, clock } = this.deps;
    const usedBytes = await counts.read(scope.tenantId);
    const highest = storageLevel(usedBytes, limitBytes);
    const atMs = clock.nowMs();
    const { month: period } = monthOf(this.calendars.of(scope.tenant.timeZone), atMs);
    const mark = `${period} ${highest}`;
    if (highest === null || this.told.get(scope.tenantId) === mark) return [];
    const made: StorageAlert[] = [];
    for (const level of STORAGE_LEVELS.filter((one) => one <= highest)) {
      const alert = { level, period, limitBytes, usedBytes, atMs };
      if (await this.store(scope.tenantId, alert)) made.push(alert);
    }
    if (this.told.size >= MOST_REMEMBERED) this.told.clear();
    this.told.set(scope.tenantId, mark);
    for (const alert of made) {
      const payload = { kind: "storage", ...alert };
      this.deps.hub.publish(scope.tenantId, { event: "billing.alert", payload, delivery: "admin" });
    }
    return made;
  }

  /** Stop looking; what is pending is looked at after the next write. */
  close(): void {
    for (const timer of this.pending.values()) timer.cancel();
    this.pending.clear();
  }

  private async store(tenantId: TenantId, alert: StorageAlert): Promise<boolean> {
    const outcome = await this.deps.control.write({
      statements: [
        {
          sql: `INSERT INTO storage_alerts (tenant_id, period, level, limit_bytes, used_bytes, at_ms)
            SELECT id, ?, ?, ?, ?, ? FROM tenants WHERE id = ? ON CONFLICT DO NOTHING`,
          params: [alert.period, alert.level, alert.limitBytes, alert.usedBytes, alert.atMs, tenantId],
          expect: 1,
        },
        ...this.deps.leave(tenantId, alert),
      ],
    });
    return outcome.committed;
  }
}
