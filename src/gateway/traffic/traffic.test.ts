import { describe, expect, it } from "vitest";
import { planSchema } from "../../config/plan-schema.ts";
import { systemClock } from "../../kernel/clock.ts";
import type { AppError } from "../../kernel/errors.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import { MemoryCounter } from "./counter.memory.ts";
import { type Call, limitHeaders, strangerKey, Traffic } from "./traffic.ts";

function traffic(plan: Record<string, unknown>, strangersPerMinute = 0, counter = new MemoryCounter()) {
  const terms = planSchema.parse({ name: "Test", ...plan });
  return new Traffic({
    counter,
    clock: systemClock,
    strangersPerMinute,
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
    const counter = new MemoryCounter();
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
    const counter = new MemoryCounter(1_000);
    for (let n = 0; n < 50; n++) await counter.add("offender", 1);
    for (let n = 0; n < 1_000_000; n++) await counter.add(`flood ${n}`, 1);
    expect(counter.size).toBeLessThanOrEqual(1_000 + 4_096);
    expect((await counter.add("offender", 1)).total).toBe(51);
    // Who comes new while memory is full shares a count with others: never less than its own.
    expect((await counter.add("newcomer", 1)).total).toBeGreaterThan(1);
  }, 120_000);
});
