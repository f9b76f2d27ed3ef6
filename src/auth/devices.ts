/**
 * Device tokens: what a device that proved its key may show next time instead of the credential it came with.
 * Owns: issuing, checking and revoking them, in control.db. Refuses to know: the proof (handshake/device-proof).
 *
 * The value is derived, not drawn: HMAC(device key, tenant / row id), where a row's id is never used twice. So the same value is issued at every connect while the row lives, as OpenClaw's gateway does, and two
 * tabs of one browser, which share one stored token, never rotate each other out; yet the database holds only its
 * keyed hash, and a revoked row is never given out again, because a new row has a new id.
 *
 * A device token continues the credential it was issued for: same person, same tenant, scopes not wider, and it is
 * dead as soon as that credential is (revoked token, signed-out browser). Without the device's key it is worthless.
 */
import { createHmac } from "node:crypto";
import type { Clock } from "../kernel/clock.ts";
import { newId, type TenantId, type UserId } from "../kernel/ids.ts";
import type { Database } from "../storage/database.ts";
import type { Scope } from "../tenancy/scopes.ts";
import { LastUsed } from "./guard/last-used.ts";
import { type AuthKeys, hashSecret } from "./keys.ts";

/** The credential that a device token continues. */
export interface DeviceSource {
  kind: "api_token" | "browser_session";
  id: string;
}

/** What a device token is bound to. */
export interface DeviceBinding {
  tenantId: TenantId;
  userId: UserId;
  /** SHA-256 of the device's public key, hex. */
  deviceId: string;
  clientId: string;
  scopes: readonly Scope[];
  source: DeviceSource;
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

  /** The token for a binding: the one already issued while it lives, else a new one. On disk when it resolves. */
  async issue(binding: DeviceBinding): Promise<string> {
    const found = (await this.findCurrent(binding)) ?? (await this.insert(binding));
    this.noteUse(binding.tenantId, found);
    return this.derive(binding.tenantId, found);
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

  private noteUse(tenantId: TenantId, id: string): void {
    this.lastUsed.touch(`${tenantId}/${id}`, (nowMs, staleBeforeMs) => ({
      sql: "UPDATE device_tokens SET last_used_at_ms = ? WHERE tenant_id = ? AND id = ? AND last_used_at_ms <= ?",
      params: [nowMs, tenantId, id, staleBeforeMs],
    }));
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

  private async insert(binding: DeviceBinding): Promise<string> {
    const id = newId();
    const nowMs = this.clock.nowMs();
    await this.control.write({
      statements: [
        {
          sql: `DELETE FROM device_tokens WHERE tenant_id = ? AND user_id = ? AND id IN (
            SELECT id FROM device_tokens WHERE tenant_id = ? AND user_id = ?
            ORDER BY last_used_at_ms DESC LIMIT -1 OFFSET ${ROWS_PER_PERSON - 1})`,
          params: [binding.tenantId, binding.userId, binding.tenantId, binding.userId],
        },
        {
          sql: `INSERT INTO device_tokens (tenant_id, id, hash, user_id, device_id, client_id, scopes, source_kind,
              source_id, created_at_ms, last_used_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          params: [
            binding.tenantId,
            id,
            hashSecret(this.keys.hashKey, "device-token", this.derive(binding.tenantId, id)),
            binding.userId,
            binding.deviceId,
            binding.clientId,
            binding.scopes.join(" "),
            binding.source.kind,
            binding.source.id,
            nowMs,
            nowMs,
          ],
        },
      ],
    });
    // Two sockets of one device may race; the row that is there counts.
    return (await this.findCurrent(binding)) ?? id;
  }

  private derive(tenantId: TenantId, id: string): string {
    return `creeld_${createHmac("sha256", this.keys.deviceKey).update(`${tenantId}\n${id}`).digest("base64url")}`;
  }
}

/** Whether a text has the form of a device token; decides only by which door it is tried. */
export function looksLikeDeviceToken(text: string): boolean {
  return text.startsWith("creeld_");
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
