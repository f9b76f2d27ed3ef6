/**
 * Signed heads: where a chain stood at the end of a day of UTC, in a form that a tenant can keep and check without us.
 * Owns: which days get one, and signing them once. Refuses to know: keys (a signer is handed in).
 *
 * A day in which nothing was recorded has no head, and nothing is looked at for tenants in which nothing happens: heads
 * are made for chains that got a row in this process, and for whoever asks.
 */
import type { KeyObject } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { compactVerify, decodeProtectedHeader } from "jose";
import type { Clock, Timer } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import { runInContext } from "../tenancy/context.ts";
import type { AuditLog, LogOf } from "./log.ts";
import type { HeadClaims, HeadReader } from "./verify.ts";

/** Signs claims as a compact JWS (RFC 7515, EdDSA) whose `typ` is given. */
export interface HeadSigner {
  sign(typ: string, claims: Record<string, unknown>): Promise<string>;
}

/** `typ` of a signed head. */
export const HEAD_TYPE = "creel-audit-head+jws";

/** Finds the gateway's public keys by `kid`. */
export interface HeadKeys {
  findByKid(kid: string): Promise<{ purpose: string; publicKey: KeyObject } | undefined>;
}

/** Checks signed heads with the gateway's own keys. */
export function makeHeadReader(keys: HeadKeys): HeadReader {
  return async (signed) => {
    const { kid = "", typ } = decodeProtectedHeader(signed);
    const key = await keys.findByKid(kid);
    // SECURITY: what was signed for another purpose, or as another kind of record, is no head.
    if (key?.purpose !== "record" || typ !== HEAD_TYPE) return undefined;
    const { payload } = await compactVerify(signed, key.publicKey, { algorithms: ["EdDSA"] });
    return JSON.parse(new TextDecoder().decode(payload)) as HeadClaims;
  };
}

/** A head as it is handed out. */
export interface Head {
  /** `YYYY-MM-DD`, UTC. */
  day: string;
  seq: number;
  hash: string;
  /** Compact JWS with the claims chain, day, seq, hash. */
  signed: string;
}

/** What the keeper needs. */
export interface HeadKeeperDeps {
  log: AuditLog;
  signer: HeadSigner;
  clock: Clock;
  logger: Log;
}

const TICK_MS = 60_000;
const DAY_MS = 86_400_000;
const LISTED = 1_000;

/** See the head of this file. */
export class HeadKeeper {
  private readonly deps: HeadKeeperDeps;
  /** Chains with rows that may lack a head, and the day up to which theirs are made. */
  private readonly noted = new Map<string, { of: LogOf; doneDay: string }>();
  private timer: Timer | undefined;
  private ticking: Promise<void> | undefined;

  constructor(deps: HeadKeeperDeps) {
    this.deps = deps;
  }

  /** A chain got a row; cheap. */
  note(of: LogOf): void {
    const chain = this.deps.log.chainOf(of);
    if (!this.noted.has(chain)) this.noted.set(chain, { of, doneDay: "" });
  }

  /** Make the heads of days that end from now on. */
  start(): void {
    this.timer = this.deps.clock.every(TICK_MS, () => void this.tick());
  }

  async close(): Promise<void> {
    this.timer?.cancel();
    await this.ticking;
  }

  /** One round over the chains that were noted; never rejects. */
  tick(): Promise<void> {
    this.ticking ??= this.round().finally(() => {
      this.ticking = undefined;
    });
    return this.ticking;
  }

  private async round(): Promise<void> {
    const today = dayOf(this.deps.clock.nowMs());
    for (const [chain, entry] of [...this.noted]) {
      if (entry.doneDay === today) continue;
      try {
        await this.ensure(entry.of);
        // Nothing was added since yesterday's head: forgotten until something is.
        if (entry.doneDay !== "") this.noted.delete(chain);
        else entry.doneDay = today;
      } catch (error) {
        // Tried again with the next row, and for whoever asks for the heads.
        this.noted.delete(chain);
        this.deps.logger.warn(
          { err: error, chain },
          "a head could not be made; the chain's next row tries again",
        );
      }
      await nextTurn();
    }
  }

  /** The heads of a chain, newest first, the missing ones made; at most 1,000. Today's is of this moment, and not kept. */
  async list(of: LogOf): Promise<Head[]> {
    await this.ensure(of);
    const kept = await this.deps.log
      .database(of)
      .list<Head>("SELECT day, seq, hash, signed FROM audit_heads ORDER BY day DESC LIMIT ?", [LISTED]);
    const now = await this.now(of);
    return now === undefined || now.seq === (kept[0]?.seq ?? 0) ? kept : [now, ...kept];
  }

  /** The head of this moment; undefined for an empty chain. */
  async now(of: LogOf): Promise<Head | undefined> {
    const end = await this.deps.log
      .database(of)
      .find<{ seq: number; hash: string }>("SELECT seq, hash FROM audit_end");
    return end === undefined ? undefined : this.sign(of, dayOf(this.deps.clock.nowMs()), end);
  }

  /** Sign the heads of all finished days that have rows and no head. */
  async ensure(of: LogOf): Promise<void> {
    const { log, clock } = this.deps;
    const db = log.database(of);
    const todayMs = Math.floor(clock.nowMs() / DAY_MS) * DAY_MS;
    const work = async () => {
      const newest = await db.find<{ day: string; seq: number }>(
        "SELECT day, seq FROM audit_heads ORDER BY day DESC LIMIT 1",
      );
      const days = await db.list<{ day: string; seq: number }>(
        `SELECT strftime('%Y-%m-%d', at_ms / 1000, 'unixepoch') AS day, max(seq) AS seq FROM audit_log
          WHERE seq > ? AND at_ms < ? GROUP BY 1 HAVING day > ? ORDER BY 1 LIMIT 1000`,
        [newest?.seq ?? 0, todayMs, newest?.day ?? ""],
      );
      let top = 0;
      for (const { day, seq } of days) {
        // Records that were moved late stand among those of another day; a head covers all rows up to its own.
        top = Math.max(top, seq);
        await this.keep(of, day, top);
      }
    };
    if (of === "platform") return work();
    return runInContext({ tenantId: of.tenantId, principal: null, requestId: "audit" }, work);
  }

  private async keep(of: LogOf, day: string, seq: number): Promise<void> {
    const db = this.deps.log.database(of);
    const row = await db.find<{ seq: number; hash: string }>(
      "SELECT seq, hash FROM audit_log WHERE seq = ?",
      [seq],
    );
    if (row === undefined) return;
    const head = await this.sign(of, day, row);
    await db.write({
      statements: [
        {
          sql: "INSERT INTO audit_heads (day, seq, hash, signed) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
          params: [day, head.seq, head.hash, head.signed],
        },
      ],
    });
  }

  private async sign(of: LogOf, day: string, at: { seq: number; hash: string }): Promise<Head> {
    const claims: HeadClaims = { chain: this.deps.log.chainOf(of), day, seq: at.seq, hash: at.hash };
    return { day, ...at, signed: await this.deps.signer.sign(HEAD_TYPE, { ...claims }) };
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
