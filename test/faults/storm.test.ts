/**
 * Many `kill -9` at random moments over one state folder with four tenants. `CREEL_STORM=1000` for a long one,
 * `CREEL_STORM_SEED=n` for the same one again.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { ChildWorld } from "../support/child-server.ts";
import { type MockModel, start as startMock } from "../support/mock-model.ts";
import { assertSettled, readStored } from "../support/provider-ledger.ts";
import { RpcError, type SocketClient } from "../support/socket-client.ts";

const KILLS = Number(process.env["CREEL_STORM"] ?? 8);
const SEED = Number(process.env["CREEL_STORM_SEED"] ?? 20261123);
const SLUGS = ["acme", "beta", "gamma", "delta"];
const SESSIONS = ["main", "side"];

interface Input {
  slug: string;
  key: string;
  sessionKey: string;
  message: string;
  /** The server said that it has it. */
  isAcked: boolean;
}

let mock: MockModel;
let world: ChildWorld;

beforeAll(async () => {
  mock = await startMock({ slowDelayMs: 5 });
  world = await ChildWorld.make({
    baseUrl: mock.baseUrl,
    slugs: SLUGS,
    tools: ["workspace_write", "workspace_read", "memory_append"],
  });
});

afterAll(async () => {
  await world.close();
  await mock.close();
});

it(
  `keeps every acknowledged input once through ${KILLS} kills (seed ${SEED})`,
  async () => {
    const random = seeded(SEED);
    const inputs: Input[] = [];
    for (let round = 0; round < KILLS; round++) {
      await world.start();
      const clients = new Map<string, SocketClient>();
      for (const slug of SLUGS) clients.set(slug, await world.client(slug));
      // What was sent and not acknowledged is sent again under the same key, as every client does.
      const open = inputs.filter((input) => !input.isAcked);
      const fresh = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, n) =>
        makeInput(random, round, n),
      );
      inputs.push(...fresh);
      const sends = [...open, ...fresh].map((input) => send(clients.get(input.slug)!, input));
      await new Promise((resolve) => setTimeout(resolve, random() * 150));
      await world.kill();
      await Promise.all(sends);
    }
    await finish(inputs);
    for (const slug of SLUGS) checkTenant(slug, inputs);
  },
  60_000 + KILLS * 3_000,
);

async function send(client: SocketClient, input: Input): Promise<void> {
  const { sessionKey, message, key: idempotencyKey } = input;
  try {
    await client.call("chat.send", { sessionKey, message, idempotencyKey });
    input.isAcked = true;
  } catch (thrown) {
    // A run that was given up says so under its key: the input is there.
    if (thrown instanceof RpcError) input.isAcked = thrown.frame["payload"] !== undefined;
  }
}

/** One more start, without a kill: everything comes to its end. */
async function finish(inputs: Input[]): Promise<void> {
  await world.start();
  for (const slug of SLUGS) {
    const client = await world.client(slug);
    for (const input of inputs.filter((one) => one.slug === slug)) {
      if (!input.isAcked) await send(client, input);
      expect(input.isAcked).toBe(true);
      const ended = await client.call("agent.wait", { runId: input.key, timeoutMs: 30_000 });
      expect(ended).not.toMatchObject({ status: "timeout" });
    }
  }
  expect(await world.stop()).toBe(0);
}

function checkTenant(slug: string, inputs: readonly Input[]): void {
  const stored = readStored(world.stateDir, world.tenant(slug).id);
  const mine = inputs.filter((input) => input.slug === slug);
  assertSettled(stored, new Map(mine.map((input) => [input.key, input.message])));
  // Nobody else's words, and nothing that nobody sent.
  expect(stored.runs.map((run) => run.run_id).sort()).toEqual(mine.map((input) => input.key).sort());
  for (const other of SLUGS.filter((one) => one !== slug)) {
    expect(JSON.stringify(stored)).not.toContain(`from-${other}-`);
  }
  for (const run of stored.runs) {
    const mark = markOf(mine.find((input) => input.key === run.run_id)!);
    expect(stored.memories.filter((text) => text.endsWith(mark)).length).toBeLessThanOrEqual(1);
    const bills = stored.usage.filter(
      (event) => event.run_id === run.run_id && event.kind === "model",
    ).length;
    // An input that joined another run has no call of its own.
    if (run.state === "done" && run.stop_reason !== "steered") expect(bills).toBeGreaterThanOrEqual(1);
  }
  // Never billed for more than was asked; unbilled are at most the calls that died with the process.
  const calls = mock.requests.filter((one) => one.lastUserText.includes(`from-${slug}-`)).length;
  const bills = stored.usage.filter((event) => event.kind === "model").length;
  expect(bills).toBeLessThanOrEqual(calls);
  expect(calls - bills).toBeLessThanOrEqual(KILLS * SESSIONS.length);
}

function makeInput(random: () => number, round: number, n: number): Input {
  const slug = SLUGS[Math.floor(random() * SLUGS.length)]!;
  const sessionKey = SESSIONS[Math.floor(random() * SESSIONS.length)]!;
  const input = { slug, sessionKey, key: `storm-${round}-${n}-${slug}`, message: "", isAcked: false };
  const mark = markOf(input);
  const kind = Math.floor(random() * 4);
  input.message = [
    `plain ${mark} `,
    `SLOW:${5 + Math.floor(random() * 30)} ${mark} `,
    `TOOLCALL:memory_append {"text":"${mark}"} ${mark} `,
    `TOOLCALL:workspace_write {"path":"${input.key}.txt","content":"${mark}"} ${mark} `,
  ][kind]!;
  return input;
}

function markOf(input: Input): string {
  return `from-${input.slug}-${input.key}.`;
}

/** Small and repeatable (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
