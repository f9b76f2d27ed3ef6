/** Agents, memories, providers and what the protocol says of them, on real databases. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MAIN_AGENT_ID } from "#src/agents/agent.ts";
import { makeAgentMethods } from "#src/agents/methods.ts";
import { makeAgentRoutes } from "#src/agents/routes.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { LIMITS } from "#src/kernel/limits.ts";
import type { MethodCall } from "#src/protocol/methods.ts";
import type { RouteAnswer, RouteCall } from "#src/protocol/routes.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { AgentWorld } from "#test/support/agent-world.ts";

let world: AgentWorld;
let scope: TenantScope;

beforeEach(async () => {
  world = await AgentWorld.open({
    platform: {
      providers: {
        house: { baseUrl: "https://house.example/v1", apiKey: "operator-canary", models: [{ id: "big" }] },
        bare: { baseUrl: "https://bare.example/v1", apiKey: " ", models: [{ id: "m" }] },
      },
    },
  });
  scope = world.scope;
});
afterEach(() => world.close());

async function call(name: string, params: unknown, tenant = scope): Promise<Record<string, unknown>> {
  const method = makeAgentMethods({ ...world, clock: systemClock }).find((each) => each.name === name);
  if (method === undefined) throw new Error(`no method ${name}`);
  const answer = await method.handler(method.params.parse(params), {
    tenant,
    principal: world.principal,
  } as MethodCall);
  return method.result.parse(answer) as Record<string, unknown>;
}

async function http(
  method: string,
  path: string,
  id: string,
  body: unknown,
  tenant = scope,
): Promise<RouteAnswer> {
  const routes = makeAgentRoutes({ models: world.models, own: world.own, noteUsage: async () => undefined });
  const route = routes.find((each) => each.method === method && each.path === path);
  if (route === undefined) throw new Error(`no route ${method} ${path}`);
  const checked = route.body === null ? null : route.body.parse(body);
  return route.handler({ tenant, params: { id }, body: checked } as unknown as RouteCall<unknown>);
}

const put = (id: string, body: unknown, tenant = scope) =>
  http("PUT", "/api/providers/:id", id, body, tenant);

describe("agents", () => {
  it("have a main one from the first look, made once however many look", async () => {
    const found = await Promise.all(Array.from({ length: 8 }, () => world.agents.get(scope, "main")));
    expect(new Set(found.map((agent) => agent.createdAtMs)).size).toBe(1);
    expect(await world.agents.list(scope)).toHaveLength(1);
    expect(found[0]?.tools).not.toContain("web_fetch");
    expect(found[0]?.tools).not.toContain("shell");
    const files = (await call("agents.files.list", { agentId: "main" }))["files"] as {
      name: string;
      missing: boolean;
    }[];
    expect(files.map(({ name }) => name)).toEqual(["AGENTS.md", "SOUL.md", "USER.md", "MEMORY.md"]);
    expect(files.every(({ missing }) => !missing)).toBe(true);
  });

  it("keep what people wrote into the seeded files", async () => {
    await world.workspaces.write(scope, MAIN_AGENT_ID, "SOUL.md", "ours");
    await world.agents.ensureMain(scope);
    expect(await world.workspaces.findText(scope, MAIN_AGENT_ID, "SOUL.md")).toBe("ours");
  });

  it("are made, changed, listed and removed", async () => {
    const made = await call("agents.create", { name: "Research Desk", emoji: "🔎", tools: ["web_fetch"] });
    expect(made).toMatchObject({ ok: true, agentId: "research-desk", name: "Research Desk" });
    await call("agents.update", { agentId: "research-desk", model: "demo/demo", tools: ["memory_search"] });
    const listed = (await call("agents.list", {}))["agents"] as { id: string }[];
    expect(listed.map(({ id }) => id)).toEqual(["main", "research-desk"]);
    expect(listed[1]).toMatchObject({ model: { primary: "demo/demo" }, tools: ["memory_search"] });
    expect(JSON.stringify(listed)).not.toContain(world.directory);
    await world.memories.append(
      scope,
      (await world.agents.get(scope, "research-desk")).id,
      "quarks are odd",
      "Ada",
    );
    await call("agents.delete", { agentId: "research-desk" });
    await expect(call("agent.identity.get", { agentId: "research-desk" })).rejects.toMatchObject({
      code: "not_found",
    });
    await call("agents.create", { name: "Research Desk" });
    expect((await call("memory.search", { agentId: "research-desk", query: "quarks" }))["results"]).toEqual(
      [],
    );
    expect(
      (await call("agents.workspace.list", { agentId: "research-desk", path: "memory" }).catch((e) => e))
        .code,
    ).toBe("not_found");
  });

  it("are refused with bad names, bad models, unknown tools and twice", async () => {
    await call("agents.create", { name: "Twin" });
    for (const [params, code] of [
      [{ name: "twin" }, "conflict"],
      [{ name: " " }, "invalid_request"],
      [{ name: "a\u202eb" }, "invalid_request"],
      [{ name: "ok", model: "no-slash" }, "invalid_request"],
      [{ name: "ok", avatar: "https://evil.example/pixel.png" }, "invalid_request"],
      [{ name: "ok", tools: ["rm_rf"] }, "invalid_request"],
    ] as const) {
      await expect(call("agents.create", params), JSON.stringify(params)).rejects.toMatchObject({ code });
    }
    await expect(call("agents.delete", { agentId: "main" })).rejects.toMatchObject({
      code: "invalid_request",
    });
  });

  it("are as many as the limit says, also when made at once", async () => {
    const wanted = LIMITS.agentsPerTenant + 5;
    const results = await Promise.allSettled(
      Array.from({ length: wanted }, (_, index) => world.agents.create(scope, { name: `A${index}` })),
    );
    const made = results.filter((result) => result.status === "fulfilled").length;
    expect(made).toBe(LIMITS.agentsPerTenant - 1);
    expect(results.find((result) => result.status === "rejected")).toMatchObject({
      reason: { code: "limit_reached" },
    });
  }, 60_000);

  it("of another tenant look like absent ones", async () => {
    const other = world.newTenant("beta");
    await call("agents.create", { name: "Secret" });
    const answers = await Promise.all(
      ["secret", "never-was", "../x", "MAIN", ""].map((agentId) =>
        world.agents.get(other, agentId).catch((error: { code: string; publicMessage: string }) => ({
          code: error.code,
          words: error.publicMessage.replace(agentId, "X"),
        })),
      ),
    );
    expect(new Set(answers.slice(0, 4).map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]).toMatchObject({ code: "not_found" });
  });
});

describe("memories", () => {
  it("are found by words in any order and script, and are in the day's file", async () => {
    const file = await world.memories.append(scope, MAIN_AGENT_ID, "Ada prefers tea in the morning", "Ada");
    await world.memories.append(scope, MAIN_AGENT_ID, "客户喜欢绿茶", "Ada");
    const search = async (query: string) =>
      (await world.memories.search(scope, MAIN_AGENT_ID, query, 10)).map((memory) => memory.text);
    expect(await search("morning TEA")).toEqual(["Ada prefers tea in the morning"]);
    expect(await search("绿茶")).toEqual(["客户喜欢绿茶"]);
    expect(await search("喜欢绿")).toEqual(["客户喜欢绿茶"]);
    expect(await search("coffee")).toEqual([]);
    expect(await search("")).toHaveLength(2);
    expect(file).toMatch(/^memory\/\d{4}-\d\d-\d\d\.md$/);
    expect(await world.workspaces.findText(scope, MAIN_AGENT_ID, file)).toContain("- Ada prefers tea");
  });

  it.each([
    '"',
    '" OR text:*',
    "NEAR(a b)",
    "a AND",
    "*",
    "text:tea",
    "(",
    "-x",
    "^tea",
    "\u0000",
    "'; DROP TABLE memories; --",
  ])("are searched for %j as plain words", async (query) => {
    await world.memories.append(scope, MAIN_AGENT_ID, "tea", "Ada");
    const found = await world.memories.search(scope, MAIN_AGENT_ID, query, 10);
    expect(found.length).toBeLessThanOrEqual(1);
    expect(await world.memories.search(scope, MAIN_AGENT_ID, "tea", 10)).toHaveLength(1);
  });

  it("of another agent or tenant are not found", async () => {
    const other = world.newTenant("beta");
    await world.memories.append(scope, MAIN_AGENT_ID, "canary", "Ada");
    expect(await world.memories.search(other, MAIN_AGENT_ID, "canary", 10)).toEqual([]);
  });
});

describe("providers", () => {
  const mine = { baseUrl: "https://mine.example/v1", apiKey: "sk-tenant-canary", models: [{ id: "m1" }] };

  it("are kept with sealed keys that never come back", async () => {
    const answer = await put("mine", mine);
    expect(answer).toMatchObject({ status: 200, body: { id: "mine", hasKey: true } });
    const listed = await http("GET", "/api/providers", "", null);
    expect(JSON.stringify([answer, listed])).not.toContain("canary");
    expect(listed.body).toMatchObject({
      providers: [{ id: "mine", hasKey: true, models: [{ id: "m1", name: "m1" }] }],
      platform: [{ id: "house", models: [{ id: "big" }] }, { id: "bare" }],
    });
    const row = await scope.db.find<{ api_key_sealed: string }>("SELECT * FROM model_providers");
    expect(JSON.stringify(row)).not.toContain("canary");
    const [stored] = await world.own.list(scope);
    expect(await world.own.openKey(scope, stored!)).toBe("sk-tenant-canary");
  });

  it("keep their key when changed, unless the address leads to another host", async () => {
    await put("mine", mine);
    const { apiKey: _, ...rest } = mine;
    expect((await put("mine", { ...rest, baseUrl: "https://mine.example/v2" })).body).toMatchObject({
      hasKey: true,
    });
    expect((await put("mine", { ...rest, baseUrl: "https://evil.example/v1" })).body).toMatchObject({
      hasKey: false,
    });
    await put("mine", mine);
    expect((await put("mine", { ...mine, apiKey: "" })).body).toMatchObject({ hasKey: false });
  });

  it.each(["house", "bare", "demo"])("cannot take the operator's name %s", async (id) => {
    await expect(put(id, mine)).rejects.toMatchObject({ code: "conflict" });
  });

  it.each([
    ["Bad Id", mine],
    ["mine", { ...mine, baseUrl: "ftp://mine.example" }],
    ["mine", { ...mine, baseUrl: "https://u:p@mine.example/v1" }],
    ["mine", { ...mine, baseUrl: "https://mine.example/v1?x=1" }],
    ["mine", { ...mine, baseUrl: "http://mine.example/v1" }],
    ["mine", { ...mine, apiKey: "a\r\nx-evil: 1" }],
  ])("are refused when odd: %s %j", async (id, body) => {
    await expect(put(id, body)).rejects.toMatchObject({ code: "invalid_request" });
    expect(await world.own.list(scope)).toEqual([]);
  });

  it("of one tenant are unknown to another, whose deletion changes nothing", async () => {
    const other = world.newTenant("beta");
    await put("mine", mine);
    expect(await world.own.list(other)).toEqual([]);
    await expect(http("DELETE", "/api/providers/:id", "mine", null, other)).rejects.toMatchObject({
      code: "not_found",
    });
    await expect(world.models.resolve(other, "mine/m1")).rejects.toMatchObject({ code: "not_configured" });
    expect(await world.own.list(scope)).toHaveLength(1);
    expect(await http("DELETE", "/api/providers/:id", "mine", null)).toMatchObject({ status: 204 });
  });

  it("without a key are refused with words that say what to do, and never borrow another's", async () => {
    await put("mine", { ...mine, apiKey: "" });
    await expect(world.models.resolve(scope, "mine/m1")).rejects.toMatchObject({
      code: "not_configured",
      publicMessage: expect.stringContaining("Settings → Models"),
    });
    await expect(world.models.resolve(scope, "bare/m")).rejects.toMatchObject({
      code: "not_configured",
      publicMessage: expect.stringContaining("operator"),
    });
  });

  it("decide the default: the agent's model, the operator's primary, the tenant's own, the demo", async () => {
    expect((await world.models.resolve(scope, undefined)).ref).toBe("demo/demo");
    await put("mine", mine);
    expect((await world.models.resolve(scope, undefined)).ref).toBe("mine/m1");
    expect((await world.models.resolve(scope, undefined, "house/big")).ref).toBe("house/big");
    expect((await world.models.resolve(scope, "demo/demo", "house/big")).ref).toBe("demo/demo");
    const listed = (await call("models.list", {}))["models"] as {
      provider: string;
      available: boolean;
      tags: string[];
    }[];
    expect(listed.find((model) => model.tags.includes("default"))).toMatchObject({ provider: "mine" });
    expect(listed.find((model) => model.provider === "bare")).toMatchObject({ available: false });
    const status = await call("models.authStatus", {});
    expect(JSON.stringify([listed, status])).not.toMatch(/canary|example/);
  });
});

describe("files over the protocol", () => {
  it("are read and written, pictures as base64, never as something a browser runs", async () => {
    await call("agents.files.set", { agentId: "main", name: "SOUL.md", content: "new soul" });
    expect((await call("agents.files.get", { agentId: "main", name: "SOUL.md" }))["file"]).toMatchObject({
      name: "SOUL.md",
      path: "SOUL.md",
      missing: false,
      content: "new soul",
    });
    await expect(call("agents.files.get", { agentId: "main", name: "../x" })).rejects.toMatchObject({
      code: "invalid_request",
    });
    await world.workspaces.write(scope, MAIN_AGENT_ID, "page.html", "<script>alert(1)</script>");
    await world.workspaces.write(scope, MAIN_AGENT_ID, "raw.bin", Buffer.from([0, 1, 2]));
    const page = (await call("agents.workspace.get", { agentId: "main", path: "page.html" }))["file"];
    expect(page).toMatchObject({ mimeType: "text/plain", encoding: "utf8" });
    const raw = (await call("agents.workspace.get", { agentId: "main", path: "raw.bin" }))["file"];
    expect(raw).toMatchObject({ mimeType: "application/octet-stream", encoding: "base64", content: "AAEC" });
    const listed = await call("agents.workspace.list", { agentId: "main", limit: 2, offset: 1 });
    expect(listed).toMatchObject({ path: "", offset: 1, totalEntries: 6 });
    expect(listed["entries"]).toHaveLength(2);
  });
});
