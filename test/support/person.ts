/**
 * A person with a browser, over real HTTP: signed in by a link, with a cookie, as our own page sends requests.
 * Owns: making them and their requests. Refuses to know: what is asserted.
 */
import type { UserId } from "#src/kernel/ids.ts";
import type { Role } from "#src/tenancy/scopes.ts";
import type { TestApp } from "./start-app.ts";

/** An answer, its body parsed when it is JSON. */
export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: the tests say what they expect of it
  body: any;
  text: string;
  /** Error code of the answer, if any. */
  code: string | undefined;
  headers: Headers;
}

/** Somebody signed in. */
export interface Person {
  userId: UserId;
  name: string;
  /** `name=value` */
  cookie: string;
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Sign in once more: a new session, just proved. */
  signInAgain(): Promise<void>;
}

let addresses = 0;

/** An address of its own, for apps that trust the loopback proxy: attempts of one do not slow the others down. */
export function newAddress(): Record<string, string> {
  addresses++;
  return { "x-forwarded-for": `100.64.${Math.floor(addresses / 250)}.${(addresses % 250) + 1}` };
}

/** One request as our page sends it; without a cookie as a stranger. */
export async function send(
  url: string,
  method: string,
  path: string,
  options: { body?: unknown; cookie?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { body, cookie, headers } = options;
  const answer = await fetch(`${url}${path}`, {
    method,
    redirect: "manual",
    headers: {
      origin: url,
      ...(cookie === undefined ? {} : { cookie }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  const isJson = answer.headers.get("content-type")?.startsWith("application/json") === true;
  const parsed = isJson && text !== "" ? JSON.parse(text) : undefined;
  return { status: answer.status, body: parsed, text, code: parsed?.error?.code, headers: answer.headers };
}

async function cookieOf(world: TestApp, userId: UserId, headers: Record<string, string>): Promise<string> {
  const token = await world.app.auth.links.create(userId);
  const answer = await send(world.url, "POST", "/auth/link", { body: { token }, headers });
  if (answer.status !== 200) throw new Error(`not signed in: ${answer.text}`);
  return (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
}

/** Make a person and sign them in; with `slug` also a member of that tenant, which is made if need be. */
export async function makePerson(
  world: TestApp,
  name: string,
  slug?: string,
  role: Role = "member",
): Promise<Person> {
  const user = await world.app.auth.users.create({ displayName: name });
  if (slug !== undefined) await world.app.auth.members.add((await world.tenant(slug)).id, user.id, role);
  const address = newAddress();
  let cookie = await cookieOf(world, user.id, address);
  return {
    userId: user.id,
    name,
    get cookie() {
      return cookie;
    },
    send: (method, path, body, headers) =>
      send(world.url, method, path, { body, cookie, headers: { ...address, ...headers } }),
    async signInAgain() {
      cookie = await cookieOf(world, user.id, address);
    },
  };
}

/** Records of a tenant's log, oldest first, after everything handed in was moved there. */
export async function auditOf(
  owner: Person,
  slug: string,
): Promise<{ action: string; outcome: string; actor: unknown; target: unknown; details: unknown }[]> {
  const answer = await owner.send("GET", `/t/${slug}/api/audit?limit=200`);
  if (answer.status !== 200) throw new Error(`no log: ${answer.text}`);
  return [...answer.body.events].reverse();
}
