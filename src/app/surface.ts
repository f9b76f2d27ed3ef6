/** What the outside may call: every method and route, by name. Owns: the list. Refuses to know: how calls travel. */
import { makeAdminMethods } from "../admin/methods.ts";
import { COMMANDS } from "../agents/commands.ts";
import { makeAgentMethods } from "../agents/methods.ts";
import { toChoice } from "../agents/models/methods.ts";
import { makeAgentRoutes } from "../agents/routes.ts";
import type { Audit } from "../audit/audit.ts";
import { makeAuditMethods } from "../audit/methods.ts";
import { type Auth, makeAuth } from "../auth/auth.ts";
import { makeLedgerMethods, makeLedgerRoutes } from "../billing/ledger/surface.ts";
import { makeBillingMethods } from "../billing/methods.ts";
import type { OverviewDeps } from "../billing/plans/overview.ts";
import { makePlanMethods, makePlanRoutes } from "../billing/plans/surface.ts";
import { noteUsageEndpoint } from "../billing/reconcile/usage-endpoints.ts";
import { makeChatMethods } from "../chat/methods.ts";
import { makeOpenAiRoutes } from "../chat/openai-routes.ts";
import { makeRunMethods } from "../chat/run-methods.ts";
import { makeSessionRunMethods } from "../chat/session-methods.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { makeSystemMethods } from "../gateway/system-methods.ts";
import { type Clock, systemClock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { VERSION } from "../kernel/version.ts";
import { type Method, MethodRegistry } from "../protocol/methods.ts";
import type { Route } from "../protocol/routes.ts";
import { makeSessionMethods } from "../sessions/methods.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { Assistant } from "./assistant.ts";
import type { Chat } from "./chat.ts";
import type { Ground } from "./ground.ts";

/** All methods of the protocol, in groups. */
export function makeMethods(
  clock: Clock,
  ground: { auth: Pick<Auth, "methods">; audit: Pick<Audit, "methods"> },
  assistant: Assistant,
  chat: Chat,
  overview: OverviewDeps,
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
    makeBillingMethods({
      clock,
      nameOf: (scope, scopeId) => assistant.money.nameOf(scope, { scope: "user", scopeId }),
    }),
    makePlanMethods(overview),
    makeLedgerMethods(assistant.money),
    ground.auth.methods,
    ground.audit.methods,
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

/** All HTTP routes that are not the gateway's own. */
export function makeRoutes(
  clock: Clock,
  ground: Ground,
  assistant: Assistant,
  chat: Chat,
  overview: OverviewDeps,
): Route[] {
  const { agents, models, own } = assistant;
  const namesOf = async (scope: TenantScope) => ({
    agentIds: (await agents.list(scope)).map((agent) => agent.id),
    models: await chat.modelsOf(scope),
  });
  return [
    ...ground.auth.routes,
    ...ground.audit.routes,
    ...makeAgentRoutes({
      ...{ models, own },
      noteUsage: ({ tenantId }, id, origin) =>
        noteUsageEndpoint(ground.control, tenantId, id, origin, clock.nowMs()),
    }),
    ...makePlanRoutes(overview),
    ...makeLedgerRoutes(assistant.money),
    ...makeOpenAiRoutes({ inputs: chat.inputs, send: chat.send, hub: ground.hub, clock, namesOf }),
  ];
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
  const audit = { methods: makeAuditMethods(undeclared) };
  const groups = makeMethods(
    systemClock,
    { auth, audit },
    undeclared,
    undeclared,
    undeclared,
    () => undeclared,
  );
  return new MethodRegistry(groups).list();
}
