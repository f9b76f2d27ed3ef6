/** Floors 0-5 without a model: storage, tenants, people, audit. Owns: their joining. Refuses to know: conversations, transports. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { TenantGauge } from "../admin/tenant-gauge.ts";
import { type Audit, makeAudit } from "../audit/audit.ts";
import { watchOutbox } from "../audit/recording/mover.ts";
import { recordTenantAct } from "../audit/tenant-acts.ts";
import { makeAuth } from "../auth/auth.ts";
import { watchAccess } from "../auth/guard/access-feed.ts";
import { AlertOutbox } from "../billing/notices/alert-outbox.ts";
import { PlanBook } from "../billing/plans/plan-book.ts";
import { TenantPlans } from "../billing/plans/tenant-plans.ts";
import type { Config } from "../config/options.ts";
import { EventHub } from "../events/hub.ts";
import type { Clock } from "../kernel/clock.ts";
import { Egress } from "../kernel/egress.ts";
import type { Log } from "../kernel/log.ts";
import { SqliteDatabases } from "../storage/database.sqlite.ts";
import { TenantDoor } from "../tenancy/scoped.ts";
import type { Tenant } from "../tenancy/tenant.ts";
import { Tenants } from "../tenancy/tenants.ts";
import { loadMasterKey, loadToken, Vault } from "../tenancy/vault.ts";
import { leaveStop } from "./notices.ts";
import { makeStorage, type Storage } from "./storage.ts";

const MIGRATIONS = join(import.meta.dirname, "..", "..", "migrations");
const VERIFIER = join(import.meta.dirname, "..", "audit", "verify-audit.mjs");

/** The parts without a model, put together. */
export type Ground = Awaited<ReturnType<typeof makeGround>>;

/** Floors 0-5, the parts without a model: storage, tenants, people. */
export async function makeGround(
  config: Config,
  clock: Clock,
  log: Log,
  prepareTenant: (tenant: Tenant) => Promise<void>,
) {
  await mkdir(config.stateDir, { recursive: true, mode: 0o700 });
  const isNew = !existsSync(join(config.stateDir, "control.db"));
  const masterKey = await loadMasterKey(join(config.stateDir, "master-key"), isNew);
  const databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
  const stored = databases.open("control", join(config.stateDir, "control.db"), "control");
  await stored.find("SELECT 1");
  const recorded = watchOutbox(stored, () => audit.mover.nudge());
  const control = watchAccess(recorded, () => auth.feed.refresh(0));
  const tenants = new Tenants(control, clock, recordTenantAct);
  const door = new TenantDoor(databases, config.stateDir, (id, bytes) => storage.counts.note(id, bytes));
  const hub = new EventHub();
  const planBook = new PlanBook({ control, clock, configured: config.plans });
  const { defaultPlan } = config;
  const outbox = new AlertOutbox({ control, hasOperator: config.alertHook !== undefined });
  const plans = new TenantPlans({
    ...{ control, clock, book: planBook, defaultPlan, alsoOnStop: leaveStop(outbox) },
  });
  const storage: Storage = makeStorage({ control, door, plans, hub, outbox, clock, log });
  const { publicUrl, selfService } = config;
  const issuerOf = (provider: string) => config.signInProviders[provider]?.issuer;
  const people = { publicUrl, selfService, issuerOf, prepareTenant };
  const vault = new Vault(masterKey);
  const egress = new Egress({ allowPrivate: config.egressAllowPrivate, log, clock });
  const scopeOf = (tenant: Tenant) => door.scope(tenant);
  const oidc = { settings: config.signInProviders, egress, vault, scopeOf, log };
  const auth = makeAuth({ control, tenants, clock, masterKey, hub, oidc, ...people });
  const signing = { signer: auth.signer, keys: auth.signingKeys, verifierFile: VERIFIER };
  const audit: Audit = makeAudit({ control: stored, tenants, door, clock, log, ...signing });
  // ORDER: after what its write wakes.
  await plans.begin();
  return {
    databases,
    control,
    tenants,
    door,
    vault,
    auth,
    audit,
    egress,
    hub,
    gauge: new TenantGauge({ door, clock, log }),
    planBook,
    plans,
    outbox,
    storage,
    metricsToken: await loadToken(join(config.stateDir, "metrics-token")),
  };
}
