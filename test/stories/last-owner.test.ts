/** A tenant keeps an owner, whatever fifty people do to each other at the same moment (RO-05, RO-06). */
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TenantId } from "#src/kernel/ids.ts";
import { type Answer, makePerson, type Person } from "../support/person.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

let world: TestApp;

beforeAll(async () => {
  world = await startApp();
});
afterAll(() => world.close());

const ownersOf = async (tenantId: TenantId) =>
  (await world.app.auth.members.list(tenantId)).filter((member) => member.role === "owner");

/** A source of chance that a failing round can be repeated with. */
function makeChance(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Act = (by: Person, target: Person) => Promise<Answer>;

/** What one person can do that takes an owner away. */
function actsIn(slug: string, offers: Map<Person, string>): Act[] {
  const member = (person: Person) => `/t/${slug}/api/members/${person.userId}`;
  return [
    (by, target) => by.send("DELETE", member(target)),
    (by, target) => by.send("PATCH", member(target), { role: "admin" }),
    (by, target) => by.send("PATCH", member(target), { role: "readonly" }),
    (by) => by.send("PATCH", member(by), { role: "member" }),
    (by) => by.send("DELETE", `/t/${slug}/api/members/me`),
    (by, target) => by.send("POST", `/t/${slug}/api/ownership/offers`, { userId: target.userId }),
    (by) => by.send("POST", `/t/${slug}/api/ownership/offers/${offers.get(by) ?? "none"}/accept`, {}),
  ];
}

/** Refusals that are an answer; anything else is a fault. */
const REFUSALS = new Set(["last_owner", "not_found", "forbidden", "conflict", "step_up_required"]);

describe("an owner is left", () => {
  it.each([1, 2, 3, 4])("after fifty mixed attempts at once, round %i", async (round) => {
    const slug = `crowd-${round}`;
    const chance = makeChance(round);
    const { id } = await world.tenant(slug);
    const owners = await Promise.all(
      Array.from({ length: 8 }, (_, i) => makePerson(world, `Owner ${round}.${i}`, slug, "owner")),
    );
    const heirs = await Promise.all(
      Array.from({ length: 4 }, (_, i) => makePerson(world, `Heir ${round}.${i}`, slug, "member")),
    );
    const offers = new Map<Person, string>();
    for (const [i, heir] of heirs.entries()) {
      const answer = await (owners[i] as Person).send("POST", `/t/${slug}/api/ownership/offers`, {
        userId: heir.userId,
      });
      expect(answer.status).toBe(201);
      offers.set(heir, answer.body.id);
    }
    const acts = actsIn(slug, offers);
    const everybody = [...owners, ...heirs];
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => {
        const by = everybody[i % everybody.length] as Person;
        const target = owners[chance(owners.length)] as Person;
        return (acts[chance(acts.length)] as Act)(by, target);
      }),
    );
    expect((await ownersOf(id)).length).toBeGreaterThanOrEqual(1);
    const odd = answers.filter((answer) => answer.status >= 300 && !REFUSALS.has(answer.code ?? ""));
    expect(odd.map((answer) => answer.text)).toEqual([]);
    expect(answers.some((answer) => answer.status < 300)).toBe(true);
  });

  it("when all fifty owners leave or demote each other at once, and exactly one is refused as the last", async () => {
    const { id } = await world.tenant("fifty");
    const owners = await Promise.all(
      Array.from({ length: 50 }, (_, i) => makePerson(world, `Fifty ${i}`, "fifty", "owner")),
    );
    const answers = await Promise.all(
      owners.map((owner, i) =>
        i % 2 === 0
          ? owner.send("DELETE", "/t/fifty/api/members/me")
          : owner.send("PATCH", `/t/fifty/api/members/${owner.userId}`, { role: "readonly" }),
      ),
    );
    expect(await ownersOf(id)).toHaveLength(1);
    const refused = answers.filter((answer) => answer.status >= 300);
    expect(refused.map((answer) => answer.code)).toEqual(["last_owner"]);
  });

  it("when two demote each other, over and over", async () => {
    for (let round = 0; round < 10; round++) {
      const slug = `pair-${round}`;
      const left = await makePerson(world, `Left ${round}`, slug, "owner");
      const right = await makePerson(world, `Right ${round}`, slug, "owner");
      const { id } = await world.tenant(slug);
      const answers = await Promise.all([
        left.send("PATCH", `/t/${slug}/api/members/${right.userId}`, { role: "member" }),
        right.send("PATCH", `/t/${slug}/api/members/${left.userId}`, { role: "member" }),
      ]);
      expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
      const refused = answers.find((answer) => answer.status !== 200);
      expect(["last_owner", "forbidden", "not_found"]).toContain(refused?.code);
      expect(await ownersOf(id)).toHaveLength(1);
    }
  });

  it("whatever writes to the database: the last line is in the database itself", async () => {
    const last = await makePerson(world, "Last", "bottom", "owner");
    const { id } = await world.tenant("bottom");
    const database = new Database(join(world.stateDir, "control.db"), { timeout: 10_000 });
    try {
      const take = (sql: string) => () => database.prepare(sql).run(id, last.userId);
      const where = "WHERE tenant_id = ? AND user_id = ?";
      expect(take(`DELETE FROM members ${where}`)).toThrow("a tenant keeps at least one owner");
      expect(take(`UPDATE members SET role = 'admin' ${where}`)).toThrow("a tenant keeps at least one owner");
    } finally {
      database.close();
    }
    expect(await ownersOf(id)).toHaveLength(1);
  });
});
