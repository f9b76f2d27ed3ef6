/**
 * Sign-ins on their way through a provider, in control.db. Owns: that each is bound to the browser that began it, lives
 * ten minutes and counts once (RFC 9700 section 4.7). Refuses to know: providers' protocols, what a sign-in leads to.
 */
import type { Clock } from "../../kernel/clock.ts";
import { seal, unseal } from "../../kernel/crypto.ts";
import { AppError } from "../../kernel/errors.ts";
import { newSecret, type TenantId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";
import { addressKey } from "../guard/attempts.ts";
import { type AuthKeys, hashSecret } from "../keys.ts";

/** How long somebody may take at the provider. */
export const FLOW_MS = 10 * 60 * 1000;
/** Flows open at once from one address; more wait. */
const FLOWS_PER_ADDRESS = 200;
/** Flows open at once in all. Beyond it the oldest goes, so that a flood from many addresses turns nobody away. */
const FLOWS = 50_000;

/** What the person wants: in, one more way in, or to prove again who they are. */
export type FlowIntent = "sign_in" | "link" | "step_up";

/** What is remembered while the person is at the provider. */
export interface Flow {
  provider: string;
  /** As it was when the flow began; another one now is another provider. */
  issuer: string;
  intent: FlowIntent;
  /** The session that asked, for `link` and `step_up`. */
  sessionId: string | null;
  /** The tenant where it began. */
  tenantId: TenantId | null;
  origin: string;
  verifier: string;
  nonce: string;
  returnTo: string | null;
  createdAtMs: number;
}

interface FlowRow {
  provider: string;
  issuer: string;
  intent: string;
  session_id: string | null;
  tenant_id: string | null;
  origin: string;
  sealed: string;
  created_at_ms: number;
}

/** See the head of this file. */
export class Flows {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly keys: Pick<AuthKeys, "hashKey" | "sealKey">;

  constructor(control: Database, clock: Clock, keys: Pick<AuthKeys, "hashKey" | "sealKey">) {
    this.control = control;
    this.clock = clock;
    this.keys = keys;
  }

  /**
   * Remember a flow; the answer is its `state`. Throws `rate_limited` when too many are open.
   * @param browser secret of the browser, from its cookie
   */
  async begin(flow: Omit<Flow, "createdAtMs">, browser: string, address: string): Promise<string> {
    const state = newSecret(32);
    const hash = this.hash("sign-in-state", state);
    const nowMs = this.clock.nowMs();
    const { verifier, nonce, returnTo } = flow;
    const sealed = seal(this.keys.sealKey, JSON.stringify({ verifier, nonce, returnTo }), `flow/${hash}`);
    const from = addressKey(address);
    const outcome = await this.control.write({
      statements: [
        { sql: "DELETE FROM sign_in_flows WHERE expires_at_ms <= ?", params: [nowMs] },
        {
          sql: `INSERT INTO sign_in_flows (state_hash, browser_hash, address, provider, issuer, intent, session_id,
              tenant_id, origin, sealed, created_at_ms, expires_at_ms)
            SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
              WHERE (SELECT count(*) FROM sign_in_flows WHERE address = ?) < ?`,
          params: [
            ...[hash, this.hash("sign-in-browser", browser), from, flow.provider, flow.issuer, flow.intent],
            ...[flow.sessionId, flow.tenantId, flow.origin, sealed, nowMs, nowMs + FLOW_MS],
            ...[from, FLOWS_PER_ADDRESS],
          ],
          expect: 1,
        },
        {
          sql: `DELETE FROM sign_in_flows WHERE state_hash IN (SELECT state_hash FROM sign_in_flows
            ORDER BY expires_at_ms LIMIT max(0, (SELECT count(*) FROM sign_in_flows) - ?))`,
          params: [FLOWS],
        },
      ],
    });
    if (outcome.committed) return state;
    throw new AppError("rate_limited", "Too many sign-ins are under way. Try again in a few minutes.", {
      retryAfterMs: 60_000,
    });
  }

  /**
   * Use a flow up. Undefined when there is none with this state, when it began in another browser (and then it stays
   * for that one), when it is over, or when it was used.
   */
  async spend(state: string, browser: string): Promise<Flow | undefined> {
    const hash = this.hash("sign-in-state", state);
    // ORDER: gone before the code is redeemed, so that of two callbacks with it one does nothing.
    const outcome = await this.control.write({
      statements: [
        {
          sql: `DELETE FROM sign_in_flows WHERE state_hash = ? AND browser_hash = ? AND expires_at_ms > ?
            RETURNING provider, issuer, intent, session_id, tenant_id, origin, sealed, created_at_ms`,
          params: [hash, this.hash("sign-in-browser", browser), this.clock.nowMs()],
          expect: 1,
        },
      ],
    });
    const row = outcome.committed
      ? (outcome.results[0]?.rows[0] as unknown as FlowRow | undefined)
      : undefined;
    return row === undefined ? undefined : this.toFlow(row, hash);
  }

  /** Whether a browser has flows under way. */
  async hasOpen(browser: string): Promise<boolean> {
    const row = await this.control.find(
      "SELECT 1 FROM sign_in_flows WHERE browser_hash = ? AND expires_at_ms > ? LIMIT 1",
      [this.hash("sign-in-browser", browser), this.clock.nowMs()],
    );
    return row !== undefined;
  }

  private toFlow(row: FlowRow, hash: string): Flow {
    const sealed = JSON.parse(unseal(this.keys.sealKey, row.sealed, `flow/${hash}`)) as {
      verifier: string;
      nonce: string;
      returnTo: string | null;
    };
    return {
      ...sealed,
      provider: row.provider,
      issuer: row.issuer,
      intent: row.intent as FlowIntent,
      sessionId: row.session_id,
      tenantId: row.tenant_id as TenantId | null,
      origin: row.origin,
      createdAtMs: row.created_at_ms,
    };
  }

  private hash(kind: "sign-in-state" | "sign-in-browser", secret: string): string {
    return hashSecret(this.keys.hashKey, kind, secret);
  }
}
