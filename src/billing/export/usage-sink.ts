/** The ports to whatever bills elsewhere. Owns: the contracts. Refuses to know: webhooks, Stripe, cursors. */
import type { Tenant } from "../../tenancy/tenant.ts";
import type { UsageMessage } from "./usage-message.ts";

/** What came of a message. `gone`: the other side asked for no more (HTTP 410). */
export type Delivery =
  | { ok: true }
  | { ok: false; reason: string; isGone: boolean; retryAfterMs?: number | undefined };

/** Takes messages. The same message may come again, with the same id and the same contents; it must count once. */
export interface UsageSink {
  deliver(message: UsageMessage): Promise<Delivery>;
}

/** An amount that a meter is to add to what a customer owes. */
export interface Charge {
  /** The same whenever the same amount is sent again. */
  identifier: string;
  customer: string;
  amountMicros: number;
  timestampMs: number;
}

/**
 * What came of a charge. `refused`: it certainly was not added by this request; `isForGood` when it never will be,
 * `isGeneral` when others would be refused as well. `unknown`: it may have been.
 */
export type ChargeOutcome =
  | { kind: "accepted" }
  | { kind: "refused"; reason: string; isForGood: boolean; isGeneral: boolean }
  | { kind: "unknown"; reason: string };

/** Adds amounts up, by customer. It forgets identifiers, so somebody else must remember what it was sent. */
export interface UsageMeter {
  /** How long an identifier is known at least, and how old a charge may be. */
  readonly remembersMs: number;
  readonly longestAgeMs: number;
  /** Tenants that are told apart: ids and slugs. */
  readonly known: readonly string[];
  /** Null: this tenant is not billed there. Undefined: nobody said. */
  customerOf(tenant: Pick<Tenant, "id" | "slug">): string | null | undefined;
  send(charge: Charge): Promise<ChargeOutcome>;
}

/** Where the usage of all tenants goes. */
export type PlatformExport = { kind: "messages"; sink: UsageSink } | { kind: "charges"; meter: UsageMeter };
