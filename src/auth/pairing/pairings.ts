/**
 * Letting devices in, in control.db. Owns: what becomes durable together when a device is let in, and the decision about
 * a waiting request. Refuses to know: frames, events, how a device proves its key.
 *
 * SECURITY: what a device gets is what it asked for, as far as whoever lets it in holds that at that moment; at use it is
 * bounded again by the present role of whoever answers for it (authenticate.ts).
 */
import { auditRecord, auditStatement } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { newId, type TenantId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { Principal } from "../../tenancy/principal.ts";
import { grantScopes, type Scope } from "../../tenancy/scopes.ts";
import { ANY_CLIENT, type DeviceHolder, type Devices, deviceSeenStatement } from "../devices.ts";
import type { DeviceFacts } from "./device.ts";
import { holderOf, standsStatement } from "./holder.ts";
import type { PairingRequest, PairingRequests } from "./pairing-requests.ts";

/** What was decided about a request. */
export type Approval = { request: PairingRequest; scopes: readonly Scope[] } | "unknown";

/** See the head of this file. */
export class Pairings {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly devices: Devices;
  private readonly requests: PairingRequests;

  constructor(control: Database, clock: Clock, devices: Devices, requests: PairingRequests) {
    this.control = control;
    this.clock = clock;
    this.devices = devices;
    this.requests = requests;
  }

  /**
   * Let a waiting device in. "unknown" for requests that do not wait (any more). Throws `forbidden` when the approver
   * holds nothing of what it asks for or lost their standing meanwhile, `limit_reached`.
   */
  async approve(principal: Principal, requestId: string, by: Actor): Promise<Approval> {
    const { tenantId, role } = principal;
    const request = await this.requests.findWaiting(tenantId, requestId);
    if (request === undefined) return "unknown";
    const scopes = grantScopes(request.scopes, [...principal.scopes]);
    if (scopes.length === 0) throw missingScope(request.scopes[0] ?? "operator.read");
    const holder = await holderOf(this.devices, principal);
    const nowMs = this.clock.nowMs();
    const target = { kind: "device", id: request.deviceId, name: request.displayName ?? undefined };
    const record = auditRecord(nowMs, by, "device.approved", target, { requestId, scopes, via: "approval" });
    const outcome = await this.control.write({
      statements: [
        this.requests.takeStatement(tenantId, requestId),
        standsStatement(tenantId, holder, role, nowMs),
        this.roomStatement(tenantId),
        ...this.letInStatements(tenantId, request, scopes, holder, "approval"),
        auditStatement(tenantId, record),
      ],
    });
    if (outcome.committed) return { request, scopes };
    if (outcome.refusedAt === 0) return "unknown";
    if (outcome.refusedAt === 1)
      throw new AppError("forbidden", "Your access changed; you cannot let devices in.");
    throw new AppError(
      "limit_reached",
      `A tenant lets at most ${LIMITS.pairedDevicesPerTenant} devices in. Remove some first.`,
    );
  }

  /** Refuses the batch when the tenant has as many paired devices as it may have. */
  roomStatement(tenantId: TenantId): Statement {
    return {
      sql: "SELECT 1 WHERE (SELECT count(*) FROM device_pairings WHERE tenant_id = ?) < ?",
      params: [tenantId, LIMITS.pairedDevicesPerTenant],
      expect: 1,
    };
  }

  /** The statements that let a device in, in place of any earlier pairing of the same device in the same tenant. */
  letInStatements(
    tenantId: TenantId,
    facts: DeviceFacts,
    scopes: readonly Scope[],
    holder: DeviceHolder,
    via: "approval" | "setup_code",
  ): Statement[] {
    const nowMs = this.clock.nowMs();
    const pairingId = newId();
    const { deviceId } = facts;
    const token = this.devices.make({
      ...{ tenantId, deviceId, scopes, userId: holder.userId, clientId: ANY_CLIENT },
      source: { kind: "pairing", id: pairingId },
    });
    return [
      ...endPairingStatements(tenantId, deviceId, nowMs),
      {
        sql: `INSERT INTO device_pairings (tenant_id, id, device_id, user_id, holder_kind, holder_id, scopes, via,
            approved_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        params: [
          ...[tenantId, pairingId, deviceId, holder.userId, holder.kind, holder.id],
          ...[scopes.join(" "), via, nowMs],
        ],
        expect: 1,
      },
      { ...token.insert, expect: 1 },
      deviceSeenStatement(tenantId, facts, nowMs, 1),
      // Whatever the device still asks is answered.
      {
        sql: "DELETE FROM device_requests WHERE tenant_id = ? AND device_id = ?",
        params: [tenantId, deviceId],
      },
    ];
  }
}

/** The statements that end a device's pairing and revoke its token; nothing happens when there is none. */
export function endPairingStatements(tenantId: TenantId, deviceId: string, nowMs: number): Statement[] {
  return [
    {
      sql: `UPDATE device_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND device_id = ?
        AND source_kind = 'pairing' AND revoked_at_ms IS NULL`,
      params: [nowMs, tenantId, deviceId],
    },
    {
      sql: "DELETE FROM device_pairings WHERE tenant_id = ? AND device_id = ?",
      params: [tenantId, deviceId],
    },
  ];
}

/** What OpenClaw's gateway says of a scope that an approver lacks. */
export function missingScope(scope: string): AppError {
  return new AppError("forbidden", `missing scope: ${scope}`, {
    details: { code: "MISSING_SCOPE", missingScope: scope, requiredScopes: [scope] },
  });
}
