/**
 * Daily usage of all tenants in control.db, copied from the tenants' own files. Owns: when and how days are copied,
 * and rebuilding every derived number from the events. Refuses to know: prices, screens.
 *
 * Days are copied as absolute values, so that pushing one again changes nothing. What is behind is known by the
 * tenant's own `usage_dirty_days`, written by the trigger that made it behind and cleared only after control.db
 * committed: a crash in between means the same values are pushed again.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock, Timer } from "../kernel/clock.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Log } from "../kernel/log.ts";
import type { Database, SqlValue, Statement } from "../storage/database.ts";
import type { TenantScope } from "../tenancy/scoped.ts";

/** Next tenants by slug, after the given one; empty at the end. */
export type TenantPages = (afterSlug: string) => Promise<readonly TenantScope[]>;

/** What the roll-up needs. */
export interface UsageRollupDeps {
  control: Database;
  clock: Clock;
  log: Log;
}

const TICK_MS = 10_000;
/** Days copied with one read of the tenant's file. */
const DAYS_AT_ONCE = 32;

const DIMENSIONS = ["agent_id", "user_id", "channel", "provider", "model"] as const;
const MEASURES = [
  "model_calls",
  "tool_calls",
  "user_messages",
  "assistant_messages",
  "errors",
  "input_tokens",
  "output_tokens",
  "cache_read_tokens",
  "cache_write_tokens",
  "input_cost_micros",
  "output_cost_micros",
  "cache_read_cost_micros",
  "cache_write_cost_micros",
  "cost_micros",
  "platform_cost_micros",
  "estimated_calls",
  "missing_costs",
] as const;
/** Columns of a day that control.db has too. */
export const COPIED = [...DIMENSIONS, ...MEASURES];

// One statement, hence one snapshot: the days and the number of the newest event that they contain.
const READ_DAYS = `SELECT wanted.value AS wanted_day, (SELECT coalesce(max(seq), 0) FROM usage_events) AS as_of, d.*
  FROM json_each(?) wanted LEFT JOIN usage_days d ON d.day = wanted.value`;

const MARK = `INSERT INTO usage_daily_marks VALUES (?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET as_of_seq = excluded.as_of_seq, pushed_at_ms = excluded.pushed_at_ms
  WHERE excluded.as_of_seq >= as_of_seq`;

const INSERT_ROWS = `INSERT INTO usage_daily (tenant_id, day, ${COPIED.join(", ")})
  SELECT ?, ?, ${COPIED.map((_, index) => `value ->> ${index}`).join(", ")} FROM json_each(?)`;

const DERIVED = ["usage_days", "usage_quarters", "usage_sessions"] as const;

type DayRow = Record<string, SqlValue> & { wanted_day: string; as_of: number; day: string | null };

/** See the head of this file. */
export class UsageRollup {
  private readonly deps: UsageRollupDeps;
  /** Tenants that may be behind, and how many ticks found nothing since the last note. */
  private readonly noted = new Map<TenantId, { scope: TenantScope; quietTicks: number }>();
  private readonly pushing = new Map<TenantId, Promise<number>>();
  private timer: Timer | undefined;
  private pages: TenantPages | undefined;
  private afterSlug = "";
  private ticking: Promise<void> | undefined;

  constructor(deps: UsageRollupDeps) {
    this.deps = deps;
  }

  /** Remember that a tenant uses something now; cheap, called for every event, before its commit. */
  note(scope: TenantScope): void {
    this.noted.set(scope.tenantId, { scope, quietTicks: 0 });
  }

  /** Stop pushing for a tenant, before its files are removed. */
  forget(tenantId: TenantId): void {
    this.noted.delete(tenantId);
  }

  /** Push in the background; `pages` lets days that a crash left behind be found, a page at a tick. */
  start(pages: TenantPages): void {
    this.pages = pages;
    this.afterSlug = "";
    this.timer = this.deps.clock.every(TICK_MS, () => void this.tick());
  }

  /** Stop the background work and push what is known to be behind. */
  async close(): Promise<void> {
    this.timer?.cancel();
    this.pages = undefined;
    await this.ticking;
    await this.tick();
  }

  /** One round of background work; never rejects. */
  tick(): Promise<void> {
    this.ticking ??= this.round().finally(() => {
      this.ticking = undefined;
    });
    return this.ticking;
  }

  private async round(): Promise<void> {
    const found = await this.nextPage();
    const noted = [...this.noted.entries()];
    for (const scope of found) {
      if (this.noted.has(scope.tenantId)) continue;
      // What failed, or was more than one look takes, is looked at again: the pages come by only once.
      if ((await this.attempt(scope)) !== 0) this.note(scope);
    }
    for (const [tenantId, entry] of noted) {
      const pushed = await this.attempt(entry.scope);
      // A note comes before its commit, so a tenant is forgotten only after two rounds with nothing to do.
      entry.quietTicks = pushed === 0 ? entry.quietTicks + 1 : 0;
      if (entry.quietTicks >= 2 && this.noted.get(tenantId) === entry) this.noted.delete(tenantId);
    }
  }

  private async nextPage(): Promise<readonly TenantScope[]> {
    const pages = this.pages;
    if (pages === undefined) return [];
    try {
      const page = await pages(this.afterSlug);
      const last = page.at(-1);
      if (last === undefined) this.pages = undefined;
      else this.afterSlug = last.tenant.slug;
      return page;
    } catch (error) {
      this.deps.log.warn({ err: error }, "usage roll-up could not list tenants; it tries again");
      return [];
    }
  }

  private async attempt(scope: TenantScope): Promise<number> {
    // Reading a tenant with nothing to push never waits; a thousand of them in a row would hold everybody up.
    await nextTurn();
    try {
      return await this.pushDirty(scope);
    } catch (error) {
      this.deps.log.warn({ err: error, tenantId: scope.tenantId }, "usage roll-up failed; it tries again");
      return -1;
    }
  }

  /** Push every day that is behind; returns how many there were. */
  pushDirty(scope: TenantScope): Promise<number> {
    const running = this.pushing.get(scope.tenantId);
    if (running !== undefined) return running;
    const work = this.dirtyDays(scope)
      .then(async (days) => {
        await this.pushDays(scope, days);
        return days.length;
      })
      .finally(() => this.pushing.delete(scope.tenantId));
    this.pushing.set(scope.tenantId, work);
    return work;
  }

  private async dirtyDays(scope: TenantScope): Promise<string[]> {
    const rows = await scope.db.list<{ day: string }>(
      "SELECT day FROM usage_dirty_days ORDER BY day LIMIT 1000",
    );
    return rows.map((row) => row.day);
  }

  /** Make control.db say what the tenant's file says about these days (`YYYY-MM-DD`); repeatable. */
  async pushDays(scope: TenantScope, days: readonly string[]): Promise<void> {
    for (let at = 0; at < days.length; at += DAYS_AT_ONCE) {
      const chunk = days.slice(at, at + DAYS_AT_ONCE);
      const rows = await scope.db.list<DayRow>(READ_DAYS, [JSON.stringify(chunk)]);
      for (const day of chunk) {
        await this.pushDay(
          scope,
          day,
          rows.filter((row) => row.wanted_day === day),
        );
      }
    }
  }

  private async pushDay(scope: TenantScope, day: string, rows: readonly DayRow[]): Promise<void> {
    const asOf = rows[0]?.as_of ?? 0;
    const values = rows.filter((row) => row.day !== null).map((row) => COPIED.map((column) => row[column]));
    const statements = [
      { sql: MARK, params: [scope.tenantId, day, asOf, this.deps.clock.nowMs()], expect: 1 },
      { sql: "DELETE FROM usage_daily WHERE tenant_id = ? AND day = ?", params: [scope.tenantId, day] },
      { sql: INSERT_ROWS, params: [scope.tenantId, day, JSON.stringify(values)] },
    ];
    let outcome = await this.deps.control.write({ statements });
    if (!outcome.committed && (await this.isRolledBack(scope, day))) {
      outcome = await this.deps.control.write({
        statements: [forgetMark(scope.tenantId, day), ...statements],
      });
    }
    // ORDER: cleared after control.db committed, and only as far as what was read. A refusal means that a reading
    // newer than ours is there already, which covers ours.
    await scope.db.write({
      statements: [
        { sql: "DELETE FROM usage_dirty_days WHERE day = ? AND last_seq <= ?", params: [day, asOf] },
      ],
    });
  }

  /** Whether control.db knows of events that the tenant's file does not have: the file came from a backup. */
  private async isRolledBack(scope: TenantScope, day: string): Promise<boolean> {
    const mark = await this.deps.control.find<{ as_of_seq: number }>(
      "SELECT as_of_seq FROM usage_daily_marks WHERE tenant_id = ? AND day = ?",
      [scope.tenantId, day],
    );
    const newest = await scope.db.find<{ seq: number | null }>("SELECT max(seq) AS seq FROM usage_events");
    return mark !== undefined && mark.as_of_seq > (newest?.seq ?? 0);
  }

  /** Compute every derived number anew from the events, in the tenant's file and in control.db. */
  async rebuild(scope: TenantScope): Promise<void> {
    const { db } = scope;
    await db.write({
      statements: DERIVED.flatMap((table) => [
        { sql: `DELETE FROM ${table}` },
        { sql: `INSERT INTO ${table} SELECT * FROM ${table}_true` },
      ]),
    });
    const own = await db.list<{ day: string }>("SELECT DISTINCT day FROM usage_days");
    const copied = await this.deps.control.list<{ day: string }>(
      "SELECT DISTINCT day FROM usage_daily WHERE tenant_id = ?",
      [scope.tenantId],
    );
    await this.pushDays(scope, [...new Set([...own, ...copied].map((row) => row.day))].sort());
  }

  /** Tables whose rows are not what the events say, e.g. after a damaged restore; empty when all is well. */
  async listDrift(scope: TenantScope): Promise<string[]> {
    const drifted: string[] = [];
    for (const table of DERIVED) {
      const row = await scope.db.find(`SELECT 1 FROM (
        SELECT * FROM (SELECT * FROM ${table} EXCEPT SELECT * FROM ${table}_true)
        UNION ALL SELECT * FROM (SELECT * FROM ${table}_true EXCEPT SELECT * FROM ${table})) LIMIT 1`);
      if (row !== undefined) drifted.push(table);
    }
    return drifted;
  }
}

function forgetMark(tenantId: TenantId, day: string): Statement {
  return { sql: "DELETE FROM usage_daily_marks WHERE tenant_id = ? AND day = ?", params: [tenantId, day] };
}
