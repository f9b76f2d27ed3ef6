/** Pictures of money: a tenant's and the operators'. Owns: how each is reached. Refuses to know: looks and files. */
import { at, type Picture } from "./picture.ts";
import type { Stage } from "./stage.ts";

const DAY_MS = 86_400_000;

/** See the head of this file. */
export const BILLING_PICTURES: readonly Picture[] = [
  { name: "billing", whole: true, open: at("/t/home/billing") },
  { name: "billing-stopped", whole: true, open: openStopped },
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
  await stage.page.route("**/t/home/api/billing", async (route) => {
    const answer = await route.fetch();
    const facts = (await answer.json()) as { budget: Record<string, unknown> };
    const sinceMs = Date.now() - 3_600_000;
    const budget = {
      ...facts.budget,
      limitMicros: 25_000_000,
      spentMicros: 22_718_204,
      reservedMicros: 1_310_400,
    };
    const alert = (level: number, scope: string, scopeId: string, spentMicros: number) => ({
      ...{ id: `${scope}-${level}`, level, scope, scopeId, spentMicros, limitMicros: 25_000_000 },
      atMs: Date.now() - level * 0.02 * DAY_MS,
    });
    const alerts = [alert(80, "tenant", "plan", 22_718_204), alert(50, "agent", "main", 14_020_100)];
    const breaker = { reason: "self_calls", sinceMs };
    await route.fulfill({ response: answer, json: { ...facts, budget, alerts, breaker } });
  });
  await stage.go("/t/home/billing");
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
