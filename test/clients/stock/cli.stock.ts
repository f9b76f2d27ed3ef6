/** The stock `openclaw` command line, unmodified, each command a process of its own as a person would type it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MOCK_USAGE } from "../../support/mock-model.ts";
import { type Finished, openclaw } from "../openclaw.ts";
import { openWorld, type Seat, type World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world?.close());

const at = (seat: Seat, ...command: string[]) =>
  openclaw(seat.home, ["gateway", ...command, "--url", seat.wsUrl, "--token", seat.token, "--json"]);

const agent = (seat: Seat, message: string, ...more: string[]) =>
  openclaw(seat.home, ["agent", "--message", message, "--agent", "main", ...more], {
    env: { OPENCLAW_GATEWAY_URL: seat.wsUrl, OPENCLAW_GATEWAY_TOKEN: seat.token },
  });

/** What a successful command printed, parsed; a failed one fails the test with all it said. */
function printed<T = Record<string, unknown>>(done: Finished): T {
  expect(done, `${done.stdout}\n${done.stderr}\n${world.gateway.output()}`).toMatchObject({ code: 0 });
  return JSON.parse(done.stdout) as T;
}

type SessionList = { sessions: { key: string; totalTokens?: number }[] };

describe.each([
  [0, "the first tenant"],
  [1, "the other tenant"],
])("openclaw with the token of tenant %i (%s)", (index) => {
  let seat: Seat;

  beforeAll(() => {
    seat = world.seat(index) as Seat;
  });

  it("gateway health", async (context) => {
    if (!seat) return context.skip();
    expect(printed(await at(seat, "health"))).toMatchObject({ ok: true });
  });

  it("health, with the gateway named by the environment", async (context) => {
    if (!seat) return context.skip();
    const env = { OPENCLAW_GATEWAY_URL: seat.wsUrl, OPENCLAW_GATEWAY_TOKEN: seat.token };
    expect(printed(await openclaw(seat.home, ["health", "--json"], { env }))).toMatchObject({ ok: true });
    const asText = await openclaw(seat.home, ["health"], { env });
    expect(asText, `${asText.stdout}${asText.stderr}`).toMatchObject({ code: 0 });
  });

  it("gateway probe", async (context) => {
    if (!seat) return context.skip();
    const probe = printed<{ ok: boolean; targets: { connect: { ok: boolean; rpcOk: boolean } }[] }>(
      await at(seat, "probe"),
    );
    expect(probe.ok).toBe(true);
    expect(probe.targets[0]?.connect.ok).toBe(true);
    if (world.gateway.kind === "creel") expect(probe).toMatchObject({ degraded: false, warnings: [] });
  });

  it("agent, then gateway call sessions.list and sessions.usage", async (context) => {
    if (!seat) return context.skip();
    const word = `canary-of-${seat.name}`;
    const sessionKey = `agent:main:${word}`;
    const reply = await agent(seat, `SAY:${word}`);
    expect(reply, `${reply.stdout}${reply.stderr}${world.gateway.output()}`).toMatchObject({ code: 0 });
    expect(reply.stdout).toContain(word);
    printed(await agent(seat, "SAY:second", "--session-key", sessionKey, "--json"));

    const list = printed<SessionList>(await at(seat, "call", "sessions.list"));
    expect(list.sessions.map((session) => session.key).sort()).toEqual(
      [sessionKey, "agent:main:main"].sort(),
    );
    expect(list.sessions[0]?.totalTokens).toBeGreaterThanOrEqual(MOCK_USAGE.promptTokens);

    if (world.gateway.kind === "creel") {
      const usage = printed<{ totals: Record<string, number> }>(await at(seat, "call", "sessions.usage"));
      expect(usage.totals).toMatchObject({
        input: 2 * MOCK_USAGE.promptTokens,
        output: 2 * MOCK_USAGE.completionTokens,
      });
    }
  });

  it("gateway call chat.history shows this tenant's words and nobody else's", async (context) => {
    if (!seat) return context.skip();
    const params = JSON.stringify({ sessionKey: "agent:main:main", limit: 50 });
    const history = JSON.stringify(printed(await at(seat, "call", "chat.history", "--params", params)));
    expect(history).toContain(`canary-of-${seat.name}`);
    const others = world.gateway.targets.filter((target) => target.name !== seat.name);
    for (const other of others) expect(history).not.toContain(`canary-of-${other.name}`);
  });
});

describe("openclaw refused", () => {
  it("by a wrong token, with the code it understands", async () => {
    const seat = world.seat(0) as Seat;
    const refused = await at({ ...seat, token: `${seat.token}x` }, "call", "health");
    expect(refused.code).toBe(1);
    expect(refused.stdout + refused.stderr).toContain("AUTH_TOKEN_MISMATCH");
  });

  it("by an unknown method, and says so", async () => {
    const refused = await at(world.seat(0) as Seat, "call", "nope.nope");
    expect(refused.code).toBe(1);
    expect(refused.stdout + refused.stderr).toContain("unknown method: nope.nope");
  });
});

describe("openclaw with one tenant's token on another tenant's path", () => {
  it("is refused as with any wrong token", async (context) => {
    const [seat, other] = [world.seat(0) as Seat, world.seat(1)];
    if (!other) return context.skip("the stock gateway has one tenant");
    const refused = await at({ ...seat, wsUrl: `${seat.wsUrl}/t/${other.name}` }, "call", "sessions.list");
    expect(refused.code).toBe(1);
    expect(refused.stdout + refused.stderr).toContain("AUTH_TOKEN_MISMATCH");
    const own = printed<SessionList>(
      await at({ ...seat, wsUrl: `${seat.wsUrl}/t/${seat.name}` }, "call", "sessions.list"),
    );
    expect(own.sessions.length).toBeGreaterThan(0);
  });
});
