/** The payment that a tab left for. Owns: remembering it until the payer is back. Refuses to know: whether it was paid. */

/** A payment that was begun. */
export interface BegunOrder {
  orderId: string;
  amountMicros: number;
}

const keyOf = (slug: string) => `creel.top-up.${slug}`;

/** Remembers the payment for this tab. */
export function keepOrder(slug: string, order: BegunOrder): void {
  try {
    sessionStorage.setItem(keyOf(slug), JSON.stringify(order));
  } catch {
    // Without storage the page after payment only cannot tell this payment from another.
  }
}

/** The payment of this tab; undefined when it was begun elsewhere. */
export function findOrder(slug: string): BegunOrder | undefined {
  try {
    const kept = JSON.parse(sessionStorage.getItem(keyOf(slug)) ?? "null") as Partial<BegunOrder> | null;
    if (typeof kept?.orderId !== "string" || typeof kept.amountMicros !== "number") return undefined;
    return { orderId: kept.orderId, amountMicros: kept.amountMicros };
  } catch {
    return undefined;
  }
}

/** The payer has read how it ended. */
export function forgetOrder(slug: string): void {
  try {
    sessionStorage.removeItem(keyOf(slug));
  } catch {
    // Nothing was kept.
  }
}
