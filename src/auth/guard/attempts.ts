/**
 * Slowing down whoever guesses. Owns: failed attempts by address, by credential and by tenant, and how long each must
 * wait. Refuses to know: what is attempted. Successful attempts neither count nor forgive.
 *
 * A blocked address is refused before anything is looked up. A blocked credential (its first characters, a device id)
 * or tenant only changes the answer to further failures: whoever holds the right secret gets in, so nobody can lock out
 * a token or a tenant by guessing beside it. While a tenant is guessed at from many places, every address that fails
 * there has less patience with it.
 */
import ipaddr from "ipaddr.js";
import type { Clock } from "../../kernel/clock.ts";
import { RecentMap } from "./recent-map.ts";

/** How patient we are. */
export interface AttemptLimits {
  /** Failures an address or a credential may have before it has to wait. */
  freeFailures: number;
  /** Failures within one tenant, from wherever they come; default fifty times as many. */
  tenantFreeFailures?: number;
  /** First wait; it doubles with each further failure. */
  firstWaitMs: number;
  longestWaitMs: number;
  /** Failures are forgotten after this long without another. */
  forgetMs: number;
  /** Addresses, credentials and tenants remembered at once, each; the longest silent are forgotten first. */
  remembered: number;
}

/** Bounds for a gateway open to the internet. */
export const ATTEMPT_LIMITS: AttemptLimits = {
  freeFailures: 20,
  firstWaitMs: 1_000,
  longestWaitMs: 5 * 60 * 1000,
  forgetMs: 15 * 60 * 1000,
  remembered: 50_000,
};

/** What a failure counts for more in a tenant that is being guessed at. */
const HOT_WEIGHT = 4;

interface Failures {
  failures: number;
  lastMs: number;
  waitUntilMs: number;
}

/** See the head of this file. */
export class Attempts {
  private readonly clock: Clock;
  private readonly limits: AttemptLimits;
  // Apart from one another: made-up credentials are free, and must not push the addresses out that they come from.
  private readonly addresses: RecentMap<Failures>;
  private readonly credentials: RecentMap<Failures>;
  private readonly tenants: RecentMap<Failures>;

  constructor(clock: Clock, limits: AttemptLimits = ATTEMPT_LIMITS) {
    this.clock = clock;
    this.limits = limits;
    this.addresses = new RecentMap(limits.remembered);
    this.credentials = new RecentMap(limits.remembered);
    this.tenants = new RecentMap(limits.remembered);
  }

  /** Milliseconds that an address still has to wait; 0 when it may try. */
  addressWaitMs(address: string): number {
    return this.waitMs(this.addresses, addressKey(address));
  }

  /**
   * Count a failure. The answer is how long the next failure with this credential, or in this tenant, has to wait; 0
   * while it is free.
   * @param credential something that names what was guessed at, never the whole secret; null when there is nothing
   * @param claimed the tenant as the attempt itself named it. SECURITY: not as it was found: whether there is such a
   *   tenant must make no difference
   */
  noteFailure(address: string, credential: string | null, claimed: string | null = null): number {
    const { freeFailures, tenantFreeFailures = freeFailures * 50 } = this.limits;
    const tenantMs =
      claimed === null ? 0 : this.count(this.tenants, keyOf(claimed.toLowerCase()), tenantFreeFailures, 1);
    this.count(this.addresses, addressKey(address), freeFailures, tenantMs > 0 ? HOT_WEIGHT : 1);
    const credentialMs =
      credential === null ? 0 : this.count(this.credentials, keyOf(credential), freeFailures, 1);
    return Math.max(tenantMs, credentialMs);
  }

  /** How many addresses, credentials and tenants are remembered. */
  get size(): number {
    return this.addresses.size + this.credentials.size + this.tenants.size;
  }

  private waitMs(records: RecentMap<Failures>, key: string): number {
    const record = records.get(key);
    return record === undefined ? 0 : Math.max(0, Math.ceil(record.waitUntilMs - this.clock.monotonicMs()));
  }

  private count(records: RecentMap<Failures>, key: string, free: number, weight: number): number {
    const nowMs = this.clock.monotonicMs();
    const waitBeforeMs = this.waitMs(records, key);
    const known = records.get(key);
    const isFresh = known !== undefined && nowMs - known.lastMs < this.limits.forgetMs;
    const failures = (isFresh ? known.failures : 0) + weight;
    const beyond = failures - free;
    const { longestWaitMs, firstWaitMs } = this.limits;
    const waitMs = beyond < 0 ? 0 : Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(beyond, 30));
    records.set(key, { failures, lastMs: nowMs, waitUntilMs: nowMs + waitMs });
    return waitBeforeMs === 0 ? 0 : waitMs;
  }
}

/** Bounded, so that what is remembered is. */
function keyOf(text: string): string {
  return text.slice(0, 64);
}

/** What counts as one address: IPv4 as it is (also when mapped into IPv6), IPv6 by its /64, anything else as one. */
export function addressKey(address: string): string {
  const bare = address.split("%", 1)[0] ?? "";
  if (!ipaddr.isValid(bare)) return "unknown";
  const parsed = ipaddr.process(bare);
  if (parsed instanceof ipaddr.IPv6) {
    return `${parsed.parts
      .slice(0, 4)
      .map((part) => part.toString(16))
      .join(":")}::/64`;
  }
  return parsed.toString();
}
