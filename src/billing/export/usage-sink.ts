/** The port to whatever bills elsewhere. Owns: the contract. Refuses to know: webhooks, Stripe, cursors. */
import type { UsageMessage } from "./usage-message.ts";

/** What came of a message. `gone`: the other side asked for no more (HTTP 410). */
export type Delivery =
  | { ok: true }
  | { ok: false; reason: string; isGone: boolean; retryAfterMs?: number | undefined };

/** Takes messages. The same message may come again, with the same id and the same contents; it must count once. */
export interface UsageSink {
  deliver(message: UsageMessage): Promise<Delivery>;
}
