/**
 * What people do with devices that are in: name, remove, rotate and revoke. Owns: those changes and their records, in
 * control.db. Refuses to know: frames, events, which words refuse.
 *
 * SECURITY: a caller who came with a device token and is no administrator cares for their own device only, and nobody
 * hands on or takes from a token what they do not hold themselves (OpenClaw docs/gateway/protocol/auth.md).
 */
import { auditRecord, auditStatement } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { Principal } from "../../tenancy/principal.ts";
import { allows, isScope, type Scope } from "../../tenancy/scopes.ts";
import type { DeviceSource, Devices, DeviceToken } from "../devices.ts";
import { endPairingStatements } from "./pairings.ts";

/** What a rotation left behind. */
export interface Rotated {
  scopes: readonly Scope[];
  rotatedAtMs: number;
  /** The caller's own new token, when it was the caller's device. */
  ownSecret: string | null;
}

interface LiveRow {
  id: string;
  user_id: string;
  client_id: string;
  scopes: string;
  source_kind: string;
  source_id: string;
  /** What the pairing was approved for; null for tokens that continue a credential. */
  approved: string | null;
}

/** Live tokens of one device that one change touches at most; a person has at most 256 in a tenant. */
const ROWS = 1_000;

/** See the head of this file. */
export class DeviceCare {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly devices: Devices;

  constructor(control: Database, clock: Clock, devices: Devices) {
    this.control = control;
    this.clock = clock;
    this.devices = devices;
  }

  /** The device with whose token the caller came; null for every other credential. */
  async deviceOf(principal: Principal): Promise<DeviceToken | null> {
    if (principal.credential.kind !== "device_token") return null;
    return (await this.devices.findById(principal.tenantId, principal.credential.id)) ?? null;
  }

  /** Whether the caller may care for a device at all. */
  async mayCareFor(principal: Principal, deviceId: string): Promise<boolean> {
    if (allows(principal.scopes, "operator.admin")) return true;
    const own = await this.deviceOf(principal);
    return own === null || own.deviceId === deviceId;
  }

  /** Name a device; false when there is none here. The name survives a new pairing. */
  async rename(tenantId: TenantId, deviceId: string, label: string, by: Actor): Promise<boolean> {
    const record = this.record(by, "device.renamed", deviceId, { label });
    const outcome = await this.control.write({
      statements: [
        {
          sql: `UPDATE devices SET label = ? WHERE tenant_id = ? AND device_id = ? AND EXISTS (
            SELECT 1 FROM device_tokens t WHERE t.tenant_id = devices.tenant_id
              AND t.device_id = devices.device_id AND t.revoked_at_ms IS NULL)`,
          params: [label, tenantId, deviceId],
          expect: 1,
        },
        auditStatement(tenantId, record),
      ],
    });
    return outcome.committed;
  }

  /**
   * Put a device out: its tokens are revoked, its pairing ends, its name is forgotten. A client that holds a credential
   * of its own comes back with that. False when there is no such device here.
   * @param userId only as far as it acts for this person
   */
  async remove(
    tenantId: TenantId,
    deviceId: string,
    by: Actor,
    userId: UserId | null = null,
  ): Promise<boolean> {
    const rows = await this.liveRows(tenantId, deviceId);
    const touched = rows.filter((row) => userId === null || row.user_id === userId);
    if (touched.length === 0) return false;
    const nowMs = this.clock.nowMs();
    await this.control.write({
      statements: [
        ...touched.map((row) => revokeStatement(tenantId, row.id, nowMs)),
        ...(touched.some((row) => row.source_kind === "pairing")
          ? endPairingStatements(tenantId, deviceId, nowMs)
          : []),
        ...(touched.length === rows.length
          ? [
              {
                sql: "UPDATE devices SET label = NULL WHERE tenant_id = ? AND device_id = ?",
                params: [tenantId, deviceId],
              },
            ]
          : []),
        auditStatement(tenantId, this.record(by, "device.removed", deviceId, { tokens: touched.length })),
      ],
    });
    return true;
  }

  /** Revoke a device's tokens and end its pairing; undefined when it has none or the caller may not. */
  async revoke(principal: Principal, deviceId: string, by: Actor): Promise<number | undefined> {
    const { tenantId } = principal;
    const rows = await this.liveRows(tenantId, deviceId);
    if (rows.length === 0 || !rows.every((row) => holds(principal, scopesIn(row.scopes)))) return undefined;
    const nowMs = this.clock.nowMs();
    await this.control.write({
      statements: [
        ...rows.map((row) => revokeStatement(tenantId, row.id, nowMs)),
        ...endPairingStatements(tenantId, deviceId, nowMs),
        auditStatement(tenantId, this.record(by, "device.token_revoked", deviceId, { tokens: rows.length })),
      ],
    });
    return nowMs;
  }

  /**
   * Replace a device's tokens by new ones, within what was approved for each and what the caller holds. Undefined when
   * there are none, the caller may not, or somebody else changed them meanwhile.
   * @param words scopes wanted instead of the present ones; one that was not approved refuses all
   */
  async rotate(
    principal: Principal,
    deviceId: string,
    words: readonly string[] | undefined,
    by: Actor,
  ): Promise<Rotated | undefined> {
    const { tenantId } = principal;
    const rows = await this.liveRows(tenantId, deviceId);
    const wanted = words?.filter(isScope);
    if (rows.length === 0 || wanted?.length !== words?.length) return undefined;
    const next = rows.map((row) => ({ row, scopes: nextScopes(row, wanted) }));
    const scopes = [...new Set(next.flatMap((one) => one.scopes))];
    const isApproved = wanted === undefined || wanted.every((scope) => scopes.includes(scope));
    if (!isApproved || !holds(principal, scopes)) return undefined;
    const rotatedAtMs = this.clock.nowMs();
    const made = next.map(({ row, scopes: kept }) => {
      const source = { kind: row.source_kind as DeviceSource["kind"], id: row.source_id };
      const binding = { tenantId, deviceId, userId: row.user_id as UserId, clientId: row.client_id };
      return { row, token: this.devices.make({ ...binding, scopes: kept, source }, rotatedAtMs) };
    });
    const outcome = await this.control.write({
      statements: [
        // ORDER: all old ones first: of one binding only one may live.
        ...made.map(({ row }) => ({ ...revokeStatement(tenantId, row.id, rotatedAtMs), expect: 1 })),
        ...made.map(({ token }) => token.insert),
        auditStatement(tenantId, this.record(by, "device.token_rotated", deviceId, { scopes })),
      ],
    });
    if (!outcome.committed) return undefined;
    const own = made.find(
      ({ row }) => principal.credential.kind === "device_token" && row.id === principal.credential.id,
    );
    return { scopes, rotatedAtMs, ownSecret: own?.token.secret ?? null };
  }

  private liveRows(tenantId: TenantId, deviceId: string): Promise<LiveRow[]> {
    return this.control.list<LiveRow>(
      `SELECT t.id, t.user_id, t.client_id, t.scopes, t.source_kind, t.source_id, p.scopes AS approved
        FROM device_tokens t LEFT JOIN device_pairings p
          ON p.tenant_id = t.tenant_id AND t.source_kind = 'pairing' AND p.id = t.source_id
        WHERE t.tenant_id = ? AND t.device_id = ? AND t.revoked_at_ms IS NULL
          AND (t.source_kind <> 'pairing' OR p.id IS NOT NULL)
        ORDER BY t.id LIMIT ${ROWS}`,
      [tenantId, deviceId],
    );
  }

  private record(by: Actor, action: string, deviceId: string, details: Record<string, unknown>) {
    return auditRecord(this.clock.nowMs(), by, action, { kind: "device", id: deviceId }, details);
  }
}

function revokeStatement(tenantId: TenantId, id: string, nowMs: number): Statement {
  return {
    sql: "UPDATE device_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND id = ? AND revoked_at_ms IS NULL",
    params: [nowMs, tenantId, id],
  };
}

/** What a token's replacement may hold: what is wanted as far as it was approved, else what it held. */
function nextScopes(row: LiveRow, wanted: readonly Scope[] | undefined): Scope[] {
  if (wanted === undefined) return scopesIn(row.scopes);
  const approved = new Set(scopesIn(row.approved ?? row.scopes));
  return wanted.filter((scope) => allows(approved, scope));
}

function holds(principal: Principal, scopes: readonly Scope[]): boolean {
  return scopes.every((scope) => allows(principal.scopes, scope));
}

function scopesIn(text: string): Scope[] {
  return text.split(" ").filter(isScope);
}
