/**
 * `sessions.*` methods that start, stop or forget runs. Owns: their declarations.
 * Refuses to know: how a message becomes a turn.
 */
import { z } from "zod";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { newId } from "../kernel/ids.ts";
import { defineMethod, looseResult, type Method, type MethodCall } from "../protocol/methods.ts";
import type { DefaultsOf, SessionAnnouncer } from "../sessions/announce.ts";
import { type SessionRow, toWireSession } from "../sessions/session.ts";
import { checkAgentId, newDashboardKey, type ParsedKey, parseSessionKey } from "../sessions/session-key.ts";
import type { Sessions } from "../sessions/sessions.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { attachmentsSchema } from "./attachments.ts";
import type { ChatInputs } from "./inputs.ts";
import { findRun } from "./runs/run.ts";
import type { SendMessage } from "./send-message.ts";

/** What the methods need. */
export interface SessionRunDeps {
  inputs: ChatInputs;
  send: SendMessage;
  sessions: Sessions;
  announcer: SessionAnnouncer;
  defaultsOf: DefaultsOf;
  /** Throws `invalid_request` when the tenant has no such agent. */
  assertAgent(scope: TenantScope, agentId: ParsedKey["agentId"]): Promise<void>;
  clock: Clock;
}

const key = z.string().min(1).max(512);
const agentId = z.string().min(1).max(64).optional();
const idempotencyKey = z.string().min(1).max(256);

/** Declare the methods. */
export function makeSessionRunMethods(deps: SessionRunDeps): Method[] {
  return [createMethod(deps), sendMethod(deps), resetMethod(deps), deleteMethod(deps), abortMethod(deps)];
}

const createParams = z.object({
  key: key.optional(),
  idempotencyKey: idempotencyKey.optional(),
  agentId,
  label: z.string().min(1).max(512).optional(),
  displayName: z.string().min(1).max(500).optional(),
  model: z
    .string()
    .min(1)
    .max(256)
    .regex(/^[^/]+\/.+$/, "must be provider/model")
    .optional(),
  thinkingLevel: z.string().min(1).max(32).optional(),
  task: z.string().optional(),
  message: z.string().optional(),
  attachments: attachmentsSchema,
});

function createMethod(deps: SessionRunDeps): Method {
  return defineMethod({
    name: "sessions.create",
    scope: "operator.write",
    params: createParams,
    result: looseResult({ ok: z.literal(true), key: z.string() }),
    cost: "turn",
    doc: "Begin a conversation, and with a message its first run.",
    async handler(params, call) {
      const agent = checkAgentId(params.agentId ?? "main");
      const parsed =
        params.key === undefined ? newDashboardKey(agent) : parseSessionKey(params.key, params.agentId);
      await deps.assertAgent(call.tenant, parsed.agentId);
      const by = { userId: call.principal.userId, channel: call.client?.mode ?? "api" };
      await deps.sessions.ensure(call.tenant, parsed, by);
      const row = await deps.sessions.patch(call.tenant, parsed.key, {
        label: params.label,
        model: params.model,
        thinkingLevel: params.thinkingLevel,
      });
      await deps.announcer.changed(call.tenant, row, { reason: "create" });
      const started = await firstRun(deps, call, parsed, params);
      const entry = await wire(deps, call.tenant, row);
      const resolved = { modelProvider: entry["modelProvider"], model: entry["model"] };
      return { ok: true as const, key: row.key, sessionId: row.session_id, entry, resolved, ...started };
    },
  });
}

async function firstRun(
  deps: SessionRunDeps,
  call: MethodCall,
  parsed: ParsedKey,
  params: z.output<typeof createParams>,
): Promise<Record<string, unknown>> {
  const message = params.message ?? params.task;
  if (message === undefined) return { runStarted: false };
  const answer = await deps.inputs.send(call, {
    parsed,
    message,
    attachments: params.attachments,
    idempotencyKey: params.idempotencyKey ?? newId(),
  });
  return { runStarted: true, runId: answer.runId, status: answer.status, messageSeq: 1 };
}

function sendMethod(deps: SessionRunDeps): Method {
  return defineMethod({
    name: "sessions.send",
    scope: "operator.write",
    params: z.object({
      key,
      agentId,
      message: z.string(),
      thinking: z.string().max(32).optional(),
      attachments: attachmentsSchema,
      timeoutMs: z.int().min(0).optional(),
      idempotencyKey: idempotencyKey.optional(),
    }),
    result: looseResult({ runId: z.string(), status: z.string() }),
    cost: "turn",
    doc: "Send a message to an existing or new conversation.",
    handler: (params, call) =>
      deps.inputs.send(call, {
        ...params,
        parsed: parseSessionKey(params.key, params.agentId),
        idempotencyKey: params.idempotencyKey ?? newId(),
      }),
  });
}

function resetMethod(deps: SessionRunDeps): Method {
  return defineMethod({
    name: "sessions.reset",
    scope: "operator.admin",
    params: z.object({ key, agentId, reason: z.enum(["new", "reset"]).optional() }),
    result: looseResult({ ok: z.literal(true), key: z.string() }),
    cost: "write",
    doc: "Begin a conversation anew under the same key; the old transcript stays stored.",
    audit: (_params, { key: id }) => ({ action: "session.reset", target: { kind: "session", id } }),
    async handler(params, call) {
      const parsed = parseSessionKey(params.key, params.agentId);
      await deps.send.abort(call.tenant, parsed.key, undefined, "reset");
      const row = await deps.sessions.reset(call.tenant, parsed.key);
      await deps.announcer.changed(call.tenant, row, { reason: params.reason ?? "reset" });
      const entry = await wire(deps, call.tenant, row);
      const resolved = { modelProvider: entry["modelProvider"], model: entry["model"] };
      return { ok: true as const, key: row.key, entry, resolved };
    },
  });
}

function deleteMethod(deps: SessionRunDeps): Method {
  return defineMethod({
    name: "sessions.delete",
    scope: "operator.write",
    params: z.object({ key, agentId, deleteTranscript: z.boolean().optional() }),
    result: looseResult({ ok: z.literal(true), key: z.string(), deleted: z.boolean() }),
    cost: "write",
    doc: "Take a conversation away, and stop what runs in it.",
    audit: (_params, { key: id, deleted }) =>
      deleted ? { action: "session.deleted", target: { kind: "session", id } } : null,
    async handler(params, call) {
      const parsed = parseSessionKey(params.key, params.agentId);
      await deps.send.abort(call.tenant, parsed.key, undefined, "delete");
      const row = await deps.sessions.remove(call.tenant, parsed.key);
      if (row === undefined) return { ok: true as const, key: parsed.key, deleted: false, archived: [] };
      deps.announcer.removed(call.tenant, row);
      return { ok: true as const, key: parsed.key, deleted: true, archived: [] };
    },
  });
}

function abortMethod(deps: SessionRunDeps): Method {
  return defineMethod({
    name: "sessions.abort",
    scope: "operator.write",
    params: z.object({ key: key.optional(), runId: z.string().min(1).max(256).optional(), agentId }),
    result: looseResult({ ok: z.literal(true), runIds: z.array(z.string()) }),
    cost: "write",
    doc: "Stop the runs of a conversation, or one run by its id.",
    async handler(params, call) {
      const target = await abortTarget(call.tenant, params);
      const runIds =
        target === undefined ? [] : await deps.send.abort(call.tenant, target, params.runId, "rpc");
      const status = runIds.length > 0 ? "aborted" : "no-active-run";
      return {
        ok: true as const,
        aborted: runIds.length > 0,
        runIds,
        abortedRunId: runIds[0] ?? null,
        status,
      };
    },
  });
}

async function abortTarget(
  scope: TenantScope,
  params: { key?: string | undefined; runId?: string | undefined; agentId?: string | undefined },
): Promise<ParsedKey["key"] | undefined> {
  if (params.key !== undefined) return parseSessionKey(params.key, params.agentId).key;
  if (params.runId === undefined) throw new AppError("invalid_request", "key or runId required");
  return (await findRun(scope, params.runId))?.session_key;
}

async function wire(
  deps: SessionRunDeps,
  scope: TenantScope,
  row: SessionRow,
): Promise<Record<string, unknown>> {
  return toWireSession(row, await deps.defaultsOf(scope), deps.clock.nowMs());
}
