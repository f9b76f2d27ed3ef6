/**
 * Sending usage out. Owns: the one timer, which exports are due, order and repetition. Refuses to know: how a message
 * travels (sinks), where settings are kept.
 *
 * Nothing is opened for tenants without an export, or without news: what is new is told by the roll-up's marks in
 * control.db. A message's end is on disk before it is sent, so it is sent again with the same contents and the same id.
 */
import { Recurring } from "../../jobs/recurring.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { PLATFORM, type UsageExports } from "./usage-exports.ts";
import { MESSAGE_EVENTS, readMessage } from "./usage-message.ts";
import type { UsageSink } from "./usage-sink.ts";
import type { WebhookTarget } from "./usage-sink.webhook.ts";

/** What the exporter needs. */
export interface ExporterDeps {
  control: Database;
  exports: UsageExports;
  clock: Clock;
  log: Log;
  /** The operator's own sink, about every tenant; null for none. */
  platform: UsageSink | null;
  /** The sink of a tenant's own export. */
  sinkOf(target: WebhookTarget): UsageSink;
  /** The tenant's scope; undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
  currencyOf(scope: TenantScope): Promise<string>;
}

const TICK_MS = 15_000;
const TENANTS_AT_ONCE = 200;
/** Messages for one tenant in one round; the rest follows in the next. */
const MESSAGES_AT_ONCE = 50;
const FIRST_WAIT_MS = 5_000;
const LONGEST_WAIT_MS = 3_600_000;
/** Marks may be written a little out of order. */
const OVERLAP_MS = 60_000;

const CHANGED =
  "EXISTS (SELECT 1 FROM usage_daily_marks m WHERE m.tenant_id = t.tenant_id AND m.pushed_at_ms >= ?)";
const DUE = `SELECT t.tenant_id AS tenantId FROM %FROM t LEFT JOIN usage_export_cursors c
  ON c.export_of = %OF AND c.tenant_id = t.tenant_id
  WHERE iif(coalesce(c.next_at_ms, 0) > 0, c.next_at_ms <= ?, ${CHANGED}) LIMIT ${TENANTS_AT_ONCE}`;
const DUE_TENANTS = DUE.replace("%FROM", "usage_exports").replace("%OF", "t.tenant_id");
const DUE_PLATFORM = DUE.replace(
  "%FROM",
  `(SELECT tenant_id FROM usage_daily_marks WHERE pushed_at_ms >= ?
    UNION SELECT tenant_id FROM usage_export_cursors WHERE export_of = '' AND next_at_ms > 0)`,
).replace("%OF", "''");

/** See the head of this file. */
export class UsageExporter {
  private readonly deps: ExporterDeps;
  private readonly recurring: Recurring;
  /** Marks from then on are news; at the start all are. */
  private sinceMs = 0;

  constructor(deps: ExporterDeps) {
    this.deps = deps;
    const { clock, log } = deps;
    const complaint = "usage could not be exported; it is tried again";
    this.recurring = new Recurring({ clock, log, periodMs: TICK_MS, complaint, round: () => this.round() });
  }

  start(): void {
    this.recurring.start();
  }

  close(): Promise<void> {
    return this.recurring.close();
  }

  /** One round; never rejects. */
  tick(): Promise<void> {
    return this.recurring.tick();
  }

  private async round(): Promise<void> {
    const { control, clock, platform } = this.deps;
    const nowMs = clock.nowMs();
    const own = await control.list<{ tenantId: TenantId }>(DUE_TENANTS, [nowMs, this.sinceMs]);
    for (const { tenantId } of own) await this.attempt(tenantId, tenantId);
    const all =
      platform === null
        ? []
        : await control.list<{ tenantId: TenantId }>(DUE_PLATFORM, [this.sinceMs, nowMs, this.sinceMs]);
    for (const { tenantId } of all) await this.attempt(PLATFORM, tenantId);
    if (own.length < TENANTS_AT_ONCE && all.length < TENANTS_AT_ONCE)
      this.sinceMs = Math.max(this.sinceMs, nowMs - OVERLAP_MS);
  }

  private async attempt(exportOf: string, tenantId: TenantId): Promise<void> {
    try {
      const scope = await this.deps.scopeOf(tenantId);
      if (scope !== undefined) await this.send(exportOf, scope);
    } catch (error) {
      this.deps.log.warn(
        { err: error, tenantId },
        "a tenant's usage could not be exported; it is tried again",
      );
      await this.putOff(exportOf, tenantId, "The usage could not be read.").catch(() => undefined);
    }
  }

  private async send(exportOf: string, scope: TenantScope): Promise<void> {
    const { exports } = this.deps;
    const sink = await this.sinkFor(exportOf, scope);
    if (sink === undefined) return;
    const currency = await this.deps.currencyOf(scope);
    for (let sent = 0; sent < MESSAGES_AT_ONCE; sent++) {
      const { cursorSeq, pendingSeq } = await exports.cursor(exportOf, scope.tenantId);
      const message = await readMessage(scope, exportOf, cursorSeq, pendingSeq, currency);
      if (message === undefined) return;
      const begun = await exports.begin(exportOf, scope.tenantId, cursorSeq, message.lastSeq);
      if (!begun) return;
      const delivery = await sink.deliver(message);
      if (!delivery.ok) {
        await this.putOff(exportOf, scope.tenantId, delivery.reason, delivery.retryAfterMs);
        if (delivery.isGone && exportOf !== PLATFORM) await exports.end(scope.tenantId);
        return;
      }
      await exports.confirm(exportOf, scope.tenantId, cursorSeq, message.lastSeq);
      if (message.events.length < MESSAGE_EVENTS && pendingSeq === null) return;
    }
    // More is waiting; a round must not be one tenant's.
    await exports.goOn(exportOf, scope.tenantId);
  }

  private async sinkFor(exportOf: string, scope: TenantScope): Promise<UsageSink | undefined> {
    if (exportOf === PLATFORM) return this.deps.platform ?? undefined;
    const target = await this.deps.exports.findTarget(scope);
    return target === undefined ? undefined : this.deps.sinkOf(target);
  }

  /** Twice as long every time, up to an hour, with a fifth of chance in it; never sooner than the other side asks. */
  private async putOff(exportOf: string, tenantId: TenantId, reason: string, askedMs = 0): Promise<void> {
    const { failures } = await this.deps.exports.cursor(exportOf, tenantId);
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** Math.min(failures, 20), LONGEST_WAIT_MS);
    const spreadMs = waitMs * (0.9 + Math.random() * 0.2);
    const delayMs = Math.min(Math.max(spreadMs, askedMs), LONGEST_WAIT_MS);
    await this.deps.exports.fail(exportOf, tenantId, reason, this.deps.clock.nowMs() + Math.ceil(delayMs));
  }
}
