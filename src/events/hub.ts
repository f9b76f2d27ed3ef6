/**
 * From whoever changed something to the connections of the same tenant. Owns: listeners by tenant.
 * Refuses to know: sockets, what events mean. Publish after the commit, never before.
 *
 * SECURITY: a listener runs in the publisher's async context, so nothing here reads the bound tenant; the tenant is
 * an argument.
 */
import type { TenantId } from "../kernel/ids.ts";
import type { GatewayEvent } from "../protocol/events.ts";

/** Receives events of one tenant; must not throw. */
export type Listener = (event: GatewayEvent) => void;

/** See the head of this file. */
export class EventHub {
  private readonly listeners = new Map<TenantId, Set<Listener>>();

  /** Hear a tenant's events; the returned function ends it. */
  subscribe(tenantId: TenantId, listener: Listener): () => void {
    const set = this.listeners.get(tenantId) ?? new Set();
    this.listeners.set(tenantId, set);
    set.add(listener);
    return () => {
      set.delete(listener);
      if (set.size === 0 && this.listeners.get(tenantId) === set) this.listeners.delete(tenantId);
    };
  }

  publish(tenantId: TenantId, event: GatewayEvent): void {
    const set = this.listeners.get(tenantId);
    if (set === undefined) return;
    for (const listener of set) listener(event);
  }
}
