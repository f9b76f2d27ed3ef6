import { expect, it } from "vitest";
import { storageLevel } from "./storage-alerts.ts";
import { size } from "./storage-limits.ts";
import { dayOfStorage } from "./storage-price.ts";

const GIB = 1024 ** 3;

it("charges a day its share of the month, rounded up once", () => {
  expect(dayOfStorage(GIB, 300_000, "2026-11-22")).toBe(10_000);
  expect(dayOfStorage(GIB, 280_000, "2026-02-01")).toBe(10_000);
  expect(dayOfStorage(GIB, 310_000, "2026-12-31")).toBe(10_000);
  expect(dayOfStorage(1, 300_000, "2026-11-22")).toBe(1);
  expect(dayOfStorage(2 * GIB, 1, "2026-11-22")).toBe(1);
  // A leap year's February.
  expect(dayOfStorage(GIB, 290_000, "2028-02-10")).toBe(10_000);
});

it("costs nothing for nothing, or without a price, and stays exact where numbers are large", () => {
  expect(dayOfStorage(0, 300_000, "2026-11-22")).toBe(0);
  expect(dayOfStorage(5 * GIB, 0, "2026-11-22")).toBe(0);
  expect(dayOfStorage(30 * 1024 * GIB, 1_000_001, "2026-11-22")).toBe(1024 * 1_000_001);
});

it("warns at four fifths and at 95 in a hundred, not before", () => {
  expect(storageLevel(79, 100)).toBeNull();
  expect(storageLevel(80, 100)).toBe(80);
  expect(storageLevel(94, 100)).toBe(80);
  expect(storageLevel(95, 100)).toBe(95);
  expect(storageLevel(500, 100)).toBe(95);
});

it("tells sizes as people read them", () => {
  expect([0, 1023, 1536, 5 * 1024 ** 2].map(size)).toEqual(["0 bytes", "1023 bytes", "1.5 KiB", "5.0 MiB"]);
});
