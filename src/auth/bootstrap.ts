/**
 * The first start of a deployment. Owns: making its operator and its first tenant, once, whoever starts first.
 * Refuses to know: folders and agents of the tenant (whoever calls makes those from `createdTenant`).
 */
import { auditRecord, auditStatementWhere } from "../audit/record.ts";
import type { Clock } from "../kernel/clock.ts";
import { newId, type TenantId, type UserId } from "../kernel/ids.ts";
import type { Database } from "../storage/database.ts";
import { SYSTEM } from "../tenancy/actor.ts";
import { checkNewSlug, type Tenant } from "../tenancy/tenant.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import type { LoginLinks } from "./browser/login-links.ts";
import { needsNameStatement } from "./people/tenant-settings.ts";
import type { User, Users } from "./users.ts";

/** What a start found or made. */
export interface FirstRun {
  /** The tenant made just now; null when there were tenants already. */
  createdTenant: Tenant | null;
  /** The platform's operator. */
  user: User;
  /** A fresh sign-in link's secret while the operator has never signed in; else null. */
  loginLinkSecret: string | null;
}

/** What the first start needs. */
export interface FirstRunDeps {
  control: Database;
  clock: Clock;
  tenants: Tenants;
  users: Users;
  links: LoginLinks;
}

/**
 * Make the operator and the first tenant, which nobody named yet, unless they are there. One transaction: a crash leaves all of it or nothing,
 * and of two starters one makes and the other finds. Throws `invalid_request` for a bad slug.
 */
export async function ensureFirstRun(
  deps: FirstRunDeps,
  options: { tenantSlug: string; operatorName?: string; timeZone?: string },
): Promise<FirstRun> {
  const slug = checkNewSlug(options.tenantSlug);
  const tenantId = newId() as TenantId;
  await deps.control.write({
    statements: firstStatements({
      userId: newId() as UserId,
      tenantId,
      slug,
      operatorName: options.operatorName ?? "Operator",
      timeZone: options.timeZone ?? "UTC",
      nowMs: deps.clock.nowMs(),
    }),
  });
  const user = await deps.users.findOperator();
  if (user === undefined) throw new Error("the first start left no operator");
  const createdTenant = (await deps.tenants.findById(tenantId)) ?? null;
  const [membership] = await deps.control.list<{ tenant_id: string }>(
    "SELECT tenant_id FROM members WHERE user_id = ? ORDER BY created_at_ms LIMIT 1",
    [user.id],
  );
  const leadsTo = (membership?.tenant_id ?? null) as TenantId | null;
  const hasSignedIn = await deps.links.wasUsedBy(user.id);
  return {
    createdTenant,
    user,
    loginLinkSecret: hasSignedIn ? null : await deps.links.create(user.id, leadsTo),
  };
}

function firstStatements(first: {
  userId: UserId;
  tenantId: TenantId;
  slug: string;
  operatorName: string;
  timeZone: string;
  nowMs: number;
}) {
  return [
    {
      sql: `INSERT INTO users (id, display_name, language, created_at_ms) SELECT ?, ?, NULL, ?
        WHERE NOT EXISTS (SELECT 1 FROM operators)`,
      params: [first.userId, first.operatorName, first.nowMs],
    },
    {
      sql: `INSERT INTO operators (user_id, since_ms) SELECT id, ? FROM users WHERE id = ?`,
      params: [first.nowMs, first.userId],
    },
    {
      sql: `INSERT INTO tenants (id, slug, display_name, status, plan, time_zone, created_at_ms)
        SELECT ?, ?, ?, 'active', coalesce((SELECT plan FROM default_plan), 'unlimited'), ?, ?
        WHERE NOT EXISTS (SELECT 1 FROM tenants)
        AND NOT EXISTS (SELECT 1 FROM tenant_receipts)`,
      params: [first.tenantId, first.slug, titleOf(first.slug), first.timeZone, first.nowMs],
    },
    {
      sql: `INSERT INTO members (tenant_id, user_id, role, created_at_ms)
        SELECT t.id, (SELECT user_id FROM operators ORDER BY since_ms, user_id LIMIT 1), 'owner', ?
        FROM tenants t WHERE t.id = ?`,
      params: [first.nowMs, first.tenantId],
    },
    needsNameStatement(first.tenantId),
    auditStatementWhere(
      auditRecord(
        first.nowMs,
        SYSTEM,
        "tenant.created",
        { kind: "tenant", id: first.tenantId, name: first.slug },
        { slug: first.slug, isFirst: true },
      ),
      "SELECT id AS tenant_id FROM tenants WHERE id = ?",
      [first.tenantId],
    ),
  ];
}

function titleOf(slug: string): string {
  return slug.charAt(0).toUpperCase() + slug.slice(1);
}
