/** Same-origin JSON requests. Owns: headers, error shape, request ids. Refuses to know: tenants and pages. */

/** A failed request; `status` 0 means the server could not be reached. */
export class HttpFailure extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string | undefined;
  /** What else the server says of it. */
  readonly details: Readonly<Record<string, unknown>>;
  /** After which a repetition makes sense, milliseconds; undefined when the server does not say. */
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    requestId?: string,
    more: { details?: Record<string, unknown>; retryAfterMs?: number } = {},
  ) {
    super(message);
    this.name = "HttpFailure";
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.details = more.details ?? {};
    this.retryAfterMs = more.retryAfterMs;
  }
}

interface ErrorBody {
  error?: { code?: unknown; message?: unknown; requestId?: unknown; details?: unknown };
}

async function toFailure(response: Response): Promise<HttpFailure> {
  const body = (await response.json().catch(() => ({}))) as ErrorBody;
  const text = (value: unknown): string | undefined =>
    typeof value === "string" && value ? value : undefined;
  const details = body.error?.details;
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new HttpFailure(
    response.status,
    text(body.error?.code) ?? `http_${response.status}`,
    text(body.error?.message) ?? response.statusText,
    text(body.error?.requestId) ?? response.headers.get("x-request-id") ?? undefined,
    {
      ...(typeof details === "object" && details !== null ? { details: { ...details } } : {}),
      ...(seconds > 0 ? { retryAfterMs: seconds * 1_000 } : {}),
    },
  );
}

/** Sends one JSON request with the session cookie; resolves to the body, or undefined for 204. Throws HttpFailure. */
export async function requestJson<T>(
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
  path: string,
  body?: unknown,
): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      headers: method === "GET" ? { accept: "application/json" } : { "content-type": "application/json" },
      ...(method === "GET" ? {} : { body: JSON.stringify(body ?? {}) }),
    });
  } catch (cause) {
    throw new HttpFailure(0, "offline", cause instanceof Error ? cause.message : "network error");
  }
  if (!response.ok) throw await toFailure(response);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}
