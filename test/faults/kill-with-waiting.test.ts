/** `kill -9` and SIGTERM while inputs wait or have joined a run: all of them are answered once, in order, never side by side. */
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ChildWorld } from "../support/child-server.ts";
import { type MockModel, start as startMock } from "../support/mock-model.ts";
import { assertSettled, readStored, type Stored, textIn } from "../support/provider-ledger.ts";
import type { SocketClient } from "../support/socket-client.ts";

const SLUG = "acme";
const SESSION = "agent:main:waiting";
const BEGIN = "UPDATE runs SET state = 'running', pending_input = NULL";

let mock: MockModel;
let made: ChildWorld;
let world: ChildWorld;
let sent: Map<string, string>;

beforeAll(async () => {
  mock = await startMock({ slowDelayMs: 20 });
  made = await ChildWorld.make({ baseUrl: mock.baseUrl, slugs: [SLUG], tools: ["shell", "workspace_read"] });
});

afterAll(async () => {
  await made.close();
  await mock.close();
});

beforeEach(async () => {
  world = await made.copy();
  mock.requests.length = 0;
  sent = new Map();
});

afterEach(() => world.close());

async function send(
  client: SocketClient,
  message: string,
  params: Record<string, unknown> = {},
): Promise<string> {
  const key = randomUUID();
  await client.call("chat.send", { sessionKey: SESSION, message, idempotencyKey: key, ...params });
  sent.set(key, message);
  return key;
}

function eventOf(client: SocketClient, key: string, event: string, state?: string): Promise<unknown> {
  return client.until((frame) => {
    const payload = frame["payload"] as { runId?: string; state?: string; stream?: string } | undefined;
    if (frame["event"] !== event || payload?.runId !== key) return false;
    return state === undefined || payload.state === state || payload.stream === state;
  });
}

/** Start again and wait until all that was acknowledged has ended; then read the disk. */
async function settle(): Promise<Stored> {
  await world.start();
  const client = await world.client(SLUG);
  for (const key of sent.keys()) {
    const ended = await client.call("agent.wait", { runId: key, timeoutMs: 20_000 });
    expect(ended).not.toMatchObject({ status: "timeout" });
  }
  await world.kill();
  const stored = readStored(world.stateDir, world.tenant(SLUG).id);
  assertSettled(stored, sent);
  return stored;
}

/** Who said what, in the order of the transcript. */
function talk(stored: Stored): string[] {
  return stored.messages
    .filter(
      (row) => row.role === "user" || (row.role === "assistant" && row.message.stopReason !== "toolUse"),
    )
    .map((row) => `${row.role}:${row.runId}`);
}

describe("inputs that wait", () => {
  it("are answered after the one that was interrupted, in their order", async () => {
    await world.start();
    const client = await world.client(SLUG);
    const first = await send(client, "SLOW:80 first");
    await eventOf(client, first, "chat", "delta");
    // All in one millisecond, as far as the wall clock can tell.
    const keys = await Promise.all(Array.from({ length: 6 }, (_, n) => send(client, `SAY:waiting ${n}`)));
    await world.kill();
    const stored = await settle();
    expect(talk(stored)).toEqual([first, ...keys].flatMap((key) => [`user:${key}`, `assistant:${key}`]));
    expect(stored.runs.map((run) => run.state)).toEqual(stored.runs.map(() => "done"));
  });

  it.each(["request", "commit", "committed"] as const)(
    "survive a kill as one of them begins: %s",
    async (at) => {
      await world.start({ failPoint: { at, match: BEGIN } });
      const client = await world.client(SLUG);
      const first = await send(client, "SLOW:5 first");
      const second = await send(client, "SAY:second");
      const third = await send(client, "SAY:third");
      await world.gone();
      const stored = await settle();
      expect(talk(stored)).toEqual(
        [first, second, third].flatMap((key) => [`user:${key}`, `assistant:${key}`]),
      );
    },
  );

  it("of another person are answered with that person's authority, or closed with their words kept", async () => {
    await world.start();
    const client = await world.client(SLUG);
    const other = await world.client(SLUG, world.tenant(SLUG).second);
    // Long enough that the other input still waits when the kill comes, also on a busy machine.
    const first = await send(client, "SLOW:120 first");
    await eventOf(client, first, "chat", "delta");
    const foreign = await send(other, "SAY:by the other");
    await world.kill();
    // The other person's access ends while nothing runs.
    await world.revokeSecond(SLUG);
    const stored = await settle();
    expect(stored.runs.find((run) => run.run_id === first)?.state).toBe("done");
    const closed = stored.runs.find((run) => run.run_id === foreign);
    expect(closed).toMatchObject({
      state: "failed",
      error_message: expect.stringContaining("no longer has access"),
    });
    expect(mock.requests.filter((one) => one.lastUserText.includes("by the other"))).toEqual([]);
  });
});

describe("an input that joined a run", () => {
  it.each(["commit", "committed"] as const)("is not answered beside it after a kill: %s", async (at) => {
    await world.start({ failPoint: { at, match: BEGIN } });
    const client = await world.client(SLUG);
    const first = await send(client, 'TOOLCALL:shell {"command":"sleep 0.3; echo slept"}');
    await eventOf(client, first, "agent", "item");
    const second = await send(client, "SAY:joined");
    await world.gone();
    const stored = await settle();
    const answers = stored.messages.filter(
      (row) => row.role === "assistant" && row.message.stopReason !== "toolUse",
    );
    if (at === "committed") {
      // Both inputs were one run's when it died; they still are.
      expect(answers.map((row) => row.runId)).toEqual([first]);
      expect(textIn(answers[0]?.message.content)).toBe("joined");
      expect(talk(stored)).toEqual([`user:${first}`, `user:${second}`, `assistant:${first}`]);
    } else {
      expect(answers).toHaveLength(2);
    }
    expect(stored.runs.map((run) => run.state)).toEqual(["done", "done"]);
  });
});

describe("SIGTERM", () => {
  it("lets what is being written finish, says goodbye with 1012, and ends well", async () => {
    await world.start();
    const client = await world.client(SLUG);
    const first = await send(client, "SLOW:30 first");
    await eventOf(client, first, "chat", "delta");
    const second = await send(client, "SAY:second");
    const code = world.stop();
    for (const key of [first, second]) expect(await client.terminal(key)).toMatchObject({ state: "final" });
    expect(await client.untilClosed()).toEqual({ code: 1012, reason: "service restart" });
    expect(client.events("shutdown")).toHaveLength(1);
    expect(await code).toBe(0);
    const stored = readStored(world.stateDir, world.tenant(SLUG).id);
    assertSettled(stored, sent);
    expect(mock.requests).toHaveLength(2);
    expect(stored.usage.filter((event) => event.kind === "model")).toHaveLength(2);
  });
});
