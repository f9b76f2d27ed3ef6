/** Money in the Control UI: budgets are set by hand, and a figure is followed down to the lines that it is made of. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PriceBook } from "#src/billing/prices.ts";
import { UsageMeter } from "#src/billing/usage.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { makeLog } from "#src/kernel/log.ts";
import { modelInput } from "../support/usage-world.ts";
import { accessFaults, type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

const COST = { input: 2.5, output: 10, cacheRead: 0.5, cacheWrite: 0 };
const CALLS = [1_117, 20_011, 333_333, 7];

/** Usage of one person in one conversation. */
async function fill(world: BrowserWorld): Promise<void> {
  const { app } = world.app;
  const scope = app.door.scope(await world.app.tenant("home"));
  const meter = new UsageMeter({
    ...{ prices: new PriceBook(), clock: systemClock },
    log: makeLog({ level: "silent" }),
  });
  const statements = CALLS.flatMap((inputTokens) => {
    const usage = { inputTokens, outputTokens: 13, cacheReadTokens: 1, cacheWriteTokens: 0, isExact: true };
    const model = { provider: "harbour", model: "deep", cost: COST, userId: app.firstRun.user.id, usage };
    return meter.modelCall(scope, modelInput(systemClock.nowMs(), model)).statements;
  });
  await scope.db.write({ statements });
}

const microsOf = (text: string): number => Math.round(Number(text.replace(/[^\d.]/g, "")) * 1e6);

describe.skipIf(findChromium() === undefined)("billing (needs a Chromium)", () => {
  let world: BrowserWorld;
  beforeAll(async () => {
    world = await startBrowserWorld();
    await fill(world);
  });
  afterAll(() => world.close());

  it("follows a figure down to a turn and its ledger lines, equal to the micro-unit at each step", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/billing/statements`);
    await page.getByText(/1 line/).waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await page.goto(`${world.app.url}/t/home/usage`);
    await page.getByRole("link", { name: "Follow the figures" }).waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await page.getByRole("link", { name: "Follow the figures" }).click();
    const figure = page.locator("main table").first();
    const totals: number[] = [];
    for (const by of ["day", "user", "agent", "session"]) {
      await page.waitForURL((url) => url.searchParams.get("groupBy") === by);
      await figure.locator("tfoot").waitFor();
      const costs = await figure.locator("tbody tr td:nth-child(2)").allInnerTexts();
      const total = microsOf(await figure.locator("tfoot td:nth-child(2)").innerText());
      expect(costs.map(microsOf).reduce((sum, cost) => sum + cost, 0)).toBe(total);
      totals.push(total);
      await figure.locator("tbody a").first().click();
    }
    expect(new Set(totals).size).toBe(1);
    expect(totals[0]).toBeGreaterThan(0);
    await page.waitForURL((url) => url.searchParams.get("groupBy") === "run");
    await figure.locator("tbody a").first().click();
    await page.getByRole("heading", { name: "Ledger lines of this turn" }).waitFor();
    await page.getByRole("region", { name: "Ledger lines of this turn" }).waitFor();
    const lines = page.locator("main table").nth(1).locator("tbody td:nth-child(6)");
    const charged = (await lines.allInnerTexts()).map(microsOf).reduce((sum, cost) => sum + cost, 0);
    expect(charged).toBe(microsOf(await figure.locator("tfoot td:nth-child(2)").innerText()));
    expect(await accessFaults(page)).toEqual([]);
    await context.close();
  });

  it("sets, changes and removes a budget of an agent", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/billing/budgets`);
    await page.getByRole("button", { name: "New budget" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Which one").selectOption("main");
    await dialog.getByLabel("Limit (USD)").fill("1,5");
    expect(await dialog.getByRole("button", { name: "Save" }).isDisabled()).toBe(true);
    await dialog.getByLabel("Limit (USD)").fill("12.5");
    expect(await accessFaults(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByText(/of \$12\.50/).waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await page.getByRole("button", { name: /^Edit the budget of/ }).click();
    await dialog.getByLabel("Limit (USD)").fill("20");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByText(/of \$20\.00/).waitFor();
    await page.getByRole("button", { name: /^Remove the budget of/ }).click();
    await dialog.getByRole("button", { name: "Remove" }).click();
    await page.getByText("No budgets yet").waitFor();
    await context.close();
  });
});
