/**
 * A tenant with agents, models and tools, without the rest of the app. Owns: temp folder, databases, wiring, recording.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Agent } from "#src/agents/agent.ts";
import { Agents } from "#src/agents/agents.ts";
import { Memories } from "#src/agents/memory.ts";
import { type CatalogDeps, ModelCatalog } from "#src/agents/models/catalog.ts";
import type { PlatformModels } from "#src/agents/models/catalog-entry.ts";
import { OwnProviders } from "#src/agents/models/own-providers.ts";
import { Prompts } from "#src/agents/prompt.ts";
import { AgentRuns } from "#src/agents/run.ts";
import { makeMemoryTools } from "#src/agents/tools/memory-tools.ts";
import { makeSessionTools } from "#src/agents/tools/session-tools.ts";
import { makeShell } from "#src/agents/tools/shell.ts";
import { ShellSandbox } from "#src/agents/tools/shell-sandbox.ts";
import { type Tool, Toolbox } from "#src/agents/tools/tool.ts";
import { makeWebFetch } from "#src/agents/tools/web-fetch.ts";
import { makeWorkspaceTools } from "#src/agents/tools/workspace-tools.ts";
import type {
  ModelCallRecord,
  RunEvent,
  RunInput,
  RunOutcome,
  RunRecorder,
  ToolIntent,
} from "#src/agents/turn/contract.ts";
import { Workspaces } from "#src/agents/workspace.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { Egress, type EgressOptions } from "#src/kernel/egress.ts";
import {
  newId,
  type RunId,
  type SessionId,
  type SessionKey,
  type TenantId,
  type UserId,
} from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { TranscriptMessage, UserMessage } from "#src/protocol/message.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Principal } from "#src/tenancy/principal.ts";
import { TenantDoor, type TenantScope } from "#src/tenancy/scoped.ts";
import { Vault } from "#src/tenancy/vault.ts";

const MIGRATIONS = resolve(import.meta.dirname, "../../migrations");

/** What a test may choose. */
export interface AgentWorldOptions {
  platform?: PlatformModels;
  allowPrivate?: readonly string[];
  deadlines?: CatalogDeps["deadlines"];
  resolveHost?: EgressOptions["resolve"];
  /** Tools besides the built-in ones. */
  moreTools?: readonly Tool[];
}

/** What the recorder was told, in order. */
export type Recorded =
  | { kind: "assistant"; step: number; message: TranscriptMessage; call: ModelCallRecord }
  | { kind: "intent"; step: number; call: ToolIntent }
  | { kind: "result"; step: number; message: TranscriptMessage }
  | { kind: "compacted"; step: number; message: TranscriptMessage; call: ModelCallRecord };

/** A run as a test sees it. */
export interface RunSeen {
  outcome: RunOutcome;
  events: RunEvent[];
  recorded: Recorded[];
}

/** See the head of this file. */
export class AgentWorld {
  readonly directory: string;
  readonly scope: TenantScope;
  readonly principal: Principal;
  readonly workspaces = new Workspaces();
  readonly agents: Agents;
  readonly memories: Memories;
  readonly own: OwnProviders;
  readonly models: ModelCatalog;
  readonly toolbox: Toolbox;
  readonly runs: AgentRuns;
  readonly egress: Egress;
  private readonly databases: SqliteDatabases;
  private readonly door: TenantDoor;

  private constructor(directory: string, options: AgentWorldOptions) {
    this.directory = directory;
    const log = makeLog({ level: "silent" });
    const clock = systemClock;
    this.databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
    this.door = new TenantDoor(this.databases, directory);
    this.scope = this.newTenant("acme");
    this.principal = principalOf(this.scope);
    this.agents = new Agents(this.workspaces, clock);
    this.memories = new Memories(this.workspaces, clock);
    this.egress = new Egress({
      allowPrivate: options.allowPrivate ?? ["127.0.0.1"],
      log,
      ...(options.resolveHost === undefined ? {} : { resolve: options.resolveHost }),
    });
    this.own = new OwnProviders(new Vault(Buffer.alloc(32, 7)), clock);
    this.models = new ModelCatalog({
      platform: options.platform ?? { providers: {} },
      own: this.own,
      egress: this.egress,
      clock,
      demoPieceDelayMs: 0,
      retryPauseMs: 1,
      ...(options.deadlines === undefined ? {} : { deadlines: options.deadlines }),
    });
    const reader = { list: () => Promise.resolve([]), read: () => Promise.resolve([]) };
    this.toolbox = new Toolbox([
      ...makeWorkspaceTools(this.workspaces),
      ...makeMemoryTools(this.memories),
      ...makeSessionTools(reader),
      makeWebFetch(this.egress),
      makeShell(this.workspaces, new ShellSandbox(clock)),
      ...(options.moreTools ?? []),
    ]);
    const prompts = new Prompts(this.workspaces, clock);
    this.runs = new AgentRuns({ models: this.models, toolbox: this.toolbox, prompts, clock, log });
  }

  static async open(options: AgentWorldOptions = {}): Promise<AgentWorld> {
    return new AgentWorld(await mkdtemp(join(tmpdir(), "creel-agents-")), options);
  }

  newTenant(slug: string): TenantScope {
    return this.door.scope({
      id: newId() as TenantId,
      slug,
      displayName: slug,
      hosts: [],
      readOnlyUntilMs: null,
      deleteAfterMs: null,
      status: "active",
      plan: "free",
      timeZone: "Asia/Shanghai",
      createdAtMs: 0,
    });
  }

  /** Make a run of one message, or of a whole history. */
  async run(said: string | TranscriptMessage[], more: Partial<RunInput> = {}): Promise<RunSeen> {
    const events: RunEvent[] = [];
    const recorded: Recorded[] = [];
    const input: RunInput = {
      scope: this.scope,
      principal: this.principal,
      agent: await this.agents.get(this.scope, "main"),
      sessionKey: "agent:main:main" as SessionKey,
      sessionId: newId() as SessionId,
      runId: newId() as RunId,
      modelRef: undefined,
      history: typeof said === "string" ? [user(said)] : said,
      signal: new AbortController().signal,
      recorder: recordInto(recorded),
      takeSteering: () => Promise.resolve([]),
      ...more,
      emit(event) {
        events.push(event);
        more.emit?.(event);
      },
    };
    return { outcome: await this.runs.run(input), events, recorded };
  }

  /** The main agent with other tools. */
  async agentWith(tools: readonly string[]): Promise<Agent> {
    return this.agents.update(this.scope, "main", { tools });
  }

  async close(): Promise<void> {
    await this.egress.close();
    await this.databases.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** A message of a person. */
export function user(content: string): UserMessage {
  return { role: "user", content, timestamp: 1 };
}

/** The visible text of an outcome. */
export function textOfOutcome(outcome: RunOutcome): string {
  return outcome.message.content.map((part) => (part.type === "text" ? part.text : "")).join("");
}

function recordInto(recorded: Recorded[]): RunRecorder {
  return {
    async assistantStep(step, message, call) {
      recorded.push({ kind: "assistant", step, message, call });
    },
    async toolIntent(step, call) {
      recorded.push({ kind: "intent", step, call });
    },
    async toolResult(step, message) {
      recorded.push({ kind: "result", step, message });
    },
    async compacted(step, message, call) {
      recorded.push({ kind: "compacted", step, message, call });
    },
  };
}

function principalOf(scope: TenantScope): Principal {
  return {
    tenantId: scope.tenantId,
    userId: newId() as UserId,
    displayName: "Ada",
    role: "owner",
    scopes: new Set(["operator.admin"]),
    credential: { kind: "api_token", id: "t1", expiresAtMs: null },
  };
}
