/**
 * Days as people of a time zone count them. Owns: day of an instant, start of a day, ranges of days.
 * Refuses to know: usage, tenants, what time it is now.
 */
import { AppError } from "../kernel/errors.ts";

/** Length of a quarter of an hour in milliseconds; every time zone in use is whole quarters away from UTC. */
export const QUARTER_MS = 900_000;

const DAY_MS = 86_400_000;
/** Days of a zone, and zones, that are remembered: about five years, and 5 MB when callers ask for all there are. */
const MOST_STARTS = 2_000;
const MOST_ZONES = 32;
/** Windows that are remembered; five years of days take 300 KB. */
const MOST_WINDOWS = 16;
const DAY = /^(\d{4})-(\d{2})-(\d{2})$/;

/** One calendar day as a span of instants, the end not included; 23 to 25 hours where clocks change. */
export interface DaySpan {
  /** `YYYY-MM-DD`. */
  day: string;
  startMs: number;
  endMs: number;
}

/** The calendar of one time zone (IANA name, or an offset such as `+05:45`); throws `invalid_request` for others. */
export class Calendar {
  readonly timeZone: string;
  private readonly format: Intl.DateTimeFormat;
  /** The span found last: most calls ask about today. */
  private latest: DaySpan | undefined;
  /** Starts of days found before: formatting a year of them takes some 20 ms of the only thread. */
  private readonly starts = new Map<string, number>();

  constructor(timeZone: string) {
    try {
      this.format = new Intl.DateTimeFormat("sv-SE", {
        timeZone,
        calendar: "gregory",
        numberingSystem: "latn",
        year: "numeric",
        month: "2-digit",
        day: "2-digit",
      });
    } catch (cause) {
      throw new AppError("invalid_request", "That is not a time zone.", { cause });
    }
    this.timeZone = timeZone;
  }

  /** The day `YYYY-MM-DD` that contains the instant. */
  dayOf(atMs: number): string {
    const latest = this.latest;
    if (latest !== undefined && atMs >= latest.startMs && atMs < latest.endMs) return latest.day;
    const day = this.format.format(atMs);
    const startMs = this.startOf(day);
    this.latest = { day, startMs, endMs: this.startOf(addDays(day, 1)) };
    return day;
  }

  /** First instant of the day, or of the next day that exists (a zone that crossed the date line skipped one). */
  startOf(day: string): number {
    const midnight = utcMidnight(day);
    // No zone is more than 15 hours away from UTC; the answer lies on a quarter of an hour.
    let low = (midnight - 16 * 3_600_000) / QUARTER_MS;
    let high = (midnight + 40 * 3_600_000) / QUARTER_MS;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.format.format(middle * QUARTER_MS) < day) low = middle + 1;
      else high = middle;
    }
    return low * QUARTER_MS;
  }

  /** The days from `first` to `last`, both included, oldest first. */
  spans(first: string, last: string): DaySpan[] {
    const spans: DaySpan[] = [];
    let startMs = this.startOf(first);
    for (let day = first; day <= last; day = addDays(day, 1)) {
      const endMs = this.endOf(day, startMs);
      spans.push({ day, startMs, endMs });
      startMs = endMs;
    }
    return spans;
  }

  /** Most days have 24 hours, which two looks confirm; the others are searched for. */
  private endOf(day: string, startMs: number): number {
    const next = addDays(day, 1);
    const known = this.starts.get(next);
    if (known !== undefined) return known;
    const guess = startMs + DAY_MS;
    const isUsual = this.format.format(guess) === next && this.format.format(guess - QUARTER_MS) === day;
    const endMs = isUsual ? guess : this.startOf(next);
    if (this.starts.size >= MOST_STARTS) this.starts.clear();
    this.starts.set(next, endMs);
    return endMs;
  }
}

/** Consecutive days of a zone, oldest first. */
export interface Days {
  spans: readonly DaySpan[];
  /** `[[day, first slot, end slot], …]` as JSON, for the table-valued function `json_each`; a slot is a quarter of an hour. */
  slotsJson: string;
}

/** Calendars by zone, so that a formatter is made once; bounded, because zone names come from callers. */
export class Calendars {
  private readonly byZone = new Map<string, Calendar>();
  /** The windows asked for last: people look at the same ones again and again. */
  private readonly windows = new Map<string, Days>();

  /** The days from `first` to `last`, both included; throws `invalid_request` when there is no such zone. */
  days(timeZone: string, first: string, last: string): Days {
    const key = `${timeZone} ${first} ${last}`;
    const known = this.windows.get(key);
    if (known !== undefined) return known;
    const spans = this.of(timeZone).spans(first, last);
    const slots = spans.map((span) => [span.day, span.startMs / QUARTER_MS, span.endMs / QUARTER_MS]);
    const days = { spans, slotsJson: JSON.stringify(slots) };
    if (this.windows.size >= MOST_WINDOWS) this.windows.clear();
    this.windows.set(key, days);
    return days;
  }

  /** The calendar of a zone; throws `invalid_request` when there is no such zone. */
  of(timeZone: string): Calendar {
    const known = this.byZone.get(timeZone);
    if (known !== undefined) return known;
    if (timeZone.length > 64) throw new AppError("invalid_request", "That is not a time zone.");
    const calendar = new Calendar(timeZone);
    if (this.byZone.size >= MOST_ZONES) this.byZone.clear();
    this.byZone.set(timeZone, calendar);
    return calendar;
  }
}

/** The day `days` after `day` (before, when negative). */
export function addDays(day: string, days: number): string {
  return new Date(utcMidnight(day) + days * DAY_MS).toISOString().slice(0, 10);
}

/** How many days lie from `first` to `last`, both included. */
export function countDays(first: string, last: string): number {
  return (utcMidnight(last) - utcMidnight(first)) / DAY_MS + 1;
}

/** Whether the text is a day that exists, e.g. not `2026-02-30`. */
export function isDay(text: string): boolean {
  return (
    DAY.test(text) && text >= "1970-01-02" && !Number.isNaN(Date.parse(text)) && addDays(text, 0) === text
  );
}

/** The zone of OpenClaw's `UTC+5:45` notation, as `+05:45`; throws `invalid_request` off whole quarters of an hour. */
export function zoneOfOffset(utcOffset: string): string {
  const match = /^UTC([+-])(\d{1,2})(?::([0-5]\d))?$/.exec(utcOffset);
  const hours = Number(match?.[2] ?? Number.NaN);
  const minutes = Number(match?.[3] ?? 0);
  if (match === null || hours > 14 || minutes % 15 !== 0) {
    throw new AppError("invalid_request", "utcOffset must look like UTC+8 or UTC-3:30.");
  }
  return `${match[1]}${String(hours).padStart(2, "0")}:${String(minutes).padStart(2, "0")}`;
}

function utcMidnight(day: string): number {
  const match = DAY.exec(day);
  if (match === null) throw new AppError("invalid_request", "A day is written YYYY-MM-DD.");
  return Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3]));
}
