/**
 * Acts on tenants on record: in the tenant's own log, since it concerns them. Owns: the form of those records.
 * Refuses to know: tenants' storage, who asks.
 */
import type { Statement } from "../storage/database.ts";
import type { TenantAct } from "../tenancy/tenants.ts";
import { auditRecord, auditStatement } from "./record.ts";

/** The statements that put an act on record, for the act's own batch in control.db. */
export function recordTenantAct(act: TenantAct): Statement[] {
  const target = { kind: "tenant", id: act.tenantId, name: act.slug };
  return [auditStatement(act.tenantId, auditRecord(act.atMs, act.by, act.action, target, act.details))];
}
