/**
 * What may be asked of a sign-in provider over the network. Owns: addresses, sizes and times (ATTACKS ID-06).
 * Refuses to know: what the answers mean.
 */
import type { Egress } from "../../../kernel/egress.ts";
import { AppError } from "../../../kernel/errors.ts";
import { excessOf } from "../../../kernel/json.ts";
import { LIMITS } from "../../../kernel/limits.ts";

/** Longest answer, most keys, and most time for one request. */
const ANSWER_BYTES = 1024 * 1024;
const KEYS = 64;
const ANSWER_MS = 5_000;

/** Where a provider is, as far as fetching goes. */
export interface FetchTarget {
  issuer: string;
  /** Whether the operator wrote this issuer into the configuration, and so vouches for its host. */
  isOperators: boolean;
}

/**
 * Whether an address may be used without TLS: on this machine only, and only when the operator listed it in
 * `egress.allowPrivate`; for development and tests.
 */
export function mayBePlain(address: string, egress: Egress): boolean {
  const url = URL.parse(address);
  if (url === null || url.protocol !== "http:") return false;
  return /^(?:localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname) && egress.isOperatorHost(url.hostname);
}

/** Throws `provider_failed` unless an address is https, or plain where that is allowed. */
export function assertAddress(address: unknown, egress: Egress): string {
  const url = typeof address === "string" ? URL.parse(address) : null;
  const isFine = url !== null && (url.protocol === "https:" || mayBePlain(url.href, egress));
  if (!isFine || url.username !== "" || url.password !== "") {
    throw new AppError("provider_failed", "The sign-in provider names an address that cannot be used.");
  }
  return url.href;
}

/** A `fetch` for one provider: no redirects, at most 1 MiB, 64 keys and 5 seconds. */
export function fetchForProvider(egress: Egress, target: FetchTarget): typeof fetch {
  const { hostname, protocol } = new URL(target.issuer);
  const guarded = egress.fetchFor({
    allowPrivate: true,
    operatorHosts: target.isOperators && protocol === "https:" ? [hostname] : [],
    redirects: 0,
    maxBytes: ANSWER_BYTES,
    connectMs: ANSWER_MS,
    idleMs: ANSWER_MS,
    totalMs: ANSWER_MS,
  });
  const bounded = async (input: unknown, init?: RequestInit) => {
    const response = await guarded(assertAddress(String(input), egress), init);
    const text = await response.text();
    // SECURITY: tenants name providers of their own, and the library parses what these answer.
    if (excessOf(text, { depth: LIMITS.jsonDepth, values: LIMITS.jsonValuesOfStrangers }) !== undefined)
      throw new AppError("provider_failed", "The sign-in provider answered with too much JSON.");
    assertFewKeys(text);
    const { status, headers } = response;
    const isEmpty = status === 204 || status === 205 || status === 304;
    return new Response(isEmpty ? null : text, { status, headers: [...headers] });
  };
  return bounded as typeof fetch;
}

function assertFewKeys(text: string): void {
  if (!text.includes('"keys"')) return;
  let body: { keys?: unknown } | null = null;
  try {
    body = JSON.parse(text) as { keys?: unknown } | null;
  } catch {
    return;
  }
  if (Array.isArray(body?.keys) && body.keys.length > KEYS) {
    throw new AppError("provider_failed", "The sign-in provider publishes too many keys.");
  }
}
