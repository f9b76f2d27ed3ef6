/**
 * Messages in which a provider says that somebody signed out (OpenID Connect Back-Channel Logout 1.0, section 2.6).
 * Owns: which of them count. Refuses to know: sessions.
 */
import { decodeProtectedHeader, jwtVerify } from "jose";
import { z } from "zod";
import type { Clock } from "../../../kernel/clock.ts";
import { readSubject } from "../../people/identity.ts";
import type { SignInProvider } from "../providers.ts";
import { type ProviderClients, SIGNATURES } from "./clients.ts";

/** How old a message may be, and how long it is remembered that it counted. */
export const LOGOUT_MESSAGE_MS = 5 * 60 * 1000;

/** Whose sessions end: all of a subject, or the one the provider calls `providerSession`. */
export interface LogoutMessage {
  id: string;
  subject: string | null;
  providerSession: string | null;
}

const EVENT = "http://schemas.openid.net/event/backchannel-logout";
const TOKEN_CHARS = 8 * 1024;
const TOLERANCE_S = 30;

/** SECURITY: `typ` and the event keep ID tokens and access tokens of the same provider out (ATTACKS AU-03). */
const HEADER = z.looseObject({
  alg: z.string(),
  typ: z.literal("logout+jwt"),
  kid: z.string().max(256).optional(),
});
const CLAIMS = z
  .looseObject({
    jti: z.string().min(1).max(255),
    iat: z.number(),
    events: z.looseObject({ [EVENT]: z.looseObject({}) }),
    sub: z.string().optional(),
    sid: z.string().min(1).max(255).optional(),
  })
  .refine((claims) => claims.sub !== undefined || claims.sid !== undefined)
  .refine((claims) => !Object.hasOwn(claims, "nonce"));

/** Check a message; undefined for anything that does not count, whatever the reason. Throws when keys cannot be read. */
export async function readLogoutToken(
  token: string,
  provider: SignInProvider,
  clients: ProviderClients,
  clock: Clock,
): Promise<LogoutMessage | undefined> {
  // SECURITY: size and form come before any parsing and any request.
  if (token.length > TOKEN_CHARS || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return undefined;
  const header = readHeader(token);
  if (header === undefined || !SIGNATURES.includes(header.alg)) return undefined;
  const keys = await clients.keysFor(provider, header.kid);
  try {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: [...SIGNATURES],
      issuer: provider.issuer,
      audience: provider.clientId,
      typ: "logout+jwt",
      requiredClaims: ["iat", "jti", "events"],
      maxTokenAge: LOGOUT_MESSAGE_MS / 1_000,
      clockTolerance: TOLERANCE_S,
      currentDate: new Date(clock.nowMs()),
    });
    const claims = CLAIMS.parse(payload);
    const subject = claims.sub === undefined ? null : readSubject(claims.sub);
    return { id: claims.jti, subject, providerSession: claims.sid ?? null };
  } catch {
    return undefined;
  }
}

function readHeader(token: string): z.output<typeof HEADER> | undefined {
  try {
    return HEADER.safeParse(decodeProtectedHeader(token)).data;
  } catch {
    return undefined;
  }
}
