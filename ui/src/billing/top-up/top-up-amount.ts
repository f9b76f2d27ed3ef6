/** What somebody wants to pay. Owns: which amounts can be paid, suggestions. Refuses to know: how it is paid. */
import { parseMicros } from "../../i18n/money.ts";

/** Why an amount cannot be paid. */
export type AmountFault = "not_amount" | "too_fine" | "too_small" | "too_large";

/** What a text means: micro-units that can be paid, or why not. */
export type TopUpAmount = { micros: number; fault?: never } | { micros?: never; fault: AmountFault };

/** Micro-units of the smallest coin: no currency here has a smaller one. */
const COIN_MICROS = 10_000;

const SUGGESTED: Readonly<Record<string, readonly number[]>> = {
  CNY: [50, 100, 500, 1_000],
};
const SUGGESTED_ELSE = [10, 25, 100, 500];

/** Reads an amount; whole coins between the least and the most. */
export function readTopUp(text: string, bounds: { minMicros: number; maxMicros: number }): TopUpAmount {
  const micros = parseMicros(text);
  if (micros === undefined) return { fault: "not_amount" };
  if (micros % COIN_MICROS !== 0) return { fault: "too_fine" };
  if (micros < bounds.minMicros) return { fault: "too_small" };
  return micros > bounds.maxMicros ? { fault: "too_large" } : { micros };
}

/** Whole amounts of the currency that people often choose. */
export function suggestTopUps(currency: string): readonly number[] {
  return SUGGESTED[currency] ?? SUGGESTED_ELSE;
}
