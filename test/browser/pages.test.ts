/**
 * Every page: it opens, fits, and axe finds nothing. Each page is seen in one of the two looks, in turn;
 * `npm run test:pages` sees every page in both.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { accessFaults, type BrowserWorld, findChromium, startBrowserWorld, watchRest } from "./world.ts";

const PAGES = [
  "/",
  "/new",
  "/ask",
  "/join",
  "/account",
  "/operator",
  "/operator/tenants/:home",
  "/operator/billing",
  "/operator/plans",
  "/operator/prices",
  "/operator/codes",
  "/operator/reconciliation",
  "/operator/audit",
  "/operator/receipts",
  "/operator/no-such-page",
  "/t/home/",
  "/t/home/usage",
  "/t/home/usage/details",
  "/t/home/billing",
  "/t/home/billing/budgets",
  "/t/home/billing/ledger",
  "/t/home/billing/statements",
  "/t/home/billing/export",
  "/t/home/billing/no-such-tab",
  "/t/home/agents",
  "/t/home/agents/main",
  "/t/home/settings",
  "/t/home/settings/appearance",
  "/t/home/settings/organization",
  "/t/home/settings/access",
  "/t/home/settings/tokens",
  "/t/home/settings/providers",
  "/t/home/members",
  "/t/home/audit",
  "/t/home/no-such-page",
];
const LOOKS = [
  { locale: "en-US", colorScheme: "light", viewport: { width: 1400, height: 900 } },
  { locale: "zh-CN", colorScheme: "dark", viewport: { width: 360, height: 740 } },
] as const;

const EVERY_LOOK = process.env["CREEL_EVERY_LOOK"] !== undefined;

describe.skipIf(findChromium() === undefined)("the pages (need a Chromium)", () => {
  let world: BrowserWorld;
  beforeAll(async () => {
    world = await startBrowserWorld();
  });
  afterAll(() => world.close());

  for (const [turn, look] of LOOKS.entries()) {
    it(`open, fit and pass axe: ${look.locale}, ${look.colorScheme}, ${look.viewport.width} px`, async () => {
      const context = await world.signIn(look);
      const page = await context.newPage();
      const atRest = watchRest(page);
      const { id: homeId } = await world.app.tenant("home");
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(String(error)));
      page.on("console", (line) => line.type() === "error" && problems.push(line.text()));
      const paths = PAGES.filter((_, place) => EVERY_LOOK || place % LOOKS.length === turn);
      expect(paths.length).toBeGreaterThan(10);
      for (const path of paths) {
        await page.goto(`${world.app.url}${path.replace(":home", homeId)}`);
        await page.getByRole("heading", { level: 1 }).first().waitFor();
        await atRest();
        expect({ path, faults: await accessFaults(page) }).toEqual({ path, faults: [] });
        const wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth");
        expect({ path, wide }).toEqual({ path, wide: 0 });
        expect(await page.evaluate("document.documentElement.lang")).toBe(
          look.locale.startsWith("zh") ? "zh-CN" : "en",
        );
      }
      expect(problems).toEqual([]);
      await context.close();
    }, 240_000);
  }

  it("let nobody but the signed-in in, and pass axe for strangers too", async () => {
    const context = await world.browser.newContext();
    const page = await context.newPage();
    for (const path of ["/login", "/account", "/operator", "/t/home/members", "/join#invite=not-a-secret"]) {
      await page.goto(`${world.app.url}${path}`);
      await page.getByRole("heading", { level: 1 }).first().waitFor();
      expect({ path, faults: await accessFaults(page) }).toEqual({ path, faults: [] });
      expect(await page.getByRole("button", { name: "Invite" }).count()).toBe(0);
    }
    await context.close();
  });

  it("reach every act on a member by keyboard", async () => {
    const { id } = await world.app.tenant("home");
    const tom = await world.app.app.auth.users.create({ displayName: "Tom Baker" });
    await world.app.app.auth.members.add(id, tom.id, "member");
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/members`);
    await page.getByRole("button", { name: "Actions for Tom Baker" }).focus();
    await page.keyboard.press("Enter");
    // The menu takes the focus when it is there; keys before that would go to the page.
    await expect.poll(() => page.evaluate("document.activeElement?.getAttribute('role')")).toBe("menuitem");
    await page.keyboard.press("End");
    await expect.poll(() => page.evaluate("document.activeElement?.textContent")).toBe("Remove");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByText("Remove Tom Baker?").waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    expect(await page.getByRole("dialog").count()).toBe(0);
    await context.close();
  });

  it("lead from the palette to a page, and show the keys", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").fill("usa");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/usage$/);
    await page.keyboard.press("?");
    await page.getByRole("heading", { name: "Keyboard shortcuts" }).waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await context.close();
  });

  it("make a token that is shown once, and revoke it", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/settings/tokens`);
    await page.getByRole("button", { name: "New token" }).click();
    await page.getByLabel("Name").fill("Laptop");
    await page.getByRole("button", { name: "Create" }).click();
    const secret = await page.getByRole("dialog").locator("code").innerText();
    expect(secret).toMatch(/^creel_/);
    await page.getByRole("button", { name: "I have copied it" }).click();
    await page.getByText("Laptop").waitFor();
    expect(await page.content()).not.toContain(secret);
    const line = page.getByRole("listitem").filter({ hasText: "Laptop" });
    await line.getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await line.getByText("Revoked").waitFor();
    await context.close();
  });

  it("make, change and delete an agent, and edit its files", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/agents`);
    await page.getByRole("button", { name: "New agent" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("Net mender");
    await page.getByRole("button", { name: "Create" }).click();
    await page.waitForURL(/\/agents\/net-mender$/);
    await page.getByRole("button", { name: /SOUL\.md/ }).click();
    const editor = page.getByRole("textbox", { name: "Contents of SOUL.md" });
    await editor.fill("You mend nets.\n");
    await page.getByRole("button", { name: "Save" }).click();
    await expect.poll(() => page.getByRole("button", { name: "Save" }).isDisabled()).toBe(true);
    await page.reload();
    await page.getByRole("button", { name: /SOUL\.md/ }).click();
    await expect.poll(() => editor.inputValue()).toBe("You mend nets.\n");

    await page.getByText("Settings", { exact: true }).last().click();
    await page.getByRole("button", { name: "Delete agent" }).click();
    const confirm = page.getByRole("dialog").getByRole("button", { name: "Delete agent" });
    expect(await confirm.isDisabled()).toBe(true);
    await page.getByLabel("Type net-mender to confirm").fill("net-mender");
    await confirm.click();
    await page.waitForURL(/\/agents$/);
    await expect.poll(() => page.getByText("Net mender").count()).toBe(0);
    await context.close();
  });
});
