/**
 * Comparing what we counted with what providers counted, every night for the day of UTC that ended. Owns: our side of
 * the comparison, when it is made, keeping what was found. Refuses to know: endpoints, reasons (findings).
 *
 * Our side is summed from the events of tenants that used the provider that day; others are not opened.
 */
import { Recurring } from "../../jobs/recurring.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { addDays } from "../calendar.ts";
import { compareDay, type Finding, type OwnDay, TOLERANCE, type Tolerance } from "./findings.ts";
import type { ProviderUsage } from "./provider-usage.ts";

/** What was found for a provider's platform key and a day. */
export interface Reconciliation {
  provider: string;
  /** `YYYY-MM-DD`, UTC. */
  day: string;
  comparedAtMs: number;
  isWithin: boolean;
  findings: Finding[];
}

/** What the reconciler needs. */
export interface ReconcilerDeps {
  control: Database;
  clock: Clock;
  log: Log;
  /** Providers with a usage endpoint, by id. */
  providers: Readonly<Record<string, ProviderUsage>>;
  tolerance?: Tolerance | undefined;
  /** The tenant's scope; undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
}

const TICK_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Providers count a little later than calls end. */
const SETTLE_MS = 3 * 3_600_000;
const MOST_TENANTS = 100_000;

/** The newest day of UTC that providers have finished counting. */
export function lastNight(nowMs: number): string {
  return addDays(new Date(nowMs - SETTLE_MS).toISOString().slice(0, 10), -1);
}

/** See the head of this file. */
export class Reconciler {
  private readonly deps: ReconcilerDeps;
  private readonly recurring: Recurring;

  constructor(deps: ReconcilerDeps) {
    this.deps = deps;
    const { clock, log } = deps;
    const complaint = "usage could not be compared; tried again in an hour";
    this.recurring = new Recurring({ clock, log, periodMs: TICK_MS, complaint, round: () => this.round() });
  }

  /** Compare every night; without providers that tell their usage there is no timer. */
  start(): void {
    if (Object.keys(this.deps.providers).length > 0) this.recurring.start();
  }

  close(): Promise<void> {
    return this.recurring.close();
  }

  /** One round: yesterday, where it is not compared yet; never rejects. */
  tick(): Promise<void> {
    return this.recurring.tick();
  }

  private async round(): Promise<void> {
    const day = lastNight(this.deps.clock.nowMs());
    for (const provider of Object.keys(this.deps.providers)) {
      try {
        const sql = "SELECT 1 FROM reconciliations WHERE provider = ? AND key_owner = 'platform' AND day = ?";
        if ((await this.deps.control.find(sql, [provider, day])) === undefined)
          await this.reconcile(provider, day);
      } catch (error) {
        this.deps.log.warn(
          { err: error, provider, day },
          "usage could not be compared; tried again in an hour",
        );
      }
    }
  }

  /** Compare one day of UTC and keep what was found. */
  async reconcile(provider: string, day: string): Promise<Reconciliation> {
    const { control, clock, log, tolerance } = this.deps;
    const startMs = Date.parse(`${day}T00:00:00Z`);
    const span = { startMs, endMs: startMs + DAY_MS };
    const theirs = (await this.deps.providers[provider]?.read(span)) ?? [];
    const ours = await this.readOwn(provider, day, span);
    const { findings, isWithin } = compareDay(theirs, ours, tolerance ?? TOLERANCE);
    const comparedAtMs = clock.nowMs();
    await control.write({
      statements: [
        {
          sql: `INSERT INTO reconciliations VALUES (?, 'platform', ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
            compared_at_ms = excluded.compared_at_ms, is_within = excluded.is_within, findings = excluded.findings`,
          params: [provider, day, comparedAtMs, isWithin ? 1 : 0, JSON.stringify(findings)],
        },
      ],
    });
    if (!isWithin) log.warn({ provider, day, findings }, "our usage and the provider's differ");
    return { provider, day, comparedAtMs, isWithin, findings };
  }

  private async readOwn(
    provider: string,
    day: string,
    span: { startMs: number; endMs: number },
  ): Promise<OwnDay[]> {
    // A tenant's day lies within one day of UTC's.
    const around = [addDays(day, -1), addDays(day, 1)];
    const tenants = await this.deps.control.list<{ tenantId: TenantId }>(
      `SELECT DISTINCT tenant_id AS tenantId FROM usage_daily WHERE day BETWEEN ? AND ? AND provider = ?
        LIMIT ${MOST_TENANTS}`,
      [...around, provider],
    );
    const byModel = new Map<string, OwnDay>();
    for (const { tenantId } of tenants) {
      const scope = await this.deps.scopeOf(tenantId);
      const rows = (await scope?.db.list<OwnDay>(OWN, [...around, span.startMs, span.endMs, provider])) ?? [];
      for (const row of rows) addTo(byModel, row);
    }
    return [...byModel.values()];
  }
}

const OWN = `SELECT model, sum(input_tokens + cache_read_tokens + cache_write_tokens) AS inputTokens,
    sum(cache_read_tokens) AS cachedTokens, sum(output_tokens) AS outputTokens,
    sum(NOT is_error OR input_tokens + output_tokens > 0) AS calls,
    sum(NOT is_exact AND (NOT is_error OR input_tokens + output_tokens > 0)) AS estimatedCalls
  FROM usage_events WHERE day BETWEEN ? AND ? AND at_ms >= ? AND at_ms < ? AND provider = ? AND kind = 'model'
    AND key_owner = 'platform' GROUP BY model`;

function addTo(byModel: Map<string, OwnDay>, row: OwnDay): void {
  const known = byModel.get(row.model);
  if (known === undefined) {
    byModel.set(row.model, { ...row });
    return;
  }
  known.calls += row.calls;
  known.estimatedCalls += row.estimatedCalls;
  known.inputTokens += row.inputTokens;
  known.cachedTokens += row.cachedTokens;
  known.outputTokens += row.outputTokens;
}
