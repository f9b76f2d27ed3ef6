/**
 * Preloaded into a server: on SIGUSR2, errors that nobody catches, as a tenant's work may leave them behind.
 * Owns: making them. Refuses to know: what becomes of them.
 */
import { EventEmitter } from "node:events";
import type { TenantId } from "#src/kernel/ids.ts";
import { runInContext } from "#src/tenancy/context.ts";

const tenantId = (process.env["CREEL_STRAY_TENANT"] ?? "") as TenantId;

process.on("SIGUSR2", () =>
  runInContext({ tenantId, principal: null, requestId: "a-stray-request" }, () => {
    void Promise.reject(new Error("a promise that nobody waited for"));
    setTimeout(() => {
      throw new Error("thrown where nobody catches");
    }, 1);
    setTimeout(() => new EventEmitter().emit("error", new Error("an event that nobody hears")), 2);
    for (let n = 0; n < 100; n++) void Promise.reject(new Error("one of very many"));
  }),
);
