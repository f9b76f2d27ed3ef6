/**
 * Redemption codes. Owns: making them, redeeming each once, making guessing pointless. Refuses to know: who hands them
 * out. A code has 100 random bits and is kept as a hash only.
 */
import { randomBytes } from "node:crypto";
import { appendStatement } from "../../audit/chain.ts";
import { auditRecord } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { sha256Hex } from "../../kernel/crypto.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { CreditExpiry } from "./credit-expiry.ts";
import { Misses } from "./misses.ts";

/** What codes need. */
export interface CodeDeps {
  control: Database;
  ledger: Ledger;
  expiry: CreditExpiry;
  clock: Clock;
  currencyOf(scope: TenantScope): Promise<string>;
  /** The tenant's audit log got a row; must not throw. */
  onRecorded?(scope: TenantScope): void;
}

/** What a batch of codes is worth. */
export interface CodeBatch {
  /** The same id makes codes once, for ever. */
  id: string;
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

interface CodeRow {
  amount_micros: number;
  currency: string;
  expires_at_ms: number | null;
  made_by: string;
  redeemed_by: TenantId | null;
}

/** See the head of this file. */
export class Codes {
  private readonly deps: CodeDeps;
  private readonly misses: Misses;

  constructor(deps: CodeDeps) {
    this.deps = deps;
    this.misses = new Misses(deps.clock);
  }

  /**
   * Make codes, in one commit with what belongs to it; the answer is the only place where they can be read. Throws
   * `conflict` when the batch was made before: its codes cannot be shown again. `details` say how many there are.
   */
  async create(batch: CodeBatch, also: readonly Statement[] = []): Promise<string[]> {
    const codes = Array.from({ length: batch.count }, newCode);
    const nowMs = this.deps.clock.nowMs();
    const { id, amountMicros, currency, by, expiresAtMs } = batch;
    const first = {
      sql: "INSERT INTO code_batches (id, made_at_ms, made_by) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      params: [id, nowMs, by],
      expect: 1,
    };
    const rows = codes.map((code) => ({
      sql: `INSERT INTO redemption_codes (hash, amount_micros, currency, made_at_ms, made_by, expires_at_ms, batch)
        VALUES (?, ?, ?, ?, ?, ?, ?)`,
      params: [hashOf(code), amountMicros, currency, nowMs, by, expiresAtMs, id],
    }));
    const { committed } = await this.deps.control.write({ statements: [first, ...rows, ...also] });
    if (committed) return codes;
    const known = await this.deps.control.find<{ made: number; redeemed: number; amountMicros: number }>(
      `SELECT count(*) AS made, count(redeemed_by) AS redeemed, max(amount_micros) AS amountMicros
        FROM redemption_codes WHERE batch = ?`,
      [id],
    );
    const message = "These codes were made before and cannot be shown again. Void them, and make new ones.";
    throw new AppError("conflict", message, { details: { batch: id, ...known } });
  }

  /**
   * End those of a batch that nobody redeemed, in one commit with what `also` makes of their number. Repeatable; returns
   * how many ended. Throws `not_found` for a batch that never was.
   */
  async voidBatch(id: string, also: (count: number) => readonly Statement[]): Promise<number> {
    const { control, clock } = this.deps;
    const nowMs = clock.nowMs();
    const open = "batch = ? AND redeemed_by IS NULL AND coalesce(expires_at_ms, ?) > ?";
    const bounds = [id, nowMs + 1, nowMs];
    for (;;) {
      const row = await control.find<{ isThere: number; count: number }>(
        `SELECT EXISTS (SELECT 1 FROM code_batches WHERE id = ?) AS isThere, count(*) AS count
          FROM redemption_codes WHERE ${open}`,
        [id, ...bounds],
      );
      if (row?.isThere !== 1) throw new AppError("not_found", "There are no codes of this batch.");
      if (row.count === 0) return 0;
      const sql = `UPDATE redemption_codes SET expires_at_ms = ? WHERE ${open}`;
      const change = { sql, params: [nowMs, ...bounds], expect: row.count };
      const { committed } = await control.write({ statements: [change, ...also(row.count)] });
      // Somebody redeemed one in between: count anew.
      if (committed) return row.count;
    }
  }

  /**
   * Turn a code into credit; returns its worth in micro-units. The same tenant may repeat itself and gets no more. The
   * tenant's log gets its record in the commit of the credit.
   */
  async redeem(
    scope: TenantScope,
    text: string,
    by: Actor,
  ): Promise<{ amountMicros: number; isNew: boolean }> {
    const { hash, row } = await this.claimed(scope, text.toUpperCase().replace(/[\s-]/g, ""));
    const { amount_micros: amountMicros, expires_at_ms: expiresAtMs } = row;
    const entry = { source: "code", sourceId: hash, amountMicros, details: { expiresAtMs } };
    // ORDER: the end of the credit is on disk before the credit.
    if (expiresAtMs !== null) await this.deps.expiry.schedule(scope.tenantId, `code:${hash}:0`, expiresAtMs);
    const facts = { amountMicros, expiresAtMs, madeBy: row.made_by };
    const record = auditRecord(this.deps.clock.nowMs(), by, "code.redeemed", null, facts);
    const credit = { ...this.deps.ledger.redeemStatement(scope, entry), expect: 1 };
    const { committed } = await scope.db.write({ statements: [credit, appendStatement(record)] });
    if (committed) this.deps.onRecorded?.(scope);
    return { amountMicros, isNew: committed };
  }

  /** The row of a code that is this tenant's now; throws `not_found`, and `rate_limited` after too many of those. */
  private async claimed(scope: TenantScope, code: string): Promise<{ hash: string; row: CodeRow }> {
    const takeBack = this.misses.begin(scope.tenantId);
    // What has not the form of a code is a slip and no guess.
    let isMiss = CODE.test(code);
    try {
      const hash = sha256Hex(code);
      const row = isMiss ? await this.find(hash) : undefined;
      if (row !== undefined && (await this.claim(scope, hash, row))) {
        isMiss = false;
        return { hash, row };
      }
    } catch (thrown) {
      isMiss = false;
      throw thrown;
    } finally {
      if (!isMiss) takeBack();
    }
    // SECURITY: one answer for codes that never were, are used, ended, or are of another currency.
    throw new AppError("not_found", "This code is not valid here, or was used.");
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
            WHERE hash = ? AND redeemed_by IS NULL AND coalesce(expires_at_ms, ?) > ?`,
          params: [scope.tenantId, nowMs, hash, nowMs + 1, nowMs],
          expect: 1,
        },
      ],
    });
    return outcome.committed || (await this.find(hash))?.redeemed_by === scope.tenantId;
  }
}

function newCode(): string {
  const letters = [...randomBytes(20)].map((byte) => ALPHABET[byte % 32]).join("");
  return letters.replace(/(.{5})(?=.)/g, "$1-");
}

function hashOf(code: string): string {
  return sha256Hex(code.replaceAll("-", ""));
}
