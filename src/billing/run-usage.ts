/**
 * What one run used. Owns: its sum over all calls of models, from the events it is billed by.
 * Refuses to know: who asks, how a run went.
 */
import type { TenantScope } from "../tenancy/scoped.ts";

/** Tokens of all calls of a run, summaries and earlier attempts included. */
export interface RunUsage {
  /** With those that were read from a cache or written to it. */
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
  /** Of `outputTokens` those that were thought and not said. */
  reasoningTokens: number;
}

/** Sum what a run used until now; all zero for one that used nothing. */
export async function readRunUsage(scope: TenantScope, runId: string): Promise<RunUsage> {
  const row = await scope.db.find<RunUsage>(
    `SELECT coalesce(sum(input_tokens + cache_read_tokens + cache_write_tokens), 0) AS inputTokens,
        coalesce(sum(cache_read_tokens), 0) AS cachedTokens, coalesce(sum(output_tokens), 0) AS outputTokens,
        coalesce(sum(reasoning_tokens), 0) AS reasoningTokens
      FROM usage_events WHERE run_id = ? AND kind = 'model'`,
    [runId],
  );
  return row ?? { inputTokens: 0, cachedTokens: 0, outputTokens: 0, reasoningTokens: 0 };
}
