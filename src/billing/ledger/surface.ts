/**
 * Budgets and the ledger as tenants see them, over the protocol and by HTTP. Owns: the declared methods and routes.
 * Refuses to know: how lines are made.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import {
  type AuditedAct,
  defineMethod,
  describeIssues,
  looseResult,
  type Method,
} from "../../protocol/methods.ts";
import { defineTenantRoute, type Route } from "../../protocol/routes.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { BUDGET_SCOPES, type Budget, type BudgetKey } from "./budget.ts";
import type { Budgets } from "./budgets.ts";
import { type Ledger, LINE_KINDS, LINE_ORDERS } from "./ledger.ts";

/** What the surface needs. */
export interface LedgerSurfaceDeps {
  ledger: Ledger;
  budgets: Budgets;
  /** What people call whom a budget is for; undefined when there is nobody of that id in the tenant. */
  nameOf(scope: TenantScope, key: Pick<BudgetKey, "scope" | "scopeId">): Promise<string | undefined>;
  /** A limit was set, changed or taken away. */
  onBudgetSet(scope: TenantScope): void;
}

const MOST_MICROS = 1_000_000_000_000_000;
const NAMED_AT_ONCE = 200;

const budgetParams = z.object({
  scope: z.enum(BUDGET_SCOPES),
  scopeId: z.string().max(256).optional(),
  period: z.enum(["month", "total"]),
  limitMicros: z.int().min(0).max(MOST_MICROS).nullable(),
  /** As the caller saw it, null for none: another one now is a conflict. */
  knownLimitMicros: z.int().min(0).max(MOST_MICROS).nullable().optional(),
});
const lineParams = z.object({
  after: z.int().min(0).optional(),
  before: z.int().min(0).optional(),
  order: z.enum(LINE_ORDERS).optional(),
  runId: z.string().min(1).max(256).optional(),
  kind: z.enum(LINE_KINDS).optional(),
  from: z.int().min(0).optional(),
  to: z.int().min(0).optional(),
  limit: z.int().min(1).max(500).optional(),
});
const number = z
  .string()
  .regex(/^\d{1,15}$/, "must be a whole number")
  .transform(Number)
  .optional();
const lineQuery = z.object({
  ...{ after: number, before: number, from: number, to: number },
  limit: number.pipe(z.int().min(1).max(500).optional()),
  order: z.enum(LINE_ORDERS).optional(),
  run: z.string().min(1).max(256).optional(),
  kind: z.enum(LINE_KINDS).optional(),
});

const LIST_DOC =
  "The budgets of the organization, its people, agents and keys, with what counts against each now.";
const SET_DOC =
  "Set the limit of one budget in micro-units, or take it away with null. `scopeId` is empty for the organization. With `knownLimitMicros`, the limit as it was seen (null for none), another one by now is a `conflict`.";
const LEDGER_DOC =
  "Lines of the ledger in order, by run, kind and time (milliseconds), the oldest first or with `order` `newest` the newest; `next` is the `after` of the next page, or its `before` when the newest come first.";

/** Declare the methods. */
export function makeLedgerMethods(deps: LedgerSurfaceDeps): Method[] {
  return [
    defineMethod({
      name: "billing.budgets.list",
      scope: "operator.read",
      params: z.object({}),
      result: looseResult({ budgets: z.array(looseResult({ scope: z.string() })) }),
      cost: "read",
      doc: LIST_DOC,
      handler: (_params, { tenant }) => listBudgets(deps, tenant),
    }),
    defineMethod({
      name: "billing.budgets.set",
      scope: "operator.admin",
      params: budgetParams,
      result: looseResult({ ok: z.literal(true) }),
      cost: "write",
      doc: SET_DOC,
      audit: budgetAct,
      handler: (params, { tenant }) => setBudget(deps, tenant, params),
    }),
    defineMethod({
      name: "billing.ledger.list",
      scope: "operator.admin",
      params: lineParams,
      result: looseResult({ transfers: z.array(z.unknown()), next: z.int().nullable() }),
      cost: "read",
      doc: LEDGER_DOC,
      handler: ({ from, to, ...filter }, { tenant }) =>
        deps.ledger.list(tenant, { ...filter, fromMs: from, toMs: to }),
    }),
  ];
}

/** Declare the routes. */
export function makeLedgerRoutes(deps: LedgerSurfaceDeps): Route[] {
  return [
    defineTenantRoute({
      method: "GET",
      path: "/api/budgets",
      scope: "operator.read",
      body: null,
      doc: LIST_DOC,
      handler: async ({ tenant }) => ({ status: 200, body: await listBudgets(deps, tenant) }),
    }),
    defineTenantRoute({
      method: "PUT",
      path: "/api/budgets",
      scope: "operator.admin",
      body: budgetParams,
      doc: SET_DOC,
      audit: ({ body }) => budgetAct(body as z.output<typeof budgetParams>),
      handler: async ({ tenant, body }) => ({ status: 200, body: await setBudget(deps, tenant, body) }),
    }),
    defineTenantRoute({
      method: "GET",
      path: "/api/ledger",
      scope: "operator.admin",
      body: null,
      doc: LEDGER_DOC,
      async handler({ tenant, query }) {
        const asked = lineQuery.safeParse(query);
        if (!asked.success) throw new AppError("invalid_request", describeIssues(asked.error.issues));
        const { run, from, to, ...filter } = asked.data;
        return {
          status: 200,
          body: await deps.ledger.list(tenant, { ...filter, runId: run, fromMs: from, toMs: to }),
        };
      },
    }),
  ];
}

async function listBudgets({ budgets, nameOf }: LedgerSurfaceDeps, tenant: TenantScope) {
  const toNamed = async (budget: Budget) => ({
    ...budget,
    name: (await nameOf(tenant, budget)) ?? budget.scopeId,
  });
  const named: Awaited<ReturnType<typeof toNamed>>[] = [];
  for (const budget of await budgets.list(tenant)) {
    named.push(await toNamed(budget));
    // Each name is a look; of thousands of budgets others are served in between.
    if (named.length % NAMED_AT_ONCE === 0) await nextTurn();
  }
  return { budgets: named };
}

async function setBudget(
  { budgets, nameOf, onBudgetSet }: LedgerSurfaceDeps,
  tenant: TenantScope,
  { scope, scopeId = "", period, limitMicros, knownLimitMicros }: z.output<typeof budgetParams>,
): Promise<{ ok: true }> {
  const isKnown =
    scope === "tenant" || scopeId === "" || (await nameOf(tenant, { scope, scopeId })) !== undefined;
  // The budget of somebody who has gone can still be taken away.
  if (!isKnown && limitMicros !== null) throw new AppError("not_found", "There is nobody of that id here.");
  await budgets.set(tenant, { scope, scopeId, period }, limitMicros, knownLimitMicros);
  onBudgetSet(tenant);
  return { ok: true };
}

function budgetAct(params: z.output<typeof budgetParams>): AuditedAct {
  const { scope, scopeId = "", period, limitMicros } = params;
  const action = limitMicros === null ? "budget.removed" : "budget.set";
  return {
    action,
    target: { kind: "budget", id: `${scope}:${scopeId}:${period}` },
    details: { limitMicros },
  };
}
