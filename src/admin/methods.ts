/**
 * Methods about the gateway itself that a tenant may call, and lists of things no tenant has yet. Owns: their
 * declarations. Refuses to know: other tenants, the host: nothing here shows a path, an address or a neighbour.
 */
import { z } from "zod";
import type { Clock } from "../kernel/clock.ts";
import { defineMethod, looseResult, type Method } from "../protocol/methods.ts";
import type { TenantScope } from "../tenancy/scoped.ts";

/** What the methods need. */
export interface AdminMethodDeps {
  clock: Clock;
  /** `provider/model` that the tenant's agents use by default. */
  defaultModelOf(scope: TenantScope): Promise<string>;
}

/** Declare the methods. */
export function makeAdminMethods(deps: AdminMethodDeps): Method[] {
  return [configMethod(deps), channelsMethod(deps), logsMethod(), ...cronMethods(), ...approvalMethods()];
}

function configMethod(deps: AdminMethodDeps): Method {
  return defineMethod({
    name: "config.get",
    scope: "operator.read",
    params: z.object({}),
    result: looseResult({ exists: z.boolean(), valid: z.boolean(), config: looseResult({}) }),
    cost: "read",
    doc: "A synthetic configuration in OpenClaw's form: what this tenant's agents use, never the host's own file.",
    async handler(_params, call) {
      const primary = await deps.defaultModelOf(call.tenant);
      const config = { agents: { defaults: { model: { primary } } } };
      const copies = {
        parsed: config,
        config,
        resolved: config,
        sourceConfig: config,
        runtimeConfig: config,
      };
      const notes = { issues: [], warnings: [], legacyIssues: [] };
      return {
        path: "(managed)",
        exists: true,
        raw: JSON.stringify(config),
        ...copies,
        valid: true,
        ...notes,
        hash: "managed",
      };
    },
  });
}

function channelsMethod(deps: AdminMethodDeps): Method {
  return defineMethod({
    name: "channels.status",
    scope: "operator.read",
    params: z.object({ probe: z.boolean().optional(), timeoutMs: z.int().min(0).optional() }),
    result: looseResult({ channelOrder: z.array(z.string()) }),
    cost: "free",
    doc: "Connected messaging channels; none yet.",
    handler: async () => ({
      ts: deps.clock.nowMs(),
      channelOrder: [],
      channelLabels: {},
      channels: {},
      channelAccounts: {},
      channelDefaultAccountId: {},
    }),
  });
}

function logsMethod(): Method {
  return defineMethod({
    name: "logs.tail",
    scope: "operator.read",
    params: z.object({ cursor: z.int().min(0).optional(), limit: z.int().min(1).max(5_000).optional() }),
    result: looseResult({ lines: z.array(z.string()) }),
    cost: "free",
    doc: "The tenant's own log lines. The process's log is the operator's and is not shown.",
    handler: async () => ({
      file: "(managed)",
      cursor: 0,
      size: 0,
      lines: [],
      truncated: false,
      reset: false,
    }),
  });
}

function cronMethods(): Method[] {
  return [
    defineMethod({
      name: "cron.list",
      scope: "operator.read",
      params: z.object({ limit: z.int().min(1).optional(), offset: z.int().min(0).optional() }),
      result: looseResult({ jobs: z.array(z.unknown()) }),
      cost: "free",
      doc: "Automations; none yet.",
      handler: async () => ({ jobs: [], total: 0, offset: 0, limit: 0, hasMore: false, nextOffset: null }),
    }),
    defineMethod({
      name: "cron.status",
      scope: "operator.read",
      params: z.object({}),
      result: looseResult({ enabled: z.boolean(), jobs: z.number() }),
      cost: "free",
      doc: "Whether automations run, and how many there are.",
      handler: async () => ({
        enabled: false,
        triggersEnabled: false,
        storePath: "(managed)",
        jobs: 0,
        nextWakeAtMs: null,
      }),
    }),
  ];
}

function approvalMethods(): Method[] {
  const empty = (name: string, doc: string) =>
    defineMethod({
      name,
      scope: "operator.approvals",
      params: z.object({}),
      result: z.array(z.unknown()),
      cost: "free",
      doc,
      handler: async () => [],
    });
  return [
    defineMethod({
      name: "question.list",
      scope: "operator.questions",
      params: z.object({}),
      result: looseResult({ questions: z.array(z.unknown()) }),
      cost: "free",
      doc: "Questions agents wait to have answered; none yet.",
      handler: async () => ({ questions: [] }),
    }),
    empty("exec.approval.list", "Commands that wait for approval; none yet."),
    empty("plugin.approval.list", "Plugin actions that wait for approval; none yet."),
  ];
}
