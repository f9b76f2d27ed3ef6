/**
 * Which nights are compared, and whose calls count: nights that were missed are made up without asking a provider that
 * is down again and again; tenants that are going or gone have not called less; a busy day holds nobody up.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addDays } from "#src/billing/calendar.ts";
import { keepGoneUsage } from "#src/billing/reconcile/gone-usage.ts";
import { countOwnKeys, listNights } from "#src/billing/reconcile/nights.ts";
import { BOUNDS, countOwn, PIECE } from "#src/billing/reconcile/own-count.ts";
import type { ProviderDay } from "#src/billing/reconcile/provider-usage.ts";
import { type OwnKeys, Reconciler, type ReconcilerDeps } from "#src/billing/reconcile/reconciler.ts";
import { listTroubles } from "#src/billing/reconcile/troubles.ts";
import { listUsageEndpoints, noteUsageEndpoint } from "#src/billing/reconcile/usage-endpoints.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { AppError } from "#src/kernel/errors.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { openUsageWorld, type UsageWorld } from "../support/usage-world.ts";

const log = makeLog({ level: "silent" });
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOON = Date.UTC(2026, 10, 22, 12);
const TODAY = "2026-11-22";

let world: UsageWorld;
let nowMs: number;
let scopes: TenantScope[];
/** Days (UTC) that the provider was asked about, in order. */
let asked: string[];
let answer: (day: string) => ProviderDay[];
/** The provider takes a question and never answers; `silence` is called then. */
let isSilent: boolean;
let silence: (() => void) | undefined;

beforeEach(async () => {
  world = await openUsageWorld();
  scopes = [];
  asked = [];
  answer = () => [];
  isSilent = false;
  setNow(NOON);
});
afterEach(() => world.close());

function setNow(ms: number): void {
  nowMs = ms;
  world.setNow(ms);
}

async function tenant(slug: string, timeZone = "UTC"): Promise<TenantScope> {
  const scope = world.newTenant(slug, timeZone);
  scopes.push(scope);
  const params = [scope.tenantId, slug, slug, timeZone];
  const sql = `INSERT INTO tenants (id, slug, display_name, status, plan, time_zone, created_at_ms)
    VALUES (?, ?, ?, 'active', 'free', ?, 0)`;
  await world.control.write({ statements: [{ sql, params }] });
  return scope;
}

/** Calls of 120 + 20 tokens. */
async function call(scope: TenantScope, atMs: number, times = 1, more = {}): Promise<void> {
  for (let n = 0; n < times; n++) await world.model(scope, { atMs, ...more });
  await world.rollup.pushDirty(scope);
}

const counted = (calls: number): ProviderDay[] => [
  { model: "mock-1", calls, inputTokens: 120 * calls, cachedTokens: 0, outputTokens: 20 * calls },
];

function make(more: Partial<ReconcilerDeps> = {}): Reconciler {
  const clock: Clock = { ...systemClock, nowMs: () => nowMs };
  const provider = {
    read: async ({ startMs, endMs }: { startMs: number; endMs: number }, signal?: AbortSignal) => {
      expect(endMs - startMs).toBe(DAY_MS);
      const day = new Date(startMs).toISOString().slice(0, 10);
      asked.push(day);
      if (isSilent)
        return new Promise<never>((_, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason));
          silence?.();
        });
      return answer(day);
    },
  };
  const scopeOf = async (id: string) => scopes.find(({ tenantId }) => tenantId === id);
  const tolerance = { tokens: 0, ratio: 0 };
  const deps = { control: world.control, clock, log, providers: { mock: provider }, scopeOf, tolerance };
  return new Reconciler({ ...deps, ...more });
}

const down = () => {
  throw new AppError("provider_failed", "The provider's usage could not be read: HTTP 503.");
};

describe("nights", () => {
  it("that were missed are made up, the newest first, from the first day with usage on", async () => {
    const acme = await tenant("acme");
    await call(acme, NOON - 5 * DAY_MS, 2);
    answer = (day) => (day === addDays(TODAY, -5) ? counted(2) : []);
    const reconciler = make();
    await reconciler.tick();
    expect(asked).toEqual([1, 2, 3, 4, 5].map((back) => addDays(TODAY, -back)));
    const nights = await listNights(
      world.control,
      { keyOwner: "platform", providers: [{ id: "mock" }] },
      nowMs,
    );
    expect(nights.filter(({ comparedAtMs }) => comparedAtMs !== null)).toHaveLength(5);
    expect(nights.every(({ isWithin }) => isWithin)).toBe(true);
    // What is compared is not asked for again; the server then stands still for three days.
    await reconciler.tick();
    expect(asked).toHaveLength(5);
    setNow(NOON + 3 * DAY_MS);
    await reconciler.tick();
    expect(asked.slice(5)).toEqual([2, 1, 0].map((ahead) => addDays(TODAY, ahead)));
  });

  it("before anything was used are nobody's, and at most 31 are made up", async () => {
    const reconciler = make();
    await reconciler.tick();
    expect(asked).toEqual([]);
    const acme = await tenant("acme");
    await call(acme, NOON - 90 * DAY_MS, 1, { provider: "another" });
    await reconciler.tick();
    // Of a key that nobody used here, only the last night says something: that somebody else uses it.
    expect(asked).toEqual([addDays(TODAY, -1)]);
    await call(acme, NOON - 80 * DAY_MS);
    await call(acme, NOON - 31 * DAY_MS);
    await reconciler.tick();
    expect(asked).toHaveLength(31);
    expect([...asked].sort()[0]).toBe(addDays(TODAY, -31));
  });

  it("are asked for later and later while the provider is down, then all made up", async () => {
    const acme = await tenant("acme");
    await call(acme, NOON - 4 * DAY_MS);
    answer = down;
    let reconciler = make();
    for (let hour = 0; hour < 72; hour++) {
      setNow(NOON + hour * HOUR_MS);
      // The pause outlives the process.
      if (hour === 5) reconciler = make();
      await reconciler.tick();
    }
    expect(asked.length).toBeGreaterThan(4);
    expect(asked.length).toBeLessThan(9);
    expect(await listTroubles(world.control, "platform")).toEqual([
      expect.objectContaining({
        ...{ provider: "mock", failures: asked.length },
        lastError: "The provider's usage could not be read: HTTP 503.",
      }),
    ]);
    answer = (day) => (day === addDays(TODAY, -4) ? counted(1) : []);
    asked = [];
    setNow(NOON + 4 * DAY_MS);
    await reconciler.tick();
    expect([...asked].sort()).toEqual([-4, -3, -2, -1, 0, 1, 2, 3].map((days) => addDays(TODAY, days)));
    expect(await listTroubles(world.control, "platform")).toEqual([]);
    expect(await world.control.list("SELECT * FROM reconciliation_troubles")).toEqual([]);
  });

  it("are left where they are when the server stops while a provider is silent", async () => {
    await call(await tenant("acme"), NOON - 4 * DAY_MS);
    isSilent = true;
    const isAsked = new Promise<void>((resolve) => {
      silence = resolve;
    });
    const reconciler = make();
    const round = reconciler.tick();
    await isAsked;
    await reconciler.close();
    await round;
    expect(asked).toHaveLength(1);
    expect(await listTroubles(world.control, "platform")).toEqual([]);
  });

  it("do not wait for a pause that a wrong clock set", async () => {
    await call(await tenant("acme"), NOON - DAY_MS);
    answer = down;
    setNow(NOON + 20 * DAY_MS);
    await make().tick();
    setNow(NOON);
    await make().tick();
    expect(asked).toHaveLength(2);
  });

  it("that fail for good keep no other from being compared", async () => {
    const acme = await tenant("acme");
    await call(acme, NOON - 4 * DAY_MS);
    const bad = addDays(TODAY, -2);
    answer = (day) => (day === bad ? down() : day === addDays(TODAY, -4) ? counted(1) : []);
    const reconciler = make();
    await reconciler.tick();
    setNow(NOON + 2 * HOUR_MS);
    await reconciler.tick();
    const rows = await world.control.list<{ day: string }>("SELECT day FROM reconciliations ORDER BY day");
    expect(rows.map(({ day }) => day)).toEqual([-4, -3, -1].map((days) => addDays(TODAY, days)));
    expect(asked.filter((day) => day === bad)).toHaveLength(2);
  });
});

describe("tenants that go", () => {
  const night = addDays(TODAY, -1);
  const atNight = NOON - DAY_MS;

  it("count while they are being deleted, and after their files are gone", async () => {
    const [acme, beta] = [await tenant("acme"), await tenant("beta", "Asia/Shanghai")];
    await call(acme, atNight, 3);
    // 02:00 of the next day where they are; and one call that is of another day of UTC, though of the same day there.
    await call(beta, Date.parse(`${night}T18:00:00Z`), 4);
    await call(beta, Date.parse(`${TODAY}T03:00:00Z`), 1);
    await call(beta, atNight, 1, { isError: true, usage: NO_TOKENS });
    await call(beta, atNight, 1, { keyOwner: "tenant" });
    answer = () => counted(7);
    const reconciler = make();
    expect((await reconciler.reconcile("mock", night)).findings).toEqual([]);
    await world.control.write({
      statements: [{ sql: "UPDATE tenants SET status = 'deleting' WHERE slug = 'beta'" }],
    });
    expect((await reconciler.reconcile("mock", night)).findings).toEqual([]);
    await keepGoneUsage(world.control, beta, nowMs);
    await keepGoneUsage(world.control, beta, nowMs);
    // Kept, and still there: counted once.
    expect((await reconciler.reconcile("mock", night)).findings).toEqual([]);
    scopes = [acme];
    expect((await reconciler.reconcile("mock", night)).findings).toEqual([]);
    const kept = await world.control.list("SELECT * FROM gone_usage");
    expect(kept).toHaveLength(2);
    expect(JSON.stringify(kept)).not.toContain("user-1");
    setNow(NOON + 40 * DAY_MS);
    await reconciler.tick();
    expect(await world.control.list("SELECT * FROM gone_usage")).toEqual([]);
  });

  it("count by their copied days where nothing else is left", async () => {
    const acme = await tenant("acme");
    await call(acme, atNight, 3);
    answer = () => counted(3);
    scopes = [];
    expect((await make().reconcile("mock", night)).findings).toEqual([]);
    const scopeOf = () => Promise.reject(new AppError("tenant_unavailable", "damaged"));
    expect((await make({ scopeOf }).reconcile("mock", night)).findings).toEqual([]);
    const lost = () => Promise.reject(new Error("anything else"));
    await expect(make({ scopeOf: lost }).reconcile("mock", night)).rejects.toThrow("anything else");
  });
});

const NO_TOKENS = {
  inputTokens: 0,
  outputTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  isExact: false,
};

describe("a busy day", () => {
  it("is counted beside the event loop, in pieces that add up", async () => {
    const acme = await tenant("acme");
    for (let hour = 0; hour < 48; hour++)
      await call(acme, NOON - hour * HOUR_MS, 1, { model: `m-${hour % 3}` });
    const readers: string[] = [];
    const spied: TenantScope = {
      ...acme,
      db: new Proxy(acme.db, {
        get: (db, name: keyof TenantScope["db"]) => {
          readers.push(name);
          return db[name].bind(db);
        },
      }),
    };
    const span = { firstDay: addDays(TODAY, -1), lastDay: TODAY, keyOwner: "platform" } as const;
    const whole = await countOwn(spied, span);
    expect(readers.length).toBe(2);
    const pieces = await countOwn(spied, span, 5);
    expect(readers.length).toBe(2 + 11);
    expect(new Set(readers)).toEqual(new Set(["report"]));
    const byName = (one: { day: string; model: string }) => `${one.day} ${one.model}`;
    const sorted = (list: typeof whole) =>
      list.toSorted((left, right) => byName(left).localeCompare(byName(right)));
    expect(sorted(pieces)).toEqual(sorted(whole));
    expect(whole.reduce((sum, { calls }) => sum + calls, 0)).toBe(37);
  });

  it("is found by number and by index, never by looking at all there is", async () => {
    const acme = await tenant("acme");
    const plan = async (sql: string, params: (string | number)[]) =>
      (await acme.db.list<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, params))
        .map((row) => row.detail)
        .filter((detail) => detail.includes("usage_events"));
    expect(await plan(PIECE, [1, 2, 0, 1, "platform"])).toEqual([
      "SEARCH usage_events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    ]);
    for (const step of await plan(BOUNDS, ["[]"])) expect(step).toContain("usage_events_by_day (day=?)");
  });
});

describe("tenants' own keys", () => {
  const night = addDays(TODAY, -1);
  /** Who was asked, with what came back. */
  let told: (scope: TenantScope) => ProviderDay[];
  let keys: string[];
  const own: OwnKeys = {
    scopeOf: async (id) => scopes.find(({ tenantId }) => tenantId === id),
    usageOf: async (scope, provider) => ({
      read: async () => {
        keys.push(`${scope.tenant.slug}/${provider}`);
        return told(scope);
      },
    }),
  };
  beforeEach(() => {
    keys = [];
    told = () => counted(1);
  });
  const withOwn = () => make({ providers: {}, own });
  const note = (scope: TenantScope, provider = "mine", origin = "https://mine.example") =>
    noteUsageEndpoint(world.control, scope.tenantId, provider, origin, nowMs);
  const nightsOf = async ({ tenantId }: TenantScope) => {
    const endpoints = await listUsageEndpoints(world.control, tenantId);
    const providers = endpoints.map(({ provider: id, sinceDay }) => ({ id, sinceDay }));
    return listNights(world.control, { keyOwner: tenantId, providers }, nowMs);
  };

  it("are compared from the day their usage address was given, each with its owner's calls alone", async () => {
    const [acme, beta] = [await tenant("acme"), await tenant("beta")];
    for (const scope of [acme, beta]) {
      await note(scope);
      await call(scope, NOON, 1, { provider: "mine", keyOwner: "tenant" });
    }
    await call(acme, NOON, 5, { provider: "mine" });
    const reconciler = withOwn();
    await reconciler.tick();
    expect(keys).toEqual([]);
    setNow(NOON + DAY_MS);
    told = (scope) => counted(scope === beta ? 3 : 1);
    await reconciler.tick();
    expect(keys.sort()).toEqual(["acme/mine", "beta/mine"]);
    expect(await nightsOf(acme)).toEqual([
      { provider: "mine", day: TODAY, comparedAtMs: nowMs, isWithin: true, findings: [] },
    ]);
    expect(await nightsOf(beta)).toMatchObject([
      { isWithin: false, findings: [{ kind: "retried_calls", calls: 2 }] },
    ]);
    // Operators see numbers, and nothing of it among their own nights.
    expect(await countOwnKeys(world.control, nowMs)).toEqual({ keys: 2, differing: 1, failing: 0 });
    expect(await listNights(world.control, { keyOwner: "platform", providers: [] }, nowMs)).toEqual([]);
    // The same host again changes nothing; another begins anew.
    await note(acme);
    expect(await listUsageEndpoints(world.control, acme.tenantId)).toMatchObject([{ sinceDay: TODAY }]);
    await note(acme, "mine", "https://other.example");
    expect(await listUsageEndpoints(world.control, acme.tenantId)).toMatchObject([
      { sinceDay: addDays(TODAY, 1) },
    ]);
  });

  it("that fail are tried later, and hold up nobody else's", async () => {
    const [acme, beta] = [await tenant("acme"), await tenant("beta")];
    for (const scope of [acme, beta]) await note(scope);
    told = (scope) => (scope === acme ? down() : []);
    const reconciler = withOwn();
    for (let hour = 24; hour < 48; hour++) {
      setNow(NOON + hour * HOUR_MS);
      await reconciler.tick();
    }
    expect(keys.filter((key) => key === "beta/mine")).toHaveLength(1 + 1);
    const tries = keys.filter((key) => key === "acme/mine").length;
    expect(tries).toBeGreaterThan(2);
    expect(tries).toBeLessThan(8);
    expect(await listTroubles(world.control, acme.tenantId)).toMatchObject([{ failures: tries }]);
    expect(await listTroubles(world.control, beta.tenantId)).toEqual([]);
    expect((await nightsOf(acme)).every(({ comparedAtMs }) => comparedAtMs === null)).toBe(true);
  });

  it("are not used for tenants that are being deleted, and leave nothing behind that came too late", async () => {
    const acme = await tenant("acme");
    await note(acme);
    setNow(NOON + DAY_MS);
    const become = (sql: string) => world.control.write({ statements: [{ sql }] });
    await become("UPDATE tenants SET status = 'deleting'");
    await withOwn().tick();
    expect(keys).toEqual([]);
    await become("DELETE FROM tenants");
    // Its purge ran while the provider was answering.
    await withOwn().reconcileOwn(acme.tenantId, "mine", night);
    await note(acme, "second");
    told = down;
    await withOwn().tick();
    expect(await world.control.list("SELECT * FROM reconciliations")).toEqual([]);
    expect(await world.control.list("SELECT provider FROM usage_endpoints")).toEqual([{ provider: "mine" }]);
    expect(await world.control.list("SELECT * FROM reconciliation_troubles")).toEqual([]);
  });
});
