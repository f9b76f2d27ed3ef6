/** Payments by Stripe Checkout. Owns: sessions, reading signed events. Refuses to know: orders as they are kept. */
import type Stripe from "stripe";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import {
  COIN_MICROS,
  type PaymentAddresses,
  type PaymentNotice,
  type PaymentOrder,
  type PaymentProvider,
  refusedNotice,
  toCoins,
} from "./payment-provider.ts";
import { openStripe } from "./stripe-client.ts";

/** How Stripe is used. */
export interface StripeSettings {
  secretKey: string;
  /** Signs what Stripe reports. */
  webhookSecret: string;
  /** Another address than Stripe's own, for tests. */
  apiBase?: string | undefined;
}

/** Reports older than this are refused, in seconds. */
const TOLERANCE_S = 300;
const PAID_EVENTS = new Set(["checkout.session.completed", "checkout.session.async_payment_succeeded"]);

/** See the head of this file. */
export class StripePayments implements PaymentProvider {
  readonly id = "stripe";
  readonly currencies = ["USD", "CNY"];
  readonly acknowledgement = { contentType: "application/json; charset=utf-8", body: "{}" };
  private readonly settings: StripeSettings;
  private readonly send: typeof fetch;
  private readonly clock: Clock;

  /** @param send goes through the egress guard */
  constructor(settings: StripeSettings, send: typeof fetch, clock: Clock) {
    // SECURITY: with an empty secret anybody can sign (ATTACKS QU-08).
    if (!/^whsec_\S{16,}$/.test(settings.webhookSecret))
      throw new AppError("invalid_request", "payments.stripe.webhookSecret must be Stripe's, whsec_….");
    this.settings = settings;
    this.send = send;
    this.clock = clock;
  }

  async begin(order: PaymentOrder, { returnUrl }: PaymentAddresses): Promise<string> {
    const stripe = await this.open();
    const back = new URL(returnUrl);
    const returning = (payment: string) => {
      back.searchParams.set("payment", payment);
      return back.href;
    };
    const item = {
      quantity: 1,
      price_data: {
        currency: order.currency.toLowerCase(),
        unit_amount: toCoins(order.amountMicros),
        product_data: { name: "Credit" },
      },
    };
    const session = await stripe.checkout.sessions
      .create(
        {
          mode: "payment",
          line_items: [item],
          client_reference_id: order.id,
          metadata: { tenant_id: order.tenantId, order_id: order.id },
          success_url: returning("done"),
          cancel_url: returning("cancelled"),
        },
        { idempotencyKey: order.id },
      )
      .catch((cause: unknown) => {
        throw new AppError("provider_failed", "Stripe could not open a payment; try again.", { cause });
      });
    if (typeof session.url !== "string")
      throw new AppError("provider_failed", "Stripe opened no page to pay on.");
    return session.url;
  }

  async readNotice(body: string, headers: Readonly<Record<string, string>>): Promise<PaymentNotice | null> {
    const signature = headers["stripe-signature"];
    if (signature === undefined) throw refusedNotice();
    const stripe = await this.open();
    let event: Stripe.Event;
    try {
      const { webhookSecret } = this.settings;
      const nowMs = this.clock.nowMs();
      event = stripe.webhooks.constructEvent(body, signature, webhookSecret, TOLERANCE_S, undefined, nowMs);
    } catch (cause) {
      throw refusedNotice(cause);
    }
    if (!PAID_EVENTS.has(event.type)) return null;
    const session = event.data.object as Stripe.Checkout.Session;
    // Some ways to pay only promise at first; the money comes with an event of its own.
    if (session.mode !== "payment" || session.payment_status !== "paid") return null;
    const payment = session.payment_intent;
    return {
      orderId: session.client_reference_id ?? "",
      paymentId: (typeof payment === "string" ? payment : payment?.id) ?? session.id,
      amountMicros: (session.amount_total ?? 0) * COIN_MICROS,
      currency: (session.currency ?? "").toUpperCase(),
      tenantId: session.metadata?.["tenant_id"] ?? "",
    };
  }

  private open(): Promise<Stripe> {
    const { secretKey, apiBase } = this.settings;
    return openStripe({ apiKey: secretKey, apiBase }, this.send);
  }
}
