/** How much one tenant may have going on: bounded also against a burst, and no other tenant notices. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { LIMITS } from "#src/kernel/limits.ts";
import { chat, endsOf, history, ProviderWorld } from "../support/provider-world.ts";
import { RpcError, type SocketClient } from "../support/socket-client.ts";

let world: ProviderWorld;
let client: SocketClient;

beforeAll(async () => {
  world = await ProviderWorld.start();
  client = await world.client("acme");
});

afterAll(async () => {
  await world.close();
});

/** Send; answers the key when it was accepted, else the code of the refusal. */
async function trySend(sessionKey: string, message: string): Promise<{ key?: string; refusal?: unknown }> {
  const key = randomUUID();
  try {
    await client.call("chat.send", { sessionKey, message, idempotencyKey: key });
    return { key };
  } catch (thrown) {
    if (!(thrown instanceof RpcError)) throw thrown;
    return { refusal: thrown.error };
  }
}

it("accepts no more conversations at once than the bound, also in one burst, and answers others meanwhile", async () => {
  const sessions = Array.from({ length: LIMITS.activeRunsPerTenant + 40 }, (_, n) => `agent:main:flood-${n}`);
  const outcomes = await Promise.all(sessions.map((key) => trySend(key, "HANG")));
  const accepted = outcomes.filter((outcome) => outcome.key !== undefined);
  expect(accepted).toHaveLength(LIMITS.activeRunsPerTenant);
  for (const { refusal } of outcomes.filter((outcome) => outcome.refusal !== undefined)) {
    expect(refusal).toMatchObject({ code: "UNAVAILABLE", retryable: true, retryAfterMs: expect.any(Number) });
  }
  const beta = await world.client("beta");
  expect((await chat(beta, "SAY:served")).end).toMatchObject({ state: "final" });
  for (const sessionKey of sessions) await client.call("chat.abort", { sessionKey });
  for (const { key } of accepted) expect(endsOf(client, key ?? "")).toHaveLength(1);
  expect((await chat(client, "SAY:free again")).end).toMatchObject({ state: "final" });
});

it("keeps a bounded number of inputs waiting in a session, and refuses more with words", async () => {
  const sessionKey = "agent:main:line";
  await trySend(sessionKey, "HANG");
  const outcomes: { key?: string; refusal?: unknown }[] = [];
  for (let n = 0; n < LIMITS.queuedRunsPerSession + 5; n++)
    outcomes.push(await trySend(sessionKey, `SAY:${n}`));
  const accepted = outcomes.filter((outcome) => outcome.key !== undefined);
  expect(accepted).toHaveLength(LIMITS.queuedRunsPerSession);
  expect(outcomes.at(-1)?.refusal).toMatchObject({
    message: expect.stringContaining("wait"),
    retryable: true,
  });
  const page = await history(client, { sessionKey });
  expect(page.pendingInputs.items.map((item) => item["runId"])).toEqual(accepted.map(({ key }) => key));
  const stopped = (await client.call("chat.abort", { sessionKey })) as { runIds: string[] };
  expect(stopped.runIds).toHaveLength(1 + LIMITS.queuedRunsPerSession);
  expect((await chat(client, "SAY:next", { sessionKey })).end).toMatchObject({ state: "final" });
});
