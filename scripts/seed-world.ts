/**
 * A small world for development: two tenants, some people, some conversations. Owns: who and what is in it.
 * Refuses to know: how things are stored; conversations go through the same HTTP methods that clients use.
 */
import { makeApp } from "#src/app.ts";
import { loadConfig } from "#src/config/load.ts";
import { SYSTEM } from "#src/tenancy/actor.ts";
import type { Role } from "#src/tenancy/scopes.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";

type App = Awaited<ReturnType<typeof makeApp>>;

interface Seed {
  slug: string;
  name: string;
  timeZone: string;
  people: { name: string; role: Role }[];
  /** Each conversation: who speaks, a label, what they say; the built-in model answers. */
  conversations: { by: string; label?: string; pinned?: boolean; says: string[] }[];
}

/** The first tenant, `home`, belongs to the operator as after any first start; these are added to it or beside it. */
const WORLD: readonly Seed[] = [
  {
    slug: "home",
    name: "Home",
    timeZone: "UTC",
    people: [
      { name: "Mei Chen", role: "admin" },
      { name: "Tom Baker", role: "member" },
    ],
    conversations: [
      {
        by: "Mei Chen",
        label: "How answers look",
        pinned: true,
        says: ["hello", "show me markdown", "and code"],
      },
      { by: "Mei Chen", says: ["列出文件", "用量是怎么计算的？"] },
      { by: "Tom Baker", says: ["list files", "a long story please"] },
    ],
  },
  {
    slug: "acme",
    name: "Acme Ltd",
    timeZone: "Asia/Shanghai",
    people: [
      { name: "Ada Lovelace", role: "owner" },
      { name: "Grace Hopper", role: "member" },
      { name: "Rui Santos", role: "readonly" },
    ],
    conversations: [
      {
        by: "Ada Lovelace",
        label: "Connecting a model",
        says: ["which model can I use?", "what does it cost?"],
      },
      { by: "Grace Hopper", says: ["how are tenants kept apart?"] },
    ],
  },
];

/** Everybody's name, and the one they have at the provider they sign in with in development. */
export function listSeedPeople(): { name: string; subject: string }[] {
  const names = ["Operator", ...WORLD.flatMap((seed) => seed.people.map(({ name }) => name))];
  return names.map((name) => ({ name, subject: name.toLowerCase().replaceAll(" ", "-") }));
}

/**
 * Make the world in an empty state folder.
 * @param signIn the provider at which everybody is known too
 */
export async function seedWorld(
  stateDir: string,
  signIn?: { provider: string; issuer: string },
): Promise<void> {
  const { config } = loadConfig({
    env: {},
    flags: { "state-dir": stateDir, port: "0", "log-level": "error" },
  });
  const app = await makeApp({ config, uiDirectory: null });
  try {
    const url = await app.listen();
    for (const seed of WORLD) await seedTenant(app, url, seed);
    if (signIn !== undefined) await seedIdentities(app, signIn);
  } finally {
    await app.close();
  }
}

async function seedTenant(app: App, url: string, seed: Seed): Promise<void> {
  const tenant =
    (await app.tenants.findBySlug(seed.slug)) ??
    (await app.tenants.create({ slug: seed.slug, displayName: seed.name, timeZone: seed.timeZone }));
  await app.door.prepare(tenant);
  const tokens = new Map<string, string>();
  for (const person of seed.people) tokens.set(person.name, await seedPerson(app, tenant, person));
  for (const [index, conversation] of seed.conversations.entries()) {
    const token = tokens.get(conversation.by) ?? "";
    const sessionKey = `agent:main:seed-${index + 1}`;
    for (const [turn, message] of conversation.says.entries()) {
      await rpc(url, token, "agent", {
        message,
        sessionKey,
        idempotencyKey: `seed-${index + 1}-${turn + 1}`,
      });
    }
    if (conversation.label === undefined) continue;
    const { label, pinned } = conversation;
    await rpc(url, token, "sessions.patch", { key: sessionKey, label, pinned: pinned === true });
  }
}

/** Make a person and let them in; returns a token that acts as them. */
async function seedPerson(app: App, tenant: Tenant, person: { name: string; role: Role }): Promise<string> {
  const { id } = await app.auth.users.create({ displayName: person.name });
  await app.auth.members.add(tenant.id, id, person.role);
  const made = await app.auth.tokens.create(tenant.id, {
    name: `seed ${person.name}`,
    role: person.role,
    maker: { kind: "machine" },
    userId: id,
    expiresInMs: 3_600_000,
  });
  return made.secret;
}

/** Make everybody known at a provider, as if they had signed in with it once. */
async function seedIdentities(app: App, signIn: { provider: string; issuer: string }): Promise<void> {
  const { users, oidc } = app.auth;
  const source = { realm: "", ...signIn } as const;
  for (const { name, subject } of listSeedPeople()) {
    const [person] = name === "Operator" ? [app.firstRun.user] : await users.listByName(name);
    if (person === undefined) continue;
    const facts = {
      subject,
      upstream: null,
      externalIds: [],
      displayName: name,
      email: null,
      emailVerified: false,
    };
    await oidc.identities.link(person.id, source, facts, SYSTEM, []);
  }
}

async function rpc(url: string, token: string, method: string, params: unknown): Promise<void> {
  const response = await fetch(`${url}/rpc/${method}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(params),
  });
  if (!response.ok)
    throw new Error(`seeding: ${method} answered ${response.status} ${await response.text()}`);
}
