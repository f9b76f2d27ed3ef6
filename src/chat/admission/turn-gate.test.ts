import { describe, expect, it } from "vitest";
import type { Spending } from "../../billing/plans/spending.ts";
import type { TenantPlans } from "../../billing/plans/tenant-plans.ts";
import { TokenPace } from "../../billing/plans/token-pace.ts";
import { planSchema } from "../../config/plan-schema.ts";
import { EventHub } from "../../events/hub.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { SessionKey, TenantId } from "../../kernel/ids.ts";
import { makeLog } from "../../kernel/log.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Leave } from "./fair-queue.ts";
import { TurnGate } from "./turn-gate.ts";

const KEY = "agent:main:main" as SessionKey;
const PLACE = { key: KEY, sender: "token-1" };
const NO_LOOPS = {
  ...{ sessionPerMinute: 0, sessionPerHour: 0, sessionChain: 0, senderChain: 0 },
  ...{ tenantPerMinute: 0, tenantPerHour: 0 },
};
const SCOPE = { tenantId: "acme" as TenantId } as TenantScope;

class ManualClock implements Clock {
  ms = 1_000;
  private due: { atMs: number; run(): void }[] = [];
  nowMs = () => this.ms;
  monotonicMs = () => this.ms;
  after(delayMs: number, run: () => void) {
    const timer = { atMs: this.ms + delayMs, run };
    this.due.push(timer);
    const cancel = () => {
      this.due = this.due.filter((one) => one !== timer);
    };
    return { cancel };
  }
  readonly repeated = new Set<() => void>();
  every(_periodMs: number, run: () => void) {
    this.repeated.add(run);
    return { cancel: () => void this.repeated.delete(run) };
  }
  pass(ms: number) {
    this.ms += ms;
    for (const run of [...this.repeated]) run();
    for (const timer of this.due.filter(({ atMs }) => atMs <= this.ms)) timer.run();
  }
}

function gateOn(plan: Record<string, unknown>, background = 0, loops: Partial<typeof NO_LOOPS> = {}) {
  const clock = new ManualClock();
  const pace = new TokenPace(clock);
  const planOf = (draft: Record<string, unknown>) => ({
    ...{ id: "test", version: 1, terms: planSchema.parse({ name: "Test", ...draft }), origin: "config" },
  });
  const standing = {
    plan: planOf(plan),
    untilMs: null,
    breaker: null as { reason: string; sinceMs: number } | null,
  };
  const plans = {
    peek: () => standing,
    recall: () => standing,
    of: async () => standing,
    stop: async (_id: TenantId, reason: string) => {
      standing.breaker = { reason, sinceMs: clock.ms };
      return true;
    },
  } as unknown as TenantPlans;
  const spending = {
    background: async () => background,
    month: () => ({ name: "2026-11", startMs: 0, endMs: 9_000 }),
  } as unknown as Spending;
  const parts = { plans, spending, pace, hub: new EventHub(), clock, log: makeLog({ level: "silent" }) };
  const gate = new TurnGate({ ...parts, turnsAtOnce: 10, velocity: { ...NO_LOOPS, ...loops } });
  const upgrade = (draft: Record<string, unknown>) => {
    standing.plan = planOf(draft);
  };
  return { clock, pace, gate, standing, upgrade };
}

describe("work that nobody waits for", () => {
  it("begins while its part of the budget lasts, and is refused with its reset when that is used up", async () => {
    const { gate } = gateOn({ backgroundBudgetMicros: 500 }, 499);
    await gate.admit(SCOPE, PLACE, "cron");
    const empty = gateOn({ backgroundBudgetMicros: 500 }, 500).gate;
    for (const channel of ["cron", "hook", "webhook"])
      await expect(empty.admit(SCOPE, PLACE, channel)).rejects.toMatchObject({
        code: "budget_exhausted",
        details: { scope: "background", resetAtMs: 9_000, limitMicros: 500 },
      });
    // People are answered all the same.
    await empty.admit(SCOPE, PLACE, "webchat");
    await gateOn({}, 10 ** 12).gate.admit(SCOPE, PLACE, "cron");
  });
});

const settle = () => new Promise((resolve) => setImmediate(resolve));
const never = new AbortController().signal;

describe("turns that were accepted before they were stopped", () => {
  it("wait, those in the queue too, and all go on when an admin says so", async () => {
    const { gate, clock, standing } = gateOn({ concurrentTurns: 1 }, 0, { sessionPerMinute: 3 });
    const leaves: Leave[] = [];
    for (let n = 0; n < 3; n++) {
      await gate.admit(SCOPE, PLACE, "webchat");
      void gate.enter(SCOPE, PLACE, never).then((leave) => leaves.push(leave));
    }
    await settle();
    expect(leaves).toHaveLength(1);
    await expect(gate.admit(SCOPE, PLACE, "webchat")).rejects.toMatchObject({
      code: "turns_stopped",
      message: expect.stringContaining("More than 3 turns began within a minute"),
    });
    void gate.enter(SCOPE, PLACE, never).then((leave) => leaves.push(leave));
    // Its place comes free, and nothing begins with it.
    leaves[0]?.();
    for (let n = 0; n < 5; n++) {
      clock.pass(1_000);
      await settle();
    }
    expect(leaves).toHaveLength(1);
    const stop = new AbortController();
    const gaveUp = gate.enter(SCOPE, PLACE, stop.signal);
    stop.abort();
    (await gaveUp)();
    standing.breaker = null;
    for (let begun = 2; begun <= 4; begun++) {
      clock.pass(1_000);
      await settle();
      expect(leaves).toHaveLength(begun);
      leaves.at(-1)?.();
    }
    await settle();
    // Nothing is looked after any more.
    expect(clock.repeated.size).toBe(0);
    await gate.admit(SCOPE, PLACE, "webchat");
  });

  it("and wait for a place go on when the plan lets more be made at once", async () => {
    const { gate, clock, upgrade } = gateOn({ concurrentTurns: 1 });
    let begun = 0;
    for (let n = 0; n < 5; n++) void gate.enter(SCOPE, PLACE, never).then(() => begun++);
    await settle();
    expect(begun).toBe(1);
    upgrade({ concurrentTurns: 4 });
    clock.pass(1_000);
    await settle();
    expect(begun).toBe(4);
  });
});

describe("the pace of tokens", () => {
  it("refuses new messages and holds further model calls until the minute is over", async () => {
    const { gate, pace, clock } = gateOn({ tokensPerMinute: 100 });
    pace.note(SCOPE.tenantId, 99);
    await gate.admit(SCOPE, PLACE, "webchat");
    pace.note(SCOPE.tenantId, 1);
    clock.pass(20_000);
    await expect(gate.admit(SCOPE, PLACE, "webchat")).rejects.toMatchObject({
      code: "rate_limited",
      retryAfterMs: 40_000,
    });
    let isOn = false;
    const held = gate.keepPace(SCOPE, new AbortController().signal).then(() => {
      isOn = true;
    });
    clock.pass(39_999);
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOn).toBe(false);
    clock.pass(1);
    await held;
    await gate.admit(SCOPE, PLACE, "webchat");
  });

  it("counts an accepted message at once, and what its calls used only beyond that", async () => {
    const { gate, pace, clock } = gateOn({ tokensPerMinute: 100 });
    await gate.admit(SCOPE, PLACE, "webchat", "a".repeat(4 * 60));
    await gate.admit(SCOPE, PLACE, "webchat", "a".repeat(4 * 39));
    pace.note(SCOPE.tenantId, 99);
    await gate.admit(SCOPE, PLACE, "webchat", "a".repeat(4));
    await expect(gate.admit(SCOPE, PLACE, "webchat")).rejects.toMatchObject({ code: "rate_limited" });
    clock.pass(60_000);
    await gate.admit(SCOPE, PLACE, "webchat", "a".repeat(4 * 100));
  });

  it("refuses a message that alone has more tokens than the plan allows in a minute, and counts nothing of it", async () => {
    const { gate } = gateOn({ tokensPerMinute: 100 });
    await expect(gate.admit(SCOPE, PLACE, "webchat", "a".repeat(4 * 101))).rejects.toMatchObject({
      code: "plan_limit",
      details: { limit: "tokens", perMinute: 100, tokens: 101 },
    });
    await gate.admit(SCOPE, PLACE, "webchat", "short");
    await gateOn({}).gate.admit(SCOPE, PLACE, "webchat", "a".repeat(4_000_000));
  });

  it("holds nobody who was stopped, and nobody without a limit", async () => {
    const { gate, pace } = gateOn({ tokensPerMinute: 1 });
    pace.note(SCOPE.tenantId, 10);
    const stop = new AbortController();
    const held = gate.keepPace(SCOPE, stop.signal);
    stop.abort();
    await held;
    await gateOn({}).gate.keepPace(SCOPE, new AbortController().signal);
  });
});
