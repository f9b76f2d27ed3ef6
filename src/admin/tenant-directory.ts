/**
 * Tenants as an operator sees them: facts about them, never what they hold. Owns: the one query behind the list, search,
 * paging. Refuses to know: transports, how bytes are measured (a gauge is handed in).
 */
import type { BreakGlass, Grant } from "../auth/operators/break-glass.ts";
import { AppError } from "../kernel/errors.ts";
import type { UserId } from "../kernel/ids.ts";
import type { Database, SqlValue } from "../storage/database.ts";
import type { Tenant } from "../tenancy/tenant.ts";
import { SELECT_TENANT, type TenantRow, toTenant } from "../tenancy/tenant-row.ts";
import type { TenantGauge, TenantReading } from "./tenant-gauge.ts";

/** A tenant in the list. */
export interface ListedTenant {
  tenant: Tenant;
  members: number;
  /** Newest of: a member seen, a token or device used, usage counted. Null when nobody ever came. */
  lastActivityAtMs: number | null;
  reading: TenantReading;
  /** The asking operator's own open grant. */
  grant: Grant | null;
}

/** What to list. */
export interface TenantFilter {
  /** Part of a slug (also an old one), name or host, or a whole id. */
  search?: string | undefined;
  /** `read_only` and `closed` tell the two halves of a suspension apart. */
  status?: "active" | "suspended" | "deleting" | undefined;
  /** Slug after which the page begins. */
  after?: string | undefined;
  limit: number;
}

/** A tenant with all that is known of it outside of it. */
export interface TenantDetail extends ListedTenant {
  oldSlugs: readonly string[];
  statusReason: string | null;
  statusSinceMs: number | null;
  needsConsent: boolean;
}

/** What the directory reads from. */
export interface TenantDirectoryDeps {
  control: Database;
  gauge: TenantGauge;
  breakGlass: BreakGlass;
}

interface Row extends TenantRow {
  members: number;
  last_activity_ms: number | null;
  status_reason: string | null;
  status_since_ms: number | null;
}

const FACTS = `(SELECT count(*) FROM members m WHERE m.tenant_id = t.id) AS members,
  max(coalesce((SELECT max(m.last_seen_at_ms) FROM members m WHERE m.tenant_id = t.id), 0),
    coalesce((SELECT max(k.last_used_at_ms) FROM api_tokens k WHERE k.tenant_id = t.id), 0),
    coalesce((SELECT max(d.last_used_at_ms) FROM device_tokens d WHERE d.tenant_id = t.id), 0),
    coalesce((SELECT u.pushed_at_ms FROM usage_daily_marks u WHERE u.tenant_id = t.id ORDER BY u.day DESC LIMIT 1), 0)
  ) AS last_activity_ms`;

const SELECT = SELECT_TENANT.replace("SELECT t.*,", `SELECT t.*, ${FACTS},`);

/** See the head of this file. */
export class TenantDirectory {
  private readonly deps: TenantDirectoryDeps;

  constructor(deps: TenantDirectoryDeps) {
    this.deps = deps;
  }

  /** A page by slug; `next` is where the following one begins, or null. */
  async list(
    filter: TenantFilter,
    operatorId: UserId,
  ): Promise<{ tenants: ListedTenant[]; next: string | null }> {
    const { where, params } = conditions(filter);
    const rows = await this.deps.control.list<Row>(`${SELECT} WHERE ${where} ORDER BY t.slug LIMIT ?`, [
      ...params,
      filter.limit + 1,
    ]);
    const page = rows.slice(0, filter.limit);
    const grants = await this.deps.breakGlass.listOpenOf(operatorId);
    const tenants = await Promise.all(page.map((row) => this.listed(row, grants)));
    return { tenants, next: rows.length > filter.limit ? (page.at(-1)?.slug ?? null) : null };
  }

  /** One tenant by id; throws `not_found`. */
  async get(id: string, operatorId: UserId): Promise<TenantDetail> {
    const row = await this.deps.control.find<Row>(`${SELECT} WHERE t.id = ?`, [id]);
    if (row === undefined) throw new AppError("not_found", "There is no such tenant.");
    const grants = await this.deps.breakGlass.listOpenOf(operatorId);
    const listed = await this.listed(row, grants);
    const old = await this.deps.control.list<{ slug: string }>(
      "SELECT slug FROM old_slugs WHERE tenant_id = ? ORDER BY retired_at_ms DESC, slug LIMIT 100",
      [id],
    );
    return {
      ...listed,
      reading: await this.deps.gauge.readNow(listed.tenant),
      oldSlugs: old.map((found) => found.slug),
      statusReason: row.status_reason,
      statusSinceMs: row.status_since_ms,
      needsConsent: await this.deps.breakGlass.needsConsent(listed.tenant.id),
    };
  }

  private async listed(row: Row, grants: readonly Grant[]): Promise<ListedTenant> {
    const tenant = toTenant(row);
    return {
      tenant,
      members: row.members,
      lastActivityAtMs: row.last_activity_ms || null,
      reading: await this.deps.gauge.read(tenant),
      grant: grants.find((grant) => grant.tenantId === tenant.id) ?? null,
    };
  }
}

function conditions(filter: TenantFilter): { where: string; params: SqlValue[] } {
  const parts = ["t.slug > ?"];
  const params: SqlValue[] = [filter.after ?? ""];
  if (filter.status !== undefined) {
    parts.push("t.status = ?");
    params.push(filter.status);
  }
  const search = filter.search?.trim().toLowerCase() ?? "";
  if (search !== "") {
    // Not LIKE: its wildcards would be the searcher's.
    parts.push(`(t.id = ? OR instr(t.slug, ?) > 0 OR instr(lower(t.display_name), ?) > 0
      OR EXISTS (SELECT 1 FROM tenant_hosts h WHERE h.tenant_id = t.id AND instr(h.host, ?) > 0)
      OR EXISTS (SELECT 1 FROM old_slugs o WHERE o.tenant_id = t.id AND instr(o.slug, ?) > 0))`);
    params.push(search, search, search, search, search);
  }
  return { where: parts.join(" AND "), params };
}
