/**
 * What a plan is and what its terms mean. Owns: the entity, which models it allows, the words of its refusals.
 * Refuses to know: where plans are kept, who is on one.
 */
import type { PlanTerms } from "../../config/plan-schema.ts";
import { AppError } from "../../kernel/errors.ts";

/** One version of a plan; a version never changes once somebody could be on it. */
export interface Plan {
  id: string;
  version: number;
  terms: PlanTerms;
  /** `shipped` with the product, from the `config` file, or made by an `operator`. */
  origin: "shipped" | "config" | "operator";
}

/** Whether the plan allows the model; `provider/*` stands for all models of a provider. */
export function allowsModel(terms: Pick<PlanTerms, "models">, provider: string, model: string): boolean {
  if (terms.models === null) return true;
  const ref = `${provider}/${model}`.toLowerCase();
  const all = `${provider}/*`.toLowerCase();
  return terms.models.some((allowed) => allowed.toLowerCase() === ref || allowed.toLowerCase() === all);
}

/** What somebody is told who asks for more than the plan holds; `what` names it in the plural. */
export function overPlan(plan: Pick<Plan, "id" | "terms">, what: string, limit: number): AppError {
  return new AppError(
    "plan_limit",
    `The plan "${plan.terms.name}" holds ${limit} ${what}. Remove one, or ask whoever runs the platform for a larger plan.`,
    { details: { plan: plan.id, limit, what } },
  );
}

/** The words for a model that the plan does not allow. */
export function modelRefused(plan: Pick<Plan, "id" | "terms">, ref: string): AppError {
  return new AppError(
    "plan_limit",
    `The plan "${plan.terms.name}" does not include the model ${ref.slice(0, 200)}. Choose one of: ${(plan.terms.models ?? []).slice(0, 10).join(", ") || "none"}.`,
    { details: { plan: plan.id, what: "model", model: ref.slice(0, 200), models: plan.terms.models ?? [] } },
  );
}
