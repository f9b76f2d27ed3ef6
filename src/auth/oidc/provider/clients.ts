/**
 * Talking OpenID Connect with providers (OpenID Connect Core and Discovery 1.0, RFC 7636, RFC 9207). Owns: discovery,
 * the authorization request, redeeming a code, what of the answer is checked. Refuses to know: people, sessions, where
 * flows are kept.
 */
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet } from "jose";
import type { Configuration, ServerMetadata } from "openid-client";
import type { Clock } from "../../../kernel/clock.ts";
import { sha256Hex } from "../../../kernel/crypto.ts";
import type { Egress } from "../../../kernel/egress.ts";
import { AppError } from "../../../kernel/errors.ts";
import { RecentMap } from "../../guard/recent-map.ts";
import { DEPLOYMENT } from "../../people/identity.ts";
import type { Flow } from "../flows.ts";
import type { SignInProvider } from "../providers.ts";
import { assertAddress, fetchForProvider, mayBePlain } from "./guarded-fetch.ts";

/** Signatures that count, of ID tokens and logout tokens alike. */
export const SIGNATURES: readonly string[] = ["EdDSA", "ES256", "RS256"];

/** What a provider says after a code was redeemed; signature, issuer, audience, nonce and times are checked. */
export interface Proof {
  claims: Readonly<Record<string, unknown>>;
  idToken: string;
  /** The provider's name of its session, `sid`. */
  providerSession: string | null;
}

interface Connected {
  configuration: Configuration;
  fetch: typeof fetch;
  keys: { jwks: JSONWebKeySet; atMs: number } | null;
}

interface Remembered {
  connected: Promise<Connected>;
  untilMs: number;
}

const REMEMBERED = 500;
const KEPT_MS = 3_600_000;
/** A provider that cannot be reached is not asked again for this long. */
const FAILED_MS = 5_000;
const KEYS_MS = 5 * 60 * 1000;
/** Keys are not read again sooner, however many unknown ones are named. */
const KEYS_AGAIN_MS = 30_000;
/** Difference of clocks that a fresh sign-in may show. */
const SKEW_S = 30;
const TIMEOUT_S = 5;

/** See the head of this file. */
export class ProviderClients {
  private readonly egress: Egress;
  private readonly clock: Clock;
  /** By realm, provider and all that was used to connect. */
  private readonly remembered = new RecentMap<Remembered>(REMEMBERED);

  constructor(egress: Egress, clock: Clock) {
    this.egress = egress;
    this.clock = clock;
  }

  /** Throws `provider_failed` or `egress_refused` when a provider cannot be used as it is set. */
  async assertUsable(provider: SignInProvider): Promise<void> {
    await this.connect(provider);
  }

  /** Where to send the browser. A fresh proof asks the provider not to rely on an older sign-in. */
  async authorizationUrl(
    provider: SignInProvider,
    flow: Pick<Flow, "verifier" | "nonce" | "intent">,
    request: { state: string; redirectUri: string },
  ): Promise<string> {
    const { configuration } = await this.connect(provider);
    const oidc = await import("openid-client");
    const parameters: Record<string, string> = {
      redirect_uri: request.redirectUri,
      scope: provider.scopes.join(" "),
      state: request.state,
      nonce: flow.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(flow.verifier),
      code_challenge_method: "S256",
    };
    if (flow.intent !== "sign_in") parameters["prompt"] = "login";
    if (flow.intent === "step_up") parameters["max_age"] = "0";
    const url = oidc.buildAuthorizationUrl(configuration, parameters);
    return url.href;
  }

  /** Turn what came back into a checked proof. Throws `unauthenticated`, `provider_failed` or `egress_refused`. */
  async redeem(provider: SignInProvider, flow: Flow, callback: { url: URL; state: string }): Promise<Proof> {
    const { configuration } = await this.connect(provider);
    const oidc = await import("openid-client");
    const elapsedS = Math.ceil((this.clock.nowMs() - flow.createdAtMs) / 1_000);
    try {
      const tokens = await oidc.authorizationCodeGrant(configuration, callback.url, {
        // SECURITY: openid-client checks only what is given here (SECURITY.md LAB 13).
        expectedState: callback.state,
        expectedNonce: flow.nonce,
        pkceCodeVerifier: flow.verifier,
        idTokenExpected: true,
        ...(flow.intent === "step_up" ? { maxAge: elapsedS + SKEW_S } : {}),
      });
      const claims = tokens.claims();
      const idToken = tokens.id_token ?? "";
      if (claims === undefined || !isPinned(claims, idToken, provider)) throw refused();
      const facts = await this.withUserInfo(configuration, claims, tokens.access_token);
      const sid = typeof claims["sid"] === "string" && claims["sid"].length <= 255 ? claims["sid"] : null;
      return { claims: facts, idToken, providerSession: sid };
    } catch (thrown) {
      throw findAppError(thrown) ?? refused(thrown);
    }
  }

  /** Where the browser signs out at the provider too; null when it offers nothing such. */
  async endSessionUrl(
    provider: SignInProvider,
    request: { idToken: string | null; returnTo: string },
  ): Promise<string | null> {
    const { configuration } = await this.connect(provider);
    const endpoint = configuration.serverMetadata().end_session_endpoint;
    if (endpoint === undefined) return null;
    assertAddress(endpoint, this.egress);
    const oidc = await import("openid-client");
    const url = oidc.buildEndSessionUrl(configuration, {
      post_logout_redirect_uri: request.returnTo,
      ...(request.idToken === null ? {} : { id_token_hint: request.idToken }),
    });
    return url.href;
  }

  /** The provider's keys for checking a signature made with `kid`; read anew when that is unknown. */
  async keysFor(provider: SignInProvider, kid: string | undefined) {
    const connected = await this.connect(provider);
    const ageMs = this.clock.monotonicMs() - (connected.keys?.atMs ?? Number.NEGATIVE_INFINITY);
    const isKnown = connected.keys?.jwks.keys.some((key) => key.kid === kid) === true;
    if (connected.keys === null || ageMs > KEYS_MS || (!isKnown && ageMs > KEYS_AGAIN_MS)) {
      const address = assertAddress(connected.configuration.serverMetadata().jwks_uri, this.egress);
      const response = await connected.fetch(address, { headers: { accept: "application/json" } });
      if (!response.ok) throw new AppError("provider_failed", "The sign-in provider shows no keys.");
      connected.keys = {
        jwks: (await response.json()) as JSONWebKeySet,
        atMs: this.clock.monotonicMs(),
      };
    }
    return createLocalJWKSet(connected.keys.jwks);
  }

  private async connect(provider: SignInProvider): Promise<Connected> {
    const secret = await provider.openSecret();
    const key = JSON.stringify([
      ...[provider.realm, provider.id, provider.issuer, provider.clientId],
      sha256Hex(secret),
    ]);
    const nowMs = this.clock.monotonicMs();
    const known = this.remembered.get(key);
    if (known !== undefined && known.untilMs > nowMs) return known.connected;
    const connected = this.discover(provider, secret);
    const entry = { connected, untilMs: nowMs + KEPT_MS };
    this.remembered.set(key, entry);
    connected.catch(() => {
      entry.untilMs = this.clock.monotonicMs() + FAILED_MS;
    });
    return connected;
  }

  private async discover(provider: SignInProvider, secret: string): Promise<Connected> {
    const { issuer, clientId, realm } = provider;
    assertAddress(issuer, this.egress);
    const oidc = await import("openid-client");
    const guarded = fetchForProvider(this.egress, { issuer, isOperators: realm === DEPLOYMENT });
    // SECURITY: only for an issuer on this machine that the operator listed; every address is judged again on its way.
    const plain = mayBePlain(issuer, this.egress) ? [oidc.allowInsecureRequests] : [];
    try {
      const found = await oidc.discovery(new URL(issuer), clientId, undefined, oidc.None(), {
        [oidc.customFetch]: guarded as never,
        timeout: TIMEOUT_S,
        execute: plain,
      });
      const metadata = this.checkMetadata(found.serverMetadata(), issuer);
      const takesBasic =
        metadata.token_endpoint_auth_methods_supported?.includes("client_secret_basic") ?? true;
      const authentication = takesBasic ? oidc.ClientSecretBasic(secret) : oidc.ClientSecretPost(secret);
      const configuration = new oidc.Configuration(metadata, clientId, undefined, authentication);
      configuration[oidc.customFetch] = guarded as never;
      configuration.timeout = TIMEOUT_S;
      // SECURITY: without this the signature of an ID token that came over TLS is not looked at.
      for (const extend of [...plain, oidc.enableNonRepudiationChecks]) extend(configuration);
      return { configuration, fetch: guarded, keys: null };
    } catch (cause) {
      throw (
        findAppError(cause) ??
        new AppError("provider_failed", "The sign-in provider's description cannot be used.", { cause })
      );
    }
  }

  private checkMetadata(metadata: ServerMetadata, issuer: string): ServerMetadata {
    // SECURITY: byte for byte; openid-client lets some well-known issuers differ (ATTACKS ID-05).
    if (metadata.issuer !== issuer) {
      throw new AppError("provider_failed", "The sign-in provider calls itself by another issuer.");
    }
    for (const name of ["authorization_endpoint", "token_endpoint", "jwks_uri"] as const) {
      assertAddress(metadata[name], this.egress);
    }
    const offered = metadata.id_token_signing_alg_values_supported ?? ["RS256"];
    const signatures = offered.filter((one) => SIGNATURES.includes(one));
    if (signatures.length === 0) {
      throw new AppError("provider_failed", "The sign-in provider signs in no way that is accepted here.");
    }
    const { supportsPKCE: _, ...plain } = metadata as ServerMetadata & { supportsPKCE?: unknown };
    return { ...plain, id_token_signing_alg_values_supported: signatures };
  }

  /** Names and addresses that the token leaves out, when the provider tells them elsewhere. */
  private async withUserInfo(
    configuration: Configuration,
    claims: Readonly<Record<string, unknown>> & { sub: string },
    accessToken: string,
  ): Promise<Readonly<Record<string, unknown>>> {
    const isFull = claims["name"] !== undefined || claims["email"] !== undefined;
    if (isFull || configuration.serverMetadata().userinfo_endpoint === undefined) return claims;
    const oidc = await import("openid-client");
    const more = await oidc.fetchUserInfo(configuration, accessToken, claims.sub).catch(() => ({}));
    // ORDER: what is signed wins.
    return { ...more, ...claims };
  }
}

/** Whether a token was made for us and nobody else (OpenID Connect Core 3.1.3.7, steps 3 to 5 and 7). */
function isPinned(
  claims: Readonly<Record<string, unknown>>,
  idToken: string,
  provider: SignInProvider,
): boolean {
  const { clientId, issuer } = provider;
  const audiences = Array.isArray(claims["aud"]) ? claims["aud"] : [claims["aud"]];
  const isForUs = audiences.includes(clientId) && (audiences.length === 1 || claims["azp"] === clientId);
  const isOurs = claims["azp"] === undefined || claims["azp"] === clientId;
  const { alg } = decodeProtectedHeader(idToken);
  return isForUs && isOurs && claims["iss"] === issuer && alg !== undefined && SIGNATURES.includes(alg);
}

function refused(cause?: unknown): AppError {
  return new AppError("unauthenticated", "The sign-in provider's answer does not count.", { cause });
}

function findAppError(thrown: unknown): AppError | undefined {
  for (let cause = thrown; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof AppError) return cause;
  }
  return undefined;
}
