/**
 * The server's entry: read config, start the app, wait for a signal, drain, exit. Owns: the process.
 * Refuses to know: everything else.
 */
import { existsSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { watchStrays } from "./app/strays.ts";
import { makeApp } from "./app.ts";
import { loadConfig } from "./config/load.ts";
import { OPTIONS } from "./config/options.ts";
import { systemClock } from "./kernel/clock.ts";
import { AppError } from "./kernel/errors.ts";

/** How long a stop waits for answers that are being written; what is left goes on at the next start. */
const DRAIN_MS = 10_000;

/** Start the gateway with command-line flags; returns when it serves. Throws AppError for what an operator can mend. */
export async function serve(argv: readonly string[]): Promise<void> {
  if (Number(process.versions.node.split(".")[0]) < 24) {
    throw new AppError(
      "invalid_request",
      `Creel needs Node 24; this is ${process.version}. Start it with npm start.`,
    );
  }
  // SECURITY: whatever is made from here on is readable by this user only.
  process.umask(0o077);
  const { config } = loadConfig({ env: process.env, flags: readFlags(argv) });
  await assertAlone(config.stateDir);
  const app = await makeApp({ config, drainMs: DRAIN_MS });
  watchStrays({ log: app.log, clock: systemClock, onStray: () => app.gateway.noteStray() });
  const address = await app.listen();
  const url = config.publicUrl?.replace(/\/+$/, "") ?? address;
  await announceServer(config.stateDir, { url, address, pid: process.pid });
  greet(url, app.firstRun.loginLinkSecret, app.gateway.hasUi, loginLinkCommand(config.stateDir));
  const stop = () => {
    app
      .close()
      .then(() => rm(serverFile(config.stateDir), { force: true }))
      .then(
        () => process.exit(0),
        () => process.exit(1),
      );
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
}

function readFlags(argv: readonly string[]): Record<string, string | undefined> {
  const names = [
    ...Object.values(OPTIONS).flatMap((option) =>
      "flag" in option && option.flag !== undefined ? [option.flag] : [],
    ),
    "config",
  ];
  try {
    const options = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
    return parseArgs({ args: [...argv], options }).values;
  } catch (cause) {
    const flags = names.map((name) => `--${name}`).join(" ");
    throw new AppError("invalid_request", `${(cause as Error).message.split(".")[0]}. Flags: ${flags}`, {
      cause,
    });
  }
}

function serverFile(stateDir: string): string {
  return join(stateDir, "server.json");
}

/** Tell commands and the next start where we are. ORDER: a draft first, so that nobody ever reads half a file. */
async function announceServer(stateDir: string, facts: ServerFacts): Promise<void> {
  const draft = `${serverFile(stateDir)}.${process.pid}`;
  await writeFile(draft, JSON.stringify(facts), { mode: 0o600 });
  await rename(draft, serverFile(stateDir));
}

interface ServerFacts {
  url: string;
  address: string;
  pid: number;
}

/** What the last server wrote; undefined when there is nothing, or nothing that can be read. */
async function readServer(stateDir: string): Promise<Partial<ServerFacts> | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(serverFile(stateDir), "utf8"));
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Two servers on one state folder would both write transcripts; the second one refuses. */
async function assertAlone(stateDir: string): Promise<void> {
  const { pid, address } = (await readServer(stateDir)) ?? {};
  if (typeof pid !== "number" || pid === process.pid || !isAlive(pid) || !(await answers(address))) return;
  throw new AppError(
    "conflict",
    `Another Creel (process ${pid}) serves this state folder at ${address}. Stop it first, or use another --state-dir.`,
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A process id can be somebody else's by now; only a gateway answers there. */
async function answers(address: string | undefined): Promise<boolean> {
  if (address === undefined) return false;
  const { get } = await import("node:http");
  return new Promise((resolve) => {
    get(`${address}/healthz`, { timeout: 2_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on("error", () => resolve(false));
  });
}

/** The command that makes another link for this very folder. */
function loginLinkCommand(stateDir: string): string {
  const isDefault = stateDir === OPTIONS.stateDir.schema.parse(undefined);
  return `npx creel login-link${isDefault ? "" : ` --state-dir ${stateDir}`}`;
}

function greet(url: string, linkSecret: string | null, hasUi: boolean, command: string): void {
  const lines = ["", `  Creel serves at ${url}`, ""];
  if (linkSecret !== null) {
    lines.push(
      "  Sign in within 15 minutes, once:",
      `  ${url}/login#link=${linkSecret}`,
      "",
      `  Another link: ${command}`,
      "",
    );
  } else {
    lines.push(`  A sign-in link: ${command}`, "");
  }
  if (!hasUi) lines.push("  The web pages are not built; npm start builds them.", "");
  process.stdout.write(`${lines.join("\n")}\n`);
}

if (
  process.argv[1] !== undefined &&
  existsSync(process.argv[1]) &&
  fileURLToPath(import.meta.url) === process.argv[1]
) {
  const args = process.argv.slice(2);
  serve(args[0] === "serve" ? args.slice(1) : args).catch((thrown: unknown) => {
    const message = thrown instanceof AppError ? thrown.publicMessage : String(thrown);
    process.stderr.write(`creel: ${message}\n`);
    process.exit(1);
  });
}
