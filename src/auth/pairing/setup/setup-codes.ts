/**
 * Setup codes: one secret that lets one device in at once, for whoever made it. Owns: making, spending and following
 * them, in control.db. Refuses to know: frames, addresses, how a device proves its key.
 *
 * A code is single use, good for ten minutes, in one tenant, and worth at most what its profile and its maker held; it
 * is dead when its maker may no longer make one. Whoever spent it can come back with the same device key alone.
 */
import { auditRecord, auditStatement } from "../../../audit/record.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { AppError } from "../../../kernel/errors.ts";
import { newId, newSecret, type TenantId, type UserId } from "../../../kernel/ids.ts";
import { LIMITS } from "../../../kernel/limits.ts";
import type { Database, Statement } from "../../../storage/database.ts";
import type { Actor } from "../../../tenancy/actor.ts";
import type { Principal } from "../../../tenancy/principal.ts";
import { grantScopes, type Scope } from "../../../tenancy/scopes.ts";
import type { DeviceHolder, Devices } from "../../devices.ts";
import { type AuthKeys, hashSecret } from "../../keys.ts";
import type { DeviceFacts } from "../device.ts";
import { holderOf } from "../holder.ts";

/** How long a code can be used. */
export const SETUP_CODE_MS = 10 * 60 * 1000;
/** How long one can ask what became of a code. */
const FOLLOW_MS = 24 * 60 * 60 * 1000;

/** How much a code gives: `full` includes administration, `limited` does not. Neither includes pairing by name. */
export type SetupAccess = "full" | "limited";

const PROFILES: Readonly<Record<SetupAccess, readonly Scope[]>> = {
  full: ["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.questions"],
  limited: ["operator.read", "operator.write", "operator.approvals", "operator.questions"],
};

/** A code as it is stored. */
export interface SetupCode {
  tenantId: TenantId;
  id: string;
  holder: DeviceHolder;
  scopes: readonly Scope[];
  access: SetupAccess;
  expiresAtMs: number;
  usedAtMs: number | null;
  deviceId: string | null;
  deviceName: string | null;
  /** When the device had its token in hand; null while that is not certain. */
  deliveredAtMs: number | null;
}

interface Row {
  tenant_id: string;
  id: string;
  user_id: string;
  holder_kind: string;
  holder_id: string;
  scopes: string;
  access: string;
  expires_at_ms: number;
  used_at_ms: number | null;
  device_id: string | null;
  device_name: string | null;
  delivered_at_ms: number | null;
}

/** See the head of this file. */
export class SetupCodes {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly hashKey: Buffer;
  private readonly devices: Devices;

  constructor(control: Database, clock: Clock, keys: Pick<AuthKeys, "hashKey">, devices: Devices) {
    this.control = control;
    this.clock = clock;
    this.hashKey = keys.hashKey;
    this.devices = devices;
  }

  /** Make a code; its secret is in the answer and nowhere else. Throws `limit_reached`. */
  async create(
    principal: Principal,
    access: SetupAccess,
    by: Actor,
  ): Promise<{ secret: string; code: SetupCode }> {
    const { tenantId } = principal;
    const holder = await holderOf(this.devices, principal);
    const secret = `creelp_${newSecret(32)}`;
    const nowMs = this.clock.nowMs();
    const code: SetupCode = {
      ...{ tenantId, id: newId(), holder, access, expiresAtMs: nowMs + SETUP_CODE_MS },
      scopes: grantScopes(PROFILES[access], [...principal.scopes]).filter((one) =>
        PROFILES[access].includes(one),
      ),
      ...{ usedAtMs: null, deviceId: null, deviceName: null, deliveredAtMs: null },
    };
    const target = { kind: "setup_code", id: code.id };
    const record = auditRecord(nowMs, by, "device.setup_code_created", target, {
      ...{ access, scopes: code.scopes, expiresAtMs: code.expiresAtMs },
    });
    const outcome = await this.control.write({
      statements: [
        { sql: "DELETE FROM setup_codes WHERE expires_at_ms < ?", params: [nowMs - FOLLOW_MS] },
        {
          sql: `SELECT 1 WHERE (SELECT count(*) FROM setup_codes WHERE tenant_id = ? AND used_at_ms IS NULL
            AND expires_at_ms > ?) < ?`,
          params: [tenantId, nowMs, LIMITS.setupCodesPerTenant],
          expect: 1,
        },
        this.insertStatement(code, secret, nowMs),
        auditStatement(tenantId, record),
      ],
    });
    if (outcome.committed) return { secret, code };
    throw new AppError(
      "limit_reached",
      `A tenant has at most ${LIMITS.setupCodesPerTenant} unused setup codes; they end after ten minutes.`,
    );
  }

  /** The code behind a secret, whatever became of it; one hash and one lookup. */
  async findBySecret(secret: string): Promise<SetupCode | undefined> {
    return toCode(
      await this.control.find<Row>("SELECT * FROM setup_codes WHERE hash = ?", [this.hash(secret)]),
    );
  }

  /** A code of a tenant, for whoever follows it. */
  async find(tenantId: TenantId, id: string): Promise<SetupCode | undefined> {
    return toCode(
      await this.control.find<Row>("SELECT * FROM setup_codes WHERE tenant_id = ? AND id = ?", [
        tenantId,
        id,
      ]),
    );
  }

  /** Whether a code can be spent now. */
  isUsable(code: SetupCode): boolean {
    return code.usedAtMs === null && code.expiresAtMs > this.clock.nowMs();
  }

  /** The statement that spends a code; refuses the batch when it was spent or ended. SECURITY: of many, one wins here. */
  spendStatement(code: SetupCode, facts: DeviceFacts): Statement {
    const nowMs = this.clock.nowMs();
    return {
      sql: `UPDATE setup_codes SET used_at_ms = ?, device_id = ?, device_name = ? WHERE tenant_id = ? AND id = ?
        AND used_at_ms IS NULL AND expires_at_ms > ?`,
      params: [nowMs, facts.deviceId, facts.displayName, code.tenantId, code.id, nowMs],
      expect: 1,
    };
  }

  /** Note that the device has its token; undefined unless this is the first time. */
  async noteDelivered(tenantId: TenantId, id: string): Promise<SetupCode | undefined> {
    const outcome = await this.control.write({
      statements: [
        {
          sql: `UPDATE setup_codes SET delivered_at_ms = ? WHERE tenant_id = ? AND id = ?
            AND used_at_ms IS NOT NULL AND delivered_at_ms IS NULL`,
          params: [this.clock.nowMs(), tenantId, id],
          expect: 1,
        },
      ],
    });
    return outcome.committed ? this.find(tenantId, id) : undefined;
  }

  private insertStatement(code: SetupCode, secret: string, nowMs: number): Statement {
    const { tenantId, id, holder, scopes, access, expiresAtMs } = code;
    return {
      sql: `INSERT INTO setup_codes (tenant_id, id, hash, user_id, holder_kind, holder_id, scopes, access,
          created_at_ms, expires_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      params: [
        ...[tenantId, id, this.hash(secret), holder.userId, holder.kind, holder.id],
        ...[scopes.join(" "), access, nowMs, expiresAtMs],
      ],
      expect: 1,
    };
  }

  private hash(secret: string): string {
    return hashSecret(this.hashKey, "setup-code", secret);
  }
}

function toCode(row: Row | undefined): SetupCode | undefined {
  if (row === undefined) return undefined;
  return {
    tenantId: row.tenant_id as TenantId,
    id: row.id,
    holder: {
      kind: row.holder_kind as DeviceHolder["kind"],
      id: row.holder_id,
      userId: row.user_id as UserId,
    },
    scopes: row.scopes.split(" ").filter((scope) => scope.length > 0) as Scope[],
    access: row.access as SetupAccess,
    expiresAtMs: row.expires_at_ms,
    usedAtMs: row.used_at_ms,
    deviceId: row.device_id,
    deviceName: row.device_name,
    deliveredAtMs: row.delivered_at_ms,
  };
}
