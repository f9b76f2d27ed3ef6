/**
 * A Creel in this process that asks a provider on loopback, and ways to see what came of it.
 * Owns: the wiring of both, reading a tenant's records back.
 */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "#src/config/options.ts";
import { OPERATOR_KEY } from "./child-server.ts";
import { type MockModel, type MockOptions, start as startMock } from "./mock-model.ts";
import { readStored, type Stored } from "./provider-ledger.ts";
import { SocketClient } from "./socket-client.ts";
import { startApp, type TestApp } from "./start-app.ts";

type Payload = Record<string, unknown>;

/** See the head of this file. */
export class ProviderWorld {
  readonly mock: MockModel;
  creel: TestApp;
  private readonly startCreel: () => Promise<TestApp>;
  private readonly clients: SocketClient[] = [];

  private constructor(mock: MockModel, creel: TestApp, startCreel: () => Promise<TestApp>) {
    this.mock = mock;
    this.creel = creel;
    this.startCreel = startCreel;
  }

  static async start(
    options: {
      mock?: MockOptions;
      model?: Record<string, unknown>;
      /** Models of the same provider besides the first. */
      moreModels?: NonNullable<Config["providers"]>[string]["models"];
      /** Other providers. */
      providers?: Config["providers"];
      config?: Partial<Config>;
      stateDir?: string;
    } = {},
  ): Promise<ProviderWorld> {
    const mock = await startMock({ slowDelayMs: 15, ...options.mock });
    const cost = { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 };
    const model = {
      id: "mock-1",
      name: "Mock",
      contextWindow: 128_000,
      maxTokens: 4_096,
      cost,
      ...options.model,
    };
    const provider = {
      baseUrl: mock.baseUrl,
      apiKey: OPERATOR_KEY,
      models: [model, ...(options.moreModels ?? [])],
    };
    const config = {
      providers: { mock: provider, ...options.providers },
      defaultModel: "mock/mock-1",
      egressAllowPrivate: ["127.0.0.1"],
      ...options.config,
    };
    const stateDir = options.stateDir ?? (await mkdtemp(join(tmpdir(), "creel-provider-")));
    const startCreel = () => startApp({ stateDir, config });
    return new ProviderWorld(mock, await startCreel(), startCreel);
  }

  /** Stop, do something to the files, start again. */
  async restart(meanwhile: () => void = () => undefined): Promise<void> {
    await this.creel.close();
    meanwhile();
    this.creel = await this.startCreel();
  }

  /** A client of a tenant that hears everything; each `name` is another person. */
  async client(
    slug: string,
    name = "first",
    caps: readonly string[] = ["tool-events"],
  ): Promise<SocketClient> {
    const client = new SocketClient(this.creel.wsUrl);
    this.clients.push(client);
    await client.connect(await this.creel.token(slug, "owner", `${name}-${randomUUID()}`), { caps });
    await client.call("sessions.subscribe", {});
    return client;
  }

  /** Let a tenant's main agent use exactly these tools. */
  async allow(slug: string, tools: readonly string[]): Promise<void> {
    const scope = this.creel.app.door.scope(await this.creel.tenant(slug));
    const statement = {
      sql: "UPDATE agents SET tools_allowed = ? WHERE id = 'main'",
      params: [JSON.stringify(tools)],
      expect: 1,
    };
    const outcome = await scope.db.write({ statements: [statement] });
    if (!outcome.committed) throw new Error("the main agent is not there yet");
  }

  /** What is on disk of a tenant, checked for soundness. */
  async stored(slug: string): Promise<Stored> {
    return readStored(this.creel.stateDir, (await this.creel.tenant(slug)).id);
  }

  async close(): Promise<void> {
    for (const client of this.clients) client.close();
    await this.creel.close();
    await this.mock.close();
    await rm(this.creel.stateDir, { recursive: true, force: true });
  }
}

/** One message and all that clients and disk say about it. */
export interface Turn {
  key: string;
  ack: Payload;
  end: Payload;
  /** All `chat` events of the run. */
  chat: Payload[];
}

/** Send a message and wait for its end. */
export async function chat(
  client: SocketClient,
  message: string,
  params: Payload = {},
  timeoutMs = 20_000,
): Promise<Turn> {
  const key = randomUUID();
  const ack = (await client.call("chat.send", {
    sessionKey: "main",
    message,
    idempotencyKey: key,
    ...params,
  })) as Payload;
  const end = await client.terminal(key, timeoutMs);
  return { key, ack, end, chat: chatOf(client, key) };
}

/** `chat` events of a run so far. */
export function chatOf(client: SocketClient, key: string): Payload[] {
  return client.events("chat").filter((event) => event["runId"] === key);
}

/** Terminal `chat` events of a run so far; there must never be two. */
export function endsOf(client: SocketClient, key: string): Payload[] {
  return chatOf(client, key).filter((event) =>
    ["final", "aborted", "error"].includes(String(event["state"])),
  );
}

/** `agent` events of a run so far, by stream. */
export function agentOf(client: SocketClient, key: string, stream: string): Payload[] {
  return client
    .events("agent")
    .filter((event) => event["runId"] === key && event["stream"] === stream)
    .map((event) => event["data"] as Payload);
}

/** Wait for an event of a run. */
export async function until(
  client: SocketClient,
  key: string,
  event: string,
  fits: (payload: Payload) => boolean = () => true,
): Promise<Payload> {
  const frame = await client.until((one) => {
    const payload = one["payload"] as Payload | undefined;
    return one["event"] === event && payload?.["runId"] === key && fits(payload);
  });
  return frame["payload"] as Payload;
}

/** The history page of a session. */
export async function history(client: SocketClient, params: Payload = {}) {
  return (await client.call("chat.history", { sessionKey: "main", ...params })) as Payload & {
    messages: Payload[];
    pendingInputs: { items: Payload[]; total: number };
    deltaCursor: string;
  };
}
