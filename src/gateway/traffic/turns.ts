/**
 * Calls of limited tenants begin one after the other. Owns: that at most one of a tenant begins in a round of the event
 * loop, and that after one that kept the thread busy a pause follows while others call too, so that a burst within its
 * limit takes a tenth of the thread and not all of it. Who is alone has all of it. Refuses to know: limits.
 */
import { setImmediate as nextRound } from "node:timers/promises";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";

/** A round that took less needs no pause. */
const SHORT_MS = 1;
/** Pause after a round, as a multiple of it, and the longest there is. */
const PAUSES = 9;
const LONGEST_PAUSE_MS = 100;
/** A tenant that called so lately is there, and may be waiting for its answer. */
const PRESENT_MS = 10_000;

/** See the head of this file. Keeps nothing of a tenant whose calls have all begun. */
export class Turns {
  private readonly clock: Clock;
  private readonly tails = new Map<TenantId, { ready: Promise<void> }>();

  /** Who called last and when, and when last somebody else did. */
  private latest: TenantId | undefined;
  private latestMs = Number.NEGATIVE_INFINITY;
  private otherMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** A tenant calls; also one whose calls wait for nothing. */
  seen(tenantId: TenantId): void {
    if (this.latest !== tenantId) {
      this.otherMs = this.latestMs;
      this.latest = tenantId;
    }
    this.latestMs = this.clock.monotonicMs();
  }

  /**
   * Resolves when the tenant's next call may begin; in the order of asking. `isPaused` is whether a pause follows a call
   * that kept the thread busy: not where only a ceiling far above what people do limits the tenant, whose calls would wait
   * for the work of others.
   */
  next(tenantId: TenantId, isPaused: boolean): Promise<void> {
    const before = this.tails.get(tenantId)?.ready ?? Promise.resolve();
    this.seen(tenantId);
    const begin = before.then(() => nextRound());
    const tail = { ready: isPaused ? begin.then(() => this.rest(tenantId)) : begin };
    this.tails.set(tenantId, tail);
    void tail.ready.then(() => {
      if (this.tails.get(tenantId) === tail) this.tails.delete(tenantId);
    });
    return begin;
  }

  /** Tenants with calls that have not begun. */
  get size(): number {
    return this.tails.size;
  }

  /** Wait for the round in which a call began, and on in proportion to what that took. */
  private async rest(tenantId: TenantId): Promise<void> {
    const startedMs = this.clock.monotonicMs();
    await nextRound();
    const tookMs = this.clock.monotonicMs() - startedMs;
    if (tookMs < SHORT_MS || !this.hasOthers(tenantId)) return;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, tookMs * PAUSES);
    await new Promise<void>((resolve) => void this.clock.after(pauseMs, resolve));
  }

  /** Whether anybody but this tenant called lately. */
  private hasOthers(tenantId: TenantId): boolean {
    const lastMs = this.latest === tenantId ? this.otherMs : this.latestMs;
    return this.clock.monotonicMs() - lastMs < PRESENT_MS;
  }
}
