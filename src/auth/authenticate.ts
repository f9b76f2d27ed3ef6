/**
 * The one door: from a credential to a principal in exactly one tenant.
 * Owns: which credentials count and what each grants. Refuses to know: transports, the connect frame (connect does).
 */
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { TenantId, UserId } from "../kernel/ids.ts";
import type { BrowserUser } from "../protocol/routes.ts";
import type { Principal } from "../tenancy/principal.ts";
import { type Role, type Scope, scopesOf } from "../tenancy/scopes.ts";
import type { Tenant } from "../tenancy/tenant.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import type { BrowserSessions } from "./browser/browser-sessions.ts";
import type { SocketTokens } from "./browser/socket-tokens.ts";
import type { DeviceSource, Devices } from "./devices.ts";
import type { AccessFeed } from "./guard/access-feed.ts";
import type { Attempts } from "./guard/attempts.ts";
import { Liveness, type Standing } from "./guard/liveness.ts";
import type { Members } from "./members.ts";
import type { TokenGrant, Tokens } from "./tokens.ts";

/** Who a credential belongs to, where, and what a device token made for it would continue. */
export interface Authenticated {
  principal: Principal;
  tenant: Tenant;
  source: DeviceSource;
  /** The device token that was shown, when that is what counted. */
  deviceToken?: string;
}

/** What the door needs. */
export interface AuthenticatorDeps {
  clock: Clock;
  tenants: Tenants;
  members: Members;
  tokens: Tokens;
  devices: Devices;
  sessions: BrowserSessions;
  socketTokens: SocketTokens;
  attempts: Attempts;
  feed: AccessFeed;
}

/** See the head of this file. */
export class Authenticator {
  private readonly deps: AuthenticatorDeps;
  private readonly liveness: Liveness;

  constructor(deps: AuthenticatorDeps) {
    this.deps = deps;
    this.liveness = new Liveness(deps.feed, deps.clock, (principal) => this.readStanding(principal));
  }

  /**
   * Who a bearer token of an HTTP request belongs to. Throws `unauthenticated` for every bad token alike, or
   * `rate_limited` with a time to wait.
   */
  async fromBearer(secret: string, address: string): Promise<{ principal: Principal; tenant: Tenant }> {
    const waitMs = this.deps.attempts.addressWaitMs(address);
    if (waitMs > 0) throw tooMany(waitMs);
    const found = await this.findByApiToken(secret);
    if (found === undefined) {
      const furtherWaitMs = this.deps.attempts.noteFailure(address, accountOf(secret));
      throw furtherWaitMs > 0
        ? tooMany(furtherWaitMs)
        : new AppError("unauthenticated", "The token is not valid.");
    }
    return { principal: found.principal, tenant: found.tenant };
  }

  /** The signed-in person behind a cookie, or undefined. */
  async browserUser(cookieValue: string): Promise<BrowserUser | undefined> {
    return (await this.deps.sessions.findOpen(cookieValue))?.user;
  }

  /** A signed-in person as a member of a tenant; undefined for strangers and for tenants that do not serve. */
  async memberPrincipal(user: BrowserUser, tenant: Tenant): Promise<Principal | undefined> {
    const member = await this.deps.members.find(tenant.id, user.userId);
    if (member === undefined || tenant.status !== "active") return undefined;
    return makePrincipal(tenant.id, user.userId, user.displayName, member.role, {
      kind: "browser_session",
      id: user.sessionId,
      expiresAtMs: null,
    });
  }

  /**
   * Whether a principal still stands: credential neither revoked nor over, same role, tenant active. Asked for every
   * frame; costs memory only until something changes, and a change is noticed within half a second.
   */
  isLive(principal: Principal): Promise<boolean> {
    return this.liveness.isLive(principal);
  }

  /** By API token; undefined for every bad one alike. */
  async findByApiToken(secret: string): Promise<Authenticated | undefined> {
    const grant = await this.deps.tokens.findGrant(secret);
    if (grant === undefined) return undefined;
    const tenant = await this.activeTenant(grant.tenantId);
    if (tenant === undefined) return undefined;
    this.deps.tokens.noteUse(grant.tenantId, grant.tokenId);
    const principal = ofGrant(grant);
    return { principal, tenant, source: { kind: "api_token", id: grant.tokenId } };
  }

  /** By the signed token of a browser's socket; its session must still be open and its person a member. */
  async findBySocketToken(token: string): Promise<Authenticated | undefined> {
    const claims = await this.deps.socketTokens.verify("socket", token);
    if (claims === undefined) return undefined;
    const tenant = await this.activeTenant(claims.tenantId);
    const session = await this.openSession(claims.sessionId, claims.userId);
    const member = await this.deps.members.find(claims.tenantId, claims.userId);
    if (tenant === undefined || session === undefined || member === undefined) return undefined;
    this.deps.sessions.noteSeen(claims.sessionId);
    const principal = makePrincipal(tenant.id, claims.userId, member.displayName, member.role, {
      kind: "socket_token",
      // The token only opens the socket; what lives on, and what can be revoked, is the session.
      id: claims.sessionId,
      expiresAtMs: session.expiresAtMs,
    });
    return { principal, tenant, source: { kind: "browser_session", id: claims.sessionId } };
  }

  /**
   * By device token, shown by a device that proved its key. Scopes are the token's, as far as the present role goes.
   * @param deviceId what the proof established, never what a caller merely says
   */
  async findByDeviceToken(
    secret: string,
    deviceId: string,
    clientId: string,
  ): Promise<Authenticated | undefined> {
    const row = await this.deps.devices.findBySecret(secret);
    if (row === undefined || row.deviceId !== deviceId || row.clientId !== clientId) return undefined;
    const tenant = await this.activeTenant(row.tenantId);
    const origin = await this.sourceStanding(row.tenantId, row.userId, row.source);
    if (tenant === undefined || origin === undefined) return undefined;
    const principal: Principal = {
      ...makePrincipal(row.tenantId, row.userId, origin.displayName, origin.role, {
        kind: "device_token",
        id: row.id,
        expiresAtMs: origin.expiresAtMs,
      }),
      scopes: new Set<Scope>(scopesOf(origin.role).filter((scope) => row.scopes.includes(scope))),
    };
    return { principal, tenant, source: row.source, deviceToken: secret };
  }

  private async sourceStanding(
    tenantId: TenantId,
    userId: UserId,
    source: DeviceSource,
  ): Promise<
    { role: Role; displayName: string; expiresAtMs: number | null; endsAtMs: number | null } | undefined
  > {
    if (source.kind === "api_token") {
      const grant = await this.deps.tokens.findGrantById(tenantId, source.id);
      return grant === undefined || grant.userId !== userId
        ? undefined
        : { ...grant, endsAtMs: grant.expiresAtMs };
    }
    const session = await this.openSession(source.id, userId);
    const member = await this.deps.members.find(tenantId, userId);
    if (session === undefined || member === undefined) return undefined;
    return {
      role: member.role,
      displayName: member.displayName,
      expiresAtMs: session.expiresAtMs,
      endsAtMs: session.endsAtMs,
    };
  }

  private async readStanding(principal: Principal): Promise<Standing> {
    const { tenantId, userId, credential } = principal;
    if ((await this.activeTenant(tenantId)) === undefined) return undefined;
    let source: DeviceSource = { kind: "browser_session", id: credential.id };
    if (credential.kind === "api_token") source = { kind: "api_token", id: credential.id };
    if (credential.kind === "device_token") {
      const row = await this.deps.devices.findById(tenantId, credential.id);
      if (row === undefined) return undefined;
      source = row.source;
    }
    if (source.kind === "browser_session") this.deps.sessions.noteSeen(source.id);
    const standing = await this.sourceStanding(tenantId, userId, source);
    return standing === undefined ? undefined : { role: standing.role, endsAtMs: standing.endsAtMs };
  }

  private async openSession(id: string, userId: UserId) {
    const session = await this.deps.sessions.findOpenById(id);
    return session?.user.userId === userId ? session : undefined;
  }

  private async activeTenant(id: TenantId): Promise<Tenant | undefined> {
    const tenant = await this.deps.tenants.findById(id);
    return tenant?.status === "active" ? tenant : undefined;
  }
}

/** What names the API token that a secret was guessed at: its first characters, which are no secret; else null. */
export function accountOf(secret: string): string | null {
  return secret.startsWith("creel_") ? secret.slice(0, 10) : null;
}

function tooMany(retryAfterMs: number): AppError {
  return new AppError("rate_limited", "Too many failed attempts. Wait before you try again.", {
    retryAfterMs,
  });
}

function ofGrant(grant: TokenGrant): Principal {
  return makePrincipal(grant.tenantId, grant.userId, grant.displayName, grant.role, {
    kind: "api_token",
    id: grant.tokenId,
    expiresAtMs: grant.expiresAtMs,
  });
}

function makePrincipal(
  tenantId: TenantId,
  userId: UserId,
  displayName: string,
  role: Role,
  credential: Principal["credential"],
): Principal {
  return { tenantId, userId, displayName, role, scopes: new Set(scopesOf(role)), credential };
}
