/**
 * The directory of tenants, in control.db. Owns: finding, making and changing tenants, the turns of their lives.
 * Refuses to know: members, credentials, contents; removing what a tenant held (admin/purge does).
 */
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { newId, type TenantId } from "../kernel/ids.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { Database, SqlValue, Statement } from "../storage/database.ts";
import { type Actor, SYSTEM } from "./actor.ts";
import { checkNewSlug, type Tenant } from "./tenant.ts";
import { checkDisplayName, checkHost, checkReason, checkTimeZone } from "./tenant-checks.ts";
import { fromRow, SELECT_TENANT, type TenantRow, toTenant } from "./tenant-row.ts";

/** Makes the statements that put an act on a tenant on record; they are part of the act's own commit. */
export type TenantRecorder = (act: TenantAct) => readonly Statement[];

/** An act on a tenant. */
export interface TenantAct {
  tenantId: TenantId;
  slug: string;
  atMs: number;
  by: Actor;
  /** E.g. `tenant.renamed`. */
  action: string;
  details: Readonly<Record<string, unknown>>;
}

/** What of a tenant can be changed besides its slug and its status. */
export interface TenantChange {
  displayName?: string | undefined;
  hosts?: readonly string[] | undefined;
  plan?: string | undefined;
  timeZone?: string | undefined;
}

/** The plan before any configuration said otherwise. */
const NO_LIMITS = "unlimited";

/** How long a deletion can be taken back. */
export const UNDO_MS = 7 * 24 * 3600 * 1000;
/** Longest grace of a suspension. */
export const GRACE_MS = 30 * 24 * 3600 * 1000;

/** See the head of this file. */
export class Tenants {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly record: TenantRecorder;

  constructor(control: Database, clock: Clock, record: TenantRecorder) {
    this.control = control;
    this.clock = clock;
    this.record = record;
  }

  async findById(id: string): Promise<Tenant | undefined> {
    return fromRow(await this.control.find<TenantRow>(`${SELECT_TENANT} WHERE t.id = ?`, [id]));
  }

  /** By its slug or one that it had before. */
  async findBySlug(slug: string): Promise<Tenant | undefined> {
    const row = await this.control.find<TenantRow>(
      `${SELECT_TENANT} WHERE t.id = coalesce((SELECT id FROM tenants WHERE slug = ?),
        (SELECT tenant_id FROM old_slugs WHERE slug = ?))`,
      [slug, slug],
    );
    return fromRow(row);
  }

  /** @param host canonical, see tenancy/resolve */
  async findByHost(host: string): Promise<Tenant | undefined> {
    return fromRow(
      await this.control.find<TenantRow>(
        `${SELECT_TENANT} WHERE t.id = (SELECT tenant_id FROM tenant_hosts WHERE host = ?)`,
        [host],
      ),
    );
  }

  /** By slug, also an old one; throws `not_found`. */
  async getBySlug(slug: string): Promise<Tenant> {
    const tenant = await this.findBySlug(slug);
    if (tenant === undefined) throw new AppError("not_found", `There is no tenant "${slug}".`);
    return tenant;
  }

  /** By id; throws `not_found`. */
  async getById(id: string): Promise<Tenant> {
    const tenant = await this.findById(id);
    if (tenant === undefined) throw new AppError("not_found", "There is no such tenant.");
    return tenant;
  }

  /** At most `limit` tenants, by slug, after the slug `after`. */
  async list(limit = 1_000, after = ""): Promise<Tenant[]> {
    const rows = await this.control.list<TenantRow>(
      `${SELECT_TENANT} WHERE t.slug > ? ORDER BY t.slug LIMIT ?`,
      [after, limit],
    );
    return rows.map((row) => toTenant(row));
  }

  async count(): Promise<number> {
    return (await this.control.find<{ n: number }>("SELECT count(*) AS n FROM tenants"))?.n ?? 0;
  }

  /** Slugs that a tenant had before, newest first. */
  async listOldSlugs(id: TenantId): Promise<string[]> {
    const rows = await this.control.list<{ slug: string }>(
      "SELECT slug FROM old_slugs WHERE tenant_id = ? ORDER BY retired_at_ms DESC, slug LIMIT ?",
      [id, LIMITS.listRows],
    );
    return rows.map((row) => row.slug);
  }

  /**
   * Make a tenant; throws `invalid_request` for a bad slug, host or time zone, `conflict` when one is taken.
   * @param also what becomes durable with it, e.g. its owner
   */
  async create(
    input: {
      slug: string;
      displayName?: string | undefined;
      hosts?: readonly string[];
      timeZone?: string;
      plan?: string;
    },
    by: Actor = SYSTEM,
    also: (made: Tenant) => readonly Statement[] = () => [],
  ): Promise<Tenant> {
    const tenant: Tenant = {
      id: newId() as TenantId,
      slug: checkNewSlug(input.slug),
      displayName: checkDisplayName(input.displayName ?? input.slug),
      hosts: (input.hosts ?? []).map(checkHost),
      status: "active",
      plan: input.plan ?? (await this.defaultPlan()),
      timeZone: checkTimeZone(input.timeZone ?? "UTC"),
      createdAtMs: this.clock.nowMs(),
      readOnlyUntilMs: null,
      deleteAfterMs: null,
    };
    const { id, slug, displayName, status, plan, timeZone, createdAtMs } = tenant;
    const outcome = await this.control.write({
      statements: [
        {
          // A slug that another tenant had once is refused by a trigger (migrations/control/0011-lifecycle.sql).
          sql: `INSERT INTO tenants (id, slug, display_name, status, plan, time_zone, created_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          params: [id, slug, displayName, status, plan, timeZone, createdAtMs],
          expect: 1,
        },
        ...hostStatements(id, tenant.hosts),
        ...this.acts(tenant, by, "tenant.created", { slug, displayName }),
        ...also(tenant),
      ],
    });
    if (!outcome.committed) throw new AppError("conflict", "That slug or host is taken.");
    return tenant;
  }

  /**
   * Give a tenant another slug. The old one goes on naming it and nobody else ever gets it; going back to an old slug of
   * its own is fine. Throws `invalid_request`, `conflict` when it is or was another's, `limit_reached`.
   */
  async rename(id: TenantId, slug: string, by: Actor = SYSTEM): Promise<Tenant> {
    const tenant = await this.getById(id);
    const wanted = checkNewSlug(slug);
    if (wanted === tenant.slug) return tenant;
    const old = await this.listOldSlugs(id);
    if (!old.includes(wanted) && old.length >= LIMITS.oldSlugsPerTenant) {
      throw new AppError(
        "limit_reached",
        `A tenant keeps at most ${LIMITS.oldSlugsPerTenant} old slugs; go back to one of them.`,
      );
    }
    const nowMs = this.clock.nowMs();
    const outcome = await this.control.write({
      statements: [
        {
          // SECURITY: taken or once another's: decided inside (UNIQUE and a trigger), so that of two renames one wins.
          sql: "UPDATE OR IGNORE tenants SET slug = ? WHERE id = ? AND slug = ? AND purge_began_at_ms IS NULL",
          params: [wanted, id, tenant.slug],
          expect: 1,
        },
        { sql: "DELETE FROM old_slugs WHERE slug = ? AND tenant_id = ?", params: [wanted, id] },
        {
          sql: "INSERT INTO old_slugs (slug, tenant_id, retired_at_ms) VALUES (?, ?, ?)",
          params: [tenant.slug, id, nowMs],
          expect: 1,
        },
        ...this.acts({ id, slug: wanted }, by, "tenant.renamed", { from: tenant.slug, to: wanted }),
      ],
    });
    if (!outcome.committed) throw new AppError("conflict", "That slug is taken.");
    return this.getById(id);
  }

  /** Change name, hosts, plan or time zone; throws `invalid_request`, `conflict` for a taken host, `not_found`. */
  async change(id: TenantId, change: TenantChange, by: Actor = SYSTEM): Promise<Tenant> {
    const before = await this.getById(id);
    const wanted = {
      displayName: change.displayName === undefined ? undefined : checkDisplayName(change.displayName),
      hosts: change.hosts?.map(checkHost),
      plan: change.plan === undefined ? undefined : checkDisplayName(change.plan),
      timeZone: change.timeZone === undefined ? undefined : checkTimeZone(change.timeZone),
    };
    const details = differences(before, wanted);
    if (Object.keys(details).length === 0) return before;
    const outcome = await this.control.write({
      statements: [
        {
          sql: `UPDATE tenants SET display_name = coalesce(?, display_name), plan = coalesce(?, plan),
            time_zone = coalesce(?, time_zone) WHERE id = ?`,
          params: [wanted.displayName ?? null, wanted.plan ?? null, wanted.timeZone ?? null, id],
          expect: 1,
        },
        ...(wanted.hosts === undefined
          ? []
          : [{ sql: "DELETE FROM tenant_hosts WHERE tenant_id = ?", params: [id] }]),
        ...hostStatements(id, wanted.hosts ?? []),
        ...this.acts(before, by, "tenant.changed", details),
      ],
    });
    if (!outcome.committed) throw new AppError("conflict", "That host is taken.");
    return this.getById(id);
  }

  /**
   * Suspend: reads are answered for `graceMs` (at most 30 days), then nothing. Running turns end. Doing it again changes
   * the grace. Throws `invalid_request`, `not_found`, `conflict` while the tenant is being deleted.
   */
  async suspend(
    id: TenantId,
    options: { graceMs?: number; reason?: string } = {},
    by: Actor = SYSTEM,
  ): Promise<Tenant> {
    const { graceMs = 0, reason = "" } = options;
    if (!(graceMs >= 0 && graceMs <= GRACE_MS))
      throw new AppError("invalid_request", "A grace is between 0 and 30 days long.");
    const nowMs = this.clock.nowMs();
    const untilMs = graceMs === 0 ? null : nowMs + graceMs;
    return this.turn(id, by, {
      set: "status = 'suspended', read_only_until_ms = ?, status_reason = ?, status_since_ms = ?",
      params: [untilMs, checkReason(reason), nowMs],
      where: "status IN ('active', 'suspended')",
      action: "tenant.suspended",
      details: { reason, readOnlyUntilMs: untilMs },
      refusal: "It is being deleted; restore it first.",
    });
  }

  /** End a suspension; nothing happens to an active tenant. Throws `not_found`, `conflict` while being deleted. */
  async resume(id: TenantId, by: Actor = SYSTEM): Promise<Tenant> {
    const tenant = await this.getById(id);
    if (tenant.status === "active") return tenant;
    return this.turn(id, by, {
      set: "status = 'active', read_only_until_ms = NULL, status_reason = NULL, status_since_ms = ?",
      params: [this.clock.nowMs()],
      where: "status = 'suspended'",
      action: "tenant.resumed",
      details: {},
      refusal: "It is being deleted; restore it first.",
    });
  }

  /** Close a tenant for good, unless it is restored within 7 days. Throws `not_found`, `conflict` when it is already. */
  async markDeleting(id: TenantId, options: { reason: string }, by: Actor = SYSTEM): Promise<Tenant> {
    const nowMs = this.clock.nowMs();
    return this.turn(id, by, {
      set: `status_before = status, status = 'deleting', read_only_until_ms = NULL, status_reason = ?,
        status_since_ms = ?, delete_after_ms = ?`,
      params: [checkReason(options.reason), nowMs, nowMs + UNDO_MS],
      where: "status IN ('active', 'suspended') OR (status = 'deleting' AND delete_after_ms IS NULL)",
      action: "tenant.deleting",
      details: { reason: options.reason, deleteAfterMs: nowMs + UNDO_MS },
      refusal: "It is being deleted already.",
    });
  }

  /**
   * Take a deletion back; the tenant is what it was before, a suspended one without grace. Throws `not_found`, `conflict`
   * when it is not being deleted or what it held is being removed.
   */
  async restore(id: TenantId, by: Actor = SYSTEM): Promise<Tenant> {
    return this.turn(id, by, {
      set: `status = CASE status_before WHEN 'suspended' THEN 'suspended' ELSE 'active' END, status_before = NULL,
        status_reason = NULL, status_since_ms = ?, delete_after_ms = NULL`,
      params: [this.clock.nowMs()],
      where: "status = 'deleting' AND purge_began_at_ms IS NULL",
      action: "tenant.restored",
      details: {},
      refusal: "It is not being deleted, or it is too late to take that back.",
    });
  }

  /** One turn in a tenant's life, conditions decided inside the statement. */
  private async turn(
    id: TenantId,
    by: Actor,
    turn: {
      set: string;
      params: readonly SqlValue[];
      where: string;
      action: string;
      details: Readonly<Record<string, unknown>>;
      refusal: string;
    },
  ): Promise<Tenant> {
    const tenant = await this.getById(id);
    const outcome = await this.control.write({
      statements: [
        {
          sql: `UPDATE tenants SET ${turn.set} WHERE id = ? AND (${turn.where})`,
          params: [...turn.params, id],
          expect: 1,
        },
        ...this.acts(tenant, by, turn.action, turn.details),
      ],
    });
    if (!outcome.committed) throw new AppError("conflict", turn.refusal);
    return this.getById(id);
  }

  /** The plan of tenants that nobody puts on one, as the running configuration has it. */
  private async defaultPlan(): Promise<string> {
    const row = await this.control.find<{ plan: string }>("SELECT plan FROM default_plan");
    return row?.plan ?? NO_LIMITS;
  }

  private acts(
    tenant: Pick<Tenant, "id" | "slug">,
    by: Actor,
    action: string,
    details: Readonly<Record<string, unknown>>,
  ): readonly Statement[] {
    return this.record({
      tenantId: tenant.id,
      slug: tenant.slug,
      atMs: this.clock.nowMs(),
      by,
      action,
      details,
    });
  }
}

function hostStatements(id: TenantId, hosts: readonly string[]): Statement[] {
  return hosts.map((host) => ({
    sql: "INSERT INTO tenant_hosts (host, tenant_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
    params: [host, id],
    expect: 1,
  }));
}

/** What a change really changes, as `{field: {from, to}}`. */
function differences(before: Tenant, wanted: TenantChange): Record<string, unknown> {
  const entries = (["displayName", "hosts", "plan", "timeZone"] as const)
    .filter((field) => wanted[field] !== undefined)
    .filter((field) => JSON.stringify(wanted[field]) !== JSON.stringify(before[field]))
    .map((field) => [field, { from: before[field], to: wanted[field] }]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}
