/**
 * Tenants with real files and a meter, without the rest of the app. Owns: temp folder, databases, a clock set by hand.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { FIRST_TOOL_ORDINAL } from "#src/billing/ledger/reserve-sql.ts";
import { makeBillingMethods } from "#src/billing/methods.ts";
import { PriceBook } from "#src/billing/prices.ts";
import { UsageRollup } from "#src/billing/rollup.ts";
import { type ModelUsageInput, type ToolUsageInput, UsageMeter } from "#src/billing/usage.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { newId, type TenantId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { MethodCall } from "#src/protocol/methods.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database, Databases } from "#src/storage/database.ts";
import { TenantDoor, type TenantScope } from "#src/tenancy/scoped.ts";

const MIGRATIONS = resolve(import.meta.dirname, "../../migrations");

/** See the head of this file. */
export interface UsageWorld {
  databases: Databases;
  control: Database;
  meter: UsageMeter;
  rollup: UsageRollup;
  /** Sets the clock; milliseconds since the epoch. */
  setNow(ms: number): void;
  newTenant(slug: string, timeZone?: string): TenantScope;
  /** Writes a model call; what is not given has a plain default. */
  model(scope: TenantScope, input?: Partial<ModelUsageInput>): Promise<void>;
  tool(scope: TenantScope, input?: Partial<ToolUsageInput>): Promise<void>;
  /** Calls a protocol method as the dispatcher would, params checked. */
  call(scope: TenantScope, method: string, params: unknown): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

/** Opens an empty world; the clock stands at noon (UTC) of 22 November 2026. */
export async function openUsageWorld(): Promise<UsageWorld> {
  const directory = await mkdtemp(join(tmpdir(), "creel-usage-"));
  const databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
  const door = new TenantDoor(databases, directory);
  const control = databases.open("control", join(directory, "control.db"), "control");
  let nowMs = Date.UTC(2026, 10, 22, 12);
  const clock: Clock = { ...systemClock, nowMs: () => nowMs };
  const log = makeLog({ level: "silent" });
  const rollup = new UsageRollup({ control, clock, log });
  const noteChange = (scope: TenantScope) => rollup.note(scope);
  const meter = new UsageMeter({ prices: new PriceBook(), clock, log, noteChange });
  const methods = new Map(makeBillingMethods({ clock }).map((method) => [method.name, method]));
  const write = async (scope: TenantScope, statements: ReturnType<UsageMeter["toolCall"]>["statements"]) => {
    await scope.db.write({ statements });
  };
  return {
    databases,
    control,
    meter,
    rollup,
    setNow: (ms) => {
      nowMs = ms;
    },
    newTenant: (slug, timeZone = "UTC") => makeScope(door, slug, timeZone, nowMs),
    model: (scope, input = {}) => write(scope, meter.modelCall(scope, modelInput(nowMs, input)).statements),
    tool: (scope, input = {}) => write(scope, meter.toolCall(scope, toolInput(nowMs, input)).statements),
    async call(scope, name, params) {
      const method = methods.get(name);
      if (method === undefined) throw new Error(`no method ${name}`);
      const answer = await method.handler(method.params.parse(params), { tenant: scope } as MethodCall);
      return method.result.parse(answer) as Record<string, unknown>;
    },
    async close() {
      await databases.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function makeScope(door: TenantDoor, slug: string, timeZone: string, createdAtMs: number): TenantScope {
  return door.scope({
    id: newId() as TenantId,
    slug,
    displayName: slug,
    hosts: [],
    readOnlyUntilMs: null,
    deleteAfterMs: null,
    status: "active",
    plan: "free",
    timeZone,
    createdAtMs,
  });
}

const WHERE = {
  step: 0,
  agentId: "main",
  sessionKey: "agent:main:main",
  sessionId: "00000000-0000-4000-8000-000000000001",
  userId: "user-1",
  channel: "webchat",
};

/** A model call of 120 + 20 tokens at 1 and 2 units of currency per million tokens. */
export function modelInput(atMs: number, input: Partial<ModelUsageInput>): ModelUsageInput {
  return {
    ...WHERE,
    runId: newId(),
    provider: "mock",
    model: "mock-1",
    purpose: "turn",
    usage: { inputTokens: 120, outputTokens: 20, cacheReadTokens: 0, cacheWriteTokens: 0, isExact: true },
    cost: { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 },
    keyOwner: "platform",
    atMs,
    ...input,
  } as ModelUsageInput;
}

/** A call of the tool `exec` that went well. */
export function toolInput(atMs: number, input: Partial<ToolUsageInput>): ToolUsageInput {
  return {
    ...WHERE,
    runId: newId(),
    ordinal: FIRST_TOOL_ORDINAL,
    callId: "call-1",
    toolName: "exec",
    price: { micros: 0, origin: "free" },
    isError: false,
    atMs,
    ...input,
  } as ToolUsageInput;
}
