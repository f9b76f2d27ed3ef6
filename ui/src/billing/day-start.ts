/** When a calendar day begins in a time zone. Owns: that search. Refuses to know: what the day is for. */

const DAY_MS = 86_400_000;

/** Milliseconds at which `day` (YYYY-MM-DD), moved by `plus` days, begins in the zone; undefined for no day. */
export function startOfDay(day: string, timeZone: string, plus = 0): number | undefined {
  const utcMs = Date.parse(`${day}T00:00:00Z`);
  if (!/^\d{4}-\d{2}-\d{2}$/.test(day) || Number.isNaN(utcMs)) return undefined;
  const wallMs = utcMs + plus * DAY_MS;
  // The offset before and after a change of clocks differ: asked again at the first answer.
  const first = wallMs - offsetMs(wallMs, timeZone);
  return wallMs - offsetMs(first, timeZone);
}

function offsetMs(atMs: number, timeZone: string): number {
  const parts = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  }).formatToParts(new Date(atMs));
  const of = (type: string) => Number(parts.find((part) => part.type === type)?.value);
  return Date.UTC(of("year"), of("month") - 1, of("day"), of("hour"), of("minute"), of("second")) - atMs;
}
