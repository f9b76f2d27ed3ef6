/** Comparisons with providers on the operators' surface over HTTP. Owns: those shapes. Refuses to know: what differs why. */
import { requestJson } from "./request.ts";

/** One difference by name: the provider's count less ours. */
export interface Finding {
  kind: string;
  model: string;
  calls: number;
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
}

/** A provider's day (UTC); `comparedAtMs` is null when it was not compared. */
export interface Night {
  provider: string;
  day: string;
  comparedAtMs: number | null;
  isWithin: boolean;
  findings: Finding[];
}

/** Why a key's usage is not compared at present, and when it is tried again. */
export interface Trouble {
  provider: string;
  failures: number;
  nextAtMs: number;
  lastError: string;
}

/** What is known of all comparisons. */
export interface Reconciliation {
  /** Those that are set up to tell their usage. */
  providers: string[];
  tolerance: { tokens: number; ratio: number };
  nights: Night[];
  troubles: Trouble[];
  /** Keys that tenants brought, and how many of them differed last night or cannot be compared now. */
  ownKeys: { keys: number; differing: number; failing: number };
}

const PATH = "/operator/api/reconciliation";

/** The last nights, the newest first. */
export function findReconciliation(): Promise<Reconciliation> {
  return requestJson("GET", PATH);
}

/** Compares one day at once. */
export function compareDay(provider: string, day: string): Promise<unknown> {
  return requestJson("POST", PATH, { provider, day });
}
