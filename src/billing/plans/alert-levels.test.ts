import { expect, it } from "vitest";
import { reachedLevels } from "./alert-levels.ts";

it("reaches each level exactly at its share of the limit", () => {
  expect(reachedLevels(499_999, 1_000_000)).toEqual([]);
  expect(reachedLevels(500_000, 1_000_000)).toEqual([50]);
  expect(reachedLevels(799_999, 1_000_000)).toEqual([50]);
  expect(reachedLevels(800_000, 1_000_000)).toEqual([50, 80]);
  expect(reachedLevels(949_999, 1_000_000)).toEqual([50, 80]);
  expect(reachedLevels(950_000, 1_000_000)).toEqual([50, 80, 95]);
  expect(reachedLevels(1_000_000, 1_000_000)).toEqual([50, 80, 95, 100]);
  expect(reachedLevels(5_000_000, 1_000_000)).toEqual([50, 80, 95, 100]);
});

it("is exact for amounts of which a hundredfold is no safe number, and for a limit of nothing", () => {
  const limit = 9_000_000_000_000_000;
  expect(reachedLevels(limit - 1, limit)).toEqual([50, 80, 95]);
  expect(reachedLevels(limit, limit)).toEqual([50, 80, 95, 100]);
  expect(reachedLevels(0, 0)).toEqual([50, 80, 95, 100]);
});
