import { describe, expect, it } from "vitest";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import { Recurring } from "./recurring.ts";

class Hands {
  readonly warnings: string[] = [];
  readonly timers: { periodMs: number; run: () => void; isCancelled: boolean }[] = [];
  readonly clock = {
    every: (periodMs: number, run: () => void) => {
      const timer = { periodMs, run, isCancelled: false };
      this.timers.push(timer);
      return {
        cancel: () => {
          timer.isCancelled = true;
        },
      };
    },
  } as Clock;
  readonly log = {
    warn: ({ err }: { err: Error }, text: string) => this.warnings.push(`${text}: ${err.message}`),
  } as unknown as Log;

  make(round: () => Promise<void>): Recurring {
    return new Recurring({ clock: this.clock, log: this.log, periodMs: 5_000, round, complaint: "not done" });
  }
}

/** A round that goes on until it is let go. */
function held(): { begun: () => number; round: () => Promise<void>; letGo: () => void } {
  let begun = 0;
  const waiting: (() => void)[] = [];
  return {
    begun: () => begun,
    round() {
      begun++;
      return new Promise((resolve) => {
        waiting.push(resolve);
      });
    },
    letGo: () => waiting.shift()?.(),
  };
}

describe("recurring work", () => {
  it("begins with its timer, once, and not before", () => {
    const hands = new Hands();
    const work = held();
    const recurring = hands.make(work.round);
    recurring.start();
    recurring.start();
    expect(hands.timers.map(({ periodMs }) => periodMs)).toEqual([5_000]);
    expect(work.begun()).toBe(0);
    hands.timers[0]?.run();
    expect(work.begun()).toBe(1);
  });

  it("never runs twice at once, and again after the first is over", async () => {
    const hands = new Hands();
    const work = held();
    const recurring = hands.make(work.round);
    const first = recurring.tick();
    const second = recurring.tick();
    expect(work.begun()).toBe(1);
    work.letGo();
    await Promise.all([first, second]);
    void recurring.tick();
    expect(work.begun()).toBe(2);
  });

  it("ends after what is going, and takes its timer away at once", async () => {
    const hands = new Hands();
    const work = held();
    const recurring = hands.make(work.round);
    recurring.start();
    void recurring.tick();
    let isClosed = false;
    const closing = recurring.close().then(() => {
      isClosed = true;
    });
    expect(hands.timers[0]?.isCancelled).toBe(true);
    await Promise.resolve();
    expect(isClosed).toBe(false);
    work.letGo();
    await closing;
    expect(isClosed).toBe(true);
  });

  it("ends without ever having begun", async () => {
    await new Hands().make(() => Promise.resolve()).close();
  });

  it("tells a failure once, another one again, and the same again after it was well", async () => {
    const hands = new Hands();
    let failure: string | undefined = "disk full";
    const recurring = hands.make(() =>
      failure === undefined ? Promise.resolve() : Promise.reject(new Error(failure)),
    );
    await recurring.tick();
    await recurring.tick();
    expect(hands.warnings).toEqual(["not done: disk full"]);
    failure = "no such table";
    await recurring.tick();
    failure = undefined;
    await recurring.tick();
    failure = "no such table";
    await recurring.tick();
    expect(hands.warnings).toEqual([
      "not done: disk full",
      "not done: no such table",
      "not done: no such table",
    ]);
  });

  it("survives work that throws before it awaits", async () => {
    const hands = new Hands();
    await hands
      .make(() => {
        throw new Error("at once");
      })
      .tick();
    expect(hands.warnings).toEqual(["not done: at once"]);
  });
});
