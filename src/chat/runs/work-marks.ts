/**
 * Which tenants a start after a crash must look at. Owns: the marks in control.db, written before the first run of a
 * burst and removed when the tenant is quiet. Refuses to know: runs. Without it a start would open every tenant.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";

/** A tenant without runs for this long is quiet: long enough to spare a busy one the two extra commits. */
const QUIET_MS = 60_000;

/** See the head of this file. */
export class WorkMarks {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly marked = new Map<
    TenantId,
    { written: Promise<void>; lastMs: number; isWatched: boolean }
  >();

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /** Resolves when the mark is on disk. */
  mark(tenantId: TenantId): Promise<void> {
    const lastMs = this.clock.monotonicMs();
    const known = this.marked.get(tenantId);
    if (known !== undefined) {
      known.lastMs = lastMs;
      return known.written;
    }
    const sql = "INSERT INTO tenants_at_work VALUES (?, ?) ON CONFLICT DO NOTHING";
    const written = this.write(sql, [tenantId, this.clock.nowMs()]);
    this.marked.set(tenantId, { written, lastMs, isWatched: false });
    written.catch(() => this.marked.delete(tenantId));
    return written;
  }

  /** Remove the mark once the tenant has been quiet for a while. */
  quiet(tenantId: TenantId, isBusy: () => boolean): void {
    const mark = this.marked.get(tenantId);
    if (mark === undefined || mark.isWatched) return;
    mark.isWatched = true;
    this.clock.after(QUIET_MS, () => {
      mark.isWatched = false;
      if (isBusy() || this.clock.monotonicMs() - mark.lastMs < QUIET_MS) {
        this.quiet(tenantId, isBusy);
        return;
      }
      // ORDER: forgotten first, so that a run that begins now writes its mark again, after this removal.
      this.marked.delete(tenantId);
      this.write("DELETE FROM tenants_at_work WHERE tenant_id = ?", [tenantId]).catch(() => undefined);
    });
  }

  /** Tenants that had open runs when the process last ended. */
  async unscopedList(): Promise<TenantId[]> {
    const rows = await this.control.list<{ tenant_id: TenantId }>(
      "SELECT tenant_id FROM tenants_at_work LIMIT 100000",
    );
    return rows.map((row) => row.tenant_id);
  }

  private async write(sql: string, params: (string | number)[]): Promise<void> {
    await this.control.write({ statements: [{ sql, params }] });
  }
}
