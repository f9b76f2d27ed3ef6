/** What goes wrong with exports, in the operator's log. Owns: that nobody floods it. Refuses to know: what went wrong. */
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";

const PERIOD_MS = 3_600_000;
/** Lines in a period; what is beyond them is counted. */
const MOST_LINES = 30;

/** Warnings: each once an hour for a tenant, and not more than thirty an hour. */
export class Complaints {
  private readonly clock: Clock;
  private readonly log: Log;
  private readonly told = new Set<string>();
  private beganMs = Number.NEGATIVE_INFINITY;
  private lines = 0;
  private left = 0;

  constructor(clock: Clock, log: Log) {
    this.clock = clock;
    this.log = log;
  }

  /** Say it, unless it was said of this tenant within the hour. */
  tell(tenantId: TenantId, what: string, facts: object = {}): void {
    const nowMs = this.clock.monotonicMs();
    if (nowMs - this.beganMs >= PERIOD_MS) this.begin(nowMs);
    const key = `${tenantId} ${what}`;
    if (this.told.has(key)) return;
    if (this.lines >= MOST_LINES) {
      this.left += 1;
      return;
    }
    this.told.add(key);
    this.lines += 1;
    this.log.warn({ ...facts, tenantId }, what);
  }

  private begin(nowMs: number): void {
    if (this.left > 0)
      this.log.warn({ count: this.left }, "more went wrong with exports than is told one by one");
    this.told.clear();
    this.beganMs = nowMs;
    this.lines = 0;
    this.left = 0;
  }
}
