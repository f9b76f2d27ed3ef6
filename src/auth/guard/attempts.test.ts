import { describe, expect, it } from "vitest";
import type { Clock } from "../../kernel/clock.ts";
import { ATTEMPT_LIMITS, Attempts, addressKey } from "./attempts.ts";

function makeClock(): Clock & { pass(ms: number): void } {
  let ms = 0;
  return {
    nowMs: () => ms,
    monotonicMs: () => ms,
    after: () => ({ cancel() {} }),
    every: () => ({ cancel() {} }),
    pass(more) {
      ms += more;
    },
  };
}

const LIMITS = {
  ...ATTEMPT_LIMITS,
  freeFailures: 3,
  firstWaitMs: 1_000,
  longestWaitMs: 8_000,
  remembered: 100,
};

describe("failed attempts", () => {
  it("make an address wait, twice as long each time, up to a bound", () => {
    const clock = makeClock();
    const attempts = new Attempts(clock, LIMITS);
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      attempts.noteFailure("192.0.2.1", null);
      const waitMs = attempts.addressWaitMs("192.0.2.1");
      waits.push(waitMs);
      clock.pass(waitMs);
      expect(attempts.addressWaitMs("192.0.2.1")).toBe(0);
    }
    expect(waits).toEqual([0, 0, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    expect(attempts.addressWaitMs("192.0.2.2")).toBe(0);
    clock.pass(LIMITS.forgetMs);
    attempts.noteFailure("192.0.2.1", null);
    expect(attempts.addressWaitMs("192.0.2.1")).toBe(0);
  });

  it("with one credential are slowed from however many addresses they come", () => {
    const clock = makeClock();
    const attempts = new Attempts(clock, LIMITS);
    const waits = Array.from({ length: 5 }, (_, i) => attempts.noteFailure(`192.0.2.${i}`, "creel_AbCd"));
    expect(waits.slice(0, 3)).toEqual([0, 0, 0]);
    expect(waits[3]).toBeGreaterThan(0);
    expect(attempts.noteFailure("192.0.2.99", "creel_WxYz")).toBe(0);
  });

  it("in one tenant are slowed from however many addresses they come, and shut out nobody who holds a secret", () => {
    const clock = makeClock();
    const attempts = new Attempts(clock, { ...LIMITS, tenantFreeFailures: 10 });
    const fail = (i: number, tenant: string) =>
      attempts.noteFailure(`10.0.${i >> 8}.${i & 255}`, `creel_${i}`, tenant);
    const waits = Array.from({ length: 13 }, (_, i) => fail(i, i % 2 === 0 ? "acme" : "ACME"));
    expect(waits.slice(0, 10)).toEqual(Array(10).fill(0));
    expect(waits.slice(10).every((waitMs) => waitMs > 0)).toBe(true);
    // Only failures hear of it: an address that did not fail may try, also for the tenant that is guessed at.
    expect(attempts.addressWaitMs("192.0.2.50")).toBe(0);
    expect(fail(900, "beta")).toBe(0);
    // One that fails there now is out of patience sooner than elsewhere.
    fail(500, "acme");
    expect(attempts.addressWaitMs("10.0.1.244")).toBeGreaterThan(0);
  });

  it("take bounded memory, however many strangers come", () => {
    const attempts = new Attempts(makeClock(), LIMITS);
    for (let i = 0; i < 1_000_000; i++) {
      const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
      attempts.noteFailure(address, `creel_${i}`, `tenant-${i}`);
    }
    expect(attempts.size).toBe(3 * LIMITS.remembered);
    // A million is quick; a busy machine is given its time.
  }, 120_000);

  it("with made-up credentials do not make the address forgotten that they come from", () => {
    const attempts = new Attempts(makeClock(), LIMITS);
    for (let i = 0; i < 10 * LIMITS.remembered; i++) attempts.noteFailure("192.0.2.1", `creel_${i}`);
    expect(attempts.addressWaitMs("192.0.2.1")).toBeGreaterThan(0);
  });
});

describe("an address", () => {
  it("counts as IPv4 also when mapped, as its /64 when IPv6, and as one when unreadable", () => {
    expect(addressKey("::ffff:192.0.2.1")).toBe(addressKey("192.0.2.1"));
    expect(addressKey("::ffff:c000:201")).toBe("192.0.2.1");
    expect(addressKey("2001:db8:1:2:3:4:5:6")).toBe(addressKey("2001:db8:1:2:ffff::1"));
    expect(addressKey("2001:db8:1:2::1")).not.toBe(addressKey("2001:db8:1:3::1"));
    expect(addressKey("fe80::1%eth0")).toBe(addressKey("fe80::2"));
    expect(addressKey("")).toBe("unknown");
    expect(addressKey("x".repeat(100_000))).toBe("unknown");
  });
});
