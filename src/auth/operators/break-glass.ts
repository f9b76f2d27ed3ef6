/**
 * Operators looking into a tenant they are no member of, in control.db. Owns: the turns of such a grant (asked for,
 * consented to, begun, ended), its time, what was looked at; and that each is on the tenant's own record.
 * Refuses to know: transports; what a grant lets somebody do (authenticate and scopes do: read, nothing else).
 */
import { type AuditRecord, auditRecord, auditStatement } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { isUuid, newId, type TenantId, type UserId } from "../../kernel/ids.ts";
import type { Database, SqlValue, Statement } from "../../storage/database.ts";
import { type Actor, SYSTEM } from "../../tenancy/actor.ts";

/** How far a grant is. */
export type GrantState = "waiting" | "active" | "ended" | "refused" | "expired";

/** One look of one operator into one tenant. */
export interface Grant {
  id: string;
  tenantId: TenantId;
  operatorId: UserId;
  /** As it was when it was asked for. */
  operatorName: string;
  reason: string;
  minutes: number;
  state: GrantState;
  requestedAtMs: number;
  startedAtMs: number | null;
  /** While waiting: when the request lapses. While active: when it ends. Afterwards: when it would have. */
  untilMs: number;
  endedAtMs: number | null;
}

interface GrantRow {
  id: string;
  tenant_id: string;
  operator_id: string;
  operator_name: string;
  reason: string;
  minutes: number;
  state: string;
  requested_at_ms: number;
  started_at_ms: number | null;
  until_ms: number;
  ended_at_ms: number | null;
}

/** How long a request waits for a tenant's consent. */
const WAIT_MS = 24 * 3600 * 1000;
/** Grants that are over are shown to the tenant this long; its audit log keeps them for ever. */
const SHOWN_MS = 30 * 24 * 3600 * 1000;
const LISTED = 50;
const SWEPT = 100;

const IS_OPERATOR = "EXISTS (SELECT 1 FROM operators o WHERE o.user_id = g.operator_id)";

/** See the head of this file. */
export class BreakGlass {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /** Whether looking in waits for the tenant's consent. */
  async needsConsent(tenantId: TenantId): Promise<boolean> {
    const row = await this.control.find<{ needs: number }>(
      "SELECT break_glass_consent AS needs FROM tenant_settings WHERE tenant_id = ?",
      [tenantId],
    );
    return row?.needs === 1;
  }

  /** The statement that sets whether consent is needed, for the batch that changes a tenant's settings. */
  consentStatement(tenantId: TenantId, isNeeded: boolean): Statement {
    return {
      sql: `INSERT INTO tenant_settings (tenant_id, break_glass_consent) VALUES (?, ?)
        ON CONFLICT (tenant_id) DO UPDATE SET break_glass_consent = excluded.break_glass_consent`,
      params: [tenantId, isNeeded ? 1 : 0],
      expect: 1,
    };
  }

  /**
   * Ask to look in; begins at once unless the tenant wants to be asked. Throws `conflict` when there is an open grant, the
   * tenant does not serve, or the operator is a member anyway.
   */
  async request(
    asked: { tenantId: TenantId; operatorId: UserId; operatorName: string; reason: string; minutes: number },
    by: Actor,
  ): Promise<Grant> {
    const { tenantId, operatorId, operatorName, reason, minutes } = asked;
    const nowMs = this.clock.nowMs();
    const isWaiting = await this.needsConsent(tenantId);
    const id = newId();
    const untilMs = nowMs + (isWaiting ? WAIT_MS : minutes * 60_000);
    const [state, startedAtMs] = isWaiting ? ["waiting", null] : ["active", nowMs];
    const open: SqlValue[] = [id, tenantId, operatorId, operatorName, reason, minutes, state];
    const told = { reason, minutes, needsConsent: isWaiting };
    const outcome = await this.control.write({
      statements: [
        {
          // SECURITY: whether consent is needed is decided inside; a setting that changes meanwhile refuses the batch.
          sql: `INSERT INTO break_glass_grants (id, tenant_id, operator_id, operator_name, reason, minutes, state,
              requested_at_ms, started_at_ms, until_ms)
            SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
            WHERE coalesce((SELECT break_glass_consent FROM tenant_settings WHERE tenant_id = ?), 0) = ?
              AND EXISTS (SELECT 1 FROM operators WHERE user_id = ?)
              AND EXISTS (SELECT 1 FROM tenants WHERE id = ? AND (status = 'active' OR read_only_until_ms > ?))
              AND NOT EXISTS (SELECT 1 FROM members WHERE tenant_id = ? AND user_id = ?)
            ON CONFLICT DO NOTHING`,
          params: [
            ...[...open, nowMs, startedAtMs ?? null, untilMs, tenantId, isWaiting ? 1 : 0, operatorId],
            ...[tenantId, nowMs, tenantId, operatorId],
          ],
          expect: 1,
        },
        this.onRecord(tenantId, by, "break_glass.requested", id, operatorName, told),
        ...(isWaiting
          ? []
          : [this.onRecord(tenantId, by, "break_glass.started", id, operatorName, { untilMs })]),
      ],
    });
    if (!outcome.committed) throw await this.refusalOf(tenantId, operatorId);
    return this.get(tenantId, id);
  }

  /** Say yes for the tenant; the time begins now. Throws `not_found`, `conflict` when it no longer waits. */
  async consent(tenantId: TenantId, id: string, by: Actor): Promise<Grant> {
    const { operatorName, minutes } = await this.get(tenantId, id);
    const nowMs = this.clock.nowMs();
    const untilMs = nowMs + minutes * 60_000;
    return this.turn(tenantId, id, {
      set: "state = 'active', started_at_ms = ?, until_ms = ?",
      params: [nowMs, untilMs],
      where: "state = 'waiting' AND until_ms > ?",
      values: [nowMs],
      records: [
        this.onRecord(tenantId, by, "break_glass.consented", id, operatorName, {}),
        this.onRecord(tenantId, by, "break_glass.started", id, operatorName, { untilMs }),
      ],
    });
  }

  /** Say no for the tenant. Throws `not_found`, `conflict` when it no longer waits. */
  async refuse(tenantId: TenantId, id: string, by: Actor): Promise<Grant> {
    const { operatorName } = await this.get(tenantId, id);
    return this.turn(tenantId, id, {
      set: "state = 'refused', ended_at_ms = ?",
      params: [this.clock.nowMs()],
      where: "state = 'waiting'",
      values: [],
      records: [this.onRecord(tenantId, by, "break_glass.refused", id, operatorName, {})],
    });
  }

  /** End it now, by either side. Throws `not_found`, `conflict` when it is over. */
  async end(tenantId: TenantId, id: string, by: Actor): Promise<Grant> {
    return this.close(await this.get(tenantId, id), "ended", by);
  }

  /** End what is over by time; returns how many grants were. */
  async sweep(): Promise<number> {
    const rows = await this.control.list<GrantRow>(
      `SELECT g.* FROM break_glass_grants g WHERE g.state IN ('waiting', 'active')
        AND (g.until_ms <= ? OR NOT ${IS_OPERATOR}) ORDER BY g.until_ms LIMIT ?`,
      [this.clock.nowMs(), SWEPT],
    );
    for (const grant of rows.map(toGrant)) {
      // Another process may have been first.
      await this.close(grant, grant.state === "waiting" ? "expired" : "ended", SYSTEM).catch(ignoreConflict);
    }
    return rows.length;
  }

  /** The grant by which an operator may read in a tenant now. */
  async findActive(tenantId: TenantId, operatorId: UserId): Promise<Grant | undefined> {
    const row = await this.control.find<GrantRow>(
      `SELECT g.* FROM break_glass_grants g WHERE g.tenant_id = ? AND g.operator_id = ? AND g.state = 'active'
        AND g.until_ms > ? AND ${IS_OPERATOR}`,
      [tenantId, operatorId, this.clock.nowMs()],
    );
    return row === undefined ? undefined : toGrant(row);
  }

  /** An operator's grants that wait or are active, oldest first. */
  async listOpenOf(operatorId: UserId): Promise<Grant[]> {
    const rows = await this.control.list<GrantRow>(
      `SELECT g.* FROM break_glass_grants g WHERE g.operator_id = ? AND g.state IN ('waiting', 'active')
        AND g.until_ms > ? AND ${IS_OPERATOR} ORDER BY g.requested_at_ms LIMIT ?`,
      [operatorId, this.clock.nowMs(), LISTED],
    );
    return rows.map(toGrant);
  }

  /** A tenant's grants: the open ones and those of the last 30 days, newest first. */
  async list(tenantId: TenantId): Promise<Grant[]> {
    const rows = await this.control.list<GrantRow>(
      `SELECT * FROM break_glass_grants WHERE tenant_id = ? AND (state IN ('waiting', 'active') OR requested_at_ms > ?)
        ORDER BY requested_at_ms DESC, id DESC LIMIT ?`,
      [tenantId, this.clock.nowMs() - SHOWN_MS, LISTED],
    );
    return rows.map(toGrant);
  }

  /** What was looked at under a grant, by method or route, most often first. */
  async listUses(tenantId: TenantId, id: string): Promise<{ what: string; times: number }[]> {
    return this.control.list<{ what: string; times: number }>(
      "SELECT what, times FROM break_glass_uses WHERE tenant_id = ? AND grant_id = ? ORDER BY times DESC, what LIMIT ?",
      [tenantId, id, LISTED],
    );
  }

  /** Note that an operator looked at something; on disk when it resolves, so before they see it. */
  async noteUse(tenantId: TenantId, operatorId: UserId, what: string): Promise<void> {
    await this.control.write({
      statements: [
        {
          sql: `INSERT INTO break_glass_uses (tenant_id, grant_id, what, times)
            SELECT tenant_id, id, ?, 1 FROM break_glass_grants
              WHERE tenant_id = ? AND operator_id = ? AND state = 'active'
            ON CONFLICT (grant_id, what) DO UPDATE SET times = times + 1`,
          params: [what.slice(0, 200), tenantId, operatorId],
        },
      ],
    });
  }

  private async close(grant: Grant, state: "ended" | "expired", by: Actor): Promise<Grant> {
    const { tenantId, id, operatorName } = grant;
    const uses = await this.listUses(tenantId, id);
    const wasStarted = grant.startedAtMs !== null;
    const details = { wasStarted, looked: Object.fromEntries(uses.map((use) => [use.what, use.times])) };
    return this.turn(tenantId, id, {
      set: "state = ?, ended_at_ms = ?",
      params: [state, this.clock.nowMs()],
      where: "state IN ('waiting', 'active')",
      values: [],
      records: [this.onRecord(tenantId, by, "break_glass.ended", id, operatorName, details)],
    });
  }

  private async turn(
    tenantId: TenantId,
    id: string,
    turn: {
      set: string;
      params: readonly SqlValue[];
      where: string;
      values: readonly SqlValue[];
      records: readonly Statement[];
    },
  ): Promise<Grant> {
    const outcome = await this.control.write({
      statements: [
        {
          sql: `UPDATE break_glass_grants SET ${turn.set} WHERE id = ? AND tenant_id = ? AND (${turn.where})`,
          params: [...turn.params, id, tenantId, ...turn.values],
          expect: 1,
        },
        ...turn.records,
      ],
    });
    if (!outcome.committed) throw new AppError("conflict", "This access has ended or was decided already.");
    return this.get(tenantId, id);
  }

  /** SECURITY: a grant is only found through its tenant. */
  private async get(tenantId: TenantId, id: string): Promise<Grant> {
    const row = isUuid(id)
      ? await this.control.find<GrantRow>("SELECT * FROM break_glass_grants WHERE id = ? AND tenant_id = ?", [
          id,
          tenantId,
        ])
      : undefined;
    if (row === undefined) throw new AppError("not_found", "There is no such access.");
    return toGrant(row);
  }

  private async refusalOf(tenantId: TenantId, operatorId: UserId): Promise<AppError> {
    const open = (await this.listOpenOf(operatorId)).some((grant) => grant.tenantId === tenantId);
    if (open) return new AppError("conflict", "You have asked for or hold access to this tenant already.");
    return new AppError("conflict", "This tenant does not serve now, or you are one of its members.");
  }

  private onRecord(
    tenantId: TenantId,
    by: Actor,
    action: string,
    id: string,
    operatorName: string,
    details: Readonly<Record<string, unknown>>,
  ): Statement {
    const target = { kind: "break_glass", id, name: operatorName };
    const record: AuditRecord = auditRecord(this.clock.nowMs(), by, action, target, details);
    return auditStatement(tenantId, record);
  }
}

function ignoreConflict(thrown: unknown): void {
  if (!(thrown instanceof AppError) || (thrown.code !== "conflict" && thrown.code !== "not_found"))
    throw thrown;
}

function toGrant(row: GrantRow): Grant {
  return {
    id: row.id,
    tenantId: row.tenant_id as TenantId,
    operatorId: row.operator_id as UserId,
    operatorName: row.operator_name,
    reason: row.reason,
    minutes: row.minutes,
    state: row.state as GrantState,
    requestedAtMs: row.requested_at_ms,
    startedAtMs: row.started_at_ms,
    untilMs: row.until_ms,
    endedAtMs: row.ended_at_ms,
  };
}
