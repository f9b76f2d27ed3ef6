/** The public client library `@openclaw/gateway-client`, unmodified, against a real Creel process. Part of `npm test`. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { MOCK_USAGE, type MockModel, start } from "../support/mock-model.ts";
import { type Connected, connect, isTerminal, newDevice, textOf } from "./client.ts";
import type { Gateway, Target } from "./target.ts";
import { openGateway } from "./world.ts";

// A run may wait for a reconnect, and the waits say what they miss when they give up after 20 s.
vi.setConfig({ testTimeout: 60_000 });

let mock: MockModel;
let gateway: Gateway;
let home: Target;

beforeAll(async () => {
  mock = await start({ slowDelayMs: 30 });
  gateway = await openGateway(mock.baseUrl);
  home = gateway.targets[0] as Target;
}, 120_000);

afterAll(async () => {
  await gateway?.stop();
  await mock?.close();
});

/** Runs with a connection that is closed whatever happens. */
async function withClient<T>(
  work: (me: Connected) => Promise<T>,
  ...args: Parameters<typeof connect>
): Promise<T> {
  const me = await connect(...args);
  try {
    return await work(me);
  } finally {
    await me.close();
  }
}

const send = (me: Connected, message: string, sessionKey = "agent:main:main", runId: string = randomUUID()) =>
  me.request<{ runId: string; status: string }>("chat.send", { sessionKey, message, idempotencyKey: runId });

const firstDelta = (me: Connected, runId: string) =>
  me.event("first delta", ({ event, payload }) => {
    const chat = payload as { runId?: string; state?: string };
    return event === "chat" && chat.runId === runId && chat.state === "delta";
  });

describe("connecting", () => {
  it("says hello with what the client needs and nothing of the host", async () => {
    await withClient(async (me) => {
      const hello = me.hello();
      expect(hello.protocol).toBe(4);
      expect(hello.features.methods).toEqual(
        expect.arrayContaining(["health", "chat.send", "sessions.list"]),
      );
      expect(hello.auth?.scopes).toEqual(expect.arrayContaining(["operator.read", "operator.write"]));
      expect(hello.snapshot).toMatchObject({ authMode: "token" });
      if (gateway.kind === "creel")
        expect(JSON.stringify(hello)).not.toMatch(/creel-state-|\/home\/|\/root\//);
    }, home);
  });

  it("answers health", async () => {
    await withClient(async (me) => expect(await me.request("health")).toMatchObject({ ok: true }), home);
  });

  it("refuses a wrong token with the code that makes clients stop trying", async () => {
    const refused = await connect({ ...home, token: `${home.token}x` }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "INVALID_REQUEST", details: { code: "AUTH_TOKEN_MISMATCH" } });
  });

  it("answers an unknown method and stays open", async () => {
    await withClient(async (me) => {
      await expect(me.request("nope.nope", {})).rejects.toMatchObject({
        code: "INVALID_REQUEST",
        message: expect.stringContaining("unknown method: nope.nope"),
      });
      expect(await me.request("health")).toMatchObject({ ok: true });
    }, home);
  });

  it("grants no more than the scopes that were asked for", async () => {
    await withClient(
      async (me) => {
        expect(me.hello().auth?.scopes).toEqual(["operator.read"]);
        await expect(send(me, "must not be sent")).rejects.toMatchObject({ code: "FORBIDDEN" });
      },
      home,
      { scopes: ["operator.read"] },
    );
    expect(mock.requests.some((request) => request.lastUserText.includes("must not be sent"))).toBe(false);
  });
});

describe("a chat turn", () => {
  it("is acknowledged, streamed and finished exactly once", async () => {
    await withClient(async (me) => {
      const ack = await send(me, "SLOW:12 please");
      expect(ack.status).toBe("started");
      const final = await me.terminal(ack.runId);
      expect(final).toMatchObject({ state: "final", sessionKey: "agent:main:main" });
      expect(textOf(final)).toContain("word1 word2 word3");
      expect(textOf(final)).toContain("word12");
      const deltas = me.chatOf(ack.runId).filter((chat) => chat.state === "delta");
      expect(deltas.length).toBeGreaterThan(1);
      expect(deltas.map((delta) => delta.deltaText).join("")).toContain("word1 word2");
      for (const delta of deltas) expect(textOf(final).startsWith(textOf(delta).trimEnd())).toBe(true);
      expect(me.chatOf(ack.runId).filter((chat) => isTerminal(chat.state))).toHaveLength(1);
      expect(me.gaps).toEqual([]);
    }, home);
  });

  it("is in the history, and in the session list with its usage", async () => {
    await withClient(async (me) => {
      const sessionKey = `agent:main:history-${randomUUID()}`;
      const ack = await send(me, "SAY:remember me", sessionKey);
      await me.terminal(ack.runId);
      const history = await me.request<{ messages: { role: string }[] }>("chat.history", {
        sessionKey,
        limit: 10,
      });
      expect(history.messages.map((message) => message.role)).toEqual(["user", "assistant"]);
      expect(JSON.stringify(history.messages[1])).toContain("remember me");
      const list = await me.request<{ sessions: Record<string, unknown>[] }>("sessions.list", { limit: 50 });
      const row = list.sessions.find((session) => session["key"] === sessionKey);
      expect(row).toMatchObject({
        modelProvider: "mock",
        model: "mock-1",
        hasActiveRun: false,
        status: "done",
      });
      expect(row?.["totalTokens"]).toBeGreaterThanOrEqual(MOCK_USAGE.promptTokens);
    }, home);
  });

  it("sent twice with the same key runs once", async () => {
    await withClient(async (me) => {
      const runId = randomUUID();
      const sessionKey = `agent:main:twice-${runId}`;
      await send(me, `SAY:once ${runId}`, sessionKey, runId);
      await me.terminal(runId);
      const again = await send(me, `SAY:once ${runId}`, sessionKey, runId);
      expect(again).toMatchObject({ runId, status: "ok" });
      await expect(send(me, "SAY:something else", sessionKey, runId)).rejects.toMatchObject({
        details: { reason: "chat-request-conflict" },
      });
      const history = await me.request<{ messages: unknown[] }>("chat.history", { sessionKey, limit: 10 });
      expect(history.messages).toHaveLength(2);
      expect(mock.requests.filter((request) => request.lastUserText.includes(runId))).toHaveLength(1);
    }, home);
  });

  it("stops when it is aborted and keeps what was said until then", async () => {
    await withClient(async (me) => {
      const sessionKey = `agent:main:abort-${randomUUID()}`;
      const ack = await send(me, "SLOW:400 abort me", sessionKey);
      await firstDelta(me, ack.runId);
      const answer = await me.request("chat.abort", { sessionKey, runId: ack.runId });
      expect(answer).toMatchObject({ aborted: true, runIds: [ack.runId] });
      const end = await me.terminal(ack.runId);
      expect(end.state).toBe("aborted");
      expect(textOf(end)).toContain("word1");
      expect(textOf(end)).not.toContain("word400");
      expect(me.chatOf(ack.runId).filter((chat) => isTerminal(chat.state))).toHaveLength(1);
      expect(await me.request("chat.abort", { sessionKey, runId: ack.runId })).toMatchObject({
        aborted: false,
      });
    }, home);
  });
});

describe("coming back", () => {
  it("reconnects by itself after the socket is cut, and a run that went on is still there", async () => {
    await withClient(async (me) => {
      const sessionKey = `agent:main:reconnect-${randomUUID()}`;
      const ack = await send(me, "SLOW:120 go on", sessionKey);
      await firstDelta(me, ack.runId);
      (me.client as unknown as { ws: { terminate(): void } }).ws.terminate();
      await me.connectedTimes(2);
      const history = await me.request<{ inFlightRun?: { runId: string } }>("chat.history", {
        sessionKey,
        limit: 10,
      });
      expect(history.inFlightRun?.runId).toBe(ack.runId);
      const end = await me.terminal(ack.runId);
      expect(end.state).toBe("final");
      expect(textOf(end)).toContain("word120");
    }, home);
  });

  it("is issued a device token and may come back with that alone", async () => {
    const device = newDevice();
    const asDevice = {
      clientName: "openclaw-tui",
      mode: "ui",
      deviceIdentity: device.identity,
      hostDeps: device.hostDeps,
    } as const;
    await withClient(async () => undefined, home, asDevice);
    const [issued] = device.issued;
    expect(issued?.token).toBeTruthy();
    expect(issued?.token).not.toBe(home.token);
    await withClient(
      async (me) => expect(await me.request("sessions.list", { limit: 1 })).toHaveProperty("sessions"),
      { ...home, token: "" },
      { ...asDevice, token: undefined },
    );
  });

  it("refuses a device token that another device was issued", async () => {
    const [mine, theirs] = [newDevice(), newDevice()];
    const asDevice = (device: ReturnType<typeof newDevice>) =>
      ({
        clientName: "openclaw-tui",
        mode: "ui",
        deviceIdentity: device.identity,
        hostDeps: device.hostDeps,
      }) as const;
    await withClient(async () => undefined, home, asDevice(mine));
    theirs.issued.push(...mine.issued);
    const refused = await connect({ ...home, token: "" }, { ...asDevice(theirs), token: undefined }).catch(
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({ details: { code: "AUTH_DEVICE_TOKEN_MISMATCH" } });
  });
});

describe("two tenants on one process", () => {
  it("share no session, no event and no run, though their keys are the same", async (context) => {
    const other = gateway.targets[1];
    if (!other) return context.skip("the stock gateway has one tenant");
    await withClient(async (me) => {
      await withClient(async (them) => {
        await them.request("sessions.subscribe", {});
        const secret = `canary-${randomUUID()}`;
        const sessionKey = `agent:main:${secret}`;
        const ack = await send(me, `SAY:${secret}`, sessionKey);
        await me.terminal(ack.runId);
        const theirRun = await send(them, "SAY:fence");
        await them.terminal(theirRun.runId);
        const seen = [
          await them.request("sessions.list", { limit: 200 }),
          await them.request("chat.history", { sessionKey, limit: 10 }),
          await them.request("sessions.usage", {}),
          them.events,
        ];
        expect(JSON.stringify(seen).replaceAll(`"sessionKey":"${sessionKey}"`, "")).not.toContain(secret);
        expect(await them.request("chat.abort", { sessionKey, runId: ack.runId })).toMatchObject({
          aborted: false,
        });
      }, other);
    }, home);
  });
});

// Last on purpose: the stock gateway rests a provider that answered 401, and later turns would fail there.
describe("a turn", () => {
  it("that the provider refuses ends in one error event the person can read", async () => {
    await withClient(async (me) => {
      const ack = await send(me, "ERR401", `agent:main:error-${randomUUID()}`);
      const end = await me.terminal(ack.runId);
      expect(end.state).toBe("error");
      expect(end.errorMessage).toMatch(/auth|401|credential|key/i);
      expect(await me.request("health")).toMatchObject({ ok: true });
    }, home);
  });
});
