/**
 * The Usage page of the stock Control UI over a month of usage: every total that it shows or exports, those that it adds
 * up by itself included, is the figure that our own pages follow down to turns, to the same micro-unit.
 *
 * Needs a past, so Creel runs in this process with its clock set back. Skipped against the stock gateway.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { DrillGroup, DrillSums } from "#src/billing/drill/usage-drill.ts";
import { PageListener } from "../../browser/page-listener.ts";
import { FigureTrail, type Place } from "../../support/figure-trail.ts";
import {
  clockOfTheMonth,
  Dice,
  fillMonth,
  type MonthOfUsage,
  NOW_MS,
  ZONE,
} from "../../support/month-of-usage.ts";
import { startApp, type TestApp } from "../../support/start-app.ts";
import { openclawDir } from "../openclaw.ts";
import { type ControlUiSite, serveControlUi } from "./control-ui-site.ts";
import {
  type ExportedTotals,
  type ExportedUsage,
  exportUsage,
  readUsagePage,
  showCost,
  showShortCost,
  showTokens,
} from "./usage-page.ts";

const BROWSERS = [process.env["CHROMIUM"] ?? "", "/usr/bin/chromium-headless-shell", "/usr/bin/chromium"];
const executablePath = BROWSERS.find((path) => path && existsSync(path));
const isOurs = process.env["CLIENTS_TARGET"] !== "openclaw";
const SEED = 20_261_122;
const TODAY = "2026-11-22";
/** The page's buttons, and the first day that each means. */
const RANGES = {
  "30d": "2026-10-24",
  Today: TODAY,
  "7d": "2026-11-16",
  "90d": "2026-08-25",
  All: "2026-08-01",
};

let app: TestApp;
let month: MonthOfUsage;
let site: ControlUiSite;
let browser: Browser;
let trail: FigureTrail;
let page: Page;
let heard: PageListener;

/** Currency in micro-units, which it must be a whole number of but for the last digits of a fraction in binary. */
function microsOf(currency: number): number {
  const micros = Math.round(currency * 1e6);
  expect(Math.abs(currency * 1e6 - micros), `${currency}`).toBeLessThan(1e-3);
  return micros;
}

const tokensOf = (sums: DrillSums) =>
  sums.inputTokens + sums.outputTokens + sums.cacheReadTokens + sums.cacheWriteTokens;

/** What can be compared of both: cost and tokens. */
const ours = (sums: DrillSums) => ({ micros: sums.costMicros, tokens: tokensOf(sums) });
const theirs = (totals: ExportedTotals) => ({
  micros: microsOf(totals.totalCost),
  tokens: totals.totalTokens,
});

type Sums = Record<string, { micros: number; tokens: number }>;

/** Our figures by one thing; sessions by key. */
async function oursBy(place: Place, group: DrillGroup): Promise<Sums> {
  const { rows } = await trail.drill(place, group);
  const sums: Sums = {};
  for (const row of rows) {
    const key = group === "session" ? row.name : row.key;
    const { micros, tokens } = ours(row);
    sums[key] = { micros: (sums[key]?.micros ?? 0) + micros, tokens: (sums[key]?.tokens ?? 0) + tokens };
  }
  return sums;
}

function byName<T>(list: readonly T[], nameOf: (one: T) => string, of: (one: T) => ExportedTotals): Sums {
  return Object.fromEntries(list.map((one) => [nameOf(one), theirs(of(one))]));
}

/** Without what was not used: the page has an entry for each day. */
function used(sums: Sums): Sums {
  return Object.fromEntries(Object.entries(sums).filter(([, { tokens, micros }]) => tokens + micros > 0));
}

/** Opens the page with nothing chosen, showing cost. */
async function openUsage(): Promise<void> {
  const profile = await browser.newContext({ viewport: { width: 1300, height: 1600 }, timezoneId: ZONE });
  page = await profile.newPage();
  await page.clock.install({ time: NOW_MS });
  heard = new PageListener(page);
  await page.goto(`${site.origin}/`);
  await page.fill("#login-gate-credential", await app.token("home"));
  await page.click("button.login-gate__connect");
  await page.getByLabel("Chat composer").waitFor();
  await page.goto(`${site.origin}/usage`);
  await page.locator(".usage-metric-badge").first().waitFor();
  await page.locator(".usage-view-options").getByRole("button", { name: "Cost", exact: true }).click();
  await page.locator(".cost-breakdown-header", { hasText: "Cost by Type" }).waitFor();
}

/** Everything of an export that does not depend on how sessions are filtered. */
async function expectExport(exported: ExportedUsage, place: Place): Promise<void> {
  // Turns are summed from the single calls, everything else from sums of quarters of an hour.
  const { total } = await trail.drill(place, "run");
  const { aggregates } = exported;
  expect(theirs(exported.totals)).toEqual(ours(total));
  expect({
    ...{ input: exported.totals.input, output: exported.totals.output },
    ...{ cacheRead: exported.totals.cacheRead, cacheWrite: exported.totals.cacheWrite },
  }).toEqual({
    ...{ input: total.inputTokens, output: total.outputTokens },
    ...{ cacheRead: total.cacheReadTokens, cacheWrite: total.cacheWriteTokens },
  });
  const { inputCost, outputCost, cacheReadCost, cacheWriteCost } = exported.totals;
  expect(microsOf(inputCost + outputCost + cacheReadCost + cacheWriteCost)).toBe(total.costMicros);
  expect(
    used(
      byName(
        exported.daily,
        ({ date }) => date,
        (day) => day,
      ),
    ),
  ).toEqual(used(await oursBy(place, "day")));
  const sessions = byName(
    exported.sessions,
    ({ key }) => key,
    ({ usage }) => usage,
  );
  expect(sessions).toEqual(await oursBy(place, "session"));
  expect(aggregates.sessionCount).toBe(Object.keys(sessions).length);
  const byModel = byName(
    aggregates.byModel,
    ({ provider, model }) => `${provider}/${model}`,
    ({ totals }) => totals,
  );
  const { "-": _tools, ...models } = await oursBy(place, "model");
  expect(byModel).toEqual(models);
  expect(aggregates.byModel.reduce((calls, { count }) => calls + count, 0)).toBe(total.calls);
  expect(aggregates.tools.totalCalls).toBe(total.toolCalls);
  expect(
    byName(
      aggregates.byAgent,
      ({ agentId }) => agentId,
      ({ totals }) => totals,
    ),
  ).toEqual(await oursBy(place, "agent"));
  expect(
    byName(
      aggregates.byChannel,
      ({ channel }) => channel,
      ({ totals }) => totals,
    ),
  ).toEqual(await oursBy(place, "channel"));
  const creators = byName(
    aggregates.byCreator,
    ({ key }) => key,
    ({ totals }) => totals,
  );
  expect(Object.values(creators).reduce((sum, { micros }) => sum + micros, 0)).toBe(total.costMicros);
}

/** What stands on the page when nothing is filtered. */
async function expectShown(place: Place): Promise<void> {
  const shown = await readUsagePage(page);
  const { total } = await trail.drill(place, "day");
  const costs = async (group: DrillGroup) =>
    Object.fromEntries(
      Object.entries(await oursBy(place, group)).map(([key, { micros }]) => [key, showCost(micros)]),
    );
  expect(shown.tokens).toBe(showTokens(tokensOf(total)));
  expect(shown.cost).toBe(showShortCost(total.costMicros));
  expect(shown.byType["Total"]).toBe(showCost(total.costMicros));
  expect(shown.windows["Selected Range"]).toBe(showCost(total.costMicros));
  expect(shown.cards["Tool Calls"]?.[0]).toBe(String(total.toolCalls));
  expect(shown.cards["Avg Cost / Msg"]?.[1]).toBe(`${showCost(total.costMicros)} total`);
  const sessions = await costs("session");
  expect(Object.fromEntries(shown.sessions)).toEqual(sessions);
  expect(shown.sessionCount).toBe(String(Object.keys(sessions).length));
  expect(Object.fromEntries(shown.lists["Top Agents"] ?? [])).toEqual(await costs("agent"));
  expect(Object.fromEntries(shown.lists["Top Channels"] ?? [])).toEqual(await costs("channel"));
  const models = Object.entries(await costs("model")).filter(([key]) => key !== "-");
  const bare = models.map(([key, cost]) => [key.slice(key.indexOf("/") + 1), cost]);
  expect(Object.fromEntries(shown.lists["Top Models"] ?? [])).toEqual(Object.fromEntries(bare));
  const days = new Intl.DateTimeFormat("en-US", { dateStyle: "long", timeZone: "UTC" });
  const bars = Object.entries(await oursBy(place, "day")).map(
    ([day, { micros, tokens }]) =>
      `${days.format(Date.parse(day))}: ${showTokens(tokens)} tokens, ${showCost(micros)}`,
  );
  expect(shown.bars.filter((bar) => !/: 0 tokens, \$0\.00$/.test(bar))).toEqual(bars);
  expect(shown.creators.length).toBeGreaterThan(0);
}

describe.skipIf(!executablePath || !isOurs)("the Usage page of the stock Control UI (needs Chromium)", () => {
  beforeAll(async () => {
    app = await startApp({ app: { clock: clockOfTheMonth() } });
    month = await fillMonth(app, "home", SEED);
    trail = await FigureTrail.open(app, "home");
    const target = { name: "home", wsUrl: app.wsUrl, httpUrl: app.url, token: "" };
    site = await serveControlUi(join(openclawDir(), "dist", "control-ui"), target);
    browser = await chromium.launch({ ...(executablePath && { executablePath }), args: ["--no-sandbox"] });
    await openUsage();
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    await app?.close();
  });
  beforeEach(async () => {
    // Back to the default range with nothing chosen.
    await choose("7d");
    await choose("30d");
  });

  /** Presses a range's button and waits for its figures. */
  async function choose(range: keyof typeof RANGES): Promise<void> {
    const before = heard.answeredTimes("sessions.usage");
    await page.locator(".usage-presets").getByRole("button", { name: range, exact: true }).click();
    await heard.answered("sessions.usage", before + 1);
    await page.locator(".usage-loading-spinner").waitFor({ state: "detached" });
  }

  for (const [range, from] of Object.entries(RANGES)) {
    it(`shows and exports our totals for ${range}`, async () => {
      if (range !== "30d") await choose(range as keyof typeof RANGES);
      const place = { from, to: TODAY };
      await expectShown(place);
      const exported = await exportUsage(page);
      await expectExport(exported, place);
      if (range === "All") expect(microsOf(exported.totals.totalCost)).toBe(month.costMicros);
    });
  }

  it("shows our totals of a day that is chosen, by session too", async () => {
    const dice = new Dice(SEED);
    const days = Object.keys(await oursBy({ from: RANGES["30d"], to: TODAY }, "day"));
    for (const day of ["2026-11-01", dice.pick(days), dice.pick(days)]) {
      const name = new Intl.DateTimeFormat("en-US", { dateStyle: "long", timeZone: "UTC" }).format(
        Date.parse(day),
      );
      await page.locator(`.daily-bar-wrapper[aria-label^="${name}:"]`).click();
      const { total } = await trail.drill({ day }, "day");
      const shown = await readUsagePage(page);
      expect(shown.cost).toBe(showShortCost(total.costMicros));
      expect(shown.tokens).toBe(showTokens(tokensOf(total)));
      const sessions = await oursBy({ day }, "session");
      expect(shown.sessionCount).toBe(String(Object.keys(sessions).length));
      const costs = Object.entries(sessions).map(([key, { micros }]) => [key, showCost(micros)]);
      expect(Object.fromEntries(shown.sessions)).toEqual(Object.fromEntries(costs));
      expect(theirs((await exportUsage(page)).totals)).toEqual(ours(total));
      await page.locator(`.daily-bar-wrapper[aria-label^="${name}:"]`).click();
    }
  });

  it("adds sessions up to our totals of what they are filtered by", async () => {
    const input = page.locator(".usage-query-input");
    const inRange = Object.keys(await oursBy({ from: RANGES["30d"], to: TODAY }, "session")).length;
    for (const agent of month.agents) {
      await input.fill(`agent:${agent}`);
      await input.press("Enter");
      const place = { from: RANGES["30d"], to: TODAY, agent };
      const { total } = await trail.drill(place, "day");
      const matching = Object.keys(await oursBy(place, "session")).length;
      const hint = `${matching} of ${inRange} sessions match`;
      await page.locator(".usage-query-hint", { hasText: hint }).first().waitFor();
      await page.locator(".session-bar-row").nth(matching).waitFor({ state: "detached" });
      const exported = await exportUsage(page);
      expect(theirs(exported.totals)).toEqual(ours(total));
      expect(
        used(
          byName(
            exported.daily,
            ({ date }) => date,
            (day) => day,
          ),
        ),
      ).toEqual(await oursBy(place, "day"));
      expect((await readUsagePage(page)).cost).toBe(showShortCost(total.costMicros));
    }
    await input.fill("");
    await input.press("Enter");
  });

  it("counts days of UTC when asked to, as the calls themselves say", async () => {
    const before = heard.answeredTimes("sessions.usage");
    await page.getByLabel("Time zone").selectOption("utc");
    await heard.answered("sessions.usage", before + 1);
    await page.getByText("Time zone: UTC.").waitFor();
    const exported = await exportUsage(page);
    const dayOf = (atMs: number) => new Date(atMs).toISOString().slice(0, 10);
    const byDay = new Map<string, number>();
    for (const { atMs, costMicros } of month.calls.filter((call) => dayOf(call.atMs) >= RANGES["30d"]))
      byDay.set(dayOf(atMs), (byDay.get(dayOf(atMs)) ?? 0) + costMicros);
    const daily = exported.daily.filter((day) => day.totalTokens > 0);
    expect(Object.fromEntries(daily.map((day) => [day.date, microsOf(day.totalCost)]))).toEqual(
      Object.fromEntries(byDay),
    );
    const sum = [...byDay.values()].reduce((total, micros) => total + micros, 0);
    expect(microsOf(exported.totals.totalCost)).toBe(sum);
    expect((await readUsagePage(page)).cost).toBe(showShortCost(sum));
    await page.getByLabel("Time zone").selectOption("local");
    await heard.answered("sessions.usage", before + 2);
  });

  it("tells what a session used before and after it was reset apart when asked to", async () => {
    const before = heard.answeredTimes("sessions.usage");
    await page.getByRole("button", { name: "Current instance" }).click();
    await heard.answered("sessions.usage", before + 1);
    const { rows, total } = await trail.drill({ from: RANGES["30d"], to: TODAY }, "session");
    await page.locator(".usage-metric-badge strong", { hasText: new RegExp(`^${rows.length}$`) }).waitFor();
    const exported = await exportUsage(page);
    expect(
      byName(
        exported.sessions,
        ({ sessionId }) => sessionId,
        ({ usage }) => usage,
      ),
    ).toEqual(Object.fromEntries(rows.map((row) => [row.key, ours(row)])));
    expect(rows.length).toBeGreaterThan(new Set(exported.sessions.map(({ key }) => key)).size);
    expect(theirs(exported.totals)).toEqual(ours(total));
    await page.getByRole("button", { name: "Historical lineage" }).click();
    await heard.answered("sessions.usage", before + 2);
  });

  it("shows our totals of one session in its panel", async () => {
    const place = { from: RANGES["30d"], to: TODAY };
    for (const key of ["agent:main:main", "agent:net-mender:prices"]) {
      await page.locator(`.session-bar-row[title="${key}"] .session-bar-selection`).first().click();
      const panel = page.locator(".session-detail-panel");
      await panel.locator(".session-detail-title", { hasText: key }).waitFor();
      const { total } = await trail.drill({ ...place, session: key }, "day");
      const [tokens, cost] = await panel.locator(".session-detail-stats strong").allInnerTexts();
      expect({ tokens, cost }).toEqual({
        tokens: showTokens(tokensOf(total)),
        cost: showShortCost(total.costMicros),
      });
      expect((await readUsagePage(page)).cost).toBe(showShortCost(total.costMicros));
      await panel.getByRole("button", { name: "Close session details" }).click();
    }
  });

  it("shows what sessions used by who began them, and nothing else when one person is chosen", async () => {
    const place = { from: RANGES["30d"], to: TODAY };
    const bySession = await oursBy(place, "session");
    const options: { key: string; name: string }[] = [];
    for (const option of await page.locator(".usage-creator-filter option").all()) {
      const key = (await option.getAttribute("value")) ?? "";
      options.push({ key, name: ((await option.textContent()) ?? "").trim() });
    }
    const all = await readUsagePage(page);
    expect(all.creators.map(([name]) => name).sort()).toEqual(
      options
        .map(({ name }) => name)
        .filter((name) => name !== "All identities")
        .sort(),
    );
    let micros = 0;
    for (const { key, name } of options.filter((option) => option.key !== "")) {
      const before = heard.answeredTimes("sessions.usage");
      await page.locator(".usage-creator-filter").selectOption(key);
      await heard.answered("sessions.usage", before + 1);
      await page.locator(".usage-creators-table tr.selected").waitFor();
      const exported = await exportUsage(page);
      const own = exported.sessions.map((session) => bySession[session.key]?.micros ?? Number.NaN);
      const sum = own.reduce((total, one) => total + one, 0);
      expect(microsOf(exported.totals.totalCost)).toBe(sum);
      expect(Object.fromEntries(all.creators)[name]).toBe(showShortCost(sum));
      micros += sum;
    }
    expect(micros).toBe(Object.values(bySession).reduce((sum, one) => sum + one.micros, 0));
    await page.locator(".usage-creator-filter").selectOption("");
  });
});
