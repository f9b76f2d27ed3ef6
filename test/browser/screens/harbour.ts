/**
 * The Creel that is photographed: people, tenants, weeks of use, a model on loopback. Owns: who and what is in it.
 * Refuses to know: pages. It is filled by a clock that is set back, so that lists and charts have a past.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PriceBook } from "#src/billing/prices.ts";
import { UsageMeter } from "#src/billing/usage.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import type { UserId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { Role } from "#src/tenancy/scopes.ts";
import { startApp, type TestApp } from "../../support/start-app.ts";
import { modelInput, toolInput } from "../../support/usage-world.ts";
import { QUESTIONS, STORIES } from "./stories.ts";
import { startStoryModel } from "./story-model.ts";
import { fillTown, type Townspeople } from "./townspeople.ts";

/** Whoever looks at a page; `owner` and `member` and `reader` are people of the first tenant. */
export type Who = "owner" | "member" | "reader" | "lonely" | "nobody";

/** The running world. */
export interface Harbour {
  app: TestApp;
  /** A fresh sign-in link of a person. */
  link(who: Exclude<Who, "nobody">): Promise<string>;
  /** A link that was used before. */
  usedLink: string;
  town: Townspeople;
  /** An empty conversation with the model on loopback; its name is the end of its key. */
  conversation(name: string): Promise<void>;
  close(): Promise<void>;
}

const DAY_MS = 86_400_000;
const FIRST = "home";
const TOLD_BY = "harbour/deep-water-70b";

type Call = (method: string, params: unknown) => Promise<Record<string, unknown>>;

/** Starts it and fills it. */
export async function openHarbour(ui: string): Promise<Harbour> {
  const model = await startStoryModel(STORIES);
  let behindMs = 0;
  const clock: Clock = { ...systemClock, nowMs: () => Date.now() - behindMs };
  const app = await startApp({
    app: { uiDirectory: ui, clock },
    config: {
      egressAllowPrivate: ["127.0.0.1"],
      signInProviders: SIGN_IN,
      providers: { harbour: { baseUrl: model.baseUrl, apiKey: "key-of-the-operator", models: MODELS } },
    },
  });
  const setBack = (days: number) => {
    behindMs = days * DAY_MS;
  };
  setBack(41);
  const people = await fillPeople(app, setBack);
  const call = await callerOf(app);
  await fillAgents(app, call);
  await fillConversations(call, setBack);
  setBack(0);
  await fillUsage(app, clock, people.owner);
  await fillBudgets(app, people.owner);
  const town = await fillTown(app, people.owner);
  const link = async (who: Exclude<Who, "nobody">) => {
    const home = await app.tenant(FIRST);
    return `${app.url}/login#link=${await app.app.auth.links.create(people[who], home.id)}`;
  };
  const usedLink = await link("owner");
  const used = await fetch(`${app.url}/auth/link`, {
    method: "POST",
    headers: { "content-type": "application/json", origin: app.url },
    body: JSON.stringify({ token: usedLink.split("link=")[1] }),
  });
  if (!used.ok) throw new Error(`using a link answered ${used.status}`);
  return {
    app,
    link,
    usedLink,
    town,
    async conversation(name) {
      await call("sessions.create", { key: `agent:main:${name}`, model: TOLD_BY });
    },
    async close() {
      await app.close();
      await model.close();
    },
  };
}

/** Places to sign in at; nobody signs in at them here, so that none needs to be there. */
const SIGN_IN = Object.fromEntries(
  [
    ["mcpmarket", "mcpmarket", "key"],
    ["wechat", "微信", "wechat"],
    ["github", "GitHub", "github"],
  ].map(([id = "", label = "", icon]) => [
    id,
    {
      ...{
        issuer: `http://127.0.0.1:9/${id}`,
        clientId: "creel",
        clientSecret: "not-a-secret-0123456789",
        label,
      },
      ...{ icon: icon as "key" | "wechat" | "github", trustEmail: false },
    },
  ]),
);

const MODELS = [
  {
    id: "deep-water-70b",
    name: "Deep Water 70B",
    contextWindow: 128_000,
    maxTokens: 8_192,
    cost: { input: 2.5, output: 10, cacheRead: 0.5, cacheWrite: 0 },
  },
  {
    id: "shallow-8b-instruct-2026-10-preview-long-name",
    name: "Shallow 8B Instruct (October 2026 preview, long context)",
    contextWindow: 1_000_000,
    maxTokens: 4_096,
    cost: { input: 0.1, output: 0.4, cacheRead: 0.02, cacheWrite: 0 },
  },
];

async function fillPeople(
  app: TestApp,
  setBack: (days: number) => void,
): Promise<Record<Exclude<Who, "nobody">, UserId>> {
  const { auth, tenants } = app.app;
  const owner = app.app.firstRun.user.id;
  await auth.users.update(owner, { displayName: "Mei Chen" });
  const home = await app.tenant(FIRST);
  const join = async (displayName: string, role: Role) => {
    const { id } = await auth.users.create({ displayName });
    await auth.members.add(home.id, id, role);
    return id;
  };
  const others: [string, string, Role][] = [
    ["northern-herring", "Northern Herring & Mackerel Trading Company Ltd.", "admin"],
    ["yuanyang", "远洋渔业合作社", "member"],
    ["old-pier", "Old Pier", "readonly"],
  ];
  for (const [slug, displayName, role] of others) {
    const tenant = await tenants.create({ slug, displayName });
    await auth.members.add(tenant.id, owner, role);
    if (slug === "old-pier") await tenants.suspend(tenant.id);
  }
  await app.tenant("not-yours");
  const tokens: [string, Role, number | null][] = [
    ["Old laptop", "member", 30],
    ["Nightly report", "readonly", null],
    ["Phone of the harbour master, second floor, east wing", "admin", 365],
    ["Lost card", "member", null],
  ];
  for (const [name, role, days] of tokens) {
    const maker = { kind: "person", userId: owner, role: "owner" } as const;
    const expiresInMs = days === null ? null : days * DAY_MS;
    const { token } = await auth.tokens.create(home.id, { name, role, maker, expiresInMs });
    if (name === "Lost card") await auth.tokens.revoke(home.id, token.id);
    setBack(40);
  }
  return {
    owner,
    member: await join("Tom Baker", "member"),
    reader: await join("Rui Santos", "readonly"),
    lonely: (await auth.users.create({ displayName: "Ada Lovelace" })).id,
  };
}

async function callerOf(app: TestApp): Promise<Call> {
  const headers = {
    authorization: `Bearer ${await app.token(FIRST, "owner", "Front desk")}`,
    "content-type": "application/json",
  };
  const provider = {
    baseUrl: "https://dashscope.aliyuncs.com/compatible-mode/v1",
    apiKey: "sk-not-a-key",
    models: [
      { id: "qwen-max", name: "Qwen Max", contextWindow: 131_072, maxTokens: 8_192 },
      { id: "qwen-plus", name: "Qwen Plus", contextWindow: 131_072, maxTokens: 8_192 },
    ],
  };
  const change = async (method: string, path: string, body: unknown) => {
    const url = `${app.url}/t/${FIRST}/api/${path}`;
    const answer = await fetch(url, { method, headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status} ${await answer.text()}`);
  };
  await change("PUT", "providers/qwen", provider);
  // A tenant without a name of its own asks its owner for one before anything else.
  await change("PATCH", "tenant", { displayName: "Home" });
  return async (method, params) => {
    const url = `${app.url}/rpc/${method}`;
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(params) });
    const body = await response.text();
    if (!response.ok) throw new Error(`${method} answered ${response.status} ${body}`);
    return JSON.parse(body) as Record<string, unknown>;
  };
}

async function fillAgents(app: TestApp, call: Call): Promise<void> {
  await call("agents.create", { name: "Net mender", tools: ["workspace_read"] });
  await call("agents.create", { name: "码头助手", emoji: "⚓", model: TOLD_BY });
  await call("agents.create", { name: "Tide watch for the northern harbours and outer islands", tools: [] });
  const workspace = app.app.door.scope(await app.tenant(FIRST)).workspaceDirectory("main" as never);
  await mkdir(join(workspace, "landings"), { recursive: true });
  await writeFile(
    join(workspace, "landings", "week-47.csv"),
    "boat,kilograms\nAurora,13050\nSea Lavender,6900\n",
  );
  await writeFile(
    join(workspace, "tide-table-for-the-northern-harbours-2026-second-half.txt"),
    "high 06:12\n",
  );
  await writeFile(join(workspace, "basket.bin"), Buffer.from([0, 1, 2, 255, 254]));
}

/** Days ago, key, question; the ones told by the model on loopback are told twice, once in each language. */
const CONVERSATIONS: readonly [number, string, string, boolean][] = [
  [40, "seed-oldest", "hello", false],
  [33, "seed-net", "How do I mend a net with a torn selvedge before the next tide comes in?", false],
  [20, "seed-isolation", "租户之间是怎么隔离的？", false],
  [9, "seed-cost", "what does it cost?", false],
  [5, "seed-markdown", "show me markdown", false],
  [4, "seed-usage", "用量是怎么计算的？", false],
  [1, "seed-code", "and code, please", false],
  [1, "seed-list", "列出文件", false],
  [0, "fails-zh-CN", QUESTIONS.fails["zh-CN"], true],
  [0, "fails-en", QUESTIONS.fails.en, true],
  [0, "rich-zh-CN", QUESTIONS.rich["zh-CN"], true],
  [0, "rich-en", QUESTIONS.rich.en, true],
];

async function fillConversations(call: Call, setBack: (days: number) => void): Promise<void> {
  for (const [days, name, message, told] of CONVERSATIONS) {
    setBack(days);
    const key = `agent:main:${name}`;
    if (told) await call("sessions.create", { key, model: TOLD_BY });
    const turn = { message, sessionKey: key, idempotencyKey: `${name}-1` };
    await call("agent", turn).catch((error: unknown) => {
      if (!name.startsWith("fails")) throw error;
    });
  }
  await call("sessions.patch", { key: "agent:main:seed-net", label: "Mending nets", pinned: true });
}

/** A believable curve over six weeks: quiet Sundays, a burst, one day without anything. */
async function fillUsage(app: TestApp, clock: Clock, userId: UserId): Promise<void> {
  const scope = app.app.door.scope(await app.tenant(FIRST));
  const meter = new UsageMeter({ prices: new PriceBook(), clock, log: makeLog({ level: "silent" }) });
  const models = MODELS.map(({ id, cost }) => ({ provider: "harbour", model: id, cost, userId }));
  for (let day = 40; day >= 0; day -= 1) {
    if (day === 12) continue;
    const atMs = clock.nowMs() - day * DAY_MS;
    const isQuiet = new Date(atMs).getUTCDay() === 0;
    const tokens = (isQuiet ? 4_000 : 60_000) + ((day * 7_919) % 50_000) + (day === 17 ? 400_000 : 0);
    const spent = { outputTokens: Math.round(tokens / 9), cacheWriteTokens: 0, isExact: true };
    const inputs = models.map((model, index) => {
      const cacheReadTokens = tokens * index;
      return modelInput(atMs, { ...model, usage: { ...spent, inputTokens: tokens, cacheReadTokens } });
    });
    const metered = inputs.map((input) => meter.modelCall(scope, input));
    const tool = meter.toolCall(scope, toolInput(atMs, { userId }));
    await scope.db.write({ statements: [...metered, tool].flatMap(({ statements }) => statements) });
  }
}

/** A plan with limits, and budgets of an agent, a person and the whole organization; all with room left. */
async function fillBudgets(app: TestApp, userId: UserId): Promise<void> {
  const { id } = await app.tenant(FIRST);
  await app.app.plans.pin(id, { plan: "team", fromMs: 0 }, userId);
  const headers = {
    authorization: `Bearer ${await app.token(FIRST)}`,
    "content-type": "application/json",
  };
  const budgets = [
    { scope: "agent", scopeId: "main", period: "month", limitMicros: 30_000_000 },
    { scope: "user", scopeId: userId, period: "month", limitMicros: 40_000_000 },
    { scope: "tenant", scopeId: "", period: "total", limitMicros: 250_500_000 },
  ];
  for (const budget of budgets) {
    const request = { method: "PUT", headers, body: JSON.stringify(budget) };
    const answer = await fetch(`${app.url}/t/${FIRST}/api/budgets`, request);
    if (!answer.ok) throw new Error(`a budget was not set: ${await answer.text()}`);
  }
}
