/**
 * Devices as lists show them. Owns: the one query over tokens, devices and pairings, and folding its rows.
 * Refuses to know: who may see them, in which protocol's words.
 */
import type { TenantId, UserId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";
import type { Scope } from "../../tenancy/scopes.ts";
import type { DeviceRecord } from "./device.ts";

interface Row {
  id: string;
  device_id: string;
  user_id: string;
  client_id: string;
  scopes: string;
  created_at_ms: number;
  last_used_at_ms: number;
  rotated_at_ms: number | null;
  person: string | null;
  token_name: string | null;
  public_key: string | null;
  label: string | null;
  display_name: string | null;
  device_client_id: string | null;
  client_mode: string | null;
  platform: string | null;
  device_family: string | null;
  address: string | null;
  approved_at_ms: number | null;
}

/** Tokens read for one list; a person has at most 256 in a tenant. */
const ROWS = 4_000;

const SELECT = `SELECT t.id, t.device_id, t.user_id, t.client_id, t.scopes, t.created_at_ms, t.last_used_at_ms,
    t.rotated_at_ms, u.display_name AS person, k.name AS token_name, d.public_key, d.label, d.display_name,
    d.client_id AS device_client_id, d.client_mode, d.platform, d.device_family, d.address, p.approved_at_ms
  FROM device_tokens t
  LEFT JOIN devices d ON d.tenant_id = t.tenant_id AND d.device_id = t.device_id
  LEFT JOIN device_pairings p ON p.tenant_id = t.tenant_id AND t.source_kind = 'pairing' AND p.id = t.source_id
  LEFT JOIN users u ON u.id = t.user_id
  LEFT JOIN api_tokens k ON k.tenant_id = t.tenant_id AND k.id = t.user_id
  WHERE t.tenant_id = ? AND t.revoked_at_ms IS NULL AND (t.source_kind <> 'pairing' OR p.id IS NOT NULL)
    AND (t.source_kind <> 'api_token' OR EXISTS (SELECT 1 FROM api_tokens s WHERE s.tenant_id = t.tenant_id
      AND s.id = t.source_id AND s.revoked_at_ms IS NULL))
    AND (t.source_kind <> 'browser_session' OR EXISTS (SELECT 1 FROM browser_sessions b WHERE b.id = t.source_id
      AND b.revoked_at_ms IS NULL))`;

/** Devices with live tokens, last used first; of one person when `userId` is given. */
export async function listDeviceRecords(
  control: Database,
  tenantId: TenantId,
  userId: UserId | null,
): Promise<DeviceRecord[]> {
  const rows = await control.list<Row>(
    `${SELECT} AND (? IS NULL OR t.user_id = ?) ORDER BY t.last_used_at_ms DESC, t.id DESC LIMIT ${ROWS}`,
    [tenantId, userId, userId],
  );
  const groups = Map.groupBy(rows, (row) => `${row.device_id}/${row.user_id}`);
  return [...groups.values()].map(fold);
}

/** One entry of all tokens of one device for one person; the first row is the one used last. */
function fold(rows: readonly Row[]): DeviceRecord {
  const row = rows[0] as Row;
  const scopes = new Set(rows.flatMap((one) => one.scopes.split(" ")).filter((scope) => scope.length > 0));
  const rotated = rows.map((one) => one.rotated_at_ms).filter((atMs) => atMs !== null);
  return {
    id: row.id,
    deviceId: row.device_id,
    publicKey: row.public_key,
    userId: row.user_id as UserId,
    displayName: row.person ?? row.token_name ?? "",
    label: row.label,
    deviceName: row.display_name,
    clientId: row.device_client_id ?? row.client_id,
    clientMode: row.client_mode,
    platform: row.platform,
    deviceFamily: row.device_family,
    scopes: [...scopes] as Scope[],
    createdAtMs: Math.min(...rows.map((one) => one.created_at_ms)),
    lastUsedAtMs: row.last_used_at_ms,
    rotatedAtMs: rotated.length === 0 ? null : Math.max(...rotated),
    address: row.address,
    pairedAtMs: rows.find((one) => one.approved_at_ms !== null)?.approved_at_ms ?? null,
  };
}
