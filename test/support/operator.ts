/** An operator with a browser. Owns: making one who is a member of nothing. Refuses to know: what is asserted. */
import { MACHINE } from "#src/tenancy/actor.ts";
import { makePerson, type Person } from "./person.ts";
import type { TestApp } from "./start-app.ts";

/** Make an operator and sign them in, just now. */
export async function makeOperator(world: TestApp, name = "Odile Operator"): Promise<Person> {
  const person = await makePerson(world, name);
  await world.app.auth.operators.add(person.userId, MACHINE);
  return person;
}

/** Open a browser's socket in a tenant as the person's page does; returns the connected client's token. */
export async function socketToken(person: Person, slug: string): Promise<string> {
  const answer = await person.send("POST", `/t/${slug}/auth/socket-token`);
  if (answer.status !== 200) throw new Error(`no socket token: ${answer.text}`);
  return answer.body.token as string;
}
