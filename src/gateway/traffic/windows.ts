/**
 * Counts of this process alone, without waiting. Owns: windows of a minute by key, and that past ones are forgotten.
 * Refuses to know: limits. For what every call is counted by: a wait more or less would change the order of calls.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Count } from "./counter.ts";

const WINDOW_MS = 60_000;
/** Keys kept before past windows are swept out. */
const SWEEP_AT = 1_000;

/** See the head of this file. Its keys are tenants', of which there are no more than were made. */
export class Windows {
  private readonly clock: Clock;
  private readonly open = new Map<string, { endMs: number; total: number }>();
  private sweepAt = SWEEP_AT;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Add points to a key and say what it stands at. */
  add(key: string, points: number): Count {
    const nowMs = this.clock.monotonicMs();
    let window = this.open.get(key);
    if (window === undefined || window.endMs <= nowMs) {
      if (this.open.size >= this.sweepAt) this.sweep(nowMs);
      window = { endMs: nowMs + WINDOW_MS, total: 0 };
      this.open.set(key, window);
    }
    window.total += points;
    return { total: window.total, resetMs: Math.max(1, Math.ceil(window.endMs - nowMs)) };
  }

  /** Keys that are kept. */
  get size(): number {
    return this.open.size;
  }

  private sweep(nowMs: number): void {
    for (const [key, { endMs }] of this.open) if (endMs <= nowMs) this.open.delete(key);
    this.sweepAt = Math.max(SWEEP_AT, this.open.size * 2);
  }
}
