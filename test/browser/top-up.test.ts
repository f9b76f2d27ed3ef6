/**
 * Money coming in and running out, as an admin sees it: paying in advance in the tenant's currency, and the line above
 * the pages while a budget is nearly used or turns are stopped.
 */
import { randomUUID } from "node:crypto";
import SqliteDatabase from "better-sqlite3";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "#src/kernel/clock.ts";
import {
  type FakeStripe,
  makeAlipay,
  startStripe,
  stripeEvent,
  stripeSignature,
} from "../support/payment-fakes.ts";
import { accessFaults, type BrowserWorld, findChromium, startBrowserWorld } from "./world.ts";

const SECRET = "whsec_0123456789abcdefghijklmn";
const LIMIT = 20_000_000;
/** Turns of one session within a minute. */
const TURNS = 4;

describe.skipIf(findChromium() === undefined)("top-ups and warnings (need a Chromium)", () => {
  let world: BrowserWorld;
  let stripe: FakeStripe;
  let homeId: string;

  beforeAll(async () => {
    stripe = await startStripe();
    const alipay = makeAlipay();
    const { appPrivateKey: privateKey, alipayPublicKey } = alipay;
    world = await startBrowserWorld({
      stripe: { secretKey: "sk_test_0123456789abcdef", webhookSecret: SECRET, apiBase: stripe.url },
      alipay: { appId: "2021000000000001", privateKey, alipayPublicKey },
      turnsPerSession: TURNS,
    } as object);
    homeId = (await world.app.tenant("home")).id;
    putOnYuan(world, homeId);
    world.app.app.plans.forget(homeId as never);
    await spend(1_000_000);
  }, 60_000);
  afterAll(async () => {
    await world.close();
    stripe.close();
  });

  /** Stripe reports that the newest session was paid. */
  async function reportPaid(amountCoins: number): Promise<void> {
    const orderId = stripe.sessions.at(-1)?.["client_reference_id"] ?? "";
    const body = stripeEvent({ id: orderId, tenantId: homeId, amountCoins, currency: "cny" });
    const answer = await fetch(`${world.app.url}/webhooks/payments/stripe`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", "stripe-signature": stripeSignature(body, SECRET) },
    });
    expect(answer.status, await answer.text()).toBe(200);
  }

  async function spend(amountMicros: number): Promise<void> {
    const scope = world.app.app.door.scope(await world.app.tenant("home"));
    const sql = `INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros,
      at_ms, period) VALUES ('call', ?, 0, 'charge', ?, 'spent', ?, ?, ?)`;
    const nowMs = systemClock.nowMs();
    const { timeZone } = scope.tenant;
    const period = new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" })
      .format(nowMs)
      .slice(0, 7);
    const source = `spend-${amountMicros}`;
    const params = [source, `budget:tenant:${period}`, amountMicros, nowMs, period];
    await scope.db.write({ statements: [{ sql, params, expect: 1 }] });
  }

  it("takes a payment in the tenant's currency and says when it is credited", {
    timeout: 60_000,
  }, async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    page.setDefaultTimeout(8_000);
    await page.route("https://checkout.stripe.example/**", (route) =>
      route.fulfill({ contentType: "text/html", body: "<title>Pay</title><h1>Pay here</h1>" }),
    );
    await page.goto(`${world.app.url}/t/home/billing`);
    const amount = page.getByLabel("Amount (CNY)");
    const go = page.getByRole("button", { name: /^(Go to payment|Pay ¥)/ });
    for (const [text, fault] of [
      ["abc", "Write a number such as 25 or 12.50."],
      ["1.001", "At most two digits after the point."],
      ["0.5", "At least ¥1.00."],
      ["100001", "At most ¥100,000.00 at once."],
    ] as const) {
      await amount.fill(text);
      await page.getByText(fault, { exact: true }).waitFor();
      expect(await go.isDisabled()).toBe(true);
    }
    expect(await accessFaults(page)).toEqual([]);
    await page.getByRole("button", { name: "¥50", exact: true }).click();
    expect(await amount.inputValue()).toBe("50");
    await amount.fill("12.34");
    await page.getByText("Card (Stripe)").click();
    await page.getByRole("button", { name: "Pay ¥12.34" }).click();
    await page.waitForURL("https://checkout.stripe.example/**");
    expect(stripe.sessions.at(-1)).toMatchObject({
      "line_items[0][price_data][unit_amount]": "1234",
      "line_items[0][price_data][currency]": "cny",
      success_url: `${world.app.url}/t/home/billing?payment=done`,
    });
    await page.goto(stripe.sessions.at(-1)?.["success_url"] ?? "");
    await page.getByText(/Waiting for the payment service/).waitFor();
    expect(await page.getByText("of credit added").count()).toBe(0);
    expect(await accessFaults(page)).toEqual([]);
    await reportPaid(1_234);
    await page.getByText("¥12.34 of credit added").waitFor();
    await page.locator("dl").getByText("¥12.34").waitFor();
    expect(await page.locator("main").innerText()).not.toContain("$");
    await page.getByRole("button", { name: "Dismiss" }).click();
    await page.waitForURL(`${world.app.url}/t/home/billing`);
    await page.goto(stripe.sessions.at(-1)?.["cancel_url"] ?? "");
    await page.getByText("Nothing was paid").waitFor();
    await context.close();
  });

  it("shows the tenant's currency on the usage page too", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    page.setDefaultTimeout(8_000);
    for (const path of ["/billing/ledger", "/usage", "/usage/details", "/billing/budgets"]) {
      await page.goto(`${world.app.url}/t/home${path}`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.waitForLoadState("networkidle");
      expect({ path, hasDollars: (await page.locator("main").innerText()).includes("$") }).toEqual({
        ...{ path, hasDollars: false },
      });
    }
    await page.goto(`${world.app.url}/t/home/billing/ledger`);
    await page.getByText("¥1.000000").waitFor();
    await context.close();
  });

  it("is offered to nobody where no provider takes payments", async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    page.setDefaultTimeout(8_000);
    await page.route("**/t/home/api/billing", async (route) => {
      const answer = await route.fetch();
      const facts = (await answer.json()) as { topUp: object };
      expect(facts.topUp).toEqual({
        ...{ providers: ["stripe", "alipay"], minMicros: 1_000_000, maxMicros: 100_000_000_000 },
      });
      await route.fulfill({ response: answer, json: { ...facts, topUp: { ...facts.topUp, providers: [] } } });
    });
    await page.goto(`${world.app.url}/t/home/billing`);
    await page.getByText("Redeem a code").waitFor();
    expect(await page.getByText("Top up").count()).toBe(0);
    await context.close();
  });

  it("warns above the pages, live, until the warning is put away or the budget is raised", {
    timeout: 60_000,
  }, async () => {
    const context = await world.signIn();
    const page = await context.newPage();
    page.setDefaultTimeout(8_000);
    await page.goto(`${world.app.url}/t/home/settings`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.waitForLoadState("networkidle");
    expect(await banner(page).count()).toBe(0);
    await setBudget(world, LIMIT);
    await spend(15_000_000);
    await turn(world);
    await banner(page).getByText("The organization's budget is 80% used: ¥16.00 of ¥20.00.").waitFor();
    expect(await accessFaults(page)).toEqual([]);
    await page.getByRole("button", { name: "Put this warning away" }).click();
    await expect.poll(() => banner(page).count()).toBe(0);
    await page.reload();
    await page.waitForLoadState("networkidle");
    expect(await banner(page).count()).toBe(0);
    await spend(3_000_000);
    await turn(world);
    await banner(page).getByText("The organization's budget is 95% used: ¥19.00 of ¥20.00.").waitFor();
    // Turns that are stopped come first, and are told by the same event.
    for (let n = 0; n < TURNS; n++) await turn(world, "loop");
    await turn(world, "loop").catch(() => undefined);
    await banner(page).getByText("New turns are stopped since").waitFor();
    await banner(page).getByText("1 more warning").waitFor();
    await page.getByRole("link", { name: "Open Billing" }).click();
    await page.getByRole("button", { name: "Let turns begin again" }).click();
    await page.getByText("Turns begin again", { exact: true }).waitFor();
    await spend(1_000_001);
    await page.goto(`${world.app.url}/t/home/settings`);
    await banner(page).getByText("is used up: ¥20.00 of ¥20.00. Its turns are refused").waitFor();
    await setBudget(world, LIMIT * 10);
    await page.reload();
    await page.waitForLoadState("networkidle");
    expect(await banner(page).count()).toBe(0);
    await context.close();
  });
});

const banner = (page: Page) => page.getByRole("status").filter({ hasText: "Open Billing" });

async function ask(world: BrowserWorld, method: string, path: string, body: unknown): Promise<void> {
  const headers = {
    authorization: `Bearer ${await world.app.token("home")}`,
    "content-type": "application/json",
  };
  const answer = await fetch(`${world.app.url}${path}`, { method, headers, body: JSON.stringify(body) });
  expect(answer.ok, await answer.text()).toBe(true);
}

const setBudget = (world: BrowserWorld, limitMicros: number) =>
  ask(world, "PUT", "/t/home/api/budgets", { scope: "tenant", period: "month", limitMicros });

/** A turn; budgets are looked at after each. */
const turn = (world: BrowserWorld, session: string = randomUUID()) =>
  ask(world, "POST", "/rpc/agent", {
    ...{ message: "SAY:so", sessionKey: `agent:main:${session}`, idempotencyKey: randomUUID() },
  });

/** A plan in yuan, written down as an operator's pin would be. */
function putOnYuan(world: BrowserWorld, tenantId: string): void {
  const control = new SqliteDatabase(`${world.app.stateDir}/control.db`);
  control
    .prepare("INSERT INTO tenant_plans VALUES (?, 0, 'yuan', 1, ?, 0, 'test')")
    .run(tenantId, JSON.stringify({ version: 1, name: "Yuan", currency: "CNY" }));
  control.close();
}
