/** What prices would have changed in the last 30 days, said before they are set. Owns: asking, the sentence. Refuses to know: forms. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { type PriceWish, tryPrices } from "../../http/operator-prices.ts";
import { makeMoney } from "../../i18n/money.ts";
import { useSpeech } from "../../i18n/words-context.tsx";
import { Problem } from "../../parts/states.tsx";

const PAUSE_MS = 400;

/** The value once nobody has changed it for a moment. */
function useRested<T>(value: T): { rested: T; isResting: boolean } {
  const text = JSON.stringify(value);
  const [rested, setRested] = useState({ text, value });
  useEffect(() => {
    const timer = setTimeout(() => setRested({ text, value: JSON.parse(text ?? "null") }), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return { rested: rested.value, isResting: rested.text === text };
}

/** The sentence; `wish` is null while something is missing. */
export function PriceTrial(props: { wish: PriceWish | null; currency: string }) {
  const { words, language } = useSpeech();
  const m = words.operatorMoney;
  const { rested, isResting } = useRested(props.wish);
  const trial = useQuery({
    queryKey: ["operator", "price-trial", rested],
    queryFn: () => tryPrices(rested ?? {}),
    enabled: rested !== null && props.wish !== null,
    retry: false,
  });
  const money = makeMoney(language, props.currency);
  const effect = props.wish === null || !isResting ? undefined : trial.data?.[0];
  const percent = new Intl.NumberFormat(language, {
    ...{ style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero" },
  });
  const text = (): string => {
    if (props.wish === null) return m.trialMissing;
    if (effect === undefined) return "…";
    const { tenants, beforeMicros, afterMicros } = effect;
    if (tenants === 0) return m.trialNone;
    const said = m.trial(money.show(beforeMicros), money.show(afterMicros), tenants);
    const change = percent.format((afterMicros - beforeMicros) / Math.max(1, beforeMicros));
    return [
      said,
      ...(beforeMicros === 0 ? [] : [m.trialChange(change)]),
      ...(effect.kind === "storage" ? [m.byKeptNow] : []),
    ].join(language === "en" ? " " : "");
  };
  if (trial.isError && props.wish !== null && isResting) return <Problem compact error={trial.error} />;
  return (
    <p role="status" className="rounded-medium bg-sunk px-4 py-3 text-m text-ink-2">
      {text()}
    </p>
  );
}
