/**
 * Device tokens: what a device that proved its key may show next time instead of the credential it came with.
 * Owns: issuing, checking and revoking them, and what is known of devices, in control.db. Refuses to know: the proof
 * (handshake/device-proof), how a device without a credential is let in (pairing/).
 *
 * The value is derived, not drawn: HMAC(device key, tenant / row id), where a row's id is never used twice. So the same
 * value is issued at every connect while the row lives, as OpenClaw's gateway does, and two tabs of one browser, which
 * share one stored token, never rotate each other out; yet the database holds only its keyed hash, and a revoked row is
 * never given out again, because a new row has a new id.
 *
 * A device token continues what it was issued for: same person, same tenant, scopes not wider, and it is dead as soon
 * as that is (revoked token, signed-out browser, ended pairing). Without the device's key it is worthless.
 *
 * SECURITY: a browser has one device key per origin, so tenants on one host see the same device id. Every row and every
 * question names the tenant.
 */
import { createHmac } from "node:crypto";
import type { Clock } from "../kernel/clock.ts";
import { newId, type TenantId, type UserId } from "../kernel/ids.ts";
import type { Database, Statement } from "../storage/database.ts";
import type { Scope } from "../tenancy/scopes.ts";
import { LastUsed } from "./guard/last-used.ts";
import { type AuthKeys, hashSecret } from "./keys.ts";
import type { DeviceFacts, DeviceRecord } from "./pairing/device.ts";
import { listDeviceRecords } from "./pairing/device-list.ts";

/** What a device token continues: a credential, or the decision of somebody here to let the device in. */
export interface DeviceSource {
  kind: "api_token" | "browser_session" | "pairing";
  id: string;
}

/** Who answers for a device that was let in: a member of the tenant, or the API token with which it was done. */
export interface DeviceHolder {
  kind: "member" | "api_token";
  /** User id or token id. */
  id: string;
  /** As whom the device acts. */
  userId: UserId;
}

/** In `clientId`, of tokens that are good for every client program on the device: those of pairings. */
export const ANY_CLIENT = "*";

/** What a device token is bound to. */
export interface DeviceBinding {
  tenantId: TenantId;
  userId: UserId;
  /** SHA-256 of the device's public key, hex. */
  deviceId: string;
  /** The client program, or ANY_CLIENT. */
  clientId: string;
  scopes: readonly Scope[];
  source: DeviceSource;
}

/** A token that is not stored yet. */
export interface NewDeviceToken {
  id: string;
  secret: string;
  /** Stores it, unless there is a live one for the same binding. */
  insert: Statement;
}

/** A live row; whether its source lives too is for the caller to find out. */
export interface DeviceToken extends DeviceBinding {
  id: string;
}

interface DeviceRow {
  tenant_id: string;
  id: string;
  user_id: string;
  device_id: string;
  client_id: string;
  scopes: string;
  source_kind: string;
  source_id: string;
}

const COLUMNS = "tenant_id, id, user_id, device_id, client_id, scopes, source_kind, source_id";
/** Live rows one person may have in one tenant; the longest unused go first. A CLI makes one per set of scopes. */
const ROWS_PER_PERSON = 256;
const USED_PERIOD_MS = 60_000;

/** See the head of this file. */
export class Devices {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly keys: Pick<AuthKeys, "hashKey" | "deviceKey">;
  private readonly lastUsed: LastUsed;

  constructor(control: Database, clock: Clock, keys: Pick<AuthKeys, "hashKey" | "deviceKey">) {
    this.control = control;
    this.clock = clock;
    this.keys = keys;
    this.lastUsed = new LastUsed(control, clock, USED_PERIOD_MS);
  }

  /**
   * The token for a binding: the one already issued while it lives, else a new one. On disk when it resolves.
   * @param facts what the device says of itself, for lists
   */
  async issue(binding: DeviceBinding, facts?: DeviceFacts): Promise<string> {
    const found = await this.findCurrent(binding);
    if (found === undefined) return this.derive(binding.tenantId, await this.insert(binding, facts));
    this.noteSeen(binding.tenantId, found, facts);
    return this.derive(binding.tenantId, found);
  }

  /** Make a token for a batch that does more. */
  make(binding: DeviceBinding, rotatedAtMs: number | null = null): NewDeviceToken {
    const id = newId();
    const secret = this.derive(binding.tenantId, id);
    const nowMs = this.clock.nowMs();
    const insert = {
      sql: `INSERT INTO device_tokens (tenant_id, id, hash, user_id, device_id, client_id, scopes, source_kind,
          source_id, created_at_ms, last_used_at_ms, rotated_at_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      params: [
        binding.tenantId,
        id,
        hashSecret(this.keys.hashKey, "device-token", secret),
        binding.userId,
        binding.deviceId,
        binding.clientId,
        binding.scopes.join(" "),
        binding.source.kind,
        binding.source.id,
        nowMs,
        nowMs,
        rotatedAtMs,
      ],
    };
    return { id, secret, insert };
  }

  /** The live row behind a token; one hash and one lookup whatever the token is. */
  async findBySecret(secret: string): Promise<DeviceToken | undefined> {
    const hash = hashSecret(this.keys.hashKey, "device-token", secret);
    return toDevice(
      await this.control.find<DeviceRow>(
        `SELECT ${COLUMNS} FROM device_tokens WHERE hash = ? AND revoked_at_ms IS NULL`,
        [hash],
      ),
    );
  }

  /** The same by id, for checking again. */
  async findById(tenantId: TenantId, id: string): Promise<DeviceToken | undefined> {
    return toDevice(
      await this.control.find<DeviceRow>(
        `SELECT ${COLUMNS} FROM device_tokens WHERE tenant_id = ? AND id = ? AND revoked_at_ms IS NULL`,
        [tenantId, id],
      ),
    );
  }

  /** The live token of a device that was let in and has not lost that; it needs no secret to come back. */
  async findPaired(
    tenantId: TenantId,
    deviceId: string,
  ): Promise<{ token: DeviceToken; secret: string } | undefined> {
    const token = toDevice(
      await this.control.find<DeviceRow>(
        `SELECT ${COLUMNS.replaceAll(/\w+/g, "t.$&")} FROM device_pairings p JOIN device_tokens t ON t.tenant_id = p.tenant_id
          AND t.device_id = p.device_id AND t.source_kind = 'pairing' AND t.source_id = p.id AND t.revoked_at_ms IS NULL
          WHERE p.tenant_id = ? AND p.device_id = ?`,
        [tenantId, deviceId],
      ),
    );
    return token === undefined ? undefined : { token, secret: this.derive(tenantId, token.id) };
  }

  /** Who answers for a pairing; undefined when it has ended. */
  async findHolder(tenantId: TenantId, pairingId: string): Promise<DeviceHolder | undefined> {
    const row = await this.control.find<{ user_id: string; holder_kind: string; holder_id: string }>(
      "SELECT user_id, holder_kind, holder_id FROM device_pairings WHERE tenant_id = ? AND id = ?",
      [tenantId, pairingId],
    );
    if (row === undefined) return undefined;
    return {
      kind: row.holder_kind as DeviceHolder["kind"],
      id: row.holder_id,
      userId: row.user_id as UserId,
    };
  }

  /** Devices with live tokens in a tenant, last used first; one entry for each person a device acts for. */
  listOfTenant(tenantId: TenantId): Promise<DeviceRecord[]> {
    return listDeviceRecords(this.control, tenantId, null);
  }

  /** The same, of one person in one tenant. */
  listOfUser(tenantId: TenantId, userId: UserId): Promise<DeviceRecord[]> {
    return listDeviceRecords(this.control, tenantId, userId);
  }

  /** Revoke all tokens of a device in a tenant; its next connect is told so, and it forgets them. */
  async revokeDevice(tenantId: TenantId, deviceId: string): Promise<void> {
    await this.control.write({
      statements: [
        {
          sql: `UPDATE device_tokens SET revoked_at_ms = ? WHERE tenant_id = ? AND device_id = ?
            AND revoked_at_ms IS NULL`,
          params: [this.clock.nowMs(), tenantId, deviceId],
        },
      ],
    });
  }

  /** Note that a token was used, and by what; at most one write a minute, never waited for. */
  noteSeen(tenantId: TenantId, id: string, facts?: DeviceFacts): void {
    this.lastUsed.touch(`${tenantId}/${id}`, (nowMs, staleBeforeMs) => ({
      sql: "UPDATE device_tokens SET last_used_at_ms = ? WHERE tenant_id = ? AND id = ? AND last_used_at_ms <= ?",
      params: [nowMs, tenantId, id, staleBeforeMs],
    }));
    if (facts === undefined) return;
    this.lastUsed.touch(`${tenantId}/device/${facts.deviceId}`, (nowMs) =>
      deviceSeenStatement(tenantId, facts, nowMs),
    );
  }

  private async findCurrent(binding: DeviceBinding): Promise<string | undefined> {
    const row = await this.control.find<{ id: string }>(
      `SELECT id FROM device_tokens WHERE tenant_id = ? AND user_id = ? AND device_id = ? AND client_id = ?
        AND source_id = ? AND scopes = ? AND revoked_at_ms IS NULL`,
      [
        binding.tenantId,
        binding.userId,
        binding.deviceId,
        binding.clientId,
        binding.source.id,
        binding.scopes.join(" "),
      ],
    );
    return row?.id;
  }

  private async insert(binding: DeviceBinding, facts: DeviceFacts | undefined): Promise<string> {
    const { tenantId, userId } = binding;
    const made = this.make(binding);
    await this.control.write({
      statements: [
        // A pairing's token is how its device comes back: it never makes room.
        {
          sql: `DELETE FROM device_tokens WHERE tenant_id = ? AND user_id = ? AND id IN (
            SELECT id FROM device_tokens WHERE tenant_id = ? AND user_id = ? AND source_kind <> 'pairing'
            ORDER BY last_used_at_ms DESC LIMIT -1 OFFSET ${ROWS_PER_PERSON - 1})`,
          params: [tenantId, userId, tenantId, userId],
        },
        made.insert,
        ...(facts === undefined ? [] : [deviceSeenStatement(tenantId, facts, this.clock.nowMs())]),
      ],
    });
    // Two sockets of one device may race; the row that is there counts.
    return (await this.findCurrent(binding)) ?? made.id;
  }

  private derive(tenantId: TenantId, id: string): string {
    return `creeld_${createHmac("sha256", this.keys.deviceKey).update(`${tenantId}\n${id}`).digest("base64url")}`;
  }
}

/** Whether a text has the form of a device token; decides only by which door it is tried. */
export function looksLikeDeviceToken(text: string): boolean {
  return text.startsWith("creeld_");
}

/** The statement that keeps what a device says of itself; only for devices that were let in. */
export function deviceSeenStatement(
  tenantId: TenantId,
  facts: DeviceFacts,
  nowMs: number,
  rounds: 0 | 1 = 0,
): Statement {
  return {
    sql: `INSERT INTO devices (tenant_id, device_id, public_key, display_name, platform, device_family, client_id,
        client_mode, address, rounds, first_seen_at_ms, last_seen_at_ms)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (tenant_id, device_id) DO UPDATE SET display_name = excluded.display_name,
        platform = excluded.platform, device_family = excluded.device_family, client_id = excluded.client_id,
        client_mode = excluded.client_mode, address = excluded.address, rounds = rounds + excluded.rounds,
        last_seen_at_ms = max(last_seen_at_ms, excluded.last_seen_at_ms)`,
    params: [
      tenantId,
      facts.deviceId,
      facts.publicKey,
      facts.displayName,
      facts.platform,
      facts.deviceFamily,
      facts.clientId,
      facts.clientMode,
      facts.address,
      rounds,
      nowMs,
      nowMs,
    ],
  };
}

function toDevice(row: DeviceRow | undefined): DeviceToken | undefined {
  if (row === undefined) return undefined;
  return {
    id: row.id,
    tenantId: row.tenant_id as TenantId,
    userId: row.user_id as UserId,
    deviceId: row.device_id,
    clientId: row.client_id,
    scopes: row.scopes.split(" ").filter((scope) => scope.length > 0) as Scope[],
    source: { kind: row.source_kind as DeviceSource["kind"], id: row.source_id },
  };
}
