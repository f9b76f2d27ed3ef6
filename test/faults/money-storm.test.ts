/** Money through `kill -9`: one turn line by line, and a small storm; `npm run test:money` for 20 large ones. */
import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import { ChildWorld } from "../support/child-server.ts";
import { start as startMock } from "../support/mock-model.ts";
import type { SocketClient } from "../support/socket-client.ts";
import { runStorm } from "./money-storm.ts";

async function linesOf(client: SocketClient, runId: string): Promise<string[]> {
  const page = (await client.call("billing.ledger.list", { runId })) as {
    transfers: { kind: string; sourceId: string; amountMicros: number }[];
  };
  return page.transfers.map(({ kind, sourceId }) => `${sourceId.slice(runId.length)} ${kind}`);
}

it("never charges for our own crashes: killed in a stream, once and twice", async () => {
  const mock = await startMock({ slowDelayMs: 20 });
  const world = await ChildWorld.make({ baseUrl: mock.baseUrl, slugs: ["acme"] });
  const limit = { scope: "tenant", period: "month", limitMicros: 1_000_000 };
  const begin = async (key: string) => {
    const client = await world.client("acme");
    await client.call("billing.budgets.set", limit);
    const message = `SLOW:100 mark-${key}`;
    await client.call("chat.send", { sessionKey: `s-${key}`, message, idempotencyKey: key });
    await mock.waitFor((one) => one.lastUserText.includes(key));
    expect(await linesOf(client, key)).toEqual(["/1/0 reserve"]);
  };
  const comeBack = async (key: string) => {
    await world.start();
    const client = await world.client("acme");
    await client.call("agent.wait", { runId: key, timeoutMs: 30_000 });
    return { client, lines: await linesOf(client, key) };
  };
  try {
    const once = randomUUID();
    await world.start();
    await begin(once);
    await world.kill();
    const { lines } = await comeBack(once);
    expect(lines).toEqual([
      "/1/0 reserve",
      "/1/0 release",
      "/1001/0 reserve",
      "/1001/0 settle",
      "/1001/0 release",
    ]);
    const twice = randomUUID();
    await begin(twice);
    await world.kill();
    const before = mock.requests.length;
    await world.start();
    await expect.poll(() => mock.requests.length).toBeGreaterThan(before);
    await world.kill();
    const end = await comeBack(twice);
    expect(end.lines).toEqual(["/1/0 reserve", "/1/0 release", "/1001/0 reserve", "/1001/0 release"]);
    const listed = (await end.client.call("billing.budgets.list", {})) as { budgets: unknown[] };
    // The one answer that was finished, and nothing else.
    expect(listed.budgets).toMatchObject([{ spentMicros: 160, reservedMicros: 0 }]);
  } finally {
    await world.close();
    await mock.close();
  }
}, 60_000);

it("spends no more than the budget, holds nothing back and explains every call, through kills", async () => {
  const row = await runStorm({ seed: 20261123, tenants: 3, turns: 60, kills: 3 });
  expect(row).toMatchObject({ overspent: 0, reserved: 0, sum: 0, unsound: 0, unexplained: 0, lost: 0 });
  // Some are admitted and some are not, else it proves nothing.
  expect(row.answered).toBeGreaterThan(0);
  expect(row.refused).toBeGreaterThan(0);
  expect(row.resumed + row.interrupted).toBeGreaterThan(0);
}, 120_000);
