import { describe, expect, it } from "vitest";
import type { Clock } from "../../kernel/clock.ts";
import type { SessionKey, TenantId } from "../../kernel/ids.ts";
import { Velocity, type VelocityLimits } from "./velocity.ts";

const ACME = "acme" as TenantId;
const NONE: VelocityLimits = {
  ...{ sessionPerMinute: 0, sessionPerHour: 0, sessionChain: 0, senderChain: 0 },
  ...{ tenantPerMinute: 0, tenantPerHour: 0 },
};
/** As shipped. */
const SHIPPED: VelocityLimits = {
  ...{ sessionPerMinute: 120, sessionPerHour: 1_000, sessionChain: 100, senderChain: 1_000 },
  ...{ tenantPerMinute: 3_000, tenantPerHour: 120_000 },
};

class World {
  nowMs = 1_000_000;
  readonly velocity: Velocity;

  constructor(limits: Partial<VelocityLimits>) {
    const clock = { monotonicMs: () => this.nowMs, nowMs: () => this.nowMs } as Clock;
    this.velocity = new Velocity(clock, { ...NONE, ...limits });
  }

  /** Send, and let the turn take so long; the reason when it looks like a loop. */
  turn(session: string, lengthMs: number, sender = "token", tenantId = ACME): string | undefined {
    const place = { key: session as SessionKey, sender };
    const counted = this.velocity.add(tenantId, place);
    if (typeof counted === "string") return counted;
    const end = this.velocity.going(tenantId, place);
    this.nowMs += lengthMs;
    end();
    return undefined;
  }

  /** Turns until one looks like a loop, each sent so long after the end of the one before. */
  loop(turnMs: number, pauseMs: number, sessionOf: (n: number) => string, most = 5_000) {
    for (let turns = 0; turns < most; turns++) {
      const reason = this.turn(sessionOf(turns), turnMs);
      if (reason !== undefined) return { turns, reason };
      this.nowMs += pauseMs;
    }
    return { turns: most, reason: undefined };
  }
}

const same = () => "agent:main:main";
const fresh = (n: number) => `agent:main:${n}`;

describe("a loop", () => {
  it("in one session is found whatever the model's pace", () => {
    for (const turnMs of [170, 2_000, 10_000, 60_000]) {
      const { turns, reason } = new World(SHIPPED).loop(turnMs, 300, same);
      expect(turns, `${turnMs} ms`).toBe(100);
      expect(reason).toContain("without a pause in the session agent:main:main");
    }
  });

  it("that waits a little before it answers is found by what it does in an hour", () => {
    const { turns, reason } = new World(SHIPPED).loop(1_000, 2_500, same);
    expect(turns).toBe(1_000);
    expect(reason).toContain("within an hour");
  });

  it("over ever new sessions is found by its sender, and by its tenant", () => {
    expect(new World(SHIPPED).loop(5_000, 200, fresh)).toMatchObject({
      turns: 1_000,
      reason: expect.stringContaining("one sender"),
    });
    const { turns, reason } = new World({ tenantPerMinute: 25 }).loop(100, 10, fresh);
    expect(turns).toBe(25);
    expect(reason).toContain("within a minute, the last of them in the session agent:main:25");
    expect(new World({ tenantPerHour: 40 }).loop(60_000, 10_000, fresh).turns).toBe(40);
  });

  it("whose messages come while the turn before goes on is one too", () => {
    const world = new World({ sessionChain: 30 });
    const place = { key: "s" as SessionKey, sender: "hook" };
    const counts = Array.from({ length: 40 }, () => {
      const counted = world.velocity.add(ACME, place);
      if (typeof counted !== "string") world.velocity.going(ACME, place);
      world.nowMs += 60_000;
      return typeof counted;
    });
    expect(counts.indexOf("string")).toBe(30);
  });

  it("is told from another tenant's, and forgotten when its tenant was stopped", () => {
    const world = new World({ sessionPerMinute: 5 });
    expect(world.loop(10, 1, same).turns).toBe(5);
    expect(world.turn("agent:main:main", 10, "token", "beta" as TenantId)).toBeUndefined();
    world.velocity.forget(ACME);
    expect(world.turn("agent:main:main", 10)).toBeUndefined();
  });
});

describe("what is no loop", () => {
  it("is a busy team: 300 people who each write every 20 seconds for an hour", () => {
    const world = new World(SHIPPED);
    let refused = 0;
    const going: { endMs: number; end(): void }[] = [];
    for (let second = 0; second < 3_600; second++) {
      world.nowMs += 1_000;
      while (going[0] !== undefined && going[0].endMs <= world.nowMs) going.shift()?.end();
      for (let person = second % 20; person < 300; person += 20) {
        const place = { key: `agent:main:${person}` as SessionKey, sender: `device-${person}` };
        if (typeof world.velocity.add(ACME, place) === "string") refused++;
        going.push({ endMs: world.nowMs + 12_000, end: world.velocity.going(ACME, place) });
      }
    }
    expect(refused).toBe(0);
  });

  it("is a program that asks many things side by side", () => {
    const world = new World(SHIPPED);
    const ends = Array.from({ length: 8 }, (_, n) =>
      world.velocity.going(ACME, { key: fresh(n) as SessionKey, sender: "token" }),
    );
    for (let n = 0; n < 10_000; n++) {
      world.nowMs += 1_000;
      const place = { key: fresh(n + 8) as SessionKey, sender: "token" };
      expect(typeof world.velocity.add(ACME, place)).toBe("object");
      ends.push(world.velocity.going(ACME, place));
      ends.shift()?.();
    }
  });

  it("is a message that was not accepted", () => {
    const world = new World({ sessionPerMinute: 2, sessionChain: 3 });
    for (let n = 0; n < 20; n++) {
      const counted = world.velocity.add(ACME, { key: "s" as SessionKey, sender: "token" });
      if (typeof counted === "string") throw new Error(counted);
      counted.takeBack();
    }
    expect(world.turn("s", 10)).toBeUndefined();
  });
});

describe("what is remembered", () => {
  it("is bounded for each tenant, and nothing is kept of those that were quiet for an hour", () => {
    const world = new World(SHIPPED);
    for (let n = 0; n < 5_000; n++) world.turn(fresh(n), 100_000, `token-${n}`);
    expect(world.velocity.size).toEqual({ tenants: 1, places: 2_000 });
    for (let n = 0; n < 2_000; n++) world.turn("s", 1, "token", `t-${n}` as TenantId);
    world.nowMs += 3_700_000;
    for (let n = 0; n < 2_001; n++) world.turn("s", 1, "token", ACME);
    expect(world.velocity.size.tenants).toBe(1);
  });
});
