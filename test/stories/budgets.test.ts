/** Budgets over the real socket and HTTP with a streaming provider: what each way a turn can end leaves in the ledger. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import SqliteDatabase from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Ledger, Transfer } from "#src/billing/ledger/ledger.ts";
import { verifyLedger } from "#src/billing/ledger/verify.ts";
import { runInContext } from "#src/tenancy/context.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { callApi } from "../support/api-call.ts";
import { chat, endsOf, ProviderWorld, until } from "../support/provider-world.ts";
import type { RpcError, SocketClient } from "../support/socket-client.ts";

type Json = Record<string, unknown>;
type Lines = Awaited<ReturnType<Ledger["list"]>>["transfers"];

const RICH = 1_000_000_000;

let world: ProviderWorld;
let client: SocketClient;
let owner: string;
const slug = "acme";

beforeAll(async () => {
  world = await ProviderWorld.start({ mock: { pieceDelayMs: 1 } });
  owner = await world.creel.token(slug, "owner", "owner");
  client = await world.client(slug);
  await client.call("agents.list", {});
  await setBudget({ scope: "tenant", period: "month", limitMicros: RICH });
});

afterAll(async () => {
  await world.close();
});

const api = (method: string, path: string, body?: unknown, bearer = owner) =>
  callApi(world.creel.url, method, `/t/${slug}${path}`, { bearer }, body);

async function setBudget(body: Json): Promise<void> {
  expect((await api("PUT", "/api/budgets", body)).status).toBe(200);
}

async function linesOf(run: string): Promise<Transfer[]> {
  const answer = await api("GET", `/api/ledger?run=${run}&limit=500`);
  expect(answer.status).toBe(200);
  return answer.json["transfers"] as Lines;
}

/** Lines of a run: the reservation's amount as R, the rest in words. */
async function shapeOf(run: string): Promise<string[]> {
  const lines = await linesOf(run);
  let reserved = 0;
  return lines.map(({ kind, amountMicros }) => {
    if (kind === "reserve") reserved = amountMicros;
    const amount = kind === "reserve" || amountMicros === reserved ? "R" : amountMicros;
    return kind === "release" && amount !== "R"
      ? `release R-${reserved - amountMicros}`
      : `${kind} ${amount}`;
  });
}

async function scopeOf(): Promise<TenantScope> {
  return world.creel.app.door.scope(await world.creel.tenant(slug));
}

/** The whole ledger holds, and nothing is held back by calls that are over. */
async function sound(): Promise<void> {
  const scope = await scopeOf();
  const context = { tenantId: scope.tenantId, principal: null, requestId: "test" };
  const verdict = await runInContext(context, () => verifyLedger(scope));
  expect(verdict.problem).toBeNull();
  expect(verdict.reservedMicros).toBe(0);
}

async function budgets(): Promise<Json[]> {
  const answer = await api("GET", "/api/budgets");
  expect(answer.status).toBe(200);
  return answer.json["budgets"] as Json[];
}

async function tenantBudget(): Promise<Json> {
  return (await budgets()).find((one) => one["scope"] === "tenant" && one["period"] === "month") ?? {};
}

/** Micro-units estimated for a run whose provider reported nothing. */
async function estimateOf(run: string): Promise<number> {
  const rows = await (async () => {
    const scope = await scopeOf();
    const context = { tenantId: scope.tenantId, principal: null, requestId: "test" };
    return runInContext(context, () =>
      scope.db.list<{ cost: number; exact: number }>(
        "SELECT cost_micros AS cost, is_exact AS exact FROM usage_events WHERE run_id = ?",
        [run],
      ),
    );
  })();
  expect(rows).toHaveLength(1);
  expect(rows[0]?.exact).toBe(0);
  expect(rows[0]?.cost).toBeGreaterThan(0);
  return rows[0]!.cost;
}

describe("the ledger lines of a turn that", () => {
  it("is answered: reserved, settled to what the provider counted, the rest given back", async () => {
    const { key, end } = await chat(client, "hello");
    expect(end["state"]).toBe("final");
    expect(await shapeOf(key)).toEqual(["reserve R", "settle 160", "release R-160"]);
    const [reserve, settle, release] = await linesOf(key);
    expect(reserve).toMatchObject({ to: "reserved", runId: key, linkedTo: null, source: "call" });
    expect(settle).toMatchObject({ from: "reserved", to: "spent", linkedTo: reserve?.id });
    expect(release).toMatchObject({ from: "reserved", to: reserve?.from, linkedTo: reserve?.id });
    // Question in bytes and templates, answer up to the model's ceiling of 4,096 tokens at 2.
    expect(reserve?.amountMicros).toBeGreaterThan(8_192 + 160);
    await sound();
  });

  it.each(["ERR401", "ERR429", "ERR500", "GARBAGE"])(
    "fails before the first token (%s): nothing",
    async (word) => {
      const { key, end } = await chat(client, `${word} ${randomUUID()}`);
      expect(end["state"]).toBe("error");
      expect(await shapeOf(key)).toEqual(["reserve R", "release R"]);
      await sound();
    },
  );

  it("breaks off in the middle: what arrived, estimated", async () => {
    const { key, end } = await chat(client, `CUTMID ${randomUUID()}`);
    expect(end["state"]).toBe("error");
    const cost = await estimateOf(key);
    expect(await shapeOf(key)).toEqual(["reserve R", `settle ${cost}`, `release R-${cost}`]);
    await sound();
  });

  it.each(["HANG", "HANGMID", "SLOW:400"])(
    "is stopped by its person (%s): what arrived, estimated",
    async (word) => {
      const mark = randomUUID();
      const key = randomUUID();
      await client.call("chat.send", { sessionKey: "main", message: `${word} ${mark}`, idempotencyKey: key });
      await world.mock.waitFor((one) => one.lastUserText.includes(mark));
      if (word !== "HANG") await until(client, key, "chat", (payload) => payload["state"] === "delta");
      expect((await linesOf(key)).map((line) => line.kind)).toEqual(["reserve"]);
      await client.call("chat.abort", { sessionKey: "main", runId: key });
      const cost = await estimateOf(key);
      expect(await shapeOf(key)).toEqual(["reserve R", `settle ${cost}`, `release R-${cost}`]);
      await sound();
    },
  );

  it("outlives its time: what arrived, estimated", async () => {
    const { key, end } = await chat(client, `HANG ${randomUUID()}`, { timeoutMs: 300 });
    expect(end["state"]).toBe("aborted");
    const cost = await estimateOf(key);
    expect(await shapeOf(key)).toEqual(["reserve R", `settle ${cost}`, `release R-${cost}`]);
  });

  it("goes on after its person left: the same as if they had stayed", async () => {
    const leaver = await world.client(slug, "leaver");
    const mark = randomUUID();
    const key = randomUUID();
    await leaver.call("chat.send", { sessionKey: "left", message: `SLOW:20 ${mark}`, idempotencyKey: key });
    await world.mock.waitFor((one) => one.lastUserText.includes(mark));
    leaver.socket.terminate();
    expect(await client.terminal(key)).toMatchObject({ state: "final" });
    expect(await shapeOf(key)).toEqual(["reserve R", "settle 160", "release R-160"]);
    await sound();
  });

  it("gets no usage from the provider: estimated", async () => {
    const { key } = await chat(client, "NOUSAGE please");
    const cost = await estimateOf(key);
    expect(await shapeOf(key)).toEqual(["reserve R", `settle ${cost}`, `release R-${cost}`]);
  });

  it("gets absurd usage that is high: the most that can have been sent, and no exact count", async () => {
    const { key } = await chat(client, "USAGE:40000000:10 please");
    const [reserve] = await linesOf(key);
    const cost = await estimateOf(key);
    // All of the question that was held back, and ten tokens of the answer at 2.
    expect(cost).toBe(reserve!.amountMicros - 4_096 * 2 + 20);
    expect(await shapeOf(key)).toEqual(["reserve R", `settle ${cost}`, `release R-${cost}`]);
    await sound();
  });

  it("answers beyond its ceiling: what was held back, and the rest is absorbed", async () => {
    const { key } = await chat(client, "USAGE:120:30000 LONG:60000", { sessionKey: "long" });
    const [reserve, settle, overrun] = await linesOf(key);
    const cost = 120 + 30_000 * 2;
    expect(await shapeOf(key)).toEqual(["reserve R", "settle R", `overrun ${cost - reserve!.amountMicros}`]);
    expect(settle).toMatchObject({ from: "reserved", to: "spent" });
    expect(overrun).toMatchObject({ from: "overrun", to: "absorbed" });
    await sound();
  });

  it.each([
    ["negative", -5],
    ["not a number", Number.NaN],
    ["beyond belief", 1e308],
    ["a text", "many"],
  ])("gets usage that is %s: an estimate", async (_name, value) => {
    world.mock.lieAboutUsage(value);
    const { key, end } = await chat(client, `hello ${randomUUID()}`);
    world.mock.lieAboutUsage(undefined);
    expect(end["state"]).toBe("final");
    const cost = await estimateOf(key);
    expect(await shapeOf(key)).toEqual(["reserve R", `settle ${cost}`, `release R-${cost}`]);
    await sound();
  });

  it("calls a tool: one set of lines for each call of the model", async () => {
    await world.allow(slug, ["workspace_list"]);
    const { key } = await chat(client, "TOOLCALL:workspace_list {}", { sessionKey: "tools" });
    expect((await linesOf(key)).map(({ kind, sourceId }) => `${sourceId.slice(key.length)} ${kind}`)).toEqual(
      ["/1/0 reserve", "/1/0 settle", "/1/0 release", "/2/0 reserve", "/2/0 settle", "/2/0 release"],
    );
    await sound();
  });

  it("is settled again: nothing more", async () => {
    const { key } = await chat(client, "hello");
    const before = await linesOf(key);
    const scope = await scopeOf();
    const context = { tenantId: scope.tenantId, principal: null, requestId: "test" };
    const again = `INSERT INTO usage_events SELECT seq + 1000000, tenant_id, run_id, step, kind, ordinal, purpose,
      agent_id, session_key, session_id, user_id, channel, provider, model, call_id, tool_name, input_tokens,
      output_tokens, cache_read_tokens, cache_write_tokens, user_messages, assistant_messages, is_error, is_exact,
      is_cost_missing, input_cost_micros, output_cost_micros, cache_read_cost_micros, cache_write_cost_micros,
      cost_micros, price_origin, key_owner, at_ms, day, reasoning_tokens FROM usage_events WHERE run_id = ?
      ON CONFLICT (run_id, step, kind, ordinal) DO NOTHING`;
    await runInContext(context, () => scope.db.write({ statements: [{ sql: again, params: [key] }] }));
    expect(await linesOf(key)).toEqual(before);
    await sound();
  });
});

describe("a budget that is used up", () => {
  it("refuses the turn with the code, the reset time and what to do, asks nobody and charges nothing", async () => {
    await setBudget({ scope: "agent", scopeId: "main", period: "month", limitMicros: 100 });
    const before = world.mock.requests.length;
    const { key, end } = await chat(client, "hello");
    expect(end).toMatchObject({
      state: "error",
      errorDetail: { code: "budget_exhausted", scope: "agent", limitMicros: 100 },
    });
    expect(end["errorMessage"]).toMatch(/^⚠️ The monthly budget of this agent .*An admin can raise it\./);
    const detail = end["errorDetail"] as { resetAtMs: number };
    expect(detail.resetAtMs).toBeGreaterThan(Date.now());
    expect(endsOf(client, key)).toHaveLength(1);
    expect(await linesOf(key)).toEqual([]);
    expect(world.mock.requests).toHaveLength(before);
    const waited = (await client.call("agent.wait", { runId: key })) as Json;
    expect(waited).toMatchObject({ status: "error", error: expect.stringContaining("budget") });
    await setBudget({ scope: "agent", scopeId: "main", period: "month", limitMicros: null });
    expect((await chat(client, "hello")).end["state"]).toBe("final");
    await sound();
  });

  it("refuses an unpriced model with words, and only under a budget", async () => {
    const unpriced = await ProviderWorld.start({ model: { cost: undefined } });
    try {
      const one = await unpriced.client("beta");
      expect((await chat(one, "hello")).end["state"]).toBe("final");
      await one.call("billing.budgets.set", { scope: "tenant", period: "total", limitMicros: RICH });
      const { end } = await chat(one, "hello");
      expect(end).toMatchObject({ state: "error", errorDetail: { code: "model_unpriced" } });
      expect(end["errorMessage"]).toContain("has no price");
    } finally {
      await unpriced.close();
    }
  });

  it("admits as many turns at once as fit, never more, and comes back whole", async () => {
    await setBudget({ scope: "tenant", period: "month", limitMicros: null });
    const { amountMicros } = (await linesOf((await probe()).key))[0]!;
    const spentMicros = Number((await tenantBudget())["spentMicros"] ?? 0);
    const limitMicros = spentMicros + amountMicros * 5;
    await setBudget({ scope: "tenant", period: "month", limitMicros });
    const keys = await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const key = randomUUID();
        const sessionKey = `crowd-${n}`;
        await client.call("chat.send", { sessionKey, message: "SLOW:20", idempotencyKey: key });
        return key;
      }),
    );
    const ends = await Promise.all(keys.map((key) => client.terminal(key)));
    const budget = await tenantBudget();
    expect(Number(budget["spentMicros"])).toBeLessThanOrEqual(limitMicros);
    expect(budget["reservedMicros"]).toBe(0);
    const won = ends.filter((end) => end["state"] === "final").length;
    expect(won).toBeGreaterThan(0);
    expect(ends.filter((end) => end["state"] === "error").length).toBe(40 - won);
    await sound();
    await setBudget({ scope: "tenant", period: "month", limitMicros: RICH });
  });

  /** A turn that reserves, to learn how much one holds back. */
  async function probe() {
    await setBudget({ scope: "tenant", period: "month", limitMicros: RICH });
    return chat(client, "SLOW:20", { sessionKey: "probe" });
  }
});

describe("budgets over the wire", () => {
  it("are set by admins only, with names, and every change is on record", async () => {
    const member = await world.creel.token(slug, "member", "member");
    const body = { scope: "agent", scopeId: "main", period: "total", limitMicros: RICH };
    expect((await api("PUT", "/api/budgets", body, member)).status).toBe(403);
    await setBudget(body);
    const listed = await budgets();
    expect(listed).toContainEqual(
      expect.objectContaining({ scope: "agent", scopeId: "main", resetAtMs: null }),
    );
    expect(listed.find((one) => one["scope"] === "tenant")?.["name"]).toBe("acme");
    const log = await api("GET", "/api/audit?action=budget.set&limit=1");
    expect((log.json["events"] as Json[])[0]).toMatchObject({ target: { id: "agent:main:total" } });
    await setBudget({ ...body, limitMicros: null });
  });

  it.each([
    { scope: "agent", scopeId: "nobody", period: "month", limitMicros: 1 },
    { scope: "tenant", scopeId: "x", period: "month", limitMicros: 1 },
    { scope: "user", period: "month", limitMicros: 1 },
    { scope: "tenant", period: "month", limitMicros: -1 },
    { scope: "tenant", period: "month", limitMicros: 1.5 },
    { scope: "tenant", period: "month", limitMicros: "5" },
    { scope: "tenant", period: "week", limitMicros: 1 },
    { scope: "everyone", period: "month", limitMicros: 1 },
  ])("are refused when they make no sense: %j", async (body) => {
    const before = await budgets();
    expect((await api("PUT", "/api/budgets", body)).status).toBeGreaterThanOrEqual(400);
    const failed = await client
      .call("billing.budgets.set", body)
      .catch((thrown: RpcError) => thrown.error.code);
    expect(failed).toBe("INVALID_REQUEST");
    expect(await budgets()).toEqual(before);
  });

  it("are not overwritten by who saw another limit, and by callers that saw none as before", async () => {
    const key = { scope: "agent", scopeId: "main", period: "total" };
    const put = (limitMicros: number | null, known?: number | null) =>
      api("PUT", "/api/budgets", {
        ...key,
        limitMicros,
        ...(known === undefined ? {} : { knownLimitMicros: known }),
      });
    const limit = async () => {
      const { budgets } = (await api("GET", "/api/budgets")).json as { budgets: Json[] };
      return budgets.find((one) => one["scope"] === "agent" && one["period"] === "total")?.["limitMicros"];
    };
    const refused = async (answer: Promise<{ status: number; json: Json }>, limitMicros: number | null) => {
      const { status, json } = await answer;
      expect([status, json["error"]]).toEqual([
        409,
        expect.objectContaining({ code: "conflict", details: { limitMicros } }),
      ]);
    };
    await refused(put(RICH, RICH - 1), null);
    expect((await put(RICH, null)).status).toBe(200);
    await refused(put(2 * RICH, null), RICH);
    await refused(put(null, RICH - 1), RICH);
    expect(await limit()).toBe(RICH);
    const both = await Promise.all([put(RICH + 1, RICH), put(RICH + 2, RICH)]);
    expect(both.map((answer) => answer.status).sort()).toEqual([200, 409]);
    // What is as it is wanted already is done.
    const now = (await limit()) as number;
    expect((await put(now, RICH)).status).toBe(200);
    expect((await put(3 * RICH)).status).toBe(200);
    expect((await put(null, 3 * RICH)).status).toBe(200);
    expect((await put(null, 3 * RICH)).status).toBe(200);
    expect(await limit()).toBeUndefined();
  });

  it("are checked from the command line, beside the server", async () => {
    const run = promisify(execFile);
    const cli = resolve(import.meta.dirname, "../../src/cli.ts");
    const args = [cli, "billing", "verify", "--json", "--state-dir", world.creel.stateDir];
    const { ledgers } = JSON.parse((await run(process.execPath, args)).stdout) as { ledgers: Json[] };
    const mine = ledgers.find((one) => one["tenant"] === slug);
    expect(mine).toMatchObject({ verdict: { ok: true, problem: null, reservedMicros: 0 } });
    const file = join(world.creel.stateDir, "tenants", (await world.creel.tenant(slug)).id, "tenant.db");
    const db = new SqliteDatabase(file);
    const shift = (micros: number) =>
      db
        .prepare("UPDATE ledger_balances SET balance_micros = balance_micros + ? WHERE account = 'spent'")
        .run(micros);
    shift(1);
    const failed = (await run(process.execPath, [...args, "--tenant", slug]).catch(
      (thrown) => thrown,
    )) as Json;
    shift(-1);
    db.close();
    expect(failed["code"]).toBe(1);
    expect(JSON.parse(String(failed["stdout"]))).toMatchObject({
      ledgers: [{ verdict: { problem: { kind: "sum" } } }],
    });
  });

  it("say from the command line what is still held back for a call that ended long ago", async () => {
    const tenant = await world.creel.tenant("stranded");
    const scope = world.creel.app.door.scope(tenant);
    const sql = `INSERT INTO reservations (run_id, step, ordinal, state, amount_micros, from_budget_micros,
        from_credit_micros, period, user_id, agent_id, key_id, provider, model, price_origin, made_at_ms, lease_until_ms)
      VALUES ('dead', 1, 0, 'open', 200, 200, 0, '2026-01', 'u', 'main', '', 'mock', 'mock-1', 'config', 0, ?)`;
    const context = { tenantId: tenant.id, principal: null, requestId: "test" };
    const params = [Date.UTC(2026, 0, 2)];
    await runInContext(context, () => scope.db.write({ statements: [{ sql, params }] }));
    const cli = resolve(import.meta.dirname, "../../src/cli.ts");
    const args = [cli, "billing", "verify", "--tenant", "stranded", "--state-dir", world.creel.stateDir];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toMatch(/^stranded: sound, 1 lines/m);
    expect(stdout).toContain(
      "WARNING: 200 micro-units are held back for 1 calls that are over, the first dead/1/0 since 2026-01-02T",
    );
  });

  it("answer the same by socket and HTTP", async () => {
    expect(await client.call("billing.budgets.list", {})).toEqual({ budgets: await budgets() });
    const byHttp = await api("GET", "/api/ledger?kind=settle&limit=3");
    expect(await client.call("billing.ledger.list", { kind: "settle", limit: 3 })).toEqual(byHttp.json);
    expect(byHttp.json["transfers"]).toHaveLength(3);
  });
});
