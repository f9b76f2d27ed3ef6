/** The operators' surface: making, suspending, deleting and restoring an organization, as an operator does in the morning. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makePerson } from "../support/person.ts";
import { type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

describe.skipIf(findChromium() === undefined)("the operators' surface (needs a Chromium)", () => {
  let world: BrowserWorld;
  beforeAll(async () => {
    world = await startBrowserWorld();
  });
  afterAll(() => world.close());

  it("makes an organization whose owner joins, suspends and resumes it, deletes and restores it", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/operator`);
    await page.getByRole("button", { name: "New organization" }).click();
    await page.getByLabel("Name of the organization").fill("Lighthouse Keepers");
    await page.getByRole("button", { name: "Create" }).click();
    const link = await page.getByRole("dialog").locator("code").innerText();
    await page.keyboard.press("Escape");

    const greta = await makePerson(world.app, "Greta Lund");
    const other = await world.browser.newContext();
    const [name = "", value = ""] = greta.cookie.split("=");
    await other.addCookies([{ name, value, url: world.app.url }]);
    const hers = await other.newPage();
    await hers.goto(link);
    await hers.getByRole("button", { name: "Join Lighthouse Keepers" }).click();
    await hers.waitForURL(/\/t\/lighthouse-keepers\/$/);
    await hers.getByRole("textbox", { name: "Message", exact: true }).waitFor();

    await page.getByRole("link", { name: /Lighthouse Keepers/ }).click();
    await page.getByRole("button", { name: "Suspend" }).click();
    await page.getByLabel("Reason").fill("The bill is open");
    await page.getByRole("dialog").getByRole("button", { name: "Suspend" }).click();
    await page.getByText(/Read only until/).waitFor();
    await hers.getByText("you can read, but nothing can be changed").waitFor();
    await hers.getByRole("heading", { name: "Choose a conversation" }).waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByText("Active", { exact: true }).waitFor();

    await page.getByRole("button", { name: "Delete" }).click();
    const confirm = page.getByRole("dialog").getByRole("button", { name: "Delete" });
    await page.getByLabel("Reason").fill("Asked for by its owner");
    expect(await confirm.isDisabled()).toBe(true);
    await page.getByLabel("Type lighthouse-keepers to confirm").fill("lighthouse-keepers");
    await confirm.click();
    await page.getByText(/Deleted on/).waitFor();
    await hers.getByText("Nothing here for you").waitFor();
    await page.getByRole("button", { name: "Undo the deletion" }).click();
    await page.getByText("Active", { exact: true }).waitFor();
    await hers.goto(`${world.app.url}/t/lighthouse-keepers/`);
    await hers.getByRole("textbox", { name: "Message", exact: true }).waitFor();
    await other.close();
    await context.close();
  });

  it("is closed to everybody else, and says no more than that", async () => {
    const tom = await makePerson(world.app, "Tom Baker", "home", "owner");
    const context = await world.browser.newContext();
    const [name = "", value = ""] = tom.cookie.split("=");
    await context.addCookies([{ name, value, url: world.app.url }]);
    const page = await context.newPage();
    const asked: string[] = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    for (const path of ["/operator", "/operator/audit", "/operator/receipts"]) {
      await page.goto(`${world.app.url}${path}`);
      await page.getByRole("heading", { name: "Nothing here for you" }).waitFor();
    }
    expect(asked.filter((path) => path.startsWith("/operator/api"))).toEqual([]);
    expect((await tom.send("GET", "/operator/api/tenants")).status).toBe(404);
    await context.close();
  });
});
