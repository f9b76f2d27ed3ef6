/** Errors that nobody catches (ATTACKS CX-10, FAULTS 115): they end nothing, and the log says whose work they were. */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { ChildWorld } from "../support/child-server.ts";
import { type MockModel, start as startMock } from "../support/mock-model.ts";

const PRELOAD = resolve(import.meta.dirname, "../support/stray-errors.ts");

let mock: MockModel;
let world: ChildWorld;

beforeAll(async () => {
  mock = await startMock();
  world = await ChildWorld.make({ baseUrl: mock.baseUrl, slugs: ["acme", "beta"] });
});

afterAll(async () => {
  await world.close();
  await mock.close();
});

async function strayCount(): Promise<number> {
  const token = (await readFile(join(world.stateDir, "metrics-token"), "utf8")).trim();
  const answer = await fetch(`${world.url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  return Number(/^creel_stray_errors_total (\d+)$/m.exec(await answer.text())?.[1]);
}

it("leave another tenant's turn alone, and are told once each with the tenant's id, up to a limit", async () => {
  const acme = world.tenant("acme").id;
  await world.start({ env: { NODE_OPTIONS: `--import=${PRELOAD}`, CREEL_STRAY_TENANT: acme } });
  const beta = await world.client("beta");
  expect(await strayCount()).toBe(0);
  const runId = randomUUID();
  const sessionKey = `agent:main:${randomUUID()}`;
  await beta.call("chat.send", { sessionKey, message: "SLOW:40 in flight", idempotencyKey: runId });
  world.signal("SIGUSR2");
  await vi.waitFor(async () => expect(await strayCount()).toBe(103), { timeout: 10_000 });
  expect(await beta.call("agent.wait", { runId, timeoutMs: 15_000 })).toMatchObject({ status: "ok" });
  const lines = world.output.split("\n").filter((line) => line.includes("nobody caught"));
  const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(told).toHaveLength(20);
  expect(new Set(told.map(({ level, tenantId, requestId }) => `${level} ${tenantId} ${requestId}`))).toEqual(
    new Set([`error ${acme} a-stray-request`]),
  );
  expect(world.output).toContain("a promise that nobody waited for");
  expect(await world.stop()).toBe(0);
});
