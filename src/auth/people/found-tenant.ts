/**
 * A person makes a tenant of their own. Owns: who may, how many, that it has its owner from the first moment.
 * Refuses to know: folders and agents of the tenant (the port `prepareTenant` makes them), transports.
 */
import { auditRecord } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { UserId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import { joinStatements, memberAudit } from "./membership-sql.ts";

/** Makes folders, database and the first agent of a tenant that was just made. */
export type PrepareTenant = (tenant: Tenant) => Promise<void>;

/** What founding needs. */
export interface FoundTenantDeps {
  control: Database;
  clock: Clock;
  tenants: Tenants;
  /** Whether everybody may, not only operators. */
  selfService: boolean;
  prepareTenant: PrepareTenant;
}

/** Who founds. */
export interface Founder {
  userId: UserId;
  isOperator: boolean;
}

/** Whether a person may make tenants. */
export function mayFound(deps: Pick<FoundTenantDeps, "selfService">, founder: Founder): boolean {
  return deps.selfService || founder.isOperator;
}

/**
 * Make a tenant owned by the founder, in one commit. Throws `forbidden`, `limit_reached` when they own as many as one
 * person may, `conflict` for a taken slug, `invalid_request`.
 */
export async function foundTenant(
  deps: FoundTenantDeps,
  founder: Founder,
  input: { slug: string; name: string; timeZone?: string | undefined },
  by: Actor,
): Promise<Tenant> {
  if (!mayFound(deps, founder)) {
    throw new AppError("forbidden", "Only an operator makes organizations on this deployment.");
  }
  await assertBelowLimit(deps, founder);
  const nowMs = deps.clock.nowMs();
  const { slug, name: displayName, timeZone } = input;
  const joined = auditRecord(nowMs, by, "member.joined", { kind: "member", id: founder.userId });
  const also = (made: Tenant) => [
    ...limitStatements(founder),
    ...joinStatements(made.id, founder.userId, "owner", nowMs),
    memberAudit(made.id, founder.userId, joined),
  ];
  const wanted = { slug, displayName, ...(timeZone === undefined ? {} : { timeZone }) };
  const tenant = await deps.tenants.create(wanted, by, also).catch(async (thrown: unknown) => {
    // Of several at once the last may be one too many, which the store calls a conflict.
    await assertBelowLimit(deps, founder);
    throw thrown;
  });
  await deps.prepareTenant(tenant);
  return tenant;
}

const OWNED = `SELECT count(*) FROM members m JOIN tenants t ON t.id = m.tenant_id
  WHERE m.user_id = ? AND m.role = 'owner' AND t.status <> 'deleting'`;

async function assertBelowLimit(deps: FoundTenantDeps, founder: Founder): Promise<void> {
  const row = await deps.control.find<{ owned: number; only_tenant_id: string | null }>(
    `SELECT (${OWNED}) AS owned, (SELECT only_tenant_id FROM users WHERE id = ?) AS only_tenant_id`,
    [founder.userId, founder.userId],
  );
  if (row !== undefined && row.only_tenant_id !== null) {
    throw new AppError("forbidden", "This account belongs to one organization and stays there.");
  }
  if (!founder.isOperator && (row?.owned ?? 0) >= LIMITS.tenantsPerPerson) {
    throw new AppError("limit_reached", `One person owns at most ${LIMITS.tenantsPerPerson} organizations.`);
  }
}

/** The same inside the commit: of many attempts at once none goes beyond the limit. */
function limitStatements({ userId, isOperator }: Founder): Statement[] {
  if (isOperator) return [];
  return [{ sql: `SELECT 1 WHERE (${OWNED}) < ?`, params: [userId, LIMITS.tenantsPerPerson], expect: 1 }];
}
