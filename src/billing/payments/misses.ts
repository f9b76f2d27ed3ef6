/**
 * Codes that were not valid, by tenant. Owns: the count of an hour, the bound on memory. Refuses to know: codes.
 *
 * SECURITY: a tenant has one place of its own and none is given up for another's, so nobody's guesses make another's be
 * forgotten. When all places are taken, tenants without one wait; there are more places than tenants that a process serves.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";

const MOST_PER_HOUR = 10;
const HOUR_MS = 3_600_000;
const MOST_TENANTS = 100_000;

interface Hour {
  count: number;
  /** Monotonic. */
  untilMs: number;
}

/** See the head of this file. */
export class Misses {
  private readonly clock: Clock;
  private readonly mostTenants: number;
  /** In the order in which the hours began, and so end. */
  private readonly hours = new Map<TenantId, Hour>();

  constructor(clock: Clock, mostTenants = MOST_TENANTS) {
    this.clock = clock;
    this.mostTenants = mostTenants;
  }

  /** Tenants with a miss within the hour. */
  get size(): number {
    return this.hours.size;
  }

  /**
   * Count a try as a miss until it proves to be none, so that tries at once are counted too. Throws `rate_limited` when the
   * hour's misses are used up. The answer takes the count back.
   */
  begin(tenantId: TenantId): () => void {
    const hour = this.hourOf(tenantId);
    if (hour.count >= MOST_PER_HOUR) throw this.tooMany(hour);
    hour.count++;
    let isOpen = true;
    return () => {
      if (isOpen) hour.count--;
      isOpen = false;
      if (hour.count === 0 && this.hours.get(tenantId) === hour) this.hours.delete(tenantId);
    };
  }

  private hourOf(tenantId: TenantId): Hour {
    const nowMs = this.clock.monotonicMs();
    for (const [oldest, hour] of this.hours) {
      if (hour.untilMs > nowMs) break;
      this.hours.delete(oldest);
    }
    const known = this.hours.get(tenantId);
    if (known !== undefined) return known;
    const [first] = this.hours.values();
    if (this.hours.size >= this.mostTenants && first !== undefined) throw this.tooMany(first);
    const hour = { count: 0, untilMs: nowMs + HOUR_MS };
    this.hours.set(tenantId, hour);
    return hour;
  }

  private tooMany({ untilMs }: Hour): AppError {
    const retryAfterMs = Math.max(1, Math.ceil(untilMs - this.clock.monotonicMs()));
    return new AppError("rate_limited", "Too many codes were not valid; try again later.", {
      retryAfterMs,
      details: { of: "codes" },
    });
  }
}
