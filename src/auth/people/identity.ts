/**
 * What a provider says of a person, made safe. Owns: which subjects count, what may be shown, when an address is
 * believed. Refuses to know: tokens and their signatures (oidc checked them), where identities are kept.
 */
import { AppError } from "../../kernel/errors.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";

/** Who vouches: the deployment's providers, or the one that a tenant brought. */
export type Realm = TenantId | "";

/** The realm of the deployment's providers. */
export const DEPLOYMENT: Realm = "";

/** Names in whose claims a broker tells about the provider behind it. */
export interface UpstreamClaims {
  provider: string;
  openid?: string | undefined;
  unionid?: string | undefined;
}

/** What was said of a person at one sign-in. */
export interface IdentityFacts {
  /** Exactly as the provider wrote it; compared byte by byte. */
  subject: string;
  /** The provider behind a broker, e.g. `github` or `wechat`. */
  upstream: string | null;
  externalIds: readonly { kind: "openid" | "unionid"; value: string }[];
  displayName: string | null;
  email: string | null;
  /** Only what an issuer that the operator trusts with addresses calls verified. */
  emailVerified: boolean;
}

/** One way in of a person, as kept. */
export interface Identity {
  id: string;
  userId: UserId;
  realm: Realm;
  issuer: string;
  subject: string;
  /** Id of the provider, or binding id of a tenant's own, where it was last used. */
  provider: string;
  upstream: string | null;
  displayName: string | null;
  email: string | null;
  emailVerified: boolean;
  linkedAtMs: number;
  lastUsedAtMs: number | null;
}

const SUBJECT_CHARS = 255;
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Read the claims of a checked ID token. Throws `unauthenticated` for a subject that cannot be kept exactly. */
export function readFacts(
  claims: Readonly<Record<string, unknown>>,
  rules: { upstream?: UpstreamClaims | undefined; trustEmail: boolean },
): IdentityFacts {
  const { upstream, trustEmail } = rules;
  const email = shownText(claims["email"], 254);
  const externalIds = (["openid", "unionid"] as const).flatMap((kind) => {
    const value = shownText(claimAt(claims, upstream?.[kind]), SUBJECT_CHARS);
    return value === null ? [] : [{ kind, value }];
  });
  return {
    subject: readSubject(claims["sub"]),
    upstream: shownText(claimAt(claims, upstream?.provider), 64),
    externalIds,
    displayName: nameIn(claims),
    email,
    // SECURITY: only the boolean; "true", 1 and silence are claims of nobody (ATTACKS ID-09).
    emailVerified: email !== null && trustEmail && claims["email_verified"] === true,
  };
}

/**
 * A subject, exactly. SECURITY: a number has many spellings, control characters end or split texts elsewhere, and a
 * lone surrogate would be stored as the same replacement character as every other (ATTACKS ID-17).
 */
export function readSubject(value: unknown): string {
  const isGood =
    typeof value === "string" &&
    value.length >= 1 &&
    value.length <= SUBJECT_CHARS &&
    value.isWellFormed() &&
    !CONTROL.test(value);
  if (!isGood) throw new AppError("unauthenticated", "The sign-in provider named nobody.");
  return value;
}

/**
 * The one form in which addresses are compared: printable ASCII, lower case, one `@`, no quotes; null for every other,
 * which then equals none. Nothing is taken off: `a+b@` is not `a@` (ATTACKS ID-10).
 */
export function emailKey(address: string): string | null {
  const isPlain =
    address.length <= 254 &&
    /^[A-Za-z0-9._%+\-']{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}$/.test(address);
  return isPlain ? address.toLowerCase() : null;
}

function claimAt(claims: Readonly<Record<string, unknown>>, name: string | undefined): unknown {
  return name !== undefined && Object.hasOwn(claims, name) ? claims[name] : undefined;
}

function nameIn(claims: Readonly<Record<string, unknown>>): string | null {
  for (const name of ["name", "nickname", "preferred_username"]) {
    const text = shownText(claims[name], 200);
    if (text !== null) return text;
  }
  return null;
}

/** A text for people to read, or null: no control or direction characters, not empty, not too long. */
function shownText(value: unknown, maxChars: number): string | null {
  if (typeof value !== "string" || value.length > maxChars * 4 || !value.isWellFormed()) return null;
  const text = value
    .replaceAll(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "")
    .trim()
    .slice(0, maxChars)
    .toWellFormed();
  return text === "" ? null : text;
}
