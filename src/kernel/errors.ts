/**
 * The one error type and the one table of what each code means at every edge.
 * Owns: codes, HTTP status, protocol code, log level, whether a retry can help. Refuses to know: transports.
 */

/** How loudly an error is logged: error = someone must act, warn = healed itself, info/debug = expected. */
export type ErrorLogLevel = "error" | "warn" | "info" | "debug";

interface ErrorRule {
  /** HTTP status of the answer. */
  status: number;
  /** OpenClaw protocol v4 `error.code`. */
  wire: "INVALID_REQUEST" | "FORBIDDEN" | "UNAVAILABLE" | "NOT_FOUND" | "NOT_PAIRED";
  level: ErrorLogLevel;
  retryable: boolean;
}

/** Every failure the product can name. A new code needs a row here, and nothing else. */
export const ERROR_RULES = {
  invalid_request: { status: 400, wire: "INVALID_REQUEST", level: "debug", retryable: false },
  tenant_ambiguous: { status: 400, wire: "INVALID_REQUEST", level: "info", retryable: false },
  credential_ambiguous: { status: 400, wire: "INVALID_REQUEST", level: "info", retryable: false },
  unauthenticated: { status: 401, wire: "INVALID_REQUEST", level: "debug", retryable: false },
  link_invalid: { status: 401, wire: "INVALID_REQUEST", level: "debug", retryable: false },
  step_up_required: { status: 403, wire: "FORBIDDEN", level: "debug", retryable: false },
  forbidden: { status: 403, wire: "FORBIDDEN", level: "info", retryable: false },
  origin_refused: { status: 403, wire: "FORBIDDEN", level: "info", retryable: false },
  tenant_mismatch: { status: 403, wire: "FORBIDDEN", level: "warn", retryable: false },
  not_found: { status: 404, wire: "INVALID_REQUEST", level: "debug", retryable: false },
  method_not_allowed: { status: 405, wire: "INVALID_REQUEST", level: "debug", retryable: false },
  conflict: { status: 409, wire: "INVALID_REQUEST", level: "debug", retryable: false },
  last_way_in: { status: 409, wire: "INVALID_REQUEST", level: "info", retryable: false },
  last_owner: { status: 409, wire: "INVALID_REQUEST", level: "info", retryable: false },
  too_large: { status: 413, wire: "INVALID_REQUEST", level: "debug", retryable: false },
  misdirected: { status: 421, wire: "INVALID_REQUEST", level: "debug", retryable: false },
  idempotency_conflict: { status: 422, wire: "INVALID_REQUEST", level: "info", retryable: false },
  not_configured: { status: 422, wire: "INVALID_REQUEST", level: "info", retryable: false },
  model_unpriced: { status: 422, wire: "INVALID_REQUEST", level: "info", retryable: false },
  output_unbounded: { status: 422, wire: "INVALID_REQUEST", level: "info", retryable: false },
  rate_limited: { status: 429, wire: "UNAVAILABLE", level: "info", retryable: true },
  limit_reached: { status: 429, wire: "UNAVAILABLE", level: "info", retryable: true },
  plan_limit: { status: 403, wire: "FORBIDDEN", level: "info", retryable: false },
  turns_stopped: { status: 409, wire: "UNAVAILABLE", level: "info", retryable: false },
  budget_exhausted: { status: 429, wire: "UNAVAILABLE", level: "info", retryable: false },
  aborted: { status: 499, wire: "UNAVAILABLE", level: "debug", retryable: false },
  internal: { status: 500, wire: "UNAVAILABLE", level: "error", retryable: true },
  provider_failed: { status: 502, wire: "UNAVAILABLE", level: "info", retryable: true },
  egress_refused: { status: 502, wire: "UNAVAILABLE", level: "info", retryable: false },
  tenant_unavailable: { status: 503, wire: "UNAVAILABLE", level: "error", retryable: true },
  overloaded: { status: 503, wire: "UNAVAILABLE", level: "warn", retryable: true },
  shutting_down: { status: 503, wire: "UNAVAILABLE", level: "info", retryable: true },
  storage_uncertain: { status: 503, wire: "UNAVAILABLE", level: "error", retryable: true },
  storage_full: { status: 507, wire: "UNAVAILABLE", level: "error", retryable: true },
} as const satisfies Record<string, ErrorRule>;

/** The closed union of failure codes. */
export type ErrorCode = keyof typeof ERROR_RULES;

/** What may accompany an error. `details` reaches the caller; `cause` reaches only the log. */
export interface ErrorExtras {
  cause?: unknown;
  details?: Record<string, unknown>;
  /** Milliseconds after which a retry makes sense. */
  retryAfterMs?: number;
  /** Sent beside the error where the protocol wants both (a failed replay, PROTOCOL.md 7.6). */
  payload?: Record<string, unknown>;
}

/** A failure with a stable code and a text that is safe to show to whoever caused it. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly publicMessage: string;
  readonly details: Record<string, unknown> | undefined;
  readonly retryAfterMs: number | undefined;
  readonly payload: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, publicMessage: string, extras: ErrorExtras = {}) {
    super(publicMessage, extras.cause === undefined ? undefined : { cause: extras.cause });
    this.name = "AppError";
    this.code = code;
    this.publicMessage = publicMessage;
    this.details = extras.details;
    this.retryAfterMs = extras.retryAfterMs;
    this.payload = extras.payload;
  }

  /** The row of the table for this error. */
  get rule(): ErrorRule {
    return ERROR_RULES[this.code];
  }
}

/** Turn anything thrown into an AppError; what is unknown becomes `internal`, once, with its cause kept for the log. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  return new AppError("internal", "Something went wrong on our side.", { cause: thrown });
}
