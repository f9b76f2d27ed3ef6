/** A price of tokens. Owns: the type. Refuses to know: where prices are from, who pays. */

/** Prices in micro-units per million tokens. Integers, never negative. */
export interface Price {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  /** Of the answer's tokens those that were thought and not said; as `output` when absent. */
  reasoning?: number | undefined;
  /** Where it is from: `row:<number>` an operator's, perhaps with a margin as `+<hundredths of a percent>bp`; `config`, `free`, `book:<day>` or `unknown` (all zero then). */
  origin: string;
}
