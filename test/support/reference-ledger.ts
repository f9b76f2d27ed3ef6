/**
 * What a ledger should do, in plain objects: no SQL, no triggers, nothing shared with the product.
 * Owns: the model that random operations are compared with.
 */

/** A call asks for money. */
export interface ModelCallOp {
  kind: "reserve";
  runId: string;
  step: number;
  firstStep: number;
  /** 0 a turn, 1 a summary, from 2 on calls of tools. */
  ordinal: number;
  amountMicros: number;
  month: string;
  userId: string;
  agentId: string;
  keyId: string;
  atMs: number;
  leaseUntilMs: number;
}

/** Everything that can happen to a ledger. */
export type Op =
  | ModelCallOp
  | {
      kind: "use";
      runId: string;
      step: number;
      ordinal: number;
      userId: string;
      agentId: string;
      micros: number;
      isOwnKey: boolean;
      month: string;
      atMs: number;
    }
  /** Without `ordinal` all calls of the step. */
  | { kind: "release"; runId: string; step: number; ordinal?: number | undefined; nowMs: number }
  | { kind: "end"; runId: string; nowMs: number }
  | { kind: "lapse"; nowMs: number }
  | { kind: "credit"; sourceId: string; micros: number }
  | { kind: "debit"; sourceId: string; micros: number; mayOwe: boolean }
  | {
      kind: "budget";
      scope: "tenant" | "user" | "agent" | "key";
      scopeId: string;
      period: "month" | "total";
      limitMicros: number | null;
      month: string;
    };

interface Held {
  call: ModelCallOp;
  fromPlan: number;
  fromCredit: number;
  isOpen: boolean;
}

interface Spent {
  month: string;
  userId: string;
  agentId: string;
  keyId: string;
  micros: number;
}

/** See the head of this file. */
export class ReferenceLedger {
  creditMicros = 0;
  spentMicros = 0;
  private readonly planLimit: number;
  private readonly held = new Map<string, Held>();
  private readonly open = new Set<Held>();
  private readonly used = new Set<string>();
  private readonly booked = new Set<string>();
  private readonly budgets = new Map<string, number>();
  /** Spent by `scope:id:period`, for all that can have a budget. */
  private readonly spentBy = new Map<string, number>();
  private readonly drawn = new Map<string, number>();
  private readonly others = new Map<string, number>();

  constructor(planLimit: number) {
    this.planLimit = planLimit;
  }

  /** Do it; false when it must be refused. */
  apply(op: Op): boolean {
    switch (op.kind) {
      case "reserve":
        return this.reserve(op);
      case "use":
        this.use(op);
        return true;
      case "release":
        this.giveBack(({ call }) => {
          const isIt = op.ordinal === undefined || call.ordinal === op.ordinal;
          return isIt && call.runId === op.runId && call.step === op.step;
        });
        return true;
      case "end":
        this.giveBack((held) => held.call.runId === op.runId);
        return true;
      case "lapse":
        this.giveBack((held) => held.call.leaseUntilMs <= op.nowMs);
        return true;
      case "credit":
        if (!this.once(`stripe ${op.sourceId}`)) return true;
        this.creditMicros += op.micros;
        this.book("payments", -op.micros);
        return true;
      case "debit":
        return this.debit(op);
      case "budget": {
        const key = `${op.scope}:${op.scopeId}:${op.period}`;
        if (op.limitMicros === null) this.budgets.delete(key);
        else this.budgets.set(key, op.limitMicros);
        return true;
      }
    }
  }

  /** Accounts that are not zero. */
  balances(): Record<string, number> {
    const sums: Record<string, number> = { spent: this.spentMicros, credit: this.creditMicros, reserved: 0 };
    for (const held of this.open) sums["reserved"]! += held.call.amountMicros;
    for (const [month, micros] of this.drawn) sums[`budget:tenant:${month}`] = -micros;
    for (const [account, micros] of this.others) sums[account] = micros;
    return Object.fromEntries(Object.entries(sums).filter(([, micros]) => micros !== 0));
  }

  /** What counts against a budget. `period` is a month or `total`. */
  counted(scope: string, id: string, period: string): { spent: number; reserved: number } {
    let reserved = 0;
    for (const { call } of this.open) if (matches(call, scope, id, period)) reserved += call.amountMicros;
    return { spent: this.spentBy.get(`${scope}:${id}:${period}`) ?? 0, reserved };
  }

  private reserve(call: ModelCallOp): boolean {
    const key = `${call.runId}/${call.step}/${call.ordinal}`;
    if (this.held.has(key)) return false;
    // What earlier attempts left is given back, unless the whole is refused.
    const left = [...this.open].filter(
      ({ call: { runId, step } }) => runId === call.runId && step < call.firstStep,
    );
    for (const held of left) this.settleHeld(held, 0);
    const amount = call.amountMicros;
    const fromPlan = Math.max(0, Math.min(amount, this.planLimit - (this.drawn.get(call.month) ?? 0)));
    const fromCredit = amount - fromPlan;
    // Credit below zero buys nothing, and keeps nothing else from its turn.
    if (fromCredit > Math.max(0, this.creditMicros) || this.isAbove(call)) {
      for (const held of left) this.hold(held);
      return false;
    }
    const held: Held = { call, fromPlan, fromCredit, isOpen: false };
    this.held.set(key, held);
    this.hold(held);
    return true;
  }

  private isAbove(call: ModelCallOp): boolean {
    for (const [scope, id] of [
      ["tenant", ""],
      ["user", call.userId],
      ["agent", call.agentId],
      ["key", call.keyId],
    ] as const) {
      for (const period of ["month", "total"] as const) {
        const limit = this.budgets.get(`${scope}:${id}:${period}`);
        if (limit === undefined) continue;
        const { spent, reserved } = this.counted(scope, id, period === "month" ? call.month : "total");
        if (spent + reserved + call.amountMicros > limit) return true;
      }
    }
    return false;
  }

  private hold(held: Held): void {
    held.isOpen = true;
    this.open.add(held);
    this.creditMicros -= held.fromCredit;
    this.draw(held.call.month, held.fromPlan);
  }

  /** End a reservation: what was used stays, the rest goes back, to credit first. */
  private settleHeld(held: Held, used: number): void {
    held.isOpen = false;
    this.open.delete(held);
    const rest = held.call.amountMicros - used;
    const toCredit = Math.min(rest, held.fromCredit);
    this.creditMicros += toCredit;
    this.draw(held.call.month, -(rest - toCredit));
  }

  private use(op: Extract<Op, { kind: "use" }>): void {
    const key = `${op.runId}/${op.step}/${op.ordinal}`;
    if (this.used.has(key)) return;
    this.used.add(key);
    const cost = op.isOwnKey ? 0 : op.micros;
    const held = this.held.get(key);
    if (held?.isOpen !== true) {
      this.draw(op.month, cost);
      this.spend({ ...op, keyId: "", micros: cost });
      return;
    }
    const spent = Math.min(cost, held.call.amountMicros);
    this.settleHeld(held, spent);
    this.spend({ ...held.call, micros: spent });
    this.book("overrun", -(cost - spent));
    this.book("absorbed", cost - spent);
  }

  private spend({ month, userId, agentId, keyId, micros }: Spent): void {
    this.spentMicros += micros;
    for (const whose of ["tenant:", `user:${userId}`, `agent:${agentId}`, `key:${keyId}`]) {
      for (const period of [month, "total"]) {
        const key = `${whose}:${period}`;
        this.spentBy.set(key, (this.spentBy.get(key) ?? 0) + micros);
      }
    }
  }

  private giveBack(fits: (held: Held) => boolean): void {
    for (const held of [...this.open]) if (fits(held)) this.settleHeld(held, 0);
  }

  private debit(op: Extract<Op, { kind: "debit" }>): boolean {
    if (!op.mayOwe && op.micros > this.creditMicros) return false;
    if (!this.once(`adjustment ${op.sourceId}`)) return false;
    this.creditMicros -= op.micros;
    this.book("adjustment", op.micros);
    return true;
  }

  private once(source: string): boolean {
    if (this.booked.has(source)) return false;
    this.booked.add(source);
    return true;
  }

  private draw(month: string, micros: number): void {
    this.drawn.set(month, (this.drawn.get(month) ?? 0) + micros);
  }

  private book(account: string, micros: number): void {
    this.others.set(account, (this.others.get(account) ?? 0) + micros);
  }
}

function matches(call: ModelCallOp, scope: string, id: string, period: string): boolean {
  if (period !== "total" && call.month !== period) return false;
  if (scope === "tenant") return true;
  return { user: call.userId, agent: call.agentId, key: call.keyId }[scope] === id;
}
