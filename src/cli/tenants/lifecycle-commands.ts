/** Commands about a tenant's life. Owns: `tenant rename` to `tenant purge`. Refuses to know: how a tenant goes. */
import { join } from "node:path";
import { TenantPurge } from "../../admin/purge/tenant-purge.ts";
import { AuditMover } from "../../audit/recording/mover.ts";
import { keepGoneUsage } from "../../billing/reconcile/gone-usage.ts";
import { UsageRollup } from "../../billing/rollup.ts";
import { systemClock } from "../../kernel/clock.ts";
import { makeLog } from "../../kernel/log.ts";
import { MACHINE } from "../../tenancy/actor.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { isSlug, type Tenant } from "../../tenancy/tenant.ts";
import { type Command, type CommandCall, UsageError } from "../command.ts";
import { showTime } from "../output.ts";
import { CONTROL_FILE, type State, withState } from "../state.ts";

const DAY_MS = 24 * 3600 * 1000;

/** A command about one tenant, named by its slug. */
function ofTenant(
  command: Omit<Command, "run" | "positionals"> & { positionals?: number },
  work: (state: State, tenant: Tenant, call: CommandCall) => Promise<readonly [Tenant, string]>,
): Command {
  return {
    positionals: 1,
    ...command,
    run: (call) =>
      withState(call.stateDir, async (state) => {
        const slug = call.positionals[0] ?? "";
        if (!isSlug(slug)) throw new UsageError(`"${slug}" is not a tenant's slug.`);
        const [tenant, line] = await work(state, await state.tenants.getBySlug(slug), call);
        call.out.answer({ tenant: { ...tenant, name: tenant.displayName } }, [line]);
        return undefined;
      }),
  };
}

const rename = ofTenant(
  {
    name: "tenant rename",
    usage: "<slug> <new-slug>",
    summary: "Give a tenant another slug; the old one goes on naming it, and nobody else ever gets it.",
    options: {},
    positionals: 2,
  },
  async (state, { id, slug }, call) => {
    const tenant = await state.tenants.rename(id, call.positionals[1] ?? "", MACHINE);
    return [tenant, `${slug} is now ${tenant.slug}; links with the old slug lead there.`];
  },
);

const suspend = ofTenant(
  {
    name: "tenant suspend",
    usage: "<slug> [--grace-days N] [--reason TEXT]",
    summary: "Serve only reads for the days of grace, then nothing; the data stays.",
    options: { "grace-days": { type: "string" }, reason: { type: "string" } },
  },
  async (state, { id }, call) => {
    const graceMs = readDays(call.flag("grace-days")) * DAY_MS;
    const reason = call.flag("reason") ?? "";
    const tenant = await state.tenants.suspend(id, { graceMs, reason }, MACHINE);
    const until = tenant.readOnlyUntilMs;
    const grace = until === null ? "" : `; it answers reads until ${showTime(until)}`;
    return [tenant, `${tenant.slug} is now suspended${grace}.`];
  },
);

const resume = ofTenant(
  { name: "tenant resume", usage: "<slug>", summary: "Serve a suspended tenant again.", options: {} },
  async (state, { id }) => {
    const tenant = await state.tenants.resume(id, MACHINE);
    return [tenant, `${tenant.slug} is now active.`];
  },
);

const remove = ofTenant(
  {
    name: "tenant delete",
    usage: "<slug> --confirm <slug> [--reason TEXT]",
    summary: "Close a tenant and remove it for good in 7 days, unless it is restored before.",
    options: { confirm: { type: "string" }, reason: { type: "string" } },
  },
  async (state, { id, slug }, call) => {
    if (call.required("confirm") !== slug)
      throw new UsageError(`--confirm must repeat the tenant's slug, ${slug}.`);
    const tenant = await state.tenants.markDeleting(id, { reason: call.flag("reason") ?? "" }, MACHINE);
    const until = showTime(tenant.deleteAfterMs);
    return [
      tenant,
      `${slug} is closed and will be removed after ${until}. Until then: creel tenant restore ${slug}`,
    ];
  },
);

const restore = ofTenant(
  {
    name: "tenant restore",
    usage: "<slug>",
    summary: "Take a deletion back, while that is possible.",
    options: {},
  },
  async (state, { id }) => {
    const tenant = await state.tenants.restore(id, MACHINE);
    return [tenant, `${tenant.slug} is back; it is ${tenant.status}.`];
  },
);

const purge: Command = {
  name: "tenant purge",
  usage: "",
  summary:
    "Remove the tenants whose deletion can no longer be taken back; a running server does it by itself.",
  options: {},
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const receipts = await makePurge(state).purgeDue(MACHINE);
      call.out.answer(
        { receipts },
        receipts.length === 0
          ? ["Nothing is due."]
          : receipts.map(
              (receipt) => `${receipt.slug} (${receipt.tenantId}) is gone. Receipt: ${receipt.signed}`,
            ),
      );
      return undefined;
    }),
};

function makePurge(state: State): TenantPurge {
  const { control, tenants, door, vault } = state;
  const shared = { control, clock: systemClock, log: makeLog({ level: "error" }) };
  return new TenantPurge({
    ...{ ...shared, tenants, door, vault },
    signer: state.auth.signer,
    foldControl: () => state.databases.release(join(state.directory, CONTROL_FILE)),
    async settle(scope: TenantScope) {
      await new UsageRollup(shared).pushDirty(scope);
      await keepGoneUsage(shared.control, scope, shared.clock.nowMs());
      await new AuditMover({ ...shared, tenants, door }).drainTenant(scope.tenantId);
    },
  });
}

function readDays(text: string | undefined): number {
  const days = text === undefined ? 0 : Number(text);
  if (Number.isInteger(days) && days >= 0 && days <= 30) return days;
  throw new UsageError("--grace-days is a number from 0 to 30.");
}

/** The commands, in the order of the help. */
export const LIFECYCLE_COMMANDS: readonly Command[] = [rename, suspend, resume, remove, restore, purge];
