import { describe, expect, it } from "vitest";
import type { SessionKey, TenantId } from "../../kernel/ids.ts";
import { type ActiveRun, Lane, LiveRuns } from "./live-runs.ts";

const TENANT = "t" as TenantId;
const KEY = "agent:main:main" as SessionKey;
const RUN = { run: { run_id: "r" } } as unknown as ActiveRun;

describe("a session's lane", () => {
  it("is one for all who are about to decide, also when the one before left it idle", async () => {
    const live = new LiveRuns();
    const seen: Lane[] = [];
    const first = live.exclusive(TENANT, KEY, async (lane) => void seen.push(lane));
    const second = live.exclusive(TENANT, KEY, async (lane) => {
      // Others get the chance to forget the lane while nothing is active in it yet.
      await new Promise((resolve) => setImmediate(resolve));
      seen.push(lane);
      lane.active = RUN;
    });
    await Promise.all([first, second]);
    await live.exclusive(TENANT, KEY, async (lane) => void seen.push(lane));
    expect(new Set(seen).size).toBe(1);
    expect(live.findActive(TENANT, "r")).toBe(RUN);
  });

  it("is forgotten when nothing is active, waits or is about to, also after a decision that failed", async () => {
    const live = new LiveRuns();
    await expect(live.exclusive(TENANT, KEY, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(live.find(TENANT, KEY)).toBeUndefined();
    await live.exclusive(TENANT, KEY, async (lane) => {
      lane.active = RUN;
    });
    expect(live.find(TENANT, KEY)).toBeDefined();
    await live.exclusive(TENANT, KEY, async (lane) => {
      lane.active = undefined;
    });
    expect(live.find(TENANT, KEY)).toBeUndefined();
    expect(live.isBusy(TENANT)).toBe(false);
  });

  it("counts a run that is being stored as active", async () => {
    const live = new LiveRuns();
    await live.exclusive(TENANT, KEY, async (lane) => {
      lane.isStarting = true;
      expect(live.countActive(TENANT)).toBe(1);
      expect(live.countActive("other" as TenantId)).toBe(0);
      lane.isStarting = false;
    });
  });

  it("gives times that never repeat and never go back", () => {
    const lane = new Lane();
    expect([5, 5, 3, 9, 9].map((nowMs) => lane.nextAcceptedMs(nowMs))).toEqual([5, 6, 7, 9, 10]);
  });
});

describe("a held tenant", () => {
  it("is busy until every hold is released", () => {
    const live = new LiveRuns();
    const [one, two] = [live.hold(TENANT), live.hold(TENANT)];
    one();
    expect(live.isBusy(TENANT)).toBe(true);
    expect(live.isBusy("other" as TenantId)).toBe(false);
    two();
    expect(live.isBusy(TENANT)).toBe(false);
  });
});
