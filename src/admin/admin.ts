/**
 * All parts of running the platform, put together. Owns: that they share one directory and one sweep, their start and
 * end. Refuses to know: transports, tenants' contents.
 */
import type { AuditLog } from "../audit/log.ts";
import type { Auth } from "../auth/auth.ts";
import type { PlanBook } from "../billing/plans/plan-book.ts";
import type { Spending } from "../billing/plans/spending.ts";
import type { TenantPlans } from "../billing/plans/tenant-plans.ts";
import type { PriceBook } from "../billing/prices.ts";
import type { PriceStore } from "../billing/pricing/price-store.ts";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Log } from "../kernel/log.ts";
import type { Route } from "../protocol/routes.ts";
import type { Database } from "../storage/database.ts";
import type { TenantDoor, TenantScope } from "../tenancy/scoped.ts";
import type { Tenant } from "../tenancy/tenant.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import type { Vault } from "../tenancy/vault.ts";
import { LifecycleSweep } from "./lifecycle-sweep.ts";
import { makeOperatorPlanRoutes, putOnPlan } from "./money/plan-routes.ts";
import { makeOperatorPriceRoutes } from "./money/price-routes.ts";
import { makeTenantMoneyRoutes } from "./money/tenant-money-routes.ts";
import { makeOperatorRoutes, type OperatorRouteDeps } from "./operator-routes.ts";
import { TenantPurge, type TenantPurgeDeps } from "./purge/tenant-purge.ts";
import { TenantDirectory } from "./tenant-directory.ts";
import { TenantGauge } from "./tenant-gauge.ts";

/** What admin is built from. */
export interface AdminOptions {
  control: Database;
  tenants: Tenants;
  door: TenantDoor;
  vault: Vault;
  auth: Auth;
  auditLog: AuditLog;
  clock: Clock;
  log: Log;
  /** Measures tenants' disks; without it one is made. Closed with admin. */
  gauge?: TenantGauge;
  planBook: PlanBook;
  plans: TenantPlans;
  prices: PriceBook;
  priceStore: PriceStore;
  spending: Spending;
  /** A tenant was put on a plan: its budget may be another from now on. Must not throw. */
  onPlanSet(scope: TenantScope): void;
  /** Make the folders and the first agent of a new tenant. */
  prepareTenant(tenant: Tenant): Promise<void>;
  /** See TenantPurgeDeps. */
  settle(scope: TenantScope): Promise<void>;
  /** See TenantPurgeDeps. */
  foldControl(): Promise<void>;
  /** See TenantPurgeDeps. */
  onPurgeStep?: TenantPurgeDeps["onStep"];
}

/** The parts of admin. */
export interface Admin {
  purge: TenantPurge;
  sweep: LifecycleSweep;
  directory: TenantDirectory;
  gauge: TenantGauge;
  routes: Route[];
  /** Begin to sweep. */
  start(): void;
  close(): Promise<void>;
}

/** Days that a first owner has to accept. */
const INVITATION_DAYS = 14;

/** Put admin together. Reads and writes nothing yet. */
export function makeAdmin(options: AdminOptions): Admin {
  const { control, tenants, door, vault, auth, clock, log, auditLog } = options;
  const { breakGlass, feed } = auth;
  const purge = new TenantPurge({
    ...{ control, tenants, door, vault, clock, log },
    signer: auth.signer,
    settle: options.settle,
    foldControl: options.foldControl,
    onStep: options.onPurgeStep,
  });
  const gauge = options.gauge ?? new TenantGauge({ door, clock, log });
  const directory = new TenantDirectory({ control, gauge, breakGlass });
  const sweep = new LifecycleSweep({ purge, breakGlass, clock, log });
  const { planBook: book, plans, prices, priceStore: store, spending } = options;
  const scopeOf = async (id: TenantId) => {
    const tenant = await tenants.findById(id);
    return tenant === undefined || tenant.status === "deleting" ? undefined : door.scope(tenant);
  };
  const lives = makeOperatorRoutes({
    ...{ control, tenants, directory, breakGlass, auditLog, clock },
    prepareTenant: options.prepareTenant,
    async inviteOwner(tenant, by) {
      const invitation = { role: "owner", expiresInDays: INVITATION_DAYS, tie: { kind: "none" } } as const;
      return (await auth.people.invitations.create(tenant.id, invitation, by)).secret;
    },
    ...planChoice(options, scopeOf),
    noticeNow: () => feed.refresh(0),
  });
  const routes = [
    ...lives,
    ...makeOperatorPlanRoutes({
      control,
      tenants,
      book,
      plans,
      clock,
      scopeOf,
      onPlanSet: options.onPlanSet,
    }),
    ...makeOperatorPriceRoutes({ control, tenants, prices, store, clock, scopeOf }),
    ...makeTenantMoneyRoutes({ control, tenants, plans, spending, store, clock, scopeOf }),
  ];
  let leave = () => {};
  return {
    ...{ purge, sweep, directory, gauge, routes },
    start() {
      sweep.start();
      leave = feed.subscribe(({ tenantId }) => {
        if (tenantId !== null) void releaseGone(options, tenantId);
      });
    },
    async close() {
      leave();
      await sweep.close();
      await gauge.close();
    },
  };
}

/** Plans as the forms of a tenant name them: by id, the newest version of each. */
function planChoice(
  { planBook: book, plans, clock, onPlanSet }: AdminOptions,
  scopeOf: (id: TenantId) => Promise<TenantScope | undefined>,
): Pick<OperatorRouteDeps, "checkPlan" | "adoptPlan"> {
  return {
    async checkPlan(wanted) {
      const known = [...new Set((await book.list()).map(({ id }) => id))];
      if (known.includes(wanted)) return void (await plans.choose(wanted));
      const names = known.slice(0, 20).join(", ");
      throw new AppError("invalid_request", `There is no such plan. Plans are: ${names}.`, {
        details: { field: "plan", plans: known.slice(0, 100) },
      });
    },
    adoptPlan: (id, plan, by) => putOnPlan({ plans, clock, scopeOf, onPlanSet }, id, { plan, fromMs: 0 }, by),
  };
}

/** Another process purged the tenant: what this one still has open would keep its removed file readable. */
async function releaseGone({ tenants, door, log }: AdminOptions, id: TenantId): Promise<void> {
  try {
    if ((await tenants.findById(id)) === undefined) await door.release({ id });
  } catch (error) {
    log.warn({ err: error, tenantId: id }, "a purged tenant's database could not be released");
  }
}
