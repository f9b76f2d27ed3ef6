/** Amounts in the reader's language. Owns: the hook. Refuses to know: digits, what is paid for. */
import { useMemo } from "react";
import { type Money, makeMoney } from "./money.ts";
import { useSpeech } from "./words-context.tsx";

/** The formats of a currency in the reader's language. */
export function useMoney(currency: string | undefined): Money {
  const { language } = useSpeech();
  return useMemo(() => makeMoney(language, currency), [language, currency]);
}
