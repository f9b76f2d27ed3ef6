/**
 * Who calls by HTTP. Owns: reading the credential of a request, agreement of credential and named tenant, the origin
 * check for cookies. Refuses to know: routes, how credentials are checked.
 */
import type { IncomingMessage } from "node:http";
import type { Authenticator } from "../../auth/authenticate.ts";
import { AppError } from "../../kernel/errors.ts";
import type { BrowserUser } from "../../protocol/routes.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import type { Ingress } from "../ingress.ts";

/** A caller inside a tenant; `user` when they came with a cookie. */
export interface TenantCaller {
  principal: Principal;
  tenant: Tenant;
  user: BrowserUser | null;
}

/** Somebody who is known named a tenant that is not theirs, or none; `caller` is who they are at home. */
export class ForeignTenant extends AppError {
  readonly caller: TenantCaller;

  constructor(caller: TenantCaller) {
    super("tenant_mismatch", "The token does not belong to the tenant that the request names.");
    this.caller = caller;
  }
}

const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

/** Name of the session cookie: bound to the host and to TLS, except on plain-http loopback, which has no TLS. */
export function sessionCookieName(ingress: Ingress): string {
  return ingress.peer.isSecure ? "__Host-creel" : "creel-loopback";
}

/**
 * The session cookie. SECURITY: only a loopback origin may use the name without the prefix; two cookies of the name
 * are a sign of tossing and count as none.
 */
export function readSessionCookie(request: IncomingMessage, ingress: Ingress): string | null {
  if (!ingress.peer.isSecure && !isLoopbackOrigin(ingress.origin)) return null;
  const name = sessionCookieName(ingress);
  const values = (request.headers.cookie ?? "")
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  const [value] = values;
  return values.length === 1 && value !== undefined && /^[A-Za-z0-9_-]{16,256}$/.test(value) ? value : null;
}

/** SECURITY: a session in the clear could be read on the way; it is neither given nor taken but by TLS or on this machine. */
export function assertCanHoldSession(ingress: Ingress): void {
  if (ingress.peer.isSecure || isLoopbackOrigin(ingress.origin)) return;
  throw new AppError("origin_refused", "Signing in needs HTTPS here; plain HTTP only works on this machine.");
}

/** Whether a browser at this origin reaches us over loopback. */
export function isLoopbackOrigin(origin: string): boolean {
  return /^http:\/\/(localhost|127\.0\.0\.1|\[::1\]|[a-z0-9-]+\.localhost)(:\d+)?$/.test(origin);
}

/** The bearer token, or undefined; throws `unauthenticated` for a malformed or doubled header. */
export function readBearer(request: IncomingMessage): string | undefined {
  const values = request.rawHeaders.filter(
    (_, i) => i % 2 === 1 && request.rawHeaders[i - 1]?.toLowerCase() === "authorization",
  );
  const [value] = values;
  if (value === undefined) return undefined;
  const match = values.length === 1 ? /^Bearer ([A-Za-z0-9._~+/=-]{8,8192})$/i.exec(value) : null;
  if (match === null)
    throw new AppError("unauthenticated", "The Authorization header must hold one bearer token.");
  return match[1];
}

/** See the head of this file. */
export class Callers {
  private readonly authenticator: Authenticator;

  constructor(authenticator: Authenticator) {
    this.authenticator = authenticator;
  }

  /** The signed-in person, or null. */
  async user(request: IncomingMessage, ingress: Ingress): Promise<BrowserUser | null> {
    const cookie = readSessionCookie(request, ingress);
    return cookie === null ? null : ((await this.authenticator.browserUser(cookie)) ?? null);
  }

  /**
   * The caller within the tenant that credential and request agree on. Throws `unauthenticated`, `tenant_mismatch`,
   * `credential_ambiguous`, and `not_found` to a signed-in stranger whether or not the tenant exists.
   */
  async inTenant(request: IncomingMessage, ingress: Ingress): Promise<TenantCaller> {
    const bearer = readBearer(request);
    const cookie = readSessionCookie(request, ingress);
    if (bearer !== undefined && cookie !== null) {
      throw new AppError("credential_ambiguous", "Send a token or a session cookie, not both.");
    }
    // SECURITY: a key in any other place is not read, and must not be taken for the one that counted.
    if ((bearer !== undefined || cookie !== null) && request.headers["x-api-key"] !== undefined) {
      throw new AppError("credential_ambiguous", "Send one credential, as `Authorization: Bearer`.");
    }
    if (bearer !== undefined) return this.byToken(bearer, ingress, request.headers["user-agent"]);
    const user = cookie === null ? undefined : await this.authenticator.browserUser(cookie);
    if (user === undefined)
      throw new AppError("unauthenticated", "Sign in, or send a token as `Authorization: Bearer`.");
    assertSameOrigin(request, ingress);
    const from = { address: ingress.peer.address, agent: request.headers["user-agent"] ?? null };
    const tenant = ingress.named === null || ingress.named === "unknown" ? undefined : ingress.named;
    const principal =
      tenant === undefined ? undefined : await this.authenticator.memberPrincipal(user, tenant, from);
    if (tenant === undefined || principal === undefined)
      throw new AppError("not_found", "There is nothing here for you.");
    return { principal, tenant, user };
  }

  private async byToken(bearer: string, ingress: Ingress, agent: string | undefined): Promise<TenantCaller> {
    const { named, claimed, peer } = ingress;
    const { principal, tenant } = await this.authenticator.fromBearer(
      bearer,
      peer.address,
      agent ?? null,
      claimed,
    );
    if (named !== null && (named === "unknown" || named.id !== tenant.id)) {
      throw new ForeignTenant({ principal, tenant, user: null });
    }
    return { principal, tenant, user: null };
  }
}

/** SECURITY: a cookie goes with requests that other pages make; those that change things must come from our own page. */
export function assertSameOrigin(request: IncomingMessage, ingress: Ingress): void {
  if (SAFE_METHODS.has(request.method ?? "")) return;
  const origin = request.headers.origin;
  const site = request.headers["sec-fetch-site"];
  const isOwn = origin === undefined ? site === "same-origin" : origin.toLowerCase() === ingress.origin;
  if (!isOwn)
    throw new AppError("origin_refused", "Requests that change something must come from this site.");
}
