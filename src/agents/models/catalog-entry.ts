/**
 * Models as people configure them, in OpenClaw's shape. Owns: the types.
 * Refuses to know: where they are kept.
 */
import type { ModelCost } from "./model.ts";

/** A model as configured, in OpenClaw's shape. */
export interface ModelEntry {
  id: string;
  name?: string | undefined;
  contextWindow?: number | undefined;
  maxTokens?: number | undefined;
  reasoning?: boolean | undefined;
  /** `text`, `image`. */
  input?: readonly string[] | undefined;
  cost?: ModelCost | undefined;
}

/** One entry of `models.providers` of the operator's configuration, with the secret already read. */
export interface PlatformProvider {
  baseUrl: string;
  apiKey?: string | undefined;
  /** Only `openai-completions` is served. */
  api?: string | undefined;
  models: readonly ModelEntry[];
}

/** What the operator offers to tenants. */
export interface PlatformModels {
  providers: Readonly<Record<string, PlatformProvider>>;
  /** `agents.defaults.model.primary`. */
  primary?: string | undefined;
}
