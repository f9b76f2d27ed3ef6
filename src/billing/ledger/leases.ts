/**
 * Reservations nobody stands behind any more. Owns: which runs of this process hold some, renewing their leases, giving
 * back what lapsed. Refuses to know: calls, budgets. Looks only into tenants that it was told of, so none that is idle.
 */
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { RunId, TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { releaseLapsed, renewLeases } from "./reserve-sql.ts";

/** How long a reservation stands without being renewed. With the sweep: at most 50 s after a crash. */
const LEASE_MS = 40_000;
/** How often leases are renewed and lapsed ones are looked for. */
const SWEEP_MS = 10_000;
/** Sweeps from one look to the next, at most, at a tenant whose file cannot be written: five minutes. */
const MOST_PAUSE = 30;

interface Watched {
  scope: TenantScope;
  /** Runs of this process that may hold something. */
  readonly runs: Set<RunId>;
  /** Sweeps to come that look for what lapsed, though no run of ours is there. */
  looks: number;
  /** Looks that failed in a row, and sweeps to be left out until the next. */
  failures: number;
  pause: number;
}

/** Sweeps after which everything that could lapse has. */
const LOOKS = Math.ceil(LEASE_MS / SWEEP_MS) + 2;

/** See the head of this file. */
export class Leases {
  private readonly clock: Clock;
  private readonly log: Log;
  private readonly watched = new Map<TenantId, Watched>();
  private timer: Timer | undefined;
  private sweeping: Promise<void> = Promise.resolve();

  constructor(clock: Clock, log: Log) {
    this.clock = clock;
    this.log = log;
  }

  /** Until when a reservation made now stands, unless it is renewed. */
  untilMs(): number {
    return this.clock.nowMs() + LEASE_MS;
  }

  /** A run holds something, and lives until it is dropped. */
  hold(scope: TenantScope, runId: RunId): void {
    this.entry(scope).runs.add(runId);
  }

  /** The run is over; what it still holds lapses. */
  drop(scope: TenantScope, runId: RunId): void {
    const entry = this.watched.get(scope.tenantId);
    if (entry?.runs.delete(runId) === true) entry.looks = LOOKS;
  }

  /** A tenant that may have reservations of a process that died. */
  watch(scope: TenantScope): void {
    const entry = this.entry(scope);
    entry.looks = LOOKS;
    entry.pause = 0;
  }

  /** A tenant that goes, and all that it has with it. */
  forget(tenantId: TenantId): void {
    this.watched.delete(tenantId);
  }

  /** Renew what lives and give back what lapsed, in every watched tenant; never rejects. */
  sweep(): Promise<void> {
    this.sweeping = this.sweeping.then(async () => {
      for (const entry of [...this.watched.values()]) await this.sweepTenant(entry);
    });
    return this.sweeping;
  }

  async close(): Promise<void> {
    this.timer?.cancel();
    await this.sweeping;
  }

  private entry(scope: TenantScope): Watched {
    let entry = this.watched.get(scope.tenantId);
    if (entry === undefined) {
      entry = { scope, runs: new Set(), looks: LOOKS, failures: 0, pause: 0 };
      this.watched.set(scope.tenantId, entry);
    }
    entry.scope = scope;
    this.timer ??= this.clock.every(SWEEP_MS, () => void this.sweep());
    return entry;
  }

  private async sweepTenant(entry: Watched): Promise<void> {
    const { scope } = entry;
    const runs = [...entry.runs];
    // What lives is renewed at every sweep; another process could take it away else.
    if (entry.pause > 0 && runs.length === 0) {
      entry.pause--;
      return;
    }
    try {
      await runInContext({ tenantId: scope.tenantId, principal: null, requestId: "leases" }, async () => {
        const nowMs = this.clock.nowMs();
        const open = await scope.db.list<{ until: number }>(
          "SELECT lease_until_ms AS until FROM reservations WHERE state = 'open' ORDER BY lease_until_ms LIMIT 1",
        );
        if (open.length === 0) {
          entry.looks--;
          entry.failures = 0;
          return;
        }
        // ORDER: what is alive is renewed first; a clock that jumped must not take it away.
        const outcome = await scope.db.write({
          statements: [renewLeases(runs, nowMs + LEASE_MS), releaseLapsed(nowMs, runs)],
        });
        entry.failures = 0;
        const lapsed = outcome.committed ? (outcome.results[1]?.rows ?? []) : [];
        if (lapsed.length > 0)
          this.log.warn(
            { tenantId: scope.tenantId, calls: lapsed },
            "reservations without a run were given back",
          );
      });
    } catch (thrown) {
      // ORDER: a look that failed has seen nothing, so it does not count: something may be held until the file can be written.
      entry.failures++;
      entry.pause = Math.min(2 ** entry.failures, MOST_PAUSE) - 1;
      this.log.warn({ err: thrown, tenantId: scope.tenantId }, "leases could not be looked at");
    }
    const isDone = entry.runs.size === 0 && entry.looks <= 0;
    // It may have gone meanwhile, and be another one's by now.
    if (isDone && this.watched.get(scope.tenantId) === entry) this.watched.delete(scope.tenantId);
  }
}
