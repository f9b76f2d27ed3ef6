/** The operators' list counts a tenant's month by the tenant's own days, wherever in the world it is. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { listSpending } from "#src/admin/money/spending-list.ts";
import { PlanBook } from "#src/billing/plans/plan-book.ts";
import { TenantPlans } from "#src/billing/plans/tenant-plans.ts";
import { PriceBook } from "#src/billing/prices.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database } from "#src/storage/database.ts";
import { Tenants } from "#src/tenancy/tenants.ts";

const folder = mkdtempSync(join(tmpdir(), "creel-spending-"));
const databases = new SqliteDatabases({
  migrationsDirectory: resolve(import.meta.dirname, "../../migrations"),
});
let nowMs = Date.UTC(2026, 10, 30, 20);
const clock: Clock = { ...systemClock, nowMs: () => nowMs };
let control: Database;

beforeAll(async () => {
  control = databases.open("control", join(folder, "control.db"), "control");
  const tenants = new Tenants(control, clock, () => []);
  const book = new PlanBook({ control, clock, configured: {} });
  await new TenantPlans({ control, clock, book, defaultPlan: "unlimited" }).begin();
  for (const [slug, timeZone] of [
    ["shanghai", "Asia/Shanghai"],
    ["london", "Europe/London"],
    ["hawaii", "Pacific/Honolulu"],
  ] as const) {
    const { id } = await tenants.create({ slug, timeZone });
    await use(id, "2026-10-01", 100);
    await use(id, "2026-11-01", 200);
    await use(id, "2026-12-01", 7);
  }
});

afterAll(async () => {
  await databases.close();
  rmSync(folder, { recursive: true });
});

async function use(tenantId: string, day: string, micros: number): Promise<void> {
  const columns = await control.list<{ name: string }>("SELECT name FROM pragma_table_info('usage_daily')");
  const known: Record<string, string | number> = { tenant_id: tenantId, day, platform_cost_micros: micros };
  const texts = ["agent_id", "user_id", "channel", "provider", "model"];
  const params = columns.map(({ name }) => known[name] ?? (texts.includes(name) ? "" : 0));
  const sql = `INSERT INTO usage_daily VALUES (${params.map(() => "?").join(", ")})`;
  await control.write({ statements: [{ sql, params }] });
}

async function spentBy(): Promise<Record<string, number>> {
  const rows = await listSpending(
    { control, prices: new PriceBook(), clock },
    { sort: "spend", isOver: false },
  );
  return Object.fromEntries(rows.map((row) => [row.slug, row.spentMicros]));
}

it("begins a tenant's month when it begins there", async () => {
  expect(await spentBy()).toEqual({ shanghai: 7, london: 200, hawaii: 200 });
  nowMs = Date.UTC(2026, 11, 1, 9, 59);
  expect(await spentBy()).toEqual({ shanghai: 7, london: 7, hawaii: 200 });
  nowMs = Date.UTC(2026, 11, 1, 10, 1);
  expect(await spentBy()).toEqual({ shanghai: 7, london: 7, hawaii: 7 });
});
