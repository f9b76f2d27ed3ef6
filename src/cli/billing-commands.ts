/** Commands about money. Owns: `billing verify`. Refuses to know: how lines are made. */
import { type LedgerVerdict, type Stranded, verifyLedger } from "../billing/ledger/verify.ts";
import { toAppError } from "../kernel/errors.ts";
import { runInContext } from "../tenancy/context.ts";
import type { Tenant } from "../tenancy/tenant.ts";
import type { Command, CommandCall } from "./command.ts";
import { type State, withState } from "./state.ts";
import { everyTenant } from "./tenants/tenant-commands.ts";

interface Finding {
  tenant: string;
  verdict: LedgerVerdict | null;
  /** Why it could not be read. */
  failure: string | null;
}

const verify: Command = {
  name: "billing verify",
  usage: "[--tenant S]",
  summary:
    "Check the chain of the ledger's lines and recompute balances and budgets; names the first thing wrong. Changes nothing.",
  options: { tenant: { type: "string" } },
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const findings: Finding[] = [];
      for await (const tenant of chosen(state, call)) findings.push(await look(state, tenant));
      call.out.answer({ ledgers: findings }, findings.map(describe));
      return findings.every(({ verdict }) => verdict?.ok === true) ? 0 : 1;
    }),
};

async function* chosen(state: State, call: CommandCall): AsyncGenerator<Tenant> {
  const slug = call.flag("tenant");
  if (slug === undefined) yield* everyTenant(state);
  else yield await state.tenants.getBySlug(slug);
}

function look(state: State, tenant: Tenant): Promise<Finding> {
  const context = { tenantId: tenant.id, principal: null, requestId: "billing-verify" };
  return runInContext(context, () => verifyLedger(state.door.scope(tenant), state.control)).then(
    (verdict) => ({ tenant: tenant.slug, verdict, failure: null }),
    (thrown: unknown) => ({ tenant: tenant.slug, verdict: null, failure: toAppError(thrown).publicMessage }),
  );
}

function describe({ tenant, verdict, failure }: Finding): string {
  if (verdict === null) return `${tenant}: cannot be read: ${failure ?? ""}`;
  const { problem, lines, spentMicros, reservedMicros, creditMicros, stranded } = verdict;
  if (problem === null) {
    const sums = `spent ${spentMicros}, reserved ${reservedMicros}, credit ${creditMicros} micro-units`;
    return `${tenant}: sound, ${lines} lines; ${sums}${stranded === null ? "" : `\n${warning(tenant, stranded)}`}`;
  }
  if ("message" in problem)
    return `${tenant}: NOT SOUND (${problem.kind}) at line ${problem.line}: ${problem.message}`;
  const { kind, at, stored, recomputed } = problem;
  return `${tenant}: NOT SOUND (${kind}) at ${at}: stored ${stored}, recomputed ${recomputed}`;
}

function warning(tenant: string, { calls, amountMicros, at, leaseUntilMs }: Stranded): string {
  const since = new Date(leaseUntilMs).toISOString();
  return `${tenant}: WARNING: ${amountMicros} micro-units are held back for ${calls} calls that are over, the first ${at} since ${since}; start the gateway, which gives them back within minutes, or see its log`;
}

/** The commands, in the order of the help. */
export const BILLING_COMMANDS: readonly Command[] = [verify];
