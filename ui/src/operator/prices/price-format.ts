/** Prices and margins as people read them. Owns: digits. Refuses to know: what is priced. */
import { useMemo } from "react";
import { decimalOf } from "../../i18n/money.ts";
import { useSpeech } from "../../i18n/words-context.tsx";

/** Formats of prices. */
export interface PriceFormat {
  /** Every digit that says something, and at least two. */
  price(micros: number): string;
  /** Hundredths of a percent as a percentage. */
  margin(basisPoints: number): string;
}

/** The formats of a currency in the reader's language. */
export function usePriceFormat(currency: string): PriceFormat {
  const { language } = useSpeech();
  return useMemo(() => {
    const price = new Intl.NumberFormat(language, {
      ...{ style: "currency", currency, currencyDisplay: "narrowSymbol" },
      ...{ minimumFractionDigits: 2, maximumFractionDigits: 6 },
    });
    const margin = new Intl.NumberFormat(language, {
      ...{ style: "percent", maximumFractionDigits: 2, signDisplay: "exceptZero" },
    });
    return {
      price: (micros) => price.format(decimalOf(micros)),
      // Four digits further right than micro-units are, and so as exact.
      margin: (basisPoints) => margin.format(decimalOf(basisPoints * 100)),
    };
  }, [language, currency]);
}
