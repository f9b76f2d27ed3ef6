/**
 * When a credential was last used. Owns: writing it rarely and off the request's path.
 * Refuses to know: credentials' meaning. Losing such a write costs a minute of precision and nothing else.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Database, Statement } from "../../storage/database.ts";
import { RecentMap } from "./recent-map.ts";

/** Credentials remembered as written recently; forgetting one costs one extra write. */
const REMEMBERED = 20_000;

/** Writes a time at most once per period and credential. */
export class LastUsed {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly periodMs: number;
  private readonly written = new RecentMap<number>(REMEMBERED);

  constructor(control: Database, clock: Clock, periodMs: number) {
    this.control = control;
    this.clock = clock;
    this.periodMs = periodMs;
  }

  /** Note a use; returns at once. `key` names the credential within its tenant, `make` the write. */
  touch(key: string, make: (nowMs: number, staleBeforeMs: number) => Statement): void {
    const monotonicMs = this.clock.monotonicMs();
    const last = this.written.get(key);
    if (last !== undefined && monotonicMs - last < this.periodMs) return;
    this.written.set(key, monotonicMs);
    const nowMs = this.clock.nowMs();
    this.control.write({ statements: [make(nowMs, nowMs - this.periodMs)] }).catch(() => {
      this.written.delete(key);
    });
  }
}
