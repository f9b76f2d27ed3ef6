/**
 * Monthly statements: every event is on exactly one of them, once; a closed month never changes, whatever comes later;
 * and what a model is called can neither run in a spreadsheet nor on a page.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Ledger } from "#src/billing/ledger/ledger.ts";
import { statementCsv } from "#src/billing/statements/csv.ts";
import { PAGE_POLICY, statementPage } from "#src/billing/statements/page.ts";
import { showMicros } from "#src/billing/statements/statement.ts";
import { GRACE_MS, Statements } from "#src/billing/statements/statements.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { makePerson } from "../support/person.ts";
import { startApp } from "../support/start-app.ts";
import { modelInput, openUsageWorld, type UsageWorld } from "../support/usage-world.ts";

const COST = { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 };
/** 120 tokens at 1 and 20 at 2 per million. */
const ONE_CALL = 160;

let world: UsageWorld;
let nowMs = Date.UTC(2026, 9, 15, 12);
const clock: Clock = { ...systemClock, nowMs: () => nowMs };
/** Another plan from the first moment of December on. */
const planAt = async (_scope: TenantScope, atMs: number) =>
  atMs < Date.UTC(2026, 11, 1) ? "team" : "business";
const statements = new Statements({ clock, currencyOf: async () => "USD", planAt });

function setNow(ms: number): void {
  nowMs = ms;
  world.setNow(ms);
}

const use = (scope: TenantScope, atMs: number, input: object = {}) =>
  world.model(scope, { atMs, cost: COST, ...input });

beforeAll(async () => {
  world = await openUsageWorld();
});

afterAll(() => world.close());

describe("a month", () => {
  it("names the plan that held at its end, whatever holds when it is closed", async () => {
    const scope = world.newTenant("upgraded");
    setNow(Date.UTC(2026, 10, 15, 12));
    await use(scope, nowMs);
    expect(await statements.get(scope, "2026-11")).toMatchObject({ state: "open", plan: "team" });
    setNow(Date.UTC(2026, 11, 1) + GRACE_MS);
    await use(scope, nowMs);
    expect(await statements.get(scope, "2026-11")).toMatchObject({ state: "closed", plan: "team" });
    expect(await statements.get(scope, "2026-12")).toMatchObject({ state: "open", plan: "business" });
  });

  it("is closed after its grace, never changes, and late events are adjustments of the next", async () => {
    const scope = world.newTenant("acme");
    setNow(Date.UTC(2026, 9, 15, 12));
    await use(scope, Date.UTC(2026, 9, 2));
    await use(scope, Date.UTC(2026, 9, 15), { keyOwner: "tenant" });
    setNow(Date.UTC(2026, 10, 1) + GRACE_MS - 1);
    await use(scope, nowMs);
    expect((await statements.list(scope)).map(({ month, state }) => [month, state])).toEqual([
      ["2026-11", "open"],
      ["2026-10", "open"],
    ]);
    setNow(Date.UTC(2026, 10, 1) + GRACE_MS);
    const october = await statements.get(scope, "2026-10");
    expect(october).toMatchObject({ state: "closed", currency: "USD", totalMicros: ONE_CALL });
    expect(
      october.lines.map(({ keyOwner, costMicros, chargedMicros }) => [keyOwner, costMicros, chargedMicros]),
    ).toEqual([
      ["platform", ONE_CALL, ONE_CALL],
      ["tenant", ONE_CALL, 0],
    ]);
    await use(scope, Date.UTC(2026, 9, 31, 23));
    await use(scope, nowMs);
    expect(await statements.get(scope, "2026-10")).toEqual(october);
    const november = await statements.get(scope, "2026-11");
    expect(november.lines.map(({ kind, forMonth, calls }) => [kind, forMonth, calls])).toEqual([
      ["usage", "2026-11", 2],
      ["adjustment", "2026-10", 1],
    ]);
    expect(november.totals.adjustmentMicros).toBe(ONE_CALL);
    setNow(Date.UTC(2027, 1, 5));
    const heads = await statements.list(scope);
    expect(heads.map(({ month, state }) => [month, state])).toEqual([
      ["2027-02", "open"],
      ["2027-01", "closed"],
      ["2026-12", "closed"],
      ["2026-11", "closed"],
      ["2026-10", "closed"],
    ]);
    expect(heads.reduce((sum, head) => sum + head.totalMicros, 0)).toBe(4 * ONE_CALL);
    await expect(statements.get(scope, "2026-09")).rejects.toMatchObject({ code: "not_found" });
    await expect(statements.get(scope, "2027-03")).rejects.toMatchObject({ code: "not_found" });
    await expect(statements.get(scope, "2027-13")).rejects.toMatchObject({ code: "invalid_request" });
  });

  it("cannot be edited, whoever asks the file", async () => {
    const scope = world.newTenant("sealed");
    setNow(Date.UTC(2026, 9, 2));
    await use(scope, nowMs);
    setNow(Date.UTC(2026, 11, 5));
    await statements.closeDue(scope);
    for (const sql of [
      "UPDATE statements SET total_micros = 0",
      "DELETE FROM statements",
      "UPDATE statement_lines SET charged_micros = 0",
      "DELETE FROM statement_lines",
      "INSERT INTO statement_lines SELECT month, 99, kind, for_month, provider, 'x', tool_name, price_version, key_owner, 0, 0, 0, 0, 0, 0, 0, 0 FROM statement_lines",
    ])
      await expect(scope.db.write({ statements: [{ sql }] }), sql).rejects.toThrow();
    expect((await statements.get(scope, "2026-10")).totalMicros).toBe(ONE_CALL);
  });

  it("is closed once when many ask at once", async () => {
    const scope = world.newTenant("crowd");
    setNow(Date.UTC(2026, 9, 2));
    await use(scope, nowMs);
    setNow(Date.UTC(2026, 11, 5));
    const closed = await Promise.all(Array.from({ length: 8 }, () => statements.closeDue(scope)));
    expect(closed.flat().sort()).toEqual(["2026-10", "2026-11"]);
    expect((await statements.get(scope, "2026-10")).lines).toHaveLength(1);
  });

  it("charges what the ledger says is spent: nothing with the tenant's key, no more than was held back", async () => {
    const scope = world.newTenant("overrun");
    setNow(Date.UTC(2026, 10, 20));
    const month = "2026-11";
    const reserved = [ONE_CALL - 60, ONE_CALL - 60, month, nowMs, nowMs + 60_000];
    await scope.db.write({
      statements: [
        {
          sql: `INSERT INTO reservations (run_id, step, ordinal, state, amount_micros, from_budget_micros,
            from_credit_micros, period, user_id, agent_id, key_id, provider, model, price_origin, made_at_ms,
            lease_until_ms) VALUES ('run-1', 0, 0, 'open', ?, ?, 0, ?, 'user-1', 'main', '', 'mock', 'mock-1', 'config', ?, ?)`,
          params: reserved,
        },
      ],
    });
    await use(scope, nowMs, { runId: "run-1" });
    await use(scope, nowMs);
    await use(scope, nowMs, { keyOwner: "tenant" });
    await use(scope, nowMs, { keyOwner: "none" });
    const spent = await new Ledger(clock).balance(scope, "spent");
    const { totalMicros, totals } = await statements.get(scope, month);
    expect(totals.costMicros).toBe(4 * ONE_CALL);
    expect(totalMicros).toBe(3 * ONE_CALL - 60);
    expect(totalMicros).toBe(spent);
  });

  it("names the price version of every line, also after the price changed within it", async () => {
    const scope = world.newTenant("dated");
    setNow(Date.UTC(2026, 10, 20));
    await use(scope, nowMs, { cost: undefined, provider: "openai", model: "no-such-model" });
    await use(scope, nowMs);
    await world.tool(scope, { atMs: nowMs });
    const statement = await statements.get(scope, "2026-11");
    expect(statement.priceVersions).toEqual(["config", "free", "unknown"]);
    expect(statement.lines.map((line) => line.toolName)).toContain("exec");
  });
});

describe("a tenant that changes its time zone", () => {
  it("finds every event on exactly one statement", async () => {
    const tenant = world.newTenant("mover", "Pacific/Auckland");
    const later = { ...tenant, tenant: { ...tenant.tenant, timeZone: "America/Los_Angeles" } };
    // 1 November in Auckland, still 31 October in Los Angeles.
    setNow(Date.UTC(2026, 9, 31, 13));
    await use(tenant, nowMs);
    await use(later, nowMs);
    setNow(Date.UTC(2026, 10, 2, 12));
    // By Auckland's calendar October is over and closed; back in Los Angeles an event of October comes in late.
    expect(await statements.closeDue(tenant)).toEqual(["2026-10"]);
    await use(later, Date.UTC(2026, 10, 1, 3));
    setNow(Date.UTC(2027, 0, 10));
    await statements.closeDue(later);
    const [october, november] = [
      await statements.get(later, "2026-10"),
      await statements.get(later, "2026-11"),
    ];
    expect(october.timeZone).toBe("Pacific/Auckland");
    expect(november.timeZone).toBe("America/Los_Angeles");
    expect(october.totals.calls).toBe(1);
    expect(november.lines.map(({ kind, calls }) => [kind, calls])).toEqual([
      ["usage", 1],
      ["adjustment", 1],
    ]);
  });
});

describe("a statement as a file", () => {
  const EVIL = `=HYPERLINK("http://evil.example","x")</td><script>alert(1)</script>`;

  it("runs nothing in a spreadsheet, and nothing on a page", async () => {
    const scope = world.newTenant("evil");
    setNow(Date.UTC(2026, 10, 20));
    await use(scope, nowMs, { model: EVIL });
    await use(scope, nowMs, { model: "+1+cmd|' /C calc'!A0", provider: "-evil" });
    const statement = await statements.get(scope, "2026-11");
    const csv = statementCsv(statement);
    expect(csv.startsWith("\uFEFFtenant,month,")).toBe(true);
    expect(csv).toContain(`"'=HYPERLINK(""http://evil.example"",""x"")`);
    expect(csv).toContain("'-evil");
    expect(csv).not.toMatch(/(^|,)"?[=+@-][^,\d]/m);
    const last = csv.trimEnd().split("\r\n").at(-1);
    expect(last).toContain(`,${2 * ONE_CALL},0.00032`);
    for (const language of ["en", "zh-CN"] as const) {
      const page = statementPage(statement, language);
      expect(page).toContain(`<html lang="${language}">`);
      expect(page).not.toContain("<script");
      expect(page).toContain("&lt;script&gt;");
      expect(page).toContain("@media print");
    }
    expect(PAGE_POLICY).toContain("default-src 'none'");
    expect(PAGE_POLICY).not.toContain("unsafe");
    expect(statementPage(statement, "zh-CN")).toContain("账单");
  });

  it("writes money exactly", () => {
    expect(showMicros(0)).toBe("0.00");
    expect(showMicros(1)).toBe("0.000001");
    expect(showMicros(-12_345_678)).toBe("-12.345678");
    expect(showMicros(1_500_000)).toBe("1.50");
    expect(showMicros(9_007_199_254_740_991)).toBe("9007199254.740991");
  });
});

describe("statements by HTTP", () => {
  it("are for the tenant's admins, as JSON, CSV and a page that lets nothing in", async () => {
    const app = await startApp();
    try {
      const owner = await makePerson(app, "Olga Owner", "acme", "owner");
      const stranger = await makePerson(app, "Gina Globex", "globex", "owner");
      const member = await makePerson(app, "Max Member", "acme", "member");
      const month = new Date().toISOString().slice(0, 7);
      const scope = app.app.door.scope(await app.tenant("acme"));
      await scope.db.write({
        statements: world.meter.modelCall(scope, modelInput(Date.now(), { cost: COST })).statements,
      });
      const path = `/t/acme/api/statements/${month}`;
      const list = await owner.send("GET", "/t/acme/api/statements");
      expect(list.body.statements).toMatchObject([
        { month, state: "open", currency: "USD", totalMicros: ONE_CALL, lines: 1 },
      ]);
      expect((await owner.send("GET", path)).body.lines).toHaveLength(1);
      const csv = await owner.send("GET", `${path}?format=csv`);
      expect(csv.headers.get("content-type")).toContain("text/csv");
      expect(csv.headers.get("content-disposition")).toBe(
        `attachment; filename="statement-acme-${month}.csv"`,
      );
      const page = await owner.send("GET", `${path}?format=html&lang=zh-CN`);
      expect(page.headers.get("content-security-policy")).toBe(PAGE_POLICY);
      expect(page.text).toContain("账单");
      for (const bad of ["?format=pdf", "?format=html&lang=xx"])
        expect((await owner.send("GET", `${path}${bad}`)).status).toBe(400);
      expect((await stranger.send("GET", path)).status).toBe(404);
      expect((await member.send("GET", path)).status).toBe(403);
      const drill = await member.send("GET", "/t/acme/api/usage/drill?groupBy=user");
      expect(drill.body).toMatchObject({ totalMicros: ONE_CALL, rest: null });
    } finally {
      await app.close();
    }
  }, 30_000);
});
