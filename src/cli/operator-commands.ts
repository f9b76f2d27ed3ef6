/** Commands about who runs the platform. Owns: `operator …`. Refuses to know: tenants. */
import type { UserId } from "../kernel/ids.ts";
import { isUuid } from "../kernel/ids.ts";
import { MACHINE } from "../tenancy/actor.ts";
import { type Command, type CommandCall, UsageError } from "./command.ts";
import { showTime, table } from "./output.ts";
import { findPerson } from "./people-commands.ts";
import { type State, serverUrl, withState } from "./state.ts";

const USER = { user: { type: "string" } } as const;

const add: Command = {
  name: "operator add",
  usage: "(--user U | --name N)",
  summary: "Make a person an operator of the platform; --name makes a new person and prints a sign-in link.",
  options: { ...USER, name: { type: "string" } },
  positionals: 0,
  run: (call) => withState(call.stateDir, (state) => addOperator(state, call)),
};

async function addOperator(state: State, call: CommandCall): Promise<undefined> {
  const [name, user] = [call.flag("name"), call.flag("user")];
  if ((name === undefined) === (user === undefined))
    throw new UsageError("Give either --user for one who is known or --name for a new person.");
  const person =
    user === undefined
      ? await state.auth.users.create({ displayName: name ?? "" })
      : await findPerson(state, user);
  await state.auth.operators.add(person.id, MACHINE);
  const url =
    user === undefined
      ? `${await serverUrl(call.stateDir)}/login#link=${await state.auth.links.create(person.id)}`
      : null;
  const operator = { userId: person.id, displayName: person.displayName };
  call.out.answer({ operator, ...(url === null ? {} : { url }) }, [
    `${person.displayName} (${person.id}) is now an operator.`,
    ...(url === null ? [] : ["Sign in within 15 minutes, once:", url]),
  ]);
  return undefined;
}

const list: Command = {
  name: "operator list",
  usage: "",
  summary: "List the platform's operators.",
  options: {},
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const operators = await state.auth.operators.list();
      call.out.answer(
        { operators },
        table(
          ["NAME", "SINCE", "ID"],
          operators.map((one) => [one.displayName, showTime(one.sinceMs), one.userId]),
        ),
      );
      return undefined;
    }),
};

const remove: Command = {
  name: "operator remove",
  usage: "--user U",
  summary: "End that a person is an operator; the last one stays.",
  options: USER,
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const text = call.required("user");
      const userId = isUuid(text) ? (text as UserId) : (await findPerson(state, text)).id;
      await state.auth.operators.remove(userId, MACHINE);
      call.out.answer({ removed: { userId } }, ["That person is no longer an operator."]);
      return undefined;
    }),
};

/** The commands, in the order of the help. */
export const OPERATOR_COMMANDS: readonly Command[] = [add, list, remove];
