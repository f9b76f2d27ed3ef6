/**
 * The composition root: builds every part in floor order and joins them. Owns: knowing everything.
 * Nothing imports it but the entries (main, cli) and tests.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { makeAdminMethods } from "./admin/methods.ts";
import { Agents } from "./agents/agents.ts";
import { COMMANDS } from "./agents/commands.ts";
import { Memories } from "./agents/memory.ts";
import { makeAgentMethods } from "./agents/methods.ts";
import { ModelCatalog } from "./agents/models/catalog.ts";
import { toChoice } from "./agents/models/methods.ts";
import { OwnProviders } from "./agents/models/own-providers.ts";
import { Prompts } from "./agents/prompt.ts";
import { makeAgentRoutes } from "./agents/routes.ts";
import { AgentRuns } from "./agents/run.ts";
import { makeMemoryTools } from "./agents/tools/memory-tools.ts";
import { makeSessionTools, type SessionReader } from "./agents/tools/session-tools.ts";
import { makeShell } from "./agents/tools/shell.ts";
import { ShellSandbox } from "./agents/tools/shell-sandbox.ts";
import { Toolbox } from "./agents/tools/tool.ts";
import { makeWebFetch } from "./agents/tools/web-fetch.ts";
import { makeWorkspaceTools } from "./agents/tools/workspace-tools.ts";
import { Workspaces } from "./agents/workspace.ts";
import { type Auth, makeAuth } from "./auth/auth.ts";
import type { FirstRun } from "./auth/bootstrap.ts";
import { makeBillingMethods } from "./billing/methods.ts";
import { PriceBook } from "./billing/prices.ts";
import { UsageRollup } from "./billing/rollup.ts";
import { UsageMeter } from "./billing/usage.ts";
import { History } from "./chat/history.ts";
import { ChatInputs } from "./chat/inputs.ts";
import { makeChatMethods } from "./chat/methods.ts";
import { DefaultModels } from "./chat/model-defaults.ts";
import { makeOpenAiRoutes } from "./chat/openai-routes.ts";
import { makeRunMethods } from "./chat/run-methods.ts";
import { LiveRuns } from "./chat/runs/live-runs.ts";
import { Recovery } from "./chat/runs/recover.ts";
import { Turns } from "./chat/runs/turns.ts";
import { WorkMarks } from "./chat/runs/work-marks.ts";
import { SendMessage } from "./chat/send-message.ts";
import { makeSessionRunMethods } from "./chat/session-methods.ts";
import { SlashCommands } from "./chat/slash-commands.ts";
import type { Config } from "./config/options.ts";
import { EventHub } from "./events/hub.ts";
import { Gateway } from "./gateway/gateway.ts";
import { makeSystemMethods } from "./gateway/system-methods.ts";
import { type Clock, systemClock } from "./kernel/clock.ts";
import { Egress } from "./kernel/egress.ts";
import { AppError } from "./kernel/errors.ts";
import { type Log, makeLog } from "./kernel/log.ts";
import { VERSION } from "./kernel/version.ts";
import { textOf } from "./protocol/message.ts";
import { type Method, MethodRegistry } from "./protocol/methods.ts";
import type { Route } from "./protocol/routes.ts";
import { SessionAnnouncer } from "./sessions/announce.ts";
import { makeSessionMethods } from "./sessions/methods.ts";
import { parseSessionKey } from "./sessions/session-key.ts";
import { Sessions } from "./sessions/sessions.ts";
import { countRows, readRows } from "./sessions/transcript.ts";
import { SqliteDatabases } from "./storage/database.sqlite.ts";
import { findContext } from "./tenancy/context.ts";
import type { Principal } from "./tenancy/principal.ts";
import { TenantDoor, type TenantScope } from "./tenancy/scoped.ts";
import { scopesOf } from "./tenancy/scopes.ts";
import { Tenants } from "./tenancy/tenants.ts";
import { loadMasterKey, loadToken, Vault } from "./tenancy/vault.ts";

/** What an app is built from. */
export interface AppOptions {
  config: Config;
  clock?: Clock;
  log?: Log;
  /** Folder of the built Control UI; null serves none. */
  uiDirectory?: string | null;
  /** How long stopping waits for answers that are being written. */
  drainMs?: number;
}

/** A running deployment. */
export interface App {
  readonly methods: MethodRegistry;
  readonly auth: Auth;
  readonly tenants: Tenants;
  readonly door: TenantDoor;
  readonly gateway: Gateway;
  /** What the start found or made; see auth/bootstrap. */
  readonly firstRun: FirstRun;
  /** Begin to serve; returns the address, e.g. `http://127.0.0.1:18789`. */
  listen(): Promise<string>;
  /** Resolves when no run is active in any tenant. */
  drained(): Promise<void>;
  close(): Promise<void>;
}

const MIGRATIONS = join(import.meta.dirname, "..", "migrations");
const UI = join(import.meta.dirname, "..", "ui", "dist");

/** Build everything; opens the state folder and makes the first tenant if there is none. */
export async function makeApp(options: AppOptions): Promise<App> {
  const { config } = options;
  const clock = options.clock ?? systemClock;
  const log = options.log ?? makeLog({ level: config.logLevel, fields: contextFields });
  const ground = await makeGround(config, clock, log);
  const assistant = makeAssistant(config, clock, log, ground);
  const chat = makeChat(clock, log, ground, assistant);
  const firstRun = await ground.auth.ensureFirstRun({ tenantSlug: config.firstTenant });
  if (firstRun.createdTenant !== null)
    await assistant.agents.ensureMain(ground.door.scope(firstRun.createdTenant));
  const gateway = makeGateway(options, clock, log, ground, assistant, chat);
  return {
    ...{
      methods: gateway.registry,
      auth: ground.auth,
      tenants: ground.tenants,
      door: ground.door,
      gateway,
      firstRun,
    },
    listen: () => listen(config, log, ground, assistant, chat, gateway),
    drained: () => drained(chat.live),
    close: () => close(options, clock, ground, assistant, chat, gateway),
  };
}

function contextFields(): Record<string, unknown> {
  const context = findContext();
  return context === undefined ? {} : { tenantId: context.tenantId, requestId: context.requestId };
}

type Ground = Awaited<ReturnType<typeof makeGround>>;

/** Floors 0-5, the parts without a model: storage, tenants, people. */
async function makeGround(config: Config, clock: Clock, log: Log) {
  await mkdir(config.stateDir, { recursive: true, mode: 0o700 });
  const isNew = !existsSync(join(config.stateDir, "control.db"));
  const masterKey = await loadMasterKey(join(config.stateDir, "master-key"), isNew);
  const databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
  const control = databases.open("control", join(config.stateDir, "control.db"), "control");
  await control.find("SELECT 1");
  const tenants = new Tenants(control, clock);
  return {
    databases,
    control,
    tenants,
    door: new TenantDoor(databases, config.stateDir),
    vault: new Vault(masterKey),
    auth: makeAuth({ control, tenants, clock, masterKey }),
    egress: new Egress({ allowPrivate: config.egressAllowPrivate, log, clock }),
    hub: new EventHub(),
    metricsToken: await loadToken(join(config.stateDir, "metrics-token")),
  };
}

type Assistant = ReturnType<typeof makeAssistant>;

/** Floor 5: conversations, agents, models, tools, usage. */
function makeAssistant(config: Config, clock: Clock, log: Log, ground: Ground) {
  const sessions = new Sessions(clock);
  const workspaces = new Workspaces();
  const memories = new Memories(workspaces, clock);
  const agents = new Agents(workspaces, clock);
  const own = new OwnProviders(ground.vault, clock);
  const platform = { providers: platformProviders(config), primary: config.defaultModel };
  const models = new ModelCatalog({ platform, own, egress: ground.egress, clock });
  const shell = new ShellSandbox(clock);
  const toolbox = new Toolbox([
    ...makeWorkspaceTools(workspaces),
    ...makeMemoryTools(memories),
    ...makeSessionTools(sessionReader(sessions)),
    makeWebFetch(ground.egress),
    makeShell(workspaces, shell),
  ]);
  const rollup = new UsageRollup({ control: ground.control, clock, log });
  const meter = new UsageMeter({
    prices: new PriceBook(),
    clock,
    log,
    noteChange: (scope) => rollup.note(scope),
  });
  const runs = new AgentRuns({ models, toolbox, prompts: new Prompts(workspaces, clock), clock, log });
  const defaults = new DefaultModels(models, clock);
  const announcer = new SessionAnnouncer(ground.hub, clock, (scope) => defaults.of(scope));
  return {
    sessions,
    workspaces,
    memories,
    agents,
    own,
    models,
    shell,
    toolbox,
    rollup,
    meter,
    runs,
    defaults,
    announcer,
  };
}

/** The operator's providers, with keys already looked up by config. */
function platformProviders(config: Config) {
  return Object.fromEntries(
    Object.entries(config.providers).map(([id, provider]) => {
      const { apiKey, ...rest } = provider;
      return [id, { ...rest, ...(typeof apiKey === "string" ? { apiKey } : {}) }];
    }),
  );
}

function sessionReader(sessions: Sessions): SessionReader {
  return {
    async list(scope, limit) {
      const page = await sessions.list(scope, { limit, offset: 0 });
      return page.rows.map((row) => ({
        key: row.key,
        title: row.label ?? row.title ?? row.key,
        updatedAtMs: row.updated_at_ms,
      }));
    },
    async read(scope, key, limit) {
      const row = await sessions.find(scope, parseSessionKey(key).key);
      if (row === undefined) return [];
      const last = await countRows(scope, row.session_id);
      const rows = await readRows(
        scope,
        { agentId: row.agent_id, sessionId: row.session_id },
        last - limit + 1,
        last,
      );
      return rows.map((one) => ({ role: one.message.role, text: textOf(one.message) }));
    },
  };
}

type Chat = ReturnType<typeof makeChat>;

/** Floor 6: a message becomes a turn. */
function makeChat(clock: Clock, log: Log, ground: Ground, assistant: Assistant) {
  const { agents, sessions, announcer, meter, runs, models, defaults } = assistant;
  const { hub } = ground;
  const live = new LiveRuns();
  const marks = new WorkMarks(ground.control, clock);
  const turns = new Turns({ agents, agentRuns: runs, meter, sessions, announcer, clock, log });
  const send = new SendMessage({ agents, sessions, announcer, turns, live, marks, hub, clock });
  const modelsOf = async (scope: TenantScope) => (await models.list(scope)).map((model) => model.ref);
  const commands = new SlashCommands({ sessions, announcer, send, modelsOf });
  const inputs = new ChatInputs({ send, commands, live, hub, clock });
  const defaultsOf = (scope: TenantScope) => defaults.of(scope);
  const history = new History({ sessions, live, defaultsOf, clock });
  const principalOf = (scope: TenantScope, userId: string) => findPrincipal(ground.auth, scope, userId);
  const recovery = new Recovery({ send, live, sessions, clock, log, principalOf });
  return { live, marks, send, inputs, history, recovery, defaultsOf, modelsOf };
}

/** The present authority of somebody who sent a message before a crash: a member, or an API token. */
async function findPrincipal(auth: Auth, scope: TenantScope, userId: string): Promise<Principal | undefined> {
  const { tenantId } = scope;
  const member = await auth.members.find(tenantId, userId as Principal["userId"]);
  const found = member ?? (await auth.tokens.findGrantById(tenantId, userId));
  if (found === undefined || scope.tenant.status !== "active") return undefined;
  return {
    tenantId,
    userId: userId as Principal["userId"],
    displayName: found.displayName,
    role: found.role,
    scopes: new Set(scopesOf(found.role)),
    credential: {
      kind: member === undefined ? "api_token" : "browser_session",
      id: userId,
      expiresAtMs: null,
    },
  };
}

function makeGateway(
  options: AppOptions,
  clock: Clock,
  log: Log,
  ground: Ground,
  assistant: Assistant,
  chat: Chat,
): Gateway {
  const gateway: Gateway = new Gateway({
    config: options.config,
    clock,
    log,
    version: VERSION,
    tenants: ground.tenants,
    door: ground.door,
    auth: ground.auth,
    hub: ground.hub,
    metricsToken: ground.metricsToken,
    uiDirectory: options.uiDirectory === undefined ? UI : options.uiDirectory,
    registry: new MethodRegistry(makeMethods(clock, ground, assistant, chat, () => gateway.rooms)),
    routes: makeRoutes(clock, ground, assistant, chat),
    checkStore: async () => void (await ground.control.find("SELECT 1")),
    activeRuns: () => chat.live.unscopedActive().length,
  });
  return gateway;
}

function makeMethods(
  clock: Clock,
  ground: Pick<Ground, "auth">,
  assistant: Assistant,
  chat: Chat,
  rooms: () => Gateway["rooms"],
): Method[][] {
  const { sessions, announcer, agents, models } = assistant;
  const { inputs, send, history, defaultsOf } = chat;
  const defaultModelOf = async (scope: TenantScope) => {
    const { modelProvider, model } = await defaultsOf(scope);
    return `${modelProvider}/${model}`;
  };
  const assertAgent = async (scope: TenantScope, agentId: string) => {
    if ((await agents.find(scope, agentId)) !== undefined) return;
    throw new AppError("invalid_request", `Agent "${agentId}" no longer exists in configuration`);
  };
  const metadataOf = async (scope: TenantScope, agentId: string | undefined) => {
    const agent = agentId === undefined ? undefined : await agents.find(scope, agentId);
    const listed = await models.list(scope, agent?.model ?? null);
    return { models: listed.map(toChoice), commands: COMMANDS, swarmEnabled: false };
  };
  return [
    makeSystemMethods({
      clock,
      rooms,
      version: VERSION,
      outlineOf: (scope) => outlineOf(assistant, scope),
      defaultModelOf: (scope) => defaultsOf(scope),
    }),
    makeSessionMethods({ sessions, announcer, defaultsOf, clock }),
    makeSessionRunMethods({ inputs, send, sessions, announcer, defaultsOf, assertAgent, clock }),
    makeChatMethods({ inputs, send, history, sessions, announcer, clock, metadataOf }),
    makeRunMethods({ inputs, send, sessions, clock }),
    makeAgentMethods({ ...assistant, clock }),
    makeBillingMethods({ clock }),
    ground.auth.methods,
    makeAdminMethods({ clock, defaultModelOf }),
  ];
}

async function outlineOf(assistant: Assistant, scope: TenantScope) {
  const agents = await assistant.agents.list(scope);
  const page = await assistant.sessions.list(scope, { limit: 5, offset: 0 });
  const recent = page.rows.map((row) => ({
    key: row.key,
    agentId: row.agent_id,
    updatedAt: row.updated_at_ms,
  }));
  return { agentIds: agents.map((agent) => agent.id), sessionCount: page.totalCount, recent };
}

function makeRoutes(clock: Clock, ground: Ground, assistant: Assistant, chat: Chat): Route[] {
  const { agents, models, own } = assistant;
  const namesOf = async (scope: TenantScope) => ({
    agentIds: (await agents.list(scope)).map((agent) => agent.id),
    models: await chat.modelsOf(scope),
  });
  return [
    ...ground.auth.routes,
    ...makeAgentRoutes({ models, own }),
    ...makeOpenAiRoutes({ inputs: chat.inputs, send: chat.send, hub: ground.hub, clock, namesOf }),
  ];
}

async function listen(
  config: Config,
  log: Log,
  ground: Ground,
  assistant: Assistant,
  chat: Chat,
  gateway: Gateway,
): Promise<string> {
  // ORDER: open runs are back in their lanes before anybody can send into the same sessions.
  for (const tenantId of await chat.marks.unscopedList()) {
    const tenant = await ground.tenants.findById(tenantId);
    if (tenant === undefined || tenant.status !== "active") continue;
    await chat.marks.mark(tenantId);
    await chat.recovery.recover(ground.door.scope(tenant)).catch((thrown: unknown) => {
      log.error(
        { err: thrown, tenantId },
        "a tenant's open runs could not be recovered; its others are served",
      );
    });
    chat.marks.quiet(tenantId, () => chat.live.isBusy(tenantId));
  }
  assistant.rollup.start(tenantPages(ground));
  return gateway.listen(config.host, config.port);
}

/** Next tenants by slug, for background work. */
function tenantPages(ground: Ground): (afterSlug: string) => Promise<TenantScope[]> {
  return async (afterSlug) => {
    const page = await ground.tenants.list(50, afterSlug);
    return page.filter((tenant) => tenant.status === "active").map((tenant) => ground.door.scope(tenant));
  };
}

async function drained(live: LiveRuns): Promise<void> {
  for (let active = live.unscopedActive(); active.length > 0; active = live.unscopedActive()) {
    await Promise.all(active.map((run) => run.done));
  }
}

/** Stop in the order that loses nothing: no new work, finish what can be finished, then the files. */
async function close(
  options: AppOptions,
  clock: Clock,
  ground: Ground,
  assistant: Assistant,
  chat: Chat,
  gateway: Gateway,
) {
  gateway.beginDrain();
  await Promise.race([
    drained(chat.live),
    new Promise<void>((resolve) => void clock.after(options.drainMs ?? 0, resolve)),
  ]);
  await chat.send.abandonAll();
  await gateway.close();
  await assistant.rollup.close();
  await ground.databases.close();
}

/** Every method of the product, for documents. Declaring opens nothing; the handlers of these must not be called. */
export function describeMethods(): readonly Method[] {
  const undeclared = {} as never;
  const auth = makeAuth({
    control: undeclared,
    tenants: undeclared,
    clock: systemClock,
    masterKey: Buffer.alloc(32),
  });
  const groups = makeMethods(systemClock, { auth }, undeclared, undeclared, () => undeclared);
  return new MethodRegistry(groups).list();
}
