/**
 * The money side of one attempt of a run. Owns: which calls of it hold something, giving it back at every end, the price
 * that each model call began with. Refuses to know: budgets, where prices are from, when calls are made. What a call used is settled with its usage event.
 */
import type { SpendAsk, SpendGate } from "../../agents/turn/contract.ts";
import type { Reservations, ToolSpendCall } from "../../billing/ledger/reservations.ts";
import { releaseRun, releaseTool } from "../../billing/ledger/reserve-sql.ts";
import { isBackground } from "../../billing/plans/background.ts";
import type { Price } from "../../billing/pricing/price.ts";
import type { UsageMeter } from "../../billing/usage.ts";
import type { Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { keyOf, type RunRow, stepNumber } from "./run.ts";

/** See the head of this file. One per attempt of a run. */
export class TurnSpend implements SpendGate {
  private readonly reservations: Reservations;
  private readonly scope: TenantScope;
  private readonly run: RunRow;
  private readonly meter: Pick<UsageMeter, "priceNow">;
  /** By step of the attempt. */
  private readonly prices = new Map<number, Price>();
  private hasHeld = false;

  constructor(
    reservations: Reservations,
    meter: Pick<UsageMeter, "priceNow">,
    scope: TenantScope,
    run: RunRow,
  ) {
    this.reservations = reservations;
    this.meter = meter;
    this.scope = scope;
    this.run = run;
  }

  async reserve(ask: SpendAsk): Promise<void> {
    // ORDER: before the first wait; what is reserved, asked and paid is one price, whatever operators set meanwhile.
    const price = this.meter.priceNow(this.scope, ask);
    this.prices.set(ask.step, price);
    const held = await this.reservations.reserve(this.scope, { ...ask, ...this.place(ask.step), price });
    if (held) this.hasHeld = true;
  }

  /** The price that the model call of a step began with; undefined for one that was never asked for. */
  priceOf(step: number): Price | undefined {
    return this.prices.get(step);
  }

  /**
   * Hold back the price of a tool's call; `intent` is written with it and only with it. False when nothing needs to be held
   * back: then nothing was written. Throws `budget_exhausted`.
   */
  async reserveTool(
    call: Pick<ToolSpendCall, "ordinal" | "toolName" | "price"> & { step: number },
    intent: Statement,
  ): Promise<boolean> {
    const held = await this.reservations.reserveTool(
      this.scope,
      { ...call, ...this.place(call.step) },
      intent,
    );
    if (held) this.hasHeld = true;
    return held;
  }

  /** For the batch that stores what became of a tool's call that costs nothing after all. */
  releaseOfTool(step: number, ordinal: number, nowMs: number): Statement {
    return releaseTool(this.run.run_id, stepNumber(this.run, step), ordinal, nowMs);
  }

  async release(step: number): Promise<void> {
    if (!this.hasHeld) return;
    await this.reservations.release(this.scope, this.run.run_id, stepNumber(this.run, step));
  }

  /** For the batch that ends the run. ORDER: after its usage events, which take what they need first. */
  releases(nowMs: number): Statement[] {
    return this.hasHeld ? [releaseRun(this.run.run_id, nowMs)] : [];
  }

  /** The attempt is over, however it ended; what could not be given back lapses. */
  end(): void {
    if (this.hasHeld) this.reservations.end(this.scope, this.run.run_id);
  }

  private place(step: number) {
    const { run_id: runId, user_id: userId, agent_id: agentId } = this.run;
    const keyId = keyOf(this.run);
    return {
      ...{ runId, userId, agentId, keyId, isBackground: isBackground(this.run.channel) },
      ...{ step: stepNumber(this.run, step), firstStep: stepNumber(this.run, 0) },
    };
  }
}
