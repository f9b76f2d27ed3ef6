/** Records on their way from the outbox into the chains: none lost, none twice, nobody held up by another. */
import { rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AuditLog } from "#src/audit/log.ts";
import { type AuditRecord, auditStatement, PLATFORM } from "#src/audit/record.ts";
import { Acts } from "#src/audit/recording/acts.ts";
import { Denials } from "#src/audit/recording/denials.ts";
import { AuditMover, watchOutbox } from "#src/audit/recording/mover.ts";
import { recordTenantAct } from "#src/audit/tenant-acts.ts";
import { verifyChain } from "#src/audit/verify.ts";
import { type Clock, systemClock } from "#src/kernel/clock.ts";
import type { TenantId } from "#src/kernel/ids.ts";
import { newId } from "#src/kernel/ids.ts";
import { makeLog } from "#src/kernel/log.ts";
import type { Batch, Database } from "#src/storage/database.ts";
import { runInContext } from "#src/tenancy/context.ts";
import { TenantDoor, type TenantScope } from "#src/tenancy/scoped.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { Tenants } from "#src/tenancy/tenants.ts";
import { ADA, AuditWorld, record } from "../support/audit-world.ts";

const silent = makeLog({ level: "silent" });

let world: AuditWorld;
let control: Database;
let tenants: Tenants;
let door: TenantDoor;
let acme: Tenant;
let beta: Tenant;
/** Milliseconds that a test added to the clock. */
let ahead = 0;
const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + ahead };

beforeEach(async () => {
  ahead = 0;
  world = new AuditWorld();
  control = world.databases.open("control", `${world.folder}/control.db`, "control");
  tenants = new Tenants(control, clock, recordTenantAct);
  door = new TenantDoor(world.databases, world.folder);
  acme = await tenants.create({ slug: "acme" });
  beta = await tenants.create({ slug: "beta" });
  for (const tenant of [acme, beta]) await door.prepare(tenant);
  await mover().drain();
});

afterEach(() => world.close());

function mover(on: Database = control): AuditMover {
  return new AuditMover({ control: on, tenants, door, clock, log: silent });
}

async function handIn(tenantId: TenantId, ...records: AuditRecord[]): Promise<void> {
  await control.write({ statements: records.map((one) => auditStatement(tenantId, one)) });
}

const numbers = (from: number, count: number) => Array.from({ length: count }, (_, n) => record(from + n));

/** Ids in a chain, in order, after what the making of the tenants left there. */
async function ids(of: Tenant | "platform"): Promise<string[]> {
  const db = of === "platform" ? control : door.scope(of).db;
  const rows = await db.list<{ id: string }>(
    "SELECT id FROM audit_log WHERE action NOT LIKE 'tenant.%' ORDER BY seq",
  );
  return rows.map((row) => row.id);
}

async function waiting(): Promise<number> {
  return (await control.find<{ n: number }>("SELECT count(*) AS n FROM audit_outbox"))?.n ?? -1;
}

/** The same database, in which the next write that `isHit` picks fails, before or after it took. */
function failing(isHit: (batch: Batch) => boolean, when: "before" | "after"): Database {
  let isArmed = true;
  return {
    find: (sql, params) => control.find(sql, params),
    list: (sql, params) => control.list(sql, params),
    report: (sql, params) => control.report(sql, params),
    async write(batch) {
      const isNow = isArmed && isHit(batch);
      if (isNow) isArmed = false;
      if (isNow && when === "before") throw new Error("cut off");
      const outcome = await control.write(batch);
      if (isNow) throw new Error("cut off");
      return outcome;
    },
  };
}

describe("the mover", () => {
  it("moves records into their own tenant's chain, in order, and nothing else", async () => {
    const [mine, theirs] = [numbers(1, 150), numbers(500, 3)];
    await handIn(acme.id, ...mine);
    await handIn(beta.id, ...theirs);
    await mover().drain();
    expect(await ids(acme)).toEqual(mine.map(({ id }) => id));
    expect(await ids(beta)).toEqual(theirs.map(({ id }) => id));
    expect(await ids("platform")).toEqual([]);
    expect(await waiting()).toBe(0);
    expect(await verifyChain(door.scope(acme).db, acme.id)).toMatchObject({ ok: true });
  });

  it.each(["before", "after"] as const)(
    "loses and doubles nothing when it is cut off %s the outbox forgets",
    async (when) => {
      const records = numbers(1, 10);
      await handIn(acme.id, ...records);
      const isForgetting = (batch: Batch) =>
        batch.statements.some(({ sql }) => sql.startsWith("DELETE FROM audit_outbox"));
      await mover(failing(isForgetting, when)).drain();
      expect(await waiting()).toBe(when === "before" ? 10 : 0);
      expect(await ids(acme)).toHaveLength(10);
      await mover().drain();
      expect(await ids(acme)).toEqual(records.map(({ id }) => id));
      expect(await waiting()).toBe(0);
    },
  );

  it("loses and doubles nothing when several move at once", async () => {
    const records = numbers(1, 200);
    await handIn(acme.id, ...records);
    await Promise.all([mover().drain(), mover().drain(), mover().drainTenant(acme.id)]);
    expect(await ids(acme)).toEqual(records.map(({ id }) => id));
    expect(await verifyChain(door.scope(acme).db, acme.id)).toMatchObject({ ok: true });
  });

  it("keeps the records of a tenant whose file cannot be used, and serves the others meanwhile", async () => {
    const [mine, theirs] = [numbers(1, 3), numbers(500, 3)];
    const path = `${world.folder}/tenants/${acme.id}/tenant.db`;
    await world.databases.release(path);
    for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
    writeFileSync(path, "this is no database".repeat(100));
    await handIn(acme.id, ...mine);
    await handIn(beta.id, ...theirs);
    const one = mover();
    await one.drain();
    expect(await ids(beta)).toEqual(theirs.map(({ id }) => id));
    expect(await waiting()).toBe(3);
    rmSync(path);
    await one.drain();
    expect(await waiting()).toBe(3);
    ahead = 60_000;
    await one.drain();
    expect(await waiting()).toBe(0);
    expect(await ids(acme)).toEqual(mine.map(({ id }) => id));
  });

  it("puts what belongs to no tenant, or to one that is gone, into the platform's chain", async () => {
    const [own, orphan] = [record(1), record(2)];
    const gone = newId() as TenantId;
    await handIn(PLATFORM, own);
    await handIn(gone, orphan);
    await mover().drain();
    const rows = await control.list<{ id: string; details: string }>(
      "SELECT id, details FROM audit_log WHERE id IN (?, ?) ORDER BY at_ms",
      [own.id, orphan.id],
    );
    expect(rows.map(({ id, details }) => [id, JSON.parse(details)])).toEqual([
      [own.id, { n: 1 }],
      [orphan.id, { n: 2, tenantId: gone }],
    ]);
    expect(await verifyChain(control, "control")).toMatchObject({ ok: true });
  });

  it("copies what operators do to a tenant into the platform's chain, and nothing that its people do", async () => {
    const [byPerson, byOperator] = [record(1), record(2)];
    await handIn(acme.id, byPerson, { ...byOperator, actor: { ...ADA, kind: "operator" } });
    await mover().drain();
    expect(await ids(acme)).toEqual([byPerson.id, byOperator.id]);
    expect(await ids("platform")).toEqual([byOperator.id]);
  });

  it("never makes the file of a destroyed tenant anew", async () => {
    await control.write({
      statements: [{ sql: "UPDATE tenants SET status = 'deleting' WHERE id = ?", params: [acme.id] }],
    });
    const path = `${world.folder}/tenants/${acme.id}/tenant.db`;
    await world.databases.release(path);
    rmSync(`${world.folder}/tenants/${acme.id}`, { recursive: true });
    const late = record(1);
    await handIn(acme.id, late);
    await mover().drain();
    expect(await ids("platform")).toEqual([late.id]);
    expect(await door.databaseSizeBytes(acme)).toBe(0);
  });

  it("keeps a record that it cannot read, as a record that says so", async () => {
    await control.write({
      statements: [
        {
          sql: "INSERT INTO audit_outbox (id, tenant_id, record) VALUES ('odd', ?, '{\"no\":')",
          params: [acme.id],
        },
      ],
    });
    const next = record(1);
    await handIn(acme.id, next);
    await mover().drain();
    expect(await ids(acme)).toEqual(["odd", next.id]);
    expect(await waiting()).toBe(0);
  });

  it("is woken by a commit, also by one in the context of another tenant", async () => {
    const woken = mover();
    const watched = watchOutbox(control, () => woken.nudge());
    const one = record(1);
    await runInContext({ tenantId: beta.id, principal: null, requestId: "r" }, () =>
      watched.write({ statements: [auditStatement(acme.id, one)] }),
    );
    await expect.poll(() => ids(acme)).toEqual([one.id]);
    await woken.close();
  });
});

describe("acts", () => {
  it("whose record the tenant's own file does not take wait in the outbox", async () => {
    const scope = door.scope(acme);
    const broken: TenantScope = {
      ...scope,
      db: { ...scope.db, write: () => Promise.reject(new Error("no room")) },
    };
    const acts = new Acts({ log: new AuditLog(control), control, clock, logger: silent });
    await acts.done(broken, ADA, { action: "agent.created", target: { kind: "agent", id: "a" } });
    await acts.done(scope, ADA, { action: "agent.changed", target: { kind: "agent", id: "a" } });
    expect(await waiting()).toBe(1);
    await mover().drain();
    const rows = await scope.db.list<{ action: string }>(
      "SELECT action FROM audit_log ORDER BY seq DESC LIMIT 2",
    );
    expect(rows.map(({ action }) => action)).toEqual(["agent.created", "agent.changed"]);
  });
});

describe("denials", () => {
  const timers: (() => void)[] = [];
  const waitingClock: Clock = {
    ...clock,
    after: (_delayMs, run) => {
      timers.push(run);
      return { cancel: () => undefined };
    },
  };
  const denials = () => new Denials({ log: new AuditLog(control), clock: waitingClock, logger: silent });
  const refusal = (of: TenantScope | "platform", name: string, id = "user-ada") => ({
    ...{ of, actor: { ...ADA, id }, what: { kind: "method", name } as const },
    reason: { missingScope: "operator.admin" },
  });
  const rows = async (of: Tenant) => {
    const found = await door
      .scope(of)
      .db.list<{ actor_id: string; details: string }>(
        "SELECT actor_id, details FROM audit_log WHERE action = 'request.denied' AND outcome = 'denied' ORDER BY seq",
      );
    return found.map(({ actor_id, details }) => ({
      actor: actor_id,
      ...(JSON.parse(details) as Record<string, unknown>),
    }));
  };

  it("are on record at once, and repeats are counted", async () => {
    const one = denials();
    const scope = door.scope(acme);
    for (let n = 0; n < 5; n++) await one.note(refusal(scope, "agents.create"));
    await one.note(refusal(scope, "agents.delete"));
    await one.note(refusal(scope, "agents.create", "user-bob"));
    expect(await rows(acme)).toMatchObject([
      { actor: "user-ada", method: "agents.create" },
      { actor: "user-ada", method: "agents.delete" },
      { actor: "user-bob", method: "agents.create" },
    ]);
    await one.close();
    expect((await rows(acme)).slice(3)).toMatchObject([
      { actor: "user-ada", method: "agents.create", count: 4 },
    ]);
    expect(await rows(beta)).toEqual([]);
  });

  it("end their minute in whatever context their timer runs", async () => {
    const one = denials();
    timers.length = 0;
    const scope = door.scope(acme);
    await one.note(refusal(scope, "agents.create"));
    await one.note(refusal(scope, "agents.create"));
    ahead = 61_000;
    runInContext({ tenantId: beta.id, principal: null, requestId: "r" }, () => {
      for (const run of timers.splice(0)) run();
    });
    await expect.poll(async () => (await rows(acme)).length).toBe(2);
    await one.note(refusal(scope, "agents.create"));
    expect(await rows(acme)).toHaveLength(3);
  });

  it("cannot fill a log, nor take room from another tenant", async () => {
    const one = denials();
    const scope = door.scope(acme);
    for (let n = 0; n < 1_000; n++) await one.note(refusal(scope, `method.${n}`));
    await one.note(refusal(door.scope(beta), "agents.create"));
    await one.close();
    const found = await rows(acme);
    expect(found).toHaveLength(101);
    expect(found.at(-1)).toMatchObject({ actor: "many", count: 900 });
    expect(await rows(beta)).toHaveLength(1);
  });
});
