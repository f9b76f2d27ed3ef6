/** The sign-in provider a tenant brings itself, over HTTP. Owns: those shapes. Refuses to know: signing in. */
import type { Role } from "./account.ts";
import type { ProviderIcon } from "./identity.ts";
import { requestJson } from "./request.ts";

/** The provider as it is kept, without its secret, and the addresses to register there. */
export interface OwnSignIn {
  issuer: string;
  clientId: string;
  label: string;
  icon: ProviderIcon;
  /** Role of whoever comes for the first time; null lets only the invited in. */
  defaultRole: Exclude<Role, "owner"> | null;
  startLink: string;
  redirectUri: string;
  backchannelLogoutUri: string;
  postLogoutRedirectUri: string;
}

/** A provider to be kept; without `clientSecret` the stored one stays. */
export interface OwnSignInWish {
  issuer: string;
  clientId: string;
  clientSecret?: string;
  label: string;
  icon: ProviderIcon;
  defaultRole: Exclude<Role, "owner"> | null;
}

const path = (slug: string): string => `/t/${encodeURIComponent(slug)}/api/sign-in-provider`;

/** The tenant's own provider, or null. */
export async function findOwnSignIn(slug: string): Promise<OwnSignIn | null> {
  return (await requestJson<{ provider: OwnSignIn | null }>("GET", path(slug))).provider;
}

/** Keeps a provider; `problem` says why it does not answer, if it does not. */
export function saveOwnSignIn(
  slug: string,
  wish: OwnSignInWish,
): Promise<{ provider: OwnSignIn; problem: string | null }> {
  return requestJson("PUT", path(slug), wish);
}

/** Forgets the provider; whoever came through it is signed out. */
export function removeOwnSignIn(slug: string): Promise<void> {
  return requestJson("DELETE", path(slug));
}
