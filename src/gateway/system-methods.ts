/**
 * `health`, `status`, `system-presence`: the gateway as one tenant may see it. Owns: their declarations.
 * Refuses to know: other tenants: no figure here depends on them.
 */
import { z } from "zod";
import type { Clock } from "../kernel/clock.ts";
import type { TenantId } from "../kernel/ids.ts";
import { defineMethod, looseResult, type Method } from "../protocol/methods.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { Rooms } from "./socket/rooms.ts";

/** A session as `health` and `status` list it. */
export interface RecentSession {
  key: string;
  agentId: string;
  updatedAt: number;
}

/** What the methods need. */
export interface SystemMethodDeps {
  clock: Clock;
  rooms: () => Rooms;
  version: string;
  /** Agents and newest sessions of a tenant. */
  outlineOf(
    scope: TenantScope,
  ): Promise<{ agentIds: string[]; sessionCount: number; recent: RecentSession[] }>;
  defaultModelOf(scope: TenantScope): Promise<{ model: string; contextTokens: number }>;
}

/** How long a tenant's outline is reused: pollers ask several times a second. */
const OUTLINE_MS = 1_000;
/** Tenants whose outline is remembered. */
const REMEMBERED = 256;

interface Outline {
  madeAtMs: number;
  payload: Record<string, unknown>;
}

/** Declare the methods. */
export function makeSystemMethods(deps: SystemMethodDeps): Method[] {
  return [healthMethod(deps), statusMethod(deps), presenceMethod(deps)];
}

function healthMethod(deps: SystemMethodDeps): Method {
  const outlines = new Map<TenantId, Outline>();
  return defineMethod({
    name: "health",
    scope: null,
    params: z.object({ probe: z.boolean().optional() }),
    result: looseResult({ ok: z.boolean() }),
    cost: "free",
    doc: "Whether the gateway serves this tenant, with its agents and newest conversations.",
    async handler(_params, call) {
      const nowMs = deps.clock.monotonicMs();
      const known = outlines.get(call.tenant.tenantId);
      const ts = deps.clock.nowMs();
      if (known !== undefined && nowMs - known.madeAtMs < OUTLINE_MS)
        return { ok: true, ts, ...known.payload };
      const payload = await makeHealth(deps, call.tenant);
      outlines.delete(call.tenant.tenantId);
      outlines.set(call.tenant.tenantId, { madeAtMs: nowMs, payload });
      for (const oldest of outlines.keys()) {
        if (outlines.size <= REMEMBERED) break;
        outlines.delete(oldest);
      }
      return { ok: true, ts, ...payload };
    },
  });
}

async function makeHealth(deps: SystemMethodDeps, scope: TenantScope): Promise<Record<string, unknown>> {
  const startedMs = deps.clock.monotonicMs();
  const outline = await deps.outlineOf(scope);
  const recent = outline.recent.map(({ key, updatedAt }) => ({
    key,
    updatedAt,
    age: Math.max(0, deps.clock.nowMs() - updatedAt),
  }));
  const sessions = { path: "(managed)", count: outline.sessionCount, recent };
  return {
    durationMs: Math.round(deps.clock.monotonicMs() - startedMs),
    channels: {},
    channelOrder: [],
    channelLabels: {},
    heartbeatSeconds: 0,
    defaultAgentId: "main",
    agents: outline.agentIds.map((agentId) => ({
      agentId,
      isDefault: agentId === "main",
      heartbeat: { enabled: false, every: "off", everyMs: null },
      sessions: agentId === "main" ? sessions : { path: "(managed)", count: 0, recent: [] },
    })),
    sessions,
  };
}

function statusMethod(deps: SystemMethodDeps): Method {
  return defineMethod({
    name: "status",
    scope: "operator.read",
    params: z.object({ includeChannelSummary: z.boolean().optional() }),
    result: looseResult({ runtimeVersion: z.string() }),
    cost: "read",
    doc: "A summary for dashboards: version, default model, newest conversations.",
    async handler(_params, call) {
      const outline = await deps.outlineOf(call.tenant);
      const defaults = await deps.defaultModelOf(call.tenant);
      const recent = outline.recent.map((session) => ({ ...session, kind: "direct" }));
      return {
        runtimeVersion: deps.version,
        heartbeat: { defaultAgentId: "main", agents: [] },
        channelSummary: [],
        queuedSystemEvents: [],
        sessions: { paths: ["(managed)"], count: outline.sessionCount, defaults, recent, byAgent: [] },
      };
    },
  });
}

function presenceMethod(deps: SystemMethodDeps): Method {
  return defineMethod({
    name: "system-presence",
    scope: "operator.read",
    params: z.object({}),
    result: z.array(z.unknown()),
    cost: "free",
    doc: "The tenant's clients that are connected now.",
    handler: async (_params, call) => [...deps.rooms().presence(call.tenant.tenantId)],
  });
}
