/**
 * The money side of one attempt of a run. Owns: which calls of it hold something, giving it back at every end.
 * Refuses to know: budgets, prices, when calls are made. What a call used is settled with its usage event.
 */
import type { SpendAsk, SpendGate } from "../../agents/turn/contract.ts";
import type { Reservations } from "../../billing/ledger/reservations.ts";
import { releaseRun } from "../../billing/ledger/reserve-sql.ts";
import type { Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { type RunRow, settingsOf, stepNumber } from "./run.ts";

/** See the head of this file. One per attempt of a run. */
export class TurnSpend implements SpendGate {
  private readonly reservations: Reservations;
  private readonly scope: TenantScope;
  private readonly run: RunRow;
  private hasHeld = false;

  constructor(reservations: Reservations, scope: TenantScope, run: RunRow) {
    this.reservations = reservations;
    this.scope = scope;
    this.run = run;
  }

  async reserve(ask: SpendAsk): Promise<void> {
    const { run_id: runId, user_id: userId, agent_id: agentId } = this.run;
    const held = await this.reservations.reserve(this.scope, {
      ...ask,
      ...{ runId, userId, agentId, keyId: settingsOf(this.run).by?.id ?? "" },
      step: stepNumber(this.run, ask.step),
      firstStep: stepNumber(this.run, 0),
    });
    if (held) this.hasHeld = true;
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
}
