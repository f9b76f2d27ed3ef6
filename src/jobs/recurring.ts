/**
 * Work that comes again and again in the background. Owns: the timer, that it never runs twice at once, that an end waits for
 * what is going, that a failure is told once. Refuses to know: the work, for whom it is.
 */
import type { Clock, Timer } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";

/** What is done, and how often. */
export interface RecurringWork {
  clock: Clock;
  log: Log;
  periodMs: number;
  /** One round; may reject. */
  round(): Promise<void>;
  /** What a round that failed means, for the log. */
  complaint: string;
}

/** See the head of this file. */
export class Recurring {
  private readonly work: RecurringWork;
  private timer: Timer | undefined;
  private going: Promise<void> | undefined;
  /** Why rounds fail at present; undefined while they do not. */
  private trouble: string | undefined;

  constructor(work: RecurringWork) {
    this.work = work;
  }

  /** A round every period, the first after one. A second start changes nothing. */
  start(): void {
    this.timer ??= this.work.clock.every(this.work.periodMs, () => void this.tick());
  }

  /** One round now, or the one that is going; never rejects. */
  tick(): Promise<void> {
    this.going ??= this.run().finally(() => {
      this.going = undefined;
    });
    return this.going;
  }

  /** No further rounds; resolves when the going one is over. */
  async close(): Promise<void> {
    this.timer?.cancel();
    this.timer = undefined;
    await this.going;
  }

  private async run(): Promise<void> {
    try {
      await this.work.round();
      this.trouble = undefined;
    } catch (error) {
      const trouble = String(error);
      // A disk that is full all night is one line, not one for each round.
      if (trouble !== this.trouble) this.work.log.warn({ err: error }, this.work.complaint);
      this.trouble = trouble;
    }
  }
}
