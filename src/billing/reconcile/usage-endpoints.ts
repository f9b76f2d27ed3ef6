/**
 * Which tenants may have a provider of their own that tells what it counted. Owns: that list, so that no tenant's file is
 * opened to find out. Refuses to know: addresses, keys; they are in the tenant's own file, which decides.
 */
import type { TenantId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";
import { pausedFrom } from "./troubles.ts";

/** A tenant's provider that may tell its usage. */
export interface UsageEndpointOf {
  tenantId: TenantId;
  provider: string;
  /** First day (`YYYY-MM-DD`, UTC) that is compared. */
  sinceDay: string;
}

/** Note that a provider tells its usage from today on; what is known of the same origin stays. Null: it does not any more. */
export async function noteUsageEndpoint(
  control: Database,
  tenantId: TenantId,
  provider: string,
  origin: string | null,
  nowMs: number,
): Promise<void> {
  const gone = { sql: "DELETE FROM usage_endpoints WHERE tenant_id = ? AND provider = ?" };
  const trouble = { sql: "DELETE FROM reconciliation_troubles WHERE key_owner = ? AND provider = ?" };
  const params = [tenantId, provider];
  // A change is a reason to try again at once.
  const statements = [{ ...trouble, params }];
  if (origin === null) statements.push({ ...gone, params });
  else {
    const today = new Date(nowMs).toISOString().slice(0, 10);
    statements.push({
      // SECURITY: not for a tenant that went in the same moment; nothing of it may stay behind.
      sql: `INSERT INTO usage_endpoints SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM tenants WHERE id = ?)
        ON CONFLICT DO UPDATE SET since_day = iif(origin = excluded.origin, since_day, excluded.since_day),
          origin = excluded.origin`,
      params: [tenantId, provider, origin, today, tenantId],
    });
  }
  await control.write({ statements });
}

/** The tenant's, by name. */
export function listUsageEndpoints(control: Database, tenantId: TenantId): Promise<UsageEndpointOf[]> {
  return control.list<UsageEndpointOf>(
    `SELECT tenant_id AS tenantId, provider, since_day AS sinceDay FROM usage_endpoints WHERE tenant_id = ?
      ORDER BY provider LIMIT 100`,
    [tenantId],
  );
}

/** All after one, of tenants that stay, whose nights from a day to another are not all compared and that may be tried now. */
export function listUnscopedDue(
  control: Database,
  after: Pick<UsageEndpointOf, "tenantId" | "provider">,
  { firstDay, lastDay, nowMs }: { firstDay: string; lastDay: string; nowMs: number },
): Promise<UsageEndpointOf[]> {
  return control.list<UsageEndpointOf>(
    `SELECT e.tenant_id AS tenantId, e.provider, e.since_day AS sinceDay FROM usage_endpoints e
      JOIN tenants t ON t.id = e.tenant_id AND t.status <> 'deleting'
      LEFT JOIN reconciliation_troubles w ON w.provider = e.provider AND w.key_owner = e.tenant_id AND w.day = ''
      WHERE (e.tenant_id, e.provider) > (?, ?) AND e.since_day <= ? AND coalesce(w.next_at_ms, 0) NOT BETWEEN ? AND ?
        AND (SELECT count(*) FROM reconciliations r WHERE r.provider = e.provider AND r.key_owner = e.tenant_id
          AND r.day BETWEEN max(e.since_day, ?) AND ?) < 1 + julianday(?) - julianday(max(e.since_day, ?))
      ORDER BY e.tenant_id, e.provider LIMIT 100`,
    [after.tenantId, after.provider, lastDay, ...pausedFrom(nowMs), firstDay, lastDay, lastDay, firstDay],
  );
}
