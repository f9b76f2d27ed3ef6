/**
 * Devices of the twins: one that both tenants know under the same id, one that only one of them knows, for each a
 * request that waits, and setup codes that were used. Owns: planting them as rows, since approving needs no key.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import Database from "better-sqlite3";
import type { Tenant } from "#src/tenancy/tenant.ts";

/** What both tenants have under the same name. */
export const SHARED_DEVICE = {
  deviceId: "device-shared",
  requestId: "request-shared",
  setupId: "setup-shared",
} as const;

/** Whose devices they are. */
export interface DeviceOwner {
  tenant: Tenant;
  userId: string;
}

/** The names of one device and of what belongs to it. */
export interface DeviceNames {
  deviceId: string;
  requestId: string;
  setupId: string;
}

const FACTS = "'key', 'linux', 'Linux', 'openclaw-tui', 'ui'";

/** Put a device, its pairing and token, a request of it and a used setup code there, in place of what was left of them. */
export function plantDevice(
  stateDir: string,
  { tenant, userId }: DeviceOwner,
  names: DeviceNames,
  name: string,
): void {
  const database = new Database(join(stateDir, "control.db"), { timeout: 10_000 });
  const { id } = tenant;
  const { deviceId, requestId, setupId } = names;
  const run = (sql: string, ...params: unknown[]) => database.prepare(sql).run(...params);
  database.transaction(() => {
    for (const table of ["device_pairings", "device_tokens", "devices", "device_requests"]) {
      run(`DELETE FROM ${table} WHERE tenant_id = ? AND device_id = ?`, id, deviceId);
    }
    run("DELETE FROM setup_codes WHERE tenant_id = ? AND (id = ? OR used_at_ms IS NULL)", id, setupId);
    run(
      `INSERT INTO devices (tenant_id, device_id, public_key, platform, device_family, client_id, client_mode, label,
        display_name, address, first_seen_at_ms, last_seen_at_ms) VALUES (?, ?, ${FACTS}, ?, ?, '192.0.2.1', 1, 1)`,
      ...[id, deviceId, name, name],
    );
    run(
      `INSERT INTO device_pairings (tenant_id, id, device_id, user_id, holder_kind, holder_id, scopes, via,
        approved_at_ms) VALUES (?, ?, ?, ?, 'member', ?, 'operator.read operator.write', 'approval', 1)`,
      ...[id, `pairing-${deviceId}`, deviceId, userId, userId],
    );
    run(
      `INSERT INTO device_tokens (tenant_id, id, hash, user_id, device_id, client_id, scopes, source_kind, source_id,
        created_at_ms, last_used_at_ms)
        VALUES (?, ?, ?, ?, ?, '*', 'operator.read operator.write', 'pairing', ?, 1, 1)`,
      ...[id, randomBytes(8).toString("hex"), randomBytes(16).toString("hex"), userId, deviceId],
      `pairing-${deviceId}`,
    );
    run(
      `INSERT INTO device_requests (tenant_id, id, ask_id, device_id, public_key, platform, device_family, client_id,
        client_mode, display_name, scopes, address, address_key, is_repair, requested_at_ms, expires_at_ms)
        VALUES (?, ?, ?, ?, ${FACTS}, ?, 'operator.read', '192.0.2.1', '192.0.2.1', 1, 1, ?)`,
      ...[id, requestId, `ask-${requestId}`, deviceId, name, Date.now() + 3_600_000],
    );
    run(
      `INSERT INTO setup_codes (tenant_id, id, hash, user_id, holder_kind, holder_id, scopes, access, created_at_ms,
        expires_at_ms, used_at_ms, device_id, device_name, delivered_at_ms)
        VALUES (?, ?, ?, ?, 'member', ?, '', 'limited', 1, ?, 1, ?, ?, 1)`,
      ...[id, setupId, randomBytes(16).toString("hex"), userId, userId, Date.now() + 3_600_000],
      ...[deviceId, name],
    );
  })();
  database.close();
}
