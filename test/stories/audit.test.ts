/** The audit log over real HTTP and sockets: what is in it, who sees it, how it is taken away and checked. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { misfits, type Schema } from "../support/json-schema.ts";
import { makePerson, type Person } from "../support/person.ts";
import { SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { callByHttp } from "../support/world.ts";

interface Event {
  seq: number;
  id: string;
  atMs: number;
  action: string;
  outcome: string;
  actor: {
    kind: string;
    id: string;
    name: string;
    address: string | null;
    credential: { kind: string } | null;
  };
  target: { kind: string; id: string; name: string | null } | null;
  details: Record<string, unknown>;
  hash: string;
}

const SECRET = "sk-very-secret-key-of-acme";
const EVIL = '=HYPERLINK("https://evil.example")';

const { definitions } = JSON.parse(
  readFileSync(
    new URL("../../node_modules/@openclaw/gateway-protocol/protocol.schema.json", import.meta.url),
    "utf8",
  ),
) as { definitions: Record<string, Schema> };

let world: TestApp;
let folder: string;
let owner: Person;
let member: Person;
let twin: Person;
let token: string;
let memberToken: string;

beforeAll(async () => {
  world = await startApp();
  folder = await mkdtemp(join(tmpdir(), "creel-audit-story-"));
  owner = await makePerson(world, "Olga", "acme", "owner");
  member = await makePerson(world, "Mina", "acme", "member");
  twin = await makePerson(world, "Tess", "beta", "owner");
  token = await world.token("acme", "owner", "robot");
  memberToken = await world.token("acme", "member", "small robot");
});

afterAll(async () => {
  await world.close();
  await rm(folder, { recursive: true, force: true });
});

async function events(of: Person = owner, slug = "acme", query = ""): Promise<Event[]> {
  const answer = await of.send("GET", `/t/${slug}/api/audit?limit=500&${query}`);
  expect(answer.status, answer.text).toBe(200);
  return answer.body.events as Event[];
}

async function rpc(method: string, params: unknown, as = token) {
  const answer = await callByHttp(world.url, `/rpc/${method}`, as, params);
  return { status: answer.status, body: JSON.parse(answer.text) as Record<string, unknown> };
}

describe("refused attempts of people who are known", () => {
  it("are in the log at once: by socket, by HTTP and by cookie", async () => {
    const client = new SocketClient(world.wsUrl);
    await client.connect(memberToken);
    await expect(client.call("agents.create", { name: "mine" })).rejects.toThrow("missing scope");
    client.close();
    expect((await member.send("GET", "/t/acme/api/audit")).status).toBe(403);
    expect((await rpc("agents.delete", { agentId: "main" }, memberToken)).status).toBe(403);
    const denied = await events(owner, "acme", "action=request.denied&outcome=denied");
    expect(denied.map(({ actor, details, target }) => [actor.name, details, target?.id])).toEqual([
      ["small robot", { method: "agents.delete", missingScope: "operator.admin" }, "agents.delete"],
      ["Mina", { route: "GET /api/audit", missingScope: "operator.admin" }, "GET /api/audit"],
      ["small robot", { method: "agents.create", missingScope: "operator.admin" }, "agents.create"],
    ]);
    expect(denied[1]?.actor).toMatchObject({ kind: "person", credential: { kind: "browser_session" } });
    expect(denied[2]?.actor).toMatchObject({ kind: "token", credential: { kind: "api_token" } });
    for (const { actor } of denied) expect(actor.address).toMatch(/127\.0\.0\.1/);
  });

  it("are in no other tenant's log, and strangers' are in none: they are counted", async () => {
    const before = [await events(), await events(twin, "beta")].map((list) => list.length);
    for (let n = 0; n < 3; n++)
      await callByHttp(world.url, "/api/audit", `creel_${"x".repeat(40)}`, undefined, {}, "GET");
    await fetch(`${world.url}/t/acme/api/audit`);
    expect((await twin.send("GET", "/t/acme/api/audit")).status).toBe(404);
    expect([await events(), await events(twin, "beta")].map((list) => list.length)).toEqual(before);
    const metricsToken = readFileSync(join(world.stateDir, "metrics-token"), "utf8").trim();
    const metrics = await callByHttp(world.url, "/metrics", metricsToken, undefined, {}, "GET");
    const counted = /creel_refusals_total\{code="unauthenticated"\} (\d+)/.exec(metrics.text)?.[1];
    expect(Number(counted)).toBeGreaterThan(0);
    expect(metrics.text).not.toContain("acme");
  });

  it("at another tenant are on record at home, and there nothing is", async () => {
    const before = (await events(twin, "beta")).length;
    for (const slug of ["beta", "nobody"])
      expect((await callByHttp(world.url, `/t/${slug}/rpc/health`, token, {})).status).toBe(403);
    const [newest] = await events();
    expect(newest).toMatchObject({
      ...{ action: "request.denied", outcome: "denied" },
      details: { route: "POST /rpc/:method", code: "tenant_mismatch" },
    });
    expect(JSON.stringify(newest)).not.toMatch(/beta|nobody/);
    expect(await events(twin, "beta")).toHaveLength(before);
  });

  it("of a person at the operators' door are in the platform's own log", async () => {
    expect((await member.send("GET", "/operator/api/audit")).status).toBe(404);
    const row = await platformRow("request.denied");
    expect(row).toMatchObject({ actor_name: "Mina", target_id: "GET /operator/api/audit" });
    expect((await events()).some(({ target }) => target?.id === "GET /operator/api/audit")).toBe(false);
  });
});

async function platformRow(action: string): Promise<Record<string, unknown> | undefined> {
  const { SqliteDatabases } = await import("#src/storage/database.sqlite.ts");
  const { MIGRATIONS } = await import("../support/audit-world.ts");
  const databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
  const control = databases.open("control", join(world.stateDir, "control.db"), "control");
  const row = await control.find<Record<string, unknown>>(
    "SELECT * FROM audit_log WHERE action = ? ORDER BY seq DESC LIMIT 1",
    [action],
  );
  await databases.close();
  return row;
}

describe("acts in a tenant's own database", () => {
  it("are in the log with who, what, on what and how, and never with a secret", async () => {
    const made = await rpc("agents.create", { name: EVIL, emoji: "🦞" });
    const agentId = String(made.body["agentId"]);
    await rpc("agents.update", { agentId, model: "demo/demo" });
    await rpc("agents.files.set", { agentId, name: "SOUL.md", content: "You are kind. canary-of-a-text" });
    await owner.send("PUT", "/t/acme/api/providers/mine", {
      ...{ baseUrl: "https://models.example/v1", apiKey: SECRET, models: [{ id: "one" }] },
    });
    await owner.send("DELETE", "/t/acme/api/providers/mine");
    await rpc("agents.delete", { agentId });
    const found = (await events()).slice(0, 6);
    expect(found.map(({ action, actor, target, details }) => [action, actor.name, target, details])).toEqual([
      ["agent.deleted", "robot", { kind: "agent", id: agentId, name: null }, { filesRemoved: true }],
      ["model_provider.removed", "Olga", { kind: "model_provider", id: "mine", name: null }, {}],
      [
        ...["model_provider.changed", "Olga", { kind: "model_provider", id: "mine", name: null }],
        { host: "models.example", key: "set", models: 1 },
      ],
      [
        ...["workspace.file_written", "robot", { kind: "file", id: `${agentId}/SOUL.md`, name: "SOUL.md" }],
        { agentId, sizeBytes: 30 },
      ],
      ["agent.changed", "robot", { kind: "agent", id: agentId, name: null }, { model: "demo/demo" }],
      ["agent.created", "robot", { kind: "agent", id: agentId, name: EVIL }, {}],
    ]);
    expect(new Set(found.map(({ outcome }) => outcome))).toEqual(new Set(["ok"]));
    const everything = JSON.stringify(await events());
    for (const secret of [SECRET, "canary-of-a-text", token, memberToken])
      expect(everything).not.toContain(secret);
  });

  it("that fail are not in it as done", async () => {
    const count = (await events()).length;
    expect((await rpc("agents.update", { agentId: "no-such-agent", name: "x" })).status).toBe(404);
    expect(await events()).toHaveLength(count);
  });
});

describe("the log", () => {
  it("is filtered and read page by page, the same by HTTP and by method", async () => {
    const all = await events();
    const paged: number[] = [];
    let next: string | null = "";
    while (next !== null) {
      const answer: { body: { events: Event[]; next: string | null } } = await owner.send(
        "GET",
        `/t/acme/api/audit?limit=3${next === "" ? "" : `&before=${next}`}`,
      );
      paged.push(...answer.body.events.map(({ seq }) => seq));
      next = answer.body.next;
    }
    expect(paged).toEqual(all.map(({ seq }) => seq));
    const agents = await events(owner, "acme", "action=agent.*&actor=robot");
    expect(agents.map(({ action }) => action)).toEqual(["agent.deleted", "agent.changed", "agent.created"]);
    const by = await rpc("audit.log.list", { action: "agent.*", actor: "robot" });
    expect(by.body["events"]).toEqual(agents);
    expect(await events(owner, "acme", `actor=${owner.userId}&outcome=denied`)).toEqual([]);
    const middle = all[4]?.atMs ?? 0;
    for (const { atMs } of await events(owner, "acme", `from=${middle}`))
      expect(atMs).toBeGreaterThanOrEqual(middle);
    for (const odd of ["limit=0", "limit=x", "before=-1", "outcome=maybe", "action="])
      expect((await owner.send("GET", `/t/acme/api/audit?${odd}`)).status, odd).toBe(400);
  });

  it("of another tenant shows nothing of this one", async () => {
    const own = await events();
    const marks = [...own.map(({ id }) => id), ...own.map(({ hash }) => hash), "Olga", "Mina", "robot"];
    for (const path of ["", "/export", "/export?format=csv", "/heads", "/verify"]) {
      const answer = await twin.send("GET", `/t/beta/api/audit${path}`);
      expect(answer.status).toBe(200);
      expect(
        marks.filter((mark) => answer.text.includes(mark)),
        path,
      ).toEqual([]);
      expect((await twin.send("GET", `/t/acme/api/audit${path}`)).status).toBe(404);
      expect((await member.send("GET", `/t/acme/api/audit${path}`)).status).toBe(403);
    }
  });

  it("is taken away as a table in which nothing runs", async () => {
    const answer = await owner.send("GET", "/t/acme/api/audit/export?format=csv&action=agent.created");
    expect(answer.headers.get("content-type")).toBe("text/csv; charset=utf-8");
    expect(answer.headers.get("content-disposition")).toBe('attachment; filename="audit-acme.csv"');
    const [heading, line, rest] = answer.text.replace("\uFEFF", "").split("\r\n");
    expect(heading).toContain("seq,id,at_ms,action");
    expect(line).toContain(`"'=HYPERLINK(""https://evil.example"")"`);
    expect(line).not.toContain(',"=');
    expect(rest).toBe("");
  });

  it("is taken away with its own verifier, keys and heads, and checked without a network", async () => {
    const save = async (path: string, name: string) => {
      const answer = await owner.send("GET", path);
      expect(answer.status, path).toBe(200);
      await writeFile(join(folder, name), answer.text);
      return join(folder, name);
    };
    const program = await save("/t/acme/api/audit/verifier", "verify-audit.mjs");
    const file = await save("/t/acme/api/audit/export", "audit.jsonl");
    const heads = await save("/t/acme/api/audit/heads", "heads.json");
    const jwks = await save("/.well-known/jwks.json", "jwks.json");
    const check = (...args: string[]) => {
      const child = spawnSync(process.execPath, [program, ...args], { encoding: "utf8" });
      return { code: child.status, said: child.stdout };
    };
    expect(check(file, "--heads", heads, "--jwks", jwks)).toMatchObject({ code: 0 });
    const text = readFileSync(file, "utf8");
    expect(text).toContain('"action":"audit.exported"');
    await writeFile(join(folder, "changed.jsonl"), text.replace("Mina", "Nina"));
    const changed = check(join(folder, "changed.jsonl"));
    expect(changed.code).toBe(1);
    expect(changed.said).toMatch(/^NOT SOUND \(altered\) at row \d+/);
    const filtered = await save("/t/acme/api/audit/export?action=agent.*", "filtered.jsonl");
    expect(check(filtered)).toMatchObject({ code: 0, said: expect.stringContaining("filtered") });
  });

  it("is checked in place, and is whole after a restart", async () => {
    const before = await owner.send("GET", "/t/acme/api/audit/verify");
    expect(before.body).toEqual({ ok: true, checked: expect.any(Number), problem: null });
    await world.restart();
    const answer = await owner.send("GET", "/t/acme/api/audit/verify");
    expect(answer.body).toMatchObject({ ok: true, problem: null });
    expect(answer.body.checked).toBeGreaterThanOrEqual(before.body.checked);
  });
});

describe("what agents did, in OpenClaw's form", () => {
  it("has runs and tool calls as the published schema says", async () => {
    const client = new SocketClient(world.wsUrl);
    await client.connect(token, { caps: ["tool-events"] });
    const send = (await client.call("chat.send", {
      ...{
        sessionKey: "agent:main:audited",
        message: "Please list my files with a tool",
        idempotencyKey: "run-1",
      },
    })) as { runId: string };
    await client.terminal(send.runId);
    const list = (await client.call("audit.list", {})) as { events: Record<string, unknown>[] };
    expect(misfits(definitions["AuditListResult"] ?? {}, list)).toEqual([]);
    expect(list.events.map(({ action, status }) => [action, status])).toEqual([
      ["agent.run.finished", "succeeded"],
      ["tool.action.finished", "succeeded"],
      ["tool.action.started", "started"],
      ["agent.run.started", "started"],
    ]);
    expect(list.events[1]).toMatchObject({
      agentId: "main",
      sessionKey: "agent:main:audited",
      runId: "run-1",
    });
    expect(list.events.map((event) => event["sourceSequence"])).toEqual([4, 3, 2, 1]);
    const activity = (await client.call("audit.activity.list", { limit: 2 })) as Record<string, unknown>;
    expect(misfits(definitions["AuditActivityListResult"] ?? {}, activity)).toEqual([]);
    const rest = (await client.call("audit.activity.list", {
      cursor: activity["nextCursor"],
    })) as typeof list;
    expect(rest.events.map((event) => event["sequence"])).toEqual([2, 1]);
    for (const [params, actions] of [
      [{ kind: "tool_action", status: "succeeded" }, ["tool.action.finished"]],
      [{ runId: "run-1", kind: "agent_run" }, ["agent.run.finished", "agent.run.started"]],
      [{ sessionKey: "agent:main:other" }, []],
      [{ agentId: "nobody" }, []],
      [{ before: 1 }, []],
    ] as const) {
      const found = (await client.call("audit.list", params)) as typeof list;
      expect(
        found.events.map(({ action }) => action),
        JSON.stringify(params),
      ).toEqual(actions);
    }
    await expect(client.call("audit.list", { cursor: "'; DROP TABLE runs" })).rejects.toThrow();
    const other = await callByHttp(world.url, "/rpc/audit.list", await world.token("beta"), {});
    expect(JSON.parse(other.text)).toEqual({ events: [] });
    client.close();
  });

  it("tells of runs that were stopped", async () => {
    const client = new SocketClient(world.wsUrl);
    await client.connect(token);
    const sent = { sessionKey: "agent:main:stopped", message: "markdown please", idempotencyKey: "run-2" };
    await client.call("chat.send", sent);
    await client.call("chat.abort", { sessionKey: sent.sessionKey, runId: "run-2" });
    await client.terminal("run-2");
    const list = (await client.call("audit.list", { runId: "run-2" })) as {
      events: Record<string, unknown>[];
    };
    expect(list.events[0]).toMatchObject({ status: "cancelled", errorCode: "run_cancelled" });
    expect(misfits(definitions["AuditListResult"] ?? {}, list)).toEqual([]);
    client.close();
  });
});
