/**
 * A hundred totals that a person sees, on the pages of usage and of billing, followed down to turns and ledger lines:
 * the figure on screen is the formatted one, and every level below it adds up to the same micro-unit.
 */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Ledger } from "#src/billing/ledger/ledger.ts";
import { en } from "../../ui/src/i18n/en.ts";
import { makeMoney } from "../../ui/src/i18n/money.ts";
import { type Figure, FigureTrail, tableOf } from "../support/figure-trail.ts";
import { clockOfTheMonth, Dice, fillMonth, type MonthOfUsage } from "../support/month-of-usage.ts";
import { PageListener } from "./page-listener.ts";
import type { Part } from "./part.ts";
import { type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

// Some hundreds of requests, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000 });

const SEED = 20_261_122;
const FIGURES = 100;
/** Figures followed at a time. */
const AT_ONCE = 10;
const TODAY = "2026-11-22";
const MONTH = { from: "2026-11-01", to: "2026-11-30" };
const ALWAYS = { from: "2026-01-01", to: TODAY };

const money = makeMoney("en", "USD");

interface Totals {
  totalCost: number;
  totalTokens: number;
}

interface UsageAnswer {
  startDate: string;
  endDate: string;
  totals: Totals;
  aggregates: { costDaily: (Totals & { date: string })[] };
}

/** A figure with the text that stands for it, and the one that must. */
type Seen = Figure & { shown: string; mustShow: string };

/** Currency as the protocol has it is micro-units again: the nearest whole number, and hardly away from it. */
function microsOf(currency: number): number {
  const micros = Math.round(currency * 1e6);
  if (Math.abs(currency * 1e6 - micros) > 1e-3)
    throw new Error(`${currency} is no whole number of micro-units`);
  return micros;
}

const EXACT = /^\$[\d,]+\.\d{6}$/;

/** A number as a table shows it. */
const read = (text: string | undefined): number => Number((text ?? "").replace(/[$,]/g, ""));

const TOKEN_COLUMNS = [
  en.usage.input,
  en.usage.output,
  en.usage.cacheRead,
  en.usage.cacheWrite,
  en.drill.cached,
];

/** Rows that lead further down: where to, the money that they show with all its digits, and their tokens. */
async function rowsOf(page: Page, where: string): Promise<Seen[]> {
  const rows = await page.locator("main tbody tr").evaluateAll((all) =>
    (all as unknown as Part[]).map((row) => ({
      href: row.querySelector("a[href*='/usage/details?']")?.getAttribute("href") ?? "",
      heads: [...(row.closest("table")?.querySelectorAll("th") ?? [])].map(
        (head) => head.textContent?.trim() ?? "",
      ),
      cells: [...row.querySelectorAll("td")].map((cell) => cell.textContent?.trim() ?? ""),
    })),
  );
  return rows.flatMap(({ href, heads, cells }) => {
    if (href === "") return [];
    const { groupBy: _next, ...place } = Object.fromEntries(new URL(href, "http://x").searchParams);
    const kind = Object.keys(place).findLast((name) => name !== "from" && name !== "to") ?? "all";
    const shown = cells[heads.indexOf(en.usage.cost)] ?? "";
    const micros = microsOf(read(EXACT.test(shown) ? shown : `no exact amount: ${shown}`));
    const tokens = cells
      .filter((_cell, column) => TOKEN_COLUMNS.includes(heads[column] ?? ""))
      .reduce((sum, cell) => sum + read(cell), 0);
    const name = `${where}, ${kind} ${place[kind]}`;
    return [{ name, kind, micros, tokens, place, shown, mustShow: money.exact(micros) }];
  });
}

/** What the usage page shows of a period; days and the total are compared with the answer that they are made of. */
async function readUsage(page: Page, heard: PageListener, days: 7 | 30 | 90): Promise<Seen[]> {
  await page.getByText(en.usage.days(days), { exact: true }).click();
  const usage = (await heard.result("sessions.usage", ({ range }) => range === `${days}d`)) as UsageAnswer;
  const span = { from: usage.startDate, to: usage.endDate };
  const rowsBy = (group: string) =>
    page.locator(`main tbody a[href*="from=${span.from}"][href*="&${group}="]`).first().waitFor();
  const where = `usage, ${days} days`;
  const byName = new Map<string, Seen>();
  const breakdown = page.locator("fieldset", { hasText: en.drill.groupBy });
  for (const group of ["user", "agent", "model", "channel"] as const) {
    await breakdown.getByText(en.drill.groups[group], { exact: true }).click();
    await rowsBy(group);
    await rowsBy("session");
    for (const all of await page.getByRole("button", { name: /^Show all / }).all()) await all.click();
    for (const row of await rowsOf(page, where)) byName.set(row.name, row);
  }
  const rows = [...byName.values()];
  for (const row of rows.filter(({ kind }) => kind === "day")) {
    const day = usage.aggregates.costDaily.find(({ date }) => date === row.place.day);
    row.mustShow = money.exact(microsOf(day?.totalCost ?? Number.NaN));
  }
  const micros = microsOf(usage.totals.totalCost);
  const card = page.locator("main dl div", { hasText: en.usage.totalCost });
  const shown = `${await card.locator("dd").innerText()} ${await card.locator("dt span").innerText()}`;
  const mustShow = `${money.show(micros)} ${money.exact(micros)}`;
  const tokens = usage.totals.totalTokens;
  return [{ name: where, kind: "all", micros, tokens, place: span, shown, mustShow }, ...rows];
}

/** Rows of some pages further down. */
async function readDetails(page: Page, url: string, from: readonly Seen[]): Promise<Seen[]> {
  const seen: Seen[] = [];
  for (const figure of from) {
    const query = new URLSearchParams({ ...figure.place, groupBy: "day" } as Record<string, string>);
    await page.goto(`${url}/t/home/usage/details?${query}`);
    await page.locator("main tfoot").waitFor();
    const rows = await rowsOf(page, `details of ${figure.name}`);
    seen.push(...rows.map((row) => ({ ...row, kind: "details" })));
  }
  return seen;
}

interface Budget {
  scope: "tenant" | "agent" | "user";
  scopeId: string;
  period: "month" | "total";
  limitMicros: number;
  spentMicros: number;
}

/** What was spent of the plan, of each budget, and of each month. */
async function readBilling(page: Page, heard: PageListener, url: string): Promise<Seen[]> {
  const charged = { kind: "billing", isCharged: true } as const;
  await page.goto(`${url}/t/home/billing`);
  const { budget } = (await heard.body("/api/billing")) as { budget: { spentMicros: number } };
  const spent = page.locator("main dl div", { has: page.getByText(en.billing.spent, { exact: true }) });
  const mustShow = money.show(budget.spentMicros);
  const first = { name: "billing, spent", micros: budget.spentMicros, place: MONTH };
  const seen: Seen[] = [{ ...charged, ...first, shown: await spent.locator("dd").innerText(), mustShow }];
  await page.goto(`${url}/t/home/billing/budgets`);
  const { budgets } = (await heard.body("/api/budgets")) as { budgets: Budget[] };
  const items = page.locator("main li", { has: page.getByRole("button", { name: /^Edit the budget of/ }) });
  await items.first().waitFor();
  const texts = await items.allInnerTexts();
  for (const [index, { scope, scopeId, period, limitMicros, spentMicros }] of budgets.entries()) {
    const place = {
      ...(period === "month" ? MONTH : ALWAYS),
      ...(scope === "tenant" ? {} : { [scope]: scopeId }),
    };
    const words = en.budgets.of(money.show(spentMicros), money.show(limitMicros));
    const shown = texts[index]?.split("\n").find((line) => line.includes(" of $")) ?? "";
    seen.push({ ...charged, name: `budget of ${scope}`, micros: spentMicros, place, shown, mustShow: words });
  }
  await page.goto(`${url}/t/home/billing/statements`);
  const { statements } = (await heard.body("/api/statements")) as {
    statements: { month: string; totalMicros: number; lines: number }[];
  };
  await page.locator("main li", { hasText: "2026" }).first().waitFor();
  const months = await page.locator("main li", { hasText: /\d line/ }).allInnerTexts();
  for (const [index, { month, totalMicros, lines }] of statements.entries()) {
    const words = `${money.exact(totalMicros)} · ${en.statements.lines(lines)}`;
    const shown = months[index]?.split("\n").find((line) => line.startsWith("$")) ?? "";
    const place = { from: `${month}-01`, to: lastDayOf(month) };
    seen.push({
      ...charged,
      name: `statement of ${month}`,
      micros: totalMicros,
      place,
      shown,
      mustShow: words,
    });
  }
  return seen;
}

function lastDayOf(month: string): string {
  const [year = 0, number = 0] = month.split("-").map(Number);
  return new Date(Date.UTC(year, number, 0)).toISOString().slice(0, 10);
}

/** As many of each kind as there are, in turns. */
function someOfEach(figures: readonly Seen[], count: number, dice: Dice): Seen[] {
  const kinds = [...Map.groupBy(dice.shuffle(figures), ({ kind }) => kind).values()];
  const picked: Seen[] = [];
  for (let turn = 0; picked.length < Math.min(count, figures.length); turn++)
    picked.push(...kinds.flatMap((kind) => kind.slice(turn, turn + 1)));
  return picked.slice(0, count);
}

describe.skipIf(findChromium() === undefined)("totals on screen (needs a Chromium)", () => {
  let world: BrowserWorld;
  let month: MonthOfUsage;
  beforeAll(async () => {
    const clock = clockOfTheMonth();
    world = await startBrowserWorld({}, { clock });
    month = await fillMonth(world.app, "home", SEED);
  });
  afterAll(() => world.close());

  it("are what their turns and ledger lines add up to, a hundred of them", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    const heard = new PageListener(page);
    const dice = new Dice(SEED);
    await page.goto(`${world.app.url}/t/home/usage`);
    await page.getByRole("button", { name: en.usage.showTable }).click();
    const usage: Seen[] = [];
    for (const days of [30, 7, 90] as const) usage.push(...(await readUsage(page, heard, days)));
    const details = await readDetails(page, world.app.url, dice.shuffle(usage).slice(0, 4));
    const billing = await readBilling(page, heard, world.app.url);
    const seen = [...usage, ...details, ...billing];
    expect(new Set(seen.map(({ kind }) => kind)).size).toBe(9);
    expect(seen.length).toBeGreaterThan(1.5 * FIGURES);
    const wrongTexts = seen.filter(({ shown, mustShow }) => shown !== mustShow);
    expect(wrongTexts.map(({ name, shown, mustShow }) => `${name} | ${shown} | ${mustShow}`)).toEqual([]);
    const trail = await FigureTrail.open(world.app, "home");
    const picked = someOfEach(seen, FIGURES, dice);
    const follow = (figure: Figure, place: number) => trail.follow(figure, new Dice(SEED + place));
    for (let at = 0; at < picked.length; at += AT_ONCE)
      await Promise.all(picked.slice(at, at + AT_ONCE).map((figure, index) => follow(figure, at + index)));
    expect(picked).toHaveLength(FIGURES);
    expect(trail.levels).toBeGreaterThan(4 * FIGURES);
    expect(tableOf(trail.mismatches)).toBe("");
    expect(usage.find(({ name }) => name === "usage, 90 days")?.micros).toBe(month.costMicros);
    await context.close();
  });

  it("rest on a ledger that holds", async () => {
    expect(await new Ledger(clockOfTheMonth()).verify(month.scope)).toMatchObject({
      ok: true,
      problem: null,
    });
  });
});
