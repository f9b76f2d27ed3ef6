import { describe, expect, it } from "vitest";
import type { Clock } from "../../kernel/clock.ts";
import { toAppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { Misses } from "./misses.ts";

const ACME = "acme" as TenantId;
const BETA = "beta" as TenantId;
const HOUR_MS = 3_600_000;

let nowMs = 0;
const clock = { monotonicMs: () => nowMs } as Clock;

function refusal(work: () => unknown) {
  try {
    work();
    return undefined;
  } catch (thrown) {
    const { code, retryAfterMs } = toAppError(thrown);
    return { code, retryAfterMs };
  }
}

describe("misses", () => {
  it("are ten an hour for each tenant, tries at once counted before they end", () => {
    nowMs = 0;
    const misses = new Misses(clock);
    for (let n = 0; n < 10; n++) misses.begin(ACME);
    nowMs = 1_000;
    expect(refusal(() => misses.begin(ACME))).toEqual({
      code: "rate_limited",
      retryAfterMs: HOUR_MS - 1_000,
    });
    expect(refusal(() => misses.begin(BETA))).toBeUndefined();
    nowMs = HOUR_MS;
    expect(refusal(() => misses.begin(ACME))).toBeUndefined();
  });

  it("are taken back once by a try that proves to be none, and then leave nothing", () => {
    nowMs = 0;
    const misses = new Misses(clock);
    for (let n = 0; n < 30; n++) {
      const takeBack = misses.begin(ACME);
      takeBack();
      takeBack();
    }
    expect(misses.size).toBe(0);
    for (let n = 0; n < 10; n++) misses.begin(ACME);
    expect(refusal(() => misses.begin(ACME))?.code).toBe("rate_limited");
  });

  it("do not take back in the next hour what was counted in the last", () => {
    nowMs = 0;
    const misses = new Misses(clock);
    const old = misses.begin(ACME);
    nowMs = HOUR_MS;
    for (let n = 0; n < 10; n++) misses.begin(ACME);
    old();
    expect(refusal(() => misses.begin(ACME))?.code).toBe("rate_limited");
  });

  it("keep no more tenants than there are places, and give up none for another", () => {
    nowMs = 0;
    const misses = new Misses(clock, 3);
    for (let n = 0; n < 10; n++) misses.begin(ACME);
    nowMs = 10;
    misses.begin("t-1" as TenantId);
    misses.begin("t-2" as TenantId);
    for (let n = 3; n < 1_000; n++)
      expect(refusal(() => misses.begin(`t-${n}` as TenantId))?.code).toBe("rate_limited");
    expect(misses.size).toBe(3);
    // The offender is still known, and so are the others.
    expect(refusal(() => misses.begin(ACME))?.code).toBe("rate_limited");
    expect(refusal(() => misses.begin("t-1" as TenantId))).toBeUndefined();
    nowMs = HOUR_MS;
    expect(refusal(() => misses.begin(BETA))).toBeUndefined();
    expect(misses.size).toBe(3);
  });
});
