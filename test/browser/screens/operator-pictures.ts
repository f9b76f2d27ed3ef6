/** Pictures of the operators' surface. Owns: how each is reached. Refuses to know: looks and files. */
import { justProved } from "./people-pictures.ts";
import { at, type Picture } from "./picture.ts";
import type { Stage } from "./stage.ts";

const DAY_MS = 86_400_000;

type Act = "change" | "suspend" | "delete" | "look" | "endLook";

/** See the head of this file. */
export const OPERATOR_PICTURES: readonly Picture[] = [
  { name: "operator-tenants", whole: true, open: at("/operator") },
  { name: "operator-none", open: openNone },
  { name: "operator-create", open: openCreate },
  { name: "operator-created", open: openCreated },
  { name: "operator-tenant", whole: true, open: (stage) => openTenant(stage, "home") },
  { name: "operator-suspended", whole: true, open: (stage) => openTenant(stage, "east-quay") },
  { name: "operator-deleting", whole: true, open: (stage) => openTenant(stage, "salt-house") },
  { name: "operator-looking", whole: true, open: (stage) => openTenant(stage, "glass-works") },
  { name: "operator-act-change", open: (stage) => openAct(stage, "home", "change") },
  { name: "operator-act-suspend", open: (stage) => openAct(stage, "home", "suspend") },
  { name: "operator-act-delete", open: (stage) => openAct(stage, "home", "delete") },
  { name: "operator-act-look", open: (stage) => openAct(stage, "not-yours", "look") },
  { name: "operator-act-end", open: (stage) => openAct(stage, "glass-works", "endLook") },
  { name: "operator-tenant-unknown", open: at("/operator/tenants/never-was") },
  { name: "operator-audit", whole: true, open: at("/operator/audit") },
  { name: "operator-receipts-none", open: at("/operator/receipts") },
  { name: "operator-receipts", open: openReceipts },
  { name: "operator-tenant-money", whole: true, open: openMoney },
  { name: "operator-tenant-credit", open: (stage) => openMoneyAct(stage, "giveCredit") },
  { name: "operator-tenant-plan", open: (stage) => openMoneyAct(stage, "changePlan") },
  { name: "operator-tenant-margin", open: (stage) => openMoneyAct(stage, "setMargin") },
  { name: "operator-tenant-price", open: (stage) => openMoneyAct(stage, "setPrice") },
  { name: "operator-book", whole: true, open: (stage) => openBook(stage, "model") },
  { name: "operator-book-tools", open: (stage) => openBook(stage, "tool") },
  { name: "operator-book-storage", open: (stage) => openBook(stage, "storage") },
  { name: "operator-book-margins", open: (stage) => openBook(stage, "margin") },
  { name: "operator-price-tried", whole: true, open: openTriedPrice },
  { name: "operator-currencies", whole: true, open: openCurrencies },
  { name: "operator-codes-none", open: openNoCodes },
  { name: "operator-codes", whole: true, open: openCodes },
  { name: "operator-codes-make", open: openMakeCodes },
  { name: "operator-codes-made", open: openMadeCodes },
  { name: "operator-compare-none", open: at("/operator/reconciliation") },
  { name: "operator-compare", whole: true, open: openCompare },
  { name: "operator-not-found", open: at("/operator/never-was") },
  { name: "operator-not-one", who: "member", open: at("/operator") },
];

async function openNone(stage: Stage): Promise<void> {
  await stage.go("/operator");
  await stage.page.getByRole("searchbox").fill("atlantis");
  await stage.page.getByText(stage.words.operator.none).waitFor();
}

async function openCreate(stage: Stage): Promise<void> {
  await stage.go("/operator");
  await stage.press(stage.words.operator.create);
  await stage.page.getByLabel(stage.words.door.orgName).fill("Lighthouse Keepers");
}

/** The organization is made up, so that the list stays the same in all looks. */
async function openCreated(stage: Stage): Promise<void> {
  const ownerLink = `${stage.harbour.app.url}/join#invite=not-a-secret-TGlnaHRob3VzZQ`;
  await stage.page.route("**/operator/api/tenants", (route) =>
    route.request().method() === "POST"
      ? route.fulfill({ status: 201, json: { tenant: {}, ownerLink } })
      : route.continue(),
  );
  await openCreate(stage);
  await stage.press(stage.words.act.create);
  await stage.page.getByRole("dialog").locator("code").waitFor();
}

async function openTenant(stage: Stage, slug: string): Promise<void> {
  await justProved(stage);
  await stage.go(`/operator/tenants/${stage.harbour.town.tenants.get(slug)}`);
}

async function openAct(stage: Stage, slug: string, act: Act): Promise<void> {
  await openTenant(stage, slug);
  await stage.press(act === "delete" ? stage.words.act.delete : stage.words.operator[act]);
  await stage.page.getByRole("dialog").waitFor();
}

async function openReceipts(stage: Stage): Promise<void> {
  const deletedAtMs = Date.now() - 3 * 86_400_000;
  const receipt = { tenantId: "0199c1e2-7a40-7000-8000-3f2b8c11d2aa", slug: "old-cannery", deletedAtMs };
  await stage.page.route("**/operator/api/receipts", (route) =>
    route.fulfill({ json: { receipts: [{ ...receipt, signed: "header.claims.signature" }] } }),
  );
  await stage.go("/operator/receipts");
}

/** Changes what the server answers, on this page only. */
async function amend(
  stage: Stage,
  path: string,
  change: (body: Record<string, unknown>) => Record<string, unknown>,
): Promise<void> {
  await stage.page.route(path, async (route) => {
    if (route.request().method() !== "GET") return route.continue();
    const answer = await route.fetch();
    const body = (await answer.json()) as Record<string, unknown>;
    await route.fulfill({ response: answer, json: change(body) });
  });
}

const day = (ahead: number) => new Date(Date.now() + ahead * DAY_MS).toISOString().slice(0, 10);

const priceRow = (seq: number, name: string, input: number, fromDay: string, standing: string) => ({
  ...{ seq, kind: "model", tenantId: "", provider: "harbour", name, fromDay, standing },
  ...{ input, output: input * 4, cacheRead: Math.round(input / 10), cacheWrite: input, reasoning: input * 5 },
  source: "Framework contract 2026-11, annex 3: prices of the second year",
});

const marginRow = (seq: number, tenantId: string, basisPoints: number, standing: string) => ({
  ...{ seq, tenantId, basisPoints, standing, fromDay: day(standing === "later" ? 9 : -20) },
});

/** A tenant with everything of its own. */
async function openMoney(stage: Stage): Promise<void> {
  await amend(stage, "**/operator/api/tenants/*/money", (body) => ({
    ...body,
    plan: { ...(body["plan"] as object), untilMs: Date.now() + 9 * DAY_MS },
    pins: [{ plan: "business", version: 2, fromMs: Date.now() + 9 * DAY_MS }],
    breaker: { reason: "loop", sinceMs: Date.now() },
    funds: { spentMicros: 31_845_120, reservedMicros: 1_310_400, creditMicros: 12_500_000 },
    margin: {
      ...{ basisPoints: 1_250, isOwn: true },
      rows: [marginRow(2, "x", 1_000, "later"), marginRow(1, "x", 1_250, "in_force")],
    },
    prices: [
      priceRow(4, "deep-water-70b", 2_250_000, day(-3), "in_force"),
      priceRow(3, "deep-water-70b", 2_500_000, day(-40), "replaced"),
      { ...priceRow(5, "web_fetch", 1_500, day(-3), "in_force"), kind: "tool", provider: "" },
    ],
  }));
  await openTenant(stage, "home");
}

type MoneyAct = "giveCredit" | "changePlan" | "setMargin" | "setPrice";

async function openMoneyAct(stage: Stage, act: MoneyAct): Promise<void> {
  await openTenant(stage, "home");
  await stage.press(stage.words.operatorMoney[act]);
  await stage.page.getByRole("dialog").waitFor();
  if (act === "setMargin") {
    await stage.page.getByLabel(stage.words.operatorMoney.marginPercent).fill("12.5");
    await stage.page.waitForTimeout(600);
  }
  await stage.rest();
}

async function openBook(stage: Stage, kind: "model" | "tool" | "storage" | "margin"): Promise<void> {
  const home = stage.harbour.town.tenants.get("home") ?? "";
  const tool = (seq: number, name: string, input: number) => ({
    ...priceRow(seq, name, input, day(-3), "in_force"),
    ...{ kind: "tool", provider: "" },
  });
  await amend(stage, "**/operator/api/prices", (body) => ({
    ...body,
    rows: [
      priceRow(9, "deep-water-70b", 2_750_000, day(30), "later"),
      { ...priceRow(8, "deep-water-70b", 2_250_000, day(-3), "in_force"), tenantId: home },
      priceRow(7, "deep-water-70b", 2_500_000, day(-40), "in_force"),
      priceRow(6, "shallow-8b-instruct-2026-10-preview-long-name", 75_000, day(-40), "in_force"),
      priceRow(5, "deep-water-70b", 2_505_001, day(-90), "replaced"),
      ...[tool(4, "web_fetch", 1_500), tool(3, "shell", 12_000)],
    ],
    margins: [
      ...[marginRow(3, "", 1_500, "later"), marginRow(2, home, -250, "in_force")],
      marginRow(1, "", 1_250, "in_force"),
    ],
    tenants: { [home]: "Home" },
  }));
  await stage.go("/operator/prices");
  await stage.page.locator("main fieldset").getByText(stage.words.operatorMoney.kinds[kind]).click();
  if (kind === "model") await stage.press(stage.words.operatorMoney.withReplaced);
}

async function openTriedPrice(stage: Stage): Promise<void> {
  await stage.go("/operator/prices");
  await stage.press(stage.words.money.newPrice);
  const dialog = stage.page.getByRole("dialog");
  const { usage, money, ledger, operatorMoney: m } = stage.words;
  const fill = (label: string, text: string) =>
    dialog.getByRole("textbox", { name: label, exact: true }).fill(text);
  await fill(money.provider, "harbour");
  await fill(usage.model, "deep-water-70b");
  await fill(m.perMillion(usage.input, "USD"), "2.75");
  await fill(m.perMillion(usage.output, "USD"), "11");
  await fill(ledger.source, "Contract 2026-11");
  await stage.page.waitForTimeout(600);
  await stage.rest();
  await dialog.getByRole("status").scrollIntoViewIfNeeded();
}

async function openCurrencies(stage: Stage): Promise<void> {
  await amend(stage, "**/operator/api/billing?*", (body) => {
    const tenants = body["tenants"] as Record<string, unknown>[];
    const last = tenants.length - 1;
    return {
      ...{ ...body, isCut: true },
      tenants: tenants.map((row, place) => ({
        ...row,
        ...(place === 0 ? { marginBasisPoints: 1_250, marginMicros: 3_538_000, growth: 0.37 } : {}),
        ...(place === 1
          ? { spentMicros: 20_400_000, limitMicros: 20_000_000, isOver: true, growth: -0.12 }
          : {}),
        ...(place === last ? { currency: "CNY", spentMicros: 88_120_000, limitMicros: 400_000_000 } : {}),
      })),
    };
  });
  await stage.go("/operator/billing");
}

const CODES = ["7K2QM-X04ZP-9TRBN-W3HGA", "P8D1V-YE5SC-2JQ6N-0MFKT", "ZB94H-R7GXW-KQ3PA-5N1DE"];

async function openNoCodes(stage: Stage): Promise<void> {
  await amend(stage, "**/operator/api/codes", (body) => ({ ...body, batches: [] }));
  await stage.go("/operator/codes");
}

async function openCodes(stage: Stage): Promise<void> {
  const home = stage.harbour.town.tenants.get("home") ?? "";
  const batch = (days: number, made: number, redeemed: number, over: object = {}) => ({
    ...{ madeAtMs: Date.now() - days * DAY_MS, madeBy: "x", madeByName: "Mei Chen", made, redeemed },
    ...{ amountMicros: 10_000_000, currency: "USD", expiresAtMs: null, isExpired: false },
    redemptions: Array.from({ length: redeemed }, (_, place) => ({
      ...(place === 1
        ? { tenantId: "gone", slug: null, name: null }
        : { tenantId: home, slug: "home", name: "Home" }),
      atMs: Date.now() - (days - 1) * DAY_MS,
    })),
    ...over,
  });
  await amend(stage, "**/operator/api/codes", (body) => ({
    ...body,
    batches: [
      batch(1, 100, 0, { expiresAtMs: Date.parse(day(60)) }),
      batch(5, 10, 3, { amountMicros: 2_500_000 }),
      batch(40, 1, 1, { madeByName: null }),
      batch(90, 20, 2, { expiresAtMs: Date.parse(day(-30)), isExpired: true }),
    ],
  }));
  await stage.go("/operator/codes");
  await stage.page.locator("summary").first().click();
}

async function openMakeCodes(stage: Stage): Promise<void> {
  await justProved(stage);
  await stage.go("/operator/codes");
  await stage.press(stage.words.operatorMoney.makeCodes);
  await stage.page.getByRole("dialog").waitFor();
}

async function openMadeCodes(stage: Stage): Promise<void> {
  await stage.page.route("**/operator/api/codes", (route) =>
    route.request().method() === "POST"
      ? route.fulfill({ status: 201, json: { codes: CODES } })
      : route.continue(),
  );
  await openMakeCodes(stage);
  const dialog = stage.page.getByRole("dialog");
  await dialog.getByLabel(stage.words.operatorMoney.worth("USD")).fill("10");
  await dialog.locator("button[type=submit]").click();
  await dialog.locator("textarea").waitFor();
  await stage.press(stage.words.operatorMoney.done);
}

async function openCompare(stage: Stage): Promise<void> {
  const finding = (kind: string, model: string, over: object) => ({
    ...{ kind, model, calls: 0, inputTokens: 0, cachedTokens: 0, outputTokens: 0, ...over },
  });
  const night = (back: number, findings: object[], over: object = {}) => ({
    ...{ provider: "harbour", day: day(-back), comparedAtMs: Date.now() - (back - 1) * DAY_MS },
    ...{ isWithin: true, findings, ...over },
  });
  const long = "shallow-8b-instruct-2026-10-preview-long-name";
  await stage.page.route("**/operator/api/reconciliation", (route) =>
    route.fulfill({
      json: {
        ...{ providers: ["harbour"], tolerance: { tokens: 1_000, ratio: 0.005 } },
        nights: [
          night(1, []),
          night(
            2,
            [
              finding("retried_calls", "deep-water-70b", {
                calls: 3,
                inputTokens: 41_200,
                outputTokens: 5_120,
              }),
              finding("cache_tokens", long, { cachedTokens: -12_800 }),
            ],
            { isWithin: false },
          ),
          night(3, [], { comparedAtMs: null }),
          night(4, [finding("usage_chunk_dropped", long, { calls: 1, inputTokens: 210 })]),
          ...[5, 6, 7].map((back) => night(back, [])),
          night(8, [finding("tokens_differ", "deep-water-70b", { outputTokens: -1_400 })], {
            isWithin: false,
          }),
        ],
      },
    }),
  );
  await stage.go("/operator/reconciliation");
}
