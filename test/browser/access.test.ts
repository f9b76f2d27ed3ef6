/** What opens an organization, in the Control UI: devices, a provider of its own, ownership on offer, operators who look in. */
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type IdentityProvider, startIdentityProvider } from "../support/identity-provider.ts";
import { makeOperator } from "../support/operator.ts";
import { connectDevice, newTestDevice, refusedDevice } from "../support/paired-device.ts";
import { makePerson } from "../support/person.ts";
import { accessFaults, type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

const PATIENCE = { timeout: 15_000 };

describe.skipIf(findChromium() === undefined)("what opens an organization (needs a Chromium)", () => {
  let world: BrowserWorld;
  let idp: IdentityProvider;
  let owner: BrowserContext;

  beforeAll(async () => {
    idp = await startIdentityProvider({ accounts: [{ id: "eve", claims: { name: "Eve Winter" } }] });
    world = await startBrowserWorld({ egressAllowPrivate: ["127.0.0.1"] });
    owner = await world.signIn();
  });
  afterAll(async () => {
    await world.close();
    await idp.close();
  });

  async function open(path: string, context = owner): Promise<Page> {
    const page = await context.newPage();
    await page.goto(`${world.app.url}${path}`);
    return page;
  }

  /** A browser of somebody who was signed in without one. */
  async function browserOf(cookie: string): Promise<BrowserContext> {
    const context = await world.browser.newContext();
    const [name = "", value = ""] = cookie.split("=");
    await context.addCookies([{ name, value, url: world.app.url }]);
    return context;
  }

  it("lets a device in that asks while the page is open, names it and puts it out", async () => {
    const at = `${world.app.wsUrl}/t/home`;
    const page = await open("/t/home/settings/access");
    const mayAsk = page.getByRole("checkbox", { name: "Devices nobody knows may ask" });
    await mayAsk.check();
    await page.getByText("No device is paired").waitFor();
    const device = newTestDevice();
    await refusedDevice(at, device);
    await page.getByRole("heading", { name: "Devices that ask to be let in" }).waitFor();
    await page.getByText("Wants read, write").waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await page.getByRole("button", { name: "Let in" }).click();
    await expect.poll(() => page.getByRole("button", { name: "Let in" }).count(), PATIENCE).toBe(0);
    const { client } = await connectDevice(at, device);
    await page.getByRole("button", { name: "Actions for A laptop" }).click();
    await page.getByRole("menuitem", { name: "Rename" }).click();
    await page.getByLabel("Name of the device").fill("Bridge laptop");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("button", { name: "Actions for Bridge laptop" }).click();
    await page.getByRole("menuitem", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Take away" }).click();
    await page.getByText("No device is paired").waitFor();
    client.close();
    await page.close();
  });

  it("shows a setup code once, and says when it was used", async () => {
    const page = await open("/t/home/settings/access");
    await page.getByRole("button", { name: "Make a setup code" }).click();
    const code = await page.getByRole("dialog").locator("code").innerText();
    const { url, bootstrapToken } = JSON.parse(Buffer.from(code, "base64url").toString()) as {
      url: string;
      bootstrapToken: string;
    };
    const { client } = await connectDevice(url, newTestDevice(), { auth: { bootstrapToken } });
    await page.getByText("A laptop is in.").waitFor();
    expect(await page.content()).not.toContain(code);
    client.close();
    await page.close();
  });

  it("takes a provider of its own, through which somebody comes in", async () => {
    const { issuer, clientId, clientSecret } = idp.clientConfig();
    const page = await open("/t/home/settings/organization");
    await page.getByRole("button", { name: "Set it up" }).click();
    await page.getByLabel("Issuer").fill(issuer);
    await page.getByLabel("Client id").fill(clientId);
    await page.getByLabel("Client secret").fill(clientSecret);
    await page.getByLabel("Name on the button").fill("Winter login");
    await page.getByLabel("Whoever signs in for the first time").selectOption("readonly");
    await page.getByRole("button", { name: "Save" }).last().click();
    const start = await page.getByText(/\/login\?provider=/).innerText();
    expect(await accessFaults(page)).toEqual([]);
    expect(await page.content()).not.toContain(clientSecret);
    const binding = new URL(start).searchParams.get("provider") ?? "";
    idp.addOrigin(world.app.url, binding);

    // Only who knows the binding sees it.
    const stranger = await world.browser.newContext();
    const door = await stranger.newPage();
    await door.goto(`${world.app.url}/login`);
    await door.getByRole("heading", { level: 1 }).waitFor();
    expect(await door.content()).not.toContain("Winter login");
    await door.goto(start);
    await door.getByRole("button", { name: "Continue with Winter login" }).click();
    await door.getByRole("button", { name: "Eve Winter" }).click();
    await door.waitForURL(`${world.app.url}/**`);
    await door.goto(`${world.app.url}/t/home/`);
    await door.getByRole("heading", { name: "Choose a conversation" }).waitFor();
    expect(await door.getByRole("button", { name: "New conversation" }).count()).toBe(0);

    await page.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByRole("button", { name: "Set it up" }).waitFor();
    await door.reload();
    await door.getByRole("heading", { name: "Choose a conversation" }).waitFor({ state: "detached" });
    await stranger.close();
    await page.close();
  });

  it("is taken over by a plain member from the line above their pages", async () => {
    const tom = await makePerson(world.app, "Tom Baker", "home");
    const page = await open("/t/home/members");
    await page.getByRole("button", { name: "Actions for Tom Baker" }).click();
    await page.getByRole("menuitem", { name: "Offer ownership" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Offer" }).click();
    await page.getByText("Ownership is offered to Tom Baker").waitFor();
    const context = await browserOf(tom.cookie);
    const his = await open("/t/home/", context);
    await his.getByText("offers you the ownership").waitFor();
    expect(await accessFaults(his)).toEqual([]);
    await his.getByRole("button", { name: "Accept" }).click();
    await his.getByRole("link", { name: "Members" }).waitFor();
    // The offer goes with it, and whoever made it is an admin now.
    await expect.poll(() => his.getByText("offers you the ownership").count(), PATIENCE).toBe(0);
    await page.reload();
    await expect.poll(() => page.getByRole("combobox", { name: "Role of Tom Baker" }).count()).toBe(0);
    await tom.send("PATCH", `/t/home/api/members/${world.app.app.firstRun.user.id}`, { role: "owner" });
    await context.close();
    await page.close();
  });

  it("shows an operator who looks in to its people, and itself to the operator, until somebody ends it", async () => {
    const olga = await makeOperator(world.app, "Olga Petrova");
    const { id } = await world.app.tenant("home");
    const asked = { reason: "Ticket 4711: answers stop", minutes: 30 };
    expect((await olga.send("POST", `/operator/api/tenants/${id}/break-glass`, asked)).status).toBe(201);
    const page = await open("/t/home/");
    await page.getByText("Olga Petrova, an operator of the platform").waitFor();
    const context = await browserOf(olga.cookie);
    const hers = await open("/t/home/", context);
    await hers.getByText("You look in as an operator").waitFor();
    await hers.getByRole("heading", { name: "Choose a conversation" }).waitFor();
    expect(await accessFaults(hers)).toEqual([]);
    await page.getByRole("button", { name: "End it" }).click();
    await expect.poll(() => page.getByText("Olga Petrova").count(), PATIENCE).toBe(0);
    await hers.getByText("Nothing here for you").waitFor();
    await context.close();
    await page.close();
  });
});
