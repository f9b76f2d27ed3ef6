/**
 * The gateway's own Ed25519 keys, one current per purpose, in control.db.
 * Owns: making, sealing, finding, publishing and retiring them. Refuses to know: what is signed.
 *
 * Rotation overlaps: a retired key signs nothing more, yet what it signed is checked for as long as that can be good.
 * For `socket` that is the life of a token; what a `record` key signed is kept for years, so it is published for ever.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { appendStatement } from "../../audit/chain.ts";
import { auditRecord } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { seal, unseal } from "../../kernel/crypto.ts";
import { AppError } from "../../kernel/errors.ts";
import { isUuid, newId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import { RecentMap } from "../guard/recent-map.ts";
import type { AuthKeys } from "../keys.ts";

/**
 * What a key may sign; what one purpose signed is never accepted for another. `socket`: tokens that open a browser's
 * socket. `record`: what people keep and check later, such as audit heads and deletion receipts.
 */
export type SigningPurpose = "socket" | "record";

/** All purposes. */
export const SIGNING_PURPOSES: readonly SigningPurpose[] = ["socket", "record"];

/** A key to sign with. */
export interface SigningKey {
  kid: string;
  privateKey: KeyObject;
}

/** A key to check with. */
export interface VerifyingKey {
  purpose: SigningPurpose;
  publicKey: KeyObject;
}

/** A public key as RFC 8037 writes it. */
export interface PublicJwk {
  kty: "OKP";
  crv: "Ed25519";
  x: string;
  kid: string;
  alg: "EdDSA";
  use: "sig";
  /** Which purpose it signs for. */
  purpose: SigningPurpose;
}

interface KeyRow {
  kid: string;
  purpose: SigningPurpose;
  public_key: string;
  sealed_private_key: string;
  retired_at_ms: number | null;
}

/** How long what a retired key signed is good: the life of the longest token, and a little; records are for ever. */
const GRACE_MS: Readonly<Record<SigningPurpose, number>> = { socket: 6 * 60 * 1000, record: Infinity };
/** A key found is trusted for this long without looking again; it bounds how late a retirement is noticed. */
const REMEMBERED_MS = 5_000;
const KEYS_IN_MEMORY = 200;
/** Keys that are published at most: a deployment that rotates daily reaches this in years. */
const KEYS_PUBLISHED = 1_000;

/** See the head of this file. */
export class SigningKeys {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly sealKey: Buffer;
  private readonly current = new RecentMap<{ key: SigningKey; untilMs: number }>(KEYS_IN_MEMORY);
  private readonly byKid = new RecentMap<{ row: KeyRow; key: VerifyingKey; untilMs: number }>(KEYS_IN_MEMORY);

  constructor(control: Database, clock: Clock, keys: Pick<AuthKeys, "sealKey">) {
    this.control = control;
    this.clock = clock;
    this.sealKey = keys.sealKey;
  }

  /** The key of a purpose, made on first use; of two makers one wins and both use its key. */
  async getCurrent(purpose: SigningPurpose): Promise<SigningKey> {
    const known = this.current.get(purpose);
    if (known !== undefined && known.untilMs > this.clock.monotonicMs()) return known.key;
    const row = (await this.findCurrent(purpose)) ?? (await this.make(purpose));
    const key = { kid: row.kid, privateKey: createPrivateKey(this.open(row)) };
    this.current.set(purpose, { key, untilMs: this.clock.monotonicMs() + REMEMBERED_MS });
    return key;
  }

  /** The key that a token names; undefined for unknown names and for keys retired longer than their grace. */
  async findByKid(kid: string): Promise<VerifyingKey | undefined> {
    // SECURITY: a kid is a row id and nothing else; it is checked before it reaches a query or a cache.
    if (!isUuid(kid)) return undefined;
    const known = this.byKid.get(kid);
    if (known !== undefined && known.untilMs > this.clock.monotonicMs())
      return this.isGood(known.row) ? known.key : undefined;
    const row = await this.control.find<KeyRow>("SELECT * FROM gateway_keys WHERE kid = ?", [kid]);
    if (row === undefined || !this.isGood(row)) return undefined;
    const key: VerifyingKey = { purpose: row.purpose, publicKey: createPublicKey(row.public_key) };
    this.byKid.set(kid, { row, key, untilMs: this.clock.monotonicMs() + REMEMBERED_MS });
    return key;
  }

  /** Public keys with which something may have to be checked, newest first; the current ones are made if need be. */
  async published(): Promise<PublicJwk[]> {
    for (const purpose of SIGNING_PURPOSES) await this.getCurrent(purpose);
    const rows = await this.control.list<KeyRow>(
      "SELECT * FROM gateway_keys ORDER BY created_at_ms DESC, kid DESC LIMIT ?",
      [KEYS_PUBLISHED],
    );
    return rows.filter((row) => this.isGood(row)).map(toJwk);
  }

  /**
   * Retire the key of a purpose and make the next one, on the platform's own record. What the old one signed stays
   * good for its grace.
   * @param isCompromised what the old key signed is good no longer; only for `socket`, since records are kept
   */
  async rotate(
    purpose: SigningPurpose,
    by: Actor,
    isCompromised = false,
  ): Promise<{ kid: string; retired: string | null }> {
    const nowMs = this.clock.nowMs();
    const retired = (await this.findCurrent(purpose))?.kid ?? null;
    const endedMs = isCompromised && purpose === "socket" ? nowMs - GRACE_MS.socket : nowMs;
    const next = this.newRow(purpose);
    const audit = auditRecord(
      nowMs,
      by,
      "key.rotated",
      { kind: "key", id: next.kid, name: purpose },
      { retired, isCompromised },
    );
    await this.control.write({
      statements: [
        {
          sql: "UPDATE gateway_keys SET retired_at_ms = ? WHERE purpose = ? AND retired_at_ms IS NULL",
          params: [endedMs, purpose],
        },
        next.insert,
        appendStatement(audit),
      ],
    });
    this.current.delete(purpose);
    if (retired !== null) this.byKid.delete(retired);
    return { kid: next.kid, retired };
  }

  private isGood(row: KeyRow): boolean {
    return row.retired_at_ms === null || row.retired_at_ms + GRACE_MS[row.purpose] > this.clock.nowMs();
  }

  private findCurrent(purpose: SigningPurpose): Promise<KeyRow | undefined> {
    return this.control.find<KeyRow>(
      "SELECT * FROM gateway_keys WHERE purpose = ? AND retired_at_ms IS NULL",
      [purpose],
    );
  }

  private async make(purpose: SigningPurpose): Promise<KeyRow> {
    await this.control.write({ statements: [this.newRow(purpose).insert] });
    const row = await this.findCurrent(purpose);
    if (row === undefined) throw new AppError("internal", "A signing key could not be made.");
    return row;
  }

  private newRow(purpose: SigningPurpose): { kid: string; insert: Statement } {
    const kid = newId();
    const pair = generateKeyPairSync("ed25519");
    const privatePem = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const insert = {
      sql: `INSERT INTO gateway_keys (kid, purpose, public_key, sealed_private_key, created_at_ms)
        VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      params: [
        kid,
        purpose,
        pair.publicKey.export({ type: "spki", format: "pem" }).toString(),
        seal(this.sealKey, privatePem, sealContext(purpose, kid)),
        this.clock.nowMs(),
      ],
    };
    return { kid, insert };
  }

  private open(row: KeyRow): string {
    try {
      return unseal(this.sealKey, row.sealed_private_key, sealContext(row.purpose, row.kid));
    } catch (cause) {
      throw new AppError("tenant_unavailable", "A signing key cannot be opened with this master key.", {
        cause,
      });
    }
  }
}

/** SECURITY: bound to purpose and row, so that a sealed key moved to another row opens nothing. */
function sealContext(purpose: SigningPurpose, kid: string): string {
  return `gateway/${purpose}/${kid}`;
}

function toJwk(row: KeyRow): PublicJwk {
  const { x = "" } = createPublicKey(row.public_key).export({ format: "jwk" });
  return {
    kty: "OKP",
    crv: "Ed25519",
    x,
    kid: row.kid,
    alg: "EdDSA",
    use: "sig",
    purpose: row.purpose,
  };
}
