/**
 * Usage as Stripe meter events. Owns: what a message is there: one meter event for each day of it, whose value is what
 * is charged, in micro-units. Refuses to know: prices at Stripe, cursors.
 * https://docs.stripe.com/api/billing/meter-event: events with an identifier known from the last 24 hours count once.
 */
import type { UsageMessage } from "./usage-message.ts";
import type { Delivery, UsageSink } from "./usage-sink.ts";

/** How Stripe is reached. */
export interface StripeMeterSettings {
  apiKey: string;
  /** `event_name` of the meter. */
  meter: string;
  /** Stripe's customer by tenant slug; other tenants are not sent. */
  customers: Readonly<Record<string, string>>;
  /** Another address than Stripe's own, for tests. */
  apiBase?: string | undefined;
}

/** See the head of this file. */
export class StripeMeterSink implements UsageSink {
  private readonly settings: StripeMeterSettings;
  private readonly send: typeof fetch;

  /** @param send goes through the egress guard */
  constructor(settings: StripeMeterSettings, send: typeof fetch) {
    this.settings = settings;
    this.send = send;
  }

  async deliver(message: UsageMessage): Promise<Delivery> {
    const customer = this.settings.customers[message.slug];
    if (customer === undefined) return { ok: true };
    const { openStripe } = await import("../payments/stripe-client.ts");
    const stripe = await openStripe(this.settings, this.send);
    for (const [day, micros] of chargedByDay(message)) {
      try {
        await stripe.billing.meterEvents.create({
          event_name: this.settings.meter,
          identifier: `${message.id}.${day}`,
          timestamp: Math.floor(Date.parse(`${day}T00:00:00Z`) / 1_000),
          payload: { stripe_customer_id: customer, value: String(micros) },
        });
      } catch (thrown) {
        const delivery = explain(thrown);
        if (delivery !== undefined) return delivery;
      }
    }
    return { ok: true };
  }
}

/** What is charged on each day of UTC; days without charges are left out. */
function chargedByDay(message: UsageMessage): Map<string, number> {
  const byDay = new Map<string, number>();
  for (const { time, data } of message.events) {
    const micros = Number(data["chargedMicros"]);
    const day = time.slice(0, 10);
    if (micros > 0) byDay.set(day, (byDay.get(day) ?? 0) + micros);
  }
  return byDay;
}

/** Undefined when Stripe has the event already. */
function explain(thrown: unknown): Delivery | undefined {
  const { code, type } = thrown as { code?: string; type?: string };
  if (code === "duplicate_meter_event") return undefined;
  return { ok: false, reason: `Stripe: ${code ?? type ?? "could not be reached"}`, isGone: false };
}
