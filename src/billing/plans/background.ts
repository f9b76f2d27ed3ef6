/**
 * Work that nobody waits for. Owns: which channels it comes by, what it cost in a month and holds, as SQL.
 * Refuses to know: limits, who refuses what.
 */

/** Channels of work that nobody waits for. */
const BACKGROUND_CHANNELS = ["cron", "hook", "webhook", "heartbeat"] as const;

/** Whether a channel is one of them. */
export function isBackground(channel: string): boolean {
  return (BACKGROUND_CHANNELS as readonly string[]).includes(channel);
}

// As the index says it (migrations/tenant/0015-background-budget.sql), else it would not be used.
const OF_BACKGROUND = "channel IN ('cron', 'hook', 'webhook', 'heartbeat')";

/** What it cost in a month; `month` is an expression, `YYYY-MM`. */
export function backgroundSpent(month: string): string {
  return `(SELECT coalesce(sum(platform_cost_micros), 0) FROM usage_days
    WHERE day >= ${month} || '-01' AND day <= ${month} || '-31' AND ${OF_BACKGROUND})`;
}

/** What its calls that go on hold back. */
export function backgroundHeld(month: string): string {
  return `(SELECT coalesce(sum(amount_micros), 0) FROM reservations
    WHERE state = 'open' AND is_background = 1 AND period = ${month})`;
}
