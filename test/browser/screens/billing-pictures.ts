/** Pictures of money: a tenant's and the operators'. Owns: how each is reached. Refuses to know: looks and files. */
import { at, type Picture } from "./picture.ts";
import type { Stage } from "./stage.ts";

const DAY_MS = 86_400_000;

/** See the head of this file. */
export const BILLING_PICTURES: readonly Picture[] = [
  { name: "billing", whole: true, open: at("/t/home/billing") },
  { name: "billing-stopped", whole: true, open: openStopped },
  { name: "billing-top-up", whole: true, open: openTopUp },
  { name: "billing-paid", open: openPaid },
  { name: "money-banner", open: openBanner },
  { name: "storage-banner", open: openStorage },
  { name: "billing-free", open: at("/t/northern-herring/billing") },
  { name: "billing-failed", open: openFailed },
  { name: "billing-reader", who: "reader", open: at("/t/home/billing") },
  { name: "billing-budgets", whole: true, open: at("/t/home/billing/budgets") },
  { name: "billing-budget-new", open: openBudget },
  { name: "billing-ledger", open: at("/t/home/billing/ledger") },
  { name: "billing-ledger-none", open: at("/t/home/billing/ledger?run=never-was") },
  { name: "billing-statements", open: at("/t/home/billing/statements") },
  { name: "billing-export", open: at("/t/home/billing/export") },
  { name: "billing-forbidden", who: "member", open: at("/t/home/billing/ledger") },
  { name: "usage-day", open: openUsageDay },
  { name: "usage-by-model", whole: true, open: openByModel },
  { name: "usage-details", whole: true, open: at("/t/home/usage/details?groupBy=agent") },
  { name: "usage-details-turn", whole: true, open: openTurn },
  { name: "operator-billing", whole: true, open: at("/operator/billing") },
  { name: "operator-pin", open: openPin },
  { name: "operator-plans", whole: true, open: at("/operator/plans") },
  { name: "operator-plan-new", open: openPlan },
  { name: "operator-prices", open: at("/operator/prices") },
  { name: "operator-price-new", open: openPrice },
];

/** Turns that are stopped and budgets that are nearly used, which would change other pictures if they were so. */
async function openStopped(stage: Stage): Promise<void> {
  await withFacts(stage, (facts) => {
    const sinceMs = Date.now() - 3_600_000;
    const budget = {
      ...(facts["budget"] as object),
      limitMicros: 25_000_000,
      spentMicros: 22_718_204,
      reservedMicros: 1_310_400,
    };
    const alert = (level: number, scope: string, scopeId: string, spentMicros: number) => ({
      ...{
        id: `${scope}-${level}`,
        level,
        scope,
        scopeId,
        name: scopeId === "plan" ? null : "Main",
        spentMicros,
        limitMicros: 25_000_000,
        period: "x",
      },
      atMs: Date.now() - level * 0.02 * DAY_MS,
    });
    const alerts = [alert(80, "tenant", "plan", 22_718_204), alert(50, "agent", "main", 14_020_100)];
    const breaker = { reason: "self_calls", sinceMs };
    return { ...facts, budget, alerts, breaker };
  });
  await stage.go("/t/home/billing");
}

/** Somebody who pays in yuan, with both ways to pay, after coming back and choosing an amount that cannot be paid. */
async function openTopUp(stage: Stage): Promise<void> {
  await withFacts(stage, (facts) => ({
    ...{ ...facts, currency: "CNY" },
    topUp: { ...(facts["topUp"] as object), providers: ["alipay", "stripe"] },
  }));
  await stage.go("/t/home/billing?payment=cancelled");
  await stage.page.getByLabel(stage.words.topUp.amount("CNY")).fill("12.345");
}

async function openPaid(stage: Stage): Promise<void> {
  await stage.page.goto(`${stage.harbour.app.url}/t/home/billing?payment=done`);
  await stage.page.getByText(stage.words.topUp.waiting).waitFor();
  await stage.page.waitForTimeout(500);
}

/** A budget that is used up above a page that is about something else. */
async function openBanner(stage: Stage): Promise<void> {
  await withFacts(stage, (facts) => ({
    ...facts,
    budget: { ...(facts["budget"] as object), limitMicros: 25_000_000, spentMicros: 25_000_001 },
    alerts: [{ id: "a", level: 100, scope: "tenant", scopeId: "plan", period: "x", atMs: Date.now() }],
    breaker: { reason: "self_calls", sinceMs: Date.now() - 3_600_000 },
  }));
  await stage.go("/t/home/usage");
}

/** Files that fill what the plan allows. */
async function openStorage(stage: Stage): Promise<void> {
  await withFacts(stage, (facts) => ({
    ...facts,
    limits: { ...(facts["limits"] as object), storageBytes: { used: 1_074_000_000, limit: 1_073_741_824 } },
  }));
  await stage.go("/t/home/usage");
}

/** Changes what the page is told of plan and budget. */
async function withFacts(
  stage: Stage,
  change: (facts: Record<string, unknown>) => Record<string, unknown>,
): Promise<void> {
  await stage.page.route("**/t/home/api/billing", async (route) => {
    const answer = await route.fetch();
    const facts = (await answer.json()) as Record<string, unknown>;
    await route.fulfill({ response: answer, json: change(facts) });
  });
}

async function openFailed(stage: Stage): Promise<void> {
  const error = { code: "tenant_unavailable", message: "Not now.", requestId: "req-0199c1e2" };
  await stage.page.route("**/t/home/api/billing", (route) => route.fulfill({ status: 503, json: { error } }));
  await stage.go("/t/home/billing");
}

async function openBudget(stage: Stage): Promise<void> {
  await stage.go("/t/home/billing/budgets");
  await stage.press(stage.words.budgets.add);
  await stage.page.getByRole("dialog").waitFor();
}

/** The figures of one day, read by keys. */
async function openUsageDay(stage: Stage): Promise<void> {
  await stage.go("/t/home/usage");
  await stage.page.getByText(stage.words.usage.cost, { exact: true }).first().click();
  await stage.page.locator("main div[role=img]").focus();
  for (let day = 0; day < 18; day += 1) await stage.page.keyboard.press("ArrowLeft");
}

async function openByModel(stage: Stage): Promise<void> {
  await stage.go("/t/home/usage");
  await stage.page.getByText(stage.words.drill.groups.model, { exact: true }).first().click();
  await stage.rest();
}

/** Down to a turn of a model; the newest one, of a tool, cost nothing. */
async function openTurn(stage: Stage): Promise<void> {
  await stage.go("/t/home/usage/details?groupBy=session");
  for (const row of [0, 1]) {
    await stage.page.locator("main tbody a").nth(row).click();
    await stage.rest();
  }
}

async function openPin(stage: Stage): Promise<void> {
  await stage.go("/operator/billing");
  await stage.page.locator("main tbody button").first().click();
  await stage.page.getByRole("dialog").waitFor();
}

async function openPlan(stage: Stage): Promise<void> {
  await stage.go("/operator/plans");
  await stage.press(stage.words.money.newPlan);
  await stage.page.getByRole("dialog").waitFor();
}

async function openPrice(stage: Stage): Promise<void> {
  await stage.go("/operator/prices");
  await stage.press(stage.words.money.newPrice);
  await stage.page.getByRole("dialog").waitFor();
}
