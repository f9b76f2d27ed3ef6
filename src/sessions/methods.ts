/**
 * `sessions.*` methods that only read or change the index. Owns: their declarations.
 * Refuses to know: runs (chat has the methods that start, stop or forget them).
 */
import { z } from "zod";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { LIMITS } from "../kernel/limits.ts";
import { textOf } from "../protocol/message.ts";
import { defineMethod, looseResult, type Method } from "../protocol/methods.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { DefaultsOf, SessionAnnouncer } from "./announce.ts";
import { type SessionRow, THINKING_LEVELS, toWireSession } from "./session.ts";
import { checkAgentId, parseSessionKey } from "./session-key.ts";
import type { SessionPage, SessionQuery, Sessions } from "./sessions.ts";
import { countRows, readRows, toWireMessage } from "./transcript.ts";

/** What the methods need. */
export interface SessionMethodDeps {
  sessions: Sessions;
  announcer: SessionAnnouncer;
  defaultsOf: DefaultsOf;
  clock: Clock;
}

const key = z.string().min(1).max(512);
const agentId = z.string().min(1).max(64);

const listParams = z.object({
  limit: z.int().min(1).optional(),
  offset: z.int().min(0).optional(),
  activeMinutes: z.int().min(1).optional(),
  includeDerivedTitles: z.boolean().optional(),
  includeLastMessage: z.boolean().optional(),
  label: z.string().min(1).max(512).optional(),
  agentId: agentId.optional(),
  search: z.string().max(512).optional(),
  archived: z.union([z.boolean(), z.literal("all")]).optional(),
  /** Only conversations that an agent began from this one. None are yet, so with it the list is empty. */
  spawnedBy: z.string().min(1).max(512).optional(),
});

const listResult = looseResult({
  sessions: z.array(looseResult({ key: z.string(), sessionId: z.string() })),
});

/** Declare the methods. */
export function makeSessionMethods(deps: SessionMethodDeps): Method[] {
  return [
    listMethod(deps),
    ...subscriptionMethods(deps),
    ...lookupMethods(deps),
    ...readMethods(deps),
    patchMethod(deps),
  ];
}

async function listSessions(
  deps: SessionMethodDeps,
  scope: TenantScope,
  params: z.output<typeof listParams>,
) {
  const now = deps.clock.nowMs();
  const limit = Math.min(params.limit ?? 100, LIMITS.listRows);
  const offset = params.offset ?? 0;
  const page = await listPage(deps, scope, params.spawnedBy, {
    agentId: params.agentId === undefined ? undefined : checkAgentId(params.agentId),
    archived: params.archived,
    search: params.search,
    label: params.label,
    sinceMs: params.activeMinutes === undefined ? undefined : now - params.activeMinutes * 60_000,
    limit,
    offset,
  });
  const defaults = await deps.defaultsOf(scope);
  const next = offset + page.rows.length;
  const hasMore = next < page.totalCount;
  return {
    ts: now,
    path: "(managed)",
    count: page.rows.length,
    totalCount: page.totalCount,
    limitApplied: limit,
    ...(offset > 0 ? { offset } : {}),
    nextOffset: hasMore ? next : null,
    hasMore,
    owners: [],
    defaults: {
      ...defaults,
      thinkingLevels: THINKING_LEVELS,
      thinkingOptions: ["off"],
      thinkingDefault: "off",
    },
    sessions: page.rows.map((row) => toWireSession(row, defaults, now) as { key: string; sessionId: string }),
  };
}

async function listPage(
  deps: SessionMethodDeps,
  scope: TenantScope,
  spawnedBy: string | undefined,
  query: SessionQuery,
): Promise<SessionPage> {
  return spawnedBy === undefined ? deps.sessions.list(scope, query) : { rows: [], totalCount: 0 };
}

function listMethod(deps: SessionMethodDeps): Method {
  return defineMethod({
    name: "sessions.list",
    scope: "operator.read",
    params: listParams,
    result: listResult,
    cost: "read",
    doc: "List conversations, newest first, one page at a time.",
    handler: (params, call) => listSessions(deps, call.tenant, params),
  });
}

const messageParams = z.object({
  key,
  agentId: agentId.optional(),
  includeApprovals: z.boolean().optional(),
});

function subscriptionMethods(deps: SessionMethodDeps): Method[] {
  const subscribed = looseResult({ subscribed: z.boolean() });
  return [
    defineMethod({
      name: "sessions.subscribe",
      scope: "operator.read",
      params: listParams,
      result: subscribed,
      cost: "free",
      doc: "Receive `sessions.changed` and `session.message` for all conversations; with list params, list too.",
      async handler(params, call) {
        call.connection?.subscribeSessions();
        const wantsList = Object.keys(params).length > 0;
        return {
          subscribed: true,
          ...(wantsList ? { list: await listSessions(deps, call.tenant, params) } : {}),
        };
      },
    }),
    defineMethod({
      name: "sessions.unsubscribe",
      scope: "operator.read",
      params: z.object({}),
      result: subscribed,
      cost: "free",
      doc: "Stop what `sessions.subscribe` began.",
      async handler(_params, call) {
        call.connection?.unsubscribeSessions();
        return { subscribed: false };
      },
    }),
    defineMethod({
      name: "sessions.messages.subscribe",
      scope: "operator.read",
      params: messageParams,
      result: subscribed,
      cost: "free",
      doc: "Receive `session.message` for one conversation.",
      async handler(params, call) {
        const parsed = parseSessionKey(params.key, params.agentId);
        call.connection?.subscribeMessages(parsed.key);
        const updatedAtMs = deps.clock.nowMs();
        const approvalReplay = { sessionKey: parsed.key, updatedAtMs, approvals: [], truncated: false };
        return {
          subscribed: true,
          key: parsed.key,
          ...(params.includeApprovals === true ? { approvalReplay } : {}),
        };
      },
    }),
    defineMethod({
      name: "sessions.messages.unsubscribe",
      scope: "operator.read",
      params: messageParams.omit({ includeApprovals: true }),
      result: subscribed,
      cost: "free",
      doc: "Stop what `sessions.messages.subscribe` began.",
      async handler(params, call) {
        const parsed = parseSessionKey(params.key, params.agentId);
        call.connection?.unsubscribeMessages(parsed.key);
        return { subscribed: false, key: parsed.key };
      },
    }),
  ];
}

function lookupMethods(deps: SessionMethodDeps): Method[] {
  return [
    defineMethod({
      name: "sessions.describe",
      scope: "operator.read",
      params: z.object({ key, agentId: agentId.optional() }),
      result: z.object({ session: z.record(z.string(), z.unknown()).nullable() }),
      cost: "read",
      doc: "Describe one conversation; null when there is none with that key.",
      async handler(params, call) {
        const row = await deps.sessions.find(call.tenant, parseSessionKey(params.key, params.agentId).key);
        return { session: row === undefined ? null : await wire(deps, call.tenant, row) };
      },
    }),
    defineMethod({
      name: "sessions.resolve",
      scope: "operator.read",
      params: z.object({
        key: key.optional(),
        sessionId: z.string().min(1).max(64).optional(),
        label: z.string().min(1).max(512).optional(),
        agentId: agentId.optional(),
        /** How clients newer than the published schema say the same. */
        reference: z.object({ key: key.optional() }).optional(),
        allowMissing: z.boolean().optional(),
      }),
      result: looseResult({ ok: z.boolean() }),
      cost: "read",
      doc: "Find a conversation by key, session id or label.",
      async handler(params, call) {
        const { reference, ...by } = params;
        const row = await resolveSession(deps, call.tenant, { ...by, key: by.key ?? reference?.key });
        if (row !== undefined)
          return { ok: true, key: row.key, agentId: row.agent_id, sessionId: row.session_id };
        if (params.allowMissing === true) return { ok: false };
        throw new AppError("not_found", "There is no such session.");
      },
    }),
  ];
}

async function resolveSession(
  deps: SessionMethodDeps,
  scope: TenantScope,
  by: {
    key?: string | undefined;
    sessionId?: string | undefined;
    label?: string | undefined;
    agentId?: string | undefined;
  },
): Promise<SessionRow | undefined> {
  if (by.key !== undefined) return deps.sessions.find(scope, parseSessionKey(by.key, by.agentId).key);
  if (by.sessionId !== undefined) return deps.sessions.findBySessionId(scope, by.sessionId);
  if (by.label === undefined) return undefined;
  const page = await deps.sessions.list(scope, { label: by.label, archived: "all", limit: 1, offset: 0 });
  return page.rows[0];
}

function readMethods(deps: SessionMethodDeps): Method[] {
  return [
    defineMethod({
      name: "sessions.preview",
      scope: "operator.read",
      params: z.object({
        keys: z.array(key).min(1).max(64),
        limit: z.int().min(1).max(50).optional(),
        maxChars: z.int().min(20).max(2_000).optional(),
      }),
      result: looseResult({ previews: z.array(looseResult({ key: z.string(), status: z.string() })) }),
      cost: "read",
      doc: "The last few lines of several conversations.",
      async handler(params, call) {
        const previews = await Promise.all(params.keys.map((one) => preview(deps, call.tenant, one, params)));
        return { ts: deps.clock.nowMs(), previews };
      },
    }),
    defineMethod({
      name: "sessions.get",
      scope: "operator.read",
      params: z.object({ key, agentId: agentId.optional(), limit: z.int().min(1).max(1_000).optional() }),
      result: looseResult({ messages: z.array(z.unknown()) }),
      cost: "read",
      doc: "The newest messages of a conversation; empty when there is none with that key.",
      async handler(params, call) {
        const row = await deps.sessions.find(call.tenant, parseSessionKey(params.key, params.agentId).key);
        if (row === undefined) return { messages: [] };
        const ref = { agentId: row.agent_id, sessionId: row.session_id };
        const last = await countRows(call.tenant, row.session_id);
        const rows = await readRows(call.tenant, ref, last - (params.limit ?? 200) + 1, last);
        return { messages: rows.map(toWireMessage) };
      },
    }),
  ];
}

async function preview(
  deps: SessionMethodDeps,
  scope: TenantScope,
  asked: string,
  bounds: { limit?: number | undefined; maxChars?: number | undefined },
) {
  const row = await deps.sessions.find(scope, parseSessionKey(asked).key);
  if (row === undefined) return { key: asked, status: "missing", items: [] };
  const last = await countRows(scope, row.session_id);
  const ref = { agentId: row.agent_id, sessionId: row.session_id };
  const rows = await readRows(scope, ref, last - (bounds.limit ?? 12) + 1, last);
  const items = rows
    .filter((one) => one.message.role === "user" || one.message.role === "assistant")
    .map((one) => ({ role: one.message.role, text: textOf(one.message).slice(0, bounds.maxChars ?? 240) }))
    .filter((item) => item.text !== "");
  return { key: asked, status: items.length === 0 ? "empty" : "ok", items };
}

function patchMethod(deps: SessionMethodDeps): Method {
  return defineMethod({
    name: "sessions.patch",
    scope: "operator.write",
    params: z.object({
      key,
      agentId: agentId.optional(),
      label: z.string().min(1).max(512).nullable().optional(),
      pinned: z.boolean().optional(),
      archived: z.boolean().optional(),
      unread: z.boolean().optional(),
      model: z
        .string()
        .min(1)
        .max(256)
        .regex(/^[^/]+\/.+$/, "must be provider/model")
        .nullable()
        .optional(),
      thinkingLevel: z.string().min(1).max(32).nullable().optional(),
    }),
    result: looseResult({ ok: z.literal(true), key: z.string() }),
    cost: "write",
    doc: "Rename, pin, archive, mark read or unread, or choose the model of a conversation.",
    async handler(params, call) {
      const row = await deps.sessions.patch(
        call.tenant,
        parseSessionKey(params.key, params.agentId).key,
        params,
      );
      await deps.announcer.changed(call.tenant, row, { reason: "patch" });
      const entry = await wire(deps, call.tenant, row);
      const resolved = { modelProvider: entry["modelProvider"], model: entry["model"] };
      return { ok: true as const, path: "(managed)", key: row.key, entry, resolved };
    },
  });
}

async function wire(
  deps: SessionMethodDeps,
  scope: TenantScope,
  row: SessionRow,
): Promise<Record<string, unknown>> {
  return toWireSession(row, await deps.defaultsOf(scope), deps.clock.nowMs());
}
