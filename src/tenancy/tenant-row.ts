/** A tenant as control.db keeps it. Owns: the columns and their reading. Refuses to know: who asks. */
import type { TenantId } from "../kernel/ids.ts";
import type { Tenant, TenantStatus } from "./tenant.ts";

/** A row of `SELECT_TENANT`. */
export interface TenantRow {
  id: string;
  slug: string;
  display_name: string;
  status: string;
  plan: string;
  time_zone: string;
  created_at_ms: number;
  read_only_until_ms: number | null;
  delete_after_ms: number | null;
  hosts: string | null;
}

/** The beginning of every query for tenants; the table is `t`. */
export const SELECT_TENANT = `SELECT t.*,
    (SELECT group_concat(h.host, ' ') FROM tenant_hosts h WHERE h.tenant_id = t.id) AS hosts
  FROM tenants t`;

/** The tenant of a row that may not be there. */
export function fromRow(row: TenantRow | undefined): Tenant | undefined {
  return row === undefined ? undefined : toTenant(row);
}

/** The tenant of a row. */
export function toTenant(row: TenantRow): Tenant {
  return {
    id: row.id as TenantId,
    slug: row.slug,
    displayName: row.display_name,
    hosts: row.hosts === null ? [] : row.hosts.split(" "),
    status: row.status as TenantStatus,
    plan: row.plan,
    timeZone: row.time_zone,
    createdAtMs: row.created_at_ms,
    readOnlyUntilMs: row.read_only_until_ms,
    deleteAfterMs: row.delete_after_ms,
  };
}
