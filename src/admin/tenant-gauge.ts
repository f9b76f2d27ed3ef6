/**
 * How much disk a tenant uses and whether its database opens. Owns: measuring rarely, one tenant at a time, beside
 * everything else. Refuses to know: what the files hold.
 *
 * A list of a thousand tenants must not walk a thousand folders: it shows what was measured last, at once the size of
 * the database file, and measures what was shown in the background.
 */
import type { Clock } from "../kernel/clock.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Log } from "../kernel/log.ts";
import { runInContext } from "../tenancy/context.ts";
import type { TenantDoor } from "../tenancy/scoped.ts";
import type { Tenant } from "../tenancy/tenant.ts";

/** What was measured. */
export interface TenantReading {
  storageBytes: number;
  health: "ok" | "unavailable";
}

/** What measuring needs. */
export interface TenantGaugeDeps {
  door: TenantDoor;
  clock: Clock;
  log: Log;
}

/** How old a reading may be before the next look measures again. */
const FRESH_MS = 10 * 60 * 1000;
/** Readings remembered. */
const REMEMBERED = 10_000;
/** Tenants waiting to be measured. */
const QUEUED = 200;

/** See the head of this file. */
export class TenantGauge {
  private readonly deps: TenantGaugeDeps;
  private readonly readings = new Map<TenantId, { reading: TenantReading; atMs: number }>();
  private readonly queue = new Map<TenantId, Tenant>();
  private working: Promise<void> | undefined;
  private isClosed = false;

  constructor(deps: TenantGaugeDeps) {
    this.deps = deps;
  }

  /** The last reading, or the size of the database file alone until there is one. Never slow. */
  async read(tenant: Tenant): Promise<TenantReading> {
    const known = this.readings.get(tenant.id);
    if (known === undefined || this.deps.clock.monotonicMs() - known.atMs > FRESH_MS) this.enqueue(tenant);
    if (known !== undefined) return known.reading;
    return { storageBytes: await this.deps.door.databaseSizeBytes(tenant), health: "ok" };
  }

  /** Measure one tenant now. */
  async readNow(tenant: Tenant): Promise<TenantReading> {
    const reading = {
      storageBytes: await this.deps.door.sizeBytes(tenant),
      health: await this.healthOf(tenant),
    };
    this.readings.delete(tenant.id);
    this.readings.set(tenant.id, { reading, atMs: this.deps.clock.monotonicMs() });
    const [oldest] = this.readings.keys();
    if (this.readings.size > REMEMBERED && oldest !== undefined) this.readings.delete(oldest);
    return reading;
  }

  /** Resolves when what was asked for so far is measured, or dropped because the gauge closes. */
  async settled(): Promise<void> {
    await this.working;
  }

  /** Stop measuring. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.queue.clear();
    await this.working;
  }

  private enqueue(tenant: Tenant): void {
    if (this.isClosed || this.queue.size >= QUEUED) return;
    this.queue.set(tenant.id, tenant);
    this.working ??= this.work().finally(() => {
      this.working = undefined;
    });
  }

  private async work(): Promise<void> {
    for (;;) {
      const [tenant] = this.queue.values();
      if (tenant === undefined) return;
      this.queue.delete(tenant.id);
      await this.readNow(tenant).catch((error: unknown) =>
        this.deps.log.warn({ err: error, tenantId: tenant.id }, "a tenant's size could not be read"),
      );
    }
  }

  private async healthOf(tenant: Tenant): Promise<TenantReading["health"]> {
    // A tenant whose database is not there yet is made at first use; looking must not make it.
    if ((await this.deps.door.databaseSizeBytes(tenant)) === 0) return "ok";
    const context = { tenantId: tenant.id, principal: null, requestId: "gauge" };
    try {
      await runInContext(context, () => this.deps.door.scope(tenant).db.find("SELECT 1"));
      return "ok";
    } catch {
      return "unavailable";
    }
  }
}
