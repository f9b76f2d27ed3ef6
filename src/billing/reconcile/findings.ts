/**
 * What two counts of the same day say differently, by name. Owns: telling the reasons apart, the tolerance.
 * Refuses to know: where counts come from.
 *
 * Each reason leaves a mark of its own: a usage chunk that was lost leaves calls of ours that are estimated; a call that
 * was made again leaves one more call at the provider than here; tokens from a cache leave the same input and another
 * share of it that was cached. What none of them explains is named as such.
 */
import type { ProviderDay } from "./provider-usage.ts";

/** Our own count of one model; input contains what was read from and written to a cache. */
export interface OwnDay {
  model: string;
  /** Calls that came to something; failed ones without tokens are not in it. */
  calls: number;
  /** Of these, whose tokens the provider did not tell. */
  estimatedCalls: number;
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
}

/** Why counts differ. */
export type FindingKind =
  | "usage_chunk_dropped"
  | "retried_calls"
  | "cache_tokens"
  | "calls_unknown_to_provider"
  | "tokens_differ";

/** One difference: the provider's count less ours. */
export interface Finding {
  kind: FindingKind;
  model: string;
  calls: number;
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
}

/** What may differ without anybody having to look: the greater of both, in tokens of a model and day. */
export interface Tolerance {
  tokens: number;
  ratio: number;
}

/** Half a percent, for calls around midnight. */
export const TOLERANCE: Tolerance = { tokens: 1_000, ratio: 0.005 };

/** All differences of a day, and whether they are within the tolerance. */
export function compareDay(
  theirs: readonly ProviderDay[],
  ours: readonly OwnDay[],
  tolerance: Tolerance,
): { findings: Finding[]; isWithin: boolean } {
  const models = [...new Set([...theirs, ...ours].map(({ model }) => model))].sort();
  let isWithin = true;
  const findings = models.flatMap((model) => {
    const their = theirs.find((one) => one.model === model) ?? none(model);
    const own = ours.find((one) => one.model === model) ?? { ...none(model), estimatedCalls: 0 };
    const off =
      Math.abs(their.inputTokens - own.inputTokens) +
      Math.abs(their.outputTokens - own.outputTokens) +
      Math.abs(their.cachedTokens - own.cachedTokens);
    const allowed = Math.max(tolerance.tokens, tolerance.ratio * (their.inputTokens + their.outputTokens));
    if (off > allowed) isWithin = false;
    return compareModel(their, own);
  });
  return { findings, isWithin };
}

function compareModel(their: ProviderDay, own: OwnDay): Finding[] {
  const off = {
    model: own.model,
    calls: their.calls - own.calls,
    inputTokens: their.inputTokens - own.inputTokens,
    cachedTokens: their.cachedTokens - own.cachedTokens,
    outputTokens: their.outputTokens - own.outputTokens,
  };
  const findings: Finding[] = [];
  const without = { inputTokens: 0, cachedTokens: 0, outputTokens: 0 };
  const isOff = off.inputTokens !== 0 || off.outputTokens !== 0;
  if (off.calls > 0) findings.push({ ...off, ...without, kind: "retried_calls" });
  if (off.calls < 0) findings.push({ ...off, ...without, kind: "calls_unknown_to_provider" });
  if (own.estimatedCalls > 0 && isOff)
    findings.push({ ...off, ...without, kind: "usage_chunk_dropped", calls: own.estimatedCalls });
  if (off.cachedTokens !== 0)
    findings.push({ ...off, ...without, kind: "cache_tokens", calls: 0, cachedTokens: off.cachedTokens });
  if (!isOff) return findings;
  // One reason carries the tokens; with several nobody can say how many are whose, and the first one carries them.
  const carrier = findings.find(({ kind }) => kind !== "cache_tokens");
  const { inputTokens, outputTokens } = off;
  if (carrier === undefined)
    findings.push({ ...off, ...without, kind: "tokens_differ", calls: 0, inputTokens, outputTokens });
  else Object.assign(carrier, { inputTokens, outputTokens });
  return findings;
}

function none(model: string): ProviderDay {
  return { model, calls: 0, inputTokens: 0, cachedTokens: 0, outputTokens: 0 };
}
