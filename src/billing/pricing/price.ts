/** A price of tokens, or of a tool's call. Owns: the types. Refuses to know: where prices are from, who pays. */

/** Prices in micro-units per million tokens. Integers, never negative. */
export interface Price {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  /** Of the answer's tokens those that were thought and not said; as `output` when absent. */
  reasoning?: number | undefined;
  /** Where it is from: `row:<number>` an operator's, perhaps with a margin as `+<hundredths of a percent>bp`; `config`, `free`, `book:<day>` the shipped table, `file:<version>/<day>` an operator's file, or `unknown` (all zero then). */
  origin: string;
}

/** What one call of a tool costs, micro-units; `origin` as above, or `uncharged`. */
export interface ToolPrice {
  micros: number;
  origin: string;
}

/** Of a call that is not charged, whether or not its tool has a price: it was not carried out, or failed by itself. */
export const UNCHARGED: ToolPrice = { micros: 0, origin: "uncharged" };
