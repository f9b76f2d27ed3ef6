/** The port to what a provider counted itself. Owns: the contract. Refuses to know: endpoints, our own counts. */

/** One model on one day of UTC; input contains what came from the provider's cache. */
export interface ProviderDay {
  model: string;
  calls: number;
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
}

/** Asks a provider what it counted for one key. Throws `provider_failed` when it does not tell, the signal's reason when aborted. */
export interface ProviderUsage {
  read(day: { startMs: number; endMs: number }, signal?: AbortSignal): Promise<ProviderDay[]>;
}
