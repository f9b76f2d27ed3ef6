/**
 * Closing months without anybody asking. Owns: when to look, and at which tenants: only those that used something in
 * the last months and have not been looked at since they ended. Refuses to know: what a month holds.
 */
import { auditStatement, PLATFORM } from "../../audit/record.ts";
import { Recurring } from "../../jobs/recurring.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { addDays } from "../calendar.ts";
import { findHeadRecord } from "../ledger/chain/heads.ts";
import { GRACE_MS, type Statements } from "./statements.ts";

/** What the closer needs. */
export interface StatementCloserDeps {
  control: Database;
  statements: Statements;
  clock: Clock;
  log: Log;
  /** The tenant's scope; undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
  /** The tenant's audit log may have got rows; must not throw. */
  onRecorded?(scope: TenantScope): void;
}

const TICK_MS = 3_600_000;
/** Months further back are closed when somebody reads them. */
const LOOK_BACK_DAYS = 70;
const TENANTS_AT_ONCE = 200;

/** See the head of this file. */
export class StatementCloser {
  private readonly deps: StatementCloserDeps;
  private readonly recurring: Recurring;

  constructor(deps: StatementCloserDeps) {
    this.deps = deps;
    const { clock, log } = deps;
    const complaint = "months could not be closed; tried again within the hour";
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
  }

  private async attempt(tenantId: TenantId, month: string): Promise<void> {
    try {
      const scope = await this.deps.scopeOf(tenantId);
      if (scope !== undefined) {
        await this.deps.statements.closeDue(scope);
        this.deps.onRecorded?.(scope);
      }
      // Where the ledger stands goes into the platform's own log: the tenant's file cannot vouch for itself.
      const head = scope && (await findHeadRecord(scope, this.deps.clock.nowMs(), month));
      await this.deps.control.write({
        statements: [
          ...(head === undefined ? [] : [auditStatement(PLATFORM, head)]),
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
