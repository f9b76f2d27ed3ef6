/**
 * Errors that nobody caught. Owns: that one of them ends nothing but itself, and that somebody hears of it.
 * Refuses to know: where they come from.
 *
 * Node would end the process, and with it every tenant's work, for a promise that some library forgot. What must be
 * right after a failure is on disk and says so itself; see decision 0033.
 */
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";

/** What the watch needs. */
export interface StrayDeps {
  log: Log;
  clock: Clock;
  /** One was seen, logged or not. */
  onStray(): void;
}

/** A loop of them must not fill the disk with lines. */
const LINES_PER_MINUTE = 20;
const MINUTE_MS = 60_000;

/** Take them for this process, from now on. A line carries the tenant whose work it was, as far as it is known. */
export function watchStrays({ log, clock, onStray }: StrayDeps): void {
  let windowMs = Number.NEGATIVE_INFINITY;
  let lines = 0;
  let unsaid = 0;
  const note = (kind: "rejection" | "exception", err: unknown) => {
    onStray();
    const nowMs = clock.monotonicMs();
    if (nowMs - windowMs >= MINUTE_MS) {
      windowMs = nowMs;
      lines = 0;
    }
    if (++lines > LINES_PER_MINUTE) {
      unsaid++;
      return;
    }
    log.error({ err, kind, ...(unsaid > 0 ? { unsaid } : {}) }, "an error that nobody caught; all goes on");
    unsaid = 0;
  };
  process.on("unhandledRejection", (reason) => note("rejection", reason));
  process.on("uncaughtException", (error) => note("exception", error));
}
