/** Floor 5: conversations, agents, models, tools, usage. Owns: their joining. Refuses to know: chat, transports. */
import { Agents } from "../agents/agents.ts";
import { Memories } from "../agents/memory.ts";
import { ModelCatalog } from "../agents/models/catalog.ts";
import { OwnProviders } from "../agents/models/own-providers.ts";
import { Prompts } from "../agents/prompt.ts";
import { AgentRuns } from "../agents/run.ts";
import { makeMemoryTools } from "../agents/tools/memory-tools.ts";
import { makeSessionTools, type SessionReader } from "../agents/tools/session-tools.ts";
import { makeShell } from "../agents/tools/shell.ts";
import { ShellSandbox } from "../agents/tools/shell-sandbox.ts";
import { Toolbox } from "../agents/tools/tool.ts";
import { makeWebFetch } from "../agents/tools/web-fetch.ts";
import { makeWorkspaceTools } from "../agents/tools/workspace-tools.ts";
import { Workspaces } from "../agents/workspace.ts";
import type { BudgetSource } from "../billing/ledger/budget.ts";
import { Budgets } from "../billing/ledger/budgets.ts";
import { Leases } from "../billing/ledger/leases.ts";
import { Ledger } from "../billing/ledger/ledger.ts";
import { Reservations } from "../billing/ledger/reservations.ts";
import { PriceBook } from "../billing/prices.ts";
import { PriceStore } from "../billing/pricing/price-store.ts";
import { chooseTable } from "../billing/pricing/price-table.ts";
import { UsageRollup } from "../billing/rollup.ts";
import { UsageMeter } from "../billing/usage.ts";
import { DefaultModels } from "../chat/model-defaults.ts";
import type { Config } from "../config/options.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import { textOf } from "../protocol/message.ts";
import { SessionAnnouncer } from "../sessions/announce.ts";
import { parseSessionKey } from "../sessions/session-key.ts";
import { Sessions } from "../sessions/sessions.ts";
import { countRows, readRows } from "../sessions/transcript.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { agentPlaces, assertIncluded, makeAllowances } from "./allowances.ts";
import { budgetNames } from "./budget-names.ts";
import type { Ground } from "./ground.ts";

/** The assistant and what it stands on. */
export type Assistant = ReturnType<typeof makeAssistant>;

/** Floor 5: conversations, agents, models, tools, usage. */
export function makeAssistant(config: Config, clock: Clock, log: Log, ground: Ground) {
  const sessions = new Sessions(clock);
  const workspaces = new Workspaces(ground.storage.room);
  const memories = new Memories(workspaces, clock);
  const agents = new Agents(workspaces, clock, agentPlaces(ground));
  const own = new OwnProviders(ground.vault, clock);
  const platform = { providers: platformProviders(config), primary: config.defaultModel };
  const models = new ModelCatalog({ platform, own, egress: ground.egress, clock });
  const shell = new ShellSandbox(clock);
  const toolbox = new Toolbox([
    ...makeWorkspaceTools(workspaces),
    ...makeMemoryTools(memories),
    ...makeSessionTools(sessionReader(sessions)),
    makeWebFetch(ground.egress),
    makeShell(workspaces, shell),
  ]);
  const rollup = new UsageRollup({ control: ground.control, clock, log });
  const prices = new PriceBook(chooseTable(config.pricesFile, ground.plans.currency, log));
  const priceStore = new PriceStore({ control: ground.control, book: prices, clock, log });
  const budgets = new Budgets(clock);
  const ledger = new Ledger(clock);
  const allowances = makeAllowances(clock, log, ground, { agents, budgets, rollup });
  const meter = new UsageMeter({ prices, clock, log, ...allowances });
  const leases = new Leases(clock, log);
  const reservations = new Reservations({
    priceOf: ({ tenantId }, call) => prices.priceOf({ ...call, tenantId }),
    ...{ source: planLimits(ground), leases, clock },
    onRefused: (scope) => allowances.alerts.note(scope),
  });
  const prompts = new Prompts(workspaces, clock);
  const runs = new AgentRuns({
    models,
    toolbox,
    prompts,
    clock,
    log,
    assertIncluded: assertIncluded(ground),
  });
  const defaults = new DefaultModels(models, clock);
  const announcer = new SessionAnnouncer(ground.hub, clock, (scope) => defaults.of(scope));
  return {
    sessions,
    workspaces,
    memories,
    agents,
    own,
    models,
    shell,
    toolbox,
    prices,
    priceStore,
    rollup,
    meter,
    leases,
    reservations,
    ledger,
    money: {
      ledger,
      budgets,
      nameOf: budgetNames(ground, agents),
      onBudgetSet: (scope: TenantScope) => allowances.alerts.note(scope),
    },
    budgets,
    ...allowances,
    runs,
    defaults,
    announcer,
  };
}

/** Limits of the month that the tenant's plan sets. */
function planLimits({ plans }: Ground): BudgetSource {
  return {
    monthlyLimitOf: async ({ id }) => (await plans.of(id)).plan.terms.monthlyBudgetMicros,
    backgroundLimitOf: async ({ id }) => (await plans.of(id)).plan.terms.backgroundBudgetMicros,
  };
}

/** The operator's providers, with keys already looked up by config. */
function platformProviders(config: Config) {
  return Object.fromEntries(
    Object.entries(config.providers).map(([id, provider]) => {
      const { apiKey, ...rest } = provider;
      return [id, { ...rest, ...(typeof apiKey === "string" ? { apiKey } : {}) }];
    }),
  );
}

function sessionReader(sessions: Sessions): SessionReader {
  return {
    async list(scope, limit, mayReach) {
      const page = await sessions.list(scope, { limit, offset: 0 });
      const rows = page.rows.filter((row) => mayReach(row.agent_id));
      return rows.map((row) => ({
        key: row.key,
        title: row.label ?? row.title ?? row.key,
        updatedAtMs: row.updated_at_ms,
      }));
    },
    async read(scope, key, limit, mayReach) {
      const row = await sessions.find(scope, parseSessionKey(key).key);
      if (row === undefined || !mayReach(row.agent_id)) return [];
      const last = await countRows(scope, row.session_id);
      const rows = await readRows(
        scope,
        { agentId: row.agent_id, sessionId: row.session_id },
        last - limit + 1,
        last,
      );
      return rows.map((one) => ({ role: one.message.role, text: textOf(one.message) }));
    },
  };
}
