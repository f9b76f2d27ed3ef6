/** Commands about usage and what follows from it. Owns: `usage …`, `billing statement`, `billing reconcile`. Refuses to know: how it is counted. */
import { usageEndpoints } from "../app/outbound.ts";
import { addDays, isDay } from "../billing/calendar.ts";
import { rebuildUsage } from "../billing/drill/rebuild-usage.ts";
import { PlanBook } from "../billing/plans/plan-book.ts";
import { TenantPlans } from "../billing/plans/tenant-plans.ts";
import { Reconciler, type Reconciliation } from "../billing/reconcile/reconciler.ts";
import { UsageRollup } from "../billing/rollup.ts";
import { statementCsv } from "../billing/statements/csv.ts";
import { type Statement, showMicros } from "../billing/statements/statement.ts";
import { Statements } from "../billing/statements/statements.ts";
import { loadConfig } from "../config/load.ts";
import { systemClock } from "../kernel/clock.ts";
import { Egress } from "../kernel/egress.ts";
import { toAppError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import { makeLog } from "../kernel/log.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { type Command, type CommandCall, UsageError } from "./command.ts";
import { table } from "./output.ts";
import { type State, withState } from "./state.ts";
import { everyTenant } from "./tenants/tenant-commands.ts";

interface Rebuilt {
  tenant: string;
  changed: string[];
  /** Why it could not be read. */
  failure: string | null;
}

const rebuild: Command = {
  name: "usage rebuild",
  usage: "[--tenant S] [--check]",
  summary: "Compute roll-ups anew from the events where they differ; --check only says where.",
  options: { tenant: { type: "string" }, check: { type: "boolean" } },
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const found = await rebuildAll(state, call);
      call.out.answer(
        { tenants: found },
        found.map(({ tenant, changed, failure }) => {
          if (failure !== null) return `${tenant}: cannot be read: ${failure}`;
          if (changed.length === 0) return `${tenant}: equal, nothing changed`;
          return `${tenant}: ${call.isSet("check") ? "differs" : "rebuilt"}: ${changed.join(", ")}`;
        }),
      );
      const isBad = ({ changed, failure }: Rebuilt) =>
        failure !== null || (call.isSet("check") && changed.length > 0);
      return found.some(isBad) ? 1 : 0;
    }),
};

async function rebuildAll(state: State, call: CommandCall): Promise<Rebuilt[]> {
  const { control } = state;
  const rollup = new UsageRollup({ control, clock: systemClock, log: makeLog({ level: "warn" }) });
  const found: Rebuilt[] = [];
  const slug = call.flag("tenant");
  const chosen = slug === undefined ? everyTenant(state) : [await state.tenants.getBySlug(slug)];
  for await (const tenant of chosen) {
    const work = rebuildUsage(rollup, control, state.door.scope(tenant), call.isSet("check"));
    found.push(
      await work.then(
        ({ changed }) => ({ tenant: tenant.slug, changed, failure: null }),
        (thrown: unknown) => ({
          tenant: tenant.slug,
          changed: [],
          failure: toAppError(thrown).publicMessage,
        }),
      ),
    );
  }
  return found;
}

const statement: Command = {
  name: "billing statement",
  usage: "--tenant S [--month YYYY-MM] [--csv]",
  summary: "Print one month of a tenant, or the list of its months.",
  options: { tenant: { type: "string" }, month: { type: "string" }, csv: { type: "boolean" } },
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const scope = state.door.scope(await state.tenants.getBySlug(call.required("tenant")));
      const statements = statementsOf(state);
      const month = call.flag("month");
      if (month === undefined) {
        if (call.isSet("csv")) throw new UsageError("--csv needs --month.");
        const heads = await statements.list(scope);
        const rows = heads.map((head) => [
          ...[head.month, head.state, `${showMicros(head.totalMicros)} ${head.currency}`, String(head.lines)],
        ]);
        call.out.answer({ statements: heads }, table(["MONTH", "STATE", "TOTAL", "LINES"], rows));
        return undefined;
      }
      const found = await statements.get(scope, month);
      if (call.isSet("csv")) process.stdout.write(statementCsv(found));
      else call.out.answer(found, describe(found));
      return undefined;
    }),
};

function describe(found: Statement): string[] {
  const rows = found.lines.map((line) => [
    line.kind === "usage" ? line.kind : `${line.kind} ${line.forMonth}`,
    line.toolName === "" ? `${line.provider}/${line.model}` : line.toolName,
    ...[line.priceVersion, line.keyOwner, String(line.calls), showMicros(line.chargedMicros)],
  ]);
  return [
    `${found.tenant.slug} ${found.month} (${found.state}), days in ${found.timeZone}`,
    ...table(["KIND", "WHAT", "PRICE", "KEY", "CALLS", "CHARGED"], rows),
    `Total ${showMicros(found.totalMicros)} ${found.currency}`,
  ];
}

function statementsOf(state: State): Statements {
  const { config } = loadConfig({ env: process.env, flags: { "state-dir": state.directory } });
  const { control } = state;
  const book = new PlanBook({ control, clock: systemClock, configured: config.plans });
  const plans = new TenantPlans({ control, clock: systemClock, book, defaultPlan: config.defaultPlan });
  const currencyOf = async ({ tenantId }: TenantScope) => (await plans.of(tenantId)).plan.terms.currency;
  const planAt = ({ tenant }: TenantScope, atMs: number) => plans.nameAt(tenant, atMs);
  return new Statements({ clock: systemClock, currencyOf, planAt });
}

const reconcile: Command = {
  name: "billing reconcile",
  usage: "[--day YYYY-MM-DD] [--provider P]",
  summary:
    "Compare what was counted on a day of UTC (yesterday) with what providers counted; exit code 1 beyond tolerance.",
  options: { day: { type: "string" }, provider: { type: "string" } },
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const { config } = loadConfig({ env: process.env, flags: { "state-dir": state.directory } });
      const log = makeLog({ level: "error" });
      const egress = new Egress({ allowPrivate: config.egressAllowPrivate, log });
      const providers = usageEndpoints(config, egress);
      const chosen =
        call.flag("provider") === undefined ? Object.keys(providers) : [call.required("provider")];
      if (chosen.length === 0 || chosen.some((id) => providers[id] === undefined))
        throw new UsageError("No such provider has `usage` in models.providers; see docs/config.md.");
      const day = call.flag("day") ?? addDays(new Date(systemClock.nowMs()).toISOString().slice(0, 10), -1);
      if (!isDay(day)) throw new UsageError("--day is written YYYY-MM-DD.");
      const scopeOf = async (tenantId: TenantId) => {
        const tenant = await state.tenants.findById(tenantId);
        return tenant === undefined ? undefined : state.door.scope(tenant);
      };
      const { control } = state;
      const reconciler = new Reconciler({ control, clock: systemClock, log, providers, scopeOf });
      const found: Reconciliation[] = [];
      for (const provider of chosen) found.push(await reconciler.reconcile(provider, day));
      await egress.close();
      call.out.answer({ reconciliations: found }, found.flatMap(describeDay));
      return found.every(({ isWithin }) => isWithin) ? 0 : 1;
    }),
};

function describeDay({ provider, day, isWithin, findings }: Reconciliation): string[] {
  const verdict = findings.length === 0 ? "equal" : isWithin ? "within tolerance" : "DIFFERENT";
  const rows = findings.map(({ kind, model, ...off }) => [
    ...["", kind, model, String(off.calls)],
    ...[String(off.inputTokens), String(off.cachedTokens), String(off.outputTokens)],
  ]);
  const heading = ["", "REASON", "MODEL", "CALLS", "INPUT", "CACHED", "OUTPUT"];
  return [`${provider} ${day}: ${verdict}`, ...(rows.length === 0 ? [] : table(heading, rows))];
}

/** The commands, in the order of the help. */
export const USAGE_COMMANDS: readonly Command[] = [rebuild, statement, reconcile];
