/**
 * Everything that people can sign in with: the deployment's providers and those that tenants bring. Owns: finding one
 * by the id or binding that a request names. Refuses to know: protocols, secrets' storage.
 */
import type { SignInProviderSettings } from "../../config/options.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { serviceOf, type Tenant } from "../../tenancy/tenant.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import { DEPLOYMENT, type Realm, type UpstreamClaims } from "../people/identity.ts";
import type { DefaultRole, ProviderIcon, TenantProvider, TenantProviders } from "./tenant-providers.ts";

/** A provider that can be used now. */
export interface SignInProvider {
  /** Id in the configuration, or the binding of a tenant's own; the last part of its addresses. */
  id: string;
  realm: Realm;
  /** The tenant that brought it; null for the deployment's. */
  tenant: Tenant | null;
  issuer: string;
  clientId: string;
  label: string;
  icon: ProviderIcon;
  scopes: readonly string[];
  upstream: UpstreamClaims | undefined;
  trustEmail: boolean;
  defaultRole: DefaultRole | null;
  openSecret(): Promise<string>;
}

/** What the directory is made of. */
export interface ProvidersOptions {
  /** From `auth.providers`, secrets looked up. */
  settings: Readonly<Record<string, SignInProviderSettings>>;
  own: TenantProviders;
  tenants: Tenants;
  scopeOf(tenant: Tenant): TenantScope;
  clock: Clock;
}

const SCOPES = ["openid", "profile", "email"];

/** See the head of this file. */
export class Providers {
  private readonly options: ProvidersOptions;
  private readonly deployment: ReadonlyMap<string, SignInProvider>;

  constructor(options: ProvidersOptions) {
    this.options = options;
    this.deployment = new Map(
      Object.entries(options.settings).map(([id, settings]) => [id, deploymentProvider(id, settings)]),
    );
  }

  /** The deployment's, in the order of the configuration. */
  listDeployment(): SignInProvider[] {
    return [...this.deployment.values()];
  }

  /** By id or binding; undefined for unknown ones, and for those of tenants that do not serve. */
  async find(id: string): Promise<SignInProvider | undefined> {
    const known = this.deployment.get(id);
    if (known !== undefined) return known;
    const own = await this.options.own.findByBinding(id);
    return own === undefined ? undefined : this.ofTenant(own);
  }

  /** The one that a tenant brought, if it serves. */
  async findOf(tenant: Tenant): Promise<SignInProvider | undefined> {
    const own = await this.options.own.findOf(tenant.id);
    return own === undefined ? undefined : this.ofTenant(own);
  }

  private async ofTenant(own: TenantProvider): Promise<SignInProvider | undefined> {
    const { tenants, scopeOf, clock } = this.options;
    const tenant = await tenants.findById(own.tenantId);
    if (tenant === undefined || serviceOf(tenant, clock.nowMs()) === "closed") return undefined;
    return {
      id: own.bindingId,
      realm: own.tenantId,
      tenant,
      issuer: own.issuer,
      clientId: own.clientId,
      label: own.label,
      icon: own.icon,
      scopes: SCOPES,
      upstream: undefined,
      // SECURITY: a tenant's word on addresses counts for nothing, not even for a hint.
      trustEmail: false,
      defaultRole: own.defaultRole,
      openSecret: () => this.options.own.openSecret(scopeOf(tenant), own),
    };
  }
}

/** A provider of the configuration. */
export function deploymentProvider(id: string, settings: SignInProviderSettings): SignInProvider {
  const { issuer, clientId, clientSecret, label, icon, scopes, upstream, trustEmail } = settings;
  return {
    ...{ id, issuer, clientId, label, icon, upstream, trustEmail },
    realm: DEPLOYMENT,
    tenant: null,
    scopes: [...new Set(["openid", ...(scopes ?? SCOPES)])],
    defaultRole: null,
    openSecret: async () => (typeof clientSecret === "string" ? clientSecret : ""),
  };
}
