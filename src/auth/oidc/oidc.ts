/**
 * The parts of signing in through providers, put together in order. Owns: that they share one set of stores.
 * Refuses to know: who calls.
 */
import type { SignInProviderSettings } from "../../config/options.ts";
import type { Clock } from "../../kernel/clock.ts";
import { Egress } from "../../kernel/egress.ts";
import { AppError } from "../../kernel/errors.ts";
import { type Log, makeLog } from "../../kernel/log.ts";
import type { Route } from "../../protocol/routes.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import { Vault } from "../../tenancy/vault.ts";
import type { BrowserSessions } from "../browser/browser-sessions.ts";
import type { AccessFeed } from "../guard/access-feed.ts";
import type { Attempts } from "../guard/attempts.ts";
import type { AuthKeys } from "../keys.ts";
import type { Members } from "../members.ts";
import { makeAccountRoutes } from "../people/account-routes.ts";
import { Identities } from "../people/identities.ts";
import type { Users } from "../users.ts";
import { Arrivals } from "./arrivals.ts";
import { Flows } from "./flows.ts";
import { ProviderClients } from "./provider/clients.ts";
import { Providers } from "./providers.ts";
import { makeOidcRoutes } from "./routes.ts";
import { SignIn } from "./sign-in.ts";
import { SignOut } from "./sign-out.ts";
import { makeTenantProviderRoutes } from "./tenant-provider-routes.ts";
import { TenantProviders } from "./tenant-providers.ts";

/** What a deployment gives for signing in through providers. */
export interface OidcOptions {
  /** `auth.providers` of the configuration, secrets looked up. */
  settings: Readonly<Record<string, SignInProviderSettings>>;
  egress: Egress;
  vault: Vault;
  scopeOf(tenant: Tenant): TenantScope;
  log: Log;
}

/** What of auth it stands on. */
export interface OidcParts {
  control: Database;
  clock: Clock;
  keys: AuthKeys;
  tenants: Tenants;
  users: Users;
  members: Members;
  sessions: BrowserSessions;
  attempts: Attempts;
  feed: AccessFeed;
  publicUrl: string | undefined;
}

/** The parts. */
export interface Oidc {
  identities: Identities;
  providers: Providers;
  tenantProviders: TenantProviders;
  routes: Route[];
}

/** Put the parts together. Reads and writes nothing yet. */
export function makeOidc(parts: OidcParts, options: OidcOptions): Oidc {
  const { control, clock, keys, tenants, users, members, sessions, attempts, feed, publicUrl } = parts;
  const { egress, log } = options;
  const identities = new Identities(control, clock);
  const own = new TenantProviders(control, options.vault, clock);
  const { settings, scopeOf } = options;
  const providers = new Providers({ settings, own, tenants, scopeOf, clock });
  const clients = new ProviderClients(egress, clock);
  const arrivals = new Arrivals({ control, clock, identities, sessions, members });
  const flows = new Flows(control, clock, keys);
  const shared = { clock, log, providers, clients, identities, sessions };
  const signIn = new SignIn({ ...shared, flows, attempts, arrivals });
  const signOut = new SignOut({ ...shared, control });
  return {
    identities,
    providers,
    tenantProviders: own,
    routes: [
      ...makeOidcRoutes({ providers, signIn, signOut, attempts, feed, publicUrl }),
      ...makeTenantProviderRoutes({ own, providers, clients, feed, publicUrl }),
      ...makeAccountRoutes({ users, identities, providers, sessions, feed }),
    ],
  };
}

/** For whoever needs auth but serves no browsers, such as commands: no providers, and no way out. */
export function withoutProviders(masterKey: Uint8Array): OidcOptions {
  const log = makeLog({ level: "silent" });
  return {
    settings: {},
    egress: new Egress({ allowPrivate: [], log }),
    vault: new Vault(masterKey),
    scopeOf() {
      throw new AppError("not_configured", "Signing in through providers is not set up here.");
    },
    log,
  };
}
