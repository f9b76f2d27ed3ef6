/**
 * A tenant's own key against its own provider's count, by real turns: differences are found by name, its admin reads
 * them, and its keys go to its provider's host and nowhere else.
 */
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { OwnProviders } from "#src/agents/models/own-providers.ts";
import { ownUsageReader } from "#src/app/outbound.ts";
import { Reconciler, type Reconciliation } from "#src/billing/reconcile/reconciler.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { Egress } from "#src/kernel/egress.ts";
import type { TenantId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import { loadMasterKey, Vault } from "#src/tenancy/vault.ts";
import { callApi } from "../support/api-call.ts";
import { type MockModel, start as startMock } from "../support/mock-model.ts";
import { makeOperator } from "../support/operator.ts";
import { chat, ProviderWorld } from "../support/provider-world.ts";
import type { SocketClient } from "../support/socket-client.ts";

const MODEL_KEY = "sk-acme-model-canary";
const USAGE_KEY = "sk-acme-admin-canary";
const log = makeLog({ level: "silent" });
const today = () => new Date().toISOString().slice(0, 10);

let world: ProviderWorld;
let mine: MockModel;
let egress: Egress;
let databases: SqliteDatabases;
let reconciler: Reconciler;
let acme: TenantId;
let client: SocketClient;
let tokens: Record<string, string>;

beforeAll(async () => {
  [world, mine] = [await ProviderWorld.start(), await startMock()];
  acme = (await world.creel.tenant("acme")).id;
  tokens = {};
  for (const slug of ["acme", "globex"]) tokens[slug] = await world.creel.token(slug, "owner");
  tokens["reader"] = await world.creel.token("acme", "readonly");
  const { stateDir, app } = world.creel;
  const vault = new Vault(await loadMasterKey(join(stateDir, "master-key")));
  egress = new Egress({ allowPrivate: ["127.0.0.1"], log });
  databases = new SqliteDatabases({
    migrationsDirectory: new URL("../../migrations", import.meta.url).pathname,
  });
  const control = databases.open("control", join(stateDir, "control.db"), "control");
  const scopeOf = async (id: TenantId) => {
    const tenant = await app.tenants.findById(id);
    return tenant === undefined ? undefined : app.door.scope(tenant);
  };
  const models = { isReserved: (id: string) => id === "mock" };
  const usageOf = ownUsageReader({ egress }, { own: new OwnProviders(vault, systemClock), models });
  reconciler = new Reconciler({
    ...{ control, clock: systemClock, log, providers: {}, scopeOf, own: { scopeOf, usageOf } },
    tolerance: { tokens: 0, ratio: 0 },
  });
}, 60_000);

afterAll(async () => {
  await databases.close();
  await egress.close();
  await mine.close();
  await world.close();
});

const api = (method: string, path: string, by = "acme", body?: unknown) => {
  const slug = by === "reader" ? "acme" : by;
  return callApi(world.creel.url, method, `/t/${slug}${path}`, { bearer: tokens[by] ?? "" }, body);
};
const put = (more: object) =>
  api("PUT", "/api/providers/mine", "acme", {
    baseUrl: mine.baseUrl,
    models: [{ id: "mock-1", maxTokens: 1_000 }],
    ...more,
  });
const usageUrl = () => `${mine.url}/v1/organization/usage/completions?api_key_ids=key_1`;
const look = () => reconciler.reconcileOwn(acme, "mine", today());
const kinds = ({ findings }: Reconciliation) => findings.map(({ kind }) => kind).sort();
const usageCalls = (mock: MockModel) => mock.requests.filter(({ path }) => path.includes("/usage/"));

async function say(message: string): Promise<void> {
  const sessionKey = `agent:main:${crypto.randomUUID()}`;
  await client.call("sessions.create", { key: sessionKey });
  await client.call("sessions.patch", { key: sessionKey, model: "mine/mock-1" });
  const turn = await chat(client, message, { sessionKey });
  expect(turn.end["state"], JSON.stringify(turn.end)).toBe("final");
}

it("is read only from the host of the provider's address, and forgotten when that changes", async () => {
  for (const url of [
    world.mock.url,
    "https://elsewhere.example/usage",
    mine.url.replace("http", "https"),
    "no address",
  ])
    expect((await put({ usage: { url, apiKey: USAGE_KEY } })).status, url).toBe(400);
  const nights = async () => (await api("GET", "/api/billing/reconciliation")).json["providers"];
  expect(await nights()).toEqual([]);
  const usage = { url: usageUrl(), apiKey: USAGE_KEY };
  expect((await put({ apiKey: MODEL_KEY, usage })).json).toMatchObject({
    usage: { url: usageUrl(), hasKey: true },
  });
  expect(await nights()).toEqual([{ id: "mine", sinceDay: today() }]);
  // What is left out stays, on the same host.
  expect((await put({})).json).toMatchObject({ hasKey: true, usage: { hasKey: true } });
  expect((await put({ usage: { url: usageUrl() } })).json).toMatchObject({ usage: { hasKey: true } });
  expect((await put({ baseUrl: `${world.mock.url}/v1` })).json).toMatchObject({ hasKey: false, usage: null });
  expect(await nights()).toEqual([]);
  await expect(look()).rejects.toMatchObject({ code: "not_configured" });
  expect((await put({ usage: { url: usageUrl() } })).json).toMatchObject({ usage: { hasKey: false } });
  expect((await put({ usage: null })).json).toMatchObject({ usage: null });
  expect((await put({ apiKey: MODEL_KEY, usage })).status).toBe(200);
  const { json } = await api("GET", "/api/providers");
  expect(JSON.stringify(json)).not.toContain("canary");
  expect([...usageCalls(mine), ...usageCalls(world.mock)]).toEqual([]);
});

it("finds a lost usage chunk, a call made again and tokens from a cache, by name", async () => {
  client = await world.client("acme");
  await say("hello");
  expect(kinds(await look())).toEqual([]);
  await say("BILLEDFAIL:1 hello");
  expect((await look()).findings).toMatchObject([{ kind: "retried_calls", calls: 1, inputTokens: 120 }]);
  await say("HIDECACHE:70 hello");
  expect(kinds(await look())).toEqual(["cache_tokens", "retried_calls"]);
  await say("DROPUSAGE hello");
  const found = await look();
  expect(kinds(found)).toEqual(["cache_tokens", "retried_calls", "usage_chunk_dropped"]);
  expect(found.isWithin).toBe(false);
  // The operator's own provider was asked nothing, and knows no key of the tenant's.
  expect(usageCalls(world.mock)).toEqual([]);
  expect(JSON.stringify(world.mock.requests)).not.toContain("canary");
  const [asked] = usageCalls(mine);
  expect(asked?.headers["authorization"]).toBe(`Bearer ${USAGE_KEY}`);
  const answered = mine.requests.filter(({ path }) => path.endsWith("/chat/completions"));
  expect(JSON.stringify(answered)).not.toContain(USAGE_KEY);
}, 30_000);

it("is asked with the model's key where it has no other", async () => {
  await put({ usage: { url: usageUrl(), apiKey: "" } });
  mine.reset();
  await look();
  expect(usageCalls(mine).map(({ headers }) => headers["authorization"])).toEqual([`Bearer ${MODEL_KEY}`]);
});

it("is for the tenant's admins: not for others of the tenant, other tenants or operators", async () => {
  const control = databases.open("control", join(world.creel.stateDir, "control.db"), "control");
  const night = new Date(Date.now() - 36 * 3_600_000).toISOString().slice(0, 10);
  const finding = { kind: "retried_calls", model: "model-canary", calls: 1 };
  const counts = { inputTokens: 1, cachedTokens: 0, outputTokens: 0 };
  const params = [acme, night, JSON.stringify([{ ...finding, ...counts }])];
  const sql = "INSERT INTO reconciliations VALUES ('mine', ?, ?, 1, 0, ?)";
  await control.write({ statements: [{ sql, params }] });
  const own = await api("GET", "/api/billing/reconciliation");
  const shown = (own.json["nights"] as { day: string }[]).filter(({ day }) => day === night);
  expect(shown).toMatchObject([{ provider: "mine", findings: [finding] }]);
  expect((await api("GET", "/api/billing/reconciliation", "reader")).status).toBe(403);
  const others = await api("GET", "/api/billing/reconciliation", "globex");
  expect(others.json).toMatchObject({ providers: [], nights: [], troubles: [] });
  const operator = await makeOperator(world.creel);
  const { text, body } = await operator.send("GET", "/operator/api/reconciliation");
  expect(body).toMatchObject({ nights: [], ownKeys: { keys: 1 } });
  for (const word of ["canary", acme, "mine"]) expect(text).not.toContain(word);
});
