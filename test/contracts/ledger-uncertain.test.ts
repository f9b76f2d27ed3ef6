/** Reserving when nobody can say whether the commit took: it is looked at before it is tried once more, and holds once. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AppError } from "#src/kernel/errors.ts";
import type { Batch, Database } from "#src/storage/database.ts";
import { runInContext } from "#src/tenancy/context.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { LedgerWorld } from "../support/ledger-world.ts";

let world: LedgerWorld;
let scope: TenantScope;

beforeAll(async () => {
  world = await LedgerWorld.open();
});

afterAll(async () => {
  await world.close();
});

beforeEach(async () => {
  scope = world.usage.newTenant(`t-${randomUUID().slice(0, 8)}`);
  await within(() => world.budgets.set(scope, { scope: "tenant", scopeId: "", period: "month" }, 1_000));
});

function within<T>(work: () => T): T {
  return runInContext({ tenantId: scope.tenantId, principal: null, requestId: "test" }, work);
}

/** The same tenant, whose writes from the first on fail in these ways: before or after they are on disk. */
function failing(...ways: ("lost" | "kept" | "corrupt")[]): { scope: TenantScope; writes: () => number } {
  let writes = 0;
  const { db } = scope;
  const odd: Database = {
    find: (sql, params) => db.find(sql, params),
    report: (sql, params) => db.report(sql, params),
    list: (sql, params) => db.list(sql, params),
    async write(batch: Batch) {
      const way = ways[writes++];
      if (way === "corrupt") throw new AppError("tenant_unavailable", "corrupt");
      const outcome = way === "lost" ? undefined : await db.write(batch);
      if (outcome !== undefined && way === undefined) return outcome;
      throw new AppError("storage_uncertain", "who knows");
    },
  };
  return {
    scope: { tenant: scope.tenant, tenantId: scope.tenantId, db: odd } as TenantScope,
    writes: () => writes,
  };
}

describe("a reservation whose commit is uncertain", () => {
  it("holds once when it was on disk, and is not written again", async () => {
    const odd = failing("kept");
    expect(await within(() => world.reserve(odd.scope, "r1"))).toBe(true);
    expect(odd.writes()).toBe(1);
    expect(await within(() => world.lines(scope))).toEqual(["reserve budget:tenant:2026-11>reserved 200"]);
  });

  it("is written again when it was not", async () => {
    const odd = failing("lost");
    expect(await within(() => world.reserve(odd.scope, "r1"))).toBe(true);
    expect(odd.writes()).toBe(2);
    expect(await within(() => world.lines(scope))).toEqual(["reserve budget:tenant:2026-11>reserved 200"]);
    expect((await within(() => world.ledger.verify(scope))).problem).toBeNull();
  });

  it("fails when nobody can say twice, or when the store is broken", async () => {
    await expect(within(() => world.reserve(failing("lost", "lost").scope, "r1"))).rejects.toMatchObject({
      code: "storage_uncertain",
    });
    const broken = failing("corrupt");
    await expect(within(() => world.reserve(broken.scope, "r2"))).rejects.toMatchObject({
      code: "tenant_unavailable",
    });
    expect(broken.writes()).toBe(1);
    expect(await within(() => world.lines(scope))).toEqual([]);
  });
});
