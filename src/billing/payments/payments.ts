/**
 * Top-ups. Owns: orders, and that a report of a provider credits exactly the tenant, amount and currency that were
 * ordered there, once. Refuses to know: how providers sign and report.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { newId, type TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Ledger } from "../ledger/ledger.ts";
import {
  type PaymentAddresses,
  type PaymentNotice,
  type PaymentOrder,
  type PaymentProvider,
  toCoins,
} from "./payment-provider.ts";

/** What payments need. */
export interface PaymentDeps {
  control: Database;
  ledger: Ledger;
  providers: readonly PaymentProvider[];
  clock: Clock;
  log: Log;
  /** The tenant's scope; undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
  currencyOf(scope: TenantScope): Promise<string>;
}

/** Least and most of one top-up, in micro-units. */
export const LEAST_TOP_UP = 1_000_000;
/** See LEAST_TOP_UP. */
export const MOST_TOP_UP = 100_000_000_000;
/** Orders of one tenant in an hour. */
const ORDERS_PER_HOUR = 30;
const HOUR_MS = 3_600_000;

interface OrderRow {
  id: string;
  tenant_id: TenantId;
  provider: string;
  amount_micros: number;
  currency: string;
  state: "open" | "paid";
  payment_id: string | null;
}

/** See the head of this file. */
export class Payments {
  private readonly deps: PaymentDeps;

  constructor(deps: PaymentDeps) {
    this.deps = deps;
  }

  /** Providers that this tenant can pay with. */
  async listProviders(scope: TenantScope): Promise<string[]> {
    const currency = await this.deps.currencyOf(scope);
    return this.deps.providers
      .filter((provider) => provider.currencies.includes(currency))
      .map((provider) => provider.id);
  }

  /** Begin to pay; returns where the payer's browser goes. */
  async begin(
    scope: TenantScope,
    wanted: { provider: string; amountMicros: number; by: string } & PaymentAddresses,
  ): Promise<{ orderId: string; redirect: string }> {
    const provider = this.get(wanted.provider);
    const { amountMicros } = wanted;
    toCoins(amountMicros);
    if (amountMicros < LEAST_TOP_UP || amountMicros > MOST_TOP_UP)
      throw new AppError("invalid_request", "A top-up is between 1 and 100,000.");
    const currency = await this.deps.currencyOf(scope);
    if (!provider.currencies.includes(currency))
      throw new AppError("invalid_request", `${currency} cannot be paid with ${provider.id}.`);
    const id = newId().replaceAll("-", "");
    const order = { id, tenantId: scope.tenantId, provider: provider.id, amountMicros, currency };
    // ORDER: the order is on disk before anybody can pay it.
    await this.keep(order, wanted.by);
    const { returnUrl, noticeUrl } = wanted;
    return { orderId: id, redirect: await provider.begin(order, { returnUrl, noticeUrl }) };
  }

  /** Take a report. Throws `unauthenticated` when it is forged, `conflict` when it does not fit its order. */
  async receive(
    providerId: string,
    body: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ outcome: "credited" | "known" | "nothing"; provider: PaymentProvider }> {
    const provider = this.get(providerId);
    const notice = await provider.readNotice(body, headers);
    if (notice === null) return { outcome: "nothing", provider };
    const order = await this.checked(provider, notice);
    const scope = await this.deps.scopeOf(order.tenant_id);
    if (scope === undefined) return this.refuse(provider, notice, "the tenant is gone");
    // ORDER: credit first. A crash in between is healed by the provider, which repeats what was not acknowledged, and
    // by the ledger, which books a source once.
    const isNew = await this.deps.ledger.topUp(scope, {
      source: `payment.${provider.id}`,
      sourceId: order.id,
      amountMicros: order.amount_micros,
      details: { paymentId: notice.paymentId, currency: order.currency },
    });
    if (order.state === "open") await this.markPaid(order.id, notice.paymentId);
    return { outcome: isNew ? "credited" : "known", provider };
  }

  /** SECURITY: what was ordered decides; a report that says anything else credits nothing (ATTACKS QU-08). */
  private async checked(provider: PaymentProvider, notice: PaymentNotice): Promise<OrderRow> {
    const order = await this.deps.control.find<OrderRow>("SELECT * FROM payment_orders WHERE id = ?", [
      notice.orderId,
    ]);
    if (order === undefined) return this.refuse(provider, notice, "there is no such order");
    if (order.provider !== provider.id) return this.refuse(provider, notice, "it was ordered elsewhere");
    if (order.tenant_id !== notice.tenantId) return this.refuse(provider, notice, "another tenant");
    if (order.amount_micros !== notice.amountMicros) return this.refuse(provider, notice, "another amount");
    if (order.currency !== notice.currency) return this.refuse(provider, notice, "another currency");
    if (notice.paymentId === "") return this.refuse(provider, notice, "the payment has no name");
    if (order.payment_id !== null && order.payment_id !== notice.paymentId)
      return this.refuse(provider, notice, "the order was paid by another payment");
    const twin = await this.deps.control.find(
      "SELECT 1 FROM payment_orders WHERE provider = ? AND payment_id = ? AND id <> ?",
      [provider.id, notice.paymentId, order.id],
    );
    if (twin !== undefined) return this.refuse(provider, notice, "the payment was for another order");
    return order;
  }

  private refuse(provider: PaymentProvider, notice: PaymentNotice, why: string): never {
    const { orderId, paymentId } = notice;
    this.deps.log.error({ provider: provider.id, orderId, paymentId, why }, "a payment was refused");
    throw new AppError("conflict", "This payment does not fit its order.");
  }

  private async keep(order: PaymentOrder, by: string): Promise<void> {
    const nowMs = this.deps.clock.nowMs();
    const { id, tenantId, provider, amountMicros, currency } = order;
    const outcome = await this.deps.control.write({
      statements: [
        {
          sql: `INSERT INTO payment_orders (id, tenant_id, provider, amount_micros, currency, by_user, made_at_ms, state)
            SELECT ?, ?, ?, ?, ?, ?, ?, 'open' WHERE (SELECT count(*) FROM payment_orders
              WHERE tenant_id = ? AND made_at_ms > ?) < ${ORDERS_PER_HOUR}`,
          params: [id, tenantId, provider, amountMicros, currency, by, nowMs, tenantId, nowMs - HOUR_MS],
          expect: 1,
        },
      ],
    });
    if (outcome.committed) return;
    throw new AppError("rate_limited", "Too many payments were begun; try again later.", {
      retryAfterMs: HOUR_MS,
    });
  }

  private async markPaid(orderId: string, paymentId: string): Promise<void> {
    await this.deps.control.write({
      statements: [
        {
          sql: `UPDATE payment_orders SET state = 'paid', paid_at_ms = ?, payment_id = ?
            WHERE id = ? AND state = 'open'`,
          params: [this.deps.clock.nowMs(), paymentId, orderId],
        },
      ],
    });
  }

  private get(id: string): PaymentProvider {
    const provider = this.deps.providers.find((known) => known.id === id);
    if (provider !== undefined) return provider;
    throw new AppError("not_found", "Payments are not set up with this provider.");
  }
}
