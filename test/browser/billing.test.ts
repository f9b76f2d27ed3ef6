/** Money in the Control UI: budgets are set by hand, and a figure is followed down to the lines that it is made of. */
import SqliteDatabase from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PriceBook } from "#src/billing/prices.ts";
import { lastNight } from "#src/billing/reconcile/reconciler.ts";
import { UsageMeter } from "#src/billing/usage.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { makeLog } from "#src/kernel/log.ts";
import { modelInput } from "../support/usage-world.ts";
import { accessFaults, type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

const COST = { input: 2.5, output: 10, cacheRead: 0.5, cacheWrite: 0 };
const CALLS = [1_117, 20_011, 333_333, 7];

/** Usage of one person in one conversation, by several models. */
async function fill(world: BrowserWorld): Promise<void> {
  const { app } = world.app;
  const scope = app.door.scope(await world.app.tenant("home"));
  const meter = new UsageMeter({
    ...{ prices: new PriceBook(), clock: systemClock },
    log: makeLog({ level: "silent" }),
  });
  const statements = CALLS.flatMap((inputTokens, index) => {
    const usage = { inputTokens, outputTokens: 13, cacheReadTokens: 1, cacheWriteTokens: 0, isExact: true };
    const model = {
      provider: "harbour",
      model: index % 2 === 0 ? "deep" : "shallow",
      cost: COST,
      userId: app.firstRun.user.id,
      usage,
    };
    return meter.modelCall(scope, modelInput(systemClock.nowMs(), model)).statements;
  });
  await scope.db.write({ statements });
}

/** A night whose comparison found something, as if it had been. */
async function plantNight(world: BrowserWorld): Promise<void> {
  const { id } = await world.app.tenant("home");
  const control = new SqliteDatabase(`${world.app.stateDir}/control.db`);
  const finding = { kind: "retried_calls", model: "deep", calls: 3, inputTokens: 360, cachedTokens: 0 };
  control
    .prepare("INSERT INTO reconciliations VALUES ('harbour', ?, ?, 1, 0, ?)")
    .run(id, lastNight(systemClock.nowMs()), JSON.stringify([{ ...finding, outputTokens: 60 }]));
  control.close();
}

const microsOf = (text: string): number => Math.round(Number(text.replace(/[^\d.]/g, "")) * 1e6);

describe.skipIf(findChromium() === undefined)("billing (needs a Chromium)", () => {
  let world: BrowserWorld;
  beforeAll(async () => {
    world = await startBrowserWorld();
    await fill(world);
  });
  afterAll(() => world.close());

  it("follows a figure down to a turn and its ledger lines, equal to the micro-unit at each step", {
    timeout: 60_000,
  }, async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/billing/statements`);
    await page.getByText(/2 lines/).waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await page.goto(`${world.app.url}/t/home/usage`);
    await page.getByRole("link", { name: "Follow the figures" }).waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await page.getByRole("link", { name: "Follow the figures" }).click();
    const figure = page.locator("main table").first();
    const totals: number[] = [];
    for (const by of ["day", "session"]) {
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
    const used = page.locator("main table").nth(1).locator("tfoot td:nth-child(2)");
    await used.waitFor();
    const lines = page.locator("main table").nth(1).locator("tbody td:nth-child(2)");
    const charged = (await lines.allInnerTexts()).map(microsOf).reduce((sum, cost) => sum + cost, 0);
    expect(charged).toBe(microsOf(await figure.locator("tfoot td:nth-child(2)").innerText()));
    expect(microsOf(await used.innerText())).toBe(charged);
    expect(await accessFaults(page)).toEqual([]);
    await page.getByRole("link", { name: "Open the conversation" }).click();
    await page.waitForURL(/\/t\/home\/chat\//);
    await context.close();
  });

  it("shows sums at any place that are those of their rows and of the protocol, to the micro-unit", {
    timeout: 60_000,
  }, async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    const headers = { authorization: `Bearer ${await world.app.token("home")}` };
    const read = async (query: string) => {
      const answer = await fetch(`${world.app.url}/t/home/api/usage/drill?${query}`, { headers });
      return (await answer.json()) as { rows: { key: string }[]; total: { costMicros: number } };
    };
    const groups = ["user", "agent", "model", "channel", "session", "run"];
    for (const group of groups) {
      const [first] = (await read(`groupBy=${group}`)).rows;
      const filter = new URLSearchParams({ [group]: first?.key ?? "" });
      for (const step of [1, 3]) {
        const groupBy = groups[(groups.indexOf(group) + step) % groups.length] ?? "day";
        const { total } = await read(`${filter}&groupBy=${groupBy}`);
        await page.goto(`${world.app.url}/t/home/usage/details?${filter}&groupBy=${groupBy}`);
        const figure = page.locator("main table").first();
        await figure.locator("tfoot").waitFor();
        const costs = await figure.locator("tbody tr td:nth-child(2)").allInnerTexts();
        const shown = microsOf(await figure.locator("tfoot td:nth-child(2)").innerText());
        expect({ group, groupBy, shown }).toEqual({ group, groupBy, shown: total.costMicros });
        expect(costs.map(microsOf).reduce((sum, cost) => sum + cost, 0)).toBe(shown);
      }
    }
    await context.close();
  });

  it("shows who used it with its growth, and reads the days under the arrow keys", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/usage`);
    const sheet = page.locator("section").filter({ hasText: "Who and what used it" }).first();
    const totals = new Set<number>();
    for (const group of ["Person", "Agent", "Model", "Channel"]) {
      await sheet.getByText(group, { exact: true }).first().click();
      await sheet.getByRole("columnheader", { name: group }).waitFor();
      await sheet.locator("tfoot").waitFor();
      totals.add(microsOf(await sheet.locator("tfoot td:nth-child(2)").innerText()));
      // Nothing was used in the days before.
      await sheet.locator("tbody td:nth-child(3)").getByText("New").first().waitFor();
    }
    expect(totals.size).toBe(1);
    await page.getByText("Cost", { exact: true }).first().click();
    await page.getByRole("img", { name: /Bar chart of Cost/ }).focus();
    await page.keyboard.press("ArrowLeft");
    const way = page.getByRole("link", { name: "Follow this day" });
    await way.waitFor();
    expect(microsOf((await way.locator("..").innerText()).split("$")[1] ?? "")).toBe([...totals][0]);
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => url.searchParams.get("groupBy") === "session");
    await context.close();
  });

  it("reads a day at a finger's tap, which does not lead away from it", async () => {
    const small = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
    const context = await world.signIn(small);
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/usage`);
    const chart = page.getByRole("img", { name: /Bar chart/ });
    await chart.locator(".u-over").waitFor();
    await chart.scrollIntoViewIfNeeded();
    await chart.tap();
    await page.getByRole("link", { name: "Follow this day" }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/t/home/usage");
    await page.getByRole("link", { name: "Follow this day" }).click();
    await page.waitForURL((url) => url.searchParams.get("groupBy") === "session");
    await context.close();
  });

  it("lists the ledger with the newest line first, page by page, each leading to its turn", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/billing/ledger`);
    const seqs = page.locator("main tbody td:last-child");
    await seqs.first().waitFor();
    const shown = (await seqs.allInnerTexts()).map(Number);
    expect(shown.length).toBeGreaterThan(2);
    expect(shown).toEqual(shown.toSorted((left, right) => right - left));
    await page.locator("main tbody a").first().click();
    await page.getByRole("region", { name: "Ledger lines of this turn" }).waitFor();
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
    // Another save is said, and nothing of it is lost by a slip.
    await page.getByRole("button", { name: /^Edit the budget of/ }).click();
    await dialog.getByLabel("Limit (USD)").fill("21");
    const other = { scope: "agent", scopeId: "main", period: "month", limitMicros: 33_000_000 };
    const saved = await page.request.put(`${world.app.url}/t/home/api/budgets`, {
      ...{ data: other, headers: { origin: world.app.url } },
    });
    expect(saved.status()).toBe(200);
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText("Somebody else set this limit to $33.00 meanwhile").waitFor();
    expect(await dialog.getByLabel("Limit (USD)").inputValue()).toBe("21");
    await page.getByText(/of \$33\.00/).waitFor();
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByText(/of \$21\.00/).waitFor();
    await page.getByRole("button", { name: "New budget" }).click();
    await dialog.getByLabel("Which one").selectOption("main");
    await dialog.getByLabel("Limit (USD)").fill("5");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText("There is such a budget already, with a limit of $21.00").waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: /^Remove the budget of/ }).click();
    await dialog.getByRole("button", { name: "Remove" }).click();
    await page.getByText("No budgets yet").waitFor();
    await context.close();
  });

  it("says of a code that is not taken what to do, and when", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/billing`);
    const code = page.getByLabel("Code", { exact: true });
    await code.fill("ABCDE-FGHJK-MNPQR-STVWX");
    await page.getByRole("button", { name: "Redeem" }).click();
    await page.getByText("This code is not valid here").waitFor();
    expect(await page.getByText("no longer there").count()).toBe(0);
    // What is said goes with the code that it was said of.
    await code.fill("ABCDE-FGHJK-MNPQR-STVWY");
    expect(await page.getByText("This code is not valid here").count()).toBe(0);
    for (let n = 10; n < 20; n++) {
      const refused = await page.request.post(`${world.app.url}/t/home/api/redeem`, {
        ...{ data: { code: `ABCDE-FGHJK-MNPQR-STV${n}` }, headers: { origin: world.app.url } },
      });
      expect([404, 429]).toContain(refused.status());
    }
    await page.getByRole("button", { name: "Redeem" }).click();
    await page.getByText(/none is taken for now\. Try again after \d+:\d\d/).waitFor();
    await context.close();
  });

  it("forgets a trial's answer when the amount changes", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/billing`);
    const amount = page.getByLabel("Monthly limit (USD)");
    await amount.fill("1,5");
    expect(await amount.getAttribute("aria-invalid")).toBe("true");
    await page.getByText("A number with a point").waitFor();
    await amount.fill("1000");
    await page.getByRole("button", { name: "Try it" }).click();
    await page.getByText("It would have refused nothing last month.").waitFor();
    await amount.fill("1");
    expect(await page.getByText("It would have refused").count()).toBe(0);
    await context.close();
  });

  it("falls back to the usual days for an address that names none", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    for (const query of ["from=x&to=y", "day=foo"]) {
      await page.goto(`${world.app.url}/t/home/usage/details?${query}`);
      await page.getByRole("heading", { level: 1, name: "Where it went" }).waitFor();
      await page.waitForLoadState("networkidle");
      expect(await page.getByRole("alert").count()).toBe(0);
      expect(await page.getByText("stopped working").count()).toBe(0);
    }
    await context.close();
  });

  it("compares a provider of the organization's own, once it has a usage address", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/t/home/settings/providers`);
    await page.getByRole("button", { name: "Add provider" }).click();
    const dialog = page.getByRole("dialog");
    const fill = (label: string, text: string) => dialog.getByLabel(label, { exact: true }).fill(text);
    await fill("Id", "harbour");
    await fill("Server address", "https://harbour.example/v1");
    await fill("Model id", "deep");
    await dialog.getByText("Compare usage (optional)").click();
    await fill("Usage address", "https://elsewhere.example/usage");
    expect(await accessFaults(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText(/Usage is read from the host/).waitFor();
    await fill("Usage address", "https://harbour.example/usage");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByText("https://harbour.example/v1").waitFor();
    await page.goto(`${world.app.url}/t/home/billing/statements`);
    await page.getByText("The first comparison follows within a day.").waitFor();
    await plantNight(world);
    await page.reload();
    const line = page.getByRole("listitem").filter({ hasText: "Look at this" });
    await line.getByText("Calls made again").waitFor();
    expect(await line.innerText()).toContain("+3");
    expect(await accessFaults(page)).toEqual([]);
    await context.close();
  });
});
