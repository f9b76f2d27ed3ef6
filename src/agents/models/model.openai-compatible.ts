/**
 * Models behind an OpenAI-compatible endpoint: OpenAI, DashScope/Qwen, DeepSeek, Ollama and many more.
 * Owns: one call. Refuses to know: tenants, retries, the environment of the process.
 *
 * SECURITY: the key and the address come as arguments and from nowhere else; without a key no Authorization is sent.
 */
import type { LanguageModelV4, LanguageModelV4StreamPart, LanguageModelV4Usage } from "@ai-sdk/provider";
import { AppError } from "../../kernel/errors.ts";
import type { ModelUsage } from "../../protocol/message.ts";
import { failureOfStatus, modelFailure } from "./failure.ts";
import type { ModelEvent, ModelFailure, ModelProvider, ModelRequest } from "./model.ts";
import { toCallOptions } from "./prompt-parts.ts";

/** One endpoint and how to speak to it. */
export interface OpenAiCompatibleOptions {
  /** Shown in errors. */
  providerId: string;
  /** With the path, e.g. `https://api.openai.com/v1`. */
  baseUrl: string;
  /** Undefined for endpoints that need none. Never empty. */
  apiKey: string | undefined;
  keyOwner: "tenant" | "platform";
  /** The guarded fetch. */
  fetch: typeof fetch;
}

type LanguageModel = Pick<LanguageModelV4, "doStream">;

/** Longest pause a provider may ask for that we believe. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;

/** See the head of this file. */
export class OpenAiCompatibleModel implements ModelProvider {
  private readonly options: OpenAiCompatibleOptions;
  /** By model id; making one builds the schemas of its answers, which costs as much as a short answer. */
  private readonly models = new Map<string, Promise<LanguageModel>>();

  constructor(options: OpenAiCompatibleOptions) {
    this.options = options;
  }

  async *stream(request: ModelRequest): AsyncGenerator<ModelEvent> {
    const model = await this.load(request.modelId);
    if (request.signal.aborted) throw this.unasked(request.modelId);
    let hasBegun = false;
    try {
      const { stream } = await model.doStream(toCallOptions(request));
      for await (const part of stream) {
        if (part.type === "error" && !isHarmless(part.error)) throw part.error;
        const event = toEvent(part);
        if (event === undefined) continue;
        hasBegun = true;
        yield event;
      }
    } catch (thrown) {
      // An answer that refuses is a refusal, also when the stop came just then.
      if (request.signal.aborted && !isRefusal(thrown)) throw request.signal.reason;
      throw this.failure(request.modelId, thrown, hasBegun);
    }
  }

  private load(modelId: string): Promise<LanguageModel> {
    let model = this.models.get(modelId);
    if (model === undefined) {
      model = this.makeModel(modelId);
      this.models.set(modelId, model);
    }
    return model;
  }

  private async makeModel(modelId: string): Promise<LanguageModel> {
    // Loaded on first use: an idle process should stay small.
    const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
    const { baseUrl, apiKey, fetch } = this.options;
    const isOpenAi = URL.parse(baseUrl)?.hostname === "api.openai.com";
    const provider = createOpenAICompatible({
      name: "creel",
      baseURL: baseUrl,
      ...(apiKey === undefined ? {} : { apiKey }),
      includeUsage: true,
      fetch: (url, init) => fetch(url, { ...init, headers: ownHeaders(init?.headers) }),
      // OpenAI's newer models refuse the old name of the limit; others do not know the new one.
      transformRequestBody: ({ max_tokens, ...body }) =>
        max_tokens === undefined
          ? body
          : { ...body, [isOpenAi ? "max_completion_tokens" : "max_tokens"]: max_tokens },
    });
    return provider(modelId);
  }

  /** Stopped before anything was sent. */
  private unasked(model: string): AppError {
    const { providerId: provider, keyOwner } = this.options;
    return modelFailure({ provider, model, keyOwner, failure: "unreachable" });
  }

  private failure(model: string, thrown: unknown, hasBegun: boolean): AppError {
    const { providerId: provider, keyOwner } = this.options;
    const facts = { provider, model, keyOwner, cause: thrown };
    const egress = findEgress(thrown);
    if (egress !== undefined) {
      const failure = EGRESS_FAILURES[String(egress.details?.["reason"])];
      const isCut = hasBegun && failure === "unreachable";
      if (failure !== undefined) return modelFailure({ ...facts, failure: isCut ? "interrupted" : failure });
      return new AppError(
        "egress_refused",
        `⚠️ ${provider}/${model} request failed: ${egress.publicMessage}`,
        {
          details: { provider, model, failure: "unreachable" },
          cause: thrown,
        },
      );
    }
    const { statusCode, responseBody, responseHeaders } = thrown as {
      statusCode?: number;
      responseBody?: string;
      responseHeaders?: Record<string, string>;
    };
    if (statusCode !== undefined && isRefusal(thrown)) {
      const body = (responseBody ?? "").slice(0, 10_000);
      return modelFailure({
        ...facts,
        failure: failureOfStatus(statusCode, body),
        httpStatus: statusCode,
        said: saidIn(body),
        retryAfterMs: readRetryAfter(responseHeaders?.["retry-after"]),
      });
    }
    return modelFailure({ ...facts, failure: isBrokenOff(thrown) ? "interrupted" : "format" });
  }
}

const EGRESS_FAILURES: Readonly<Record<string, ModelFailure>> = {
  timeout: "timeout",
  unreachable: "unreachable",
  too_large: "format",
  redirects: "not_found",
};

function isRefusal(thrown: unknown): boolean {
  const { statusCode } = thrown as { statusCode?: number };
  return statusCode !== undefined && statusCode >= 300;
}

function toEvent(part: LanguageModelV4StreamPart): ModelEvent | undefined {
  if (part.type === "text-delta") return { type: "text", delta: part.delta };
  if (part.type === "reasoning-delta") return { type: "reasoning", delta: part.delta };
  if (part.type === "tool-input-start") return { type: "tool_input", id: part.id, delta: part.toolName };
  if (part.type === "tool-input-delta") return { type: "tool_input", id: part.id, delta: part.delta };
  if (part.type === "tool-call") {
    return { type: "tool_call", id: part.toolCallId, name: part.toolName, argsText: part.input };
  }
  if (part.type !== "finish") return undefined;
  const reason = part.finishReason.unified;
  const stopReason = reason === "length" ? "length" : reason === "tool-calls" ? "toolUse" : "stop";
  return { type: "finish", stopReason, usage: toUsage(part.usage) };
}

/** What the provider says, as it says it; what of it can be true is for whoever settles the call. */
function toUsage(usage: LanguageModelV4Usage): ModelUsage | null {
  const input = usage.inputTokens.total;
  const output = usage.outputTokens.total;
  // No question has no tokens: zero means that nothing was counted.
  if (usage.raw === undefined || input === undefined || input === 0 || output === undefined) return null;
  const cacheReadTokens = usage.inputTokens.cacheRead ?? 0;
  const { reasoning: reasoningTokens } = usage.outputTokens;
  return {
    inputTokens: input - cacheReadTokens,
    outputTokens: output,
    cacheReadTokens,
    cacheWriteTokens: 0,
    ...(reasoningTokens === undefined || reasoningTokens === 0 ? {} : { reasoningTokens }),
    isExact: true,
  };
}

/** A malformed count at the end must not spoil an answer that arrived whole; the count is then estimated. */
function isHarmless(error: unknown): boolean {
  const { name, value } = error as { name?: unknown; value?: { choices?: unknown; usage?: unknown } };
  return (
    name === "AI_TypeValidationError" &&
    value?.usage !== undefined &&
    Array.isArray(value.choices) &&
    value.choices.length === 0
  );
}

function findEgress(thrown: unknown): AppError | undefined {
  for (let cause = thrown; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof AppError && cause.code === "egress_refused") return cause;
  }
  return undefined;
}

function isBrokenOff(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.message.includes("without a finish reason");
}

function saidIn(body: string): string | undefined {
  const found = /"message"\s*:\s*"((?:[^"\\]|\\.){1,400})/.exec(body);
  return found?.[1]?.replace(/\\./g, " ");
}

/** Seconds, or a date, which is not believed: clocks differ. */
function readRetryAfter(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,9}(\.\d+)?$/.test(text)) return undefined;
  return Math.min(Number(text) * 1_000, LONGEST_RETRY_AFTER_MS);
}

/** SECURITY: the SDK adds versions of itself and of our runtime; strangers need not know them. */
function ownHeaders(given: RequestInit["headers"]): Headers {
  const headers = new Headers(given);
  headers.set("user-agent", "creel");
  return headers;
}
