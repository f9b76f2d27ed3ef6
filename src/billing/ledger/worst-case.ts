/**
 * What a call may cost at most. Owns: that upper bound. Refuses to know: budgets, where prices are from.
 */
import { AppError } from "../../kernel/errors.ts";
import type { Price } from "../pricing/price.ts";

/** More than any call takes or gives; what is above cannot be promised. */
const MOST_TOKENS = 100_000_000;

/**
 * Micro-units a call costs at most: every token of the question at the dearest price a token of a question can have,
 * every token of the ceiling at the dearest price of an answer, rounded up once as events are.
 * Throws `model_unpriced` when nobody knows what it costs, `output_unbounded` when its answer has no ceiling.
 */
export function worstCaseMicros(
  call: { model: string; inputTokens: number; maxOutputTokens: number | undefined },
  price: Price,
): number {
  if (price.origin === "unknown") {
    const message = `⚠️ ${call.model} has no price, so it cannot be used under a budget. Choose another model, or ask the operator to add its price.`;
    throw new AppError("model_unpriced", message, { details: { model: call.model } });
  }
  const { maxOutputTokens: ceiling } = call;
  if (ceiling === undefined || !Number.isSafeInteger(ceiling) || ceiling <= 0 || ceiling > MOST_TOKENS) {
    const message = `⚠️ ${call.model} has no limit for the length of its answers, so it cannot be used under a budget. Set maxTokens for it.`;
    throw new AppError("output_unbounded", message, { details: { model: call.model } });
  }
  const isCounted = Number.isFinite(call.inputTokens) && call.inputTokens >= 0;
  const input = isCounted ? Math.min(Math.ceil(call.inputTokens), MOST_TOKENS) : MOST_TOKENS;
  const asked = Math.max(price.input, price.cacheRead, price.cacheWrite);
  const answered = Math.max(price.output, price.reasoning ?? 0);
  const exact = BigInt(input) * BigInt(asked) + BigInt(ceiling) * BigInt(answered);
  return Number((exact + 999_999n) / 1_000_000n);
}
