/**
 * Closing months without anybody asking. Owns: when to look, and at which tenants: only those that used something in
 * the last months and have not been looked at since they ended. Refuses to know: what a month holds.
 */
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { addDays } from "../calendar.ts";
import { GRACE_MS, type Statements } from "./statements.ts";

/** What the closer needs. */
export interface StatementCloserDeps {
  control: Database;
  statements: Statements;
  clock: Clock;
  log: Log;
  /** The tenant's scope; undefined when it is gone or going. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
}

const TICK_MS = 3_600_000;
/** Months further back are closed when somebody reads them. */
const LOOK_BACK_DAYS = 70;
const TENANTS_AT_ONCE = 200;

/** See the head of this file. */
export class StatementCloser {
  private readonly deps: StatementCloserDeps;
  private timer: Timer | undefined;
  private ticking: Promise<void> | undefined;

  constructor(deps: StatementCloserDeps) {
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
    this.ticking ??= this.round().finally(() => {
      this.ticking = undefined;
    });
    return this.ticking;
  }

  private async round(): Promise<void> {
    try {
      const { control, clock } = this.deps;
      // By then the month is over in every zone, and its grace too.
      const over = new Date(clock.nowMs() - GRACE_MS - 14 * 3_600_000).toISOString().slice(0, 10);
      const first = `${over.slice(0, 7)}-01`;
      const due = await control.list<{ tenant_id: TenantId }>(
        `SELECT DISTINCT d.tenant_id FROM usage_daily d WHERE d.day >= ? AND d.day < ?
          AND NOT EXISTS (SELECT 1 FROM statement_marks m WHERE m.tenant_id = d.tenant_id AND m.looked_month >= ?)
          LIMIT ${TENANTS_AT_ONCE}`,
        [addDays(first, -LOOK_BACK_DAYS), first, over.slice(0, 7)],
      );
      for (const { tenant_id } of due) await this.attempt(tenant_id, over.slice(0, 7));
    } catch (error) {
      this.deps.log.warn({ err: error }, "months could not be closed; tried again within the hour");
    }
  }

  private async attempt(tenantId: TenantId, month: string): Promise<void> {
    try {
      const scope = await this.deps.scopeOf(tenantId);
      if (scope !== undefined) await this.deps.statements.closeDue(scope);
      await this.deps.control.write({
        statements: [
          {
            sql: `INSERT INTO statement_marks VALUES (?, ?)
              ON CONFLICT DO UPDATE SET looked_month = max(looked_month, excluded.looked_month)`,
            params: [tenantId, month],
          },
        ],
      });
    } catch (error) {
      this.deps.log.warn({ err: error, tenantId }, "a tenant's month could not be closed; it is tried again");
    }
  }
}
