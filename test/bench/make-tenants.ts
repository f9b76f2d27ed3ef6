/**
 * Makes tenants and a token for each, in one process beside the running server: what `creel tenant create` and
 * `creel token create` do, a thousand times without a thousand starts of Node. Prints one `slug token` per line.
 *
 * `node test/bench/make-tenants.ts <state dir> <slug prefix> <count> [<plan>]`
 */
import { PlanBook } from "#src/billing/plans/plan-book.ts";
import { TenantPlans } from "#src/billing/plans/tenant-plans.ts";
import { withState } from "#src/cli/state.ts";
import { systemClock } from "#src/kernel/clock.ts";
import type { Database } from "#src/storage/database.ts";

const [stateDir = "", prefix = "", count = "0", plan = ""] = process.argv.slice(2);

await withState(stateDir, async (state) => {
  for (let n = 0; n < Number(count); n += 1) {
    const slug = `${prefix}-${String(n).padStart(4, "0")}`;
    const tenant = await state.tenants.create({ slug, displayName: slug });
    await state.door.prepare(tenant);
    if (plan !== "") await plansOf(state.control).pin(tenant.id, { plan, fromMs: 0 }, "benchmark");
    const { secret } = await state.auth.tokens.create(tenant.id, {
      name: "benchmark",
      role: "owner",
      maker: { kind: "machine" },
      userId: null,
      expiresInMs: null,
    });
    process.stdout.write(`${slug} ${secret}\n`);
  }
});

function plansOf(control: Database): TenantPlans {
  const book = new PlanBook({ control, clock: systemClock, configured: {} });
  return new TenantPlans({ control, clock: systemClock, book, defaultPlan: "unlimited" });
}
