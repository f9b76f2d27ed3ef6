/**
 * When somebody is warned of a budget. Owns: the levels, which of them a figure has reached.
 * Refuses to know: whose budget it is, who is told.
 */

/** Hundredths of a limit at which people are told, once each; at 100 nothing more begins. */
export const ALERT_LEVELS = [50, 80, 95, 100] as const;
/** One of the above. */
export type AlertLevel = (typeof ALERT_LEVELS)[number];

/** Levels that spending has reached; of a limit of nothing all of them are. Micro-units. */
export function reachedLevels(spentMicros: number, limitMicros: number): AlertLevel[] {
  // Whole numbers beyond 2^53: a hundred times a large amount is none any more.
  return ALERT_LEVELS.filter((level) => BigInt(spentMicros) * 100n >= BigInt(limitMicros) * BigInt(level));
}
