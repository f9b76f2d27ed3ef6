/**
 * Whose turn is made next when there are more than the machine should make at once. Owns: places, and waiting for one
 * by weighted fair queueing across tenants. Refuses to know: what a turn is, where limits come from.
 *
 * Start-time fair queueing: each place that a tenant takes moves its own clock on by 1/weight, and the one whose clock
 * is furthest behind goes next. A thousand waiting turns of one tenant so delay another's by one turn, not by a thousand.
 * Nothing is kept of a tenant that neither waits nor has a place.
 */
import type { TenantId } from "../../kernel/ids.ts";

/** What a tenant may have. */
export interface Share {
  /** Relative to other tenants; at least 1. */
  weight: number;
  /** Places at once; null for as many as there are. */
  limit: number | null;
}

/** Gives a place back; more than once changes nothing. */
export type Leave = () => void;

interface Waiting {
  grant(): void;
}

interface Line {
  share: Share;
  taken: number;
  waiting: Waiting[];
  /** Where the tenant's own clock stands: start of its next place. */
  nextStart: number;
}

/** See the head of this file. */
export class FairQueue {
  private readonly places: number;
  private readonly lines = new Map<TenantId, Line>();
  private taken = 0;
  /** Start of the place that was given last: those who come anew begin here, and not in the past. */
  private now = 0;

  /** @param places how many all tenants together may have */
  constructor(places: number) {
    this.places = places;
  }

  /** Wait for a place. When `signal` fires the wait ends without one, and giving it back does nothing. */
  enter(tenantId: TenantId, share: Share, signal: AbortSignal): Promise<Leave> {
    if (signal.aborted) return Promise.resolve(() => undefined);
    const line = this.lineOf(tenantId, share);
    if (line.waiting.length === 0 && this.mayTake(line)) return Promise.resolve(this.take(tenantId, line));
    const { promise, resolve } = Promise.withResolvers<Leave>();
    const giveUp = () => {
      const at = line.waiting.indexOf(entry);
      if (at !== -1) line.waiting.splice(at, 1);
      this.forget(tenantId, line);
      resolve(() => undefined);
    };
    const entry: Waiting = {
      grant: () => {
        signal.removeEventListener("abort", giveUp);
        resolve(this.take(tenantId, line));
      },
    };
    line.waiting.push(entry);
    signal.addEventListener("abort", giveUp, { once: true });
    // Its share may have grown since the others began to wait.
    if (this.mayTake(line)) this.serve();
    return promise;
  }

  /** A tenant may have more, or less, from now on; whoever of it waits and fits goes on at once. */
  reshare(tenantId: TenantId, share: Share): void {
    const line = this.lines.get(tenantId);
    if (line === undefined) return;
    line.share = share;
    if (line.waiting.length > 0 && this.mayTake(line)) this.serve();
  }

  /** Turns that wait, of one tenant. */
  waitingOf(tenantId: TenantId): number {
    return this.lines.get(tenantId)?.waiting.length ?? 0;
  }

  /** Tenants of which something is kept. */
  get size(): number {
    return this.lines.size;
  }

  private lineOf(tenantId: TenantId, share: Share): Line {
    const known = this.lines.get(tenantId);
    if (known !== undefined) {
      known.share = share;
      return known;
    }
    const line = { share, taken: 0, waiting: [], nextStart: this.now };
    this.lines.set(tenantId, line);
    return line;
  }

  private mayTake({ share, taken }: Line): boolean {
    return this.taken < this.places && taken < (share.limit ?? Number.POSITIVE_INFINITY);
  }

  private take(tenantId: TenantId, line: Line): Leave {
    const start = Math.max(line.nextStart, this.now);
    this.now = start;
    line.nextStart = start + 1 / line.share.weight;
    line.taken++;
    this.taken++;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      line.taken--;
      this.taken--;
      this.serve();
      this.forget(tenantId, line);
    };
  }

  /** Give free places to those whose clocks are furthest behind. */
  private serve(): void {
    while (this.taken < this.places) {
      let next: Line | undefined;
      for (const line of this.lines.values()) {
        if (line.waiting.length === 0 || !this.mayTake(line)) continue;
        if (next === undefined || line.nextStart < next.nextStart) next = line;
      }
      if (next === undefined) return;
      next.waiting.shift()?.grant();
    }
  }

  private forget(tenantId: TenantId, line: Line): void {
    const isIdle = line.taken === 0 && line.waiting.length === 0;
    if (isIdle && this.lines.get(tenantId) === line) this.lines.delete(tenantId);
  }
}
