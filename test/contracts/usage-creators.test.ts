/** Who began conversations, as stock clients ask for it, and "everything there is" in their words. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunId, SessionId, SessionKey, UserId } from "#src/kernel/ids.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { openUsageWorld, type UsageWorld } from "../support/usage-world.ts";

let world: UsageWorld;
beforeAll(async () => {
  world = await openUsageWorld();
});
afterAll(() => world.close());

interface Answer {
  totals: { input: number; totalCost: number };
  sessions: { key: string; sessionId: string; creatorKey: string; createdActor?: { label: string } }[];
  aggregates: {
    byUser: { userId: string; totals: { input: number } }[];
    byCreator?: {
      key: string;
      actor?: { id: string };
      sessionCount: number;
      totals: { input: number };
      daily: { date: string; input: number }[];
      sessionActivity: { dates: string[]; sessionCount: number }[];
    }[];
  };
  creatorOptions: { key: string; actor?: { id: string } }[];
}

const DAYS = { startDate: "2026-11-18", endDate: "2026-11-22", groupBy: "family" };
const sessionId = (tail: string) => `00000000-0000-4000-8000-0000000000${tail}` as SessionId;

/** Two began a session each and spoke in both; one of the sessions was reset; a third was begun by nobody. */
async function twoBeginners(slug: string): Promise<TenantScope> {
  const scope = world.newTenant(slug);
  const talk = (key: string, tail: string, userId: string, day: number) =>
    world.model(scope, {
      ...{ sessionKey: `agent:main:${key}` as SessionKey, sessionId: sessionId(tail) },
      ...{ userId: userId as UserId, runId: `${key}-${tail}-${userId}-${day}` as RunId },
      atMs: Date.UTC(2026, 10, day, 12),
    });
  await talk("one", "0a", "ann", 18);
  await talk("one", "0a", "bob", 19);
  await talk("one", "0b", "bob", 21);
  await talk("two", "0c", "bob", 19);
  await talk("two", "0c", "ann", 21);
  await talk("three", "0d", "", 21);
  return scope;
}

const ask = async (scope: TenantScope, more: Record<string, unknown> = {}) =>
  (await world.call(scope, "sessions.usage", { ...DAYS, ...more })) as unknown as Answer;

describe("who began sessions", () => {
  it("belongs to one person, whoever spoke in them, so that sums are those of sessions", async () => {
    const { aggregates, sessions, totals, creatorOptions } = await ask(await twoBeginners("beginners"));
    expect(aggregates.byUser.map(({ userId, totals: own }) => [userId, own.input])).toEqual([
      ["bob", 360],
      ["ann", 240],
      ["", 120],
    ]);
    expect(aggregates.byCreator).toMatchObject([
      { actor: { id: "ann" }, sessionCount: 1, totals: { input: 360 } },
      { actor: { id: "bob" }, sessionCount: 1, totals: { input: 240 } },
      { key: '["unknown"]', sessionCount: 1, totals: { input: 120 } },
    ]);
    expect(aggregates.byCreator?.[2]).not.toHaveProperty("actor");
    expect(aggregates.byCreator?.reduce((sum, creator) => sum + creator.totals.input, 0)).toBe(totals.input);
    const [ann] = aggregates.byCreator ?? [];
    expect(ann?.daily.map(({ date, input }) => [date, input])).toEqual([
      ["2026-11-18", 120],
      ["2026-11-19", 120],
      ["2026-11-21", 120],
    ]);
    expect(ann?.sessionActivity).toEqual([
      { dates: ["2026-11-18", "2026-11-19", "2026-11-21"], sessionCount: 1 },
    ]);
    const byKey = new Map(sessions.map((session) => [session.key, session]));
    expect(byKey.get("agent:main:one")).toMatchObject({
      creatorKey: ann?.key,
      createdActor: { label: "ann" },
    });
    expect(byKey.get("agent:main:three")).not.toHaveProperty("createdActor");
    expect(creatorOptions.map(({ key }) => key).sort()).toEqual(
      aggregates.byCreator?.map(({ key }) => key).sort(),
    );
  });

  it("narrows everything to the sessions of the one who is asked for", async () => {
    const scope = await twoBeginners("narrowed");
    const all = await ask(scope);
    const ann = all.aggregates.byCreator?.[0];
    const own = await ask(scope, { creatorKey: ann?.key });
    expect(own.sessions.map(({ key }) => key)).toEqual(["agent:main:one"]);
    expect(own.totals.input).toBe(360);
    expect(own.aggregates.byUser.map(({ userId, totals }) => [userId, totals.input])).toEqual([
      ["bob", 240],
      ["ann", 120],
    ]);
    // Whom else one could ask for stays known.
    expect(own.creatorOptions).toHaveLength(3);
    const nobody = await ask(scope, { creatorKey: '["human","carl"]' });
    expect(nobody.sessions).toEqual([]);
    expect(nobody.totals.input).toBe(0);
  });

  it("says nothing of another tenant's people, asked for by the same key", async () => {
    const scope = await twoBeginners("own-house");
    const key = (await ask(scope)).aggregates.byCreator?.[0]?.key;
    const next = world.newTenant("next-door");
    await world.model(next, { atMs: Date.UTC(2026, 10, 20, 12), userId: "zoe" as UserId });
    const answer = await ask(next, { creatorKey: key });
    expect(answer.totals.input).toBe(0);
    expect(answer.creatorOptions.map(({ actor }) => actor?.id)).toEqual(["zoe"]);
  });

  it("is left out where not all sessions are listed", async () => {
    const { aggregates, sessions } = await ask(await twoBeginners("short"), { limit: 2 });
    expect(sessions).toHaveLength(2);
    expect(aggregates).not.toHaveProperty("byCreator");
  });
});

describe("the first day of all", () => {
  it("means since the first use", async () => {
    const scope = world.newTenant("ever", "Asia/Kathmandu");
    await world.model(scope, { atMs: Date.UTC(2025, 2, 3, 20) });
    await world.model(scope, { atMs: Date.UTC(2026, 10, 22, 3) });
    for (const params of [{ startDate: "1970-01-01", endDate: "2026-11-22" }, { range: "all" }]) {
      const answer = (await world.call(scope, "sessions.usage", params)) as unknown as Answer & {
        startDate: string;
      };
      expect(answer.startDate).toBe("2025-03-04");
      expect(answer.totals.input).toBe(240);
    }
  });

  it("is today where nothing was used, and no reason to accept other days that are too many", async () => {
    const scope = world.newTenant("never");
    const answer = await world.call(scope, "usage.cost", { startDate: "1970-01-01", endDate: "2026-11-22" });
    expect(answer["days"]).toBe(1);
    await expect(
      world.call(scope, "usage.cost", { startDate: "1980-01-01", endDate: "2026-11-22" }),
    ).rejects.toMatchObject({ code: "invalid_request" });
  });
});
