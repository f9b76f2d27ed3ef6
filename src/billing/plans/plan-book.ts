/**
 * Every version of every plan: shipped, configured, made by operators. Owns: finding one, adding a version.
 * Refuses to know: who is on which plan.
 */
import { PLAN_ID, type PlanDraft, type PlanTerms, planSchema } from "../../config/plan-schema.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Plan } from "./plan.ts";
import shipped from "./plans.json" with { type: "json" };

/** What the book is made from. */
export interface PlanBookDeps {
  control: Database;
  clock: Clock;
  /** Plans of the configuration file, by id. */
  configured: Readonly<Record<string, PlanTerms>>;
}

interface PlanRow {
  id: string;
  version: number;
  terms: string;
}

/** Plan versions that operators may have made; more is a mistake. */
const MOST_VERSIONS = 1_000;

/** See the head of this file. */
export class PlanBook {
  private readonly deps: PlanBookDeps;
  private readonly fixed: readonly Plan[];

  constructor(deps: PlanBookDeps) {
    this.deps = deps;
    const plans = (entries: Readonly<Record<string, PlanDraft>>, origin: Plan["origin"]): Plan[] =>
      Object.entries(entries).map(([id, draft]) => {
        const terms = planSchema.parse(draft);
        return { id, version: terms.version, terms, origin };
      });
    this.fixed = [
      ...plans(deps.configured, "config"),
      ...plans(shipped.plans as Readonly<Record<string, PlanDraft>>, "shipped"),
    ];
  }

  /** The newest version of a plan that needs no database, or undefined; for the plan of whoever is on none. */
  findFixed(id: string): Plan | undefined {
    return newest(this.fixed.filter((plan) => plan.id === id));
  }

  /** All versions, by id, the newest first; of the same version the operator's counts before the file's. */
  async list(): Promise<Plan[]> {
    const rows = await this.deps.control.list<PlanRow>(
      "SELECT id, version, terms FROM plans ORDER BY id, version LIMIT ?",
      [MOST_VERSIONS],
    );
    const seen = new Set<string>();
    return [...rows.map(toPlan), ...this.fixed]
      .filter((plan) => {
        const key = `${plan.id} ${plan.version}`;
        return seen.has(key) ? false : seen.add(key);
      })
      .sort((left, right) => left.id.localeCompare(right.id) || right.version - left.version);
  }

  /**
   * Throws `invalid_request` when the configuration has other terms for a version than an operator made: who is on it
   * would depend on how they came to it. A version that comes with the product gives way to the operator's.
   */
  async assertDistinct(): Promise<void> {
    const all = await this.list();
    for (const { id, version, terms } of this.fixed.filter(({ origin }) => origin === "config")) {
      const same = all.filter((plan) => plan.id === id);
      const made = same.find((plan) => plan.version === version && plan.origin === "operator");
      if (made === undefined || JSON.stringify(made.terms) === JSON.stringify(terms)) continue;
      const free = (newest(same)?.version ?? version) + 1;
      throw new AppError(
        "invalid_request",
        `plans.list.${id}: an operator made version ${version} of this plan with other terms, and a version never changes. Write version: ${free}, or leave it out of the file.`,
      );
    }
  }

  /** A plan's version, or its newest; throws `not_found`. */
  async get(id: string, version?: number): Promise<Plan> {
    const found = (await this.list()).filter(
      (plan) => plan.id === id && (version === undefined || plan.version === version),
    );
    const plan = newest(found);
    if (plan === undefined) throw new AppError("not_found", "There is no such plan, or not in this version.");
    return plan;
  }

  /**
   * Add a version, the next one of its plan; throws `invalid_request`, `conflict` when another was added meanwhile.
   * @param knownVersion the newest version that the caller saw, 0 for none; `details` of the conflict say which it is
   * @param also what becomes durable with it, e.g. its record
   */
  async add(
    id: string,
    draft: PlanDraft,
    by: string,
    also: (made: Plan) => readonly Statement[] = () => [],
    knownVersion?: number,
  ): Promise<Plan> {
    if (!PLAN_ID.safeParse(id).success)
      throw new AppError("invalid_request", "A plan's id has 1 to 40 of a-z, 0-9 and dashes.");
    const all = await this.list();
    if (all.length >= MOST_VERSIONS)
      throw new AppError("limit_reached", `There are ${MOST_VERSIONS} plan versions.`);
    const last = newest(all.filter((plan) => plan.id === id))?.version ?? 0;
    if (knownVersion !== undefined && knownVersion !== last)
      throw new AppError("conflict", `The newest version of this plan is ${last} by now; look again.`, {
        details: { version: last },
      });
    const version = last + 1;
    const terms = planSchema.parse({ ...draft, version });
    const made: Plan = { id, version, terms, origin: "operator" };
    const outcome = await this.deps.control.write({
      statements: [
        {
          sql: "INSERT INTO plans (id, version, terms, made_at_ms, made_by) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
          params: [id, version, JSON.stringify(terms), this.deps.clock.nowMs(), by],
          expect: 1,
        },
        ...also(made),
      ],
    });
    if (!outcome.committed)
      throw new AppError("conflict", "Somebody else added a version of this plan; look again.", {
        details: { version },
      });
    return made;
  }
}

function toPlan(row: PlanRow): Plan {
  return { id: row.id, version: row.version, terms: readTerms(row.terms), origin: "operator" };
}

/** Terms as they were stored; fields that came later mean no limit. */
export function readTerms(text: string): PlanTerms {
  return planSchema.parse(JSON.parse(text));
}

function newest(plans: readonly Plan[]): Plan | undefined {
  return plans.reduce<Plan | undefined>(
    (best, plan) => (best === undefined || plan.version > best.version ? plan : best),
    undefined,
  );
}
