/**
 * A tenant's money and redemption codes as operators look at them, by cookie only. Owns: the routes' shapes. Refuses to
 * know: giving credit and making codes (billing/payments).
 */
import { AppError } from "../../kernel/errors.ts";
import { isUuid } from "../../kernel/ids.ts";
import { defineRoute, type Route } from "../../protocol/routes.ts";
import type { Database } from "../../storage/database.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import { listCodes } from "./code-list.ts";
import { platformCurrency } from "./spending-list.ts";
import { readTenantMoney, type TenantMoneyDeps } from "./tenant-money.ts";

/** What the routes need. */
export interface TenantMoneyRouteDeps extends TenantMoneyDeps {
  control: Database;
  tenants: Tenants;
}

const NO_STORE = { "cache-control": "no-store" };

/** The routes, for the gateway. */
export function makeTenantMoneyRoutes(deps: TenantMoneyRouteDeps): Route[] {
  return [getMoney(deps), getCodes(deps)];
}

function getMoney(deps: TenantMoneyRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/tenants/:id/money",
    policy: { kind: "operator" },
    body: null,
    doc: "A tenant's plan, what it spent this month, its credit, its margin and the prices of its own; never its lines.",
    async handler({ params }) {
      const id = params["id"] ?? "";
      if (!isUuid(id)) throw new AppError("not_found", "There is no such tenant.");
      const tenant = await deps.tenants.getById(id);
      return { status: 200, headers: NO_STORE, body: await readTenantMoney(deps, tenant) };
    },
  });
}

function getCodes({ control, clock }: TenantMoneyRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/codes",
    policy: { kind: "operator" },
    body: null,
    doc: "Redemption codes as they were made, the newest first: how many, how many were redeemed, by whom and when. The codes themselves are kept nowhere.",
    async handler() {
      const [currency, codes] = await Promise.all([
        platformCurrency(control),
        listCodes(control, clock.nowMs()),
      ]);
      return { status: 200, headers: NO_STORE, body: { currency, ...codes } };
    },
  });
}
