/**
 * Short-lived signed tokens with which a signed-in browser opens its socket (RFC 7519, RFC 8037).
 * Owns: making them, and the one `verify` of all JWTs in the product. Refuses to know: whether the session still is
 * open (authenticate asks), cookies, sockets.
 */
import { decodeProtectedHeader, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import { isUuid, newId, type TenantId, type UserId } from "../../kernel/ids.ts";
import type { SigningKeys, SigningPurpose } from "./signing-keys.ts";

/** How long a socket token can open a socket; the socket itself lives as long as the session. */
export const SOCKET_TOKEN_MS = 5 * 60 * 1000;

/** What a genuine token says. */
export interface SocketClaims {
  tenantId: TenantId;
  userId: UserId;
  /** The browser session it stands for. */
  sessionId: string;
  tokenId: string;
  expiresAtMs: number;
}

/** Purposes whose signatures are tokens. */
type TokenPurpose = Extract<SigningPurpose, "socket">;

/** What is pinned for each purpose. */
const PURPOSES: Readonly<Record<TokenPurpose, { typ: string; lifeMs: number }>> = {
  socket: { typ: "creel-socket+jwt", lifeMs: SOCKET_TOKEN_MS },
};

const ALGORITHM = "EdDSA";
const TOKEN_CHARS = 8 * 1024;
/** Clocks of two machines that serve the same tenant differ by less than this. */
const TOLERANCE_S = 5;

const HEADER = z.strictObject({ alg: z.literal(ALGORITHM), kid: z.string(), typ: z.string() });
const CLAIMS = z.strictObject({
  iss: z.string(),
  aud: z.string(),
  sub: z.string().refine(isUuid),
  sid: z.string().refine(isUuid),
  tid: z.string().refine(isUuid),
  jti: z.string().refine(isUuid),
  iat: z.int(),
  exp: z.int(),
});

/** See the head of this file. */
export class SocketTokens {
  private readonly keys: SigningKeys;
  private readonly clock: Clock;
  private readonly issuer: string;

  /** @param issuer names this deployment; stays the same over restarts */
  constructor(keys: SigningKeys, clock: Clock, issuer: string) {
    this.keys = keys;
    this.clock = clock;
    this.issuer = issuer;
  }

  /** Make a token for a person's browser session in a tenant. */
  async create(input: {
    tenantId: TenantId;
    userId: UserId;
    sessionId: string;
  }): Promise<{ token: string; expiresAtMs: number }> {
    const { kid, privateKey } = await this.keys.getCurrent("socket");
    const issuedS = Math.floor(this.clock.nowMs() / 1000);
    const expiresS = issuedS + SOCKET_TOKEN_MS / 1000;
    const token = await new SignJWT({ tid: input.tenantId, sid: input.sessionId })
      .setProtectedHeader({ alg: ALGORITHM, kid, typ: PURPOSES.socket.typ })
      .setIssuer(this.issuer)
      .setAudience(input.tenantId)
      .setSubject(input.userId)
      .setJti(newId())
      .setIssuedAt(issuedS)
      .setExpirationTime(expiresS)
      .sign(privateKey);
    return { token, expiresAtMs: expiresS * 1000 };
  }

  /**
   * Check a token: size, form, key, algorithm, issuer, audience, type, times, claims. Undefined for anything else;
   * the reason is nobody's business.
   * @param named the tenant that the connection names, if it names one; the token must be for it
   */
  async verify(
    purpose: TokenPurpose,
    token: string,
    named: TenantId | null = null,
  ): Promise<SocketClaims | undefined> {
    // SECURITY: size and form come before any parsing, so that a megabyte or ten thousand dots cost nothing.
    if (!looksLikeJwt(token) || token.length > TOKEN_CHARS) return undefined;
    const header = readHeader(token);
    if (header === undefined || header.typ !== PURPOSES[purpose].typ) return undefined;
    const key = await this.keys.findByKid(header.kid);
    if (key === undefined || key.purpose !== purpose) return undefined;
    try {
      const { payload } = await jwtVerify(token, key.publicKey, {
        algorithms: [ALGORITHM],
        issuer: this.issuer,
        // SECURITY: one key signs for all tenants, so the tenant is the audience, and `tid` must say the same.
        ...(named === null ? {} : { audience: named }),
        typ: PURPOSES[purpose].typ,
        requiredClaims: ["exp", "iat", "sub", "aud", "jti", "tid", "sid"],
        maxTokenAge: PURPOSES[purpose].lifeMs / 1000,
        clockTolerance: TOLERANCE_S,
        currentDate: new Date(this.clock.nowMs()),
      });
      return toClaims(payload, PURPOSES[purpose].lifeMs);
    } catch {
      return undefined;
    }
  }
}

const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** Whether a text has the outer form of a compact JWS; decides only by which door it is tried. */
export function looksLikeJwt(text: string): boolean {
  const first = text.indexOf(".");
  if (first === -1 || text.length > 4 * TOKEN_CHARS) return false;
  return JWT.test(text);
}

function readHeader(token: string): z.output<typeof HEADER> | undefined {
  try {
    // SECURITY: a closed set of header fields: jwk, jku, x5u, x5c, crit and zip end here.
    return HEADER.safeParse(decodeProtectedHeader(token)).data;
  } catch {
    return undefined;
  }
}

function toClaims(payload: unknown, lifeMs: number): SocketClaims | undefined {
  const claims = CLAIMS.safeParse(payload).data;
  // SECURITY: `aud` is one text by the schema; a list of audiences would be a token for several tenants.
  if (claims === undefined || claims.tid !== claims.aud) return undefined;
  if (claims.exp - claims.iat > lifeMs / 1000) return undefined;
  return {
    tenantId: claims.tid as TenantId,
    userId: claims.sub as UserId,
    sessionId: claims.sid,
    tokenId: claims.jti,
    expiresAtMs: claims.exp * 1000,
  };
}
