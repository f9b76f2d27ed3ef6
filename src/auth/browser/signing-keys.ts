/**
 * Ed25519 keys that sign short-lived tokens, one per tenant and purpose, in control.db.
 * Owns: making, sealing, finding and retiring them. Refuses to know: what is signed.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import { seal, unseal } from "../../kernel/crypto.ts";
import { AppError } from "../../kernel/errors.ts";
import { isUuid, newId, type TenantId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";
import { RecentMap } from "../guard/recent-map.ts";
import type { AuthKeys } from "../keys.ts";

/** What a key may sign; a token of one purpose is never accepted for another. */
export type SigningPurpose = "socket";

/** A key to sign with. */
export interface SigningKey {
  kid: string;
  privateKey: KeyObject;
}

/** A key to check with, and whose it is. */
export interface VerifyingKey {
  tenantId: TenantId;
  purpose: string;
  publicKey: KeyObject;
}

interface KeyRow {
  kid: string;
  tenant_id: string;
  purpose: string;
  public_key: string;
  sealed_private_key: string;
  retired_at_ms: number | null;
}

/** A retired key is good for checking as long as the longest token it may have signed, and a little. */
const GRACE_MS = 6 * 60 * 1000;
/** A key found is trusted for this long without looking again; it bounds how late a retirement is noticed. */
const REMEMBERED_MS = 5_000;
const KEYS_IN_MEMORY = 2_000;

/** See the head of this file. */
export class SigningKeys {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly sealKey: Buffer;
  private readonly current = new RecentMap<{ key: SigningKey; untilMs: number }>(KEYS_IN_MEMORY);
  private readonly byKid = new RecentMap<{ key: VerifyingKey; untilMs: number }>(KEYS_IN_MEMORY);

  constructor(control: Database, clock: Clock, keys: Pick<AuthKeys, "sealKey">) {
    this.control = control;
    this.clock = clock;
    this.sealKey = keys.sealKey;
  }

  /** The tenant's key for a purpose, made on first use; of two makers one wins and both use its key. */
  async getCurrent(tenantId: TenantId, purpose: SigningPurpose): Promise<SigningKey> {
    const cacheKey = `${tenantId}/${purpose}`;
    const known = this.current.get(cacheKey);
    if (known !== undefined && known.untilMs > this.clock.monotonicMs()) return known.key;
    const row = (await this.findCurrent(tenantId, purpose)) ?? (await this.make(tenantId, purpose));
    const key = { kid: row.kid, privateKey: createPrivateKey(this.open(row)) };
    this.current.set(cacheKey, { key, untilMs: this.clock.monotonicMs() + REMEMBERED_MS });
    return key;
  }

  /** The key that a token names; undefined for unknown names and for keys retired longer than the grace. */
  async findByKid(kid: string): Promise<VerifyingKey | undefined> {
    // SECURITY: a kid is a row id and nothing else; it is checked before it reaches a query or a cache.
    if (!isUuid(kid)) return undefined;
    const known = this.byKid.get(kid);
    if (known !== undefined && known.untilMs > this.clock.monotonicMs()) return known.key;
    const row = await this.control.find<KeyRow>("SELECT * FROM signing_keys WHERE kid = ?", [kid]);
    if (row === undefined || (row.retired_at_ms ?? Infinity) + GRACE_MS <= this.clock.nowMs())
      return undefined;
    const key: VerifyingKey = {
      tenantId: row.tenant_id as TenantId,
      purpose: row.purpose,
      publicKey: createPublicKey(row.public_key),
    };
    this.byKid.set(kid, { key, untilMs: this.clock.monotonicMs() + REMEMBERED_MS });
    return key;
  }

  /** Retire the tenant's key; the next token is signed by a new one, and the old one is checked for a grace. */
  async rotate(tenantId: TenantId, purpose: SigningPurpose): Promise<void> {
    await this.control.write({
      statements: [
        {
          sql: `UPDATE signing_keys SET retired_at_ms = ? WHERE tenant_id = ? AND purpose = ?
            AND retired_at_ms IS NULL`,
          params: [this.clock.nowMs(), tenantId, purpose],
        },
      ],
    });
    this.current.delete(`${tenantId}/${purpose}`);
  }

  private findCurrent(tenantId: TenantId, purpose: SigningPurpose): Promise<KeyRow | undefined> {
    return this.control.find<KeyRow>(
      "SELECT * FROM signing_keys WHERE tenant_id = ? AND purpose = ? AND retired_at_ms IS NULL",
      [tenantId, purpose],
    );
  }

  private async make(tenantId: TenantId, purpose: SigningPurpose): Promise<KeyRow> {
    const kid = newId();
    const pair = generateKeyPairSync("ed25519");
    const privatePem = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    await this.control.write({
      statements: [
        {
          sql: `INSERT INTO signing_keys (kid, tenant_id, purpose, public_key, sealed_private_key, created_at_ms)
            VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          params: [
            kid,
            tenantId,
            purpose,
            pair.publicKey.export({ type: "spki", format: "pem" }).toString(),
            seal(this.sealKey, privatePem, `${tenantId}/${purpose}/${kid}`),
            this.clock.nowMs(),
          ],
        },
      ],
    });
    const row = await this.findCurrent(tenantId, purpose);
    if (row === undefined) throw new AppError("internal", "A signing key could not be made.");
    return row;
  }

  private open(row: KeyRow): string {
    try {
      return unseal(this.sealKey, row.sealed_private_key, `${row.tenant_id}/${row.purpose}/${row.kid}`);
    } catch (cause) {
      throw new AppError("tenant_unavailable", "A signing key cannot be opened with this master key.", {
        cause,
      });
    }
  }
}
