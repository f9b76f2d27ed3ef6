/** A tenant's own export by HTTP. Owns: the declared routes. Refuses to know: sending. */
import { z } from "zod";
import { defineTenantRoute, type Route } from "../../protocol/routes.ts";
import type { UsageExports } from "./usage-exports.ts";

const CHANGE = z.object({
  url: z
    .url({ protocol: /^https?$/ })
    .max(2_000)
    .nullable()
    .optional(),
  renewSecret: z.boolean().optional(),
  cursor: z.int().min(0).optional(),
});

/** Declare the routes. */
export function makeExportRoutes({ exports }: { exports: UsageExports }): Route[] {
  return [
    defineTenantRoute({
      method: "GET",
      path: "/api/usage-export",
      scope: "operator.admin",
      body: null,
      doc: "Where this tenant's usage is sent, how far that is, and why it stands still if it does.",
      handler: async ({ tenant }) => ({ status: 200, body: await exports.describe(tenant) }),
    }),
    defineTenantRoute({
      method: "PUT",
      path: "/api/usage-export",
      scope: "operator.admin",
      body: CHANGE,
      doc: "Send usage as CloudEvents to a signed webhook (`url`; null ends it). A new export, a new host or `renewSecret` makes a secret, shown this once. `cursor` sends again everything after that event.",
      audit: ({ body }, answer) => {
        const { secret } = answer.body as { secret: string | null };
        const details = {
          isOn: body.url !== null,
          isSecretNew: secret !== null,
          cursor: body.cursor ?? null,
        };
        return { action: "usage_export.changed", target: null, details };
      },
      async handler({ tenant, body, principal }) {
        const secret = await exports.change(tenant, body, principal.userId ?? "");
        return { status: 200, body: { ...(await exports.describe(tenant)), secret } };
      },
    }),
  ];
}
