import { describe, expect, it } from "vitest";
import { AppError } from "../kernel/errors.ts";
import { addDays, Calendar, Calendars, countDays, isDay, zoneOfOffset } from "./calendar.ts";

const HOUR_MS = 3_600_000;

describe("days of a time zone", () => {
  it("knows the day on both sides of local midnight", () => {
    const shanghai = new Calendar("Asia/Shanghai");
    expect(shanghai.dayOf(Date.UTC(2026, 10, 22, 15, 59, 59, 999))).toBe("2026-11-22");
    expect(shanghai.dayOf(Date.UTC(2026, 10, 22, 16))).toBe("2026-11-23");
  });

  it("starts days off the hour where the zone does", () => {
    expect(new Calendar("Asia/Kathmandu").startOf("2026-11-22")).toBe(Date.UTC(2026, 10, 21, 18, 15));
    expect(new Calendar("Pacific/Chatham").startOf("2026-07-01")).toBe(Date.UTC(2026, 5, 30, 11, 15));
  });

  it("gives 23 and 25 hours to the days on which clocks change", () => {
    const hours = (day: string) => {
      const [span] = new Calendar("Europe/Berlin").spans(day, day);
      return (span!.endMs - span!.startMs) / HOUR_MS;
    };
    expect(hours("2026-03-29")).toBe(23);
    expect(hours("2026-10-25")).toBe(25);
    expect(hours("2026-10-26")).toBe(24);
  });

  it("starts a day late where midnight is skipped", () => {
    // Beirut moves its clocks at midnight: 29 March 2026 begins at 01:00.
    const beirut = new Calendar("Asia/Beirut");
    const start = beirut.startOf("2026-03-29");
    expect(start).toBe(Date.UTC(2026, 2, 28, 22));
    expect(beirut.dayOf(start)).toBe("2026-03-29");
    expect(beirut.dayOf(start - 1)).toBe("2026-03-28");
  });

  it("gives no time to a day that a zone skipped", () => {
    const spans = new Calendar("Pacific/Apia").spans("2011-12-29", "2011-12-31");
    expect(spans.map((span) => (span.endMs - span.startMs) / HOUR_MS)).toEqual([24, 0, 24]);
  });

  it("covers any range without gap or overlap, and agrees with dayOf", () => {
    for (const zone of ["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "+05:45"]) {
      const calendar = new Calendar(zone);
      const spans = calendar.spans("2025-12-30", "2027-01-02");
      expect(spans).toHaveLength(369);
      for (const [index, span] of spans.entries()) {
        if (index > 0) expect(span.startMs).toBe(spans[index - 1]!.endMs);
        expect(new Calendar(zone).dayOf(span.startMs)).toBe(span.day);
        expect(new Calendar(zone).dayOf(span.endMs - 1)).toBe(span.day);
      }
    }
  });

  it("refuses zones that do not exist", () => {
    for (const zone of ["Mars/Base", "", "x".repeat(500), "../etc"]) {
      expect(() => new Calendars().of(zone)).toThrow(AppError);
    }
  });
});

describe("days as text", () => {
  it("counts across months and leap days", () => {
    expect(addDays("2028-02-28", 1)).toBe("2028-02-29");
    expect(addDays("2026-01-01", -1)).toBe("2025-12-31");
    expect(countDays("2028-02-28", "2028-03-01")).toBe(3);
  });

  it("tells real days from impossible ones", () => {
    expect(isDay("2028-02-29")).toBe(true);
    for (const text of ["2026-02-29", "2026-13-01", "2026-00-10", "2026-1-1", "0001-01-01", "today"]) {
      expect(isDay(text)).toBe(false);
    }
  });

  it("reads offsets in OpenClaw's notation", () => {
    expect(zoneOfOffset("UTC+0")).toBe("+00:00");
    expect(zoneOfOffset("UTC-3:30")).toBe("-03:30");
    expect(zoneOfOffset("UTC+14")).toBe("+14:00");
    for (const text of ["UTC+15", "UTC+5:07", "GMT+1", "UTC"])
      expect(() => zoneOfOffset(text)).toThrow(AppError);
  });
});
