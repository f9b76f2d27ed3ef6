/**
 * What a tenant decides about itself, in control.db: its name, its ceilings, who may ask to join. Owns: those facts and
 * their change. Refuses to know: slugs and the life of a tenant (tenancy does), who may change what (routes do).
 */
import { auditRecord, auditStatement } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { Role } from "../../tenancy/scopes.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import { checkDisplayName, checkTimeZone } from "../../tenancy/tenant-checks.ts";
import { standsStatement } from "./authority-sql.ts";
import { type Ceilings, DEFAULT_CEILINGS } from "./role-rules.ts";

/** What a tenant decided. */
export interface TenantSettings {
  /** Whether nobody gave it a name of its own yet. */
  needsName: boolean;
  /** Whether strangers may ask to join. */
  joinRequests: boolean;
  /** Whether an operator needs the tenant's consent to look inside. */
  breakGlassConsent: boolean;
  ceilings: Ceilings;
}

/** What can be changed; what is left out stays. */
export interface TenantChange {
  displayName?: string | undefined;
  timeZone?: string | undefined;
  joinRequests?: boolean | undefined;
  breakGlassConsent?: boolean | undefined;
  ceilings?: Partial<Ceilings> | undefined;
}

interface RulesRow {
  needs_name: number | null;
  takes_join_requests: number | null;
  role_ceiling: string | null;
  invitation_ceiling: string | null;
  service_account_ceiling: string | null;
}

interface SettingsRow extends RulesRow {
  break_glass_consent: number | null;
}

const RULES =
  "r.needs_name, r.takes_join_requests, r.role_ceiling, r.invitation_ceiling, r.service_account_ceiling";

/** See the head of this file. */
export class TenantSettingsStore {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  async get(tenantId: TenantId): Promise<TenantSettings> {
    const row = await this.control.find<SettingsRow>(
      `SELECT ${RULES}, s.break_glass_consent FROM tenants t LEFT JOIN membership_rules r ON r.tenant_id = t.id
        LEFT JOIN tenant_settings s ON s.tenant_id = t.id WHERE t.id = ?`,
      [tenantId],
    );
    return {
      needsName: row?.needs_name === 1,
      joinRequests: row?.takes_join_requests === 1,
      breakGlassConsent: row?.break_glass_consent === 1,
      ceilings: toCeilings(row),
    };
  }

  /**
   * Change what is given, in one commit with its record. Throws `invalid_request` for a bad name or time zone,
   * `forbidden` when `by` is no admin any more (no owner, for ceilings).
   */
  async change(tenant: Tenant, change: TenantChange, by: Actor): Promise<void> {
    const given = checkTenantChange(change);
    const before = {
      displayName: tenant.displayName,
      timeZone: tenant.timeZone,
      ...(await this.get(tenant.id)),
    };
    const details = differences(before, given);
    if (Object.keys(details).length === 0 && !(before.needsName && given.displayName !== undefined)) return;
    const target = { kind: "tenant", id: tenant.id, name: given.displayName ?? tenant.displayName };
    const record = auditRecord(this.clock.nowMs(), by, "tenant.changed", target, details);
    const needed: Role = given.ceilings === undefined ? "admin" : "owner";
    const outcome = await this.control.write({
      statements: [
        standsStatement(tenant.id, by, needed),
        ...changeStatements(tenant.id, given),
        auditStatement(tenant.id, record),
      ],
    });
    if (!outcome.committed) throw new AppError("forbidden", "Your role does not allow that any more.");
  }

  /** Note that somebody gave the tenant a name of its own. */
  async noteNamed(tenantId: TenantId): Promise<void> {
    await this.control.write({
      statements: [
        { sql: "UPDATE membership_rules SET needs_name = 0 WHERE tenant_id = ?", params: [tenantId] },
      ],
    });
  }
}

/** The ceilings of a tenant. */
export async function readCeilings(control: Database, tenantId: TenantId): Promise<Ceilings> {
  const row = await control.find<RulesRow>(`SELECT ${RULES} FROM membership_rules r WHERE r.tenant_id = ?`, [
    tenantId,
  ]);
  return toCeilings(row);
}

/** The statement that marks a tenant as not named yet. */
export function needsNameStatement(tenantId: TenantId): Statement {
  return {
    sql: `INSERT INTO membership_rules (tenant_id, needs_name) SELECT id, 1 FROM tenants WHERE id = ?
      ON CONFLICT DO NOTHING`,
    params: [tenantId],
  };
}

function toCeilings(row: RulesRow | undefined): Ceilings {
  return {
    roles: (row?.role_ceiling ?? DEFAULT_CEILINGS.roles) as Role,
    invitations: (row?.invitation_ceiling ?? DEFAULT_CEILINGS.invitations) as Role,
    serviceAccounts: (row?.service_account_ceiling ?? DEFAULT_CEILINGS.serviceAccounts) as Role,
  };
}

/** The same change with its texts in their stored form; throws `invalid_request`. */
export function checkTenantChange(change: TenantChange): TenantChange {
  const { displayName, timeZone, joinRequests, breakGlassConsent, ceilings } = change;
  if (ceilings?.serviceAccounts === "owner") {
    throw new AppError("invalid_request", "A service account cannot own a tenant.");
  }
  return {
    ...(displayName === undefined ? {} : { displayName: checkDisplayName(displayName) }),
    ...(timeZone === undefined ? {} : { timeZone: checkTimeZone(timeZone) }),
    ...(joinRequests === undefined ? {} : { joinRequests }),
    ...(breakGlassConsent === undefined ? {} : { breakGlassConsent }),
    ...(ceilings === undefined ? {} : { ceilings }),
  };
}

/** What a change really changes, as `{field: {from, to}}`. */
function differences(before: TenantChange, given: TenantChange): Record<string, unknown> {
  const plain = (["displayName", "timeZone", "joinRequests", "breakGlassConsent"] as const)
    .filter((field) => given[field] !== undefined && given[field] !== before[field])
    .map((field) => [field, { from: before[field], to: given[field] }] as const);
  const ceilings = (["roles", "invitations", "serviceAccounts"] as const)
    .filter((one) => given.ceilings?.[one] !== undefined && given.ceilings[one] !== before.ceilings?.[one])
    .map((one) => [`ceilings.${one}`, { from: before.ceilings?.[one], to: given.ceilings?.[one] }] as const);
  return Object.fromEntries([...plain, ...ceilings]);
}

function changeStatements(tenantId: TenantId, given: TenantChange): Statement[] {
  const { displayName = null, timeZone = null, joinRequests, breakGlassConsent, ceilings = {} } = given;
  const consent = {
    sql: `INSERT INTO tenant_settings (tenant_id, break_glass_consent) VALUES (?, ?)
      ON CONFLICT DO UPDATE SET break_glass_consent = excluded.break_glass_consent`,
    params: [tenantId, Number(breakGlassConsent ?? false)],
  };
  return [
    {
      sql: `UPDATE tenants SET display_name = coalesce(?, display_name), time_zone = coalesce(?, time_zone)
        WHERE id = ?`,
      params: [displayName, timeZone, tenantId],
      expect: 1,
    },
    { sql: "INSERT INTO membership_rules (tenant_id) VALUES (?) ON CONFLICT DO NOTHING", params: [tenantId] },
    {
      sql: `UPDATE membership_rules SET
          needs_name = CASE WHEN ? THEN 0 ELSE needs_name END,
          takes_join_requests = coalesce(?, takes_join_requests),
          role_ceiling = coalesce(?, role_ceiling),
          invitation_ceiling = coalesce(?, invitation_ceiling),
          service_account_ceiling = coalesce(?, service_account_ceiling)
        WHERE tenant_id = ?`,
      params: [
        displayName === null ? 0 : 1,
        joinRequests === undefined ? null : Number(joinRequests),
        ceilings.roles ?? null,
        ceilings.invitations ?? null,
        ceilings.serviceAccounts ?? null,
        tenantId,
      ],
      expect: 1,
    },
    ...(breakGlassConsent === undefined ? [] : [consent]),
  ];
}
