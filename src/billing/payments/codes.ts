/**
 * Redemption codes. Owns: making them, redeeming each once, making guessing pointless. Refuses to know: who hands them
 * out. A code has 100 random bits and is kept as a hash only.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import { sha256Hex } from "../../kernel/crypto.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { CreditExpiry } from "./credit-expiry.ts";

/** What codes need. */
export interface CodeDeps {
  control: Database;
  ledger: Ledger;
  expiry: CreditExpiry;
  clock: Clock;
  currencyOf(scope: TenantScope): Promise<string>;
}

/** What a batch of codes is worth. */
export interface CodeBatch {
  count: number;
  amountMicros: number;
  currency: string;
  /** After it a code cannot be redeemed, and what was redeemed is gone; null for never. */
  expiresAtMs: number | null;
  by: string;
}

/** Without I, L, O and U, which people mistake (Crockford's base 32). */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE = /^[0-9A-HJKMNP-TV-Z]{20}$/;
const MISSES_PER_HOUR = 10;
const HOUR_MS = 3_600_000;
const MOST_KEPT = 10_000;

interface CodeRow {
  amount_micros: number;
  currency: string;
  expires_at_ms: number | null;
  redeemed_by: TenantId | null;
}

/** See the head of this file. */
export class Codes {
  private readonly deps: CodeDeps;
  /** Wrong codes of a tenant within an hour. */
  private readonly misses = new Map<TenantId, { count: number; untilMs: number }>();

  constructor(deps: CodeDeps) {
    this.deps = deps;
  }

  /** Make codes; the answer is the only place where they can be read. */
  async create(batch: CodeBatch): Promise<string[]> {
    const codes = Array.from({ length: batch.count }, newCode);
    const nowMs = this.deps.clock.nowMs();
    const { amountMicros, currency, by, expiresAtMs } = batch;
    await this.deps.control.write({
      statements: codes.map((code) => ({
        sql: `INSERT INTO redemption_codes (hash, amount_micros, currency, made_at_ms, made_by, expires_at_ms)
          VALUES (?, ?, ?, ?, ?, ?)`,
        params: [hashOf(code), amountMicros, currency, nowMs, by, expiresAtMs],
      })),
    });
    return codes;
  }

  /** Turn a code into credit; returns its worth in micro-units. The same tenant may repeat itself and gets no more. */
  async redeem(scope: TenantScope, text: string): Promise<{ amountMicros: number; isNew: boolean }> {
    this.assertMayTry(scope.tenantId);
    const code = text.toUpperCase().replace(/[\s-]/g, "");
    const hash = sha256Hex(code);
    const row = CODE.test(code) ? await this.find(hash) : undefined;
    if (row === undefined || !(await this.claim(scope, hash, row))) throw this.missed(scope.tenantId, code);
    const { amount_micros: amountMicros, expires_at_ms: expiresAtMs } = row;
    const entry = { source: "code", sourceId: hash, amountMicros, details: { expiresAtMs } };
    // ORDER: the end of the credit is on disk before the credit.
    if (expiresAtMs !== null) await this.deps.expiry.schedule(scope.tenantId, `code:${hash}:0`, expiresAtMs);
    const outcome = await scope.db.write({ statements: [this.deps.ledger.redeemStatement(scope, entry)] });
    return { amountMicros, isNew: outcome.committed && outcome.results[0]?.changes === 1 };
  }

  private find(hash: string): Promise<CodeRow | undefined> {
    return this.deps.control.find<CodeRow>("SELECT * FROM redemption_codes WHERE hash = ?", [hash]);
  }

  /** Whether the code is this tenant's now; one statement decides between tenants. */
  private async claim(scope: TenantScope, hash: string, row: CodeRow): Promise<boolean> {
    // A crash may have come between the claim and the credit.
    if (row.redeemed_by === scope.tenantId) return true;
    const nowMs = this.deps.clock.nowMs();
    if (row.redeemed_by !== null || (row.expires_at_ms ?? nowMs + 1) <= nowMs) return false;
    if (row.currency !== (await this.deps.currencyOf(scope))) return false;
    const outcome = await this.deps.control.write({
      statements: [
        {
          sql: `UPDATE redemption_codes SET redeemed_by = ?, redeemed_at_ms = ?
            WHERE hash = ? AND redeemed_by IS NULL`,
          params: [scope.tenantId, nowMs, hash],
          expect: 1,
        },
      ],
    });
    return outcome.committed || (await this.find(hash))?.redeemed_by === scope.tenantId;
  }

  private assertMayTry(tenantId: TenantId): void {
    const known = this.misses.get(tenantId);
    const nowMs = this.deps.clock.monotonicMs();
    if (known === undefined || known.untilMs <= nowMs || known.count < MISSES_PER_HOUR) return;
    const retryAfterMs = Math.ceil(known.untilMs - nowMs);
    throw new AppError("rate_limited", "Too many codes were not valid; try again later.", { retryAfterMs });
  }

  /** SECURITY: one answer for codes that never were, are used, ended, or are of another currency. */
  private missed(tenantId: TenantId, code: string): AppError {
    const nowMs = this.deps.clock.monotonicMs();
    const known = this.misses.get(tenantId);
    // What has not the form of a code is a slip and no guess.
    const count = CODE.test(code) ? 1 : 0;
    if (known !== undefined && known.untilMs > nowMs) known.count += count;
    else {
      if (this.misses.size >= MOST_KEPT) this.forgetOld(nowMs);
      this.misses.set(tenantId, { count, untilMs: nowMs + HOUR_MS });
    }
    return new AppError("not_found", "This code is not valid here, or was used.");
  }

  private forgetOld(nowMs: number): void {
    for (const [tenantId, { untilMs }] of this.misses) if (untilMs <= nowMs) this.misses.delete(tenantId);
  }
}

function newCode(): string {
  const letters = [...randomBytes(20)].map((byte) => ALPHABET[byte % 32]).join("");
  return letters.replace(/(.{5})(?=.)/g, "$1-");
}

function hashOf(code: string): string {
  return sha256Hex(code.replaceAll("-", ""));
}
