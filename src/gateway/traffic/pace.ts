/**
 * The pace at which limited callers' calls begin: a burst at once, the others at the pace of their limit, so that a
 * minute's worth of calls does not come upon everybody's thread within a second. Owns: when the next call of a key may
 * begin (the generic cell rate algorithm, ITU-T I.371, Annex A). Refuses to know: limits, tenants, what is called.
 */
import type { Clock } from "../../kernel/clock.ts";

/** Calls that begin at once: what a page asks for when it opens, or what the limit allows in three seconds. */
const LEAST_BURST = 30;
const BURST_SECONDS = 3;
/** Keys kept before those that are due again are swept out, and the most there are. */
const SWEEP_AT = 1_000;
const MOST_KEYS = 100_000;

/** See the head of this file. Keeps nothing for long of a key that keeps its pace. */
export class Pace {
  private readonly clock: Clock;
  /** When all that a key did would be even with its limit, in monotonic milliseconds. */
  private readonly evenAt = new Map<string, number>();
  private sweepAt = SWEEP_AT;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /**
   * Milliseconds that a call of so many points waits; 0 for at once. One that is large is at most half a burst: it is within
   * its limit, and neither it nor what its sender does next should wait for a quarter of a minute.
   */
  waitMs(key: string, points: number, perMinute: number): number {
    const nowMs = this.clock.monotonicMs();
    const apartMs = 60_000 / perMinute;
    const burst = Math.max(LEAST_BURST, (perMinute * BURST_SECONDS) / 60);
    const evenMs = Math.max(this.evenAt.get(key) ?? nowMs, nowMs) + apartMs * Math.min(points, burst / 2);
    if (this.evenAt.size >= this.sweepAt) this.sweep(nowMs);
    // Beyond that somebody's calls begin at once: the counts still hold.
    if (this.evenAt.size < MOST_KEYS || this.evenAt.has(key)) this.evenAt.set(key, evenMs);
    return Math.max(0, Math.ceil(evenMs - nowMs - burst * apartMs));
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.evenAt.size;
  }

  private sweep(nowMs: number): void {
    for (const [key, evenMs] of this.evenAt) if (evenMs <= nowMs) this.evenAt.delete(key);
    // Not again at every call while most of them are busy.
    this.sweepAt = Math.max(SWEEP_AT, this.evenAt.size * 2);
  }
}
