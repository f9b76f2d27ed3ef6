/**
 * The real server in a process of its own, so that it can be killed. Owns: its state folder, its start, its death.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { makeApp } from "#src/app.ts";
import { loadConfig } from "#src/config/load.ts";
import type { TenantId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { Role } from "#src/tenancy/scopes.ts";
import type { FailPoint } from "./fail-points.ts";
import { SocketClient } from "./socket-client.ts";
import { startApp } from "./start-app.ts";

/** The key the operator configured for the mock provider; it must appear nowhere but in the provider's record. */
export const OPERATOR_KEY = "sk-operator-0123456789abcdef";

/** A tenant that was prepared, and one token per role asked for. */
export interface ChildTenant {
  id: string;
  slug: string;
  tokens: Partial<Record<Role, string>>;
  /** Another person of the same tenant, where asked for. */
  second: string;
  secondId: string;
}

/** How the server is started. */
export interface ChildOptions {
  failPoint?: FailPoint;
  env?: Record<string, string>;
}

const MAIN = resolve(import.meta.dirname, "../../src/main.ts");
/** What bin/creel.js uses too: a start takes half the time. */
const COMPILED = resolve(import.meta.dirname, "../../node_modules/.cache/creel");
const FAIL_POINTS = resolve(import.meta.dirname, "fail-points.ts");

/** A state folder and the servers that ran on it, one after the other. */
export class ChildWorld {
  readonly stateDir: string;
  readonly tenants = new Map<string, ChildTenant>();
  /** Everything all servers wrote to standard error and output. */
  output = "";
  private child: ChildProcess | undefined;
  private ended: Promise<number | null> = Promise.resolve(null);
  private clients: SocketClient[] = [];
  private address = "";

  private constructor(stateDir: string) {
    this.stateDir = stateDir;
  }

  /** A folder with nothing but a configuration: the first start is still to come. */
  static async empty(baseUrl: string): Promise<ChildWorld> {
    const stateDir = await mkdtemp(join(tmpdir(), "creel-child-"));
    await writeFile(join(stateDir, "creel.json5"), JSON.stringify(configOf(baseUrl, {})));
    return new ChildWorld(stateDir);
  }

  /** Another server on the same folder. */
  static beside(world: ChildWorld): ChildWorld {
    return new ChildWorld(world.stateDir);
  }

  /** A copy of the folder as it is, with the same tenants; no server may be running on this one. */
  async copy(): Promise<ChildWorld> {
    const stateDir = await mkdtemp(join(tmpdir(), "creel-child-"));
    await cp(this.stateDir, stateDir, { recursive: true });
    const copied = new ChildWorld(stateDir);
    for (const [slug, tenant] of this.tenants) copied.tenants.set(slug, tenant);
    return copied;
  }

  /** Make the folder, its configuration and tenants with their agents, before any server ran. */
  static async make(options: {
    baseUrl: string;
    slugs: readonly string[];
    /** Tools of every main agent besides the ones it has. */
    tools?: readonly string[];
    model?: Record<string, unknown>;
  }): Promise<ChildWorld> {
    const world = await ChildWorld.empty(options.baseUrl);
    const { stateDir } = world;
    if (options.model !== undefined) {
      await writeFile(
        join(stateDir, "creel.json5"),
        JSON.stringify(configOf(options.baseUrl, options.model)),
      );
    }
    const app = await startApp({ stateDir });
    for (const slug of options.slugs) {
      const owner = await app.token(slug, "owner");
      const { id } = await app.tenant(slug);
      const draft = { role: "member", name: "second", maker: { kind: "machine" } } as const;
      const second = await app.app.auth.tokens.create(id, draft);
      const tenant = { id, slug, tokens: { owner }, second: second.secret, secondId: second.token.id };
      world.tenants.set(slug, tenant);
      if (options.tools === undefined) continue;
      const client = new SocketClient(app.wsUrl);
      await client.connect(owner);
      await client.call("agents.list", {});
      client.close();
      const sql = "UPDATE agents SET tools_allowed = ? WHERE id = 'main'";
      const statement = { sql, params: [JSON.stringify(options.tools)], expect: 1 };
      await app.app.door.scope(await app.tenant(slug)).db.write({ statements: [statement] });
    }
    await app.close();
    return world;
  }

  get wsUrl(): string {
    return this.address.replace("http:", "ws:");
  }

  get url(): string {
    return this.address;
  }

  tenant(slug: string): ChildTenant {
    const tenant = this.tenants.get(slug);
    if (tenant === undefined) throw new Error(`no tenant ${slug}`);
    return tenant;
  }

  /** Start a server; resolves when it serves. */
  async start(options: ChildOptions = {}): Promise<void> {
    // Left over by a test that failed half way.
    if (this.isRunning) await this.kill();
    if (options.failPoint === undefined) await this.disarm();
    else await this.arm(options.failPoint);
    const child = spawn(
      process.execPath,
      [
        "--import",
        FAIL_POINTS,
        MAIN,
        "serve",
        "--port",
        "0",
        "--state-dir",
        this.stateDir,
        "--log-level",
        "debug",
      ],
      {
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          PATH: process.env["PATH"],
          HOME: this.stateDir,
          NODE_COMPILE_CACHE: COMPILED,
          CREEL_FAIL_POINT: this.failPointFile,
          ...options.env,
        },
      },
    );
    this.child = child;
    const killWithUs = () => child.kill("SIGKILL");
    process.once("exit", killWithUs);
    child.once("close", () => process.off("exit", killWithUs));
    this.ended = new Promise((done) => child.once("close", (code) => done(code)));
    const { promise, resolve: serves, reject } = Promise.withResolvers<void>();
    let said = "";
    const hear = (chunk: Buffer) => {
      said += String(chunk);
      this.output += String(chunk);
      if (/Creel serves at http:\S+\s/.test(said)) serves();
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    void this.ended.then((code) => reject(new Error(`ended with ${code}: ${said.slice(-2_000)}`)));
    await promise;
    const text = await readFile(join(this.stateDir, "server.json"), "utf8");
    this.address = (JSON.parse(text) as { address: string }).address;
  }

  /** A server is running, with this fail-point or none; one that runs already is taken as it is. */
  async ready(failPoint?: FailPoint): Promise<void> {
    if (!this.isRunning) await this.start(failPoint === undefined ? {} : { failPoint });
    else if (failPoint !== undefined) await this.arm(failPoint);
  }

  /** Let the running server die at this point; see fail-points. */
  async arm(failPoint: FailPoint): Promise<void> {
    const draft = `${this.failPointFile}.draft`;
    await writeFile(draft, JSON.stringify(failPoint));
    await rename(draft, this.failPointFile);
  }

  private async disarm(): Promise<void> {
    await rm(this.failPointFile, { force: true });
  }

  private get failPointFile(): string {
    return join(this.stateDir, "fail-point.json");
  }

  /** A connected client of a tenant's owner, subscribed to its sessions. */
  async client(
    slug: string,
    token = this.tenant(slug).tokens.owner ?? "",
    caps: string[] = [],
  ): Promise<SocketClient> {
    const client = new SocketClient(this.wsUrl);
    this.clients.push(client);
    await client.connect(token, { caps });
    await client.call("sessions.subscribe", {});
    return client;
  }

  /** Take the second person's access away while no server runs. */
  async revokeSecond(slug: string): Promise<void> {
    const { config } = loadConfig({ env: {}, flags: { "state-dir": this.stateDir, port: "0" } });
    const app = await makeApp({ config, log: makeLog({ level: "silent" }), uiDirectory: null });
    const { id, secondId } = this.tenant(slug);
    await app.auth.tokens.revoke(id as TenantId, secondId);
    await app.close();
  }

  /** Kill without warning, now. */
  async kill(): Promise<void> {
    this.child?.kill("SIGKILL");
    await this.gone();
  }

  /** Send a signal that ends nothing. */
  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** Ask to stop; resolves with the exit code. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    this.child?.kill(signal);
    return this.gone();
  }

  /** Resolves when the server is gone, by whatever cause. */
  async gone(): Promise<number | null> {
    const code = await this.ended;
    for (const client of this.clients.splice(0)) client.socket.terminate();
    this.child = undefined;
    return code;
  }

  get isRunning(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  async close(): Promise<void> {
    if (this.isRunning) await this.kill();
    await rm(this.stateDir, { recursive: true, force: true });
  }
}

/** Nobody looks like a loop, however much a storm sends. */
const NO_LOOPS = {
  ...{ sessionPerMinute: 0, sessionPerHour: 0, sessionChain: 0 },
  ...{ senderChain: 0, tenantPerMinute: 0, tenantPerHour: 0 },
};

function configOf(baseUrl: string, model: Record<string, unknown>): Record<string, unknown> {
  const cost = { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 };
  return {
    models: {
      providers: {
        mock: {
          baseUrl,
          apiKey: OPERATOR_KEY,
          api: "openai-completions",
          models: [{ id: "mock-1", name: "Mock", contextWindow: 128_000, maxTokens: 4_096, cost, ...model }],
        },
      },
    },
    agents: { defaults: { model: { primary: "mock/mock-1" } } },
    egress: { allowPrivate: ["127.0.0.1"] },
    turns: NO_LOOPS,
  };
}
