/** Derived numbers equal the events they come from, in the tenant's file and in control.db. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AgentId, RunId, SessionId, SessionKey, UserId } from "#src/kernel/ids.ts";
import type { Statement } from "#src/storage/database.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { modelInput, openUsageWorld, toolInput, type UsageWorld } from "../support/usage-world.ts";

let world: UsageWorld;
beforeAll(async () => {
  world = await openUsageWorld();
});
afterAll(() => world.close());

const COPIED = `day, agent_id, user_id, channel, provider, model, model_calls, tool_calls, user_messages,
  assistant_messages, errors, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, input_cost_micros,
  output_cost_micros, cache_read_cost_micros, cache_write_cost_micros, cost_micros, platform_cost_micros,
  estimated_calls, missing_costs`;
const ORDER = "ORDER BY day, agent_id, user_id, channel, provider, model";

async function copied(scope: TenantScope): Promise<unknown[]> {
  return world.control.list(`SELECT ${COPIED} FROM usage_daily WHERE tenant_id = ? ${ORDER}`, [
    scope.tenantId,
  ]);
}

async function own(scope: TenantScope): Promise<unknown[]> {
  return scope.db.list(`SELECT ${COPIED} FROM usage_days ${ORDER}`);
}

async function snapshot(scope: TenantScope): Promise<unknown[]> {
  return Promise.all(
    ["usage_days", "usage_quarters", "usage_sessions"].map((table) =>
      scope.db.list(`SELECT * FROM ${table} ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9`),
    ),
  );
}

/** Input tokens by day as the protocol answers (from quarters of an hour) … */
async function answeredDays(scope: TenantScope): Promise<unknown[]> {
  const answer = await world.call(scope, "usage.cost", { startDate: "2026-09-01", endDate: "2026-11-22" });
  const days = answer["daily"] as { date: string; input: number }[];
  return days.filter((day) => day.input > 0).map((day) => [day.date, day.input]);
}

/** … and as each event was filed under its day when it was stored. */
async function countedDays(scope: TenantScope): Promise<unknown[]> {
  const rows = await scope.db.list<{ day: string; input: number }>(
    "SELECT day, sum(input_tokens) AS input FROM usage_days GROUP BY day HAVING input > 0 ORDER BY day",
  );
  return rows.map((row) => [row.day, row.input]);
}

/** A small generator with a seed, so that a failure can be repeated. */
function makeRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % below;
  };
}

/** Random events of two weeks around a change of clocks, some of them twice. */
function randomStatements(
  scope: TenantScope,
  random: (below: number) => number,
  aroundMs: number,
): Statement[] {
  const statements: Statement[] = [];
  for (let count = 0; count < 120; count++) {
    const session = random(5);
    const where = {
      runId: `run-${random(60)}` as RunId,
      step: random(3),
      agentId: `agent-${session % 2}` as AgentId,
      sessionKey: `agent:agent-${session % 2}:s${session}` as SessionKey,
      sessionId: `00000000-0000-4000-8000-00000000000${session}` as SessionId,
      userId: `user-${random(3)}` as UserId,
      channel: ["webchat", "telegram"][random(2)]!,
    };
    const atMs = aroundMs + (random(14 * 24 * 60) - 7 * 24 * 60) * 60_000;
    if (random(3) === 0) {
      const input = { ...where, ordinal: random(2), toolName: `tool-${random(3)}`, isError: random(4) === 0 };
      statements.push(...world.meter.toolCall(scope, toolInput(atMs, input)).statements);
    } else {
      const usage = {
        inputTokens: random(5_000),
        outputTokens: random(900),
        cacheReadTokens: random(2) * random(4_000),
        cacheWriteTokens: random(2) * random(300),
        isExact: random(5) > 0,
      };
      const cost = random(4) === 0 ? undefined : { input: random(300) / 100, output: random(900) / 100 };
      const input = { ...where, usage, cost, model: `m-${random(3)}`, isError: random(9) === 0 };
      statements.push(...world.meter.modelCall(scope, modelInput(atMs, input)).statements);
    }
  }
  return statements;
}

describe("rolled-up usage", () => {
  const cases: [string, number][] = [
    ["UTC", Date.UTC(2026, 9, 25)],
    ["Europe/Berlin", Date.UTC(2026, 9, 25)],
    ["America/New_York", Date.UTC(2026, 10, 1)],
    ["Australia/Lord_Howe", Date.UTC(2026, 9, 3)],
    ["Asia/Kathmandu", Date.UTC(2026, 9, 25)],
  ];

  it.each(cases)("equals a rebuild from random events in %s", async (zone, aroundMs) => {
    const scope = world.newTenant(`random-${cases.findIndex(([name]) => name === zone)}`, zone);
    const random = makeRandom(aroundMs % 1_000_003);
    for (let round = 0; round < 3; round++) {
      await scope.db.write({ statements: randomStatements(scope, random, aroundMs) });
      await world.rollup.pushDirty(scope);
    }
    const before = await snapshot(scope);
    expect((before[0] as unknown[]).length).toBeGreaterThan(20);
    expect(await world.rollup.listDrift(scope)).toEqual([]);
    expect(await copied(scope)).toEqual(await own(scope));
    expect(await answeredDays(scope)).toEqual(await countedDays(scope));
    await world.rollup.rebuild(scope);
    expect(await snapshot(scope)).toEqual(before);
    expect(await copied(scope)).toEqual(await own(scope));
    expect(await scope.db.list("SELECT * FROM usage_dirty_days")).toEqual([]);
  });

  it("is repaired by a rebuild after damage, and the damage is found", async () => {
    const scope = world.newTenant("damaged");
    await scope.db.write({ statements: randomStatements(scope, makeRandom(7), Date.UTC(2026, 9, 25)) });
    await world.rollup.pushDirty(scope);
    const before = await snapshot(scope);
    await scope.db.write({
      statements: [
        { sql: "UPDATE usage_days SET cost_micros = cost_micros + 1 WHERE model_calls > 0" },
        { sql: "DELETE FROM usage_sessions" },
      ],
    });
    await world.control.write({
      statements: [
        { sql: "UPDATE usage_daily SET input_tokens = 0 WHERE tenant_id = ?", params: [scope.tenantId] },
        {
          sql: `INSERT INTO usage_daily SELECT tenant_id, '2020-01-01', ${COPIED.slice("day, ".length)}
            FROM usage_daily WHERE tenant_id = ? LIMIT 1`,
          params: [scope.tenantId],
        },
      ],
    });
    expect(await world.rollup.listDrift(scope)).toEqual(["usage_days", "usage_sessions"]);
    await world.rollup.rebuild(scope);
    expect(await world.rollup.listDrift(scope)).toEqual([]);
    expect(await snapshot(scope)).toEqual(before);
    expect(await copied(scope)).toEqual(await own(scope));
  });
});

describe("copying to control.db", () => {
  it("gives the same values when it is repeated after a crash between the two commits", async () => {
    const scope = world.newTenant("crash");
    await world.model(scope);
    const dirty = await scope.db.list("SELECT * FROM usage_dirty_days");
    await world.rollup.pushDirty(scope);
    const first = await copied(scope);
    const [{ day, last_seq: lastSeq }] = dirty as [{ day: string; last_seq: number }];
    await scope.db.write({
      statements: [{ sql: "INSERT INTO usage_dirty_days VALUES (?, ?)", params: [day, lastSeq] }],
    });
    expect(await world.rollup.pushDirty(scope)).toBe(1);
    expect(await copied(scope)).toEqual(first);
    expect(await world.rollup.pushDirty(scope)).toBe(0);
  });

  it("never lets an older reading replace a newer one", async () => {
    const scope = world.newTenant("late");
    await world.model(scope);
    await world.model(scope);
    await world.rollup.pushDirty(scope);
    const newest = await copied(scope);
    // Another process read when there was one event, and arrives late.
    const stale: TenantScope = {
      ...scope,
      db: {
        ...scope.db,
        list: async <Row>(sql: string, params?: readonly (string | number)[]) =>
          (await scope.db.list<Record<string, unknown>>(sql, params)).map((row) =>
            "as_of" in row ? { ...row, as_of: 1, model_calls: 1, cost_micros: 160 } : row,
          ) as Row[],
      } as TenantScope["db"],
    };
    await world.rollup.pushDays(stale, ["2026-11-22"]);
    expect(await copied(scope)).toEqual(newest);
  });

  it("follows a tenant's file that was restored from an older backup", async () => {
    const scope = world.newTenant("restored");
    await world.model(scope);
    await world.control.write({
      statements: [
        {
          sql: "INSERT INTO usage_daily_marks VALUES (?, '2026-11-22', 999, 0)",
          params: [scope.tenantId],
        },
      ],
    });
    await world.rollup.pushDirty(scope);
    expect(await copied(scope)).toEqual(await own(scope));
  });

  it("happens in the background for noted tenants, also when the commit comes after the note", async () => {
    const scope = world.newTenant("noted");
    world.rollup.note(scope);
    await world.rollup.tick();
    expect(await copied(scope)).toEqual([]);
    const { statements } = world.meter.modelCall(scope, modelInput(Date.UTC(2026, 10, 22), {}));
    await world.rollup.tick();
    await scope.db.write({ statements });
    await world.rollup.tick();
    expect(await copied(scope)).toHaveLength(1);
  });

  it("finds days that an earlier process left behind", async () => {
    const scope = world.newTenant("left-behind");
    await world.model(scope);
    world.rollup.forget(scope.tenantId);
    await world.rollup.tick();
    expect(await copied(scope)).toEqual([]);
    world.rollup.start(async (after) => (after < "left-behind" ? [scope] : []));
    await world.rollup.close();
    expect(await copied(scope)).toEqual([]);
    world.rollup.start(async (after) => (after < "left-behind" ? [scope] : []));
    await world.rollup.tick();
    expect(await copied(scope)).toHaveLength(1);
    await world.rollup.close();
  });

  it("tries again what could not be copied when it was found", async () => {
    const scope = world.newTenant("found-once");
    await world.model(scope);
    world.rollup.forget(scope.tenantId);
    let isDown = true;
    const list: TenantScope["db"]["list"] = (sql, params) =>
      isDown ? Promise.reject(new Error("locked")) : scope.db.list(sql, params);
    const shaky = { ...scope, db: { ...scope.db, list } } as TenantScope;
    world.rollup.start(async (after) => (after < "found-once" ? [shaky] : []));
    await world.rollup.tick();
    expect(await copied(scope)).toEqual([]);
    isDown = false;
    await world.rollup.tick();
    expect(await copied(scope)).toHaveLength(1);
    await world.rollup.close();
  });

  it("does not let one broken tenant keep others from being copied", async () => {
    const broken = world.newTenant("broken");
    const sound = world.newTenant("sound");
    await world.model(sound);
    const failing = { ...broken, db: { ...broken.db, list: () => Promise.reject(new Error("gone")) } };
    world.rollup.note(failing as TenantScope);
    world.rollup.note(sound);
    await world.rollup.tick();
    expect(await copied(sound)).toHaveLength(1);
    world.rollup.forget(broken.tenantId);
  });
});
