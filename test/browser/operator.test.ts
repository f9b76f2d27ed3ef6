/** The operators' surface: making, suspending, deleting and restoring an organization, as an operator does in the morning. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseBasisPoints } from "../../ui/src/operator/prices/basis-points.ts";
import { makePerson } from "../support/person.ts";
import { accessFaults, type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

it("reads margins as whole hundredths of a percent, and nothing that is none", () => {
  const read = (texts: string[]) => texts.map(parseBasisPoints);
  expect(read(["0", "12.5", "12.05 %", "-2.5", "\u22122.5", "-100", "1000", "0.07", "-0"])).toEqual([
    ...[0, 1_250, 1_205, -250, -250, -10_000, 100_000, 7, 0],
  ]);
  expect(read(["", "x", "1,5", "1.234", "-100.01", "1000.01", "1e2", "--1", "1.", "NaN"])).toEqual(
    Array(10).fill(undefined),
  );
});

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

  it("gives an organization credit, a plan from a day on, a margin and a price, and shows all of it", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    const home = await world.app.tenant("home");
    await page.goto(`${world.app.url}/operator/tenants/${home.id}`);
    const dialog = page.getByRole("dialog");
    const save = async (name: string) => {
      await dialog.getByRole("button", { name, exact: true }).click();
      await dialog.waitFor({ state: "detached" });
    };
    await page.getByRole("button", { name: "Give credit" }).click();
    const give = dialog.getByRole("button", { name: "Give credit" });
    await dialog.getByLabel("Reason").fill("Sorry for Tuesday");
    for (const wrong of ["", "0", "1,5", "-3", "1e3", "0.0000001"]) {
      await dialog.getByLabel("Amount (USD)").fill(wrong);
      expect(await give.isDisabled(), wrong).toBe(true);
    }
    await dialog.getByLabel("Amount (USD)").fill("12.345678");
    await dialog.getByLabel("Last day").fill("2099-12-31");
    await save("Give credit");
    await page.getByText("$12.35", { exact: true }).waitFor();
    expect(await accessFaults(page)).toEqual([]);

    await page.getByRole("button", { name: "Change plan" }).click();
    await dialog.getByLabel("Plan").selectOption({ label: "Team · Version 1" });
    await dialog.getByLabel("From day").fill("2099-01-01");
    await save("Save");
    await page.getByText(/team · Version 1 · from/).waitFor();

    await page.getByRole("button", { name: "Set margin" }).click();
    await dialog.getByLabel("Margin in percent").fill("12.345");
    expect(await dialog.getByRole("button", { name: "Save" }).isDisabled()).toBe(true);
    await dialog.getByLabel("Margin in percent").fill("-2.5");
    await dialog.getByText("It would have changed nothing", { exact: false }).waitFor();
    await save("Save");
    await page.getByText("its own", { exact: true }).waitFor();

    await page.getByRole("button", { name: "Set price" }).click();
    await dialog.getByLabel("Provider").fill("harbour");
    await dialog.getByRole("textbox", { name: "Model" }).fill("deep-1");
    await dialog.getByLabel("Input (USD)").fill("0.075");
    await dialog.getByLabel("Output (USD)").fill("0.3");
    await dialog.getByLabel("Reasoning (USD)").fill("0.000001");
    await dialog.getByLabel("Source").fill("Contract 7");
    expect(await accessFaults(page)).toEqual([]);
    await save("Save");
    const row = page.getByRole("row", { name: /harbour\/deep-1/ });
    await row.waitFor();
    for (const shown of ["$0.075", "$0.30", "$0.000001", "In force"])
      expect(await row.innerText()).toContain(shown);
    await page.getByText("gave credit").waitFor();

    const told = await fetch(`${world.app.url}/t/home/api/billing`, {
      headers: { authorization: `Bearer ${await world.app.token("home")}` },
    });
    expect(((await told.json()) as { budget: object }).budget).toMatchObject({ creditMicros: 12_345_678 });

    // What was given wrongly is taken back, of the line it came by.
    await page.getByRole("button", { name: "Correct credit" }).click();
    await dialog.getByLabel("What it takes back").selectOption({ index: 1 });
    expect(await dialog.getByLabel("Amount (USD)").inputValue()).toBe("12.345678");
    await dialog.getByLabel("Amount (USD)").fill("12.345679");
    await dialog.getByLabel("Reason").fill("Meant for another");
    const take = dialog.getByRole("button", { name: "Take credit back" });
    expect(await take.isDisabled()).toBe(true);
    // Of nothing in particular, more than there is leaves credit below zero, and is asked about.
    await dialog.getByLabel("What it takes back").selectOption({ label: "Nothing in particular" });
    await dialog.getByLabel("Amount (USD)").fill("13.345678");
    expect(await take.isDisabled()).toBe(true);
    await dialog.getByLabel("Let credit go to -$1.000000").check();
    expect(await accessFaults(page)).toEqual([]);
    await save("Take credit back");
    await page.getByText("-$1.00", { exact: true }).waitFor();
    await page.getByText("corrected credit").waitFor();
    await page.goto(`${world.app.url}/t/home/billing`);
    await page.getByText(/Credit is at -\$1\.00/).waitFor();
    await context.close();
  });

  it("makes codes that are shown once, and lists who redeemed them", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/operator/codes`);
    await page.getByText("No codes yet").waitFor();
    await page.getByRole("button", { name: "Make codes" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("How many").fill("3");
    await dialog.getByLabel("Each worth (USD)").fill("2.5");
    await dialog.getByRole("button", { name: "Make codes" }).click();
    const codes = (await dialog.getByLabel("The codes").inputValue()).split("\n");
    expect(codes).toHaveLength(3);
    // Nobody loses them by a slip.
    await page.keyboard.press("Escape");
    await dialog.getByText("neither copied nor downloaded").waitFor();
    const download = page.waitForEvent("download");
    await dialog.getByRole("button", { name: "Download (CSV)" }).click();
    expect((await download).suggestedFilename()).toMatch(/^codes-.*\.csv$/);
    await dialog.getByRole("button", { name: "Done" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByText("3 codes of $2.50").waitFor();

    const rita = await makePerson(world.app, "Rita Redeemer", "lantern-works", "owner");
    const redeemed = await rita.send("POST", "/t/lantern-works/api/redeem", { code: codes[1] });
    expect(redeemed.status).toBe(200);
    await page.reload();
    await page.getByText("1 of 3 redeemed").waitFor();
    await page.getByText("Who redeemed them").click();
    await page.getByRole("link", { name: "lantern-works" }).waitFor();
    const shown = await page.locator("body").innerText();
    for (const code of codes) expect(shown).not.toContain(code);
    expect(await accessFaults(page)).toEqual([]);
    await context.close();
  });

  it("makes codes once when the answer is lost, and voids what nobody can read", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/operator/codes`);
    await page.getByRole("button", { name: "Make codes" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("How many").fill("4");
    await dialog.getByLabel("Each worth (USD)").fill("1.25");
    let isLost = true;
    await page.route("**/operator/api/codes", async (route) => {
      if (route.request().method() !== "POST" || !isLost) return route.fallback();
      isLost = false;
      await route.fetch();
      await route.abort();
    });
    await dialog.getByRole("button", { name: "Make codes" }).click();
    await dialog.getByRole("alert").waitFor();
    await dialog.getByRole("button", { name: "Make codes" }).click();
    await page.getByText("4 codes were made, and not shown").waitFor();
    await dialog.getByRole("button", { name: "Void" }).click();
    await page.getByText("4 codes voided").waitFor();
    // What was written is still there, and makes codes that can be read.
    expect(await dialog.getByLabel("How many").inputValue()).toBe("4");
    await dialog.getByRole("button", { name: "Make codes" }).click();
    expect((await dialog.getByLabel("The codes").inputValue()).split("\n")).toHaveLength(4);
    await dialog.getByRole("button", { name: "Download (CSV)" }).click();
    await dialog.getByRole("button", { name: "Done" }).click();
    expect(await page.getByText("4 codes of $1.25").count()).toBe(2);
    await page.getByText("Expired", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Void: 4 codes of $1.25" }).click();
    await dialog.getByText("4 codes that nobody redeemed").waitFor();
    await dialog.getByRole("button", { name: "Void" }).click();
    await expect.poll(() => page.getByText("Expired", { exact: true }).count()).toBe(2);
    await context.close();
  });

  it("says what was saved meanwhile, or before, instead of doing it over or twice", {
    timeout: 60_000,
  }, async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    page.setDefaultTimeout(8_000);
    const dialog = page.getByRole("dialog");
    const send = async (method: string, path: string, data: object) => {
      const headers = { origin: world.app.url };
      const answer = await page.request.fetch(`${world.app.url}/operator/api/${path}`, {
        method,
        data,
        headers,
      });
      expect(answer.ok(), await answer.text()).toBe(true);
    };
    const plan = (seats: number) => ({ id: "guild", terms: { name: "Guild", seats } });
    await send("PUT", "plans", plan(3));
    await page.goto(`${world.app.url}/operator/plans`);
    await page.getByRole("button", { name: "New version of Guild" }).click();
    await dialog.getByLabel("People").fill("1,5");
    await dialog.getByText("A whole number, without separators.").waitFor();
    await dialog.getByLabel("People").fill("5");
    await send("PUT", "plans", plan(4));
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText("Version 2 was saved meanwhile").waitFor();
    expect(await dialog.getByLabel("People").inputValue()).toBe("5");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByText("Version 3").waitFor();

    const { id } = await world.app.tenant("zoned");
    await send("PATCH", `tenants/${id}`, { timeZone: "Pacific/Kiritimati" });
    await send("PUT", `tenants/${id}/plan`, { plan: "guild", version: 1 });
    await page.goto(`${world.app.url}/operator/tenants/${id}`);
    // Its month begins on its own first day, which is another one elsewhere.
    await page
      .getByText(/This month: \w+ 1, \d{4} to \w+ (28|29|30|31), \d{4} \(Pacific\/Kiritimati\)/)
      .waitFor();
    await page.getByRole("button", { name: "Change plan" }).click();
    const chosen = dialog.getByLabel("Plan").locator("option:checked");
    await expect.poll(() => chosen.innerText()).toBe("Guild · Version 1 · now");
    await dialog.getByLabel("From day").fill("2020-01-01");
    expect(await dialog.getByRole("button", { name: "Save" }).isDisabled()).toBe(true);
    await dialog.getByRole("button", { name: "Cancel" }).click();

    await page.getByRole("button", { name: "Set price" }).click();
    await dialog.getByLabel("Input (USD)").fill("1,5");
    expect(await dialog.getByLabel("Input (USD)").getAttribute("aria-invalid")).toBe("true");
    await dialog.getByText("A number with a point").waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();

    await page.getByRole("button", { name: "Give credit" }).click();
    await dialog.getByLabel("Amount (USD)").fill("10");
    await dialog.getByLabel("Reason").fill("A slip");
    let isLost = true;
    await page.route("**/operator/api/credits", async (route) => {
      if (!isLost) return route.fallback();
      isLost = false;
      await route.fetch();
      await route.abort();
    });
    const give = dialog.getByRole("button", { name: "Give credit" });
    await give.click();
    await dialog.getByRole("alert").waitFor();
    await dialog.getByLabel("Amount (USD)").fill("20");
    await give.click();
    await dialog.getByText("$10.00 was already given with this form.").waitFor();
    expect(await dialog.getByText("other words").count()).toBe(0);
    // As it was the first time, it counts as done, and once.
    await dialog.getByLabel("Amount (USD)").fill("10");
    await give.click();
    await dialog.waitFor({ state: "detached" });
    await page.getByText("$10.00", { exact: true }).waitFor();
    await context.close();
  });

  it("keeps the price book by kind, and says how comparisons are set up", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/operator/prices`);
    await page.getByRole("button", { name: "New price" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("A tool", { exact: true }).click();
    await dialog.getByRole("textbox", { name: "Tool" }).fill("web_fetch");
    await dialog.getByLabel("Per call (USD)").fill("0.0015");
    await dialog.getByLabel("Source").fill("Own reckoning");
    await dialog.getByText("It would have changed nothing", { exact: false }).waitFor();
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByText("Tools", { exact: true }).click();
    const row = page.getByRole("row", { name: /web_fetch/ });
    expect(await row.innerText()).toContain("$0.0015");
    expect(await accessFaults(page)).toEqual([]);
    await page.goto(`${world.app.url}/operator/reconciliation`);
    await page.getByText("No provider tells its usage yet").waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await page.goto(`${world.app.url}/operator/billing`);
    await page.getByText("By margin").click();
    await page.getByRole("link", { name: "Home" }).waitFor();
    await page.getByRole("button", { name: "Only over budget" }).click();
    await page.getByText("No organization is over its budget").waitFor();
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
