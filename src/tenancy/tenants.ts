/**
 * The directory of tenants, in control.db. Owns: finding, making and changing tenants.
 * Refuses to know: members, credentials, contents.
 */
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { newId, type TenantId } from "../kernel/ids.ts";
import type { Database } from "../storage/database.ts";
import { canonicalHost } from "./resolve.ts";
import { checkNewSlug, type Tenant, type TenantStatus } from "./tenant.ts";

interface TenantRow {
  id: string;
  slug: string;
  display_name: string;
  status: string;
  plan: string;
  time_zone: string;
  created_at_ms: number;
  hosts: string | null;
}

const SELECT = `SELECT t.*, (SELECT group_concat(h.host, ' ') FROM tenant_hosts h WHERE h.tenant_id = t.id) AS hosts
  FROM tenants t`;

/** See the head of this file. */
export class Tenants {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  async findById(id: string): Promise<Tenant | undefined> {
    return fromRow(await this.control.find<TenantRow>(`${SELECT} WHERE t.id = ?`, [id]));
  }

  async findBySlug(slug: string): Promise<Tenant | undefined> {
    return fromRow(await this.control.find<TenantRow>(`${SELECT} WHERE t.slug = ?`, [slug]));
  }

  /** @param host canonical, see tenancy/resolve */
  async findByHost(host: string): Promise<Tenant | undefined> {
    return fromRow(
      await this.control.find<TenantRow>(
        `${SELECT} WHERE t.id = (SELECT tenant_id FROM tenant_hosts WHERE host = ?)`,
        [host],
      ),
    );
  }

  /** By slug; throws `not_found`. */
  async getBySlug(slug: string): Promise<Tenant> {
    const tenant = await this.findBySlug(slug);
    if (tenant === undefined) throw new AppError("not_found", `There is no tenant "${slug}".`);
    return tenant;
  }

  /** At most `limit` tenants, by slug, after the slug `after`. */
  async list(limit = 1_000, after = ""): Promise<Tenant[]> {
    const rows = await this.control.list<TenantRow>(`${SELECT} WHERE t.slug > ? ORDER BY t.slug LIMIT ?`, [
      after,
      limit,
    ]);
    return rows.map((row) => toTenant(row));
  }

  async count(): Promise<number> {
    return (await this.control.find<{ n: number }>("SELECT count(*) AS n FROM tenants"))?.n ?? 0;
  }

  /** Make a tenant; throws `invalid_request` for a bad slug, host or time zone, `conflict` when one is taken. */
  async create(input: {
    slug: string;
    displayName?: string | undefined;
    hosts?: readonly string[];
    timeZone?: string;
    plan?: string;
  }): Promise<Tenant> {
    const tenant: Tenant = {
      id: newId() as TenantId,
      slug: checkNewSlug(input.slug),
      displayName: checkDisplayName(input.displayName ?? input.slug),
      hosts: (input.hosts ?? []).map(canonicalHost),
      status: "active",
      plan: input.plan ?? "free",
      timeZone: checkTimeZone(input.timeZone ?? "UTC"),
      createdAtMs: this.clock.nowMs(),
    };
    const outcome = await this.control.write({
      statements: [
        {
          sql: `INSERT INTO tenants (id, slug, display_name, status, plan, time_zone, created_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          params: [
            tenant.id,
            tenant.slug,
            tenant.displayName,
            tenant.status,
            tenant.plan,
            tenant.timeZone,
            tenant.createdAtMs,
          ],
          expect: 1,
        },
        ...tenant.hosts.map((host) => ({
          sql: "INSERT INTO tenant_hosts (host, tenant_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
          params: [host, tenant.id],
          expect: 1,
        })),
      ],
    });
    if (!outcome.committed) throw new AppError("conflict", "That slug or host is taken.");
    return tenant;
  }

  /** Suspend, resume or mark as deleting; throws `not_found`. */
  async setStatus(id: TenantId, status: TenantStatus): Promise<void> {
    const outcome = await this.control.write({
      statements: [{ sql: "UPDATE tenants SET status = ? WHERE id = ?", params: [status, id], expect: 1 }],
    });
    if (!outcome.committed) throw new AppError("not_found", "There is no such tenant.");
  }
}

/** A name for people: 1-100 characters, no control characters. Throws `invalid_request`. */
export function checkDisplayName(text: string): string {
  const name = text.trim();
  if (name.length === 0 || name.length > 100 || /\p{Cc}/u.test(name)) {
    throw new AppError("invalid_request", "A name has 1 to 100 characters and no control characters.");
  }
  return name;
}

function checkTimeZone(name: string): string {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone;
  } catch (cause) {
    throw new AppError("invalid_request", `"${name}" is not an IANA time zone.`, { cause });
  }
}

function fromRow(row: TenantRow | undefined): Tenant | undefined {
  return row === undefined ? undefined : toTenant(row);
}

function toTenant(row: TenantRow): Tenant {
  return {
    id: row.id as TenantId,
    slug: row.slug,
    displayName: row.display_name,
    hosts: row.hosts === null ? [] : row.hosts.split(" "),
    status: row.status as TenantStatus,
    plan: row.plan,
    timeZone: row.time_zone,
    createdAtMs: row.created_at_ms,
  };
}
