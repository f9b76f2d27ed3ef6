/** Two tabs, two tenants, one browser: what each tab says on the wire is only ever about its own. */
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

const SLUGS = ["harbour", "orchard"] as const;
type Slug = (typeof SLUGS)[number];

/** Everything a page sends and gets, from the browser's own view. */
class Wire {
  readonly requests: { url: string; headers: Record<string, string>; body: string }[] = [];
  readonly sockets: string[] = [];
  readonly sent: string[] = [];
  readonly received: string[] = [];
  /** The newest socket was let in. */
  isGreeted = false;

  constructor(page: Page) {
    page.on("request", (request) => {
      this.requests.push({ url: request.url(), headers: request.headers(), body: request.postData() ?? "" });
    });
    page.on("websocket", (socket) => {
      this.sockets.push(socket.url());
      const place = this.sockets.length;
      this.isGreeted = false;
      socket.on("framesent", ({ payload }) => this.sent.push(String(payload)));
      socket.on("framereceived", ({ payload }) => {
        this.received.push(String(payload));
        if (place === this.sockets.length && String(payload).includes("hello-ok")) this.isGreeted = true;
      });
    });
  }
}

describe.skipIf(findChromium() === undefined)("two tabs with two tenants (needs a Chromium)", () => {
  let world: BrowserWorld;
  let context: BrowserContext;
  const ids = new Map<Slug, string>();

  beforeAll(async () => {
    world = await startBrowserWorld();
    context = await world.signIn();
    const { user } = world.app.app.firstRun;
    for (const slug of SLUGS) {
      const tenant = await world.app.tenant(slug);
      await world.app.app.auth.members.add(tenant.id, user.id, "owner");
      ids.set(slug, tenant.id);
    }
  });
  afterAll(() => world.close());

  const address = (slug: Slug, rest = "") => `${world.app.url}/t/${slug}/${rest}`;
  const other = (slug: Slug): Slug => (slug === "harbour" ? "orchard" : "harbour");
  const secretOf = (slug: Slug) => `the-${slug}-canary`;

  async function say(page: Page, text: string): Promise<void> {
    const field = page.getByRole("textbox", { name: "Message", exact: true });
    await field.fill(text);
    await field.press("Enter");
    await page.getByRole("button", { name: "Ask again" }).last().waitFor();
  }

  /** Nothing of one tab names, carries or shows the other's tenant. */
  function assertOwn(wire: Wire, slug: Slug): void {
    const foreign = other(slug);
    expect(wire.requests.length).toBeGreaterThan(5);
    for (const { url, headers, body } of wire.requests) {
      const { pathname, search } = new URL(url);
      const names = /^\/t\/([^/]+)/.exec(pathname)?.[1];
      expect([undefined, slug], url).toContain(names);
      expect(headers["x-tenant-id"], url).toBeUndefined();
      expect(headers["authorization"], url).toBeUndefined();
      expect(`${search}${body}`, url).not.toContain(foreign);
      expect(`${search}${body}`, url).not.toContain(ids.get(foreign));
      // What is about a tenant says so in its path.
      if (names === undefined) expect(pathname, url).toMatch(/^\/($|auth\/|assets\/|favicon|manifest)/);
    }
    expect(wire.sockets.length).toBeGreaterThan(0);
    for (const url of wire.sockets) expect(new URL(url).pathname).toBe(`/t/${slug}`);
    for (const frame of [...wire.sent, ...wire.received]) {
      expect(frame).not.toContain(secretOf(foreign));
      expect(frame).not.toContain(ids.get(foreign));
    }
  }

  it("never carries the wrong one, with back and forward, reload, pasted links and a reconnect", async () => {
    const tabs = await Promise.all(
      SLUGS.map(async (slug) => {
        const page = await context.newPage();
        return { slug, page, wire: new Wire(page) };
      }),
    );
    await Promise.all(tabs.map(({ page, slug }) => page.goto(address(slug))));
    for (const { page, slug } of tabs) await say(page, `remember ${secretOf(slug)}`);
    for (const { page } of tabs) {
      await page.getByRole("link", { name: "Usage" }).click();
      await page.getByRole("heading", { name: "Usage" }).waitFor();
      await page.goBack();
      await page.goForward();
      await page.goBack();
      await page.reload();
      await page.getByRole("textbox", { name: "Message", exact: true }).waitFor();
    }
    // A pasted link of the own tenant, to a page of its own.
    await Promise.all(tabs.map(({ page, slug }) => page.goto(address(slug, "members"))));
    for (const { page } of tabs) await page.getByRole("heading", { name: "Members" }).waitFor();
    await Promise.all(tabs.map(({ page }) => page.goBack()));
    for (const { wire } of tabs) await expect.poll(() => wire.isGreeted, { timeout: 20_000 }).toBe(true);
    // All sockets are cut at once and come back by themselves.
    const before = tabs.map(({ wire }) => wire.sockets.length);
    for (const { member } of world.app.app.gateway.rooms.unscopedMembers())
      member.expel(1012, "service restart");
    for (const [place, { wire }] of tabs.entries())
      await expect.poll(() => wire.sockets.length, { timeout: 20_000 }).toBeGreaterThan(before[place] ?? 0);
    for (const { page, slug } of tabs) await say(page, `again ${secretOf(slug)}`);
    for (const { page, slug, wire } of tabs) {
      expect(await page.locator("body").innerText()).not.toContain(secretOf(other(slug)));
      assertOwn(wire, slug);
      await page.close();
    }
  });

  it("keeps a session key of one tenant, pasted into the other, out of both", async () => {
    const page = await context.newPage();
    await page.goto(address("harbour"));
    await say(page, `only ${secretOf("harbour")}`);
    const rest = new URL(page.url()).pathname.slice("/t/harbour/".length);
    const wire = new Wire(page);
    await page.goto(address("orchard", rest));
    await page.getByRole("textbox", { name: "Message", exact: true }).waitFor();
    await expect.poll(() => wire.received.length).toBeGreaterThan(2);
    expect(await page.locator("article").count()).toBe(0);
    for (const frame of wire.received) expect(frame).not.toContain(secretOf("harbour"));
    await page.close();
  });

  it("switches by the address: the tab that switches talks only to the new one from then on", async () => {
    const page = await context.newPage();
    await page.goto(address("harbour"));
    await page.getByRole("button", { name: /Switch organization/ }).click();
    await page.getByRole("menuitem", { name: "Orchard" }).click();
    await page.waitForURL(/\/t\/orchard\/$/);
    const wire = new Wire(page);
    await page.reload();
    await say(page, `switched to ${secretOf("orchard")}`);
    assertOwn(wire, "orchard");
    await page.close();
  });
});
