import { describe, expect, it } from "vitest";
import { type MarginRow, type PriceRow, PriceRows } from "./price-rows.ts";
import { changeMargin, marginPart } from "./price-trial.ts";

describe("an amount with a margin", () => {
  it("is told with another one, to the micro-unit and rounded up", () => {
    expect(changeMargin(1_100, 1_000, 0)).toBe(1_000);
    expect(changeMargin(1_100, 1_000, 2_000)).toBe(1_200);
    expect(changeMargin(1_001, 0, 1)).toBe(1_002);
    expect(changeMargin(700, 2_500, 2_500)).toBe(700);
    expect(changeMargin(700, 0, -10_000)).toBe(0);
    expect(changeMargin(700, -10_000, 5_000)).toBe(700);
  });

  it("stays exact where numbers with a fraction would not", () => {
    expect(changeMargin(9_000_000_000_000_001, 0, 0)).toBe(9_000_000_000_000_001);
    expect(changeMargin(900_000_000_000_001, 0, 20_000)).toBe(2_700_000_000_000_003);
  });

  it("has a part that is margin, below zero for a discount", () => {
    expect(marginPart(1_100, 1_000)).toBe(100);
    expect(marginPart(900, -1_000)).toBe(-100);
    expect(marginPart(900, 0)).toBe(0);
    expect(marginPart(0, -10_000)).toBe(0);
  });
});

describe("what a row is on a day", () => {
  const row = (seq: number, fromDay: string, tenantId = ""): PriceRow => ({
    ...{ seq, fromDay, tenantId, kind: "model", provider: "p", name: "M", source: "test" },
    ...{ input: 1, output: 1, cacheRead: 1, cacheWrite: 1, reasoning: 1 },
  });
  const margin = (seq: number, fromDay: string): MarginRow => ({
    seq,
    fromDay,
    tenantId: "",
    basisPoints: seq,
  });

  it("follows the same order as prices do", () => {
    const all = [row(1, "2026-01-01"), row(2, "2026-02-01"), row(3, "2026-02-01"), row(4, "2026-03-01")];
    const rows = new PriceRows([
      ...all,
      row(5, "2026-01-01", "acme"),
      { ...row(6, "2026-03-01"), name: "m" },
    ]);
    const on = (day: string) => all.map((one) => rows.standingOf(one, day));
    expect(on("2026-01-31")).toEqual(["in_force", "replaced", "later", "replaced"]);
    expect(on("2026-02-01")).toEqual(["replaced", "replaced", "in_force", "replaced"]);
    expect(rows.standingOf(row(5, "2026-01-01", "acme"), "2026-04-01")).toBe("in_force");
  });

  it("is the same for margins", () => {
    const all = [margin(1, "2026-01-01"), margin(2, "2026-02-01")];
    const rows = new PriceRows([], all);
    expect(all.map((one) => rows.marginStandingOf(one, "2026-01-01"))).toEqual(["in_force", "later"]);
    expect(rows.findMargin("", "2025-12-31")).toBeUndefined();
  });
});
