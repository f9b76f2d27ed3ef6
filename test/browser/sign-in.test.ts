/** Signing in with a one-time link, as a person does it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { accessFaults, type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

describe.skipIf(findChromium() === undefined)("signing in with a link (needs a Chromium)", () => {
  let world: BrowserWorld;
  beforeAll(async () => {
    world = await startBrowserWorld();
  });
  afterAll(() => world.close());

  it("takes the token out of the address at once and uses it only after a click", async () => {
    const link = await world.loginLink();
    const secret = link.split("link=")[1] ?? "";
    const context = await world.browser.newContext();
    const page = await context.newPage();
    const posts: string[] = [];
    page.on("request", (request) => request.method() === "POST" && posts.push(request.url()));
    await page.goto(link);
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    expect(page.url()).not.toContain(secret);
    expect(
      await page.evaluate("JSON.stringify([history.state, localStorage, sessionStorage])"),
    ).not.toContain(secret);
    expect(posts).toEqual([]);
    expect(await accessFaults(page)).toEqual([]);

    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(/\/t\/home\/$/);
    await page.getByRole("textbox", { name: "Message" }).waitFor();
    await context.close();
  });

  it("says what to do when the link was used before", async () => {
    const link = await world.loginLink();
    for (const outcome of [/\/t\/home\//, /\/login$/]) {
      const context = await world.browser.newContext();
      const page = await context.newPage();
      await page.goto(link);
      await page.getByRole("button", { name: "Sign in" }).click();
      if (outcome.source.includes("login")) await page.getByText("This link no longer works").waitFor();
      else await page.waitForURL(outcome);
      if (outcome.source.includes("login")) {
        await page.getByText("creel login-link").waitFor();
        expect(await accessFaults(page)).toEqual([]);
      }
      expect(page.url()).toMatch(outcome);
      await context.close();
    }
  });

  it("shows a stranger no organization, and a member none that is not theirs", async () => {
    await world.app.tenant("acme-weaving");
    const stranger = await (await world.browser.newContext()).newPage();
    await stranger.goto(`${world.app.url}/t/acme-weaving/`);
    await stranger.getByText("You need a sign-in link").waitFor();

    const context = await world.signIn();
    const page = await context.newPage();
    const texts: string[] = [];
    for (const slug of ["acme-weaving", "never-was"]) {
      await page.goto(`${world.app.url}/t/${slug}/`);
      await page.getByText("Nothing here for you").waitFor();
      texts.push((await page.locator("main").innerText()).replaceAll(slug, "X"));
      expect(await accessFaults(page)).toEqual([]);
    }
    expect(texts[0]).toBe(texts[1]);
    await context.close();
  });
});
