/** A conversation in the Control UI: sending, streaming, stopping, losing the connection, coming back. */
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { accessFaults, type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

describe.skipIf(findChromium() === undefined)("a conversation in the browser (needs a Chromium)", () => {
  let world: BrowserWorld;
  let context: BrowserContext;
  let page: Page;
  const problems: string[] = [];

  beforeAll(async () => {
    world = await startBrowserWorld();
    context = await world.signIn();
  });
  afterAll(() => world.close());
  beforeEach(async () => {
    await page?.close();
    page = await context.newPage();
    problems.length = 0;
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (line) => /Content Security Policy/.test(line.text()) && problems.push(line.text()));
    await page.goto(`${world.app.url}/t/home/`);
    await field().waitFor();
  });

  const field = () => page.getByRole("textbox", { name: "Message", exact: true });
  const articles = () => page.locator("article");
  const send = async (text: string) => {
    await field().fill(text);
    await field().press("Enter");
  };
  const settled = async (count: number) => {
    await page.getByRole("button", { name: "Ask again" }).waitFor();
    await expect.poll(() => articles().count()).toBe(count);
  };

  it("shows the answer with the demo badge, and the same after a reload", async () => {
    expect(await field().evaluate((element) => element === document.activeElement)).toBe(true);
    await send("Good morning");
    await page.waitForURL(/\/t\/home\/chat\/main\/dashboard:/);
    await settled(2);
    const before = await articles().allInnerTexts();
    expect(before[1]).toContain("Demo model");
    await page.reload();
    await settled(2);
    expect(await articles().allInnerTexts()).toEqual(before);
    expect(await accessFaults(page)).toEqual([]);
    expect(problems).toEqual([]);
  });

  it("folds a tool call to one line that opens", async () => {
    await send("list files");
    await settled(2);
    expect(await page.locator("article details").count()).toBe(1);
    await page.locator("article summary").click();
    await page.locator("article details").getByText("AGENTS.md").first().waitFor();
  });

  it("stops with Esc and keeps what was written", async () => {
    await send("long");
    await page.locator("article .prose").first().waitFor();
    await page.keyboard.press("Escape");
    await page.getByText("Stopped", { exact: true }).waitFor();
    await settled(2);
  });

  it("does not send while an input method composes, and breaks a line with Shift+Enter", async () => {
    await field().fill("ni hao");
    await field().evaluate((element) => {
      const enter = { key: "Enter", bubbles: true, cancelable: true };
      element.dispatchEvent(new KeyboardEvent("keydown", { ...enter, isComposing: true }));
      element.dispatchEvent(new KeyboardEvent("keydown", { ...enter, keyCode: 229 }));
    });
    await field().press("Shift+Enter");
    expect(await field().inputValue()).toBe("ni hao\n");
    expect(await articles().count()).toBe(0);
  });

  it("keeps a draft over a reload and a message over a lost connection, sent once", async () => {
    await field().fill("not yet");
    await page.reload();
    await expect.poll(() => field().inputValue()).toBe("not yet");
    await send("Good evening");
    await settled(2);
    await context.setOffline(true);
    // Chromium keeps open sockets when it goes offline, so the server ends this one.
    await world.app.restart();
    await send("written while away");
    await page.getByText("Waiting for the connection").waitFor();
    await context.setOffline(false);
    await expect
      .poll(() => page.getByText("Waiting for the connection").count(), { timeout: 25_000 })
      .toBe(0);
    await settled(4);
    expect(await page.locator("article").getByText("written while away", { exact: true }).count()).toBe(1);
  }, 60_000);

  it("treats a hostile message, name and link as text only", async () => {
    await page.evaluate(() => Object.assign(window, { hacked: false }));
    await send(
      '<img src=x onerror="window.hacked=true"> [x](javascript:window.hacked=true) ![p](https://example.invalid/p.png)',
    );
    await settled(2);
    expect(await page.evaluate(() => (window as unknown as { hacked: boolean }).hacked)).toBe(false);
    expect(await page.locator("main img, aside img, a[href^='javascript:']").count()).toBe(0);
    expect(problems).toEqual([]);
  });

  it("renames, pins, deletes and brings back", async () => {
    await send("A catch of herring");
    await settled(2);
    const line = (title: string) => page.locator("aside").getByRole("link", { name: title });
    await line("A catch of herring").dblclick();
    await page.getByRole("textbox", { name: "Name of the conversation" }).fill("Herring");
    await page.keyboard.press("Enter");
    await line("Herring").waitFor();
    await page.getByRole("button", { name: "Actions for Herring" }).click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    await expect.poll(() => line("Herring").count()).toBe(0);
    await page.getByRole("button", { name: "Undo" }).click();
    await line("Herring").waitFor();
    await page.reload();
    await line("Herring").waitFor();
  });
});
