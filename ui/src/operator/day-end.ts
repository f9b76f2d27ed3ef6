/** Days of UTC, as operators set them. Owns: their bounds. Refuses to know: whose day it is. */

const DAY_MS = 86_400_000;

/** The day that it is in UTC, `YYYY-MM-DD`. */
export function utcToday(): string {
  return new Date().toISOString().slice(0, 10);
}

/** The first instant after a day, or nothing for an empty field. */
export function endOfDay(day: string): { expiresAtMs: number } | Record<string, never> {
  return day === "" ? {} : { expiresAtMs: Date.parse(`${day}T00:00:00Z`) + DAY_MS };
}
