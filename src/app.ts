/**
 * The composition root: builds every part in floor order and joins them. Owns: knowing everything.
 * Nothing imports it but the entries (main, cli) and tests.
 */
import { join } from "node:path";
import { type Admin, makeAdmin } from "./admin/admin.ts";
import { type Assistant, makeAssistant } from "./app/assistant.ts";
import { type Chat, makeChat } from "./app/chat.ts";
import { type Ground, makeGround } from "./app/ground.ts";
import { type Invoicing, makeInvoicing } from "./app/invoicing.ts";
import { makeMethods, makeRoutes } from "./app/surface.ts";
import type { Auth } from "./auth/auth.ts";
import type { FirstRun } from "./auth/bootstrap.ts";
import type { TenantPlans } from "./billing/plans/tenant-plans.ts";
import { keepGoneUsage } from "./billing/reconcile/gone-usage.ts";
import type { LiveRuns } from "./chat/runs/live-runs.ts";
import { findRun } from "./chat/runs/run.ts";
import type { Config } from "./config/options.ts";
import { Gateway } from "./gateway/gateway.ts";
import { type Clock, systemClock } from "./kernel/clock.ts";
import { type Log, makeLog } from "./kernel/log.ts";
import { VERSION } from "./kernel/version.ts";
import { MethodRegistry } from "./protocol/methods.ts";
import { findContext } from "./tenancy/context.ts";
import type { TenantDoor, TenantScope } from "./tenancy/scoped.ts";
import type { Tenant } from "./tenancy/tenant.ts";
import type { Tenants } from "./tenancy/tenants.ts";

/** What an app is built from. */
export interface AppOptions {
  config: Config;
  clock?: Clock;
  log?: Log;
  /** Folder of the built Control UI; null serves none. */
  uiDirectory?: string | null;
  /** How long stopping waits for answers that are being written. */
  drainMs?: number;
}

/** A running deployment. */
export interface App {
  readonly methods: MethodRegistry;
  readonly auth: Auth;
  readonly tenants: Tenants;
  readonly door: TenantDoor;
  readonly plans: TenantPlans;
  readonly gateway: Gateway;
  readonly admin: Admin;
  readonly log: Log;
  /** What the start found or made; see auth/bootstrap. */
  readonly firstRun: FirstRun;
  /** Begin to serve; returns the address, e.g. `http://127.0.0.1:18789`. */
  listen(): Promise<string>;
  /** Resolves when no run is active in any tenant. */
  drained(): Promise<void>;
  close(): Promise<void>;
}

const UI = join(import.meta.dirname, "..", "ui", "dist");

/** Build everything; opens the state folder and makes the first tenant if there is none. */
export async function makeApp(options: AppOptions): Promise<App> {
  const { config } = options;
  const clock = options.clock ?? systemClock;
  const log = options.log ?? makeLog({ level: config.logLevel, fields: contextFields });
  const prepareTenant = async (tenant: Tenant) => {
    await ground.door.prepare(tenant);
    await assistant.agents.ensureMain(ground.door.scope(tenant));
  };
  const ground = await makeGround(config, clock, log, prepareTenant);
  const assistant = makeAssistant(config, clock, log, ground);
  const chat = makeChat(config, clock, log, ground, assistant);
  const firstRun = await ground.auth.ensureFirstRun({ tenantSlug: config.firstTenant });
  if (firstRun.createdTenant !== null)
    await assistant.agents.ensureMain(ground.door.scope(firstRun.createdTenant));
  const admin = makeAdmin({
    ...{ ...ground, auditLog: ground.audit.log, clock, log, prepareTenant },
    prices: assistant.prices,
    priceStore: assistant.priceStore,
    spending: assistant.spending,
    onPlanSet: (scope) => assistant.alerts.note(scope),
    settle: (scope) => settleTenant(clock, ground, assistant, scope),
    foldControl: () => ground.databases.release(join(config.stateDir, "control.db")),
  });
  const invoicing = makeInvoicing(config, clock, log, ground, assistant);
  const gateway = makeGateway(options, clock, log, ground, assistant, chat, admin, invoicing);
  return {
    ...{
      methods: gateway.registry,
      auth: ground.auth,
      tenants: ground.tenants,
      door: ground.door,
      plans: ground.plans,
      gateway,
      admin,
      log,
      firstRun,
    },
    listen: async () => {
      const url = await listen(config, log, ground, assistant, chat, gateway);
      admin.start();
      invoicing.start();
      return url;
    },
    drained: () => drained(chat.live),
    close: () => close(options, clock, ground, assistant, chat, gateway, admin, invoicing),
  };
}

function contextFields(): Record<string, unknown> {
  const context = findContext();
  return context === undefined ? {} : { tenantId: context.tenantId, requestId: context.requestId };
}

function makeGateway(
  options: AppOptions,
  clock: Clock,
  log: Log,
  ground: Ground,
  assistant: Assistant,
  chat: Chat,
  admin: Admin,
  invoicing: Invoicing,
): Gateway {
  const overview = { ...assistant.overview, payments: invoicing.payments };
  const gateway: Gateway = new Gateway({
    config: options.config,
    clock,
    log,
    version: VERSION,
    tenants: ground.tenants,
    door: ground.door,
    auth: ground.auth,
    acts: ground.audit.acts,
    denials: ground.audit.denials,
    hub: ground.hub,
    metricsToken: ground.metricsToken,
    uiDirectory: options.uiDirectory === undefined ? UI : options.uiDirectory,
    registry: new MethodRegistry(makeMethods(clock, ground, assistant, chat, overview, () => gateway.rooms)),
    routes: [...makeRoutes(clock, ground, assistant, chat, overview), ...admin.routes, ...invoicing.routes],
    terms: {
      peek: (tenantId) => ground.plans.peek(tenantId)?.plan.terms,
      of: async (tenantId) => (await ground.plans.of(tenantId)).plan.terms,
    },
    checkStore: async () => void (await ground.control.find("SELECT 1")),
    activeRuns: () => chat.live.unscopedActive().length,
    agentOfRun: async (scope, runId) => (await findRun(scope, runId))?.agent_id,
  });
  return gateway;
}

async function listen(
  config: Config,
  log: Log,
  ground: Ground,
  assistant: Assistant,
  chat: Chat,
  gateway: Gateway,
): Promise<string> {
  // ORDER: before anything can be charged: no price is guessed.
  await assistant.priceStore.start();
  await ground.storage.counts.start();
  // ORDER: open runs are back in their lanes before anybody can send into the same sessions.
  for (const tenantId of await chat.marks.unscopedList()) {
    const tenant = await ground.tenants.findById(tenantId);
    if (tenant === undefined) continue;
    if (tenant.status !== "deleting") assistant.leases.watch(ground.door.scope(tenant));
    if (tenant.status !== "active") continue;
    await chat.marks.mark(tenantId);
    await chat.recovery.recover(ground.door.scope(tenant)).catch((thrown: unknown) => {
      log.error(
        { err: thrown, tenantId },
        "a tenant's open runs could not be recovered; its others are served",
      );
    });
    chat.marks.quiet(tenantId, () => chat.live.isBusy(tenantId));
  }
  assistant.rollup.start(tenantPages(ground));
  await ground.audit.start();
  return gateway.listen(config.host, config.port);
}

/** Before a tenant goes: what is not yet billed is, what providers counted is kept, what is not yet on record is. */
async function settleTenant(
  clock: Clock,
  ground: Ground,
  assistant: Assistant,
  scope: TenantScope,
): Promise<void> {
  await assistant.rollup.pushDirty(scope);
  assistant.rollup.forget(scope.tenantId);
  await keepGoneUsage(ground.control, scope, clock.nowMs());
  assistant.leases.forget(scope.tenantId);
  await ground.audit.mover.drainTenant(scope.tenantId);
}

/** Next tenants by slug, for background work. */
function tenantPages(ground: Ground): (afterSlug: string) => Promise<TenantScope[]> {
  return async (afterSlug) => {
    const page = await ground.tenants.list(50, afterSlug);
    return page.filter((tenant) => tenant.status !== "deleting").map((tenant) => ground.door.scope(tenant));
  };
}

async function drained(live: LiveRuns): Promise<void> {
  for (let active = live.unscopedActive(); active.length > 0; active = live.unscopedActive()) {
    await Promise.all(active.map((run) => run.done));
  }
}

/** Stop in the order that loses nothing: no new work, finish what can be finished, then the files. */
async function close(
  options: AppOptions,
  clock: Clock,
  ground: Ground,
  assistant: Assistant,
  chat: Chat,
  gateway: Gateway,
  admin: Admin,
  invoicing: Invoicing,
) {
  gateway.beginDrain();
  await admin.close();
  await invoicing.close();
  await Promise.race([
    drained(chat.live),
    new Promise<void>((resolve) => void clock.after(options.drainMs ?? 0, resolve)),
  ]);
  await chat.send.abandonAll();
  await gateway.close();
  await assistant.leases.close();
  assistant.alerts.close();
  assistant.priceStore.close();
  await assistant.rollup.close();
  await ground.storage.close();
  await ground.audit.close();
  await ground.databases.close();
}
