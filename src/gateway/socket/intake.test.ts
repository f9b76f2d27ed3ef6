import { expect, it } from "vitest";
import type { Clock } from "../../kernel/clock.ts";
import { LIMITS } from "../../kernel/limits.ts";
import { Intake } from "./intake.ts";

function intake() {
  const taken: string[] = [];
  const timers: { atMs: number; run(): void }[] = [];
  const state = { isPaused: false, nowMs: 0 };
  const clock = {
    after: (delayMs: number, run: () => void) => {
      const timer = { atMs: state.nowMs + delayMs, run };
      timers.push(timer);
      return { cancel: () => timers.splice(timers.indexOf(timer), 1) };
    },
  } as unknown as Clock;
  const socket = {
    pause: () => {
      state.isPaused = true;
    },
    resume: () => {
      state.isPaused = false;
    },
  };
  const made: Intake = new Intake({
    socket,
    clock,
    take: (bytes) => {
      taken.push(String(bytes));
      made.begun();
    },
  });
  const pass = (ms: number) => {
    state.nowMs += ms;
    for (const timer of timers.filter(({ atMs }) => atMs <= state.nowMs)) {
      timers.splice(timers.indexOf(timer), 1);
      timer.run();
    }
  };
  const send = (count: number, from = 0) => {
    for (let n = 0; n < count; n++) made.receive(Buffer.from(String(from + n)));
  };
  return { made, taken, state, timers, pass, send };
}

const MOST = LIMITS.requestsInFlightPerConnection;

it("works on so many frames at once, holds what came with them, and takes it in order", () => {
  const { made, taken, state, send } = intake();
  send(MOST + 50);
  expect(taken).toHaveLength(MOST);
  expect(state.isPaused).toBe(true);
  for (let n = 0; n < MOST / 2; n++) made.ended();
  expect(taken).toHaveLength(MOST);
  made.ended();
  expect(taken.length).toBeGreaterThan(MOST);
  while (state.isPaused) made.ended();
  expect(taken).toEqual(Array.from({ length: MOST + 50 }, (_, n) => String(n)));
});

it("does not read on after many refusals, longer each time, and takes few frames between", () => {
  const { made, taken, state, pass, send } = intake();
  send(MOST);
  for (let n = 0; n < 15; n++) made.refused(60_000);
  for (let n = 0; n < MOST; n++) made.ended();
  expect(state.isPaused).toBe(false);
  made.refused(60_000);
  expect(state.isPaused).toBe(true);
  send(1_000, MOST);
  expect(taken).toHaveLength(MOST);
  for (const [pauseMs, more] of [
    [500, 4],
    [1_000, 8],
    [2_000, 12],
  ] as const) {
    pass(pauseMs - 1);
    expect(taken).toHaveLength(MOST + more - 4);
    pass(1);
    expect(taken).toHaveLength(MOST + more);
    for (let n = 0; n < 4; n++) made.refused(60_000);
    for (let n = 0; n < 4; n++) made.ended();
  }
});

it("never pauses beyond the limit's own end, and forgives one refusal for each call let in", () => {
  const { made, state, pass } = intake();
  for (let n = 0; n < 40; n++) made.refused(300);
  expect(state.isPaused).toBe(true);
  pass(300);
  expect(state.isPaused).toBe(false);
  for (let n = 0; n < 10; n++) made.letIn();
  for (let n = 0; n < 9; n++) made.refused(300);
  expect(state.isPaused).toBe(false);
});

it("takes nothing more when it is closed, reads on to hear the goodbye, and leaves no timer", () => {
  const { made, taken, timers, send, state } = intake();
  for (let n = 0; n < 16; n++) made.refused(1_000);
  send(10);
  made.close();
  expect(timers).toEqual([]);
  expect(state.isPaused).toBe(false);
  made.refused(1_000);
  expect([timers, state.isPaused]).toEqual([[], false]);
  made.ended();
  send(10);
  expect(taken).toEqual([]);
});

it("holds what comes behind a large frame until that is taken, and counts its refusal as many", () => {
  const { made, taken, state, pass, send } = intake();
  send(1);
  made.bar();
  send(3, 1);
  expect([taken.length, state.isPaused]).toEqual([1, true]);
  made.ended();
  expect(taken).toHaveLength(1);
  made.unbar();
  expect(taken).toEqual(["0", "1", "2", "3"]);
  expect(state.isPaused).toBe(false);
  made.bar();
  made.refused(60_000, true);
  made.unbar();
  for (let n = 0; n < 3; n++) made.ended();
  expect(state.isPaused).toBe(true);
  pass(500);
  expect(state.isPaused).toBe(false);
});
