/**
 * News of authority taken away: revoked tokens, changed roles, suspended tenants, signed-out browsers.
 * Owns: reading the feed that triggers in control.db write, so that changes made by any process (the command line,
 * another instance) are noticed too. Refuses to know: what listeners do.
 */
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import type { Batch, Database } from "../../storage/database.ts";

/** Something changed for a tenant, for a person, or, when both are null, perhaps for anybody. */
export interface AccessChange {
  tenantId: TenantId | null;
  userId: UserId | null;
}

/** Hears changes; must not throw. */
export type AccessListener = (change: AccessChange) => void;

/** How old our knowledge may be: half of the second in which a revocation must bite, less the work of biting. */
export const FEED_PERIOD_MS = 400;
const ROWS_PER_READ = 512;

/** See the head of this file. */
export class AccessFeed {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly listeners = new Set<AccessListener>();
  private seen: number | undefined;
  private readAtMs = Number.NEGATIVE_INFINITY;
  private reading: Promise<void> | undefined;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /** Hear changes; the returned function ends it. */
  subscribe(listener: AccessListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Read the feed now and then, so that listeners hear of changes while nothing else happens. */
  start(onError: (thrown: unknown) => void): Timer {
    return this.clock.every(FEED_PERIOD_MS, () => {
      this.refresh(0).catch(onError);
    });
  }

  /**
   * Make sure that what listeners heard is not older than `ageMs`. Costs nothing while it is not. With 0: whatever is
   * committed when it is called, they have heard of when it resolves.
   */
  async refresh(ageMs: number = FEED_PERIOD_MS): Promise<void> {
    if (ageMs > 0 && this.clock.monotonicMs() - this.readAtMs <= ageMs) return;
    // ORDER: a read that is under way may have looked before the commit; it is waited for and does not count.
    if (ageMs <= 0 && this.reading !== undefined) await this.reading.catch(() => undefined);
    this.reading ??= this.read().finally(() => {
      this.reading = undefined;
    });
    await this.reading;
  }

  private async read(): Promise<void> {
    // ORDER: the time before the read, since a change after it would not be in the answer.
    const startedMs = this.clock.monotonicMs();
    const bounds = await this.control.find<{ first: number | null; last: number | null }>(
      "SELECT min(seq) AS first, max(seq) AS last FROM access_changes",
    );
    const last = bounds?.last ?? 0;
    if (this.seen === undefined || last < this.seen || (bounds?.first ?? 0) > this.seen + 1) {
      // The first read, or more happened than the feed holds: everything may have changed.
      this.seen = last;
      this.tell({ tenantId: null, userId: null });
    } else {
      await this.readSince(this.seen);
    }
    this.readAtMs = startedMs;
  }

  private async readSince(seen: number): Promise<void> {
    const rows = await this.control.list<{ seq: number; tenant_id: string | null; user_id: string | null }>(
      "SELECT seq, tenant_id, user_id FROM access_changes WHERE seq > ? ORDER BY seq LIMIT ?",
      [seen, ROWS_PER_READ],
    );
    for (const row of rows) {
      this.seen = row.seq;
      this.tell({ tenantId: row.tenant_id as TenantId | null, userId: row.user_id as UserId | null });
    }
    if (rows.length === ROWS_PER_READ) await this.readSince(this.seen ?? seen);
  }

  private tell(change: AccessChange): void {
    for (const listener of this.listeners) listener(change);
  }
}

/**
 * The same database, but a write resolves after everybody here has heard of what it took away: whoever is told that a
 * token is revoked may rely on it. Other processes' writes are found by reading now and then.
 */
export function watchAccess(control: Database, notice: () => Promise<void>): Database {
  return {
    find: (sql, params) => control.find(sql, params),
    list: (sql, params) => control.list(sql, params),
    report: (sql, params) => control.report(sql, params),
    async write(batch: Batch) {
      const outcome = await control.write(batch);
      // What is committed is committed; news that could not be read are read with the next ones.
      if (outcome.committed) await notice().catch(() => undefined);
      return outcome;
    },
  };
}
