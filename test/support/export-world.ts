/** Usage that is exported, without the rest of the app. Owns: a world of usage, an exporter over it, a clock set by hand. */
import { cp, rm } from "node:fs/promises";
import { UsageExporter } from "#src/billing/export/exporter.ts";
import { UsageExports } from "#src/billing/export/usage-exports.ts";
import type { UsageMessage } from "#src/billing/export/usage-message.ts";
import { StripeMeter } from "#src/billing/export/usage-sink.stripe.ts";
import type { Delivery, PlatformExport, UsageSink } from "#src/billing/export/usage-sink.ts";
import type { WebhookTarget } from "#src/billing/export/usage-sink.webhook.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { Egress } from "#src/kernel/egress.ts";
import type { TenantId } from "#src/kernel/ids.ts";
import { type Log, makeLog } from "#src/kernel/log.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { Vault } from "#src/tenancy/vault.ts";
import { openUsageWorld, type UsageWorld } from "./usage-world.ts";

/** What one model call of `use` is charged. */
export const CALL_MICROS = 160;

/** See the head of this file. */
export class ExportWorld {
  nowMs = Date.UTC(2026, 10, 22, 12);
  /** Lines of the log, warnings and worse. */
  readonly lines: (Record<string, unknown> & { msg: string })[] = [];
  readonly clock: Clock;
  /** Tenants that the exporter opened. */
  opened: TenantId[] = [];
  readonly scopes = new Map<TenantId, TenantScope>();
  readonly usage: UsageWorld;
  readonly exports: UsageExports;
  private readonly egress: Egress;
  private readonly log: Log;

  private constructor(usage: UsageWorld) {
    this.usage = usage;
    this.clock = { ...systemClock, nowMs: () => this.nowMs };
    const keep = (facts: object, msg: string) => this.lines.push({ ...facts, msg });
    this.log = { warn: keep, error: keep, info: () => undefined, debug: () => undefined } as unknown as Log;
    this.egress = new Egress({ allowPrivate: ["127.0.0.1"], log: makeLog({ level: "silent" }) });
    const vault = new Vault(Buffer.alloc(32, 7));
    const { control } = usage;
    this.exports = new UsageExports({ control, vault, clock: this.clock, checkUrl: () => undefined });
  }

  static async open(): Promise<ExportWorld> {
    return new ExportWorld(await openUsageWorld());
  }

  async close(): Promise<void> {
    await this.egress.close();
    await this.usage.close();
  }

  tenant(slug: string): TenantScope {
    const scope = this.usage.newTenant(slug);
    this.scopes.set(scope.tenantId, scope);
    return scope;
  }

  /** Model calls, copied to control.db. */
  async use(scope: TenantScope, count: number, input: object = {}): Promise<void> {
    const cost = { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 };
    this.usage.setNow(this.nowMs);
    for (let at = 0; at < count; at++)
      await this.usage.model(scope, { atMs: this.nowMs, cost, keyOwner: "platform", ...input });
    await this.usage.rollup.pushDirty(scope);
  }

  exporter(
    platform: PlatformExport | null,
    sinkOf: (target: WebhookTarget) => UsageSink = () => ({ deliver: async () => ({ ok: true }) }),
  ): UsageExporter {
    return new UsageExporter({
      ...{ control: this.usage.control, exports: this.exports, clock: this.clock, log: this.log },
      ...{ platform, sinkOf, currencyOf: async () => "USD" },
      scopeOf: async (tenantId) => {
        this.opened.push(tenantId);
        return this.scopes.get(tenantId);
      },
    });
  }

  /** Stripe's meter at an address. */
  stripe(apiBase: string, customers: Record<string, string | null>): PlatformExport {
    const send = this.egress.fetchFor({ allowPrivate: true, redirects: 0, totalMs: 5_000 });
    const settings = { apiKey: "sk_test_fake", meter: "creel_micros", customers, apiBase };
    return { kind: "charges", meter: new StripeMeter(settings, send) };
  }

  /** The tenant's file as it is now; the returned function puts it back, as from a backup of it alone. */
  async backUp(scope: TenantScope): Promise<() => Promise<void>> {
    const copy = `${scope.directory}.backup`;
    const file = `${scope.directory}/tenant.db`;
    await this.usage.databases.release(file);
    await rm(copy, { recursive: true, force: true });
    await cp(scope.directory, copy, { recursive: true });
    return async () => {
      await this.usage.databases.release(file);
      await rm(scope.directory, { recursive: true, force: true });
      await cp(copy, scope.directory, { recursive: true });
    };
  }

  async charges(): Promise<Record<string, unknown>[]> {
    return this.usage.control.list("SELECT * FROM usage_charges ORDER BY identifier");
  }
}

/** A sink that keeps what it is sent. */
export class KeepingSink implements UsageSink {
  readonly messages: UsageMessage[] = [];
  answer: (message: UsageMessage) => Promise<Delivery> = async () => ({ ok: true });

  deliver(message: UsageMessage): Promise<Delivery> {
    this.messages.push(message);
    return this.answer(message);
  }

  events() {
    return this.messages.flatMap(({ events }) => events);
  }
}
