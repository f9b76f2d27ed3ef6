/** Stripe's official client. Owns: that it is loaded on first use, talks through the egress guard and reports nothing. */
import type Stripe from "stripe";

/** How Stripe is reached. */
export interface StripeAccess {
  apiKey: string;
  /** Another address than Stripe's own, for tests. */
  apiBase?: string | undefined;
}

/** A client whose every request goes through `send`. */
export async function openStripe(access: StripeAccess, send: typeof fetch): Promise<Stripe> {
  const { default: StripeClient } = await import("stripe");
  const address = access.apiBase === undefined ? undefined : new URL(access.apiBase);
  return new StripeClient(access.apiKey, {
    httpClient: StripeClient.createFetchHttpClient(send as never),
    maxNetworkRetries: 1,
    timeout: 20_000,
    telemetry: false,
    ...(address === undefined
      ? {}
      : {
          host: address.hostname,
          port: address.port,
          protocol: address.protocol === "http:" ? ("http" as const) : ("https" as const),
        }),
  });
}
