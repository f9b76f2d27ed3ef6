/**
 * For load balancers and Prometheus. Owns: `/healthz`, `/readyz`, `/metrics`.
 * Refuses to know: tenants; nothing here says how many there are.
 */
import { defineRoute, type Route } from "../../protocol/routes.ts";
import type { Meters } from "../metrics.ts";

/** What the routes need. */
export interface HealthDeps {
  meters: Meters;
  /** Whether the store answers; throws when it does not. */
  checkStore(): Promise<void>;
  isDraining(): boolean;
}

/** Declare the routes. */
export function makeHealthRoutes(deps: HealthDeps): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/healthz",
      policy: { kind: "public" },
      body: null,
      doc: "200 while the process lives.",
      handler: async () => ({ status: 200, body: { ok: true } }),
    }),
    defineRoute({
      method: "GET",
      path: "/readyz",
      policy: { kind: "public" },
      body: null,
      doc: "200 while new work is welcome: the store answers and the process is not stopping.",
      async handler() {
        const isReady =
          !deps.isDraining() &&
          (await deps.checkStore().then(
            () => true,
            () => false,
          ));
        return { status: isReady ? 200 : 503, body: { ok: isReady } };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/metrics",
      policy: { kind: "metrics" },
      body: null,
      doc: "Prometheus exposition; needs the token in `<state-dir>/metrics-token`.",
      handler: async () => ({
        status: 200,
        contentType: deps.meters.contentType,
        body: await deps.meters.read(),
      }),
    }),
  ];
}
