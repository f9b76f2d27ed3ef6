/**
 * Our count against the provider's, by real turns: a usage chunk that was lost, a call that was made twice and tokens
 * from a cache are each found, under their own names; where nothing is odd nothing is found.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { usageEndpoints } from "#src/app/outbound.ts";
import { compareDay, TOLERANCE } from "#src/billing/reconcile/findings.ts";
import { OpenAiUsage } from "#src/billing/reconcile/provider-usage.openai.ts";
import { Reconciler, type Reconciliation } from "#src/billing/reconcile/reconciler.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { Egress } from "#src/kernel/egress.ts";
import type { TenantId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database } from "#src/storage/database.ts";
import { chat, ProviderWorld } from "../support/provider-world.ts";
import type { SocketClient } from "../support/socket-client.ts";

const log = makeLog({ level: "silent" });
const today = () => new Date().toISOString().slice(0, 10);

let world: ProviderWorld;
let egress: Egress;
let databases: SqliteDatabases;
let control: Database;
let clients: SocketClient[];
let reconciler: Reconciler;

beforeAll(async () => {
  world = await ProviderWorld.start();
  clients = [await world.client("acme"), await world.client("globex")];
  egress = new Egress({ allowPrivate: ["127.0.0.1"], log });
  const migrationsDirectory = new URL("../../migrations", import.meta.url).pathname;
  databases = new SqliteDatabases({ migrationsDirectory });
  control = databases.open("control", `${world.creel.stateDir}/control.db`, "control");
  const { tenants, door } = world.creel.app;
  const scopeOf = async (tenantId: TenantId) => {
    const tenant = await tenants.findById(tenantId);
    return tenant === undefined ? undefined : door.scope(tenant);
  };
  const usage = { url: `${world.mock.url}/v1/organization/usage/completions` };
  const config = { providers: { mock: { usage } } } as never;
  const providers = usageEndpoints(config, egress);
  reconciler = new Reconciler({
    ...{ control, clock: systemClock, log, providers, scopeOf },
    tolerance: { tokens: 0, ratio: 0 },
  });
}, 60_000);

afterAll(async () => {
  await databases.close();
  await egress.close();
  await world.close();
});

/** Differences since the last look, so that each test sees its own. */
let before: Reconciliation;
const look = () => reconciler.reconcile("mock", today());
beforeEach(async () => {
  before = await look();
});

const of = (found: Reconciliation, kind: string) => {
  const none = { calls: 0, inputTokens: 0, cachedTokens: 0, outputTokens: 0 };
  const [now, then] = [found, before].map(
    (one) => one.findings.find((finding) => finding.kind === kind) ?? none,
  );
  return {
    calls: now!.calls - then!.calls,
    inputTokens: now!.inputTokens - then!.inputTokens,
    cachedTokens: now!.cachedTokens - then!.cachedTokens,
    outputTokens: now!.outputTokens - then!.outputTokens,
  };
};

async function say(message: string, client = clients[0]!): Promise<void> {
  const turn = await chat(client, message, { sessionKey: `agent:main:${crypto.randomUUID()}` });
  expect(turn.end["state"], JSON.stringify(turn.end)).toBe("final");
}

describe("the mock provider's own count", () => {
  it("equals ours while nothing is odd, over all tenants, also with tokens from a cache that it tells", async () => {
    await say("hello");
    await say("hello there", clients[1]);
    await say("hello CACHED:50");
    // The control database learns of new usage within ten seconds; a first day is looked up there.
    await expect.poll(async () => (await look()).findings, { timeout: 20_000, interval: 500 }).toEqual([]);
    expect((await look()).isWithin).toBe(true);
  }, 30_000);

  it("finds a call that was made again", async () => {
    await say("BILLEDFAIL:1 hello");
    const found = await look();
    expect(of(found, "retried_calls")).toEqual({
      calls: 1,
      inputTokens: 120,
      cachedTokens: 0,
      outputTokens: 20,
    });
    expect(found.findings.map(({ kind }) => kind)).toEqual(["retried_calls"]);
    expect(found.isWithin).toBe(false);
  }, 30_000);

  it("finds tokens from a cache that we were not told of", async () => {
    await say("HIDECACHE:70 hello");
    const found = await look();
    expect(of(found, "cache_tokens")).toEqual({
      calls: 0,
      inputTokens: 0,
      cachedTokens: 70,
      outputTokens: 0,
    });
    expect(found.findings.map(({ kind }) => kind).sort()).toEqual(["cache_tokens", "retried_calls"]);
  }, 30_000);

  it("finds a usage chunk that was lost", async () => {
    await say("DROPUSAGE hello", clients[1]);
    const found = await look();
    expect(of(found, "usage_chunk_dropped").calls).toBe(1);
    expect(found.findings.map(({ kind }) => kind).sort()).toEqual([
      "cache_tokens",
      "retried_calls",
      "usage_chunk_dropped",
    ]);
  }, 30_000);
});

it("stays the same when a tenant goes: its calls were made", async () => {
  const { tenants, admin } = world.creel.app;
  const doomed = await world.creel.tenant("doomed");
  await say("hello", await world.client("doomed"));
  const copied = () => control.list("SELECT 1 FROM usage_daily WHERE tenant_id = ?", [doomed.id]);
  await expect.poll(copied, { timeout: 20_000, interval: 200 }).toHaveLength(1);
  const same = { ...(await look()), comparedAtMs: expect.any(Number) };
  await tenants.markDeleting(doomed.id, { reason: "story" });
  expect(await look()).toEqual(same);
  const sql = "UPDATE tenants SET delete_after_ms = 1 WHERE id = ?";
  await control.write({ statements: [{ sql, params: [doomed.id] }] });
  await admin.purge.purge(doomed.id);
  expect(await tenants.findById(doomed.id)).toBeUndefined();
  expect(await look()).toEqual(same);
  const kept = await control.list("SELECT tenant_id, calls FROM gone_usage");
  expect(kept).toEqual([{ tenant_id: doomed.id, calls: 1 }]);
}, 30_000);

describe("two counts of a day", () => {
  const their = { model: "m", calls: 10, inputTokens: 1_000_000, cachedTokens: 0, outputTokens: 100_000 };
  const own = { ...their, estimatedCalls: 0 };

  it("may differ by half a percent, and no more", () => {
    expect(compareDay([their], [{ ...own, inputTokens: 995_000 }], TOLERANCE).isWithin).toBe(true);
    const far = compareDay([their], [{ ...own, inputTokens: 990_000 }], TOLERANCE);
    expect(far).toMatchObject({
      isWithin: false,
      findings: [{ kind: "tokens_differ", inputTokens: 10_000 }],
    });
  });

  it("name calls that only we know, and models that only one side knows", () => {
    const ours = [
      { ...own, calls: 12 },
      { ...own, model: "n" },
    ];
    const found = compareDay([their], ours, TOLERANCE);
    expect(found.findings.map(({ kind, model, calls }) => [kind, model, calls])).toEqual([
      ["calls_unknown_to_provider", "m", -2],
      ["calls_unknown_to_provider", "n", -10],
    ]);
  });

  it("are not compared when the endpoint says something else than usage", async () => {
    const day = { startMs: 0, endMs: 86_400_000 };
    for (const body of ["", "[]", '{"data":[{"results":[{"input_tokens":-1}]}]}']) {
      const usage = new OpenAiUsage(
        { url: "https://x.example/", apiKey: undefined },
        async () => new Response(body),
      );
      await expect(usage.read(day), body).rejects.toMatchObject({ code: "provider_failed" });
    }
  });
});
