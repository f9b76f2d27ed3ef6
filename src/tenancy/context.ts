/**
 * For whom the current code runs: the one AsyncLocalStorage.
 * Owns: binding and reading {tenant, principal, requestId}. Refuses to know: transports.
 *
 * It serves logs, usage and assertions. It is not the wall: emitters, pools, batchers, timers and WebSocket handlers
 * run in somebody else's context or in none. The wall is that data is only reachable through a TenantScope.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { AppError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Principal } from "./principal.ts";

/** What is known about the work in hand. */
export interface RequestContext {
  tenantId: TenantId;
  principal: Principal | null;
  /** Given to callers in errors, so that they can quote it. */
  requestId: string;
}

const storage = new AsyncLocalStorage<RequestContext>();

/** Run `work` for a tenant; everything awaited inside sees the same context. */
export function runInContext<T>(context: RequestContext, work: () => T): T {
  return storage.run(context, work);
}

/** The context, or undefined outside of any. */
export function findContext(): RequestContext | undefined {
  return storage.getStore();
}

/** SECURITY: refuse to touch a tenant's things while running for another. Outside of any context it passes. */
export function assertTenant(tenantId: TenantId): void {
  const context = storage.getStore();
  if (context !== undefined && context.tenantId !== tenantId) {
    throw new AppError("tenant_mismatch", "This belongs to another tenant.", {
      cause: new Error("a scope of one tenant was used in the context of another"),
    });
  }
}
