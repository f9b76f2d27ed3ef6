/** `kill -9` at each step of a turn: what was acknowledged is there once, what was not is there at most once. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ChildWorld } from "../support/child-server.ts";
import type { FailPoint } from "../support/fail-points.ts";
import { type MockModel, start as startMock } from "../support/mock-model.ts";
import { assertSettled, readStored, type Stored } from "../support/provider-ledger.ts";
import { RpcError, type SocketClient } from "../support/socket-client.ts";

const SLUG = "acme";
const TOOLS = ["workspace_read", "workspace_write", "workspace_edit", "memory_append", "memory_search"];

let mock: MockModel;
let world: ChildWorld;

beforeAll(async () => {
  mock = await startMock({ slowDelayMs: 20 });
  world = await ChildWorld.make({ baseUrl: mock.baseUrl, slugs: [SLUG, "beta"], tools: TOOLS });
});

afterAll(async () => {
  await world.close();
  await mock.close();
});

/** What a turn was asked, and how often the provider was asked because of it. */
interface Turn {
  key: string;
  text: string;
  /** Whether the acknowledgement reached the client before the process died. */
  isAcked: boolean;
}

/** Send a message that the server does not survive. */
async function sendAndDie(
  text: string,
  until?: (client: SocketClient, key: string) => Promise<unknown>,
): Promise<Turn> {
  const key = randomUUID();
  const client = await world.client(SLUG);
  const sessionKey = `s-${key}`;
  const ack = client.call("chat.send", { sessionKey, message: text, idempotencyKey: key }).then(
    () => true,
    () => false,
  );
  if (until !== undefined) {
    await until(client, key);
    await world.kill();
  }
  await world.gone();
  return { key, text, isAcked: await ack };
}

/** Start again, let the client ask again with the same key, and wait until the run has ended. */
async function comeBack(turn: Turn): Promise<{ state: string; stored: Stored }> {
  await world.ready();
  const client = await world.client(SLUG);
  const sessionKey = `s-${turn.key}`;
  const again = { sessionKey, message: turn.text, idempotencyKey: turn.key };
  const answer = (await client.call("chat.send", again).catch(payloadOf)) as {
    runId: string;
    status: string;
  };
  expect(answer.runId).toBe(turn.key);
  // An acknowledged input is known; the client is never told that a second run was started.
  if (turn.isAcked) expect(answer.status).not.toBe("started");
  const ended = (await client.call("agent.wait", { runId: turn.key, timeoutMs: 20_000 })) as {
    status: string;
  };
  expect(ended.status).not.toBe("timeout");
  const replay = (await client.call("chat.send", again).catch(payloadOf)) as { status: string };
  expect(replay.status).toBe(ended.status === "ok" ? "ok" : "error");
  const history = (await client.call("chat.history", { sessionKey })) as {
    messages: { role: string; content: unknown }[];
    pendingInputs: { total: number };
    inFlightRun?: unknown;
  };
  expect(history.messages.filter((row) => row.role === "user").map((row) => row.content)).toEqual([
    turn.text,
  ]);
  expect(history.pendingInputs.total).toBe(0);
  expect(history.inFlightRun).toBeUndefined();
  const stored = readStored(world.stateDir, world.tenant(SLUG).id);
  assertSettled(stored, new Map([[turn.key, turn.text]]));
  return { state: ended.status, stored };
}

function payloadOf(thrown: unknown): unknown {
  if (thrown instanceof RpcError && thrown.frame["payload"] !== undefined) return thrown.frame["payload"];
  throw thrown;
}

/** Calls of the provider for a turn that reported usage to somebody who was there to hear it. */
function callsFor(turn: Turn): number {
  return mock.requests.filter((request) => request.lastUserText.includes(turn.text)).length;
}

function billsOf(turn: Turn, stored: Stored): { input: number; output: number; calls: number } {
  const events = stored.usage.filter((event) => event.run_id === turn.key && event.kind === "model");
  const sum = (of: (event: (typeof events)[number]) => number) =>
    events.reduce((all, one) => all + of(one), 0);
  return {
    input: sum((one) => one.input_tokens),
    output: sum((one) => one.output_tokens),
    calls: events.length,
  };
}

const ACCEPT = "INSERT INTO runs";
const END = "UPDATE runs SET state = \\?, stop_reason";
const ASKED = "toolUse";
const INTENT = "INSERT INTO run_steps";
const RESULT = "UPDATE run_steps SET state = 'done'";

/** `npm run test:faults` dies at every step; `npm test` at every second one. */
const EVERY_DEATH = process.env["CREEL_EVERY_DEATH"] !== undefined;

describe("a plain turn", () => {
  const points: [string, FailPoint, { isAcked: boolean; calls: number; bills: number }][] = [
    [
      "before its acceptance is written",
      { at: "request", match: ACCEPT },
      { isAcked: false, calls: 1, bills: 1 },
    ],
    [
      "inside the commit that accepts it",
      { at: "commit", match: ACCEPT },
      { isAcked: false, calls: 1, bills: 1 },
    ],
    [
      "accepted, but nobody was told",
      { at: "committed", match: ACCEPT },
      { isAcked: false, calls: 1, bills: 1 },
    ],
    // The answer was complete and unstored: the provider bills both attempts, the tenant one.
    ["before its end is written", { at: "request", match: END }, { isAcked: true, calls: 2, bills: 1 }],
    ["inside the commit that ends it", { at: "commit", match: END }, { isAcked: true, calls: 2, bills: 1 }],
    ["ended, but nobody was told", { at: "committed", match: END }, { isAcked: true, calls: 1, bills: 1 }],
  ];

  it.each(points.filter((_, place) => EVERY_DEATH || place % 2 === 0))(
    "killed %s is there once, with one answer",
    async (_name, failPoint, wanted) => {
      await world.ready(failPoint);
      const turn = await sendAndDie(`plain ${randomUUID()}`);
      expect(turn.isAcked).toBe(wanted.isAcked);
      const { state, stored } = await comeBack(turn);
      expect(state).toBe("ok");
      expect(callsFor(turn)).toBe(wanted.calls);
      const bills = billsOf(turn, stored);
      expect(bills).toEqual({ calls: wanted.bills, input: 120 * wanted.bills, output: 20 * wanted.bills });
      const answers = stored.messages.filter((row) => row.runId === turn.key && row.role === "assistant");
      expect(answers).toHaveLength(1);
    },
  );

  it.each([
    ["right after the acknowledgement", "SLOW:30", "ack"],
    ["while it waits for the first word", "SLOW:30", "asked"],
    ["after the first words", "SLOW:30", "delta"],
    ["after the one terminal event", "short", "final"],
  ])("killed %s is there once, with one answer", async (_name, words, moment) => {
    await world.ready();
    const turn = await sendAndDie(`${words} ${randomUUID()}`, async (client, key) => {
      const chat = (state: string) =>
        client.until((frame) => {
          const payload = frame["payload"] as { runId?: string; state?: string } | undefined;
          return frame["event"] === "chat" && payload?.runId === key && payload.state === state;
        });
      if (moment === "ack")
        await client.until((frame) => frame.type === "res" && JSON.stringify(frame).includes(key));
      else if (moment === "asked") await chat("status");
      else await chat(moment);
    });
    const { state, stored } = await comeBack(turn);
    expect(state).toBe("ok");
    const answers = stored.messages.filter((row) => row.runId === turn.key && row.role === "assistant");
    expect(answers).toHaveLength(1);
    if (words === "SLOW:30") expect(JSON.stringify(answers[0]?.message.content)).toContain("word30");
    expect(billsOf(turn, stored).calls).toBe(1);
    expect(callsFor(turn)).toBeLessThanOrEqual(2);
  });
});

describe("a turn with a tool that must not run twice", () => {
  const tool = (mark: string) => `TOOLCALL:memory_append {"text":"remember ${mark}"}`;
  const times = (stored: Stored, mark: string) =>
    stored.memories.filter((text) => text.includes(mark)).length;

  it.each<[string, FailPoint, number]>([
    ["before the model's wish is written", { at: "request", match: ASKED }, 1],
    ["when the wish is written", { at: "committed", match: ASKED }, 0],
    ["before the intent is written", { at: "request", match: INTENT }, 0],
    ["after the result is written", { at: "committed", match: RESULT }, 1],
    ["before the end is written", { at: "request", match: END }, 1],
  ])("killed %s goes on, and the tool ran at most once", async (_name, failPoint, runs) => {
    await world.ready(failPoint);
    const mark = randomUUID();
    const turn = await sendAndDie(tool(mark));
    const { state, stored } = await comeBack(turn);
    expect(state).toBe("ok");
    expect(times(stored, mark)).toBe(runs);
    const bills = billsOf(turn, stored);
    expect(bills.calls).toBeLessThanOrEqual(callsFor(turn));
    expect(callsFor(turn) - bills.calls).toBeLessThanOrEqual(1);
  });

  it.each<[string, FailPoint, number]>([
    ["after the intent, before it ran", { at: "committed", match: INTENT }, 0],
    ["in the middle of its effect", { at: "commit", match: "INSERT INTO memories \\(" }, 0],
    ["after its effect, before the result", { at: "committed", match: "INSERT INTO memories \\(" }, 1],
    ["with the result in an open commit", { at: "commit", match: RESULT }, 1],
  ])("killed %s is never run again, and the run ends saying so", async (_name, failPoint, runs) => {
    await world.ready(failPoint);
    const mark = randomUUID();
    const turn = await sendAndDie(tool(mark));
    const before = callsFor(turn);
    const { state, stored } = await comeBack(turn);
    expect(state).toBe("error");
    expect(times(stored, mark)).toBe(runs);
    expect(callsFor(turn)).toBe(before);
    const run = stored.runs.find((one) => one.run_id === turn.key);
    expect(run).toMatchObject({ state: "failed", error_code: "interrupted" });
    expect(run?.error_message).toContain("memory_append");
    expect(stored.steps.filter((step) => step.run_id === turn.key)).toEqual([
      { run_id: turn.key, tool: "memory_append", state: "uncertain" },
    ]);
  });

  it("goes on when the tool may run twice", async () => {
    await world.ready({ at: "commit", match: RESULT });
    const name = `${randomUUID()}.txt`;
    const turn = await sendAndDie(`TOOLCALL:workspace_write {"path":"${name}","content":"once or twice"}`);
    const { state } = await comeBack(turn);
    expect(state).toBe("ok");
  });
});

describe("a run that kills the process each time", () => {
  it("is given up after the second attempt, and everybody else is served", async () => {
    await world.ready({ at: "request", match: END });
    const turn = await sendAndDie(`poison ${randomUUID()}`);
    await world.start({ failPoint: { at: "request", match: END } }).catch(() => undefined);
    await world.gone();
    const { state, stored } = await comeBack(turn);
    expect(state).toBe("error");
    expect(stored.runs.find((run) => run.run_id === turn.key)).toMatchObject({
      attempts: 2,
      state: "failed",
    });
    await world.ready();
    const client = await world.client("beta");
    const key = randomUUID();
    await client.call("chat.send", { sessionKey: "main", message: "hello", idempotencyKey: key });
    expect(await client.terminal(key)).toMatchObject({ state: "final" });
  });
});
