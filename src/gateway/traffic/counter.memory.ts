/**
 * Counting in this process, by rate-limiter-flexible. Owns: the bound on memory. Refuses to know: limits.
 *
 * SECURITY: at most `mostKeys` keys are kept, and none is given up for another: a flood of new keys must not make an
 * active offender's count disappear. Where anybody can make keys up, those beyond the bound share a few counts, which
 * errs on the strict side; where only those can who are known, they are not counted, since refusing them would let whoever
 * fills the memory stop everybody else.
 */
import { RateLimiterMemory, type RateLimiterRes } from "rate-limiter-flexible";
import type { Count, Counter } from "./counter.ts";

const WINDOW_S = 60;
const MOST_KEYS = 100_000;
const SHARED_KEYS = 4_096;

/** What becomes of a key that comes when no more are kept. */
export type WhenFull = "share" | "let-in";

/** See the head of this file. */
export class MemoryCounter implements Counter {
  private readonly limiter: RateLimiterMemory;
  private readonly kept: ReadonlyMap<string, unknown>;
  private readonly mostKeys: number;
  private readonly whenFull: WhenFull;

  constructor(whenFull: WhenFull, mostKeys = MOST_KEYS) {
    // The library's own limit is never reached: ours differ from plan to plan, and a plan changes at any time.
    this.limiter = new RateLimiterMemory({
      points: Number.MAX_SAFE_INTEGER,
      duration: WINDOW_S,
      keyPrefix: "",
    });
    this.kept = storageOf(this.limiter);
    this.mostKeys = mostKeys;
    this.whenFull = whenFull;
  }

  /** Keys that are kept now; each goes by itself when its window ends. */
  get size(): number {
    return this.kept.size;
  }

  async add(key: string, points: number): Promise<Count> {
    const place = this.place(key);
    return place === undefined
      ? { total: 0, resetMs: 1 }
      : toCount(await this.limiter.consume(place, points));
  }

  async giveBack(key: string, points: number): Promise<void> {
    const place = this.place(key);
    if (place !== undefined) await this.limiter.reward(place, points);
  }

  private place(key: string): string | undefined {
    if (this.kept.size < this.mostKeys || this.kept.has(key)) return key;
    if (this.whenFull === "let-in") return undefined;
    return `shared ${hash(key) % SHARED_KEYS}`;
  }
}

/**
 * The library says how many keys it keeps only by copying them all. The field is private; a test fails when an upgrade
 * renames it.
 */
function storageOf(limiter: RateLimiterMemory): ReadonlyMap<string, unknown> {
  const { _memoryStorage } = limiter as unknown as { _memoryStorage?: { _storage?: unknown } };
  const storage = _memoryStorage?._storage;
  if (!(storage instanceof Map))
    throw new Error("rate-limiter-flexible no longer keeps its keys where we count them");
  return storage;
}

function toCount(found: RateLimiterRes): Count {
  return { total: found.consumedPoints, resetMs: Math.max(1, found.msBeforeNext) };
}

/** FNV-1a; which keys share a count need not be secret, only even. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++)
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  return value >>> 0;
}
