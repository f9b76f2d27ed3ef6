/**
 * One page in one look, ready to be photographed. Owns: looks, contexts, what a person does with hands and keys.
 * Refuses to know: which pages there are (pictures.ts).
 */
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { en, type Words } from "../../../ui/src/i18n/en.ts";
import { zhCN } from "../../../ui/src/i18n/zh-cn.ts";
import type { Harbour, Who } from "./harbour.ts";

/** A theme, a language and a width. */
export interface Look {
  theme: "light" | "dark";
  language: "en" | "zh-CN";
  width: 1400 | 360;
}

/** Every look, the ones of one sheet beside each other. */
export const LOOKS: readonly Look[] = ([1400, 360] as const).flatMap((width) =>
  (["light", "dark"] as const).flatMap((theme) =>
    (["en", "zh-CN"] as const).map((language) => ({ theme, language, width })),
  ),
);

const HEIGHTS = { 1400: 900, 360: 740 } as const;
const TALLEST_PX = 3_200;

/** How much the tallest scrolling part of the page hides. */
const HIDDEN_PX = `Math.max(0, ...[...document.querySelectorAll("main, main *, body > div, body > div > div")]
  .filter((element) => /auto|scroll/.test(getComputedStyle(element).overflowY) && element.clientHeight > 200)
  .map((element) => element.scrollHeight - element.clientHeight))`;

/** The same sideways, and of the page; what is meant to be scrolled sideways has a place in the tab order. */
const widerPx = (width: number) => `Math.max(document.documentElement.scrollWidth - ${width},
  ...[...document.querySelectorAll("main, main *")]
    .filter((element) => /auto|scroll/.test(getComputedStyle(element).overflowY) && element.clientHeight > 200)
    .filter((element) => !element.matches("textarea, [tabindex='0']"))
    .map((element) => element.scrollWidth - element.clientWidth))`;

/** A page in a look, and the hands of whoever looks at it. */
export class Stage {
  readonly page: Page;
  readonly look: Look;
  readonly harbour: Harbour;
  /** The words this page should show. */
  readonly words: Words;

  constructor(page: Page, look: Look, harbour: Harbour) {
    this.page = page;
    this.look = look;
    this.harbour = harbour;
    this.words = look.language === "en" ? en : zhCN;
  }

  /** Opens a path and waits until nothing is loading. */
  async go(path: string): Promise<void> {
    await this.page.goto(`${this.harbour.app.url}${path}`);
    await this.page.getByRole("heading", { level: 1 }).first().waitFor({ state: "attached" });
    await this.rest();
  }

  /** Waits for requests and for what they draw. */
  async rest(): Promise<void> {
    await this.page.waitForLoadState("networkidle");
    await this.page.waitForTimeout(250);
  }

  /** Presses the button with this label; the first one when there are several. */
  async press(label: string): Promise<void> {
    await this.page.getByRole("button", { name: label, exact: true }).first().click();
  }

  /** Where a message is written. */
  field() {
    return this.page.getByRole("textbox", { name: this.words.chat.composer, exact: true });
  }

  /** Brings the conversations into view, which a narrow page hides behind its menu. */
  async showSide(): Promise<void> {
    if (this.look.width === 360) await this.press(this.words.nav.openMenu);
    await this.page.getByRole("searchbox").last().waitFor();
  }

  /** Makes the page as tall as what it shows. */
  async grow(): Promise<void> {
    const hidden = (await this.page.evaluate(HIDDEN_PX)) as number;
    const { width } = this.look;
    const height = Math.min(HEIGHTS[width] + hidden, TALLEST_PX);
    await this.page.setViewportSize({ width, height });
    await this.page.waitForTimeout(250);
  }

  /** How far the page is wider than its window, which it must not be. */
  async overflowPx(): Promise<number> {
    return (await this.page.evaluate(widerPx(this.look.width))) as number;
  }
}

/** Signs everyone in once and opens pages in any look. */
export class Booth {
  private readonly browser: Browser;
  private readonly harbour: Harbour;
  private readonly signedIn = new Map<Who, BrowserContextOptions["storageState"]>();
  private readonly contexts = new Map<string, BrowserContext>();

  constructor(browser: Browser, harbour: Harbour) {
    this.browser = browser;
    this.harbour = harbour;
  }

  /** A fresh page of that person in that look. */
  async open(who: Who, look: Look): Promise<Stage> {
    const key = `${who} ${look.theme} ${look.language} ${look.width}`;
    const context = this.contexts.get(key) ?? (await this.makeContext(who, look));
    this.contexts.set(key, context);
    return new Stage(await context.newPage(), look, this.harbour);
  }

  private async makeContext(who: Who, look: Look): Promise<BrowserContext> {
    const isNarrow = look.width === 360;
    const storageState = await this.cookiesOf(who);
    return this.browser.newContext({
      colorScheme: look.theme,
      locale: look.language === "en" ? "en-US" : "zh-CN",
      viewport: { width: look.width, height: HEIGHTS[look.width] },
      reducedMotion: "reduce",
      isMobile: isNarrow,
      hasTouch: isNarrow,
      ...(storageState === undefined ? {} : { storageState }),
    });
  }

  private async cookiesOf(who: Who): Promise<BrowserContextOptions["storageState"]> {
    if (who === "nobody") return undefined;
    const known = this.signedIn.get(who);
    if (known !== undefined) return known;
    const context = await this.browser.newContext();
    const page = await context.newPage();
    await page.goto(await this.harbour.link(who));
    await page.locator("form button[type=submit]").click();
    await page.waitForURL((url) => url.pathname !== "/login");
    const { cookies } = await context.storageState();
    await context.close();
    const state = { cookies, origins: [] };
    this.signedIn.set(who, state);
    return state;
  }
}
