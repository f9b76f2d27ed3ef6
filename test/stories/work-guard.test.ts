/** Work goes on only while whoever began it may do it: removed people, revoked tokens, demotions, streams over HTTP. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recordTenantAct } from "#src/audit/tenant-acts.ts";
import { type Auth, makeAuth } from "#src/auth/auth.ts";
import { systemClock } from "#src/kernel/clock.ts";
import type { TenantId, UserId } from "#src/kernel/ids.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import { MACHINE } from "#src/tenancy/actor.ts";
import type { Role } from "#src/tenancy/scopes.ts";
import { Tenants } from "#src/tenancy/tenants.ts";
import { endsOf, ProviderWorld, until } from "../support/provider-world.ts";
import { SocketClient } from "../support/socket-client.ts";

const SLUG = "acme";

let world: ProviderWorld;
let tenantId: TenantId;
/** Stays, and hears what becomes of the others' work. */
let witness: SocketClient;
let elsewhere: Auth;
let databases: SqliteDatabases;

beforeAll(async () => {
  world = await ProviderWorld.start({ mock: { pieceDelayMs: 2 } });
  witness = await world.client(SLUG);
  await witness.call("agents.list", {});
  await world.allow(SLUG, ["memory_append", "shell"]);
  tenantId = (await world.creel.tenant(SLUG)).id;
  // Another process over the same files: what it commits is told to nobody here.
  databases = new SqliteDatabases({
    migrationsDirectory: new URL("../../migrations", import.meta.url).pathname,
  });
  const control = databases.open("control", join(world.creel.stateDir, "control.db"), "control");
  const tenants = new Tenants(control, systemClock, recordTenantAct);
  elsewhere = makeAuth({ control, tenants, clock: systemClock, masterKey: Buffer.alloc(32) });
});

afterAll(async () => {
  await databases.close();
  await world.close();
});

interface Person {
  id: UserId;
  secret: string;
  tokenId: string;
  client: SocketClient;
}

async function person(role: Role): Promise<Person> {
  const { auth } = world.creel.app;
  const name = `p-${randomUUID().slice(0, 8)}`;
  const user = await auth.users.create({ displayName: name });
  await auth.members.add(tenantId, user.id, role, MACHINE);
  const made = { name, role, maker: { kind: "machine" }, userId: user.id } as const;
  const { secret, token } = await auth.tokens.create(tenantId, made);
  const client = new SocketClient(world.creel.wsUrl);
  await client.connect(secret);
  return { id: user.id, secret, tokenId: token.id, client };
}

/** Begin a long answer, and leave a second message waiting behind it. */
async function work(who: SocketClient): Promise<{ running: string; waiting: string; sessionKey: string }> {
  const sessionKey = `agent:main:w-${randomUUID()}`;
  const [running, waiting] = [randomUUID(), randomUUID()];
  await who.call("chat.send", { sessionKey, message: `SLOW:4000 ${running}`, idempotencyKey: running });
  await until(witness, running, "chat", (payload) => payload["state"] === "delta");
  await who.call("chat.send", { sessionKey, message: `next ${waiting}`, idempotencyKey: waiting });
  return { running, waiting, sessionKey };
}

async function expectEnded({ running, waiting, sessionKey }: Awaited<ReturnType<typeof work>>) {
  for (const key of [running, waiting]) {
    expect(await witness.terminal(key)).toMatchObject({ state: "aborted", stopReason: "access" });
    expect(endsOf(witness, key)).toHaveLength(1);
  }
  const stored = await world.stored(SLUG);
  const runs = stored.runs.filter((run) => run.session_key === sessionKey);
  expect(runs.map((run) => [run.state, run.stop_reason, run.pending_input])).toEqual([
    ["aborted", "access", null],
    ["aborted", "access", null],
  ]);
  // What the model did until then is paid for; what waited never reached it.
  expect(stored.usage.filter((row) => row.run_id === running)).toHaveLength(1);
  expect(stored.usage.filter((row) => row.run_id === waiting)).toEqual([]);
  expect(world.mock.requests.filter((one) => JSON.stringify(one.body).includes(waiting))).toEqual([]);
  expect(stored.sessions.find((session) => session.key === sessionKey)?.status).not.toBe("running");
}

describe("the work of somebody who loses their place", () => {
  it.each(["here", "in another process"])(
    "is stopped and settled when they are removed %s",
    async (where) => {
      const someone = await person("member");
      const begun = await work(someone.client);
      const { members } = where === "here" ? world.creel.app.auth : elsewhere;
      await members.remove(tenantId, someone.id, MACHINE);
      await expectEnded(begun);
      expect((await someone.client.untilClosed()).code).toBe(4001);
      const heard = someone.client.events("chat").filter((event) => event["state"] === "aborted");
      expect(heard).toEqual([]);
    },
  );

  it("is stopped when they may only read from now on", async () => {
    const someone = await person("member");
    const begun = await work(someone.client);
    await world.creel.app.auth.members.setRole(tenantId, someone.id, "readonly", MACHINE);
    await expectEnded(begun);
  });

  it("is stopped when everything of theirs here is ended", async () => {
    const someone = await person("admin");
    const begun = await work(someone.client);
    await world.creel.app.auth.credentials.signOuts.inTenant(tenantId, someone.id, MACHINE);
    await expectEnded(begun);
  });

  it("is stopped with the token that began it, and no other work of theirs", async () => {
    const someone = await person("member");
    const input = { name: "second", role: "member", maker: { kind: "machine" }, userId: someone.id } as const;
    const second = await world.creel.app.auth.tokens.create(tenantId, input);
    const client = new SocketClient(world.creel.wsUrl);
    await client.connect(second.secret);
    const kept = `agent:main:k-${randomUUID()}`;
    const keptRun = randomUUID();
    await client.call("chat.send", {
      sessionKey: kept,
      message: `SLOW:60 ${keptRun}`,
      idempotencyKey: keptRun,
    });
    const begun = await work(someone.client);
    await world.creel.app.auth.tokens.revoke(tenantId, someone.tokenId, MACHINE);
    await expectEnded(begun);
    expect(await client.terminal(keptRun)).toMatchObject({ state: "final" });
    client.close();
  });

  it("goes on when an owner becomes a member, and when a browser signs out", async () => {
    const { auth } = world.creel.app;
    await person("owner");
    const owner = await person("owner");
    const first = randomUUID();
    const sessionKey = `agent:main:o-${randomUUID()}`;
    await owner.client.call("chat.send", { sessionKey, message: `SLOW:40 ${first}`, idempotencyKey: first });
    await until(witness, first, "chat", (payload) => payload["state"] === "delta");
    await auth.members.setRole(tenantId, owner.id, "member", MACHINE);
    expect(await witness.terminal(first)).toMatchObject({ state: "final" });

    const link = await auth.links.create(owner.id, tenantId);
    const { cookie } = await auth.sessions.signIn(link, null);
    const user = await auth.authenticator.browserUser(cookie);
    const made = { tenantId, userId: owner.id, sessionId: user?.sessionId ?? "" };
    const browser = new SocketClient(world.creel.wsUrl);
    await browser.connect((await auth.socketTokens.create(made)).token);
    const second = randomUUID();
    await browser.call("chat.send", { sessionKey, message: `SLOW:40 ${second}`, idempotencyKey: second });
    await until(witness, second, "chat", (payload) => payload["state"] === "delta");
    await auth.sessions.signOut(cookie);
    expect((await browser.untilClosed()).code).toBe(4001);
    expect(await witness.terminal(second)).toMatchObject({ state: "final" });
  });

  it("asks the model nothing more after a tool was carried out (XW-14)", async () => {
    const someone = await person("member");
    const key = randomUUID();
    const sessionKey = `agent:main:t-${randomUUID()}`;
    const message = `TOOLCALL:shell {"command":"sleep 1; echo ${key}"}`;
    await someone.client.call("chat.send", { sessionKey, message, idempotencyKey: key });
    await until(witness, key, "agent", (payload) => payload["stream"] === "item");
    const before = world.mock.requests.length;
    await world.creel.app.auth.members.remove(tenantId, someone.id, MACHINE);
    expect(await witness.terminal(key)).toMatchObject({ state: "aborted", stopReason: "access" });
    expect(world.mock.requests.length).toBe(before);
  });
});

describe("a stream over HTTP", () => {
  it("is cut when its token is revoked, and the run stops", async () => {
    const someone = await person("member");
    const answer = await fetch(`${world.creel.url}/t/${SLUG}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${someone.secret}`, "content-type": "application/json" },
      body: JSON.stringify({
        model: "openclaw",
        stream: true,
        messages: [{ role: "user", content: "SLOW:4000" }],
      }),
    });
    expect(answer.status).toBe(200);
    const reader = answer.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toContain("chat.completion.chunk");
    await world.creel.app.auth.tokens.revoke(tenantId, someone.tokenId, MACHINE);
    let rest = "";
    const end = await (async () => {
      for (;;) {
        const piece = await reader?.read();
        if (piece === undefined || piece.done) return "ended";
        rest += new TextDecoder().decode(piece.value);
      }
    })().catch(() => "cut");
    expect(end).toBe("cut");
    expect(rest).not.toContain("[DONE]");
    await expect
      .poll(async () => (await world.stored(SLUG)).runs.filter((run) => run.state === "running").length)
      .toBe(0);
  });
});
