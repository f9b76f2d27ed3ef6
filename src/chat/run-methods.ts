/**
 * `agent`, `agent.wait` and `tasks.*`: runs as programs see them. Owns: their declarations.
 * Refuses to know: how a message becomes a turn. Source: PROTOCOL.md 6b, 8.3.
 */
import { z } from "zod";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { textOf } from "../protocol/message.ts";
import { defineMethod, looseResult, type Method, type MethodCall } from "../protocol/methods.ts";
import { checkAgentId, parseSessionKey } from "../sessions/session-key.ts";
import type { Sessions } from "../sessions/sessions.ts";
import { findRow } from "../sessions/transcript.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { attachmentsSchema } from "./attachments.ts";
import type { ChatInputs, EndedRun } from "./inputs.ts";
import { findRun, type RunRow } from "./runs/run.ts";
import type { SendMessage } from "./send-message.ts";

/** What the methods need. */
export interface RunMethodDeps {
  inputs: ChatInputs;
  send: SendMessage;
  sessions: Sessions;
  clock: Clock;
}

/** Longest wait for a run's end, as the stock CLI's own. */
const WAIT_MS = 600_000;

/** Declare the methods. */
export function makeRunMethods(deps: RunMethodDeps): Method[] {
  return [agentMethod(deps), waitMethod(deps), ...taskMethods(deps)];
}

function agentMethod(deps: RunMethodDeps): Method {
  return defineMethod({
    name: "agent",
    scope: "operator.write",
    params: z.object({
      message: z.string().min(1),
      agentId: z.string().min(1).max(64).optional(),
      sessionKey: z.string().max(512).optional(),
      sessionId: z.string().max(64).optional(),
      model: z.string().max(256).optional(),
      provider: z.string().max(128).optional(),
      thinking: z.string().max(32).optional(),
      attachments: attachmentsSchema,
      timeout: z.int().min(0).optional(),
      idempotencyKey: z.string().min(1).max(256),
    }),
    result: looseResult({ runId: z.string(), status: z.string() }),
    cost: "turn",
    doc: "Run an agent on a message; answered twice: `accepted`, then the result.",
    async handler(params, call) {
      const parsed = await targetOf(deps, call, params);
      call.connection?.startedRun(params.idempotencyKey);
      const model =
        params.provider !== undefined && params.model !== undefined
          ? `${params.provider}/${params.model}`
          : params.model;
      const { run } = await deps.inputs.accept(call, {
        parsed,
        message: params.message,
        attachments: params.attachments,
        thinking: params.thinking,
        model: model?.includes("/") === true ? model : undefined,
        timeoutMs: params.timeout === undefined ? undefined : params.timeout * 1_000,
        queueMode: "followup",
        idempotencyKey: params.idempotencyKey,
      });
      const { run_id: runId, session_key: sessionKey, agent_id: agentId } = run;
      call.respondEarly({ runId, status: "accepted", acceptedAt: run.accepted_at_ms, sessionKey, agentId });
      const ended = await deps.inputs.wait(call.tenant, runId, WAIT_MS, call.signal);
      if (ended === undefined) return { runId, status: "timeout" };
      return agentResult(call.tenant, ended);
    },
  });
}

async function targetOf(
  deps: RunMethodDeps,
  call: MethodCall,
  params: { agentId?: string | undefined; sessionKey?: string | undefined; sessionId?: string | undefined },
) {
  if (params.sessionKey !== undefined && params.sessionKey !== "")
    return parseSessionKey(params.sessionKey, params.agentId);
  if (params.sessionId !== undefined && params.sessionId !== "") {
    const row = await deps.sessions.findBySessionId(call.tenant, params.sessionId);
    // SECURITY: a caller limited to the agent that it names must not reach another one's session by its id.
    if (row !== undefined && params.agentId !== undefined && row.agent_id !== checkAgentId(params.agentId))
      throw new AppError("invalid_request", "That session is of another agent than the one that is named.");
    if (row !== undefined) return parseSessionKey(row.key);
  }
  return parseSessionKey("main", params.agentId === undefined ? undefined : checkAgentId(params.agentId));
}

async function agentResult(scope: TenantScope, ended: EndedRun) {
  const { run, result } = ended;
  const runId = run.run_id;
  const status = result?.status ?? run.state;
  const endedAt = result?.endedAtMs ?? run.ended_at_ms ?? 0;
  if (status === "failed") {
    const summary = result?.errorMessage ?? run.error_message ?? "The run failed.";
    throw new AppError("provider_failed", summary, { payload: { runId, status: "error", summary } });
  }
  const text = result?.text ?? (await storedAnswer(scope, run));
  const durationMs = Math.max(0, endedAt - run.accepted_at_ms);
  const meta = { durationMs, ...(status === "aborted" ? { aborted: true } : {}) };
  const summary = status === "aborted" ? "aborted" : "completed";
  return {
    runId,
    status: status === "aborted" ? "timeout" : "ok",
    summary,
    result: { payloads: [{ text, mediaUrl: null }], meta },
  };
}

/** The last thing the assistant said in a run, for callers that ask again later. */
async function storedAnswer(scope: TenantScope, run: RunRow): Promise<string> {
  const row = await scope.db.find<{ id: string }>(
    "SELECT id FROM messages WHERE run_id = ? AND role = 'assistant' ORDER BY seq DESC LIMIT 1",
    [run.run_id],
  );
  if (row === undefined) return "";
  const found = await findRow(scope, { agentId: run.agent_id, sessionId: run.session_id }, row.id);
  return found === undefined ? "" : textOf(found.message);
}

function waitMethod(deps: RunMethodDeps): Method {
  return defineMethod({
    name: "agent.wait",
    scope: "operator.write",
    params: z.object({ runId: z.string().min(1).max(256), timeoutMs: z.int().min(0).optional() }),
    result: looseResult({ runId: z.string(), status: z.string() }),
    cost: "read",
    doc: "Wait for a run's end; `timeout` when it goes on, or was never there.",
    async handler(params, call) {
      const timeoutMs = Math.min(params.timeoutMs ?? 30_000, WAIT_MS);
      const ended = await deps.inputs.wait(call.tenant, params.runId, timeoutMs, call.signal);
      if (ended === undefined) return { runId: params.runId, status: "timeout" };
      const { run, result } = ended;
      const state = result?.status ?? run.state;
      const status = state === "done" ? "ok" : state === "failed" ? "error" : "timeout";
      const error = result?.errorMessage ?? run.error_message ?? undefined;
      const endedAt = result?.endedAtMs ?? run.ended_at_ms;
      const facts = {
        startedAt: run.started_at_ms,
        endedAt,
        stopReason: result?.stopReason ?? run.stop_reason,
      };
      return { runId: run.run_id, status, ...facts, ...(error === undefined ? {} : { error }) };
    },
  });
}

function taskMethods(deps: RunMethodDeps): Method[] {
  const taskId = z.string().min(1).max(256);
  const taskStatus = z.enum(["queued", "running", "completed", "failed", "cancelled", "timed_out"]);
  return [
    defineMethod({
      name: "tasks.list",
      scope: "operator.read",
      params: z.object({
        agentId: z.string().max(64).optional(),
        sessionKey: z.string().max(512).optional(),
        status: z.union([taskStatus, z.array(taskStatus)]).optional(),
        limit: z.int().min(1).max(500).optional(),
      }),
      result: looseResult({ tasks: z.array(looseResult({ id: z.string(), status: z.string() })) }),
      cost: "read",
      doc: "Background work, newest first: runs that programs or automations began.",
      async handler(params, call) {
        const agent = params.agentId ?? null;
        const key = params.sessionKey === undefined ? null : parseSessionKey(params.sessionKey).key;
        const states = params.status === undefined ? null : JSON.stringify(statesOf([params.status].flat()));
        const rows = await call.tenant.db.list<RunRow>(
          `SELECT * FROM runs WHERE channel = 'api' AND (? IS NULL OR agent_id = ?) AND (? IS NULL OR session_key = ?)
            AND (? IS NULL OR state IN (SELECT value FROM json_each(?))) ORDER BY accepted_at_ms DESC LIMIT ?`,
          [agent, agent, key, key, states, states, params.limit ?? 50],
        );
        return { tasks: rows.map(toTask) };
      },
    }),
    defineMethod({
      name: "tasks.get",
      scope: "operator.read",
      params: z.object({ taskId }),
      result: looseResult({ task: looseResult({ id: z.string(), status: z.string() }) }),
      cost: "read",
      doc: "One piece of background work.",
      async handler(params, call) {
        const run = await findRun(call.tenant, params.taskId);
        if (run === undefined) throw new AppError("not_found", "There is no such task.");
        return { task: toTask(run) };
      },
    }),
    defineMethod({
      name: "tasks.cancel",
      scope: "operator.write",
      params: z.object({ taskId, reason: z.string().max(500).optional() }),
      result: looseResult({ found: z.boolean(), cancelled: z.boolean() }),
      cost: "write",
      doc: "Stop a piece of background work.",
      async handler(params, call) {
        const run = await findRun(call.tenant, params.taskId);
        if (run === undefined) return { found: false, cancelled: false };
        const stopped = await deps.send.abort(call.tenant, run.session_key, run.run_id, "cancel");
        return { found: true, cancelled: stopped.includes(run.run_id), task: toTask(run) };
      },
    }),
  ];
}

const TASK_STATUS = {
  queued: "queued",
  running: "running",
  done: "completed",
  failed: "failed",
  aborted: "cancelled",
} as const;

function statesOf(statuses: readonly string[]): string[] {
  return Object.entries(TASK_STATUS).flatMap(([state, status]) => (statuses.includes(status) ? [state] : []));
}

function toTask(run: RunRow) {
  return {
    id: run.run_id,
    taskId: run.run_id,
    kind: "agent_run",
    runtime: "gateway",
    status: TASK_STATUS[run.state],
    agentId: run.agent_id,
    sessionKey: run.session_key,
    runId: run.run_id,
    createdAt: run.accepted_at_ms,
    updatedAt: run.ended_at_ms ?? run.started_at_ms ?? run.accepted_at_ms,
    ...(run.started_at_ms === null ? {} : { startedAt: run.started_at_ms }),
    ...(run.ended_at_ms === null ? {} : { endedAt: run.ended_at_ms }),
    ...(run.error_message === null ? {} : { error: run.error_message }),
  };
}
