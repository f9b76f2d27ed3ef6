/**
 * Accounts for bots: members without a person, of one tenant for good, in control.db. Owns: their making. They act by
 * API tokens made for them and have no other way in. Refuses to know: tokens, transports.
 */
import { auditRecord } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { newId, type TenantId, type UserId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Database } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { Role } from "../../tenancy/scopes.ts";
import { checkDisplayName } from "../../tenancy/tenant-checks.ts";
import { assertAllowed, changedMeanwhile, tenantIsFull } from "../members.ts";
import { standsStatement } from "./authority-sql.ts";
import { joinStatements, memberAudit } from "./membership-sql.ts";
import { authorityOf, mayGive } from "./role-rules.ts";
import { readCeilings } from "./tenant-settings.ts";

/** See the head of this file. */
export class ServiceAccounts {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /**
   * Make one. It is put out like any member (`Members.remove`). Throws `forbidden` for a role that `by` may not give,
   * and for `owner` always; `limit_reached`, `invalid_request` for a bad name.
   */
  async create(tenantId: TenantId, input: { name: string; role: Role }, by: Actor): Promise<UserId> {
    const { serviceAccounts: ceiling } = await readCeilings(this.control, tenantId);
    assertAllowed(mayGive(authorityOf(by), input.role, ceiling));
    if (input.role === "owner") throw new AppError("forbidden", "A service account cannot own a tenant.");
    const name = checkDisplayName(input.name);
    const nowMs = this.clock.nowMs();
    const userId = newId() as UserId;
    const record = auditRecord(nowMs, by, "service_account.created", { kind: "member", id: userId });
    const outcome = await this.control.write({
      statements: [
        standsStatement(tenantId, by, input.role),
        {
          sql: `SELECT 1 WHERE (SELECT count(*) FROM members m JOIN users u ON u.id = m.user_id
            WHERE m.tenant_id = ? AND u.service_of IS NOT NULL) < ?`,
          params: [tenantId, LIMITS.serviceAccountsPerTenant],
          expect: 1,
        },
        {
          sql: `INSERT INTO users (id, display_name, language, created_at_ms, service_of, only_tenant_id)
            VALUES (?, ?, NULL, ?, ?, ?)`,
          params: [userId, name, nowMs, tenantId, tenantId],
          expect: 1,
        },
        ...joinStatements(tenantId, userId, input.role, nowMs),
        memberAudit(tenantId, userId, record),
      ],
    });
    if (outcome.committed) return userId;
    if (outcome.refusedAt === 0) throw changedMeanwhile();
    if (outcome.refusedAt === 1) {
      throw new AppError(
        "limit_reached",
        `A tenant holds at most ${LIMITS.serviceAccountsPerTenant} service accounts.`,
      );
    }
    throw tenantIsFull();
  }
}
