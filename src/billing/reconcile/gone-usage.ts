/**
 * What tenants used of the platform's keys before they went, for as long as their days may still be compared.
 * Owns: keeping it when a tenant's files go, and letting go of it. Refuses to know: purges, comparisons.
 */
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { addDays } from "../calendar.ts";
import { countOwn } from "./own-count.ts";

/** Days back that can still be compared, and two for clocks and a night that is late. */
const KEPT_DAYS = 33;

/** Keep what the tenant used in the last days, before its files go; repeatable, the newest count stands. */
export async function keepGoneUsage(control: Database, scope: TenantScope, nowMs: number): Promise<void> {
  const today = new Date(nowMs).toISOString().slice(0, 10);
  const span = { firstDay: addDays(today, -KEPT_DAYS), lastDay: today, keyOwner: "platform" } as const;
  const counts = await countOwn(scope, span);
  await control.write({
    statements: [
      { sql: "DELETE FROM gone_usage WHERE tenant_id = ?", params: [scope.tenantId] },
      {
        sql: `INSERT INTO gone_usage (tenant_id, provider, day, model, calls, estimated_calls, input_tokens,
            cached_tokens, output_tokens)
          SELECT ?, value ->> 'provider', value ->> 'day', value ->> 'model', value ->> 'calls',
            value ->> 'estimatedCalls', value ->> 'inputTokens', value ->> 'cachedTokens', value ->> 'outputTokens'
          FROM json_each(?)`,
        params: [scope.tenantId, JSON.stringify(counts)],
      },
    ],
  });
}

/** Let go of days that are compared no more. */
export async function dropGoneUsage(control: Database, beforeDay: string): Promise<void> {
  const old = await control.find("SELECT 1 FROM gone_usage WHERE day < ? LIMIT 1", [beforeDay]);
  if (old === undefined) return;
  await control.write({
    statements: [{ sql: "DELETE FROM gone_usage WHERE day < ?", params: [beforeDay] }],
  });
}
