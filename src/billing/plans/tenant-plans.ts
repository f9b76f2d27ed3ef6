/**
 * Which plan holds for a tenant now, and whether its turns are stopped. Owns: pins with their dates, the breaker's
 * state, a bounded memory of both for those who ask on every request. Refuses to know: what is enforced with it.
 *
 * Nothing is kept for tenants that nobody asks about; what is kept is at most `FRESH_MS` old, which is how long a
 * change made by another process takes to arrive. A change made here counts at once.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import type { Plan } from "./plan.ts";
import { type PlanBook, readTerms } from "./plan-book.ts";

/** What holds for a tenant at a moment. */
export interface Standing {
  plan: Plan;
  /** When another plan takes over, wall-clock; null when none is set. */
  untilMs: number | null;
  /** Why no turns begin, or null. */
  breaker: { reason: string; sinceMs: number } | null;
}

/** A plan from a moment on. */
export interface Pin {
  plan: string;
  version: number;
  fromMs: number;
}

/** What this needs. */
export interface TenantPlansDeps {
  control: Database;
  clock: Clock;
  book: PlanBook;
  /** Plan of tenants that are on none. */
  defaultPlan: string;
  /** What becomes durable with the stopping of a tenant's turns. */
  alsoOnStop?: (tenantId: TenantId, reason: string, sinceMs: number) => readonly Statement[];
}

const FRESH_MS = 5_000;
const MOST_KEPT = 10_000;
/** Pins that are shown, the latest; how many there are matters to nothing else. */
const SHOWN_PINS = 100;

/** The plan that holds for a row of `tenants`; parameters: now, the plan of those that are on none. */
const LABEL = `coalesce((SELECT p.plan FROM tenant_plans p WHERE p.tenant_id = tenants.id AND p.from_ms <= ?
  ORDER BY p.from_ms DESC LIMIT 1), ?)`;

interface Kept {
  standing: Standing;
  readAtMs: number;
}

interface PinRow {
  plan: string;
  version: number;
  terms: string;
}

/** See the head of this file. */
export class TenantPlans {
  private readonly deps: TenantPlansDeps;
  private fallback: Plan;
  private readonly kept = new Map<TenantId, Kept>();
  private readonly asked = new Map<TenantId, Promise<Standing>>();

  /** Throws `invalid_request` when the default plan is not there. */
  constructor(deps: TenantPlansDeps) {
    this.deps = deps;
    const fallback = deps.book.findFixed(deps.defaultPlan);
    if (fallback === undefined)
      throw new AppError("invalid_request", `plans.default: there is no plan "${deps.defaultPlan}".`);
    this.fallback = fallback;
  }

  /** The plan of tenants that are on none. */
  get fallbackPlan(): Plan {
    return this.fallback;
  }

  /** The currency of prices here and of every plan that a tenant can be put on: that of the default plan. */
  get currency(): string {
    return this.fallback.terms.currency;
  }

  /**
   * Let those who decide inside a commit know the plan of tenants that are on none, and let every tenant's row name the
   * plan that holds for it. A label of an operator's own, which names no plan, stays. Throws `invalid_request` when the
   * configuration has other terms for a version that operators made.
   */
  async begin(): Promise<void> {
    await this.deps.book.assertDistinct();
    const plans = await this.deps.book.list();
    const { id, version } = this.fallback;
    // What was made here under the number of a version that comes with the product is what tenants are put on.
    this.fallback = plans.find((plan) => plan.id === id && plan.version === version) ?? this.fallback;
    const { terms } = this.fallback;
    const known = JSON.stringify(plans.map((plan) => plan.id));
    const nowMs = this.deps.clock.nowMs();
    await this.deps.control.write({
      statements: [
        {
          sql: `INSERT INTO default_plan (one, plan, terms) VALUES (1, ?, ?)
            ON CONFLICT DO UPDATE SET plan = excluded.plan, terms = excluded.terms`,
          params: [id, JSON.stringify(terms)],
        },
        {
          sql: `UPDATE tenants SET plan = ${LABEL} WHERE plan <> ${LABEL} AND (plan IN (SELECT value FROM json_each(?))
            OR EXISTS (SELECT 1 FROM tenant_plans p WHERE p.tenant_id = tenants.id AND p.from_ms <= ?))`,
          params: [nowMs, id, nowMs, id, known, nowMs],
        },
      ],
    });
  }

  /** What is known without waiting, or undefined: then ask `of`. */
  peek(tenantId: TenantId): Standing | undefined {
    const kept = this.kept.get(tenantId);
    if (kept === undefined || this.deps.clock.monotonicMs() - kept.readAtMs > FRESH_MS) return undefined;
    return kept.standing;
  }

  /** What was known last, however old: for work that goes on and must not wait. Undefined when nothing is remembered. */
  recall(tenantId: TenantId): Standing | undefined {
    return this.kept.get(tenantId)?.standing;
  }

  /** What holds for a tenant now; asked of the store once for all who wait. */
  async of(tenantId: TenantId): Promise<Standing> {
    const known = this.peek(tenantId);
    if (known !== undefined) return known;
    const open = this.asked.get(tenantId);
    if (open !== undefined) return open;
    const asked = this.read(tenantId).finally(() => {
      if (this.asked.get(tenantId) === asked) this.asked.delete(tenantId);
    });
    this.asked.set(tenantId, asked);
    return asked;
  }

  /** Pins of a tenant, the latest first, at most a hundred. */
  async listPins(tenantId: TenantId): Promise<Pin[]> {
    return this.deps.control.list<Pin>(
      `SELECT plan, version, from_ms AS fromMs FROM tenant_plans WHERE tenant_id = ? ORDER BY from_ms DESC LIMIT ?`,
      [tenantId, SHOWN_PINS],
    );
  }

  /** Name of the plan that held for a tenant at a moment; for a tenant that was never put on one, what its row says. */
  async nameAt({ id, plan }: Pick<Tenant, "id" | "plan">, atMs: number): Promise<string> {
    const row = await this.deps.control.find<{ held: string | null; isPinned: number }>(
      `SELECT (SELECT plan FROM tenant_plans WHERE tenant_id = ? AND from_ms <= ? ORDER BY from_ms DESC LIMIT 1) AS held,
        EXISTS (SELECT 1 FROM tenant_plans WHERE tenant_id = ?) AS isPinned`,
      [id, atMs, id],
    );
    return row?.held ?? (row?.isPinned === 1 ? this.fallback.id : plan);
  }

  /**
   * A plan's version, or its newest, that tenants can be put on. Throws `not_found` for one that is not there,
   * `invalid_request` for one in another currency.
   */
  async choose(id: string, version?: number): Promise<Plan> {
    const plan = await this.deps.book.get(id, version);
    // SECURITY: prices and lines carry no currency of their own; in another one every amount would mean something else.
    const { currency } = this;
    if (plan.terms.currency !== currency)
      throw new AppError(
        "invalid_request",
        `This plan is in ${plan.terms.currency}; prices here, and plans with them, are in ${currency} (plans.default).`,
      );
    return plan;
  }

  /**
   * Put a tenant on a plan from a moment on (now, when it is past); pins set for later than that fall away. Throws as
   * `choose` does, and `not_found` for a tenant that is not there.
   */
  async pin(
    tenantId: TenantId,
    wanted: { plan: string; version?: number | undefined; fromMs: number },
    by: string,
    also: (pinned: Pin) => readonly Statement[] = () => [],
  ): Promise<Pin> {
    const plan = await this.choose(wanted.plan, wanted.version);
    const nowMs = this.deps.clock.nowMs();
    const fromMs = Math.max(wanted.fromMs, nowMs);
    const pin = { plan: plan.id, version: plan.version, fromMs };
    const outcome = await this.deps.control.write({
      statements: [
        { sql: "DELETE FROM tenant_plans WHERE tenant_id = ? AND from_ms >= ?", params: [tenantId, fromMs] },
        {
          sql: `INSERT INTO tenant_plans (tenant_id, from_ms, plan, version, terms, set_at_ms, set_by)
            SELECT id, ?, ?, ?, ?, ?, ? FROM tenants WHERE id = ?`,
          params: [fromMs, plan.id, plan.version, JSON.stringify(plan.terms), nowMs, by, tenantId],
          expect: 1,
        },
        // The tenant's own row shows the plan's name to whoever lists tenants.
        {
          sql: "UPDATE tenants SET plan = ? WHERE id = ? AND ? <= ?",
          params: [plan.id, tenantId, fromMs, nowMs],
        },
        ...also(pin),
      ],
    });
    this.forget(tenantId);
    if (!outcome.committed) throw new AppError("not_found", "There is no such tenant.");
    return pin;
  }

  /** Let no turn of the tenant begin until `resume`. The first reason stands. */
  async stop(tenantId: TenantId, reason: string): Promise<boolean> {
    const sinceMs = this.deps.clock.nowMs();
    const words = reason.slice(0, 500);
    const outcome = await this.deps.control.write({
      statements: [
        {
          sql: "INSERT INTO tenant_breakers (tenant_id, reason, since_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
          params: [tenantId, words, sinceMs],
          expect: 1,
        },
        ...(this.deps.alsoOnStop?.(tenantId, words, sinceMs) ?? []),
      ],
    });
    this.forget(tenantId);
    return outcome.committed;
  }

  /** Let turns begin again; false when they were not stopped. */
  async resume(tenantId: TenantId): Promise<boolean> {
    const outcome = await this.deps.control.write({
      statements: [{ sql: "DELETE FROM tenant_breakers WHERE tenant_id = ?", params: [tenantId], expect: 1 }],
    });
    this.forget(tenantId);
    return outcome.committed;
  }

  /** Read anew the next time. */
  forget(tenantId: TenantId): void {
    this.kept.delete(tenantId);
    this.asked.delete(tenantId);
  }

  private async read(tenantId: TenantId): Promise<Standing> {
    const nowMs = this.deps.clock.nowMs();
    const readAtMs = this.deps.clock.monotonicMs();
    const { control } = this.deps;
    const current = await control.find<PinRow>(
      "SELECT plan, version, terms FROM tenant_plans WHERE tenant_id = ? AND from_ms <= ? ORDER BY from_ms DESC LIMIT 1",
      [tenantId, nowMs],
    );
    const next = await control.find<{ from_ms: number }>(
      "SELECT from_ms FROM tenant_plans WHERE tenant_id = ? AND from_ms > ? ORDER BY from_ms LIMIT 1",
      [tenantId, nowMs],
    );
    const stopped = await control.find<{ reason: string; since_ms: number }>(
      "SELECT reason, since_ms FROM tenant_breakers WHERE tenant_id = ?",
      [tenantId],
    );
    if (current !== undefined) await this.label(tenantId, current.plan);
    const standing: Standing = {
      plan: current === undefined ? this.fallback : planOf(current),
      untilMs: next?.from_ms ?? null,
      breaker: stopped === undefined ? null : { reason: stopped.reason, sinceMs: stopped.since_ms },
    };
    // ORDER: only what was asked for last is kept; a change in between has taken our place out.
    if (this.asked.has(tenantId)) this.keep(tenantId, { standing, readAtMs });
    return standing;
  }

  /** A plan set for a later day has begun: the tenant's own row says so from now on. */
  private async label(tenantId: TenantId, plan: string): Promise<void> {
    const row = await this.deps.control.find<{ plan: string }>("SELECT plan FROM tenants WHERE id = ?", [
      tenantId,
    ]);
    if (row === undefined || row.plan === plan) return;
    await this.deps.control.write({
      statements: [{ sql: "UPDATE tenants SET plan = ? WHERE id = ?", params: [plan, tenantId] }],
    });
  }

  private keep(tenantId: TenantId, kept: Kept): void {
    this.kept.delete(tenantId);
    this.kept.set(tenantId, kept);
    if (this.kept.size <= MOST_KEPT) return;
    const [oldest] = this.kept.keys();
    if (oldest !== undefined) this.kept.delete(oldest);
  }
}

function planOf(row: PinRow): Plan {
  return { id: row.plan, version: row.version, terms: readTerms(row.terms), origin: "operator" };
}
