/**
 * The port to whatever counts calls. Owns: the contract. Refuses to know: what is counted, which number is too many.
 */

/** What a key stands at. */
export interface Count {
  /** Points of the window that is open, these included. */
  total: number;
  /** Milliseconds until the window ends and the count begins anew. */
  resetMs: number;
}

/** Counts points by key in windows of a minute, which begin with a key's first point. */
export interface Counter {
  /** Add points to a key and say what it stands at. */
  add(key: string, points: number): Promise<Count>;
  /** Take points back that turned out not to count. */
  giveBack(key: string, points: number): Promise<void>;
}
