/**
 * Keeping where ledgers stand, once a day (UTC) and tenant. Owns: when, and for whom: tenants that used something lately;
 * others are not opened. Refuses to know: what a head is, how it is compared.
 */
import { appendStatement } from "../../../audit/chain.ts";
import { Recurring } from "../../../jobs/recurring.ts";
import type { Clock } from "../../../kernel/clock.ts";
import type { TenantId } from "../../../kernel/ids.ts";
import type { Log } from "../../../kernel/log.ts";
import type { Database } from "../../../storage/database.ts";
import { runInContext } from "../../../tenancy/context.ts";
import type { TenantScope } from "../../../tenancy/scoped.ts";
import { findHeadRecord, findLastHead } from "./heads.ts";

/** What the sealer needs. */
export interface LedgerSealerDeps {
  control: Database;
  clock: Clock;
  log: Log;
  /** The tenant's scope; undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
  /** The tenant's audit log got a row; must not throw. */
  onRecorded?(scope: TenantScope): void;
}

const TICK_MS = 600_000;
const DAY_MS = 86_400_000;
/** A process that stood still for so long finds what was left; who was idle longer is sealed with the next use. */
const LOOK_BACK_MS = 7 * DAY_MS;
const TENANTS_AT_ONCE = 500;

/** See the head of this file. */
export class LedgerSealer {
  private readonly deps: LedgerSealerDeps;
  private readonly recurring: Recurring;
  private day = -1;
  /** Tenants that need no further look today. */
  private readonly done = new Set<TenantId>();

  constructor(deps: LedgerSealerDeps) {
    this.deps = deps;
    const { clock, log } = deps;
    const complaint = "ledgers could not be sealed; it is tried again";
    this.recurring = new Recurring({ clock, log, periodMs: TICK_MS, complaint, round: () => this.round() });
  }

  start(): void {
    this.recurring.start();
  }

  close(): Promise<void> {
    return this.recurring.close();
  }

  /** One round; never rejects. */
  tick(): Promise<void> {
    return this.recurring.tick();
  }

  private async round(): Promise<void> {
    const nowMs = this.deps.clock.nowMs();
    const day = Math.floor(nowMs / DAY_MS);
    if (day !== this.day) this.done.clear();
    this.day = day;
    for (let after = ""; ; ) {
      const due = await this.deps.control.list<{ tenantId: TenantId }>(
        `SELECT DISTINCT tenant_id AS tenantId FROM usage_daily_marks WHERE pushed_at_ms >= ? AND tenant_id > ?
          ORDER BY tenant_id LIMIT ${TENANTS_AT_ONCE}`,
        [nowMs - LOOK_BACK_MS, after],
      );
      for (const { tenantId } of due) if (!this.done.has(tenantId)) await this.attempt(tenantId, nowMs);
      const last = due.at(-1);
      if (last === undefined || due.length < TENANTS_AT_ONCE) return;
      after = last.tenantId;
    }
  }

  private async attempt(tenantId: TenantId, nowMs: number): Promise<void> {
    try {
      const scope = await this.deps.scopeOf(tenantId);
      if (scope === undefined) return;
      const context = { tenantId, principal: null, requestId: "ledger-seal" };
      if (await runInContext(context, () => this.seal(scope, nowMs))) this.done.add(tenantId);
    } catch (error) {
      this.deps.log.warn(
        { err: error, tenantId },
        "a tenant's ledger could not be sealed; it is tried again",
      );
    }
  }

  /** Whether today's head is kept; false while there is nothing new to keep. */
  private async seal(scope: TenantScope, nowMs: number): Promise<boolean> {
    const last = await findLastHead(scope);
    if (last !== undefined && Math.floor(last.atMs / DAY_MS) === this.day) return true;
    const record = await findHeadRecord(scope, nowMs);
    if (record === undefined || record.details["seq"] === last?.seq) return false;
    await scope.db.write({ statements: [appendStatement(record)] });
    this.deps.onRecorded?.(scope);
    return true;
  }
}
