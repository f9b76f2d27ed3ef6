/** Numbers, dates and spans in the reader's language. Owns: the Intl formats. Refuses to know: what they measure. */
import { useMemo } from "react";
import type { Words } from "./en.ts";
import { useSpeech } from "./words-context.tsx";

/** Formatting functions of one language. */
export interface Formats {
  count(n: number): string;
  compact(n: number): string;
  percent(share: number): string;
  day(date: Date): string;
  dayTime(date: Date): string;
  clock(date: Date): string;
  /** The clock for today, with the date for any other day. */
  moment(date: Date): string;
  span(ms: number): string;
  bytes(sizeBytes: number): string;
}

function makeFormats(language: string, words: Words): Formats {
  const count = new Intl.NumberFormat(language);
  const compact = new Intl.NumberFormat(language, { notation: "compact", maximumSignificantDigits: 3 });
  const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 });
  const seconds = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
  const kilobytes = new Intl.NumberFormat(language, {
    style: "unit",
    unit: "kilobyte",
    maximumFractionDigits: 0,
  });
  const megabytes = new Intl.NumberFormat(language, {
    style: "unit",
    unit: "megabyte",
    maximumFractionDigits: 1,
  });
  const gigabytes = new Intl.NumberFormat(language, {
    style: "unit",
    unit: "gigabyte",
    maximumFractionDigits: 1,
  });
  const day = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
  const dayTime = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const clock = new Intl.DateTimeFormat(language, { timeStyle: "short" });
  const thisYear = new Intl.DateTimeFormat(language, {
    month: "short",
    day: "numeric",
    hour: "numeric",
    minute: "2-digit",
  });
  return {
    count: (n) => count.format(n),
    compact: (n) => compact.format(n),
    percent: (share) => percent.format(share),
    day: (date) => day.format(date),
    dayTime: (date) => dayTime.format(date),
    clock: (date) => clock.format(date),
    moment: (date) => {
      const now = new Date();
      if (date.toDateString() === now.toDateString()) return clock.format(date);
      return (date.getFullYear() === now.getFullYear() ? thisYear : dayTime).format(date);
    },
    bytes: (size) =>
      size < 1_000_000
        ? kilobytes.format(Math.max(1, Math.round(size / 1_000)))
        : size < 1_000_000_000
          ? megabytes.format(size / 1_000_000)
          : gigabytes.format(size / 1_000_000_000),
    span: (ms) => (ms < 1000 ? words.time.ms(Math.round(ms)) : words.time.seconds(seconds.format(ms / 1000))),
  };
}

/** Formats of the current language. */
export function useFormats(): Formats {
  const { language, words } = useSpeech();
  return useMemo(() => makeFormats(language, words), [language, words]);
}
