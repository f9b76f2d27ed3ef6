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
import { TurnGate } from "./turn-gate.ts";

const KEY = "agent:main:main" as SessionKey;
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
  every = () => ({ cancel: () => undefined });
  pass(ms: number) {
    this.ms += ms;
    for (const timer of this.due.filter(({ atMs }) => atMs <= this.ms)) timer.run();
  }
}

function gateOn(plan: Record<string, unknown>, background = 0) {
  const clock = new ManualClock();
  const pace = new TokenPace(clock);
  const terms = planSchema.parse({ name: "Test", ...plan });
  const standing = {
    plan: { id: "test", version: 1, terms, origin: "config" },
    untilMs: null,
    breaker: null,
  };
  const plans = {
    peek: () => standing,
    recall: () => standing,
    of: async () => standing,
  } as unknown as TenantPlans;
  const spending = {
    background: async () => background,
    month: () => ({ name: "2026-11", startMs: 0, endMs: 9_000 }),
  } as unknown as Spending;
  const parts = { plans, spending, pace, hub: new EventHub(), clock, log: makeLog({ level: "silent" }) };
  return { clock, pace, gate: new TurnGate({ ...parts, turnsAtOnce: 10, turnsPerSession: 0 }) };
}

describe("work that nobody waits for", () => {
  it("begins while its part of the budget lasts, and is refused with its reset when that is used up", async () => {
    const { gate } = gateOn({ backgroundBudgetMicros: 500 }, 499);
    await gate.admit(SCOPE, KEY, "cron");
    const empty = gateOn({ backgroundBudgetMicros: 500 }, 500).gate;
    for (const channel of ["cron", "hook", "webhook"])
      await expect(empty.admit(SCOPE, KEY, channel)).rejects.toMatchObject({
        code: "budget_exhausted",
        details: { scope: "background", resetAtMs: 9_000, limitMicros: 500 },
      });
    // People are answered all the same.
    await empty.admit(SCOPE, KEY, "webchat");
    await gateOn({}, 10 ** 12).gate.admit(SCOPE, KEY, "cron");
  });
});

describe("the pace of tokens", () => {
  it("refuses new messages and holds further model calls until the minute is over", async () => {
    const { gate, pace, clock } = gateOn({ tokensPerMinute: 100 });
    pace.note(SCOPE.tenantId, 99);
    await gate.admit(SCOPE, KEY, "webchat");
    pace.note(SCOPE.tenantId, 1);
    clock.pass(20_000);
    await expect(gate.admit(SCOPE, KEY, "webchat")).rejects.toMatchObject({
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
    await gate.admit(SCOPE, KEY, "webchat");
  });

  it("counts an accepted message at once, and what its calls used only beyond that", async () => {
    const { gate, pace, clock } = gateOn({ tokensPerMinute: 100 });
    await gate.admit(SCOPE, KEY, "webchat", "a".repeat(4 * 60));
    await gate.admit(SCOPE, KEY, "webchat", "a".repeat(4 * 39));
    pace.note(SCOPE.tenantId, 99);
    await gate.admit(SCOPE, KEY, "webchat", "a".repeat(4));
    await expect(gate.admit(SCOPE, KEY, "webchat")).rejects.toMatchObject({ code: "rate_limited" });
    clock.pass(60_000);
    await gate.admit(SCOPE, KEY, "webchat", "a".repeat(4 * 100));
  });

  it("refuses a message that alone has more tokens than the plan allows in a minute, and counts nothing of it", async () => {
    const { gate } = gateOn({ tokensPerMinute: 100 });
    await expect(gate.admit(SCOPE, KEY, "webchat", "a".repeat(4 * 101))).rejects.toMatchObject({
      code: "plan_limit",
      details: { limit: "tokens", perMinute: 100, tokens: 101 },
    });
    await gate.admit(SCOPE, KEY, "webchat", "short");
    await gateOn({}).gate.admit(SCOPE, KEY, "webchat", "a".repeat(4_000_000));
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
