/**
 * Telling a loop from people: how often turns begin in one session. Owns: the count, the judgement.
 * Refuses to know: what is done about it, what a turn is.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { SessionKey, TenantId } from "../../kernel/ids.ts";

const WINDOW_MS = 60_000;
/** Sessions counted before those that are over are swept out. */
const SWEEP_AT = 10_000;

/** See the head of this file. */
export class Velocity {
  private readonly clock: Clock;
  private readonly perMinute: number;
  private readonly windows = new Map<string, { endMs: number; turns: number }>();

  /** @param perMinute turns of a session in a minute that still look like people; 0 for any number */
  constructor(clock: Clock, perMinute: number) {
    this.clock = clock;
    this.perMinute = perMinute;
  }

  /** Count a turn; true when it is one too many. */
  isLoop(tenantId: TenantId, key: SessionKey): boolean {
    if (this.perMinute === 0) return false;
    const nowMs = this.clock.monotonicMs();
    const place = `${tenantId} ${key}`;
    const window = this.windows.get(place);
    if (window !== undefined && window.endMs > nowMs) return ++window.turns > this.perMinute;
    if (this.windows.size >= SWEEP_AT) this.sweep(nowMs);
    this.windows.set(place, { endMs: nowMs + WINDOW_MS, turns: 1 });
    return false;
  }

  /** Begin anew for a tenant that was let go on. */
  forget(tenantId: TenantId): void {
    for (const place of this.windows.keys()) if (place.startsWith(`${tenantId} `)) this.windows.delete(place);
  }

  private sweep(nowMs: number): void {
    for (const [place, { endMs }] of this.windows) if (endMs <= nowMs) this.windows.delete(place);
  }
}
