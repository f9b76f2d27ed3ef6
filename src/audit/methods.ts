/**
 * `audit.*` over the protocol. Owns: the declared methods. Refuses to know: how rows are chained.
 * `audit.list` and `audit.activity.list` are OpenClaw's and tell what agents did; `audit.log.list` is our own and tells
 * who did what to the tenant.
 */
import { z } from "zod";
import { AppError } from "../kernel/errors.ts";
import { defineMethod, looseResult, type Method } from "../protocol/methods.ts";
import { type ActivityQuery, listActivity } from "./activity.ts";
import { type AuditLog, toWireRow } from "./log.ts";
import type { AuditMover } from "./recording/mover.ts";

/** What the methods need. */
export interface AuditMethodDeps {
  log: AuditLog;
  mover: AuditMover;
}

const LIMIT = 100;
const STATUSES = ["started", "succeeded", "failed", "cancelled", "timed_out", "blocked", "unknown"] as const;

const activityParams = {
  agentId: z.string().min(1).optional(),
  sessionKey: z.string().min(1).optional(),
  runId: z.string().min(1).optional(),
  status: z.enum(STATUSES).optional(),
  after: z.int().min(0).optional(),
  before: z.int().min(0).optional(),
  limit: z.int().min(1).max(500).optional(),
  cursor: z.string().min(1).optional(),
};

const events = z.array(looseResult({ sequence: z.int() }));

/** Declare the methods. */
export function makeAuditMethods(deps: AuditMethodDeps): Method[] {
  return [listMethod(), activityMethod(), logMethod(deps)];
}

function listMethod(): Method {
  return defineMethod({
    name: "audit.list",
    scope: "operator.read",
    params: z.object({ ...activityParams, kind: z.enum(["agent_run", "tool_action"]).optional() }),
    result: looseResult({ events }),
    cost: "read",
    doc: "Beginnings and ends of runs and tool calls, newest first. `after` and `before` are times.",
    async handler(params, call) {
      const page = await listActivity(call.tenant, queryOf(params));
      return { events: page.events, ...cursorOf(page.next) };
    },
  });
}

function activityMethod(): Method {
  return defineMethod({
    name: "audit.activity.list",
    scope: "operator.read",
    params: z.object({
      ...activityParams,
      kind: z.enum(["agent_run", "tool_action", "message"]).optional(),
      direction: z.enum(["inbound", "outbound"]).optional(),
      channel: z.string().min(1).optional(),
    }),
    result: looseResult({ events }),
    cost: "read",
    doc: "The same as versioned events. Messages of channels would be here too; none are recorded yet.",
    async handler(params, call) {
      const { kind, direction, channel } = params;
      // Only events of messages have a direction and a channel.
      if (kind === "message" || direction !== undefined || channel !== undefined) return { events: [] };
      const page = await listActivity(call.tenant, queryOf({ ...params, kind }));
      const versioned = page.events.map((event) => ({
        eventType: event["kind"],
        schemaVersion: 1,
        ...event,
      }));
      return { events: versioned, ...cursorOf(page.next) };
    },
  });
}

function logMethod(deps: AuditMethodDeps): Method {
  return defineMethod({
    name: "audit.log.list",
    scope: "operator.admin",
    params: z.object({
      after: z.int().min(0).optional(),
      before: z.int().min(0).optional(),
      action: z.string().min(1).max(100).optional(),
      actor: z.string().min(1).max(200).optional(),
      target: z.string().min(1).max(200).optional(),
      outcome: z.enum(["ok", "denied", "failed"]).optional(),
      from: z.int().min(0).optional(),
      to: z.int().min(0).optional(),
      limit: z.int().min(1).max(500).optional(),
    }),
    result: looseResult({ events: z.array(looseResult({ seq: z.int() })), next: z.string().nullable() }),
    cost: "read",
    doc: "The tenant's audit log, newest first: who did what. `after` and `before` are row numbers, `from` and `to` times.",
    async handler({ limit, ...filter }, call) {
      await deps.mover.drainTenant(call.tenant.tenantId);
      const page = await deps.log.list(call.tenant, filter, limit ?? LIMIT);
      return { events: page.rows.map(toWireRow), next: page.next === null ? null : String(page.next) };
    },
  });
}

function queryOf(params: Omit<ActivityQuery, "limit" | "below"> & { limit?: number; cursor?: string }) {
  const { cursor, limit, ...rest } = params;
  if (cursor !== undefined && !/^\d{1,15}$/.test(cursor))
    throw new AppError("invalid_request", "The cursor is not one of ours; begin without one.");
  return { ...rest, limit: limit ?? LIMIT, below: cursor === undefined ? undefined : Number(cursor) };
}

function cursorOf(next: number | undefined): { nextCursor?: string } {
  return next === undefined ? {} : { nextCursor: String(next) };
}
