/**
 * The one door: from a credential to a principal in exactly one tenant.
 * Owns: which credentials count and what each grants. Refuses to know: transports, the connect frame (connect does).
 */
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { TenantId, UserId } from "../kernel/ids.ts";
import type { BrowserUser } from "../protocol/routes.ts";
import type { Database } from "../storage/database.ts";
import { asServed, earlier, type Principal } from "../tenancy/principal.ts";
import { allows, type Role, scopesOf } from "../tenancy/scopes.ts";
import { serviceOf, type Tenant } from "../tenancy/tenant.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import type { BrowserSessions } from "./browser/browser-sessions.ts";
import type { SocketTokens } from "./browser/socket-tokens.ts";
import type { SessionUses } from "./credentials/session-uses.ts";
import { isFromAllowed } from "./credentials/token-limits.ts";
import {
  ANY_CLIENT,
  type DeviceHolder,
  type DeviceSource,
  type Devices,
  type DeviceToken,
} from "./devices.ts";
import type { AccessFeed } from "./guard/access-feed.ts";
import type { Attempts } from "./guard/attempts.ts";
import type { Epochs } from "./guard/epochs.ts";
import { Liveness } from "./guard/liveness.ts";
import { type Standing, type StandingPurpose, Standings } from "./guard/standings.ts";
import type { Member, Members } from "./members.ts";
import type { BreakGlass } from "./operators/break-glass.ts";
import type { CredentialSource, TokenGrant, Tokens } from "./tokens.ts";

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
  control: Database;
  clock: Clock;
  tenants: Tenants;
  members: Members;
  tokens: Tokens;
  devices: Devices;
  sessions: BrowserSessions;
  socketTokens: SocketTokens;
  attempts: Attempts;
  feed: AccessFeed;
  epochs: Epochs;
  breakGlass: BreakGlass;
  sessionUses: SessionUses;
}

/** See the head of this file. */
export class Authenticator {
  private readonly deps: AuthenticatorDeps;
  private readonly standings: Standings;
  private readonly callers: Liveness;
  private readonly workers: Liveness;

  constructor(deps: AuthenticatorDeps) {
    this.deps = deps;
    this.standings = new Standings(deps);
    this.callers = this.liveness("act");
    this.workers = this.liveness("run");
  }

  private liveness(purpose: StandingPurpose): Liveness {
    const { feed, epochs, clock } = this.deps;
    return new Liveness(feed, epochs, clock, (tenantId, principals) => {
      if (purpose === "act") for (const principal of principals) this.noteSeen(principal);
      return this.standings.list(tenantId, principals, purpose);
    });
  }

  /**
   * Who a bearer token of an HTTP request belongs to. Throws `unauthenticated` for every bad token alike, or
   * `rate_limited` with a time to wait.
   * @param claimed what the request calls the tenant, for counting guesses
   */
  async fromBearer(
    secret: string,
    address: string,
    agent: string | null = null,
    claimed: string | null = null,
  ): Promise<{ principal: Principal; tenant: Tenant }> {
    const waitMs = this.deps.attempts.addressWaitMs(address);
    if (waitMs > 0) throw tooMany(waitMs);
    const found = await this.findByApiToken(secret, { address, agent });
    if (found === undefined) {
      const furtherWaitMs = this.deps.attempts.noteFailure(address, accountOf(secret), claimed);
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
  async memberPrincipal(
    user: BrowserUser,
    tenant: Tenant,
    from?: CredentialSource,
  ): Promise<Principal | undefined> {
    const nowMs = this.deps.clock.nowMs();
    if (serviceOf(tenant, nowMs) === "closed") return undefined;
    const member = await this.deps.members.find(tenant.id, user.userId);
    if (member === undefined) return this.guest(tenant, user.userId, user.sessionId, null);
    if (!isProved(member, user)) return undefined;
    if (from !== undefined) this.deps.sessionUses.note(tenant.id, user.sessionId, from);
    this.deps.members.noteSeen(tenant.id, user.userId);
    const principal = makePrincipal(tenant.id, user.userId, user.displayName, member.role, {
      kind: "browser_session",
      id: user.sessionId,
      expiresAtMs: null,
    });
    return asServed(principal, tenant, nowMs);
  }

  /**
   * Whether a principal still stands: credential neither revoked nor over, same role, tenant active. Asked for every
   * frame; costs memory only until something changes, and a change is noticed within half a second.
   */
  isLive(principal: Principal): Promise<boolean> {
    return this.callers.isLive(principal);
  }

  /**
   * Whether work that a principal began may go on: as somebody who may write, with what is left of the credential.
   * A browser that signs out leaves its work running; whoever loses their place, token or device does not.
   */
  async mayGoOn(principal: Principal): Promise<boolean> {
    const standing = await this.workers.find(principal);
    return standing !== undefined && allows(standing.scopes, "operator.write");
  }

  /**
   * Whoever began work that is taken up again, as they are now; undefined when they may not go on.
   * @param by with what it was begun; undefined for rows of versions that did not keep it: the person, else the token
   */
  async workPrincipal(
    tenantId: TenantId,
    userId: UserId,
    by: Pick<Principal["credential"], "kind" | "id"> | undefined,
  ): Promise<Principal | undefined> {
    const tries = by === undefined ? (["browser_session", "api_token"] as const) : [by.kind];
    for (const kind of tries) {
      const credential = { kind, id: by?.id ?? userId, expiresAtMs: null };
      const standing = await this.standings.find(tenantId, { userId, credential }, "run");
      if (standing === undefined || !allows(standing.scopes, "operator.write")) continue;
      const { role, displayName, scopes, agents } = standing;
      return { tenantId, userId, displayName, role, scopes, agents, credential };
    }
    return undefined;
  }

  /** By API token; undefined for every bad one alike, and for a good one from where it must not be used. */
  async findByApiToken(secret: string, from: CredentialSource): Promise<Authenticated | undefined> {
    const grant = await this.deps.tokens.findGrant(secret);
    if (grant === undefined || !isFromAllowed(grant.addresses, from.address)) return undefined;
    const tenant = await this.activeTenant(grant.tenantId);
    if (tenant === undefined) return undefined;
    this.deps.tokens.noteUse(grant.tenantId, grant.tokenId, from);
    const principal = asServed(ofGrant(grant), tenant, this.deps.clock.nowMs());
    return { principal, tenant, source: { kind: "api_token", id: grant.tokenId } };
  }

  /** By the signed token of a browser's socket; its session must still be open and its person a member. */
  async findBySocketToken(
    token: string,
    named: TenantId | null = null,
    from?: CredentialSource,
  ): Promise<Authenticated | undefined> {
    const claims = await this.deps.socketTokens.verify("socket", token, named);
    if (claims === undefined) return undefined;
    const tenant = await this.activeTenant(claims.tenantId);
    const session = await this.openSession(claims.sessionId, claims.userId);
    const member = await this.deps.members.find(claims.tenantId, claims.userId);
    if (tenant === undefined || session === undefined) return undefined;
    const source: DeviceSource = { kind: "browser_session", id: claims.sessionId };
    if (member === undefined) {
      const guest = await this.guest(tenant, claims.userId, claims.sessionId, session.expiresAtMs);
      return guest === undefined ? undefined : { principal: guest, tenant, source };
    }
    if (!isProved(member, session.user)) return undefined;
    this.deps.sessions.noteSeen(claims.sessionId);
    if (from !== undefined) this.deps.sessionUses.note(tenant.id, claims.sessionId, from);
    this.deps.members.noteSeen(tenant.id, claims.userId);
    const principal = makePrincipal(tenant.id, claims.userId, member.displayName, member.role, {
      kind: "socket_token",
      // The token only opens the socket; what lives on, and what can be revoked, is the session.
      id: claims.sessionId,
      expiresAtMs: session.expiresAtMs,
    });
    return { principal: asServed(principal, tenant, this.deps.clock.nowMs()), tenant, source };
  }

  /**
   * By device token, shown by a device that proved its key. Scopes are the token's, as far as the present role goes.
   * @param deviceId what the proof established, never what a caller merely says
   */
  async findByDeviceToken(
    secret: string,
    deviceId: string,
    clientId: string,
    from: CredentialSource,
  ): Promise<Authenticated | undefined> {
    const row = await this.deps.devices.findBySecret(secret);
    if (row === undefined || row.deviceId !== deviceId) return undefined;
    if (row.clientId !== clientId && row.clientId !== ANY_CLIENT) return undefined;
    return this.ofDevice(row, secret, from);
  }

  /**
   * By a device's proven key alone: somebody in this tenant let it in, and it has not lost that.
   * @param deviceId what the proof established
   */
  async findByPairing(
    tenantId: TenantId,
    deviceId: string,
    from: CredentialSource,
  ): Promise<Authenticated | undefined> {
    const paired = await this.deps.devices.findPaired(tenantId, deviceId);
    return paired === undefined ? undefined : this.ofDevice(paired.token, paired.secret, from);
  }

  /** What whoever answers for a device is now; undefined when their standing has ended. */
  holderStanding(tenantId: TenantId, { kind, id, userId }: DeviceHolder): Promise<Standing | undefined> {
    return this.standings.ofGround(tenantId, userId, kind === "member" ? { kind } : { kind: "token", id });
  }

  private async ofDevice(
    row: DeviceToken,
    secret: string,
    from: CredentialSource,
  ): Promise<Authenticated | undefined> {
    const tenant = await this.activeTenant(row.tenantId);
    const credential = { kind: "device_token", id: row.id, expiresAtMs: null } as const;
    const origin = await this.standings.find(row.tenantId, { userId: row.userId, credential });
    if (tenant === undefined || origin === undefined) return undefined;
    // SECURITY: what limits the credential that a device token continues limits the device too.
    if (!isFromAllowed(origin.addresses, from.address)) return undefined;
    const principal: Principal = {
      tenantId: row.tenantId,
      userId: row.userId,
      displayName: origin.displayName,
      role: origin.role,
      scopes: new Set([...origin.scopes].filter((scope) => row.scopes.includes(scope))),
      agents: origin.agents,
      readOnly: origin.readOnly,
      credential: { ...credential, expiresAtMs: origin.expiresAtMs },
    };
    return { principal, tenant, source: row.source, deviceToken: secret };
  }

  /** Note that the person behind a credential is there. */
  private noteSeen({ tenantId, userId, credential }: Principal): void {
    if (credential.kind !== "browser_session" && credential.kind !== "socket_token") return;
    this.deps.sessions.noteSeen(credential.id);
    this.deps.members.noteSeen(tenantId, userId);
  }

  /** SECURITY: an operator who is no member reads, and only while a grant of the tenant lasts. */
  private async guest(
    tenant: Tenant,
    userId: UserId,
    sessionId: string,
    sessionEndMs: number | null,
  ): Promise<Principal | undefined> {
    const grant = await this.deps.breakGlass.findActive(tenant.id, userId);
    if (grant === undefined) return undefined;
    const expiresAtMs = earlier(earlier(grant.untilMs, sessionEndMs), tenant.readOnlyUntilMs);
    const credential = { kind: "break_glass", id: sessionId, expiresAtMs } as const;
    const principal = makePrincipal(tenant.id, userId, grant.operatorName, "readonly", credential);
    return { ...principal, readOnly: "break_glass" };
  }

  private async openSession(id: string, userId: UserId) {
    const session = await this.deps.sessions.findOpenById(id);
    return session?.user.userId === userId ? session : undefined;
  }

  /** A tenant that serves, be it only reads. */
  private async activeTenant(id: TenantId): Promise<Tenant | undefined> {
    const tenant = await this.deps.tenants.findById(id);
    return tenant === undefined || serviceOf(tenant, this.deps.clock.nowMs()) === "closed"
      ? undefined
      : tenant;
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

/** SECURITY: whoever was put out of the tenant or signed out of it has to prove anew who they are. */
function isProved(member: Member, user: BrowserUser): boolean {
  return user.authAtMs >= member.validAfterMs;
}

function ofGrant(grant: TokenGrant): Principal {
  const { tenantId, userId, displayName, role, scopes, agents, tokenId, expiresAtMs } = grant;
  const credential = { kind: "api_token", id: tokenId, expiresAtMs } as const;
  return { tenantId, userId, displayName, role, scopes, agents, credential };
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
