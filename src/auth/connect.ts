/**
 * The first frame of a socket: from `connect` params to a principal or a refusal (PROTOCOL.md 3, 4).
 * Owns: the order of checks. Refuses to know: sockets, hello-ok, what a tenant holds.
 */
import type { Clock } from "../kernel/clock.ts";
import type { ClientFacts } from "../protocol/methods.ts";
import type { Principal } from "../tenancy/principal.ts";
import { grantScopes } from "../tenancy/scopes.ts";
import type { Tenant } from "../tenancy/tenant.ts";
import { type Authenticated, type Authenticator, accountOf } from "./authenticate.ts";
import { looksLikeJwt } from "./browser/socket-tokens.ts";
import { type Devices, looksLikeDeviceToken } from "./devices.ts";
import type { Attempts } from "./guard/attempts.ts";
import {
  type ConnectParams,
  type ConnectSecrets,
  isBrowserClient,
  readConnectParams,
  readSecrets,
} from "./handshake/connect-params.ts";
import { checkDeviceProof } from "./handshake/device-proof.ts";
import {
  controlUiDeviceRequired,
  deviceRequired,
  deviceTokenMismatch,
  originRefused,
  proofRefused,
  type Refusal,
  rateLimited,
  tokenMismatch,
  tokenMissing,
} from "./handshake/refusals.ts";

/** Everything that decides about a connect. */
export interface ConnectInput {
  /**
   * The tenant that host, path or header name: resolved; null when none is named; "unknown" when one is named that
   * does not exist or does not serve.
   */
  named: Tenant | null | "unknown";
  /** As received; checked here. */
  params: unknown;
  /** The nonce of this socket's challenge. */
  nonce: string;
  challengeTsMs: number;
  /** Address of the peer, proxies considered. */
  address: string;
  origin: string | undefined;
  /** Origins whose pages may open sockets on this host. */
  allowedOrigins: readonly string[];
}

/** An accepted connect: who, where, and what hello-ok needs. */
export interface ConnectAccepted {
  ok: true;
  principal: Principal;
  tenant: Tenant;
  /** For `hello-ok.auth.deviceToken`; absent when none is due. */
  deviceToken?: string;
  /** Negotiated protocol version. */
  protocol: number;
  client: ClientFacts;
  caps: readonly string[];
}

/** What became of a connect. */
export type ConnectOutcome = ConnectAccepted | Refusal;

/** What the check needs. */
export interface ConnectDeps {
  authenticator: Authenticator;
  devices: Devices;
  attempts: Attempts;
  clock: Clock;
}

type WithDevice = ConnectParams & { device: NonNullable<ConnectParams["device"]> };

/** See the head of this file. */
export class ConnectAuthenticator {
  private readonly deps: ConnectDeps;

  constructor(deps: ConnectDeps) {
    this.deps = deps;
  }

  /** Decide about a connect. Never throws for anything a client can send. */
  async authenticate(input: ConnectInput): Promise<ConnectOutcome> {
    const read = readConnectParams(input.params);
    if (!read.ok) return read;
    const { params } = read;
    if (!isOriginAllowed(params, input)) return originRefused(input.origin);
    const waitMs = this.deps.attempts.addressWaitMs(input.address);
    if (waitMs > 0) return rateLimited(waitMs);
    const secrets = readSecrets(params.auth);
    const refusal = this.checkDevice(params, secrets, input);
    if (refusal !== undefined) return refusal;
    const found = await this.find(params, secrets);
    // SECURITY: a tenant that is not there and one that is not theirs look like a wrong credential, after equal work.
    if ("ok" in found || !isNamed(found.tenant, input.named)) {
      return this.fail("ok" in found ? found : this.mismatch(secrets), secrets, input.address);
    }
    return this.accept(found, params, read.protocol);
  }

  /** What stands against the device or its absence, before any credential is looked up. */
  private checkDevice(
    params: ConnectParams,
    secrets: ConnectSecrets,
    input: ConnectInput,
  ): Refusal | undefined {
    if (hasDevice(params)) {
      const fault = checkDeviceProof(params, input.nonce, this.deps.clock.nowMs());
      if (fault === undefined) return undefined;
      this.deps.attempts.noteFailure(input.address, null);
      return proofRefused(fault);
    }
    // Our own page shows the token of its browser session instead; the stock one always has a device.
    const hasSocketToken = secrets.secret !== undefined && looksLikeJwt(secrets.secret);
    if (params.client.id === "openclaw-control-ui" && !hasSocketToken) return controlUiDeviceRequired();
    if (secrets.secret === undefined && secrets.deviceToken === undefined) return deviceRequired();
    return undefined;
  }

  private async find(params: ConnectParams, secrets: ConnectSecrets): Promise<Authenticated | Refusal> {
    const { secret, deviceToken } = secrets;
    if (secrets.isContradictory) return tokenMismatch();
    if (secret === undefined || secret === deviceToken || looksLikeDeviceToken(secret)) {
      const shown = secret ?? deviceToken;
      if (shown === undefined) return tokenMissing();
      return (await this.findByDevice(shown, params)) ?? deviceTokenMismatch();
    }
    const { authenticator } = this.deps;
    const found = looksLikeJwt(secret)
      ? await authenticator.findBySocketToken(secret)
      : await authenticator.findByApiToken(secret);
    if (found !== undefined) return found;
    // A client that holds both tries the explicit one and falls back to what its device was given.
    const fallback = deviceToken === undefined ? undefined : await this.findByDevice(deviceToken, params);
    return fallback ?? tokenMismatch();
  }

  private async findByDevice(token: string, params: ConnectParams): Promise<Authenticated | undefined> {
    if (!hasDevice(params)) return undefined;
    return this.deps.authenticator.findByDeviceToken(token, params.device.id, params.client.id);
  }

  /** The refusal a wrong credential of this sort would get. */
  private mismatch({ secret, deviceToken }: ConnectSecrets): Refusal {
    const isDevice = secret === undefined || secret === deviceToken || looksLikeDeviceToken(secret);
    return isDevice ? deviceTokenMismatch() : tokenMismatch();
  }

  private fail(refusal: Refusal, secrets: ConnectSecrets, address: string): Refusal {
    if (secrets.secret === undefined && secrets.deviceToken === undefined) return refusal;
    const account = secrets.secret === undefined ? null : accountOf(secrets.secret);
    const waitMs = this.deps.attempts.noteFailure(address, account);
    return waitMs > 0 ? rateLimited(waitMs) : refusal;
  }

  private async accept(
    found: Authenticated,
    params: ConnectParams,
    protocol: number,
  ): Promise<ConnectAccepted> {
    const scopes = grantScopes(params.scopes ?? [], [...found.principal.scopes]);
    const principal: Principal = { ...found.principal, scopes: new Set(scopes) };
    const accepted: ConnectAccepted = {
      ok: true,
      principal,
      tenant: found.tenant,
      protocol,
      client: {
        id: params.client.id,
        mode: params.client.mode,
        version: params.client.version,
        platform: params.client.platform,
      },
      caps: params.caps,
    };
    if (!hasDevice(params) || params.client.mode === "probe" || scopes.length === 0) return accepted;
    if (found.deviceToken !== undefined) return { ...accepted, deviceToken: found.deviceToken };
    const deviceToken = await this.deps.devices.issue({
      tenantId: found.tenant.id,
      userId: principal.userId,
      deviceId: params.device.id,
      clientId: params.client.id,
      scopes,
      source: found.source,
    });
    return { ...accepted, deviceToken };
  }
}

function hasDevice(params: ConnectParams): params is WithDevice {
  return params.device !== undefined;
}

function isNamed(tenant: Tenant, named: ConnectInput["named"]): boolean {
  if (named === null) return true;
  return named !== "unknown" && named.id === tenant.id;
}

function isOriginAllowed(params: ConnectParams, input: ConnectInput): boolean {
  if (input.origin === undefined) return !isBrowserClient(params.client);
  return input.allowedOrigins.includes(input.origin);
}
