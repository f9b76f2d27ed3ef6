/**
 * The time limits of one piece of work, as an abort signal. Owns: the idle and the total limit, and passing on an outer abort.
 * Refuses to know: what the work is.
 */
import type { Clock, Timer } from "./clock.ts";

/** How long work may take. */
export interface DeadlineOptions {
  /** Longest time between two signs of life. */
  idleMs: number;
  /** Longest time in all. */
  totalMs: number;
  /** Somebody else's wish to stop; its reason is passed on. */
  outer?: AbortSignal | undefined;
  /** The reason to abort with when a limit passes. */
  expired(): Error;
}

/** See the head of this file. `stop` must be called when the work ends. */
export class Deadlines {
  readonly signal: AbortSignal;
  private readonly controller = new AbortController();
  private readonly clock: Clock;
  private readonly options: DeadlineOptions;
  private readonly endsAtMs: number;
  private lastMs: number;
  private timer: Timer | undefined;
  private readonly onOuterAbort = () => this.controller.abort(this.options.outer?.reason);

  constructor(clock: Clock, options: DeadlineOptions) {
    this.clock = clock;
    this.options = options;
    this.signal = this.controller.signal;
    this.lastMs = clock.monotonicMs();
    this.endsAtMs = this.lastMs + options.totalMs;
    if (options.outer?.aborted) this.onOuterAbort();
    options.outer?.addEventListener("abort", this.onOuterAbort, { once: true });
    this.arm();
  }

  /** A sign of life. */
  touch(): void {
    this.lastMs = this.clock.monotonicMs();
  }

  /** The work ended; idempotent. */
  stop(): void {
    this.timer?.cancel();
    this.options.outer?.removeEventListener("abort", this.onOuterAbort);
  }

  private arm(): void {
    const nowMs = this.clock.monotonicMs();
    const dueMs = Math.min(this.lastMs + this.options.idleMs, this.endsAtMs);
    if (nowMs >= dueMs) this.controller.abort(this.options.expired());
    // Moving one timer along costs nothing per piece; a new timer per piece would.
    else this.timer = this.clock.after(Math.max(1, dueMs - nowMs), () => this.arm());
  }
}
