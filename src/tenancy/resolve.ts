/**
 * Which tenant a request names. Owns: the one canonicaliser, for HTTP requests and for upgrades alike.
 * Refuses to know: whether that tenant exists, who asks.
 *
 * Grammar. host = label *("." label) [":" port] | IPv4 [":" port] | "[" IPv6 "]" [":" port]; labels are ASCII letters,
 * digits and dashes, at most 63 long; a single trailing dot is refused; port is 1-65535 without leading zeros.
 * path = "/t/" slug, ended by "/" or the end; any percent sign, backslash, ";" or empty segment there is refused,
 * and so is a percent sign in the first segment of any path.
 * header = X-Tenant-Id with a tenant id or a slug, once. Sources that are present must agree; the caller compares.
 */
import { AppError } from "../kernel/errors.ts";
import { isUuid } from "../kernel/ids.ts";
import { isSlug } from "./tenant.ts";

/** The parts of a request that may name a tenant. */
export interface IngressRequest {
  /** Request target as received, e.g. `/t/acme/ws?x=1`. */
  url: string;
  /** Header names and values in order, as Node's `rawHeaders`. */
  rawHeaders: readonly string[];
  /** Whether the peer is a configured proxy, whose forwarded host counts. */
  fromTrustedProxy: boolean;
}

/** What the request says, in canonical form; nothing here is looked up yet. */
export interface IngressNames {
  /** Canonical host without port. */
  host: string;
  /** Slug of the path prefix. */
  pathSlug: string | undefined;
  /** Slug or tenant id of the header. */
  header: string | undefined;
  /** The path with the tenant prefix taken off, always beginning with "/", without the query. */
  path: string;
  /** The query with its "?", or "". */
  query: string;
}

/** Read the names from a request; throws `invalid_request` or `tenant_ambiguous` on anything off the grammar. */
export function readIngress(request: IngressRequest): IngressNames {
  const host = readHost(request);
  const target = readTarget(request.url, host);
  const header = single(request.rawHeaders, "x-tenant-id");
  if (header !== undefined && !isSlug(header) && !isUuid(header)) {
    throw new AppError("tenant_ambiguous", "X-Tenant-Id must hold one tenant id or slug.");
  }
  return { host, header, ...target };
}

function readHost(request: IngressRequest): string {
  const direct = single(request.rawHeaders, "host");
  if (direct === undefined) throw new AppError("invalid_request", "The Host header is missing.");
  const canonical = canonicalHost(direct);
  if (!request.fromTrustedProxy) return canonical;
  const forwarded = single(request.rawHeaders, "x-forwarded-host");
  return forwarded === undefined ? canonical : canonicalHost(forwarded);
}

/** The only value of a header; undefined when absent; throws when it is there more than once. */
function single(rawHeaders: readonly string[], name: string): string | undefined {
  let found: string | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== name) continue;
    if (found !== undefined)
      throw new AppError("tenant_ambiguous", `The header ${name} is there more than once.`);
    found = rawHeaders[i + 1];
  }
  return found;
}

const HOST =
  /^(?:(\[[0-9a-fA-F:.]{2,45}\])|((?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?))(?::([1-9][0-9]{0,4}))?$/;

/** Lower-case host without port (RFC 3986 3.2.2, narrowed); throws `invalid_request` when it is anything else. */
export function canonicalHost(text: string): string {
  const match = text.length <= 260 ? HOST.exec(text) : null;
  const port = match?.[3];
  if (match === null || (port !== undefined && Number(port) > 65_535)) {
    throw new AppError("invalid_request", "The Host header is not a host name.");
  }
  return (match[1] ?? match[2] ?? "").toLowerCase();
}

function readTarget(
  url: string,
  host: string,
): { pathSlug: string | undefined; path: string; query: string } {
  const origin = /^https?:\/\/([^/?#]*)/i.exec(url);
  // A target in absolute form is what proxies send; it may only repeat the Host header (RFC 9112 3.2.2).
  if (origin !== null && canonicalHost(origin[1] ?? "") !== host) {
    throw new AppError("tenant_ambiguous", "The request target and the Host header differ.");
  }
  const target = origin === null ? url : url.slice(origin[0].length) || "/";
  if (!target.startsWith("/"))
    throw new AppError("invalid_request", "The request target must begin with a slash.");
  const mark = target.indexOf("?");
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = mark === -1 ? "" : target.slice(mark);
  if (path.startsWith("//") || path.includes("\\") || path.includes("#")) {
    throw new AppError("invalid_request", "The request path is malformed.");
  }
  return { ...splitPrefix(path), query };
}

function splitPrefix(path: string): { pathSlug: string | undefined; path: string } {
  // SECURITY: a router decodes; `/%74/acme` would be a tenant's path to it and none to us.
  if (/^\/[^/]*%/.test(path)) throw new AppError("not_found", "There is nothing here.");
  if (path !== "/t" && !path.startsWith("/t/")) return { pathSlug: undefined, path };
  const end = path.indexOf("/", 3);
  const slug = path.slice(3, end === -1 ? undefined : end);
  // SECURITY: the slug must be literal; one decoded elsewhere could differ from the one checked here.
  if (!isSlug(slug)) throw new AppError("not_found", "There is nothing here.");
  const rest = end === -1 ? "/" : path.slice(end);
  if (rest.includes("//") || /%2f|%5c|%00|%2e/i.test(rest) || rest.split("/").some((part) => part === "..")) {
    throw new AppError("invalid_request", "The request path is malformed.");
  }
  return { pathSlug: slug, path: rest };
}
