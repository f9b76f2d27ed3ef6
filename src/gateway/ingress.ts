/**
 * The first look at every request and upgrade: peer, host, tenant. Owns: which hosts we answer to, and that all
 * sources that name a tenant agree. Refuses to know: credentials, routes.
 */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { AppError } from "../kernel/errors.ts";
import { isUuid } from "../kernel/ids.ts";
import { canonicalHost, readIngress } from "../tenancy/resolve.ts";
import { serviceOf, type Tenant } from "../tenancy/tenant.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import { type Peer, Peers } from "./address.ts";

/** The tenant a request names: resolved, none named, or one that is not there for strangers to see. */
export type NamedTenant = Tenant | null | "unknown";

/** A request as far as it is known before anybody is authenticated. */
export interface Ingress {
  peer: Peer;
  named: NamedTenant;
  /** What the request itself calls the tenant, whether there is such a one or not; null when it names none. */
  claimed: string | null;
  /** The tenant whose own host the request came to; null at ours, or when it does not serve. */
  hostTenant: Tenant | null;
  /** Path without the tenant prefix. */
  path: string;
  /** Where the caller's browser sees us, e.g. `https://creel.example:8443`. */
  origin: string;
  /** Origins whose pages may act here. */
  allowedOrigins: readonly string[];
}

/** What the ingress needs. */
export interface IngressOptions {
  tenants: Tenants;
  trustedProxies: readonly string[];
  /** Host names besides loopback, address literals and tenants' own. */
  allowedHosts: readonly string[];
  allowedOrigins: readonly string[];
  publicUrl: string | undefined;
  /** Wall-clock time. */
  nowMs(): number;
}

/** Headers of a request; browsers behind proxies send about forty. */
const HEADERS = 200;

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** See the head of this file. */
export class IngressReader {
  private readonly options: IngressOptions;
  private readonly peers: Peers;
  private readonly hosts: ReadonlySet<string>;

  constructor(options: IngressOptions) {
    this.options = options;
    this.peers = new Peers(options.trustedProxies);
    const own = options.publicUrl === undefined ? [] : [new URL(options.publicUrl).host];
    this.hosts = new Set([...own, ...options.allowedHosts].map(canonicalHost));
  }

  /** Throws `invalid_request`, `tenant_ambiguous`, `misdirected` or `not_found`. */
  async read(request: IncomingMessage): Promise<Ingress> {
    if (request.rawHeaders.length > HEADERS * 2)
      throw new AppError("invalid_request", `A request has at most ${HEADERS} headers.`);
    const peer = this.peers.of(request);
    const names = readIngress({
      url: request.url ?? "",
      rawHeaders: request.rawHeaders,
      fromTrustedProxy: peer.isTrustedProxy,
    });
    const byHost = await this.options.tenants.findByHost(names.host);
    if (byHost === undefined && !this.isOurs(names.host)) {
      throw new AppError("misdirected", "This gateway does not answer to that host name.");
    }
    const claims: (Tenant | "unknown")[] = [];
    if (byHost !== undefined) claims.push(byHost);
    if (names.pathSlug !== undefined) {
      claims.push((await this.options.tenants.findBySlug(names.pathSlug)) ?? "unknown");
    }
    if (names.header !== undefined) claims.push((await this.byHeader(names.header)) ?? "unknown");
    const origin = originOf(request, peer);
    const allowedOrigins = [origin, ...this.options.allowedOrigins];
    const named = agree(claims, this.options.nowMs());
    const hostTenant = byHost !== undefined && named !== "unknown" ? byHost : null;
    const claimed = names.pathSlug ?? names.header ?? (byHost === undefined ? null : names.host);
    return { peer, named, claimed, hostTenant, path: names.path, origin, allowedOrigins };
  }

  private byHeader(value: string): Promise<Tenant | undefined> {
    return isUuid(value) ? this.options.tenants.findById(value) : this.options.tenants.findBySlug(value);
  }

  /** SECURITY: an open list of host names would let a foreign page rebind its name to us (DNS rebinding). */
  private isOurs(host: string): boolean {
    if (LOOPBACK.has(host) || this.hosts.has(host)) return true;
    return isIP(host) !== 0 || (host.startsWith("[") && isIP(host.slice(1, -1)) !== 0);
  }
}

/** One tenant for all claims; one that does not serve is as good as none. Throws `tenant_ambiguous` when they differ. */
function agree(claims: readonly (Tenant | "unknown")[], nowMs: number): NamedTenant {
  const [first] = claims;
  if (first === undefined) return null;
  const ids = new Set(claims.map((claim) => (claim === "unknown" ? "unknown" : claim.id)));
  if (ids.size > 1) {
    throw new AppError("tenant_ambiguous", "Host, path and X-Tenant-Id name different tenants.");
  }
  return first === "unknown" || serviceOf(first, nowMs) === "closed" ? "unknown" : first;
}

function originOf(request: IncomingMessage, peer: Peer): string {
  const forwarded = request.headers["x-forwarded-host"];
  const host =
    peer.isTrustedProxy && typeof forwarded === "string" ? forwarded : (request.headers.host ?? "");
  return `${peer.isSecure ? "https" : "http"}://${host.toLowerCase()}`;
}
