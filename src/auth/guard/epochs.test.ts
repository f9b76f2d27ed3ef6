import { describe, expect, it } from "vitest";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import type { AccessFeed, AccessListener } from "./access-feed.ts";
import { Epochs } from "./epochs.ts";

function makeFeed() {
  const listeners: AccessListener[] = [];
  const feed = { subscribe: (listener: AccessListener) => listeners.push(listener) } as unknown as AccessFeed;
  const tell = (tenantId: string | null, userId: string | null) => {
    for (const listener of listeners) listener({ tenantId: tenantId as TenantId, userId: userId as UserId });
  };
  return { feed, tell };
}

const acme = "acme" as TenantId;
const beta = "beta" as TenantId;
const ann = "ann" as UserId;
const bob = "bob" as UserId;

describe("epochs", () => {
  it("grow stale for those whom a change touches, and for nobody else", () => {
    const { feed, tell } = makeFeed();
    const epochs = new Epochs(feed);
    const then = epochs.current;
    expect(epochs.isStale(acme, ann, then)).toBe(false);
    tell("acme", null);
    expect(epochs.isStale(acme, ann, then)).toBe(true);
    expect(epochs.isStale(beta, ann, then)).toBe(false);
    expect(epochs.isStale(acme, ann, epochs.current)).toBe(false);
    tell(null, "bob");
    expect(epochs.isStale(beta, bob, then)).toBe(true);
    expect(epochs.isStale(beta, ann, then)).toBe(false);
  });

  it("grow stale for everybody when anything may have changed", () => {
    const { feed, tell } = makeFeed();
    const epochs = new Epochs(feed);
    const then = epochs.current;
    tell(null, null);
    expect(epochs.isStale(beta, ann, then)).toBe(true);
    expect(epochs.isStale(beta, ann, epochs.current)).toBe(false);
  });

  it("take bounded memory and forget on the safe side", () => {
    const { feed, tell } = makeFeed();
    const epochs = new Epochs(feed, 100);
    const then = epochs.current;
    for (let i = 0; i < 1_000; i++) tell(`tenant-${i}`, null);
    const kept = (epochs as unknown as { byTenant: Map<string, number> }).byTenant.size;
    expect(kept).toBeLessThanOrEqual(100);
    expect(epochs.isStale("tenant-0" as TenantId, ann, then)).toBe(true);
    expect(epochs.isStale(beta, ann, then)).toBe(true);
  });
});
