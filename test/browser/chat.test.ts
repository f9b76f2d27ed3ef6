/** A conversation in the Control UI: sending, streaming, stopping, losing the connection, coming back. */
import type { BrowserContext, Page, WebSocketRoute } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { accessFaults, type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

const POLL = { timeout: 15_000 };

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
    expect(await page.evaluate("document.activeElement?.tagName")).toBe("TEXTAREA");
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
    await page.evaluate(`{
      const enter = { key: "Enter", bubbles: true, cancelable: true };
      document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { ...enter, isComposing: true }));
      document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { ...enter, keyCode: 229 }));
    }`);
    await field().press("Shift+Enter");
    expect(await field().inputValue()).toBe("ni hao\n");
    expect(await articles().count()).toBe(0);
  });

  it("keeps a draft over a reload and a message over a lost connection, sent once", async () => {
    const open = new Set<WebSocketRoute>();
    let isDown = false;
    await page.routeWebSocket(/\/t\/home$/, (socket) => {
      if (isDown) void socket.close({ code: 1012 });
      else {
        socket.connectToServer();
        open.add(socket);
      }
    });
    await field().fill("not yet");
    await page.reload();
    await expect.poll(() => field().inputValue()).toBe("not yet");
    await send("Good evening");
    await settled(2);
    isDown = true;
    for (const socket of open) await socket.close({ code: 1012 });
    await page.getByText("Connection lost").waitFor();
    await send("written while away");
    await page.getByText("Waiting for the connection").waitFor();
    isDown = false;
    await page.getByRole("button", { name: "Try now" }).click();
    await expect.poll(() => page.getByText("Waiting for the connection").count(), POLL).toBe(0);
    await settled(4);
    expect(await articles().getByText("written while away", { exact: true }).count()).toBe(1);
    expect(await page.getByText("Connection lost").count()).toBe(0);
  });

  it("answers a slash command beside what is stored", async () => {
    await send("Good day");
    await settled(2);
    await field().fill("/stat");
    await page.getByRole("list", { name: "Commands" }).getByText("/status").waitFor();
    await field().press("Enter");
    await expect.poll(() => field().inputValue()).toBe("/status ");
    await field().press("Enter");
    await settled(4);
    expect(await articles().nth(2).innerText()).toContain("/status");
    await send("Good night");
    await settled(6);
    expect(await articles().nth(3).innerText()).toContain("Tokens");
  });

  it("sends files, and refuses what is too large before it is sent", async () => {
    const files = page.locator("input[type=file]");
    await files.setInputFiles([
      { name: "tides.txt", mimeType: "text/plain", buffer: Buffer.from("high at noon") },
      { name: "huge.bin", mimeType: "application/octet-stream", buffer: Buffer.alloc(7 * 1024 * 1024) },
    ]);
    await page.getByText("“huge.bin” is too large").waitFor();
    await send("What is in here?");
    await page.getByRole("heading", { name: "Assistant" }).waitFor();
    await expect.poll(() => articles().first().innerText()).toContain("tides.txt");
    await page.reload();
    await expect.poll(() => articles().count()).toBe(2);
    expect(await articles().first().innerText()).toContain("tides.txt");
    expect(await page.content()).not.toContain("huge.bin");
  });

  it("treats a hostile message, name and link as text only", async () => {
    await page.evaluate("window.hacked = false");
    await send(
      '<img src=x onerror="window.hacked=true"> [x](javascript:window.hacked=true) ![p](https://example.invalid/p.png)',
    );
    await settled(2);
    expect(await page.evaluate("window.hacked")).toBe(false);
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
