/**
 * Requests of devices nobody knows to be let into a tenant, in control.db. Owns: storing them within bounds, their ids,
 * their end. Refuses to know: who may decide, what a decision gives.
 *
 * SECURITY: a stranger must not learn whether a tenant exists. So asking runs the same statements for a tenant that is
 * not there: every condition is inside them, and one row is written in any case. The id is computed, not drawn: it
 * depends on the device, what it asks for and the hour, and is the same whether the request was stored, was stored
 * before, was rejected, found no room, or has no tenant. It changes with everything an approver looks at, so that an
 * approval never meets another request than the one that was seen.
 */
import { auditRecord, auditStatement, auditStatementWhere } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { hmacHex } from "../../kernel/crypto.ts";
import { newId, type TenantId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Database, Statement } from "../../storage/database.ts";
import { type Actor, SYSTEM } from "../../tenancy/actor.ts";
import { addressKey } from "../guard/attempts.ts";
import type { AuthKeys } from "../keys.ts";
import type { DeviceFacts } from "./device.ts";

/** How long a request waits for a decision. */
export const REQUEST_MS = 60 * 60 * 1000;

/** Stands for a tenant that is not there; no tenant has it, ids are UUIDv7. */
export const NO_TENANT = "00000000-0000-0000-0000-000000000000" as TenantId;

/** A request that waits for a decision. */
export interface PairingRequest extends DeviceFacts {
  requestId: string;
  /** Known scope words it asked for. */
  scopes: readonly string[];
  /** Whether the device was let in before. */
  isRepair: boolean;
  requestedAtMs: number;
}

/** What became of asking. */
export interface Asked {
  requestId: string;
  /** The request, when it is new. */
  created: PairingRequest | null;
  /** Requests of the same device that this one replaced. */
  superseded: readonly string[];
}

interface RequestRow {
  id: string;
  device_id: string;
  public_key: string;
  display_name: string | null;
  platform: string | null;
  device_family: string | null;
  client_id: string;
  client_mode: string;
  scopes: string;
  address: string;
  is_repair: number;
  requested_at_ms: number;
}

/** See the head of this file. */
export class PairingRequests {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly idKey: Buffer;

  constructor(control: Database, clock: Clock, keys: Pick<AuthKeys, "hashKey">) {
    this.control = control;
    this.clock = clock;
    this.idKey = keys.hashKey;
  }

  /**
   * Ask to be let in.
   * @param tenantId NO_TENANT when there is none; the work is the same
   * @param isStored false for clients that only look; nothing is kept of them
   */
  async ask(
    tenantId: TenantId,
    facts: DeviceFacts,
    scopes: readonly string[],
    isStored = true,
  ): Promise<Asked> {
    const nowMs = this.clock.nowMs();
    const known = await this.control.find<{ rounds: number }>(
      "SELECT rounds FROM devices WHERE tenant_id = ? AND device_id = ?",
      [tenantId, facts.deviceId],
    );
    const requestId = this.requestId(facts, scopes, known?.rounds ?? 0, nowMs);
    const request: PairingRequest = {
      ...facts,
      requestId,
      scopes,
      isRepair: known !== undefined,
      requestedAtMs: nowMs,
    };
    const target = isStored && scopes.length > 0 ? tenantId : NO_TENANT;
    const outcome = await this.control.write({ statements: this.askStatements(target, request) });
    if (!outcome.committed) return { requestId, created: null, superseded: [] };
    const [, , superseded, inserted] = outcome.results;
    return {
      requestId,
      created: inserted?.changes === 1 ? request : null,
      superseded: (superseded?.rows ?? []).map((row) => String(row["id"])),
    };
  }

  /** A request that waits; undefined for unknown, rejected and expired ones, and for another tenant's. */
  async findWaiting(tenantId: TenantId, requestId: string): Promise<PairingRequest | undefined> {
    const row = await this.control.find<RequestRow>(
      `SELECT * FROM device_requests WHERE tenant_id = ? AND id = ? AND rejected_at_ms IS NULL
        AND expires_at_ms > ?`,
      [tenantId, requestId, this.clock.nowMs()],
    );
    return row === undefined ? undefined : toRequest(row);
  }

  /** Requests that wait, newest first. */
  async listWaiting(tenantId: TenantId): Promise<PairingRequest[]> {
    const rows = await this.control.list<RequestRow>(
      `SELECT * FROM device_requests WHERE tenant_id = ? AND rejected_at_ms IS NULL AND expires_at_ms > ?
        ORDER BY requested_at_ms DESC, id LIMIT ?`,
      [tenantId, this.clock.nowMs(), LIMITS.listRows],
    );
    return rows.map(toRequest);
  }

  /** The statement that takes a waiting request away; refuses the batch when somebody else decided it meanwhile. */
  takeStatement(tenantId: TenantId, requestId: string): Statement {
    return {
      sql: `DELETE FROM device_requests WHERE tenant_id = ? AND id = ? AND rejected_at_ms IS NULL
        AND expires_at_ms > ?`,
      params: [tenantId, requestId, this.clock.nowMs()],
      expect: 1,
    };
  }

  /**
   * Reject; the device hears nothing of it, and asking again before the request would have ended changes nothing.
   * @returns the request, or undefined when it does not wait (any more)
   */
  async reject(tenantId: TenantId, requestId: string, by: Actor): Promise<PairingRequest | undefined> {
    const request = await this.findWaiting(tenantId, requestId);
    if (request === undefined) return undefined;
    const nowMs = this.clock.nowMs();
    const target = { kind: "device", id: request.deviceId, name: request.displayName ?? undefined };
    const record = auditRecord(nowMs, by, "device.rejected", target, { requestId });
    const outcome = await this.control.write({
      statements: [
        {
          sql: `UPDATE device_requests SET rejected_at_ms = ? WHERE tenant_id = ? AND id = ?
            AND rejected_at_ms IS NULL AND expires_at_ms > ?`,
          params: [nowMs, tenantId, requestId, nowMs],
          expect: 1,
        },
        auditStatement(tenantId, record),
      ],
    });
    return outcome.committed ? request : undefined;
  }

  /** Whether strangers' devices may ask; true unless somebody here said otherwise. */
  async isOpen(tenantId: TenantId): Promise<boolean> {
    const row = await this.control.find<{ is_open: number }>(
      "SELECT is_open FROM pairing_settings WHERE tenant_id = ?",
      [tenantId],
    );
    return row === undefined || row.is_open === 1;
  }

  /** Let strangers' devices ask, or not; those that wait stay. */
  async setOpen(tenantId: TenantId, isOpen: boolean, by: Actor): Promise<void> {
    const record = auditRecord(this.clock.nowMs(), by, "tenant.changed", null, { devicesMayAsk: isOpen });
    await this.control.write({
      statements: [
        {
          sql: `INSERT INTO pairing_settings (tenant_id, is_open) VALUES (?, ?)
            ON CONFLICT (tenant_id) DO UPDATE SET is_open = excluded.is_open`,
          params: [tenantId, isOpen ? 1 : 0],
        },
        auditStatement(tenantId, record),
      ],
    });
  }

  /** ORDER: `ask` reads the third and the fourth result. */
  private askStatements(tenantId: TenantId, request: PairingRequest): Statement[] {
    const nowMs = request.requestedAtMs;
    const { deviceId, requestId } = request;
    const askId = newId();
    const target = { kind: "device", id: deviceId, name: request.displayName ?? undefined };
    const by = { ...SYSTEM, address: request.address };
    const record = auditRecord(nowMs, by, "device.requested", target, { requestId, scopes: request.scopes });
    return [
      { sql: "UPDATE pairing_asks SET asks = asks + 1 WHERE one = 1" },
      {
        sql: "DELETE FROM device_requests WHERE tenant_id = ? AND expires_at_ms <= ?",
        params: [tenantId, nowMs],
      },
      {
        sql: `DELETE FROM device_requests WHERE tenant_id = ? AND device_id = ? AND id <> ?
          AND rejected_at_ms IS NULL RETURNING id`,
        params: [tenantId, deviceId, requestId],
      },
      this.insertStatement(tenantId, request, askId),
      // Only what was stored is recorded: noise of strangers cannot fill the log.
      auditStatementWhere(
        record,
        "SELECT tenant_id FROM device_requests WHERE tenant_id = ? AND id = ? AND ask_id = ?",
        [tenantId, requestId, askId],
      ),
    ];
  }

  private insertStatement(tenantId: TenantId, request: PairingRequest, askId: string): Statement {
    const key = addressKey(request.address);
    return {
      sql: `INSERT INTO device_requests (tenant_id, id, ask_id, device_id, public_key, display_name, platform,
          device_family, client_id, client_mode, scopes, address, address_key, is_repair, requested_at_ms,
          expires_at_ms)
        SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
        WHERE EXISTS (SELECT 1 FROM tenants WHERE id = ? AND status = 'active')
          AND NOT EXISTS (SELECT 1 FROM pairing_settings WHERE tenant_id = ? AND is_open = 0)
          AND (SELECT count(*) FROM device_requests WHERE tenant_id = ? AND rejected_at_ms IS NULL) < ?
          AND (SELECT count(*) FROM device_requests WHERE tenant_id = ? AND address_key = ?) < ?
        ON CONFLICT DO NOTHING`,
      params: [
        ...[tenantId, request.requestId, askId, request.deviceId, request.publicKey, request.displayName],
        ...[request.platform, request.deviceFamily, request.clientId, request.clientMode],
        ...[request.scopes.join(" "), request.address, key, request.isRepair ? 1 : 0],
        ...[request.requestedAtMs, request.requestedAtMs + REQUEST_MS],
        ...[tenantId, tenantId],
        ...[tenantId, LIMITS.pairingRequestsPerTenant],
        ...[tenantId, key, LIMITS.pairingRequestsPerAddress],
      ],
    };
  }

  /** In the form of a random UUID (version 4), as OpenClaw's gateway draws it. */
  private requestId(facts: DeviceFacts, scopes: readonly string[], rounds: number, nowMs: number): string {
    const { deviceId, displayName, platform, deviceFamily, clientId, clientMode } = facts;
    const hour = Math.floor(nowMs / REQUEST_MS);
    const seen = [deviceId, displayName, platform, deviceFamily, clientId, clientMode, scopes, rounds, hour];
    const hex = hmacHex(this.idKey, `pairing-request\n${JSON.stringify(seen)}`);
    const variant = "89ab"[Number.parseInt(hex[16] ?? "0", 16) % 4];
    return [
      hex.slice(0, 8),
      hex.slice(8, 12),
      `4${hex.slice(13, 16)}`,
      `${variant}${hex.slice(17, 20)}`,
      hex.slice(20, 32),
    ].join("-");
  }
}

function toRequest(row: RequestRow): PairingRequest {
  return {
    requestId: row.id,
    deviceId: row.device_id,
    publicKey: row.public_key,
    displayName: row.display_name,
    platform: row.platform ?? "unknown",
    deviceFamily: row.device_family,
    clientId: row.client_id,
    clientMode: row.client_mode,
    scopes: row.scopes.split(" ").filter((scope) => scope.length > 0),
    address: row.address,
    isRepair: row.is_repair === 1,
    requestedAtMs: row.requested_at_ms,
  };
}
