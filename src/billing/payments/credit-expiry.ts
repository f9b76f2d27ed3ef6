/**
 * Credit that ends. Owns: when, and how much of it is left then: what ends soonest is used first, what never ends last.
 * Refuses to know: why credit was given. Only tenants with credit that ends now are opened.
 */
import { Recurring } from "../../jobs/recurring.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Ledger } from "../ledger/ledger.ts";

/** What the sweep needs. */
export interface CreditExpiryDeps {
  control: Database;
  ledger: Ledger;
  clock: Clock;
  log: Log;
  /** The tenant's scope; undefined when it is gone or going. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
}

const TICK_MS = 600_000;
const AT_ONCE = 500;
const PAGE = 2_000;

interface Line {
  seq: number;
  id: string;
  from: string;
  to: string;
  micros: number;
  expiresAtMs: number | null;
}

interface Lot {
  id: string;
  left: number;
  expiresAtMs: number;
}

/** See the head of this file. */
export class CreditExpiry {
  private readonly deps: CreditExpiryDeps;
  private readonly recurring: Recurring;

  constructor(deps: CreditExpiryDeps) {
    this.deps = deps;
    const { clock, log } = deps;
    const complaint = "credit could not be ended; it is tried again";
    this.recurring = new Recurring({ clock, log, periodMs: TICK_MS, complaint, round: () => this.round() });
  }

  start(): void {
    this.recurring.start();
  }

  close(): Promise<void> {
    return this.recurring.close();
  }

  /** Remember that what a line of the ledger gives ends. Repeatable. */
  async schedule(tenantId: TenantId, lineId: string, expiresAtMs: number): Promise<void> {
    const sql = "INSERT INTO credit_expiries VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    await this.deps.control.write({ statements: [{ sql, params: [tenantId, lineId, expiresAtMs] }] });
  }

  /** One round; never rejects. */
  tick(): Promise<void> {
    return this.recurring.tick();
  }

  private async round(): Promise<void> {
    const due = await this.deps.control.list<{ tenant_id: TenantId; line_id: string }>(
      "SELECT tenant_id, line_id FROM credit_expiries WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?",
      [this.deps.clock.nowMs(), AT_ONCE],
    );
    for (const { tenant_id, line_id } of due) await this.attempt(tenant_id, line_id);
  }

  private async attempt(tenantId: TenantId, lineId: string): Promise<void> {
    try {
      const scope = await this.deps.scopeOf(tenantId);
      if (scope !== undefined) await this.end(scope, lineId);
      const sql = "DELETE FROM credit_expiries WHERE tenant_id = ? AND line_id = ?";
      await this.deps.control.write({ statements: [{ sql, params: [tenantId, lineId] }] });
    } catch (error) {
      this.deps.log.warn({ err: error, tenantId }, "a tenant's credit could not be ended; it is tried again");
    }
  }

  private async end(scope: TenantScope, lineId: string): Promise<void> {
    const left = await leftOf(scope, lineId);
    if (left <= 0) return;
    const entry = { source: "expiry", sourceId: lineId, amountMicros: left, linkedTo: lineId };
    await this.deps.ledger.expire(scope, entry);
  }
}

/** How much of what a line gave is still there, by everything that happened to the credit since. */
async function leftOf(scope: TenantScope, lineId: string): Promise<number> {
  const lots: Lot[] = [];
  /** What was taken and may come back, the latest at the end. */
  const taken: { lot: Lot; micros: number }[] = [];
  for (let after = 0; ; ) {
    const page = await scope.db.list<Line>(
      `SELECT seq, id, from_account AS "from", to_account AS "to", amount_micros AS micros,
        details ->> 'expiresAtMs' AS expiresAtMs FROM ledger_transfers
        WHERE seq > ? AND (from_account = 'credit' OR to_account = 'credit') ORDER BY seq LIMIT ${PAGE}`,
      [after],
    );
    for (const line of page) {
      if (line.from === "credit") take(lots, taken, line);
      else if (line.to === "credit" && line.from === "reserved") giveBack(taken, line.micros);
      else
        lots.push({
          id: line.id,
          left: line.micros,
          expiresAtMs: line.expiresAtMs ?? Number.MAX_SAFE_INTEGER,
        });
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) break;
    after = last.seq;
  }
  return lots.find((lot) => lot.id === lineId)?.left ?? 0;
}

/** What ended is taken from its own lot; what was used, from the lot that ends soonest. */
function take(lots: readonly Lot[], taken: { lot: Lot; micros: number }[], line: Line): void {
  const ended = /^expiry:(.*):\d+$/.exec(line.id)?.[1];
  const order =
    ended === undefined
      ? lots.toSorted((left, right) => left.expiresAtMs - right.expiresAtMs)
      : lots.filter((lot) => lot.id === ended);
  let wanted = line.micros;
  for (const lot of order) {
    const micros = Math.min(wanted, lot.left);
    if (micros === 0) continue;
    lot.left -= micros;
    wanted -= micros;
    const last = taken.at(-1);
    if (line.to !== "reserved") continue;
    if (last?.lot === lot) last.micros += micros;
    else taken.push({ lot, micros });
  }
}

function giveBack(taken: { lot: Lot; micros: number }[], amount: number): void {
  let wanted = amount;
  for (let last = taken.at(-1); last !== undefined && wanted > 0; last = taken.at(-1)) {
    const micros = Math.min(wanted, last.micros);
    last.lot.left += micros;
    last.micros -= micros;
    wanted -= micros;
    if (last.micros === 0) taken.pop();
  }
}
