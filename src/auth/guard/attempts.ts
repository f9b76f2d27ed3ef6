/**
 * Slowing down whoever guesses. Owns: failed attempts by address and by credential, and how long each must wait.
 * Refuses to know: what is attempted. Successful attempts neither count nor forgive.
 *
 * A blocked address is refused before anything is looked up. A blocked credential (its first characters, a device id)
 * only changes the answer to further failures: whoever holds the right secret gets in, so nobody can lock out a token
 * by guessing beside it.
 */
import ipaddr from "ipaddr.js";
import type { Clock } from "../../kernel/clock.ts";
import { RecentMap } from "./recent-map.ts";

/** How patient we are. */
export interface AttemptLimits {
  /** Failures an address or a credential may have before it has to wait. */
  freeFailures: number;
  /** First wait; it doubles with each further failure. */
  firstWaitMs: number;
  longestWaitMs: number;
  /** Failures are forgotten after this long without another. */
  forgetMs: number;
  /** Addresses and credentials remembered at once; the longest silent are forgotten first. */
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

interface Failures {
  failures: number;
  lastMs: number;
  waitUntilMs: number;
}

/** See the head of this file. */
export class Attempts {
  private readonly clock: Clock;
  private readonly limits: AttemptLimits;
  private readonly records: RecentMap<Failures>;

  constructor(clock: Clock, limits: AttemptLimits = ATTEMPT_LIMITS) {
    this.clock = clock;
    this.limits = limits;
    this.records = new RecentMap(limits.remembered);
  }

  /** Milliseconds that an address still has to wait; 0 when it may try. */
  addressWaitMs(address: string): number {
    return this.waitMs(`a/${addressKey(address)}`);
  }

  /**
   * Count a failure. The answer is how long the next failure with this credential has to wait, 0 while it is free.
   * @param credential something that names what was guessed at, never the whole secret; null when there is nothing
   */
  noteFailure(address: string, credential: string | null): number {
    this.count(`a/${addressKey(address)}`);
    return credential === null ? 0 : this.count(`c/${credential.slice(0, 64)}`);
  }

  private waitMs(key: string): number {
    const record = this.records.get(key);
    return record === undefined ? 0 : Math.max(0, Math.ceil(record.waitUntilMs - this.clock.monotonicMs()));
  }

  private count(key: string): number {
    const nowMs = this.clock.monotonicMs();
    const waitBeforeMs = this.waitMs(key);
    const known = this.records.get(key);
    const isFresh = known !== undefined && nowMs - known.lastMs < this.limits.forgetMs;
    const failures = (isFresh ? known.failures : 0) + 1;
    const beyond = failures - this.limits.freeFailures;
    const waitMs =
      beyond < 0
        ? 0
        : Math.min(this.limits.longestWaitMs, this.limits.firstWaitMs * 2 ** Math.min(beyond, 30));
    this.records.set(key, { failures, lastMs: nowMs, waitUntilMs: nowMs + waitMs });
    return waitBeforeMs === 0 ? 0 : waitMs;
  }
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
