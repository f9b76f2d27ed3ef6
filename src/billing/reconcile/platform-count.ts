/**
 * Our count of everybody's calls with the platform's key of a provider, on one day of UTC. Owns: finding who used it, and
 * what stands for a tenant whose file cannot be read. Refuses to know: what the provider counted.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { addDays } from "../calendar.ts";
import type { OwnDay } from "./findings.ts";
import { addTo, countOwn } from "./own-count.ts";

/** What counting needs. */
export interface PlatformCountDeps {
  control: Database;
  log: Log;
  /** The tenant's scope, also while it is being deleted: providers counted its calls; undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
}

const MOST_TENANTS = 100_000;

// A tenant whose purge began has no files that could be read.
const USERS = `SELECT DISTINCT d.tenant_id AS tenantId,
    EXISTS (SELECT 1 FROM tenant_purges p WHERE p.tenant_id = d.tenant_id) AS isPurging
  FROM usage_daily d WHERE d.day BETWEEN ? AND ? AND d.provider = ? LIMIT ${MOST_TENANTS}`;

const GONE = `SELECT model, calls, estimated_calls AS estimatedCalls, input_tokens AS inputTokens,
    cached_tokens AS cachedTokens, output_tokens AS outputTokens
  FROM gone_usage WHERE provider = ? AND day = ? AND tenant_id = ?`;

/** Days of the tenant's calendar, which need not be UTC's: better than nothing. */
const COPIED = `SELECT model, sum(model_calls) AS calls, sum(estimated_calls) AS estimatedCalls,
    sum(input_tokens + cache_read_tokens + cache_write_tokens) AS inputTokens,
    sum(cache_read_tokens) AS cachedTokens, sum(output_tokens) AS outputTokens
  FROM usage_daily WHERE tenant_id = ? AND day = ? AND provider = ? AND model_calls > 0 GROUP BY model`;

/** By model. Tenants that did not use the provider are not opened. */
export async function countPlatform(
  deps: PlatformCountDeps,
  provider: string,
  day: string,
): Promise<OwnDay[]> {
  // A tenant's day lies within one day of UTC's.
  const around = [addDays(day, -1), addDays(day, 1)];
  const users = await deps.control.report<{ tenantId: TenantId; isPurging: number }>(USERS, [
    ...around,
    provider,
  ]);
  const byModel = new Map<string, OwnDay>();
  for (const { tenantId, isPurging } of users) {
    // Thousands of tenants in a row would hold everybody up.
    await nextTurn();
    const live = isPurging === 1 ? undefined : await countLive(deps, tenantId, provider, day);
    for (const count of live ?? (await countGone(deps, tenantId, provider, day))) {
      const known = byModel.get(count.model);
      if (known === undefined) byModel.set(count.model, { ...count });
      else addTo(known, count);
    }
  }
  return [...byModel.values()];
}

/** From the tenant's own file; undefined when there is none, or none that can be read. */
async function countLive(
  { scopeOf, log }: PlatformCountDeps,
  tenantId: TenantId,
  provider: string,
  day: string,
): Promise<OwnDay[] | undefined> {
  try {
    const scope = await scopeOf(tenantId);
    if (scope === undefined) return undefined;
    const counts = await countOwn(scope, { firstDay: day, lastDay: day, keyOwner: "platform" });
    return counts.filter((count) => count.provider === provider).map(toOwnDay);
  } catch (error) {
    // One damaged file must not keep everybody's night from being compared.
    if (!(error instanceof AppError) || error.code !== "tenant_unavailable") throw error;
    log.warn(
      { err: error, tenantId, day },
      "a tenant's usage could not be read; its copied days are compared",
    );
    return undefined;
  }
}

async function countGone(
  { control }: PlatformCountDeps,
  tenantId: TenantId,
  provider: string,
  day: string,
): Promise<OwnDay[]> {
  const kept = await control.list<OwnDay>(GONE, [provider, day, tenantId]);
  const isKept = kept.length > 0 || (await isGoneKept(control, tenantId));
  return isKept ? kept : control.list<OwnDay>(COPIED, [tenantId, day, provider]);
}

/** Whether anything was kept of the tenant: then a day without a row is a day without a call. */
async function isGoneKept(control: Database, tenantId: TenantId): Promise<boolean> {
  const row = await control.find("SELECT 1 FROM gone_usage WHERE tenant_id = ? LIMIT 1", [tenantId]);
  return row !== undefined;
}

function toOwnDay({ model, calls, estimatedCalls, inputTokens, cachedTokens, outputTokens }: OwnDay): OwnDay {
  return { model, calls, estimatedCalls, inputTokens, cachedTokens, outputTokens };
}
