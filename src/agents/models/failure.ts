/**
 * Saying why a model did not answer. Owns: the classes of failure and their friendly words.
 * Refuses to know: which library failed. No word of it ever holds a key.
 */
import { AppError } from "../../kernel/errors.ts";
import type { ModelFailure } from "./model.ts";

/** What is known about a failure. */
export interface FailureFacts {
  provider: string;
  model: string;
  failure: ModelFailure;
  httpStatus?: number | undefined;
  /** What the provider said, to be filtered; only passed on where the reader owns the provider. */
  said?: string | undefined;
  /** Whether the key is the reader's own, or the operator's. */
  keyOwner: "tenant" | "platform" | "none";
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

const WORDS: Record<ModelFailure, string> = {
  auth: "authentication failed",
  billing: "the account has no credit",
  rate_limit: "rate limit reached",
  overloaded: "the provider has problems",
  timeout: "the provider took too long",
  unreachable: "the provider could not be reached",
  format: "the answer was not understood",
  context_overflow: "the conversation is too long for this model",
  not_found: "unknown model or address",
  interrupted: "the answer broke off",
  unknown: "the request was refused",
};

/** Failures a second try may cure, as long as nothing was shown yet. */
const RETRYABLE: ReadonlySet<ModelFailure> = new Set(["rate_limit", "overloaded", "unreachable"]);

/** Make the error people see: `⚠️ openai/gpt-x request failed (authentication failed, HTTP 401). …`. */
export function modelFailure(facts: FailureFacts): AppError {
  const { provider, model, failure, httpStatus } = facts;
  const status = httpStatus === undefined ? "" : `, HTTP ${httpStatus}`;
  const said = facts.keyOwner === "tenant" ? filterProviderWords(facts.said, failure) : "";
  return new AppError(
    "provider_failed",
    `⚠️ ${provider}/${model} request failed (${WORDS[failure]}${status}).${said}${advice(facts)}`,
    {
      details: { provider, model, failure, ...(httpStatus === undefined ? {} : { httpStatus }) },
      cause: facts.cause,
      ...(facts.retryAfterMs === undefined ? {} : { retryAfterMs: facts.retryAfterMs }),
    },
  );
}

function advice({ failure, keyOwner }: FailureFacts): string {
  const isOwn = keyOwner === "tenant";
  if (failure === "auth" || failure === "billing") {
    return isOwn
      ? " Check this provider's API key and account in Settings → Models."
      : " Please tell the operator of this service.";
  }
  if (failure === "rate_limit" || failure === "overloaded") return " Try again in a moment.";
  if (failure === "context_overflow") return " Start a new chat with /new.";
  if (failure === "not_found" && isOwn) return " Check the model id and the address in Settings → Models.";
  return "";
}

/** Whether trying again may help. */
export function isRetryable(error: AppError): boolean {
  const failure = error.details?.["failure"];
  return error.code === "provider_failed" && RETRYABLE.has(failure as ModelFailure);
}

/**
 * Whether the provider was working on a call when it was stopped, by what the call threw: a failure says that the
 * provider had refused before, or was not asked yet, so there is nothing it could bill.
 */
export function wasAtWork(thrown: unknown): boolean {
  return !(
    thrown instanceof AppError &&
    (thrown.code === "provider_failed" || thrown.code === "egress_refused")
  );
}

/** The class of an HTTP answer. */
export function failureOfStatus(status: number, body: string): ModelFailure {
  if (status === 402 || (status === 429 && /insufficient_quota|billing|arrearage/i.test(body)))
    return "billing";
  if (status === 401 || status === 403) return "auth";
  if (status === 404) return "not_found";
  if (status === 429) return "rate_limit";
  if (status === 408 || status === 504) return "timeout";
  if (
    status === 413 ||
    (status === 400 && /context.{0,20}length|too many tokens|maximum context/i.test(body))
  ) {
    return "context_overflow";
  }
  return status >= 500 ? "overloaded" : "unknown";
}

/** SECURITY: providers echo keys, accounts and requests in their errors. */
function filterProviderWords(said: string | undefined, failure: ModelFailure): string {
  if (said === undefined || failure === "auth" || failure === "billing") return "";
  const clean = said
    .replace(/\p{C}+/gu, " ")
    .replace(/https?:\/\/\S+/gi, "…")
    .replace(/bearer\s+\S+/gi, "…")
    .replace(/\b(?:sk|pk|key|org|proj|rk)[-_][\w*-]{4,}/gi, "…")
    .replace(/[\w*+/=-]{24,}/g, "…")
    .trim();
  return clean === "" ? "" : ` It says: ${clean.slice(0, 200)}`;
}
