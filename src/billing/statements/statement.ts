/**
 * What a monthly statement is. Owns: its form as JSON, its totals, money as text.
 * Refuses to know: where statements are kept, who reads them.
 */

/** One kind of usage of one month at one price. Amounts are micro-units of the statement's currency. */
export interface StatementLine {
  /** `adjustment` is usage of an earlier month that came after that month was closed. */
  kind: "usage" | "adjustment";
  /** `YYYY-MM`; the month that the usage belongs to. */
  forMonth: string;
  provider: string;
  model: string;
  /** Empty for calls of models. */
  toolName: string;
  /** Which price was applied, e.g. `book:2026-05-01`. */
  priceVersion: string;
  /** Whose key it was used with; what was used with the tenant's own is counted and not charged. */
  keyOwner: string;
  calls: number;
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
  /** Calls whose tokens the provider did not tell. */
  estimatedCalls: number;
  costMicros: number;
  chargedMicros: number;
}

/** A month of a tenant; `closed` ones never change. */
export interface Statement {
  tenant: { id: string; slug: string; name: string };
  /** `YYYY-MM` */
  month: string;
  state: "open" | "closed";
  currency: string;
  plan: string;
  timeZone: string;
  /** Wall-clock; null while it is open. */
  closedAtMs: number | null;
  /** The newest event that is counted. */
  throughSeq: number;
  /** Sorted: every price version that a line names. */
  priceVersions: string[];
  lines: StatementLine[];
  totals: { calls: number; costMicros: number; chargedMicros: number; adjustmentMicros: number };
  /** What is charged for the month. */
  totalMicros: number;
}

/** What all lines add up to. */
export function totalsOf(lines: readonly StatementLine[]): Statement["totals"] {
  const totals = { calls: 0, costMicros: 0, chargedMicros: 0, adjustmentMicros: 0 };
  for (const line of lines) {
    totals.calls += line.calls;
    totals.costMicros += line.costMicros;
    totals.chargedMicros += line.chargedMicros;
    if (line.kind === "adjustment") totals.adjustmentMicros += line.chargedMicros;
  }
  return totals;
}

/** Micro-units as an exact decimal, e.g. `-12.345678`; at least two digits after the point. */
export function showMicros(micros: number): string {
  const sign = micros < 0 ? "-" : "";
  const digits = String(Math.abs(micros)).padStart(7, "0");
  const fraction = digits.slice(-6).replace(/0{1,4}$/, "");
  return `${sign}${digits.slice(0, -6)}.${fraction}`;
}

/** The month after; `YYYY-MM`. */
export function nextMonth(month: string): string {
  const [year, number] = month.split("-").map(Number) as [number, number];
  return number === 12 ? `${year + 1}-01` : `${year}-${String(number + 1).padStart(2, "0")}`;
}

/** Whether the text is a month, e.g. not `2026-13`. */
export function isMonth(text: string): boolean {
  return /^(?:19|20|21)\d{2}-(?:0[1-9]|1[0-2])$/.test(text);
}
