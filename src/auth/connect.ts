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
  setupCodeRefused,
  tokenMismatch,
  tokenMissing,
} from "./handshake/refusals.ts";
import { type DeviceFacts, factsOf } from "./pairing/device.ts";
import type { PairingDoor } from "./pairing/pairing-door.ts";
import type { CredentialSource } from "./tokens.ts";

/** Everything that decides about a connect. */
export interface ConnectInput {
  /**
   * The tenant that host, path or header name: resolved; null when none is named; "unknown" when one is named that
   * does not exist or does not serve.
   */
  named: Tenant | null | "unknown";
  /** What the request calls the tenant, known or not; for counting guesses. */
  claimed?: string | null;
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
  /** To be called once hello-ok is on its way; only for devices that came with a setup code. */
  delivered?: () => void;
}

/** What became of a connect. */
export type ConnectOutcome = ConnectAccepted | Refusal;

/** What the check needs. */
export interface ConnectDeps {
  authenticator: Authenticator;
  devices: Devices;
  pairing: PairingDoor;
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
    if (hasDevice(params) && secrets.secret === undefined && secrets.deviceToken === undefined)
      return this.byKeyAlone(params, secrets, input, read.protocol);
    const found = await this.find(params, secrets, input);
    // SECURITY: a tenant that is not there and one that is not theirs look like a wrong credential, after equal work.
    if ("ok" in found || !isNamed(found.tenant, input.named)) {
      return this.fail("ok" in found ? found : this.mismatch(secrets), secrets, input);
    }
    return this.accept(
      found,
      params,
      hasDevice(params) ? factsOf(params, input.address) : null,
      read.protocol,
    );
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

  /** A device that shows no credential: let in before, or with a setup code, or else it may ask. */
  private async byKeyAlone(
    params: WithDevice,
    { bootstrapToken }: ConnectSecrets,
    input: ConnectInput,
    protocol: number,
  ): Promise<ConnectOutcome> {
    const { pairing, attempts } = this.deps;
    const facts = factsOf(params, input.address);
    if (bootstrapToken !== undefined) {
      const setUp = await pairing.redeem(input.named, bootstrapToken, facts);
      if (setUp === undefined) {
        attempts.noteFailure(input.address, null);
        return setupCodeRefused();
      }
      const accepted = await this.accept(setUp.found, params, facts, protocol);
      return { ...accepted, delivered: () => setUp.delivered() };
    }
    // Nobody is guessed: who names no tenant has nobody to ask.
    if (input.named === null) return tokenMissing();
    const found = await pairing.findPaired(input.named, params.device.id, input.address);
    if (found !== undefined) return this.accept(found, params, facts, protocol);
    // The stock page asks its person for a token; every visitor's page load would be a request otherwise.
    if (params.client.id === "openclaw-control-ui") return tokenMissing();
    return pairing.ask(input.named, facts, params.scopes ?? [], params.client.mode === "probe");
  }

  private async find(
    params: ConnectParams,
    secrets: ConnectSecrets,
    { address, named }: ConnectInput,
  ): Promise<Authenticated | Refusal> {
    const from = sourceOf(params, address);
    const namedId = named === null || named === "unknown" ? null : named.id;
    const { secret, deviceToken } = secrets;
    if (secrets.isContradictory) return tokenMismatch();
    if (secret === undefined || secret === deviceToken || looksLikeDeviceToken(secret)) {
      const shown = secret ?? deviceToken;
      if (shown === undefined) return tokenMissing();
      return (await this.findByDevice(shown, params, from)) ?? deviceTokenMismatch();
    }
    const { authenticator } = this.deps;
    const found = looksLikeJwt(secret)
      ? await authenticator.findBySocketToken(secret, namedId, from)
      : await authenticator.findByApiToken(secret, from);
    if (found !== undefined) return found;
    // A client that holds both tries the explicit one and falls back to what its device was given.
    const fallback =
      deviceToken === undefined ? undefined : await this.findByDevice(deviceToken, params, from);
    return fallback ?? tokenMismatch();
  }

  private async findByDevice(
    token: string,
    params: ConnectParams,
    from: CredentialSource,
  ): Promise<Authenticated | undefined> {
    if (!hasDevice(params)) return undefined;
    return this.deps.authenticator.findByDeviceToken(token, params.device.id, params.client.id, from);
  }

  /** The refusal a wrong credential of this sort would get. */
  private mismatch({ secret, deviceToken }: ConnectSecrets): Refusal {
    const isDevice = secret === undefined || secret === deviceToken || looksLikeDeviceToken(secret);
    return isDevice ? deviceTokenMismatch() : tokenMismatch();
  }

  private fail(refusal: Refusal, secrets: ConnectSecrets, { address, claimed }: ConnectInput): Refusal {
    if (secrets.secret === undefined && secrets.deviceToken === undefined) return refusal;
    const account = secrets.secret === undefined ? null : accountOf(secrets.secret);
    const waitMs = this.deps.attempts.noteFailure(address, account, claimed ?? null);
    return waitMs > 0 ? rateLimited(waitMs) : refusal;
  }

  private async accept(
    found: Authenticated,
    params: ConnectParams,
    facts: DeviceFacts | null,
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
    // SECURITY: an operator who looks in leaves no credential behind in the tenant.
    if (principal.credential.kind === "break_glass") return accepted;
    if (facts === null || params.client.mode === "probe" || scopes.length === 0) return accepted;
    if (found.deviceToken !== undefined) {
      this.deps.devices.noteSeen(found.tenant.id, principal.credential.id, facts);
      return { ...accepted, deviceToken: found.deviceToken };
    }
    const binding = { tenantId: found.tenant.id, userId: principal.userId, deviceId: facts.deviceId };
    const deviceToken = await this.deps.devices.issue(
      { ...binding, clientId: params.client.id, scopes, source: found.source },
      facts,
    );
    return { ...accepted, deviceToken };
  }
}

/** From where, and with which program, a credential is shown. */
function sourceOf({ client }: ConnectParams, address: string): CredentialSource {
  return { address, agent: `${client.id} ${client.version}` };
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
