/**
 * A whole Creel in this process, on a free port and a temporary folder. Owns: its start and its end.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type App, type AppOptions, makeApp } from "#src/app.ts";
import { loadConfig } from "#src/config/load.ts";
import type { Config } from "#src/config/options.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { Role } from "#src/tenancy/scopes.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";

/** A running app and the ways into it. */
export interface TestApp {
  app: App;
  /** `http://127.0.0.1:<port>` */
  url: string;
  wsUrl: string;
  stateDir: string;
  /** A tenant, made if need be, and a token for it. */
  tenant(slug: string): Promise<Tenant>;
  token(slug: string, role?: Role, name?: string): Promise<string>;
  /** Stop and start again on the same state folder. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Nobody looks like a loop, whatever a test sends. */
const NO_LOOPS = {
  ...{ turnsPerSession: 0, turnsPerSessionHour: 0, turnsInSessionChain: 0, turnsInSenderChain: 0 },
  ...{ turnsPerTenant: 0, turnsPerTenantHour: 0 },
};

/** Start an app; `config` overrides settings. */
export async function startApp(
  options: { config?: Partial<Config>; stateDir?: string; app?: Partial<AppOptions> } = {},
): Promise<TestApp> {
  const stateDir = options.stateDir ?? (await mkdtemp(join(tmpdir(), "creel-test-")));
  const start = async () => {
    const { config } = loadConfig({ env: {}, flags: { "state-dir": stateDir, port: "0" } });
    // The built-in model unless a test says otherwise, also in tenants that have providers of their own.
    // Nor does anybody who tries every parameter of a method look like a loop, or a runaway script.
    const settings = { ...config, defaultModel: "demo/demo", ...NO_LOOPS, tenantTurnsPerMinute: 0 };
    const app = await makeApp({
      config: { ...settings, ...options.config },
      log: makeLog({ level: process.env["CREEL_TEST_LOG"] === undefined ? "silent" : "debug" }),
      uiDirectory: null,
      drainMs: 0,
      ...options.app,
    });
    return { app, url: await app.listen() };
  };
  let running = await start();
  const tenant = async (slug: string) =>
    (await running.app.tenants.findBySlug(slug)) ?? (await running.app.tenants.create({ slug }));
  return {
    get app() {
      return running.app;
    },
    get url() {
      return running.url;
    },
    get wsUrl() {
      return running.url.replace("http:", "ws:");
    },
    stateDir,
    tenant,
    async token(slug, role = "owner", name = "test") {
      const { id } = await tenant(slug);
      return (await running.app.auth.tokens.create(id, { role, name, maker: { kind: "machine" } })).secret;
    },
    async restart() {
      await running.app.close();
      running = await start();
    },
    async close() {
      await running.app.close();
      if (options.stateDir === undefined) await rm(stateDir, { recursive: true, force: true });
    },
  };
}
