/**
 * Charges as Stripe meter events. Owns: the request, reading its answer, whose customer a tenant is. Refuses to know:
 * prices at Stripe, which charges there are.
 *
 * https://docs.stripe.com/api/billing/meter-event: an identifier is known for at least 24 hours and counts once; the
 * timestamp lies within 35 days. This endpoint answers repetitions with status 400 and a sentence, the newer one with a code.
 */
import { AppError } from "../../kernel/errors.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import type { Charge, ChargeOutcome, UsageMeter } from "./usage-sink.ts";

/** How Stripe is reached. */
export interface StripeMeterSettings {
  apiKey: string;
  /** `event_name` of the meter. */
  meter: string;
  /** Stripe's customer by tenant id, or by the slug that the tenant has now; null for tenants that are not billed there. */
  customers: Readonly<Record<string, string | null>>;
  /** Another address than Stripe's own, for tests. */
  apiBase?: string | undefined;
}

const DAY_MS = 24 * 3_600_000;

/** See the head of this file. */
export class StripeMeter implements UsageMeter {
  readonly remembersMs = DAY_MS;
  readonly longestAgeMs = 35 * DAY_MS;
  readonly known: readonly string[];
  private readonly settings: StripeMeterSettings;
  private readonly request: typeof fetch;

  /** @param request goes through the egress guard */
  constructor(settings: StripeMeterSettings, request: typeof fetch) {
    this.settings = settings;
    this.request = request;
    this.known = Object.keys(settings.customers);
  }

  customerOf({ id, slug }: Pick<Tenant, "id" | "slug">): string | null | undefined {
    const { customers } = this.settings;
    const key = [id, slug].find((one) => Object.hasOwn(customers, one));
    return key === undefined ? undefined : customers[key];
  }

  async send(charge: Charge): Promise<ChargeOutcome> {
    const { openStripe } = await import("../payments/stripe-client.ts");
    const stripe = await openStripe(this.settings, this.request);
    try {
      await stripe.billing.meterEvents.create(
        {
          event_name: this.settings.meter,
          identifier: charge.identifier,
          timestamp: Math.floor(charge.timestampMs / 1_000),
          payload: { stripe_customer_id: charge.customer, value: String(charge.amountMicros) },
        },
        // ORDER: a repetition that nobody hears of would make the answer to it look like the answer to the first.
        { maxNetworkRetries: 0 },
      );
      return { kind: "accepted" };
    } catch (thrown) {
      return explain(thrown, charge.identifier);
    }
  }
}

const TIMES = new Set(["timestamp_too_far_in_past", "timestamp_in_future", "timestamp_too_far_in_future"]);
/** Answers that say that nothing was done. Of 409 and 5xx Stripe says that nobody can tell. */
const REFUSALS = new Set([400, 401, 402, 403, 404, 429]);
const GENERAL = new Set([401, 403, 429]);
/** The request never left. */
const UNSENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

interface StripeFault {
  code?: string;
  type?: string;
  message?: string;
  statusCode?: number;
  detail?: unknown;
}

function explain(thrown: unknown, identifier: string): ChargeOutcome {
  const { code, type, message = "", statusCode, detail } = thrown as StripeFault;
  const isRepeated = /already exists with identifier/i.test(message) && message.includes(identifier);
  if (code === "duplicate_meter_event" || (statusCode === 400 && isRepeated)) return { kind: "accepted" };
  const reason = `Stripe: ${code ?? (statusCode === 400 ? message.slice(0, 200) : type) ?? "could not be reached"}`;
  if (statusCode === undefined && isUnsent(detail))
    return { kind: "refused", reason: "Stripe could not be reached.", isForGood: false, isGeneral: true };
  if (statusCode === undefined || !REFUSALS.has(statusCode)) return { kind: "unknown", reason };
  const isForGood =
    (code !== undefined && TIMES.has(code)) ||
    (statusCode === 400 && /timestamp.*(?:past|future)/is.test(message));
  return { kind: "refused", reason, isForGood, isGeneral: GENERAL.has(statusCode) };
}

function isUnsent(detail: unknown): boolean {
  for (let cause = detail; cause instanceof Error; cause = cause.cause) {
    if (UNSENT.has((cause as NodeJS.ErrnoException).code ?? "")) return true;
    if (cause instanceof AppError && cause.details?.["reason"] === "refused") return true;
  }
  return false;
}
