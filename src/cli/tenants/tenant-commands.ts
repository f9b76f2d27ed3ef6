/** Commands about tenants. Owns: `tenant …` and `migrate`. Refuses to know: people, credentials. */
import { systemClock } from "../../kernel/clock.ts";
import { MACHINE } from "../../tenancy/actor.ts";
import { isSlug, serviceOf, type Tenant } from "../../tenancy/tenant.ts";
import type { Command, CommandCall } from "../command.ts";
import { UsageError } from "../command.ts";
import { showTime, table } from "../output.ts";
import { type State, withState } from "../state.ts";

const PAGE = 500;

function shown(tenant: Tenant) {
  return { ...tenant, name: tenant.displayName };
}

/** All tenants, page by page. */
export async function* everyTenant(state: State): AsyncGenerator<Tenant> {
  let after = "";
  for (;;) {
    const page = await state.tenants.list(PAGE, after);
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = last.slug;
  }
}

const create: Command = {
  name: "tenant create",
  usage: "--slug S [--name N] [--host H]... [--timezone Z] [--owner NAME]",
  summary: "Make a tenant, and with --owner also the person who owns it.",
  options: {
    slug: { type: "string" },
    name: { type: "string" },
    host: { type: "string", multiple: true },
    timezone: { type: "string" },
    owner: { type: "string" },
  },
  positionals: 0,
  run: (call) => withState(call.stateDir, (state) => createTenant(state, call), true),
};

async function createTenant(state: State, call: CommandCall): Promise<undefined> {
  const timeZone = call.flag("timezone");
  const wanted = { slug: call.required("slug"), displayName: call.flag("name"), hosts: call.all("host") };
  const tenant = await state.tenants.create(
    { ...wanted, ...(timeZone === undefined ? {} : { timeZone }) },
    MACHINE,
  );
  await state.door.prepare(tenant);
  const ownerName = call.flag("owner");
  const owner =
    ownerName === undefined ? undefined : await state.auth.users.create({ displayName: ownerName });
  if (owner !== undefined) await state.auth.members.add(tenant.id, owner.id, "owner", MACHINE);
  call.out.answer({ tenant: shown(tenant), ...(owner === undefined ? {} : { owner }) }, [
    `Made tenant ${tenant.slug} (${tenant.id}).`,
    ...(owner === undefined ? [] : [`${owner.displayName} (${owner.id}) owns it.`]),
    owner === undefined
      ? `Next: creel member add --tenant ${tenant.slug} --name "…" --role owner`
      : `Next: creel login-link --tenant ${tenant.slug}`,
  ]);
  return undefined;
}

/** What a tenant does now, and until when. */
function statusOf(tenant: Tenant): string {
  if (tenant.status === "deleting" && tenant.deleteAfterMs !== null)
    return `deleting, to be removed after ${showTime(tenant.deleteAfterMs)}`;
  const isGrace = serviceOf(tenant, systemClock.nowMs()) === "read_only";
  return isGrace ? `suspended, read-only until ${showTime(tenant.readOnlyUntilMs)}` : tenant.status;
}

const list: Command = {
  name: "tenant list",
  usage: "",
  summary: "List all tenants.",
  options: {},
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const tenants: Tenant[] = [];
      for await (const tenant of everyTenant(state)) tenants.push(tenant);
      call.out.answer(
        { tenants: tenants.map(shown) },
        table(
          ["SLUG", "NAME", "STATUS", "CREATED", "ID"],
          tenants.map((tenant) => [
            tenant.slug,
            tenant.displayName,
            statusOf(tenant),
            showTime(tenant.createdAtMs),
            tenant.id,
          ]),
        ),
      );
      return undefined;
    }),
};

const show: Command = {
  name: "tenant show",
  usage: "<slug>",
  summary: "Show one tenant.",
  options: {},
  positionals: 1,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const tenant = await state.tenants.getBySlug(slugOf(call));
      const members = await state.auth.members.list(tenant.id);
      const oldSlugs = await state.tenants.listOldSlugs(tenant.id);
      const storageBytes = await state.door.sizeBytes(tenant);
      const facts = { oldSlugs, storageBytes, members: members.length };
      call.out.answer({ tenant: shown(tenant), ...facts }, [
        `slug       ${tenant.slug}`,
        `name       ${tenant.displayName}`,
        `id         ${tenant.id}`,
        `old slugs  ${oldSlugs.join(" ") || "-"}`,
        `status     ${statusOf(tenant)}`,
        `plan       ${tenant.plan}`,
        `time zone  ${tenant.timeZone}`,
        `hosts      ${tenant.hosts.join(" ") || "-"}`,
        `created    ${showTime(tenant.createdAtMs)}`,
        `members    ${members.length}`,
        `storage    ${(storageBytes / 1_048_576).toFixed(1)} MiB`,
      ]);
      return undefined;
    }),
};

function slugOf(call: CommandCall): string {
  const slug = call.positionals[0] ?? "";
  if (!isSlug(slug)) throw new UsageError(`"${slug}" is not a tenant's slug.`);
  return slug;
}

const migrate: Command = {
  name: "migrate",
  usage: "",
  summary: "Bring control.db and every tenant's database to the newest form.",
  options: {},
  positionals: 0,
  run: (call) =>
    withState(
      call.stateDir,
      async (state) => {
        await state.control.find("SELECT 1");
        let count = 0;
        for await (const tenant of everyTenant(state)) {
          await state.door.prepare(tenant);
          count++;
        }
        call.out.answer({ ok: true, tenants: count }, [
          `control.db and ${count} tenant databases are current.`,
        ]);
        return undefined;
      },
      true,
    ),
};

/** The commands, in the order of the help. */
export const TENANT_COMMANDS: readonly Command[] = [create, list, show, migrate];
