import { describe, expect, it } from "vitest";
import { planSchema } from "../../config/plan-schema.ts";
import { type Clock, systemClock } from "../../kernel/clock.ts";
import type { AppError } from "../../kernel/errors.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import { MemoryCounter } from "./counter.memory.ts";
import { type Call, limitHeaders, strangerKey, Traffic } from "./traffic.ts";
import { Turns } from "./turns.ts";
import { Windows } from "./windows.ts";

const NO_CEILINGS = { requestsPerMinute: 0, turnsPerMinute: 0 };

function traffic(
  plan: Record<string, unknown>,
  strangersPerMinute = 0,
  counter = new MemoryCounter("let-in"),
  ceilings = NO_CEILINGS,
) {
  const terms = planSchema.parse({ name: "Test", ...plan });
  return new Traffic({
    counter,
    strangers: new MemoryCounter("share"),
    clock: systemClock,
    strangersPerMinute,
    ceilings,
    terms: { peek: () => terms, of: async () => terms },
  });
}

function call(
  over: { tenant?: string; user?: string; key?: string; cost?: Call["cost"]; sizeBytes?: number } = {},
) {
  const { tenant = "acme", user = "ann", key = "k1", cost = "read", sizeBytes = 10 } = over;
  const credential = { kind: "api_token", id: key, expiresAtMs: null } as const;
  return { principal: { tenantId: tenant as TenantId, userId: user as UserId, credential }, cost, sizeBytes };
}

async function refusalOf(work: Promise<unknown> | undefined): Promise<AppError | undefined> {
  try {
    await work;
    return undefined;
  } catch (thrown) {
    return thrown as AppError;
  }
}

describe("calls of a tenant", () => {
  it("are not waited for, nor counted, when the plan limits nothing", () => {
    const counter = new MemoryCounter("let-in");
    const unlimited = traffic({}, 0, counter);
    for (let n = 0; n < 1_000; n++) expect(unlimited.admit(call())).toBeUndefined();
    expect(counter.size).toBe(0);
  });

  it("are refused above the limit of the tenant, whoever of it calls; another tenant is not", async () => {
    const limited = traffic({ requestsPerMinute: 3 });
    for (const [n, user] of ["ann", "ben", "cyd"].entries()) {
      const allowance = await limited.admit(call({ user, key: `k${n}` }));
      expect(allowance).toMatchObject({ limit: 3, remaining: 2 - n });
    }
    const refused = await refusalOf(limited.admit(call({ user: "new", key: "new" })));
    expect(refused).toMatchObject({ code: "rate_limited", details: { limit: "tenant", perMinute: 3 } });
    expect(refused?.retryAfterMs).toBeGreaterThan(0);
    expect(refused?.retryAfterMs).toBeLessThanOrEqual(60_000);
    expect(await refusalOf(limited.admit(call({ tenant: "beta" })))).toBeUndefined();
  });

  it("of one token over its limit use nothing of what the others have", async () => {
    const limited = traffic({ requestsPerMinute: 10, requestsPerMinutePerKey: 2 });
    for (let n = 0; n < 2; n++) await limited.admit(call());
    for (let n = 0; n < 50; n++)
      expect((await refusalOf(limited.admit(call())))?.details).toMatchObject({ limit: "token" });
    for (let n = 0; n < 8; n++)
      expect(await refusalOf(limited.admit(call({ key: `other${n}`, user: `u${n}` })))).toBeUndefined();
    expect((await refusalOf(limited.admit(call({ key: "last" }))))?.details).toMatchObject({
      limit: "tenant",
    });
  });

  it("count by person across tokens, by what they cost, and by size", async () => {
    const perUser = traffic({ requestsPerMinutePerUser: 2 });
    await perUser.admit(call({ key: "a" }));
    await perUser.admit(call({ key: "b" }));
    expect((await refusalOf(perUser.admit(call({ key: "c" }))))?.details).toMatchObject({ limit: "person" });
    const classes = traffic({ turnsPerMinute: 1, writesPerMinute: 3 });
    await classes.admit(call({ cost: "turn" }));
    expect((await refusalOf(classes.admit(call({ cost: "turn" }))))?.details).toMatchObject({
      limit: "turns",
    });
    await classes.admit(call({ cost: "write" }));
    await classes.admit(call({ cost: "write" }));
    expect((await refusalOf(classes.admit(call({ cost: "write" }))))?.details).toMatchObject({
      limit: "writes",
    });
    expect(await refusalOf(classes.admit(call({ cost: "read" })))).toBeUndefined();
    const sized = traffic({ requestsPerMinute: 5 });
    await sized.admit(call({ sizeBytes: 3 * 64 * 1024 }));
    expect(await sized.admit(call())).toMatchObject({ remaining: 0 });
  });

  it("are counted by their bytes before they are read, and not twice", async () => {
    const limited = traffic({ requestsPerMinute: 10 });
    const { principal } = call();
    await limited.admitBytes(principal, 5 * 64 * 1024);
    await limited.admitBytes(principal, 63 * 1024);
    expect(await limited.admit({ ...call(), sizeBytes: 0, isBegun: true })).toMatchObject({ remaining: 4 });
    const refused = await refusalOf(limited.admitBytes(principal, 5 * 64 * 1024));
    expect(refused).toMatchObject({ code: "rate_limited", details: { limit: "tenant" } });
  });

  it("that no minute has room for are refused for good, and use nothing up", async () => {
    const limited = traffic({ requestsPerMinute: 20, requestsPerMinutePerKey: 10 });
    const sizeBytes = 10 * 64 * 1024;
    for (const refused of [
      await refusalOf(limited.admit(call({ sizeBytes }))),
      await refusalOf(limited.admitBytes(call().principal, sizeBytes)),
    ]) {
      expect(refused).toMatchObject({ code: "plan_limit", details: { limit: "token", points: 11 } });
      expect(refused?.rule.retryable).toBe(false);
      expect(refused?.retryAfterMs).toBeUndefined();
    }
    expect(await limited.admit(call())).toMatchObject({ limit: 10, remaining: 9 });
    // A report costs five, but is no larger for that: where fewer are allowed it is one minute's.
    const tiny = traffic({ requestsPerMinute: 3 });
    expect(await refusalOf(tiny.admit(call({ cost: "report" })))).toBeUndefined();
    expect((await refusalOf(tiny.admit(call())))?.code).toBe("rate_limited");
  });

  it("meet the platform's ceilings where the plan sets nothing, and those alone", async () => {
    const ceilings = { requestsPerMinute: 12, turnsPerMinute: 2 };
    const bare = traffic({}, 0, new MemoryCounter("let-in"), ceilings);
    for (let n = 0; n < 2; n++) expect(await bare.admit(call({ cost: "turn" }))).toBeUndefined();
    const third = await refusalOf(bare.admit(call({ cost: "turn" })));
    expect(third).toMatchObject({ code: "rate_limited", details: { limit: "turns", perMinute: 2 } });
    await bare.admit({ ...call(), isHandshake: true });
    for (let n = 0; n < 5; n++) expect(await bare.admit(call({ key: `k${n}` }))).toBeUndefined();
    expect((await refusalOf(bare.admit(call())))?.details).toMatchObject({ limit: "tenant", perMinute: 12 });
    expect(await refusalOf(bare.admit(call({ tenant: "beta" })))).toBeUndefined();
    // Above both ceilings, and far below its own.
    const planned = traffic({ requestsPerMinute: 1_000 }, 0, new MemoryCounter("let-in"), ceilings);
    for (let n = 0; n < 20; n++) expect(await refusalOf(planned.admit(call()))).toBeUndefined();
  });

  it("begin in the order in which they came where only ceilings hold, whatever they are", async () => {
    const bare = traffic({}, 0, new MemoryCounter("let-in"), {
      requestsPerMinute: 1_000,
      turnsPerMinute: 100,
    });
    const order: number[] = [];
    const costs = ["turn", "read", "report", "write", "turn", "read"] as const;
    await Promise.all(costs.map((cost, n) => bare.admit(call({ cost }))?.then(() => order.push(n))));
    expect(order).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("are told their limit in whole seconds", () => {
    expect(limitHeaders({ limit: 10, remaining: 3, resetMs: 1_001 })).toEqual({
      "ratelimit-limit": "10",
      "ratelimit-remaining": "3",
      "ratelimit-reset": "2",
    });
  });
});

describe("a burst within the limit", () => {
  it("begins call by call, each in a round of its own, and lets others in between", async () => {
    const limited = traffic({ requestsPerMinute: 1_000 });
    const begun: string[] = [];
    const burst = Array.from({ length: 50 }, () => limited.admit(call())?.then(() => begun.push("flood")));
    const other = limited.admit(call({ tenant: "beta" }))?.then(() => begun.push("beta"));
    await other;
    // Counting takes no round: whoever comes behind fifty calls of another tenant waits for one of them at most.
    expect(begun.indexOf("beta")).toBeLessThanOrEqual(1);
    await Promise.all(burst);
    expect(begun).toHaveLength(51);
  });
});

describe("the pause after a call that kept the thread busy", () => {
  const clock = (now: { ms: number }, waits: number[]): Clock => ({
    ...systemClock,
    monotonicMs: () => now.ms,
    after: (ms, work) => {
      waits.push(ms);
      return systemClock.after(0, work);
    },
  });

  it("is made while others call too, and by nobody who is alone", async () => {
    const now = { ms: 1_000 };
    const waits: number[] = [];
    const turns = new Turns(clock(now, waits));
    const busyCall = async (tenant: string, isPaused = true) => {
      await turns.next(tenant as TenantId, isPaused);
      now.ms += 5;
    };
    await busyCall("acme");
    await busyCall("acme");
    await busyCall("acme");
    expect(waits).toEqual([]);
    turns.seen("beta" as TenantId);
    await busyCall("acme");
    await turns.next("acme" as TenantId, true);
    expect(waits).toEqual([45, 45]);
    // Under a ceiling alone the work of others must not hold a tenant up.
    turns.seen("beta" as TenantId);
    for (let n = 0; n < 3; n++) await busyCall("acme", false);
    expect(waits).toEqual([45, 45]);
    now.ms += 20_000;
    await busyCall("acme");
    await turns.next("acme" as TenantId, true);
    expect(waits).toEqual([45, 45]);
  });
});

describe("strangers", () => {
  it("count by address, IPv6 by its /64; loopback does not", async () => {
    const limited = traffic({}, 2);
    await limited.admitStranger("203.0.113.9");
    await limited.admitStranger("::ffff:203.0.113.9");
    expect((await refusalOf(limited.admitStranger("203.0.113.9")))?.code).toBe("rate_limited");
    expect(await refusalOf(limited.admitStranger("203.0.113.10"))).toBeUndefined();
    expect(strangerKey("2001:db8:1:2::1")).toBe(strangerKey("2001:db8:1:2:ffff::9"));
    expect(strangerKey("2001:db8:1:2::1")).not.toBe(strangerKey("2001:db8:1:3::1"));
    for (const address of ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
      expect(strangerKey(address)).toBeUndefined();
  });

  it("get back what they used once they are known", async () => {
    const limited = traffic({}, 1);
    for (let n = 0; n < 5; n++) {
      await limited.admitStranger("203.0.113.9");
      await limited.knownNow("203.0.113.9");
    }
    await limited.admitStranger("203.0.113.9");
    expect((await refusalOf(limited.admitStranger("203.0.113.9")))?.code).toBe("rate_limited");
  });
});

describe("the memory of counts", () => {
  it("stays bounded under a million keys, and forgets no offender for them", async () => {
    const counter = new MemoryCounter("share", 1_000);
    for (let n = 0; n < 50; n++) await counter.add("offender", 1);
    for (let n = 0; n < 1_000_000; n++) await counter.add(`flood ${n}`, 1);
    expect(counter.size).toBeLessThanOrEqual(1_000 + 4_096);
    expect((await counter.add("offender", 1)).total).toBe(51);
    // Who comes new while memory is full shares a count with others: never less than its own.
    expect((await counter.add("newcomer", 1)).total).toBeGreaterThan(1);
  }, 120_000);
  it("of tenants is not the one that strangers fill, and refuses nobody for being full", async () => {
    const limited = traffic({ turnsPerMinute: 20 }, 1_200);
    for (let n = 0; n < 110_000; n++)
      await limited.admitStranger(`2001:db8:${(n >> 16).toString(16)}:${(n & 0xffff).toString(16)}::1`);
    expect(await limited.admit(call({ cost: "turn" }))).toMatchObject({ limit: 20, remaining: 19 });
    const full = new MemoryCounter("let-in", 2);
    for (const key of ["a", "b", "c", "c"]) await full.add(key, 7);
    expect(full.size).toBe(2);
    expect((await full.add("c", 7)).total).toBe(0);
    expect((await full.add("a", 7)).total).toBe(14);
  }, 120_000);
});

it("windows of a minute begin anew when they are over, and are forgotten then", () => {
  const now = { ms: 0 };
  const windows = new Windows({ ...systemClock, monotonicMs: () => now.ms });
  expect(windows.add("a", 3)).toEqual({ total: 3, resetMs: 60_000 });
  now.ms = 59_999;
  expect(windows.add("a", 1)).toEqual({ total: 4, resetMs: 1 });
  now.ms = 60_000;
  expect(windows.add("a", 1)).toEqual({ total: 1, resetMs: 60_000 });
  for (let n = 0; n < 5_000; n++) {
    now.ms += 100;
    windows.add(`key ${n}`, 1);
  }
  expect(windows.size).toBeLessThanOrEqual(1_300);
});
