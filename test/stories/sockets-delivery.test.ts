/** Who hears what (PROTOCOL.md 7.5), and when hearing ends: each kind of connection during one run with a tool. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { SteeredClock } from "../support/world.ts";

const KEY = "agent:main:watched";
const OTHER = "agent:main:other";
const clock = new SteeredClock();
let world: TestApp;

beforeAll(async () => {
  world = await startApp({ app: { clock } });
});

afterAll(() => world.close());

async function listen(
  overrides: Record<string, unknown> = {},
  subscriptions: readonly [string, object][] = [],
  role: "owner" | "member" | "readonly" = "owner",
): Promise<SocketClient> {
  const client = new SocketClient(world.wsUrl);
  await client.connect(await world.token("acme", role), overrides);
  for (const [method, params] of subscriptions) await client.call(method, params);
  client.frames.length = 0;
  return client;
}

/** Which sorts of events came, for both sessions. */
function heard(client: SocketClient) {
  const events = client.frames.filter((frame) => frame.type === "event");
  const sorts = events.map((frame) => {
    const { stream, sessionKey } = frame["payload"] as { stream?: string; sessionKey?: string };
    const name = frame["event"] === "agent" && stream === "tool" ? "agent tool" : String(frame["event"]);
    return `${name} ${sessionKey === KEY ? "watched" : "other"}`;
  });
  return [...new Set(sorts)].sort();
}

const BOTH = (sorts: readonly string[]) =>
  sorts.flatMap((sort) => [`${sort} other`, `${sort} watched`]).sort();
const WATCHED = (sorts: readonly string[]) => sorts.map((sort) => `${sort} watched`);

describe("during a run with a tool, in a session that is watched and in another", () => {
  const kinds: Record<string, { client: () => Promise<SocketClient>; hears: string[] }> = {
    "a connection that subscribed to nothing": { client: () => listen(), hears: BOTH(["agent", "chat"]) },
    "one that may only read": {
      client: () => listen({}, [], "readonly"),
      hears: BOTH(["agent", "chat"]),
    },
    "one that follows all sessions": {
      client: () => listen({}, [["sessions.subscribe", {}]]),
      hears: BOTH(["agent", "chat", "session.message", "session.tool", "sessions.changed"]),
    },
    "one that did and does no more": {
      client: () =>
        listen({}, [
          ["sessions.subscribe", {}],
          ["sessions.unsubscribe", {}],
        ]),
      hears: BOTH(["agent", "chat"]),
    },
    "one that follows one session's messages": {
      client: () => listen({}, [["sessions.messages.subscribe", { key: "watched" }]]),
      hears: [...BOTH(["agent", "chat"]), "session.message watched"].sort(),
    },
    "one that wants only sessions it follows, and follows none": {
      client: () => listen({ caps: ["session-scoped-events"] }),
      hears: [],
    },
    "one that wants only sessions it follows, and follows one": {
      client: () =>
        listen({ caps: ["session-scoped-events"] }, [["sessions.messages.subscribe", { key: KEY }]]),
      hears: WATCHED(["agent", "chat", "session.message"]),
    },
    "one that takes tool events of its own runs, and has none": {
      client: () => listen({ caps: ["tool-events"] }),
      hears: BOTH(["agent", "chat"]),
    },
    "one without any scope": {
      client: () => listen({ scopes: [] }),
      hears: [],
    },
  };

  it("each kind of connection hears its own share", async () => {
    const sender = await listen({ caps: ["tool-events"] });
    const listeners = await Promise.all(
      Object.entries(kinds).map(async ([what, { client, hears }]) => ({
        what,
        client: await client(),
        hears,
      })),
    );
    for (const [sessionKey, idempotencyKey] of [
      [KEY, "run-watched"],
      [OTHER, "run-other"],
    ] as const) {
      await sender.call("chat.send", { sessionKey, message: "list files", idempotencyKey });
      await sender.terminal(idempotencyKey);
    }
    await world.app.drained();
    for (const { what, client, hears } of listeners) {
      await client.call("health");
      expect(heard(client), what).toEqual(hears);
      const seqs = client.frames.filter((frame) => frame.type === "event").map((frame) => frame["seq"]);
      expect(seqs, what).toEqual(seqs.map((_, index) => index + 1));
    }
    await sender.call("health");
    expect(heard(sender)).toEqual(BOTH(["agent", "agent tool", "chat"]));
    for (const { client } of [...listeners, { client: sender }]) client.close();
  });
});

describe("a connection hears nothing more", () => {
  async function goneAfter(
    end: (tokenId: string) => Promise<void> | void,
    expiresInMs: number | null = null,
  ) {
    const { id } = await world.tenant("acme");
    const made = await world.app.auth.tokens.create(id, {
      role: "owner",
      name: "ending",
      maker: { kind: "machine" },
      expiresInMs,
    });
    const client = new SocketClient(world.wsUrl);
    await client.connect(made.secret);
    await client.call("sessions.subscribe", {});
    await end(made.token.id);
    expect(await client.untilClosed(5_000)).toEqual({ code: 4001, reason: "access changed or revoked" });
    const before = client.frames.length;
    const actor = await listen();
    await actor.call("sessions.create", { key: "after" });
    actor.close();
    expect(client.frames).toHaveLength(before);
  }

  it("when its token is revoked", async () => {
    const { id } = await world.tenant("acme");
    await goneAfter((tokenId) => world.app.auth.tokens.revoke(id, tokenId));
  });

  it("when its token comes to its end, though it asks for nothing", async () => {
    await goneAfter(() => clock.pass(61_000), 60_000);
  });

  it("when the person behind it gets another role", async () => {
    const tenant = await world.tenant("acme");
    const user = await world.app.auth.users.create({ displayName: "Ada" });
    await world.app.auth.members.add(tenant.id, user.id, "admin");
    const { secret } = await world.app.auth.tokens.create(tenant.id, {
      role: "admin",
      name: "of Ada",
      maker: { kind: "machine" },
      userId: user.id,
    });
    const client = new SocketClient(world.wsUrl);
    await client.connect(secret);
    await world.app.auth.members.setRole(tenant.id, user.id, "readonly");
    expect((await client.untilClosed(5_000)).code).toBe(4001);
    const again = new SocketClient(world.wsUrl);
    const hello = await again.connect(secret);
    expect(hello["auth"]).toMatchObject({ scopes: ["operator.read"] });
    again.close();
  });
});
