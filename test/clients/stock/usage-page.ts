/**
 * The Usage page of the stock Control UI as a person reads it. Owns: where its figures are, how it writes amounts, what it
 * exports. Refuses to know: what they should be.
 */
import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import type { Part } from "../../browser/part.ts";

/** Texts on the page, by what they are about. */
export interface ShownUsage {
  tokens: string;
  cost: string;
  sessionCount: string;
  /** Cost by type of token, and in total. */
  byType: Record<string, string>;
  /** `<day>: <tokens> tokens, <cost>` of each bar, in order. */
  bars: string[];
  /** Lists of the overview by title, each as name and value. */
  lists: Record<string, [string, string][]>;
  /** Cards of the overview by title: value and what stands below. */
  cards: Record<string, [string, string]>;
  /** Cost by window of days. */
  windows: Record<string, string>;
  /** Cost by who began sessions. */
  creators: [string, string][];
  /** Cost by session key. */
  sessions: [string, string][];
}

/** Totals in the page's JSON export; cost in units of currency, every digit. */
export interface ExportedTotals {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  totalTokens: number;
  totalCost: number;
  inputCost: number;
  outputCost: number;
  cacheReadCost: number;
  cacheWriteCost: number;
}

/** The page's JSON export: what it computed, filters applied. */
export interface ExportedUsage {
  totals: ExportedTotals;
  daily: (ExportedTotals & { date: string })[];
  sessions: { key: string; sessionId: string; usage: ExportedTotals }[];
  aggregates: {
    sessionCount: number;
    messages: { total: number; user: number; assistant: number; toolCalls: number; errors: number };
    tools: { totalCalls: number };
    byModel: { provider: string; model: string; count: number; totals: ExportedTotals }[];
    byProvider: { provider: string; totals: ExportedTotals }[];
    byAgent: { agentId: string; totals: ExportedTotals }[];
    byChannel: { channel: string; totals: ExportedTotals }[];
    byCreator: { key: string; sessionCount: number; totals: ExportedTotals }[];
  };
}

/** How it writes an amount of micro-units: two digits, more where these would say nothing. */
export function showCost(micros: number): string {
  return `$${(micros / 1e6).toFixed(micros === 0 || micros >= 10_000 ? 2 : micros >= 100 ? 4 : 6)}`;
}

/** How it writes an amount of micro-units in badges and tables. */
export function showShortCost(micros: number): string {
  return `$${(micros / 1e6).toFixed(2)}`;
}

/** How it writes a number of tokens. */
export function showTokens(tokens: number): string {
  if (tokens < 1_000) return String(tokens);
  return tokens < 1e6 ? `${(tokens / 1e3).toFixed(1)}K` : `${(tokens / 1e6).toFixed(1)}M`;
}

/** Reads the page as it is; it should show cost, not tokens. */
export function readUsagePage(page: Page): Promise<ShownUsage> {
  return page.locator("body").evaluate((element): ShownUsage => {
    const body = element as unknown as Part;
    const text = (node: Part | null | undefined): string =>
      (node?.textContent ?? "").replace(/\s+/g, " ").trim();
    const all = (selector: string, within: Part = body) => [...within.querySelectorAll(selector)];
    const pairs = (selector: string, name: string, value: string): [string, string][] =>
      all(selector).map((node) => [text(node.querySelector(name)), text(node.querySelector(value))]);
    const badges = all(".usage-metric-badge strong").map(text);
    const legend = all(".cost-breakdown-legend .legend-item").map((node) => /^(.*) (\S+)$/.exec(text(node)));
    const total = /(\S+)$/.exec(text(body.querySelector(".cost-breakdown-total")));
    const lists = all(".usage-insight-card").map((card) => [
      text(card.querySelector(".usage-insight-title")),
      all(".usage-list-item", card).map((item) => [
        item.querySelector("[data-agent-id]")?.getAttribute("data-agent-id") ?? text(item.firstElementChild),
        text(item.querySelector(".usage-list-value > span")),
      ]),
    ]);
    const cards = all(".usage-summary-card").map((card) => [
      card.querySelector(".usage-summary-hint")?.getAttribute("aria-label") ?? "",
      [text(card.querySelector(".usage-summary-value")), text(card.querySelector(".usage-summary-sub"))],
    ]);
    const creators = all(".usage-creators-table tbody tr").map((row) => [
      text(row.querySelector(".usage-creator-name > span:last-child")),
      text(row.querySelectorAll("td")[1]),
    ]);
    return {
      ...{ tokens: badges[0] ?? "", cost: badges[1] ?? "", sessionCount: badges[2] ?? "" },
      byType: Object.fromEntries([
        ...legend.map((found) => [found?.[1] ?? "", found?.[2] ?? ""]),
        ["Total", total?.[1] ?? ""],
      ]),
      bars: all(".daily-bar-wrapper").map((bar) => bar.getAttribute("aria-label") ?? ""),
      lists: Object.fromEntries(lists),
      cards: Object.fromEntries(cards),
      windows: Object.fromEntries(
        pairs(".cost-window-card", ".cost-window-card__label", ".cost-window-card__value"),
      ),
      creators: creators as [string, string][],
      sessions: all(".session-bars:not(.session-bars--selected) .session-bar-row").map(
        (row) =>
          [row.getAttribute("title") ?? "", text(row.querySelector(".session-bar-value"))] as [
            string,
            string,
          ],
      ),
    };
  });
}

/** What the page's Export menu gives as JSON. */
export async function exportUsage(page: Page): Promise<ExportedUsage> {
  const download = page.waitForEvent("download");
  await page.locator(".usage-export-menu button[slot=trigger]").click();
  await page.locator(".usage-export-menu wa-dropdown-item[value=json]").click();
  return JSON.parse(await readFile(await (await download).path(), "utf8")) as ExportedUsage;
}
