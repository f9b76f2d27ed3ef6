/** The writing thread dies alone, at each step of a turn: the process goes on, and so does the turn, with nothing doubled. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ChildWorld } from "../support/child-server.ts";
import { type MockModel, start as startMock } from "../support/mock-model.ts";
import { assertSettled, readStored } from "../support/provider-ledger.ts";

const SLUG = "acme";

let mock: MockModel;
let world: ChildWorld;

beforeAll(async () => {
  mock = await startMock();
  world = await ChildWorld.make({ baseUrl: mock.baseUrl, slugs: [SLUG], tools: ["memory_append"] });
});

afterAll(async () => {
  await world.close();
  await mock.close();
});

it.each([
  ["accepting", "commit", "INSERT INTO runs"],
  ["accepting", "committed", "INSERT INTO runs"],
  ["writing a tool's intent", "commit", "INSERT INTO run_steps"],
  ["writing a tool's intent", "committed", "INSERT INTO run_steps"],
  ["writing a tool's result", "commit", "UPDATE run_steps SET state = 'done'"],
  ["writing a tool's result", "committed", "UPDATE run_steps SET state = 'done'"],
  ["beginning what waited", "commit", "UPDATE runs SET state = 'running', pending_input = NULL"],
  ["beginning what waited", "committed", "UPDATE runs SET state = 'running', pending_input = NULL"],
  ["ending", "commit", "UPDATE runs SET state = \\?, stop_reason"],
  ["ending", "committed", "UPDATE runs SET state = \\?, stop_reason"],
] as const)("while %s (%s)", async (_step, at, match) => {
  await world.ready({ at, match, isThreadOnly: true });
  const client = await world.client(SLUG);
  const sent = new Map<string, string>();
  const sessionKey = `agent:main:${randomUUID()}`;
  const waited: string[] = [];
  for (const message of [`TOOLCALL:memory_append {"text":"${sessionKey}"}`, "SAY:second", "SAY:third"]) {
    const key = randomUUID();
    sent.set(key, message);
    waited.push(key);
    const params = { sessionKey, message, idempotencyKey: key, queueMode: "followup" };
    expect(await client.call("chat.send", params)).toMatchObject({ runId: key });
  }
  for (const key of waited) {
    expect(await client.call("agent.wait", { runId: key, timeoutMs: 15_000 })).toMatchObject({
      status: "ok",
    });
  }
  const stored = readStored(world.stateDir, world.tenant(SLUG).id);
  assertSettled(stored, sent);
  const mine = stored.messages.filter((row) => waited.includes(row.runId ?? ""));
  expect(mine.map((row) => `${row.role} ${waited.indexOf(row.runId ?? "")}`)).toEqual([
    ...["user 0", "assistant 0", "toolResult 0", "assistant 0"],
    ...["user 1", "assistant 1"],
    ...["user 2", "assistant 2"],
  ]);
  expect(stored.memories.filter((text) => text === sessionKey)).toHaveLength(1);
  const bills = stored.usage.filter((event) => waited.includes(event.run_id) && event.kind === "model");
  expect(bills).toHaveLength(4);
});
