/**
 * Where a sign-in comes back to. Owns: which paths and origins are ours, as pure decisions.
 * Refuses to know: providers, people.
 */

const PATH_CHARS = 512;

/**
 * A path of one of our pages to return to, or null for anything else. With `slug` it leads into no other tenant.
 * SECURITY: browsers read `//host`, `/\host` and control characters in ways of their own, so none of them passes; and
 * nothing below /auth, whose answers are not pages (ATTACKS AU-22).
 */
export function checkReturnPath(text: string | undefined, slug: string | null): string | null {
  if (text === undefined || text.length > PATH_CHARS || !/^\/(?![/\\])[\x21-\x7e]*$/.test(text)) return null;
  if (/[\\<>"^`{|}]/.test(text)) return null;
  const url = URL.parse(text, "https://creel.invalid");
  if (url === null || url.origin !== "https://creel.invalid") return null;
  const path = `${url.pathname}${url.search}${url.hash}`;
  // ORDER: after the parser took dots out, so that /t/acme/../beta is judged as what it leads to.
  if (/^\/auth(?:\/|$)/.test(url.pathname) || url.pathname.includes("//")) return null;
  if (/^[^?#]*%(?:2e|2f|5c|00)/i.test(text)) return null;
  const named = slugIn(path);
  if (slug !== null && named !== null && named !== slug) return null;
  return path;
}

/** The slug of the tenant whose page a checked path is, or null. */
export function slugIn(path: string): string | null {
  return /^\/t\/([a-z0-9-]+)(?:[/?#]|$)/.exec(path)?.[1] ?? null;
}

/**
 * The origin for a redirect URI. The ingress refused every host that is not ours; what is left to decide is a name that
 * the operator gave: with `publicUrl` its very port counts, and an address literal stands for it.
 */
export function callbackOrigin(origin: string, publicUrl: string | undefined): string {
  if (publicUrl === undefined) return origin;
  const own = new URL(publicUrl);
  const { hostname } = new URL(origin);
  const isLoopback = /^(?:localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
  const isLiteral = /^[\d.]+$/.test(hostname) || hostname.startsWith("[");
  return hostname === own.hostname || (isLiteral && !isLoopback) ? own.origin : origin;
}
