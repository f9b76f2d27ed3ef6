/** Dates in the tenant's own time zone. Owns: the hook. Refuses to know: what ends or begins then. */
import { useMemo } from "react";
import { useSpeech } from "../i18n/words-context.tsx";

/** Days as text; `before` is the last day of what ends at an instant. */
export function useDays(timeZone: string): { of(ms: number): string; before(ms: number): string } {
  const { language } = useSpeech();
  return useMemo(() => {
    const day = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone });
    return {
      of: (ms) => day.format(new Date(ms)),
      before: (ms) => day.format(new Date(ms - 1)),
    };
  }, [language, timeZone]);
}
