/**
 * How fast a connection's frames are taken. Owns: how many are worked on at once, and not reading who goes on and on after
 * refusals; what was read already waits here. Refuses to know: what frames mean, who sends them.
 *
 * Frames come many in one piece: without this a thousand small ones would be begun before the first is answered.
 */
import type { WebSocket } from "ws";
import type { Clock, Timer } from "../../kernel/clock.ts";
import { LIMITS } from "../../kernel/limits.ts";

/** Refused calls in a row after which a connection is not read for a moment; each further one doubles that. */
const REFUSALS_BEFORE_PAUSE = 16;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** Frames at once of who is refused again and again. */
const AT_ONCE_WHEN_REFUSED = 4;

/** What an intake needs. */
export interface IntakeDeps {
  socket: Pick<WebSocket, "pause" | "resume">;
  clock: Clock;
  /** Begin with a frame. */
  take(bytes: Buffer): void;
}

/** See the head of this file. */
export class Intake {
  private readonly deps: IntakeDeps;
  /** No more than one read of the socket holds: it is paused while there are any. */
  private readonly held: Buffer[] = [];
  private inFlight = 0;
  private refusals = 0;
  private isHalted = false;
  private isBarred = false;
  private isClosed = false;
  private pause: Timer | undefined;

  constructor(deps: IntakeDeps) {
    this.deps = deps;
  }

  /** A frame was read. */
  receive(bytes: Buffer): void {
    if (this.isClosed) return;
    if (this.isHalted) this.held.push(bytes);
    else this.deps.take(bytes);
  }

  /** Work on a frame began. */
  begun(): void {
    this.inFlight++;
    if (this.inFlight >= this.most) this.halt();
  }

  /** Work on a frame ended. */
  ended(): void {
    this.inFlight--;
    this.goOn();
  }

  /** Nothing is taken until `unbar`: what comes behind a large frame must not overtake it, nor pile up. */
  bar(): void {
    this.isBarred = true;
    this.halt();
  }

  /** The large frame was taken. */
  unbar(): void {
    this.isBarred = false;
    this.goOn();
  }

  /** A call was let in by the limits. */
  letIn(): void {
    if (this.refusals > 0) this.refusals--;
  }

  /**
   * A call was refused by a limit that begins anew in `resetMs`. Who goes on sending after many of these is not read for
   * a while: its frames wait at its own end of the line, and cost us nothing there. One that was `large` is as many at once:
   * it has cost as much to receive.
   */
  refused(resetMs: number, isLarge = false): void {
    if (this.isClosed || this.pause !== undefined) return;
    this.refusals += isLarge ? REFUSALS_BEFORE_PAUSE : 1;
    if (this.refusals < REFUSALS_BEFORE_PAUSE) return;
    this.halt();
    const pauseMs = FIRST_PAUSE_MS * 2 ** Math.min(16, this.refusals - REFUSALS_BEFORE_PAUSE);
    this.pause = this.deps.clock.after(Math.min(resetMs, pauseMs, LONGEST_PAUSE_MS), () => {
      this.pause = undefined;
      this.goOn();
    });
  }

  /** Nothing more is taken; the line is read on, or the peer's goodbye would never be heard. */
  close(): void {
    this.isClosed = true;
    this.held.length = 0;
    this.pause?.cancel();
    this.deps.socket.resume();
  }

  private get most(): number {
    return this.refusals < REFUSALS_BEFORE_PAUSE
      ? LIMITS.requestsInFlightPerConnection
      : AT_ONCE_WHEN_REFUSED;
  }

  private halt(): void {
    if (this.isClosed || this.isHalted) return;
    this.isHalted = true;
    this.deps.socket.pause();
  }

  /** Take what waits, and read on when nothing does. */
  private goOn(): void {
    if (this.isClosed || !this.isHalted || this.isBarred || this.pause !== undefined) return;
    if (this.inFlight >= this.most / 2) return;
    this.isHalted = false;
    for (let next = this.held.shift(); next !== undefined; next = this.held.shift()) {
      this.deps.take(next);
      if (this.isHalted) return;
    }
    this.deps.socket.resume();
  }
}
