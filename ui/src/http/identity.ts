/** Signing in and one's own credentials over HTTP. Owns: those shapes. Refuses to know: tenants, how things are shown. */
import type { Role } from "./account.ts";
import { requestJson } from "./request.ts";

/** The pictures a provider may choose from. */
export type ProviderIcon = "github" | "google" | "wechat" | "key" | "building";

/** A place to sign in at. */
export interface SignInProvider {
  id: string;
  label: string;
  icon: ProviderIcon;
}

/** One of the ways a person is known. */
export interface Identity {
  id: string;
  provider: string;
  label: string;
  icon: ProviderIcon;
  upstream: string | null;
  displayName: string | null;
  email: string | null;
  emailVerified: boolean;
  linkedAtMs: number;
  lastUsedAtMs: number | null;
}

/** A browser that is signed in. */
export interface OpenBrowser {
  id: string;
  isCurrent: boolean;
  method: "link" | "oidc";
  createdAtMs: number;
  lastSeenAtMs: number;
  address: string | null;
  agent: string | null;
}

/** The signed-in person's own page. */
export interface OwnAccount {
  user: { id: string; displayName: string; language: string | null; createdAtMs: number };
  authAtMs: number;
  identities: Identity[];
  linkable: SignInProvider[];
  sessions: OpenBrowser[];
  suggestions: { provider: string; label: string; email: string }[];
}

/** A device with a token in the tenant. */
export interface Device {
  id: string;
  deviceId: string;
  userId: string;
  displayName: string;
  /** The name it was given here. */
  label: string | null;
  /** The name it calls itself by. */
  deviceName: string | null;
  clientId: string;
  platform: string | null;
  scopes: string[];
  createdAtMs: number;
  lastUsedAtMs: number | null;
  address: string | null;
  /** Null when it came with a credential of its own instead of being let in. */
  pairedAtMs: number | null;
}

/** A person's browser as the tenant's admin sees it. */
export interface TenantSession {
  id: string;
  userId: string;
  displayName: string;
  method: string;
  lastSeenAtMs: number;
  address: string | null;
  agent: string | null;
}

/** A token of one's own. */
export interface OwnToken {
  id: string;
  name: string;
  role: Role;
  prefix: string;
  last4: string;
  createdAtMs: number;
  expiresAtMs: number | null;
  lastUsedAtMs: number | null;
  revokedAtMs: number | null;
}

/** Places to sign in at; `binding` names a tenant's own. */
export function listSignInProviders(
  binding: string | null,
): Promise<{ providers: SignInProvider[]; link: boolean }> {
  const query = binding === null ? "" : `?binding=${encodeURIComponent(binding)}`;
  return requestJson("GET", `/auth/providers${query}`);
}

/** Begins to sign in; the answer says where to go. */
export function beginSignIn(wish: {
  provider: string;
  intent: "sign_in" | "step_up";
  returnTo?: string;
}): Promise<{ redirect: string }> {
  return requestJson("POST", "/auth/start", wish);
}

/** Begins to add a way in. */
export function beginLink(provider: string, returnTo: string): Promise<{ redirect: string }> {
  return requestJson("POST", "/auth/identities/link", { provider, returnTo });
}

/** One's own account. */
export function findOwnAccount(): Promise<OwnAccount> {
  return requestJson("GET", "/auth/account");
}

/** Takes a way in away. */
export function unlinkIdentity(id: string): Promise<void> {
  return requestJson("DELETE", `/auth/identities/${encodeURIComponent(id)}`);
}

/** Signs one browser out. */
export function endBrowser(id: string): Promise<void> {
  return requestJson("DELETE", `/auth/sessions/${encodeURIComponent(id)}`);
}

/** Signs all browsers out but this one. */
export function endOtherBrowsers(): Promise<{ revoked: number }> {
  return requestJson("POST", "/auth/sessions/revoke-others");
}

const tenantPath = (slug: string, rest: string): string => `/t/${encodeURIComponent(slug)}/api/${rest}`;

/** Everything that opens the tenant: browsers and devices of its people. */
export function listCredentials(slug: string): Promise<{ sessions: TenantSession[]; devices: Device[] }> {
  return requestJson("GET", tenantPath(slug, "credentials"));
}

/** Takes a device's tokens away. */
export function removeDevice(slug: string, deviceId: string): Promise<void> {
  return requestJson("DELETE", tenantPath(slug, `devices/${encodeURIComponent(deviceId)}`));
}

/** Devices that act for the reader in the tenant. */
export async function listOwnDevices(slug: string): Promise<Device[]> {
  return (await requestJson<{ devices: Device[] }>("GET", tenantPath(slug, "my/devices"))).devices;
}

/** Ends what one of the reader's own devices may do for them here. */
export function removeOwnDevice(slug: string, deviceId: string): Promise<void> {
  return requestJson("DELETE", tenantPath(slug, `my/devices/${encodeURIComponent(deviceId)}`));
}

/** Ends everything of the reader in every tenant: browsers, devices, tokens that act for them. */
export function signOutEverywhere(slug: string): Promise<unknown> {
  return requestJson("POST", tenantPath(slug, "my/sign-out-everywhere"));
}

/** One's own tokens in the tenant. */
export async function listOwnTokens(slug: string): Promise<OwnToken[]> {
  return (await requestJson<{ tokens: OwnToken[] }>("GET", tenantPath(slug, "my/tokens"))).tokens;
}

/** Makes a token of one's own; the secret is in the answer only. */
export function createOwnToken(
  slug: string,
  wish: { name: string; role: Role; expiresInDays?: number },
): Promise<{ token: string; record: OwnToken }> {
  return requestJson("POST", tenantPath(slug, "my/tokens"), wish);
}

/** Revokes a token of one's own. */
export function revokeOwnToken(slug: string, id: string): Promise<void> {
  return requestJson("DELETE", tenantPath(slug, `my/tokens/${encodeURIComponent(id)}`));
}
