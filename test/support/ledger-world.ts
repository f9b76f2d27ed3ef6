/**
 * A ledger with real files, and calls made by hand: reserved, metered, given back. Owns: short ways to do each.
 */
import type { Budget, BudgetSource } from "#src/billing/ledger/budget.ts";
import { Budgets } from "#src/billing/ledger/budgets.ts";
import { Leases } from "#src/billing/ledger/leases.ts";
import { Ledger } from "#src/billing/ledger/ledger.ts";
import { Reservations, type SpendCall, type ToolSpendCall } from "#src/billing/ledger/reservations.ts";
import { FIRST_TOOL_ORDINAL } from "#src/billing/ledger/reserve-sql.ts";
import { PriceBook } from "#src/billing/prices.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { openUsageWorld, type UsageWorld } from "./usage-world.ts";

/** 1 micro-unit per token of the question, 2 per token of the answer. */
export const COST = { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 };

/** See the head of this file. */
export class LedgerWorld {
  readonly usage: UsageWorld;
  readonly ledger: Ledger;
  readonly budgets: Budgets;
  readonly reservations: Reservations;
  readonly leases: Leases;
  planLimitMicros: number | null = null;
  /** The part of it for work that nobody waits for. */
  backgroundLimitMicros: number | null = null;
  nowMs = Date.UTC(2026, 10, 22, 12);

  private constructor(usage: UsageWorld) {
    this.usage = usage;
    const clock: Clock = { ...systemClock, nowMs: () => this.nowMs };
    const source: BudgetSource = {
      monthlyLimitOf: () => Promise.resolve(this.planLimitMicros),
      backgroundLimitOf: () => Promise.resolve(this.backgroundLimitMicros),
    };
    const prices = new PriceBook();
    this.ledger = new Ledger(clock);
    this.budgets = new Budgets(clock);
    this.leases = new Leases(
      { ...clock, every: () => ({ cancel: () => undefined }) },
      makeLog({ level: "silent" }),
    );
    this.reservations = new Reservations({
      priceOf: (_scope, call) => prices.priceOf(call),
      source,
      leases: this.leases,
      clock,
    });
  }

  static async open(): Promise<LedgerWorld> {
    return new LedgerWorld(await openUsageWorld());
  }

  setNow(ms: number): void {
    this.nowMs = ms;
    this.usage.setNow(ms);
  }

  /** Reserve for a call of `inputTokens` and at most `maxOutputTokens`. */
  reserve(scope: TenantScope, runId: string, more: Partial<SpendCall> = {}): Promise<boolean> {
    return this.reservations.reserve(scope, {
      ...{ runId, step: 1, firstStep: 0, purpose: "turn", userId: "user-1", agentId: "main", keyId: "" },
      ...{ provider: "mock", model: "mock-1", cost: COST, keyOwner: "platform" },
      ...{ inputTokens: 100, maxOutputTokens: 50, ...more },
    } as SpendCall);
  }

  /** Reserve for a call of a tool at this price, with its intent. */
  reserveTool(
    scope: TenantScope,
    runId: string,
    micros: number,
    more: Partial<ToolSpendCall> = {},
  ): Promise<boolean> {
    const { ordinal = FIRST_TOOL_ORDINAL, step = 1 } = more;
    const intent = {
      sql: `INSERT INTO run_steps (run_id, step, call_id, tool, arguments_hash, is_idempotent, state, started_at_ms)
        VALUES (?, ?, ?, 'search', '', 1, 'intent', ?) ON CONFLICT DO NOTHING`,
      params: [runId, step, `call-${ordinal}`, this.nowMs],
      expect: 1,
    };
    const call = {
      ...{ runId, step, firstStep: 0, ordinal, userId: "user-1", agentId: "main", keyId: "" },
      ...{ toolName: "search", price: { micros, origin: "row:1" }, ...more },
    };
    return this.reservations.reserveTool(scope, call as ToolSpendCall, intent);
  }

  /** Meter a call of a tool that was reserved so. */
  settleTool(scope: TenantScope, runId: string, micros: number, step = 1): Promise<void> {
    const price = { micros, origin: "row:1" };
    return this.usage.tool(scope, { runId: runId as never, step, toolName: "search", price });
  }

  /** Meter the call: its usage event is stored. */
  settle(
    scope: TenantScope,
    runId: string,
    inputTokens: number,
    outputTokens: number,
    step = 1,
  ): Promise<void> {
    const usage = { inputTokens, outputTokens, cacheReadTokens: 0, cacheWriteTokens: 0, isExact: true };
    return this.usage.model(scope, { runId: runId as never, step, usage, cost: COST });
  }

  /** Lines as `kind from>to amount`, oldest first. */
  async lines(scope: TenantScope, runId?: string): Promise<string[]> {
    const { transfers } = await this.ledger.list(scope, { runId, limit: 500 });
    return transfers.map((line) => `${line.kind} ${line.from}>${line.to} ${line.amountMicros}`);
  }

  async budget(scope: TenantScope, index = 0): Promise<Budget> {
    const found = (await this.budgets.list(scope))[index];
    if (found === undefined) throw new Error("there is no such budget");
    return found;
  }

  close(): Promise<void> {
    return this.usage.close();
  }
}
