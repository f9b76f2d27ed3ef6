/**
 * What comes to its end by time: deletions that nobody took back, operators' looks into tenants. Owns: one timer for the
 * whole deployment. Refuses to know: how either ends.
 */
import type { BreakGlass } from "../auth/operators/break-glass.ts";
import type { Clock, Timer } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { TenantPurge } from "./purge/tenant-purge.ts";

/** What the sweep needs. */
export interface LifecycleSweepDeps {
  purge: TenantPurge;
  breakGlass: BreakGlass;
  clock: Clock;
  log: Log;
}

const PERIOD_MS = 15_000;

/** See the head of this file. */
export class LifecycleSweep {
  private readonly deps: LifecycleSweepDeps;
  private timer: Timer | undefined;
  private running: Promise<void> | undefined;

  constructor(deps: LifecycleSweepDeps) {
    this.deps = deps;
  }

  /** Sweep now and then from now on. */
  start(): void {
    void this.run().then(() => this.removeReturned());
    this.timer = this.deps.clock.every(PERIOD_MS, () => void this.run());
  }

  /** One sweep; never rejects, never runs twice at once. */
  run(): Promise<void> {
    this.running ??= this.sweep()
      .catch((error: unknown) =>
        this.deps.log.warn({ err: error }, "a sweep of tenants failed; it is tried again"),
      )
      .finally(() => {
        this.running = undefined;
      });
    return this.running;
  }

  /** Stop, after a sweep that is under way. */
  async close(): Promise<void> {
    this.timer?.cancel();
    await this.running;
  }

  private async removeReturned(): Promise<void> {
    await this.deps.purge
      .removeReturned()
      .catch((error: unknown) =>
        this.deps.log.warn({ err: error }, "folders of tenants could not be looked through"),
      );
  }

  private async sweep(): Promise<void> {
    await this.deps.breakGlass.sweep();
    await this.deps.purge.purgeDue();
  }
}
