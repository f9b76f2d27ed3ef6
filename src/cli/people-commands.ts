/** Commands about people. Owns: `member …`, `invite`, `login-link`. Refuses to know: databases. */
import { checkTie } from "../auth/people/joining/invitation.ts";
import type { User } from "../auth/users.ts";
import { AppError } from "../kernel/errors.ts";
import { isUuid, type UserId } from "../kernel/ids.ts";
import { MACHINE } from "../tenancy/actor.ts";
import { isRole, ROLES, type Role } from "../tenancy/scopes.ts";
import type { Tenant } from "../tenancy/tenant.ts";
import { type Command, type CommandCall, UsageError } from "./command.ts";
import { showTime, table } from "./output.ts";
import { type State, serverUrl, withState } from "./state.ts";

const TENANT = { tenant: { type: "string" } } as const;

/** Make a command that works inside the tenant of `--tenant`. */
export function inTenant(
  command: Omit<Command, "run">,
  work: (state: State, tenant: Tenant, call: CommandCall) => Promise<undefined>,
): Command {
  return {
    ...command,
    options: { ...TENANT, ...command.options },
    run: (call) => {
      const slug = call.required("tenant");
      return withState(call.stateDir, async (state) =>
        work(state, await state.tenants.getBySlug(slug), call),
      );
    },
  };
}

/** The role that `--role` names. */
export function readRole(call: CommandCall): Role {
  const role = call.required("role");
  if (!isRole(role)) throw new UsageError(`--role is one of ${ROLES.join(", ")}; "${role}" is not.`);
  return role;
}

/** The person that `--user` names, by id or by a name that only one person has. */
export async function findPerson(state: State, text: string): Promise<User> {
  if (isUuid(text)) return state.auth.users.get(text);
  const [user, another] = await state.auth.users.listByName(text);
  if (user === undefined) throw new AppError("not_found", `There is nobody called "${text}".`);
  if (another !== undefined) {
    throw new AppError("conflict", `Several people are called "${text}"; give the id instead.`);
  }
  return user;
}

const memberAdd = inTenant(
  {
    name: "member add",
    usage: "--tenant S --role R (--name N | --user U)",
    summary: "Let a person into a tenant; --name makes a new person.",
    options: { role: { type: "string" }, name: { type: "string" }, user: { type: "string" } },
    positionals: 0,
  },
  async (state, tenant, call) => {
    const role = readRole(call);
    const [name, user] = [call.flag("name"), call.flag("user")];
    if ((name === undefined) === (user === undefined)) {
      throw new UsageError("Give either --name for a new person or --user for one who is known.");
    }
    const person =
      user === undefined
        ? await state.auth.users.create({ displayName: name ?? "" })
        : await findPerson(state, user);
    await state.auth.members.add(tenant.id, person.id, role, MACHINE);
    call.out.answer({ member: { userId: person.id, displayName: person.displayName, role } }, [
      `${person.displayName} (${person.id}) is now ${role} of ${tenant.slug}.`,
      `Next: creel login-link --tenant ${tenant.slug} --user ${person.id}`,
    ]);
    return undefined;
  },
);

const memberList = inTenant(
  {
    name: "member list",
    usage: "--tenant S",
    summary: "List the people of a tenant.",
    options: {},
    positionals: 0,
  },
  async (state, tenant, call) => {
    const members = await state.auth.members.list(tenant.id);
    call.out.answer(
      { members },
      table(
        ["NAME", "ROLE", "SINCE", "ID"],
        members.map((member) => [
          member.displayName,
          member.role,
          showTime(member.createdAtMs),
          member.userId,
        ]),
      ),
    );
    return undefined;
  },
);

const memberRole = inTenant(
  {
    name: "member role",
    usage: "--tenant S --user U --role R",
    summary: "Change what a person may do in a tenant.",
    options: { role: { type: "string" }, user: { type: "string" } },
    positionals: 0,
  },
  async (state, tenant, call) => {
    const role = readRole(call);
    const person = await findPerson(state, call.required("user"));
    await state.auth.members.setRole(tenant.id, person.id, role, MACHINE);
    call.out.answer({ member: { userId: person.id, displayName: person.displayName, role } }, [
      `${person.displayName} is now ${role} of ${tenant.slug}.`,
    ]);
    return undefined;
  },
);

const memberRemove = inTenant(
  {
    name: "member remove",
    usage: "--tenant S --user U",
    summary: "Put a person out of a tenant; their tokens there end too.",
    options: { user: { type: "string" } },
    positionals: 0,
  },
  async (state, tenant, call) => {
    const person = await findPerson(state, call.required("user"));
    await state.auth.members.remove(tenant.id, person.id, MACHINE);
    call.out.answer({ removed: { userId: person.id } }, [
      `${person.displayName} is no longer in ${tenant.slug}.`,
    ]);
    return undefined;
  },
);

const invite = inTenant(
  {
    name: "invite",
    usage: "--tenant S --role R [--email E] [--days N] [--note TEXT]",
    summary: "Print a one-time invitation link; with --email only for who proves that address.",
    options: {
      role: { type: "string" },
      email: { type: "string" },
      days: { type: "string" },
      note: { type: "string" },
    },
    positionals: 0,
  },
  async (state, tenant, call) => {
    const { secret, invitation } = await state.auth.people.invitations.create(
      tenant.id,
      {
        role: readRole(call),
        expiresInDays: Number(call.flag("days") ?? 7),
        tie: checkTie(call.flag("email"), null),
        note: call.flag("note"),
      },
      MACHINE,
    );
    const url = `${await serverUrl(call.stateDir)}/join#invite=${secret}`;
    const { id, role, tie, expiresAtMs } = invitation;
    call.out.answer({ url, invitation: { id, role, tie, expiresAtMs } }, [url]);
    return undefined;
  },
);

const loginLink: Command = {
  name: "login-link",
  usage: "[--tenant S | --operator] [--user U]",
  summary: "Print a one-time sign-in link, good for 15 minutes; for the operator unless told otherwise.",
  options: { ...TENANT, user: { type: "string" }, operator: { type: "boolean" } },
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const slug = call.flag("tenant");
      if (slug !== undefined && call.isSet("operator"))
        throw new UsageError("Give either --tenant or --operator.");
      const tenant = slug === undefined ? undefined : await state.tenants.getBySlug(slug);
      const person = await linkHolder(state, tenant, call.flag("user"));
      const secret = await state.auth.links.create(person.id, tenant?.id ?? null);
      const url = `${await serverUrl(call.stateDir)}/login#link=${secret}`;
      call.out.answer({ url, user: { id: person.id, displayName: person.displayName } }, [url]);
      return undefined;
    }),
};

/** Who the link is for: the person named, else the tenant's first owner, else the operator. Never a guess beyond that. */
async function linkHolder(
  state: State,
  tenant: Tenant | undefined,
  user: string | undefined,
): Promise<Pick<User, "id" | "displayName">> {
  if (user !== undefined) {
    const person = await findPerson(state, user);
    if (tenant !== undefined && (await state.auth.members.find(tenant.id, person.id)) === undefined) {
      throw new AppError("not_found", `${person.displayName} is not a member of ${tenant.slug}.`);
    }
    return person;
  }
  if (tenant !== undefined) {
    const owner = (await state.auth.members.list(tenant.id)).find((member) => member.role === "owner");
    if (owner === undefined) {
      throw new AppError(
        "not_found",
        `${tenant.slug} has no owner yet. First: creel member add --tenant ${tenant.slug} --name "…" --role owner`,
      );
    }
    return { id: owner.userId as UserId, displayName: owner.displayName };
  }
  const operator = await state.auth.users.findOperator();
  if (operator === undefined) {
    throw new AppError("not_found", "There is no operator yet. Start the server once: creel serve");
  }
  return operator;
}

/** The commands, in the order of the help. */
export const PEOPLE_COMMANDS: readonly Command[] = [
  memberAdd,
  memberList,
  memberRole,
  memberRemove,
  invite,
  loginLink,
];
