/**
 * `npm run dev`: the gateway, started again when a source changes, and the web pages, updated while they are open, over
 * a small world of its own in `.creel/dev`. Owns: starting and ending both.
 *
 *   --fresh           begin with a new world
 *   --port N          port of the gateway, 18790 unless said
 *   --ui-port N       port of the pages, 5173 unless said
 *   --id-port N       port of the identity provider, 18791 unless said
 *   --state-dir DIR   another folder
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, watch } from "node:fs";
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs, promisify } from "node:util";
import { createServer, type ViteDevServer } from "vite";
import { PROVIDER_ID } from "../test/support/identity-provider.ts";
import { startDevSignIn, writeDevSettings } from "./dev-sign-in.ts";
import { listSeedPeople, seedWorld } from "./seed-world.ts";

const ROOT = resolve(import.meta.dirname, "..");
const READY_MS = 30_000;

interface Choices {
  stateDir: string;
  port: number;
  uiPort: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      fresh: { type: "boolean" },
      port: { type: "string", default: "18790" },
      "ui-port": { type: "string", default: "5173" },
      "id-port": { type: "string", default: "18791" },
      "state-dir": { type: "string", default: join(ROOT, ".creel", "dev") },
    },
  });
  const choices: Choices = {
    stateDir: resolve(values["state-dir"]),
    port: Number(values.port),
    uiPort: Number(values["ui-port"]),
  };
  if (values.fresh === true) await rm(choices.stateDir, { recursive: true, force: true });
  const people = await startDevSignIn({
    people: listSeedPeople(),
    port: Number(values["id-port"]),
    origins: [choices.uiPort, choices.port].map((port) => `http://127.0.0.1:${port}`),
  });
  if (!existsSync(join(choices.stateDir, "control.db"))) {
    process.stdout.write("Making a small world: two tenants, some people, some conversations…\n");
    await seedWorld(choices.stateDir, { provider: PROVIDER_ID, issuer: people.issuer });
  }
  if (!writeDevSettings(choices.stateDir, people)) {
    process.stdout.write("  creel.json5 is yours: the development sign-in is only there if you set it.\n");
  }
  const gateway = new Gateway(choices);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(
      signal,
      () => void Promise.all([gateway.stop(), people.close()]).then(() => process.exit(0)),
    );
  }
  await gateway.ready();
  gateway.watch();
  await greet(choices, await startPages(choices));
}

/** The gateway as a process that is stopped and started again when a source changes. */
class Gateway {
  private readonly choices: Choices;
  private child: ChildProcess;
  private restarting: Promise<void> | undefined;

  constructor(choices: Choices) {
    this.choices = choices;
    this.child = this.start();
  }

  /** Resolves when it serves; throws when it does not come up. */
  async ready(): Promise<void> {
    const endsAt = Date.now() + READY_MS;
    while (this.child.exitCode === null && Date.now() < endsAt) {
      const isReady = await fetch(`http://127.0.0.1:${this.choices.port}/readyz`).then(
        (response) => response.ok,
        () => false,
      );
      if (isReady) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error("The gateway did not start; see the lines above.");
  }

  /** Start again at a change. Not `node --watch`: it sends messages of its own through our worker threads. */
  watch(): void {
    for (const folder of ["src", "migrations"]) {
      watch(join(ROOT, folder), { recursive: true }, (_kind, name) => {
        if (name === null || name.endsWith(".test.ts") || !/\.(?:ts|json|sql)$/.test(name)) return;
        this.restarting ??= this.restart(name).finally(() => {
          this.restarting = undefined;
        });
      });
    }
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGTERM");
    await ended;
  }

  private async restart(name: string): Promise<void> {
    // An editor writes several files at once, and some of them twice.
    await new Promise((done) => setTimeout(done, 200));
    process.stdout.write(`  ${name} changed; starting again\n`);
    await this.stop();
    this.child = this.start();
    await this.ready().catch((thrown: Error) => process.stderr.write(`  ${thrown.message}\n`));
  }

  private start(): ChildProcess {
    const { port, stateDir } = this.choices;
    const args = ["src/main.ts", "serve", "--port", String(port), "--state-dir", stateDir];
    return spawn(process.execPath, args, {
      cwd: ROOT,
      // Its own greeting says nothing that ours does not; the log goes to the terminal.
      stdio: ["ignore", "ignore", "inherit"],
    });
  }
}

/** The pages by Vite. Host and Origin pass unchanged, because the gateway compares them. */
async function startPages({ port, uiPort }: Choices): Promise<ViteDevServer> {
  const target = { target: `http://127.0.0.1:${port}`, changeOrigin: false };
  const server = await createServer({
    configFile: join(ROOT, "ui", "vite.config.ts"),
    server: {
      host: "127.0.0.1",
      port: uiPort,
      proxy: {
        "/auth": target,
        "^/t/[^/]+/(api|auth)/": target,
        "^/t/[^/]+$": { ...target, ws: true },
      },
    },
  });
  await server.listen();
  return server;
}

async function greet({ stateDir, port }: Choices, pages: ViteDevServer): Promise<void> {
  const pagesUrl = pages.resolvedUrls?.local[0]?.replace(/\/$/, "") ?? "";
  const gatewayUrl = `http://127.0.0.1:${port}`;
  const operator = await loginLink(stateDir);
  const again = await loginLink(stateDir);
  const owner = await loginLink(stateDir, "acme");
  process.stdout.write(`
  Sign in as anybody by "Development sign-in" on ${pagesUrl}/login, or by a link, once each, within 15 minutes:

  Pages, live      ${pagesUrl}${operator}
    as Ada of acme ${pagesUrl}${owner}
  Gateway          ${gatewayUrl}${again}

  More links: npx creel login-link --state-dir ${stateDir}

`);
}

/** A fresh link as the command makes it, without its origin. */
async function loginLink(stateDir: string, tenant?: string): Promise<string> {
  const more = tenant === undefined ? [] : ["--tenant", tenant];
  const args = [join(ROOT, "bin", "creel.js"), "login-link", "--json", "--state-dir", stateDir, ...more];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { url } = JSON.parse(stdout) as { url: string };
  return url.slice(new URL(url).origin.length);
}

await main().catch((thrown: unknown) => {
  process.stderr.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
  process.exit(1);
});
