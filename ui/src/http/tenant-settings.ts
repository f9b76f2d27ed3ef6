/** Access tokens and model providers of one tenant over HTTP. Owns: those shapes. Refuses to know: how they are shown. */

import type { Role } from "./account.ts";
import { requestJson } from "./request.ts";

/** An access token as listed; the secret itself is never listed. */
export interface AccessToken {
  id: string;
  name: string;
  role: Role;
  prefix: string;
  last4: string;
  addresses: string[];
  agents: string[];
  userName: string | null;
  lastAddress: string | null;
  createdAtMs: number;
  expiresAtMs: number | null;
  lastUsedAtMs: number | null;
  revokedAtMs: number | null;
}

/** Price of a model in the tenant's currency per million tokens. */
export interface ModelCost {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
}

/** One model of a provider. */
export interface ProviderModel {
  id: string;
  name: string;
  contextWindow: number | null;
  maxTokens: number | null;
  cost?: ModelCost;
}

/** A model as it is sent to be saved; what is left out has no bound or no price. */
export interface ModelWish {
  id: string;
  name: string;
  contextWindow?: number;
  maxTokens?: number;
  cost?: ModelCost;
}

/** A model provider the tenant configured itself. */
export interface Provider {
  id: string;
  baseUrl: string;
  models: ProviderModel[];
  hasKey: boolean;
  /** Where it tells what it counted itself; null when it does not. */
  usage: { url: string; hasKey: boolean } | null;
}

/** A provider the operator lends to every tenant. */
export interface PlatformProvider {
  id: string;
  models: ProviderModel[];
}

const tenantPath = (slug: string, rest: string): string => `/t/${encodeURIComponent(slug)}/api/${rest}`;

/** All access tokens of the tenant, revoked ones included. */
export async function listTokens(slug: string): Promise<AccessToken[]> {
  return (await requestJson<{ tokens: AccessToken[] }>("GET", tenantPath(slug, "tokens"))).tokens;
}

/** Makes a token; the returned secret is shown once and never again. */
export function createToken(
  slug: string,
  wish: {
    name: string;
    role: Role;
    expiresInDays?: number;
    /** Addresses or ranges it works from; anywhere without them. */
    addresses?: string[];
    /** Agents it reaches; all without them. */
    agents?: string[];
    /** A service account it acts as. */
    userId?: string;
  },
): Promise<{ token: string; record: AccessToken }> {
  return requestJson("POST", tenantPath(slug, "tokens"), wish);
}

/** Revokes a token at once. */
export function revokeToken(slug: string, id: string): Promise<void> {
  return requestJson("DELETE", tenantPath(slug, `tokens/${encodeURIComponent(id)}`));
}

/** The tenant's own providers and the ones the platform lends. */
export function listProviders(
  slug: string,
): Promise<{ providers: Provider[]; platform: PlatformProvider[] }> {
  return requestJson("GET", tenantPath(slug, "providers"));
}

/** Creates or replaces a provider; an absent apiKey or usage keeps the stored one, a usage of null removes it. */
export function saveProvider(
  slug: string,
  id: string,
  wish: {
    baseUrl: string;
    apiKey?: string;
    models: ModelWish[];
    usage?: { url: string; apiKey?: string } | null;
  },
): Promise<unknown> {
  return requestJson("PUT", tenantPath(slug, `providers/${encodeURIComponent(id)}`), wish);
}

/** Removes a provider and its key. */
export function deleteProvider(slug: string, id: string): Promise<void> {
  return requestJson("DELETE", tenantPath(slug, `providers/${encodeURIComponent(id)}`));
}
