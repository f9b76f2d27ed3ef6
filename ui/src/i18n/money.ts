/** Amounts in micro-units as text and back. Owns: digits and the Intl formats. Refuses to know: what is paid for. */

/** Formats of one currency. */
export interface Money {
  /** Rounded to the currency's smallest coin, or four digits for very small amounts. */
  show(micros: number): string;
  /** Without digits after the point. */
  whole(micros: number): string;
  /** As short as an axis needs it: `$1.2M`; small amounts as `show`. */
  short(micros: number): string;
  /** Every digit there is. */
  exact(micros: number): string;
}

/** Four digits before the point and two after it still fit. */
const SHORT_FROM = 10_000_000_000;

const DECIMAL = /^\s*(\d{1,9})(?:[.](\d{1,6}))?\s*$/;

/** Micro-units as a decimal with all digits; never through a fraction in binary. */
export function decimalOf(micros: number): `${number}` {
  const digits = String(Math.abs(micros)).padStart(7, "0");
  const sign = micros < 0 ? "-" : "";
  return `${sign}${digits.slice(0, -6)}.${digits.slice(-6)}` as `${number}`;
}

/** What somebody typed as micro-units; undefined when it is no amount. */
export function parseMicros(text: string): number | undefined {
  const [, whole, part = ""] = DECIMAL.exec(text) ?? [];
  return whole === undefined ? undefined : Number(whole) * 1_000_000 + Number(part.padEnd(6, "0"));
}

/** The formats of a currency in a language; plain numbers for a currency that nobody told. */
export function makeMoney(language: string, currency: string | undefined): Money {
  const format = (digits?: Intl.NumberFormatOptions) =>
    new Intl.NumberFormat(
      language,
      // A tenant has one currency, so that its plain sign says enough.
      currency === undefined
        ? digits
        : { style: "currency", currency, currencyDisplay: "narrowSymbol", ...digits },
    );
  const coarse = format({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const round = format({ maximumFractionDigits: 0 });
  const compact = format({ notation: "compact", maximumFractionDigits: 1 });
  const fine = format({ minimumFractionDigits: 4, maximumFractionDigits: 4 });
  const full = format({ minimumFractionDigits: 6, maximumFractionDigits: 6 });
  const show = (micros: number) =>
    (micros !== 0 && Math.abs(micros) < 100_000 ? fine : coarse).format(decimalOf(micros));
  return {
    show,
    short: (micros) => (Math.abs(micros) < SHORT_FROM ? show(micros) : compact.format(decimalOf(micros))),
    whole: (micros) => round.format(decimalOf(micros)),
    exact: (micros) => full.format(decimalOf(micros)),
  };
}
