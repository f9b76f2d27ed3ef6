/**
 * The only reader of time. Owns: wall clock, monotonic clock, timers.
 * Refuses to know: time zones and calendars (billing does).
 */
import { performance } from "node:perf_hooks";

/** A cancellable timer; `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

/** Time as the product sees it; tests hand in their own. */
export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. Can jump: never subtract two of these for a duration. */
  nowMs(): number;
  /** Monotonic milliseconds since an arbitrary start; use for durations and deadlines. */
  monotonicMs(): number;
  /** Run once after `delayMs`; does not keep the process alive. */
  after(delayMs: number, run: () => void): Timer;
  /** Run every `periodMs`; does not keep the process alive. */
  every(periodMs: number, run: () => void): Timer;
}

/** The machine's own clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, run) {
    const handle = setTimeout(run, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  every(periodMs, run) {
    const handle = setInterval(run, periodMs);
    handle.unref();
    return { cancel: () => clearInterval(handle) };
  },
};
