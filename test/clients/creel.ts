/**
 * Creel as a process of its own, as an operator would run it. Owns: state folder, config file, start, tenants and tokens by the
 * command line, stop and crash. Refuses to know: its source code; only the command line and the ports are used.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { modelConfig, run } from "./openclaw.ts";
import { freePort, type Gateway, stopChild, type Target, tailOf, waitReady } from "./target.ts";

const ROOT = resolve(import.meta.dirname, "../..");

/** Roles a token can carry. */
export type TokenRole = "owner" | "admin" | "member" | "readonly";

/** A running Creel and what an operator can do beside it. */
export type Creel = Gateway & {
  kind: "creel";
  stateDir: string;
  port: number;
  /** Runs `creel <args> --state-dir … --json` and parses what it prints. */
  command(...args: string[]): Promise<Record<string, unknown>>;
  createTenant(slug: string): Promise<Target>;
  createToken(slug: string, role?: TokenRole): Promise<string>;
  /** Ends the process as a power cut would. */
  kill(): Promise<void>;
  /** Starts it again on the same port and state. */
  restart(): Promise<void>;
};

/** How Creel is started. */
export type CreelOptions = {
  modelBaseUrl: string;
  /** Slugs of the tenants to make; the first is the one of `--tenant`. */
  tenants?: string[];
  /** Further configuration, merged over the model part. */
  config?: Record<string, unknown>;
  env?: Record<string, string>;
};

/** Starts Creel on a free port with a fresh state folder, two tenants and an owner token for each. */
export async function startCreel(options: CreelOptions): Promise<Creel> {
  const stateDir = await mkdtemp(join(tmpdir(), "creel-state-"));
  const port = await freePort();
  const [first = "home", ...others] = options.tenants ?? ["home", "other"];
  await writeFile(join(stateDir, "creel.json5"), JSON.stringify(creelConfig(options)));
  const launch = () => launchCreel(stateDir, port, first, options.env ?? {});
  let running = await launch();
  const creel: Creel = {
    kind: "creel",
    get pid() {
      return running.child.pid ?? 0;
    },
    readyMs: running.readyMs,
    targets: [],
    stateDir,
    port,
    output: () => running.output(),
    command: (...args) => command(stateDir, args),
    createToken: async (slug, role = "owner") =>
      tokenIn(
        await command(stateDir, [
          "token",
          "create",
          "--tenant",
          slug,
          "--role",
          role,
          "--name",
          `${role}-${slug}`,
        ]),
      ),
    createTenant: async (slug) => {
      await command(stateDir, ["tenant", "create", "--slug", slug, "--name", slug]);
      return targetFor(port, slug, await creel.createToken(slug));
    },
    kill: async () => {
      const ended = new Promise((done) => running.child.once("exit", done));
      running.child.kill("SIGKILL");
      await ended;
    },
    restart: async () => {
      await stopChild(running.child);
      running = await launch();
    },
    stop: async () => {
      await stopChild(running.child);
      await rm(stateDir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  creel.targets.push(targetFor(port, first, await creel.createToken(first)));
  for (const slug of others) creel.targets.push(await creel.createTenant(slug));
  return creel;
}

const NO_LOOPS = {
  ...{ sessionPerMinute: 0, sessionPerHour: 0, sessionChain: 0 },
  ...{ senderChain: 0, tenantPerMinute: 0, tenantPerHour: 0 },
};

function creelConfig(options: CreelOptions): Record<string, unknown> {
  const egress = { allowPrivate: ["127.0.0.1"] };
  // A benchmark begins more turns in a session than people ever do.
  return { ...modelConfig(options.modelBaseUrl), egress, turns: NO_LOOPS, ...options.config };
}

function targetFor(port: number, slug: string, token: string): Target {
  return { name: slug, wsUrl: `ws://127.0.0.1:${port}`, httpUrl: `http://127.0.0.1:${port}`, token };
}

async function launchCreel(stateDir: string, port: number, tenant: string, env: Record<string, string>) {
  const args = ["bin/creel.js", "serve", "--host", "127.0.0.1", "--port", String(port)];
  const child: ChildProcess = spawn(
    process.execPath,
    [...args, "--state-dir", stateDir, "--tenant", tenant],
    {
      cwd: ROOT,
      env: { ...cleanEnv(), ...env },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const output = tailOf(child);
  const readyMs = await waitReady(child, `http://127.0.0.1:${port}`, output);
  return { child, output, readyMs };
}

async function command(stateDir: string, args: string[]): Promise<Record<string, unknown>> {
  const entry = existsSync(join(ROOT, "bin/creel.js")) ? "bin/creel.js" : "src/cli.ts";
  const done = await run(process.execPath, [entry, ...args, "--json", "--state-dir", stateDir], {
    cwd: ROOT,
    env: cleanEnv(),
    timeoutMs: 60_000,
  });
  if (done.code !== 0)
    throw new Error(`creel ${args.join(" ")} ended with ${done.code}\n${done.stdout}${done.stderr}`);
  return JSON.parse(done.stdout) as Record<string, unknown>;
}

function tokenIn(printed: Record<string, unknown>): string {
  if (typeof printed["token"] !== "string") throw new Error("token create printed no token");
  return printed["token"];
}

/** The caller's environment without what would configure Creel or a model provider from outside. */
function cleanEnv(): Record<string, string> {
  const entries = Object.entries(process.env).filter(
    ([name]) => !/^(OPENCLAW|CREEL|OPENAI|VITEST)/.test(name),
  );
  return Object.fromEntries(entries) as Record<string, string>;
}
