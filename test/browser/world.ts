/**
 * A real app with the built Control UI and a headless browser, for tests that look at pages.
 * Owns: starting and ending both, signing in. Refuses to know: what a page shows.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import AxeBuilder from "@axe-core/playwright";
import { type Browser, type BrowserContext, chromium, type Page, type Request } from "playwright-core";
import type { AppOptions } from "#src/app.ts";
import type { Config } from "#src/config/options.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const UI = fileURLToPath(new URL("../../ui/dist", import.meta.url));

/** Where distributions put a Chromium; `CREEL_CHROMIUM` names another. */
const PLACES = [
  "/usr/bin/chromium-headless-shell",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Path of a Chromium, or undefined; tests that need one are skipped by name without it. */
export function findChromium(): string | undefined {
  const named = process.env["CREEL_CHROMIUM"];
  return named ?? PLACES.find((place) => existsSync(place));
}

/** An app, a browser, and the ways into both. */
export interface BrowserWorld {
  app: TestApp;
  browser: Browser;
  /** A signed-in context in the first tenant, `home`. */
  signIn(options?: Parameters<Browser["newContext"]>[0]): Promise<BrowserContext>;
  /** A fresh one-time link of the operator. */
  loginLink(): Promise<string>;
  close(): Promise<void>;
}

/** Starts everything; builds the Control UI when there is no build. `config` overrides settings, `options` of the app such as its clock. */
export async function startBrowserWorld(
  config: Partial<Config> = {},
  options: Partial<AppOptions> = {},
): Promise<BrowserWorld> {
  if (!existsSync(`${UI}/index.html`)) {
    const build = [
      "node_modules/vite/bin/vite.js",
      "build",
      "--config",
      "ui/vite.config.ts",
      "--logLevel",
      "error",
    ];
    await promisify(execFile)(process.execPath, build, { cwd: ROOT });
  }
  const app = await startApp({ app: { uiDirectory: UI, ...options }, config });
  await nameHome(app);
  const executablePath = findChromium();
  const browser = await chromium.launch({
    ...(executablePath ? { executablePath } : {}),
    args: ["--no-sandbox"],
  });
  const loginLink = async () => {
    const { user } = app.app.firstRun;
    const home = await app.tenant("home");
    const secret = await app.app.auth.links.create(user.id, home.id);
    return `${app.url}/login#link=${secret}`;
  };
  return {
    app,
    browser,
    loginLink,
    async signIn(options) {
      const context = await browser.newContext(options);
      const token = new URL(await loginLink()).hash.slice("#link=".length);
      // As the page does it; that page has tests of its own, and the others need not wait for it.
      const answer = await context.request.post(`${app.url}/auth/link`, {
        data: { token },
        headers: { origin: app.url },
      });
      if (!answer.ok()) throw new Error(`not signed in: ${await answer.text()}`);
      return context;
    },
    async close() {
      await browser.close();
      await app.close();
    },
  };
}

/** Give the first tenant its name, so that no page asks for it. */
async function nameHome(app: TestApp): Promise<void> {
  const answer = await fetch(`${app.url}/t/home/api/tenant`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${await app.token("home")}`, "content-type": "application/json" },
    body: JSON.stringify({ displayName: "Home" }),
  });
  if (!answer.ok) throw new Error(`the first tenant was not named: ${await answer.text()}`);
}

/**
 * Says when a page has come to rest: nothing is being fetched and nothing waits to be shown, for three looks in a row.
 * Sooner than "networkidle", which always waits for half a second.
 */
export function watchRest(page: Page): () => Promise<void> {
  const open = new Set<Request>();
  page.on("request", (request) => open.add(request));
  const ended = (request: Request) => void open.delete(request);
  page.on("requestfinished", ended).on("requestfailed", ended);
  return async () => {
    for (let looks = 0; looks < 3; looks += 1) {
      await page.waitForTimeout(30);
      if (open.size > 0 || (await page.locator(".skeleton").count()) > 0) looks = -1;
    }
  };
}

/** What axe finds wrong with a page, as short lines; an empty list is a clean page. */
export async function accessFaults(page: Page): Promise<string[]> {
  // Pages have no frames, so that the way without a page of its own to add them up sees the same, in half the time.
  const { violations } = await new AxeBuilder({ page }).setLegacyMode(true).analyze();
  return violations.map(
    (fault) =>
      `${fault.id} (${fault.impact}): ${fault.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`,
  );
}
