/**
 * The stock `openclaw` package in a temporary folder of its own. Owns: installing it once per machine, running its command
 * line, starting its gateway. Refuses to know: Creel.
 *
 * The folder is `<os temp>/creel-openclaw-<version>` and stays between runs (about 650 MB), so that only the first run waits for
 * the network. Delete it to install afresh.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { freePort, type Gateway, stopChild, tailOf, waitReady } from "./target.ts";

/** The release every stock test drives; PROTOCOL facts were recorded with it. */
export const OPENCLAW_VERSION = "2026.9.6";

const INSTALL_TIMEOUT_MS = 540_000;

/** What a finished command left behind. */
export type Finished = { code: number | null; stdout: string; stderr: string };

/** Where the stock package lies once installed. */
export function openclawDir(): string {
  return join(tmpdir(), `creel-openclaw-${OPENCLAW_VERSION}`, "node_modules", "openclaw");
}

/** Installs the stock package unless it is there already; returns its folder. */
export async function installOpenClaw(say: (line: string) => void = () => undefined): Promise<string> {
  if (existsSync(join(openclawDir(), ".installed"))) return openclawDir();
  const root = dirname(dirname(openclawDir()));
  say(`installing openclaw@${OPENCLAW_VERSION} in ${root} (first run only, about a minute)`);
  // A half-made folder of an interrupted run must not look complete, so npm works beside it and the result is moved in place.
  const fresh = await mkdtemp(`${root}-new-`);
  await writeFile(join(fresh, "package.json"), '{"private":true}\n');
  const args = [
    "install",
    `openclaw@${OPENCLAW_VERSION}`,
    "--ignore-scripts=false",
    "--no-audit",
    "--no-fund",
  ];
  const done = await run("npm", [...args, "--loglevel=error"], { cwd: fresh, timeoutMs: INSTALL_TIMEOUT_MS });
  if (done.code !== 0) throw new Error(`npm could not install openclaw@${OPENCLAW_VERSION}:\n${done.stderr}`);
  await writeFile(join(fresh, "node_modules", "openclaw", ".installed"), "");
  await rm(root, { recursive: true, force: true });
  await rename(fresh, root);
  return openclawDir();
}

/** Runs `openclaw …` with a home of its own and only the given gateway variables. */
export function openclaw(
  home: string,
  args: string[],
  options: { env?: Record<string, string>; timeoutMs?: number } = {},
): Promise<Finished> {
  return run(process.execPath, [join(openclawDir(), "openclaw.mjs"), ...args], {
    cwd: home,
    env: openclawEnv(home, options.env),
    timeoutMs: options.timeoutMs ?? 60_000,
  });
}

/** The environment of a stock process: its own home, our Node first in PATH, nothing of the caller's OPENCLAW_*. */
export function openclawEnv(home: string, extra: Record<string, string> = {}): Record<string, string> {
  return {
    PATH: `${dirname(process.execPath)}${delimiter}${process.env["PATH"] ?? ""}`,
    HOME: home,
    TERM: "xterm-256color",
    LANG: "C.UTF-8",
    NO_COLOR: "1",
    ...extra,
  };
}

/** A fresh home folder for one stock client. */
export function newHome(): Promise<string> {
  return mkdtemp(join(tmpdir(), "creel-client-home-"));
}

/** Starts the stock gateway with the given mock model as its only provider. */
export async function startOpenClaw(options: { modelBaseUrl: string }): Promise<Gateway> {
  const home = await newHome();
  const port = await freePort();
  const token = "stock-gateway-token";
  await mkdir(join(home, ".openclaw"), { recursive: true });
  await writeFile(
    join(home, ".openclaw", "openclaw.json"),
    JSON.stringify(stockConfig(port, token, options.modelBaseUrl)),
  );
  const child = spawn(
    process.execPath,
    [join(openclawDir(), "openclaw.mjs"), "gateway", "--port", String(port)],
    {
      cwd: home,
      env: openclawEnv(home, { OPENCLAW_SKIP_CHANNELS: "1" }),
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const output = tailOf(child);
  const httpUrl = `http://127.0.0.1:${port}`;
  const readyMs = await waitReady(child, httpUrl, output);
  return {
    kind: "openclaw",
    pid: child.pid ?? 0,
    readyMs,
    targets: [{ name: "openclaw", wsUrl: `ws://127.0.0.1:${port}`, httpUrl, token }],
    output,
    stop: async () => {
      await stopChild(child, 3_000);
      await rm(home, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

function stockConfig(port: number, token: string, baseUrl: string): unknown {
  return {
    gateway: {
      mode: "local",
      port,
      bind: "loopback",
      auth: { mode: "token", token },
      controlUi: { allowedOrigins: ["*"] },
    },
    ...modelConfig(baseUrl),
  };
}

/** The provider part of a config in OpenClaw's own shape; Creel reads the same. */
export function modelConfig(baseUrl: string): Record<string, unknown> {
  const cost = { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 };
  const model = { id: "mock-1", name: "Mock One", contextWindow: 128_000, maxTokens: 4_096, cost };
  return {
    models: { providers: { mock: { baseUrl, apiKey: "k", api: "openai-completions", models: [model] } } },
    agents: { defaults: { model: { primary: "mock/mock-1" } } },
  };
}

/** The version the installed package says it has. */
export async function installedVersion(): Promise<string> {
  const manifest = JSON.parse(await readFile(join(openclawDir(), "package.json"), "utf8")) as {
    version: string;
  };
  return manifest.version;
}

/** Runs a program to its end, or kills it when time is up. */
export function run(
  command: string,
  args: string[],
  options: { cwd: string; env?: Record<string, string>; timeoutMs: number },
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const env = options.env ?? { ...process.env, PATH: openclawEnv("")["PATH"] };
    const child = spawn(command, args, { cwd: options.cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    const finished: Finished = { code: null, stdout: "", stderr: "" };
    child.stdout.on("data", (chunk: Buffer) => {
      finished.stdout += chunk.toString("utf8");
    });
    child.stderr.on("data", (chunk: Buffer) => {
      finished.stderr += chunk.toString("utf8");
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs);
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ ...finished, code });
    });
  });
}
