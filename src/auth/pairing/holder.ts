/**
 * For whom a device acts that was let in without a credential. Owns: who that is, and the SQL that asks whether they may
 * still let others in. Refuses to know: devices.
 *
 * A device continues whoever let it in. A person it continues as a member of the tenant, beyond the browser session in
 * which they clicked; an API token, also one that acts for a person, it continues as that token, and ends with it.
 */
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Statement } from "../../storage/database.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { DeviceHolder, Devices } from "../devices.ts";

/** Who a caller lets devices in for; throws `forbidden` for callers that can answer for nothing. */
export async function holderOf(devices: Devices, principal: Principal): Promise<DeviceHolder> {
  const { tenantId, userId, credential } = principal;
  const member: DeviceHolder = { kind: "member", id: userId, userId };
  switch (credential.kind) {
    case "browser_session":
    case "socket_token":
      return member;
    case "api_token":
      return { kind: "api_token", id: credential.id, userId };
    case "device_token": {
      const source = (await devices.findById(tenantId, credential.id))?.source;
      if (source?.kind === "browser_session") return member;
      if (source?.kind === "api_token") return { kind: "api_token", id: source.id, userId };
      const holder = source === undefined ? undefined : await devices.findHolder(tenantId, source.id);
      if (holder !== undefined) return holder;
      break;
    }
    default:
      break;
  }
  throw new AppError("forbidden", "This access cannot let devices in.");
}

/**
 * Refuses the batch unless the holder is there in the very role the decision was made with. SECURITY: between the look
 * at the caller and the commit they may have been demoted or revoked.
 */
export function standsStatement(
  tenantId: TenantId,
  holder: DeviceHolder,
  role: string,
  nowMs: number,
): Statement {
  if (holder.kind === "member") {
    return {
      sql: "SELECT 1 FROM members WHERE tenant_id = ? AND user_id = ? AND role = ?",
      params: [tenantId, holder.id, role],
      expect: 1,
    };
  }
  return {
    sql: `SELECT 1 FROM api_tokens WHERE tenant_id = ? AND id = ? AND revoked_at_ms IS NULL
      AND (expires_at_ms IS NULL OR expires_at_ms > ?)`,
    params: [tenantId, holder.id, nowMs],
    expect: 1,
  };
}
