import { expect, it } from "vitest";
import type { Clock } from "../../kernel/clock.ts";
import { Pace } from "./pace.ts";

function paceAt() {
  const time = { ms: 1_000 };
  return { time, pace: new Pace({ monotonicMs: () => time.ms } as Clock) };
}

it("lets a burst begin at once, and what follows at the pace of the limit", () => {
  const { pace } = paceAt();
  const waits = Array.from({ length: 300 }, () => pace.waitMs("ann", 1, 300));
  expect(waits.slice(0, 30)).toEqual(Array(30).fill(0));
  expect(waits.slice(30, 33)).toEqual([200, 400, 600]);
  expect(waits.at(-1)).toBe(270 * 200);
});

it("has a greater burst for a greater limit, and never holds who keeps the pace", () => {
  const { pace, time } = paceAt();
  const waits = Array.from({ length: 301 }, () => pace.waitMs("team", 1, 6_000));
  expect(waits.filter((wait) => wait === 0)).toHaveLength(300);
  for (let n = 0; n < 1_000; n++) {
    time.ms += 200;
    expect(pace.waitMs("ben", 1, 300)).toBe(0);
  }
});

it("gives the burst back in time, to each key its own", () => {
  const { pace, time } = paceAt();
  for (let n = 0; n < 40; n++) pace.waitMs("ann", 1, 300);
  expect(pace.waitMs("ann", 1, 300)).toBeGreaterThan(0);
  expect(pace.waitMs("ben", 1, 300)).toBe(0);
  time.ms += 60_000;
  expect(Array.from({ length: 30 }, () => pace.waitMs("ann", 1, 300))).toEqual(Array(30).fill(0));
});

it("forgets keys that are even again, and stays bounded", () => {
  const { pace, time } = paceAt();
  for (let n = 0; n < 250_000; n++) {
    pace.waitMs(`key ${n}`, 1, 60);
    if (n % 1_000 === 0) time.ms += 500;
  }
  expect(pace.size).toBeLessThanOrEqual(100_000);
  time.ms += 60_000;
  for (let n = 0; n < 200_001; n++) pace.waitMs("one", 1, 60_000_000);
  pace.waitMs("another", 1, 60);
  expect(pace.size).toBeLessThanOrEqual(100_000);
});

it("counts a dear call as several", () => {
  const { pace } = paceAt();
  expect(Array.from({ length: 6 }, () => pace.waitMs("ann", 5, 300))).toEqual(Array(6).fill(0));
  expect(pace.waitMs("ann", 5, 300)).toBe(1_000);
});

it("lets one large call begin at once, and what comes next not much later", () => {
  const { pace, time } = paceAt();
  expect(pace.waitMs("ann", 107, 300)).toBe(0);
  expect(Array.from({ length: 15 }, () => pace.waitMs("ann", 1, 300))).toEqual(Array(15).fill(0));
  time.ms += 30_000;
  expect([pace.waitMs("ann", 107, 300), pace.waitMs("ann", 107, 300)]).toEqual([0, 0]);
  expect(pace.waitMs("ann", 107, 300)).toBe(3_000);
});
