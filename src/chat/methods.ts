/**
 * `chat.*` methods. Owns: their declarations. Refuses to know: how a message becomes a turn.
 */
import { z } from "zod";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { AssistantMessage } from "../protocol/message.ts";
import { defineMethod, looseResult, type Method, type MethodCall } from "../protocol/methods.ts";
import type { SessionAnnouncer } from "../sessions/announce.ts";
import { parseSessionKey } from "../sessions/session-key.ts";
import type { Sessions } from "../sessions/sessions.ts";
import { appendRows, findRow, newRow, toWireMessage } from "../sessions/transcript.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { attachmentsSchema } from "./attachments.ts";
import { type History, transcriptOf } from "./history.ts";
import type { ChatInputs } from "./inputs.ts";
import type { SendMessage } from "./send-message.ts";

/** What the methods need. */
export interface ChatMethodDeps {
  inputs: ChatInputs;
  send: SendMessage;
  history: History;
  sessions: Sessions;
  announcer: SessionAnnouncer;
  clock: Clock;
  /** Models and commands for pickers: the payload of `chat.metadata`. */
  metadataOf(scope: TenantScope, agentId: string | undefined): Promise<Record<string, unknown>>;
}

const sessionKey = z.string().min(1).max(512);
const agentId = z.string().min(1).max(64).optional();
const idempotencyKey = z.string().min(1).max(256);

const historyParams = z.object({
  sessionKey,
  agentId,
  cursor: z.string().max(512).optional(),
  limit: z.int().min(1).max(1_000).optional(),
  offset: z.int().min(0).optional(),
  maxBytes: z.int().min(1).optional(),
  maxChars: z.int().min(1).max(500_000).optional(),
  inputRunIds: z.array(z.string().min(1).max(256)).min(1).max(50).optional(),
});

const historyResult = looseResult({});

/** Declare the methods. */
export function makeChatMethods(deps: ChatMethodDeps): Method[] {
  return [...readMethods(deps), ...sendMethods(deps), injectMethod(deps)];
}

function readMethods(deps: ChatMethodDeps): Method[] {
  const read = (params: z.output<typeof historyParams>, call: MethodCall) =>
    deps.history.read(call.tenant, {
      ...params,
      parsed: parseSessionKey(params.sessionKey, params.agentId),
      askedKey: params.sessionKey,
    });
  return [
    defineMethod({
      name: "chat.history",
      scope: "operator.read",
      params: historyParams,
      result: historyResult,
      cost: "read",
      doc: "A page of a conversation from its end, or with a cursor what was added since.",
      handler: read,
    }),
    defineMethod({
      name: "chat.startup",
      scope: "operator.read",
      params: historyParams,
      result: historyResult,
      cost: "read",
      doc: "Everything a client needs to open a conversation: history, models and commands.",
      async handler(params, call) {
        const page = await read(params, call);
        if (page["kind"] !== undefined) return page;
        return { ...page, metadata: await deps.metadataOf(call.tenant, params.agentId), activity: [] };
      },
    }),
    defineMethod({
      name: "chat.metadata",
      scope: "operator.read",
      params: z.object({ agentId, sessionKey: sessionKey.optional() }),
      result: looseResult({ models: z.array(z.unknown()), commands: z.array(z.unknown()) }),
      cost: "read",
      doc: "Models and slash commands a conversation can use.",
      async handler(params, call) {
        const metadata = await deps.metadataOf(call.tenant, params.agentId);
        return metadata as { models: unknown[]; commands: unknown[] };
      },
    }),
    messageMethod(deps),
  ];
}

function messageMethod(deps: ChatMethodDeps): Method {
  return defineMethod({
    name: "chat.message.get",
    scope: "operator.read",
    params: z.object({
      sessionKey,
      agentId,
      messageId: z.string().min(1).max(64),
      maxChars: z.int().min(1).max(2_000_000).optional(),
    }),
    result: looseResult({ ok: z.boolean() }),
    cost: "read",
    doc: "One message in full.",
    async handler(params, call) {
      const session = await deps.sessions.find(
        call.tenant,
        parseSessionKey(params.sessionKey, params.agentId).key,
      );
      const row =
        session === undefined
          ? undefined
          : await findRow(call.tenant, transcriptOf(session), params.messageId);
      if (row === undefined) return { ok: false, unavailableReason: "not_found" };
      return { ok: true, message: toWireMessage(row) };
    },
  });
}

function sendMethods(deps: ChatMethodDeps): Method[] {
  return [
    defineMethod({
      name: "chat.send",
      scope: "operator.write",
      params: z.object({
        sessionKey,
        agentId,
        sessionId: z.string().min(1).max(64).optional(),
        message: z.string(),
        thinking: z.string().max(32).optional(),
        queueMode: z.enum(["steer", "followup", "collect", "interrupt"]).optional(),
        attachments: attachmentsSchema,
        timeoutMs: z.int().min(0).optional(),
        idempotencyKey,
      }),
      result: looseResult({ runId: z.string(), status: z.string() }),
      cost: "turn",
      doc: "Send a message; answered when it is on disk, the reply arrives as `chat` events.",
      handler: (params, call) =>
        deps.inputs.send(call, { ...params, parsed: parseSessionKey(params.sessionKey, params.agentId) }),
    }),
    defineMethod({
      name: "chat.abort",
      scope: "operator.write",
      params: z.object({ sessionKey, agentId, runId: z.string().min(1).max(256).optional() }),
      result: looseResult({ ok: z.literal(true), aborted: z.boolean(), runIds: z.array(z.string()) }),
      cost: "write",
      doc: "Stop the answer that is being written and what waits behind it, or one run.",
      async handler(params, call) {
        const { key } = parseSessionKey(params.sessionKey, params.agentId);
        const runIds = await deps.send.abort(call.tenant, key, params.runId, "rpc");
        return { ok: true as const, aborted: runIds.length > 0, runIds };
      },
    }),
  ];
}

function injectMethod(deps: ChatMethodDeps): Method {
  return defineMethod({
    name: "chat.inject",
    scope: "operator.admin",
    params: z.object({
      sessionKey,
      agentId,
      message: z.string().min(1),
      label: z.string().max(100).optional(),
    }),
    result: looseResult({ ok: z.literal(true), messageId: z.string() }),
    cost: "write",
    doc: "Add an assistant message to a conversation without asking a model.",
    async handler(params, call) {
      if (params.message.length > LIMITS.messageChars)
        throw new AppError("too_large", "The message is too long.");
      const session = await deps.sessions.get(
        call.tenant,
        parseSessionKey(params.sessionKey, params.agentId).key,
      );
      const message: AssistantMessage = {
        role: "assistant",
        content: [
          {
            type: "text",
            text: params.label === undefined ? params.message : `[${params.label}]\n\n${params.message}`,
          },
        ],
        provider: "openclaw",
        model: "gateway-injected",
        stopReason: "stop",
        timestamp: deps.clock.nowMs(),
      };
      const row = newRow(message, null);
      const added = appendRows(call.tenant, transcriptOf(session), [row]);
      const place = await deps.send.takeRoom(call.tenant, added.append.bytes.length);
      const batch = { appends: [added.append], statements: added.statements };
      const outcome = await call.tenant.db.write(batch).finally(() => place.end(0));
      if (!outcome.committed) throw new AppError("conflict", "The message was not stored.");
      const seq = Number(outcome.results[0]?.rows[0]?.["seq"] ?? 0);
      await deps.announcer.message(call.tenant, session, { ...row, seq });
      return { ok: true as const, messageId: row.id };
    },
  });
}
