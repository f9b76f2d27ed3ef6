/**
 * Two tenants that are alike to the byte in everything that can be named (agents, session keys, run ids, file names,
 * preference keys, providers), and differ only in canaries: texts that say whose they are. Owns: planting them.
 */
import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { UserId } from "#src/kernel/ids.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { ROLES, type Role } from "#src/tenancy/scopes.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { SocketClient } from "../support/socket-client.ts";
import type { TestApp } from "../support/start-app.ts";
import { callByHttp } from "../support/world.ts";
import { plantDevice, SHARED_DEVICE } from "./devices.ts";
import { plantLook } from "./looks.ts";
import { plantPeople } from "./people.ts";

/** What both tenants have under the same name. */
export const SHARED = {
  key: "agent:main:main",
  otherKey: "agent:research:work",
  spareKey: "agent:main:spare",
  runId: "run-shared",
  agentId: "research",
  spareAgentId: "spare",
  file: "AGENTS.md",
  path: "notes/plan.md",
  preference: "theme",
  provider: "lab",
  model: "demo/demo",
  ...SHARED_DEVICE,
} as const;

/** A slug as long as the twins' that no tenant has. */
export const NOBODY = "zzzzz";

/** Things of one tenant that the other does not have, by what they are. */
export interface OnlyHere {
  key: string;
  sessionId: string;
  runId: string;
  agentId: string;
  messageId: string;
  cursor: string;
  file: string;
  path: string;
  label: string;
  text: string;
  preference: string;
  provider: string;
  model: string;
  tokenId: string;
  deviceId: string;
  requestId: string;
  setupId: string;
  memberId: string;
  invitationId: string;
  joinRequestId: string;
  offerId: string;
  lookId: string;
}

/** One of the two. */
export interface Twin {
  slug: string;
  tenant: Tenant;
  scope: TenantScope;
  /** Tokens by role; the owner's is a person's, the others are identities of their own. */
  tokens: Record<Role, string>;
  userId: UserId;
  only: OnlyHere;
  /** Every planted text. */
  canaries: string[];
  /** Ids that were made for it: nobody else may ever see them. */
  ids: string[];
}

/** A canary of a tenant; `surface` says where it was planted. Lower case and dashes, to fit any grammar. */
export function makeCanary(slug: string, surface: string): string {
  return `cnry-${slug}-${surface}-${randomBytes(6).toString("hex")}`;
}

/** Make one of the two and plant everything. */
export async function plantTwin(world: TestApp, slug: string): Promise<Twin> {
  const canaries: string[] = [];
  const canary = (surface: string) => {
    const text = makeCanary(slug, surface);
    canaries.push(text);
    return text;
  };
  const { app } = world;
  const tenant = await app.tenants.create({ slug, displayName: canary("tenant") });
  const user = await app.auth.users.create({ displayName: canary("person") });
  await app.auth.members.add(tenant.id, user.id, "owner");
  const tokens = {} as Record<Role, string>;
  const ids: string[] = [tenant.id, user.id];
  for (const role of ROLES) {
    const made = await app.auth.tokens.create(tenant.id, {
      role,
      name: canary(`token-${role}`),
      maker: { kind: "machine" },
      userId: role === "owner" ? user.id : null,
    });
    tokens[role] = made.secret;
    canaries.push(made.secret);
    ids.push(made.token.id);
  }
  const spare = await app.auth.tokens.create(tenant.id, {
    role: "readonly",
    name: canary("token-spare"),
    maker: { kind: "machine" },
  });
  ids.push(spare.token.id);
  const scope = app.door.scope(tenant);
  const bare = { slug, tenant, scope, tokens, userId: user.id, canaries, ids };
  const only = await plantContent(world, bare, canary, spare.token.id);
  return { ...bare, only };
}

type Bare = Omit<Twin, "only">;

async function plantContent(
  world: TestApp,
  twin: Bare,
  canary: (surface: string) => string,
  tokenId: string,
): Promise<OnlyHere> {
  const client = new SocketClient(world.wsUrl);
  await client.connect(twin.tokens.owner);
  await plantAgents(client, twin, canary);
  await plantFiles(twin, canary);
  await plantProviders(world, twin, canary);
  const preference = canary("preference-key");
  await client.call("users.prefs.set", {
    entries: {
      [SHARED.preference]: canary("preference"),
      [preference]: true,
      [canary("other-preference-key")]: true,
    },
  });
  const text = canary("memory");
  const devices = {
    ...{ deviceId: `device-only-${twin.slug}`, requestId: `request-only-${twin.slug}` },
    setupId: `setup-only-${twin.slug}`,
  };
  const people = await plantPeople(world, twin, canary);
  const lookId = await plantLook(world, twin.tenant, canary("operator"));
  twin.ids.push(...Object.values(people), lookId);
  for (const names of [SHARED_DEVICE, devices]) {
    plantDevice(world.stateDir, twin, names, canary(`device-${names.deviceId}`));
  }
  for (const memory of [text, canary("memory")]) await plantMemory(twin.scope, memory);
  const onlyKey = `agent:main:only-${twin.slug}`;
  const label = canary("label");
  for (const [key, runId] of [
    [SHARED.key, SHARED.runId],
    [SHARED.otherKey, `${SHARED.runId}-2`],
    [onlyKey, `run-only-${twin.slug}`],
    // Names that no probe ever says: where they are seen, they were not put by the caller.
    [`agent:main:${canary("key")}`, canary("run")],
  ] as const) {
    await client.call("chat.send", { sessionKey: key, message: canary("message"), idempotencyKey: runId });
    await client.terminal(runId);
    await client.call("chat.inject", { sessionKey: key, message: canary("injected") });
    await client.call("sessions.patch", { key, label: key === onlyKey ? label : canary("shared-label") });
  }
  await world.app.drained();
  const seen = await readBack(client, onlyKey);
  twin.ids.push(...seen.ids);
  client.close();
  return {
    ...{
      key: onlyKey,
      runId: `run-only-${twin.slug}`,
      agentId: `only-${twin.slug}`,
      label,
      text,
      preference,
    },
    ...{ file: `only-${twin.slug}.md`, path: `notes/only-${twin.slug}.md`, tokenId },
    ...{ provider: `only-${twin.slug}`, model: `only-${twin.slug}/m` },
    ...devices,
    ...people,
    lookId,
    ...{ sessionId: seen.sessionId, messageId: seen.messageId, cursor: seen.cursor },
  };
}

async function plantAgents(client: SocketClient, twin: Bare, canary: (surface: string) => string) {
  for (const name of [SHARED.agentId, SHARED.spareAgentId, `only-${twin.slug}`, canary("agent-id")]) {
    await client.call("agents.create", { name });
    await client.call("agents.update", { agentId: name, name: canary("agent") });
  }
}

async function plantFiles(twin: Bare, canary: (surface: string) => string): Promise<void> {
  for (const agentId of ["main", SHARED.agentId]) {
    const folder = twin.scope.workspaceDirectory(agentId as Parameters<TenantScope["workspaceDirectory"]>[0]);
    await mkdir(join(folder, "notes"), { recursive: true, mode: 0o700 });
    const named = [`${canary("file-name")}.md`, `notes/${canary("file-name")}.md`];
    for (const path of [
      SHARED.file,
      SHARED.path,
      `only-${twin.slug}.md`,
      `notes/only-${twin.slug}.md`,
      ...named,
    ]) {
      await writeFile(join(folder, path), canary("file"), { mode: 0o600 });
    }
  }
}

async function plantProviders(world: TestApp, twin: Bare, canary: (surface: string) => string) {
  for (const id of [SHARED.provider, `only-${twin.slug}`, canary("provider")]) {
    const body = {
      baseUrl: `https://${canary("host")}.example/v1`,
      apiKey: canary("api-key"),
      models: [{ id: "m", name: canary("model") }],
    };
    const answer = await callByHttp(
      world.url,
      `/api/providers/${id}`,
      twin.tokens.owner,
      body,
      undefined,
      "PUT",
    );
    if (answer.status !== 200) throw new Error(`the provider was not planted: ${answer.text}`);
  }
}

async function plantMemory(scope: TenantScope, text: string): Promise<void> {
  await scope.db.write({
    statements: [
      {
        sql: "INSERT INTO memories (agent_id, text, author, created_at_ms) VALUES ('main', ?, 'test', 1)",
        params: [text],
      },
      {
        sql: "INSERT INTO memories_text (rowid, text) VALUES (last_insert_rowid(), ?)",
        params: [text],
      },
    ],
  });
}

async function readBack(client: SocketClient, onlyKey: string) {
  const list = (await client.call("sessions.list", {})) as { sessions: { key: string; sessionId: string }[] };
  const history = (await client.call("chat.history", { sessionKey: onlyKey })) as {
    deltaCursor: string;
    sessionId: string;
    messages: { __openclaw: { id: string } }[];
  };
  const messages = history.messages.map((message) => message["__openclaw"].id);
  return {
    ids: [...list.sessions.map((session) => session.sessionId), ...messages, history.deltaCursor],
    sessionId: history.sessionId,
    messageId: messages[0] ?? "",
    cursor: history.deltaCursor,
  };
}

/** Put back what some methods use up, so that each can be called as often as the test likes. */
export async function replant(
  client: SocketClient,
  method: string,
  { world, mine }: { world: TestApp; mine: Twin },
): Promise<void> {
  if (method.startsWith("device.")) plantDevice(world.stateDir, mine, SHARED_DEVICE, "own device");
  if (method === "agents.delete") {
    await client.call("agents.create", { name: SHARED.spareAgentId }).catch(() => undefined);
  }
  if (method.startsWith("sessions.")) {
    await client.call("sessions.create", { key: SHARED.spareKey });
  }
}
