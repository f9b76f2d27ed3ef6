/**
 * The port to whoever takes money. Owns: the contract, amounts in a currency's smallest coin.
 * Refuses to know: Stripe, Alipay, the ledger.
 */
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";

/** What somebody set out to pay. */
export interface PaymentOrder {
  /** 32 hexadecimal digits. */
  id: string;
  tenantId: TenantId;
  provider: string;
  amountMicros: number;
  /** ISO 4217 */
  currency: string;
}

/** A payment as a provider reports it, its signature checked; it says nothing about what was ordered. */
export interface PaymentNotice {
  orderId: string;
  /** The provider's own name of the payment. */
  paymentId: string;
  amountMicros: number;
  currency: string;
  /** What we told the provider about whose order it is, as it came back. */
  tenantId: string;
}

/** Where a payment goes on, and where the payer comes back to. */
export interface PaymentAddresses {
  /** For the payer's browser. */
  returnUrl: string;
  /** For the provider's reports. */
  noticeUrl: string;
}

/** Takes money in some currencies. */
export interface PaymentProvider {
  readonly id: string;
  /** ISO 4217 */
  readonly currencies: readonly string[];
  /** Open a payment; returns the address that the payer's browser goes to. */
  begin(order: PaymentOrder, addresses: PaymentAddresses): Promise<string>;
  /**
   * Read a report. Throws `unauthenticated` when it is not signed by the provider, or is too old; null when it is not
   * about money that came in.
   */
  readNotice(body: string, headers: Readonly<Record<string, string>>): Promise<PaymentNotice | null>;
  /** What the provider wants to hear so that it stops repeating itself. */
  readonly acknowledgement: { contentType: string; body: string };
}

/** Micro-units of the smallest coin of the currencies we know: a hundredth. */
export const COIN_MICROS = 10_000;

/** Whole coins; throws `invalid_request` for parts of one. */
export function toCoins(amountMicros: number): number {
  if (!Number.isSafeInteger(amountMicros) || amountMicros <= 0 || amountMicros % COIN_MICROS !== 0)
    throw new AppError("invalid_request", "An amount to pay has at most two digits after the point.");
  return amountMicros / COIN_MICROS;
}

/** A report that does not count, in words that tell its sender nothing. */
export function refusedNotice(cause?: unknown): AppError {
  return new AppError("unauthenticated", "This report is not signed as it has to be.", { cause });
}
