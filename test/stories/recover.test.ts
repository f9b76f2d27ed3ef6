/** Coming back: after a reconnect, a restart, a long conversation, a full or broken disk. */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { assertSettled, textIn } from "../support/provider-ledger.ts";
import { chat, endsOf, history, ProviderWorld, until } from "../support/provider-world.ts";
import type { SocketClient } from "../support/socket-client.ts";

const SLUG = "acme";

let world: ProviderWorld;
let client: SocketClient;

async function begin(options: Parameters<typeof ProviderWorld.start>[0] = {}): Promise<void> {
  world = await ProviderWorld.start(options);
  client = await world.client(SLUG);
  await client.call("agents.list", {});
}

afterEach(async () => {
  await world.close();
});

async function send(message: string, sessionKey = "main"): Promise<string> {
  const key = randomUUID();
  await client.call("chat.send", { sessionKey, message, idempotencyKey: key });
  return key;
}

describe("a client that reconnects", () => {
  beforeEach(() => begin());

  it("finds what is in flight and can follow on without a gap", async () => {
    const key = await send("SLOW:40");
    await until(client, key, "chat", (payload) => payload["state"] === "delta");
    client.socket.terminate();
    const back = await world.client(SLUG);
    const page = await history(back);
    const { runId, text } = page["inFlightRun"] as { runId: string; text: string };
    expect(runId).toBe(key);
    expect(text).toMatch(/^word1 /);
    const end = await back.terminal(key);
    const whole = textIn((end["message"] as { content: unknown }).content);
    expect(whole.startsWith(text)).toBe(true);
    expect(whole).toContain("word40");
    for (const delta of back.events("chat").filter((event) => event["state"] === "delta")) {
      const shown = textIn((delta["message"] as { content: unknown }).content);
      expect(whole.startsWith(shown)).toBe(true);
    }
    expect((await history(back))["inFlightRun"]).toBeUndefined();
  });

  it("pages back through everything, each row once, and catches up from its cursor", async () => {
    for (let n = 0; n < 6; n++) await chat(client, `SAY:answer ${n}`);
    const seen: number[] = [];
    let offset = 0;
    for (let hasMore = true; hasMore; ) {
      const page = await history(client, { limit: 5, offset });
      const seqs = page.messages.map((row) => (row["__openclaw"] as { seq: number }).seq);
      expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
      seen.unshift(...seqs);
      hasMore = page["hasMore"] === true;
      offset = Number(page["nextOffset"]);
      expect(page["totalMessages"]).toBe(12);
    }
    expect(seen).toEqual(Array.from({ length: 12 }, (_, n) => n + 1));
    const { deltaCursor } = await history(client, { limit: 1 });
    expect(await history(client, { cursor: deltaCursor })).toMatchObject({ kind: "delta", messages: [] });
    const turn = await chat(client, "SAY:news");
    const delta = await history(client, { cursor: deltaCursor });
    expect(delta["kind"]).toBe("delta");
    expect(delta.messages.map((one) => (one["message"] as { role: string }).role)).toEqual([
      "user",
      "assistant",
    ]);
    expect(delta.messages.map((one) => one["messageSeq"])).toEqual([13, 14]);
    // What was pushed is what is caught up.
    const pushed = client
      .events("session.message")
      .filter((event) => JSON.stringify(event).includes(turn.key));
    expect(pushed.map((event) => event["messageId"])).toEqual(
      expect.arrayContaining(delta.messages.map((one) => one["messageId"]).slice(1)),
    );
    expect(await history(client, { cursor: delta.deltaCursor })).toMatchObject({ messages: [] });
  });

  it("is told to begin anew when its cursor fits no more", async () => {
    await chat(client, "SAY:one");
    const { deltaCursor } = await history(client);
    for (const cursor of [
      "garbage",
      "",
      deltaCursor.slice(0, -2),
      Buffer.from("x:99999").toString("base64url"),
    ]) {
      expect(await history(client, { cursor })).toEqual({ kind: "reset" });
    }
    const foreign = await world.client("beta");
    expect(await history(foreign, { cursor: deltaCursor })).toEqual({ kind: "reset" });
    await client.call("sessions.reset", { key: "main" });
    expect(await history(client, { cursor: deltaCursor })).toEqual({ kind: "reset" });
    expect((await history(client)).messages).toEqual([]);
  });

  it("gets no more bytes and characters than it asks for, but always the newest row", async () => {
    await chat(client, "SAY:short");
    await chat(client, `SAY:${"字".repeat(2_000)}`);
    const small = await history(client, { maxBytes: 3_000 });
    expect(small.messages).toHaveLength(1);
    expect(small["hasMore"]).toBe(true);
    for (let n = 0; n < 9; n++) {
      await client.call("chat.inject", { sessionKey: "main", message: `${n} ${"z".repeat(900_000)}` });
    }
    const page = await history(client);
    expect(JSON.stringify(page).length).toBeLessThan(10_000_000);
    expect(page).toMatchObject({ hasMore: true, nextOffset: page.messages.length, totalMessages: 13 });
    expect(page.messages.at(-1)).toMatchObject({ role: "assistant" });
    const older = await history(client, { offset: page["nextOffset"] });
    expect(older.messages.length + page.messages.length).toBe(13);
    const cut = await history(client, { maxChars: 10 });
    for (const row of cut.messages) expect(textIn(row["content"]).length).toBeLessThanOrEqual(11);
  });
});

describe("a restart while an answer is written", () => {
  beforeEach(() => begin());

  it("is no end: the run goes on, ends once, and the attempt that answered is paid for", async () => {
    const key = await send("SLOW:30");
    const waiting = await send("SAY:waiting");
    await until(client, key, "chat", (payload) => payload["state"] === "delta");
    await world.restart();
    expect(client.closed?.code).toBe(1012);
    expect(endsOf(client, key)).toEqual([]);
    expect(endsOf(client, waiting)).toEqual([]);
    client = await world.client(SLUG);
    for (const one of [key, waiting]) {
      expect(await client.call("agent.wait", { runId: one, timeoutMs: 15_000 })).toMatchObject({
        status: "ok",
      });
    }
    const stored = await world.stored(SLUG);
    assertSettled(
      stored,
      new Map([
        [key, "SLOW:30"],
        [waiting, "SAY:waiting"],
      ]),
    );
    expect(stored.messages.map((row) => [row.role, row.runId])).toEqual([
      ["user", key],
      ["assistant", key],
      ["user", waiting],
      ["assistant", waiting],
    ]);
    expect(textIn(stored.messages[1]?.message.content)).toContain("word30");
    const bills = stored.usage.filter((event) => event.run_id === key);
    expect(bills.map((event) => [event.is_exact, event.output_tokens])).toEqual([[1, 20]]);
  });

  it("does not end inputs that joined, nor show a partial answer as a whole one to programs", async () => {
    await world.allow(SLUG, ["shell"]);
    const first = await send('TOOLCALL:shell {"command":"sleep 0.3; echo slept"}');
    await until(client, first, "agent", (payload) => payload["stream"] === "tool");
    const second = await send("SLOW:40 joined");
    await world.mock.waitFor((one) => one.lastUserText.includes("joined"));
    const token = await world.creel.token(SLUG);
    const programs = [false, true].map((stream) => complete(token, stream));
    await world.mock.waitFor((one) => one.lastUserText.includes("program, streamed: false"));
    await world.mock.waitFor((one) => one.lastUserText.includes("program, streamed: true"));
    await world.restart();
    expect(endsOf(client, second)).toEqual([]);
    const [whole, streamed] = await Promise.all(programs);
    expect(whole?.status).not.toBe(200);
    expect(streamed?.body).not.toContain('"finish_reason":"stop"');
    client = await world.client(SLUG);
    for (const one of [first, second]) {
      expect(await client.call("agent.wait", { runId: one, timeoutMs: 15_000 })).toMatchObject({
        status: "ok",
      });
    }
    const stored = await world.stored(SLUG);
    const answers = stored.messages.filter((row) => row.runId === first && row.message.stopReason === "stop");
    expect(answers).toHaveLength(1);
  });
});

describe("a summary that breaks off", () => {
  it("is paid for all the same, and the conversation goes on without it", async () => {
    await begin({ model: { contextWindow: 6_000, maxTokens: 500 }, mock: { pieceDelayMs: 2 } });
    await chat(client, "CUTMID");
    for (let n = 0; n < 9; n++) {
      expect((await chat(client, `LONG:2400 fact-${n}`)).end).toMatchObject({ state: "final" });
    }
    const summaries = world.mock.requests.filter((request) => request.lastUserText.startsWith("User: "));
    expect(summaries.length).toBeGreaterThan(0);
    const { usage } = await world.stored(SLUG);
    const billed = usage.filter((event) => event.purpose === "compaction");
    expect(billed.map((event) => event.is_exact)).toEqual(summaries.map(() => 0));
  }, 60_000);
});

/** Ask as a program does, by OpenAI's API. */
function complete(token: string, stream: boolean): Promise<{ status: number; body: string }> {
  return fetch(`${world.creel.url}/t/${SLUG}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({
      stream,
      messages: [{ role: "user", content: `SLOW:60 program, streamed: ${stream}` }],
    }),
  }).then(
    async (response) => ({ status: response.status, body: await response.text().catch(() => "") }),
    () => ({ status: 0, body: "" }),
  );
}

describe("a conversation longer than the model can hold", () => {
  it("goes on: older parts are summed up and paid for, nothing is lost from what people see", async () => {
    await begin({ model: { contextWindow: 6_000, maxTokens: 500 } });
    for (let n = 0; n < 14; n++) {
      const turn = await chat(client, `LONG:2400 fact-${n}`);
      expect(turn.end).toMatchObject({ state: "final" });
    }
    const stored = await world.stored(SLUG);
    const summaries = stored.messages.filter((row) => row.role === "compaction");
    expect(summaries.length).toBeGreaterThanOrEqual(2);
    expect(stored.messages.filter((row) => row.role === "user")).toHaveLength(14);
    const billed = stored.usage.filter((event) => event.purpose === "compaction");
    expect(billed).toHaveLength(summaries.length);
    expect(stored.usage.filter((event) => event.kind === "model")).toHaveLength(world.mock.requests.length);
    const last = world.mock.requests.at(-1)?.body?.messages ?? [];
    expect(JSON.stringify(last).length).toBeLessThan(6_000 * 4);
    expect(JSON.stringify(last)).toContain("Summary of the conversation so far");
    expect(JSON.stringify(last)).toContain("fact-13");
    expect(JSON.stringify(last)).not.toContain("fact-0 ");
    await world.restart();
    client = await world.client(SLUG);
    expect((await chat(client, "SAY:after the restart")).end).toMatchObject({ state: "final" });
    const again = JSON.stringify(world.mock.requests.at(-1)?.body?.messages);
    expect(again).toContain("Summary of the conversation so far");
    const page = await history(client, { limit: 1_000 });
    expect(page.messages.filter((row) => row["role"] === "user")).toHaveLength(15);
  }, 60_000);
});

describe("a disk", () => {
  it("that is full refuses new input with words, ends what runs, and works again without a restart", async (context) => {
    const disk = mkdtempSync(join(tmpdir(), "creel-disk-"));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], { stdio: "pipe" });
    } catch {
      await begin();
      context.skip("mounting a small disk needs root");
    }
    await begin({ stateDir: disk });
    try {
      await chat(client, "SAY:before");
      const running = await send("SLOW:60", "agent:main:running");
      const waiting = await send("SAY:waits", "agent:main:running");
      await until(client, running, "chat", (payload) => payload["state"] === "delta");
      fillUp(disk);
      const refused = client.call("chat.send", {
        sessionKey: "main",
        message: "x".repeat(50_000),
        idempotencyKey: "refused",
      });
      await expect(refused).rejects.toMatchObject({
        error: { code: "UNAVAILABLE", message: expect.stringContaining("disk is full") },
      });
      const end = await client.terminal(running);
      expect(end["state"]).toBe("error");
      expect(end["errorMessage"]).toMatch(/disk is full/);
      expect(endsOf(client, running)).toHaveLength(1);
      rmSync(join(disk, "ballast"));
      expect((await chat(client, "SAY:after")).end).toMatchObject({ state: "final" });
      expect(await client.terminal(waiting)).toMatchObject({ state: "final" });
      await expect
        .poll(async () => (await client.call("agent.wait", { runId: running, timeoutMs: 0 })) as object, {
          timeout: 10_000,
        })
        .toMatchObject({ status: "error" });
      const stored = await world.stored(SLUG);
      assertSettled(stored, new Map([[running, "SLOW:60"]]));
      expect(stored.runs.some((run) => run.run_id === "refused")).toBe(false);
      // The provider worked for the run that could not be stored.
      expect(stored.usage.filter((event) => event.run_id === running && event.kind === "model")).toHaveLength(
        1,
      );
    } finally {
      await world.close().catch(() => undefined);
      execFileSync("umount", [disk]);
      rmSync(disk, { recursive: true });
      await begin();
    }
  }, 60_000);

  it("that lost part of a transcript or a database: that one says unavailable, others are served", async () => {
    await begin();
    const beta = await world.client("beta");
    await chat(client, "SAY:one");
    await chat(client, "SAY:two", { sessionKey: "agent:main:second" });
    await chat(beta, "SAY:beta");
    const { id } = await world.creel.tenant(SLUG);
    const stored = await world.stored(SLUG);
    const sessionId = stored.sessions.find((session) => session.key === "agent:main:main")?.session_id;
    const folder = join(world.creel.stateDir, "tenants", id);
    truncateSync(join(folder, "agents/main/sessions", `${sessionId}.jsonl`), 10);
    await expect(history(client)).rejects.toMatchObject({ error: { code: "UNAVAILABLE" } });
    await expect(send("into the gap")).rejects.toMatchObject({ error: { code: "UNAVAILABLE" } });
    expect((await chat(client, "SAY:still", { sessionKey: "agent:main:second" })).end).toMatchObject({
      state: "final",
    });
    await world.restart(() => writeFileSync(join(folder, "tenant.db"), "no database"));
    const back = await world.client("beta");
    expect((await chat(back, "SAY:beta again")).end).toMatchObject({ state: "final" });
    const broken = await world.client(SLUG).catch((thrown: Error) => thrown);
    if (!(broken instanceof Error)) {
      await expect(history(broken)).rejects.toMatchObject({ error: { code: "UNAVAILABLE" } });
    }
  });
});

/** Take all the room there is. */
function fillUp(disk: string): void {
  try {
    execFileSync("dd", ["if=/dev/zero", `of=${join(disk, "ballast")}`, "bs=4k"], { stdio: "pipe" });
  } catch {
    // That is what full means.
  }
}
