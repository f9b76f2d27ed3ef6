/** People in the Control UI: signing in at a real provider, joining, being promoted, demoted and removed while chatting. */
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type IdentityProvider, PROVIDER_ID, startIdentityProvider } from "../support/identity-provider.ts";
import { accessFaults, type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

const ACCOUNTS = [
  { id: "ada", claims: { name: "Ada Lovelace", email: "ada@example.com", email_verified: true } },
  { id: "ben", claims: { name: "Ben Okafor", email: "ben@example.com", email_verified: true } },
];

const shots = process.env["CREEL_SHOTS"];
/** A socket that was closed comes back after a while; what a page shows then is what counts. */
const PATIENCE = { timeout: 15_000 };

async function shoot(page: Page, name: string): Promise<void> {
  if (shots !== undefined) await page.screenshot({ path: `${shots}/${name}.png` });
}

describe.skipIf(findChromium() === undefined)("people in the browser (needs a Chromium)", () => {
  let world: BrowserWorld;
  let idp: IdentityProvider;
  let owner: BrowserContext;

  beforeAll(async () => {
    idp = await startIdentityProvider({ accounts: ACCOUNTS });
    const { issuer, clientId, clientSecret, label, icon, trustEmail } = idp.clientConfig();
    world = await startBrowserWorld({
      egressAllowPrivate: ["127.0.0.1"],
      signInProviders: { [PROVIDER_ID]: { issuer, clientId, clientSecret, label, icon, trustEmail } },
    });
    idp.addOrigin(world.app.url);
    owner = await world.signIn();
  });
  afterAll(async () => {
    await world.close();
    await idp.close();
  });

  /** Make an invitation on the members page, as an owner does. */
  async function invite(): Promise<string> {
    const page = await owner.newPage();
    await page.goto(`${world.app.url}/t/home/members`);
    await page.getByRole("button", { name: "Invite" }).click();
    await page.getByRole("button", { name: "Make the link" }).click();
    const link = await page.getByText(/\/join#invite=/).innerText();
    await page.close();
    return link;
  }

  /** Sign in at the provider's own page. */
  async function atProvider(page: Page, name: string): Promise<void> {
    await page.getByRole("button", { name: "Continue with Development sign-in" }).click();
    await page.getByRole("heading", { name: "Sign in as" }).waitFor();
    await page.getByRole("button", { name }).click();
  }

  async function setRole(members: Page, name: string, role: string): Promise<void> {
    await members.getByRole("combobox", { name: `Role of ${name}` }).selectOption(role);
    await members.getByText("Saved", { exact: true }).first().waitFor();
  }

  it("join by invitation, and every change of their role bites while they chat", async () => {
    const link = await invite();
    const context = await world.browser.newContext();
    const page = await context.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    await page.goto(link);
    await page.getByRole("heading", { name: "Join Home" }).waitFor();
    expect(page.url()).not.toContain("invite=");
    expect(await accessFaults(page)).toEqual([]);
    await shoot(page, "1-invited");
    await atProvider(page, "Ada Lovelace");
    await page.getByRole("button", { name: "Join Home" }).click();
    await page.waitForURL(/\/t\/home\/$/);

    const field = page.getByRole("textbox", { name: "Message", exact: true });
    await field.fill("Good morning");
    await field.press("Enter");
    await page.getByRole("button", { name: "Ask again" }).waitFor();
    await shoot(page, "2-member-chats");
    expect(await page.getByRole("link", { name: "Members" }).count()).toBe(0);

    const members = await owner.newPage();
    await members.goto(`${world.app.url}/t/home/members`);
    await setRole(members, "Ada Lovelace", "admin");
    await page.getByRole("link", { name: "Members" }).waitFor();
    await shoot(page, "3-promoted");

    // While an answer is being written.
    await field.fill("long");
    await field.press("Enter");
    await page.locator("article .prose").nth(1).waitFor();
    await setRole(members, "Ada Lovelace", "readonly");
    await page.getByPlaceholder("You may read this conversation, but not write in it").waitFor();
    await expect.poll(() => page.getByRole("link", { name: "Members" }).count(), PATIENCE).toBe(0);
    // What they had started ends with their right to start it.
    await expect.poll(() => page.getByRole("button", { name: /Stop/ }).count(), PATIENCE).toBe(0);
    await shoot(page, "4-demoted");

    await setRole(members, "Ada Lovelace", "member");
    await field.waitFor();
    await field.fill("long");
    await field.press("Enter");
    await page.locator("article .prose").nth(2).waitFor();
    await members.getByRole("button", { name: "Actions for Ada Lovelace" }).click();
    await members.getByRole("menuitem", { name: "Remove" }).click();
    await shoot(members, "5-asked-before-removal");
    await members.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByText("Nothing here for you").waitFor();
    await shoot(page, "6-removed");
    expect(problems).toEqual([]);

    // Coming back by address or by the used invitation leads nowhere.
    await page.goto(`${world.app.url}/t/home/`);
    await page.getByText("Nothing here for you").waitFor();
    await page.goto(link);
    await page.getByRole("heading", { name: "This invitation no longer works" }).waitFor();
    await context.close();
  });

  it("see how they sign in and where, and sign other browsers out", async () => {
    const contexts = [await world.browser.newContext(), await world.browser.newContext()] as const;
    const pages = await Promise.all(contexts.map((context) => context.newPage()));
    for (const page of pages) {
      await page.goto(`${world.app.url}/login`);
      await atProvider(page, "Ben Okafor");
      await page.getByRole("heading", { name: "You belong to no organization yet" }).waitFor();
    }
    const [page, other] = pages as [Page, Page];
    await page.goto(`${world.app.url}/account`);
    await page.getByText("ben@example.com").waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await shoot(page, "7-account");
    await page.getByRole("button", { name: "Sign out everywhere else" }).click();
    await expect.poll(() => page.getByText("This one").count()).toBe(1);
    await other.goto(`${world.app.url}/account`);
    await other.getByRole("button", { name: "Continue with Development sign-in" }).waitFor();
    for (const context of contexts) await context.close();
  });

  it("prove once more who they are before a weighty step, and come back to where they were", async () => {
    const context = await world.browser.newContext();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/login`);
    await atProvider(page, "Ben Okafor");
    await page.getByRole("heading", { name: "You belong to no organization yet" }).waitFor();
    await page.goto(`${world.app.url}/account`);
    // As if the last proof were old.
    await page.route("**/auth/identities/*", (route) =>
      route.fulfill({ status: 403, json: { error: { code: "step_up_required", message: "Once more." } } }),
    );
    await page.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByRole("heading", { name: "Confirm that it is you" }).waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await page.unroute("**/auth/identities/*");
    await page.getByRole("button", { name: "Continue with Development sign-in" }).click();
    await page.getByRole("button", { name: "Ben Okafor" }).click();
    await page.waitForURL(/\/account$/);
    // The server has its own say: the last way in stays.
    await page.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByText("This is your last way to sign in").waitFor();
    await context.close();
  });

  it("of another provider's account that failed are told so, without its words", async () => {
    const context = await world.browser.newContext();
    const page = await context.newPage();
    await page.goto(`${world.app.url}/login`);
    await page.getByRole("button", { name: "Continue with Development sign-in" }).click();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Sign-in did not work").waitFor();
    expect(page.url()).not.toContain("problem=");
    await shoot(page, "8-cancelled");
    await context.close();
  });
});
