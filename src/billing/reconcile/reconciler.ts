/**
 * Comparing what we counted with what providers counted, for each day of UTC that ended: the platform's keys and those
 * of tenants. Owns: when it is done, making up nights that were missed, keeping what was found.
 * Refuses to know: endpoints, reasons (findings), how either side counts.
 */
import { Recurring } from "../../jobs/recurring.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError, toAppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { addDays } from "../calendar.ts";
import { compareDay, type Finding, type OwnDay, TOLERANCE, type Tolerance } from "./findings.ts";
import { dropGoneUsage } from "./gone-usage.ts";
import { firstNight, listMissing, listMissingOfPlatform } from "./missing-nights.ts";
import { countOwn, startOfDay } from "./own-count.ts";
import { countPlatform } from "./platform-count.ts";
import type { ProviderUsage } from "./provider-usage.ts";
import { type ComparedKey, dropTroubles, mayAsk, noteTrouble, troubleOver } from "./troubles.ts";
import { listUnscopedDue, type UsageEndpointOf } from "./usage-endpoints.ts";

/** What was found for a key and a day. */
export interface Reconciliation {
  provider: string;
  /** `YYYY-MM-DD`, UTC. */
  day: string;
  comparedAtMs: number;
  isWithin: boolean;
  findings: Finding[];
}

/** How tenants' own keys are compared. */
export interface OwnKeys {
  /** The tenant's scope; undefined when it is gone or going: then its keys are not used any more. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
  /** What the tenant's own provider counted, asked with the tenant's own key; throws when it does not tell. */
  usageOf(scope: TenantScope, provider: string): Promise<ProviderUsage>;
}

/** What the reconciler needs. */
export interface ReconcilerDeps {
  control: Database;
  clock: Clock;
  log: Log;
  /** The operator's providers with a usage endpoint, by id. */
  providers: Readonly<Record<string, ProviderUsage>>;
  tolerance?: Tolerance | undefined;
  /** The tenant's scope; undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
  own?: OwnKeys | undefined;
}

const TICK_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Providers count a little later than calls end. */
const SETTLE_MS = 3 * 3_600_000;
/** Tenants whose providers are asked at the same time, and nights of one tenant in a round: others wait for neither. */
const TENANTS_AT_ONCE = 4;
const NIGHTS_OF_A_TENANT = 8;

/** The newest day of UTC that providers have finished counting. */
export function lastNight(nowMs: number): string {
  return addDays(new Date(nowMs - SETTLE_MS).toISOString().slice(0, 10), -1);
}

/** See the head of this file. */
export class Reconciler {
  private readonly deps: ReconcilerDeps;
  private readonly recurring: Recurring;
  /** Ends questions that providers take their time over. */
  private closing = new AbortController();

  constructor(deps: ReconcilerDeps) {
    this.deps = deps;
    const { clock, log } = deps;
    const complaint = "usage could not be compared; tried again in an hour";
    this.recurring = new Recurring({ clock, log, periodMs: TICK_MS, complaint, round: () => this.round() });
  }

  /** Compare every night; without anybody who tells usage there is no timer. */
  start(): void {
    if (this.closing.signal.aborted) this.closing = new AbortController();
    if (Object.keys(this.deps.providers).length > 0 || this.deps.own !== undefined) this.recurring.start();
  }

  close(): Promise<void> {
    this.closing.abort(new AppError("shutting_down", "The server is stopping."));
    return this.recurring.close();
  }

  /** One round: all nights that are not compared yet, as far as providers may be asked now; never rejects. */
  tick(): Promise<void> {
    return this.recurring.tick();
  }

  private async round(): Promise<void> {
    const { control, clock, providers } = this.deps;
    const night = lastNight(clock.nowMs());
    await dropGoneUsage(control, firstNight(night));
    await dropTroubles(control, firstNight(night));
    for (const provider of Object.keys(providers)) {
      const key = { provider, keyOwner: "platform" };
      if (!(await mayAsk(control, key, clock.nowMs()))) continue;
      const missing = await listMissingOfPlatform(control, provider, night);
      await this.makeUp(key, missing, (day) => this.reconcile(provider, day));
    }
    await this.roundOfTenants(night);
  }

  private async roundOfTenants(night: string): Promise<void> {
    const { control, clock, own } = this.deps;
    let after: Pick<UsageEndpointOf, "tenantId" | "provider"> = { tenantId: "" as TenantId, provider: "" };
    while (own !== undefined && !this.closing.signal.aborted) {
      const span = { firstDay: firstNight(night), lastDay: night, nowMs: clock.nowMs() };
      const due = await listUnscopedDue(control, after, span);
      const last = due.at(-1);
      if (last === undefined) return;
      after = last;
      const tenants = [...Map.groupBy(due, ({ tenantId }) => tenantId).values()];
      const lane = async () => {
        for (let next = tenants.shift(); next !== undefined; next = tenants.shift())
          await this.makeUpTenant(next, night);
      };
      await Promise.all(Array.from({ length: TENANTS_AT_ONCE }, lane));
    }
  }

  private async makeUpTenant(endpoints: readonly UsageEndpointOf[], night: string): Promise<void> {
    let left = NIGHTS_OF_A_TENANT;
    for (const { tenantId, provider, sinceDay } of endpoints) {
      const key = { provider, keyOwner: tenantId };
      const first = [sinceDay, firstNight(night)].sort().at(-1) ?? night;
      const missing = (await listMissing(this.deps.control, key, first, night)).slice(0, left);
      left -= missing.length;
      await this.makeUp(key, missing, (day) => this.reconcileOwn(tenantId, provider, day));
    }
  }

  /** Compare nights until one fails: whoever is down is asked once. */
  private async makeUp(
    key: ComparedKey,
    days: readonly string[],
    compare: (day: string) => Promise<unknown>,
  ): Promise<void> {
    const { control, clock, log } = this.deps;
    for (const day of days) {
      if (this.closing.signal.aborted) return;
      try {
        await compare(day);
      } catch (error) {
        if (this.closing.signal.aborted) return;
        // A tenant's provider is the tenant's affair, and is shown to its admins.
        const level = key.keyOwner === "platform" ? "warn" : "info";
        log[level]({ err: error, ...key, day }, "usage could not be compared; tried again later");
        await noteTrouble(control, key, day, toAppError(error).publicMessage, clock.nowMs());
        return;
      }
    }
  }

  /** Compare one day of UTC of the platform's key and keep what was found. */
  async reconcile(provider: string, day: string): Promise<Reconciliation> {
    const theirs = await this.deps.providers[provider]?.read(spanOf(day), this.closing.signal);
    const ours = await countPlatform(this.deps, provider, day);
    const found = await this.keep({ provider, keyOwner: "platform" }, day, theirs ?? [], ours);
    if (!found.isWithin)
      this.deps.log.warn({ provider, day, findings: found.findings }, "our usage and the provider's differ");
    return found;
  }

  /** Compare one day of UTC of a tenant's own key; throws `not_found` when the tenant is gone or going. */
  async reconcileOwn(tenantId: TenantId, provider: string, day: string): Promise<Reconciliation> {
    const { own } = this.deps;
    const scope = await own?.scopeOf(tenantId);
    if (own === undefined || scope === undefined) throw new AppError("not_found", "There is no such tenant.");
    return runInContext({ tenantId, principal: null, requestId: "reconcile" }, async () => {
      const theirs = await (await own.usageOf(scope, provider)).read(spanOf(day), this.closing.signal);
      const counts = await countOwn(scope, { firstDay: day, lastDay: day, keyOwner: "tenant" });
      const ours = counts.filter((count) => count.provider === provider);
      return this.keep({ provider, keyOwner: tenantId }, day, theirs, ours);
    });
  }

  private async keep(
    key: ComparedKey,
    day: string,
    theirs: Parameters<typeof compareDay>[0],
    ours: readonly OwnDay[],
  ): Promise<Reconciliation> {
    const { control, clock, tolerance } = this.deps;
    const { provider, keyOwner } = key;
    const { findings, isWithin } = compareDay(theirs, ours, tolerance ?? TOLERANCE);
    const comparedAtMs = clock.nowMs();
    // SECURITY: nothing of a tenant that went meanwhile is written where its purge has been already.
    const sql = `INSERT INTO reconciliations SELECT ?, ?, ?, ?, ?, ?
      WHERE ? = 'platform' OR EXISTS (SELECT 1 FROM tenants WHERE id = ?) ON CONFLICT DO UPDATE SET
        compared_at_ms = excluded.compared_at_ms, is_within = excluded.is_within, findings = excluded.findings`;
    const row = [provider, keyOwner, day, comparedAtMs, isWithin ? 1 : 0, JSON.stringify(findings)];
    await control.write({
      statements: [{ sql, params: [...row, keyOwner, keyOwner] }, troubleOver(key, day)],
    });
    return { provider, day, comparedAtMs, isWithin, findings };
  }
}

function spanOf(day: string): { startMs: number; endMs: number } {
  const startMs = startOfDay(day);
  return { startMs, endMs: startMs + DAY_MS };
}
