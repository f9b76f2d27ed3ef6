/** The stock Control UI bundle in Chromium, its socket passed on to the gateway under test. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openclawDir } from "../openclaw.ts";
import { until } from "../target.ts";
import { type ControlUiSite, serveControlUi } from "./control-ui-site.ts";
import { openWorld, type Seat, type World } from "./world.ts";

const BROWSERS = [process.env["CHROMIUM"] ?? "", "/usr/bin/chromium-headless-shell", "/usr/bin/chromium"];
const executablePath = BROWSERS.find((path) => path && existsSync(path));
const why = executablePath
  ? ""
  : " (needs Chromium: apt-get install chromium-headless-shell, or CHROMIUM=<path>)";

let world: World;
let browser: Browser;

beforeAll(async () => {
  if (!executablePath) return;
  world = await openWorld();
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});
afterAll(async () => {
  await browser?.close();
  await world?.close();
});

/** A person's browser profile on a site of its own; fails when a page threw. */
async function withPage(seat: Seat, work: (page: Page, site: ControlUiSite) => Promise<void>): Promise<void> {
  const site = await serveControlUi(join(openclawDir(), "dist", "control-ui"), seat);
  const profile = await browser.newContext({ viewport: { width: 1300, height: 850 } });
  const crashes: string[] = [];
  profile.on("weberror", (error) => crashes.push(error.error().message));
  try {
    await work(await profile.newPage(), site);
    expect(crashes).toEqual([]);
  } finally {
    await profile.close();
    await site.close();
  }
}

const bodyText = (page: Page) => page.innerText("body");

/** Waits until the page shows a text that satisfies the check, and returns all it shows. */
const shows = (page: Page, what: string, check: (text: string) => boolean) =>
  until(
    what,
    async () => {
      const text = await bodyText(page).catch(() => "");
      return check(text) ? text : undefined;
    },
    { timeoutMs: 40_000 },
  ).catch(async (error: Error) => {
    throw new Error(
      `${error.message}\n${page.url()} shows:\n${(await bodyText(page)).slice(0, 3_000)}\n${world.gateway.output()}`,
    );
  });

async function signIn(page: Page, url: string, seat: Seat): Promise<void> {
  await page.goto(`${url}/`);
  await page.fill("#login-gate-credential", seat.token);
  await page.click("button.login-gate__connect");
  await page.getByLabel("Chat composer").waitFor({ timeout: 30_000 });
}

async function say(page: Page, text: string): Promise<void> {
  const composer = page.getByLabel("Chat composer");
  await composer.fill(text);
  await composer.press("Enter");
}

const words = (text: string) => new Set(text.match(/\bword\d+\b/g)).size;

describe.skipIf(!executablePath)(`the stock Control UI${why}`, () => {
  for (const index of [0, 1]) {
    it(`signs in to tenant ${index}, streams a reply, lists its sessions and shows its usage`, async (context) => {
      const seat = world.seat(index);
      if (!seat) return context.skip("the stock gateway has one tenant");
      // The other tenant is entered by its path, so that both ways of naming a tenant are seen.
      const base = index === 0 ? "" : `/t/${seat.name}`;
      await withPage(seat, async (page, site) => {
        const url = `${site.origin}${base}`;
        await signIn(page, url, seat);
        await say(page, `SLOW:40 canary-of-${seat.name}`);
        await shows(page, "half a reply", (text) => words(text) > 0 && words(text) < 40);
        await shows(page, "the whole reply", (text) => words(text) === 40);

        await page.reload();
        const again = await shows(page, "the conversation after a reload", (text) => words(text) === 40);
        expect(again).toContain(`canary-of-${seat.name}`);
        const strangers = world.gateway.targets.filter((target) => target.name !== seat.name);
        for (const other of strangers) expect(again).not.toContain(`canary-of-${other.name}`);

        await page.goto(`${url}/sessions`);
        await shows(page, "the session list", (text) =>
          /agent:main:main[\s\S]*Done[\s\S]*1-1 of 1 rows/.test(text),
        );

        await page.goto(`${url}/usage`);
        const usage = await shows(
          page,
          "the usage page",
          (text) => /\b140\b/.test(text) && text.includes("Usage"),
        );
        expect(usage).not.toContain("280");
        expect(site.upgrades.every((path) => path.startsWith(index === 0 ? "/" : `/t/${seat.name}`))).toBe(
          true,
        );
      });
    });
  }

  it("keeps two tenants apart in one browser, where both pages share one device key", async (context) => {
    const seats = [world.seat(0), world.seat(1)].filter((seat) => seat !== undefined);
    const [first, second] = seats;
    if (!first || !second) return context.skip("the stock gateway has one tenant");
    await withPage(first, async (page, site) => {
      const other = await page.context().newPage();
      await signIn(page, `${site.origin}/t/${first.name}`, first);
      await signIn(other, `${site.origin}/t/${second.name}`, second);
      await say(page, "SAY:only-the-first-tenant");
      await shows(page, "the reply", (text) => /(?<!SAY:)only-the-first-tenant/.test(text));
      await say(other, "SAY:only-the-second-tenant");
      await shows(other, "the reply", (text) => /(?<!SAY:)only-the-second-tenant/.test(text));
      for (const tab of [page, other]) await tab.reload();
      const firstText = await shows(page, "its own words", (text) => text.includes("only-the-first-tenant"));
      const secondText = await shows(other, "its own words", (text) =>
        text.includes("only-the-second-tenant"),
      );
      expect(firstText).not.toContain("only-the-second-tenant");
      expect(secondText).not.toContain("only-the-first-tenant");
    });
  });

  it("stops a reply with the stop button", async () => {
    const seat = world.seat(0) as Seat;
    await withPage(seat, async (page, site) => {
      await signIn(page, site.origin, seat);
      await say(page, "SLOW:500 stop me");
      await shows(page, "some words", (text) => text.includes("word5"));
      await page.getByRole("button", { name: /stop/i }).first().click();
      const request = await world.mock.waitFor((call) => call.lastUserText.includes("stop me"));
      await until("the provider's call ends", () => (request.aborted ? true : undefined));
      expect(await bodyText(page)).not.toContain("word500");
    });
  });

  it("shows why it cannot sign in with a wrong token", async () => {
    const seat = world.seat(0) as Seat;
    await withPage(seat, async (page, site) => {
      await page.goto(`${site.origin}/`);
      await page.fill("#login-gate-credential", `${seat.token}x`);
      await page.click("button.login-gate__connect");
      await shows(page, "the refusal", (text) =>
        /token (did not match|mismatch)|does not match|rejected/i.test(text),
      );
      expect(await page.getByLabel("Chat composer").count()).toBe(0);
    });
  });
});
