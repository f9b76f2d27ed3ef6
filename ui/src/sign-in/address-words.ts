/**
 * Secrets and news that arrive behind the `#` of an address. Owns: reading them and taking them out of the address bar
 * and the history at once. Refuses to know: what they open.
 */

/** What an address can carry. */
export interface AddressWords {
  /** A one-time sign-in link. */
  link: string | undefined;
  /** An invitation; kept for this tab until it is used, since signing in leaves the page. */
  invite: string | undefined;
  /** Why signing in elsewhere came back without success. */
  problem: string | undefined;
}

const INVITE = "creel:invite";

/** Reads what the address carries. Called once, before the first render. */
export function takeAddressWords(): AddressWords {
  const match = /^#(link|invite|problem)=([^&]+)$/.exec(location.hash);
  const found: AddressWords = { link: undefined, invite: undefined, problem: undefined };
  if (match?.[1] && match[2]) {
    // SECURITY: before anything else runs, so that no secret is ever in a screenshot, a referrer or the history.
    history.replaceState(null, "", `${location.pathname}${location.search}`);
    found[match[1] as keyof AddressWords] = decoded(match[2]);
  }
  if (found.invite !== undefined) keepInvite(found.invite);
  // Signing out for another account leads to `/login`, and from there back to the invitation.
  else if (/^\/(?:join|login)$/.test(location.pathname)) found.invite = keptInvite();
  return found;
}

/** Forget the invitation of this tab. */
export function forgetInvite(): void {
  try {
    sessionStorage.removeItem(INVITE);
  } catch {
    // Nothing was kept without storage.
  }
}

function keepInvite(secret: string): void {
  try {
    sessionStorage.setItem(INVITE, secret);
  } catch {
    // Without storage the link must be opened again after signing in.
  }
}

function keptInvite(): string | undefined {
  try {
    return sessionStorage.getItem(INVITE) ?? undefined;
  } catch {
    return undefined;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
