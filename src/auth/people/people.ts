/**
 * Everything about who belongs where, put together. Owns: the order. Refuses to know: sign-in, credentials.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Route } from "../../protocol/routes.ts";
import type { Database } from "../../storage/database.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import type { AccessFeed } from "../guard/access-feed.ts";
import type { Attempts } from "../guard/attempts.ts";
import type { AuthKeys } from "../keys.ts";
import type { Members } from "../members.ts";
import { type Founder, mayFound, type PrepareTenant } from "./found-tenant.ts";
import { Invitations, type IssuerOf } from "./joining/invitations.ts";
import { JoinRequests } from "./joining/join-requests.ts";
import { makeJoiningRoutes } from "./joining/joining-routes.ts";
import { makeMemberRoutes } from "./member-routes.ts";
import { OwnershipOffers } from "./ownership/ownership-offers.ts";
import { makeOwnershipRoutes } from "./ownership/ownership-routes.ts";
import { ServiceAccounts } from "./service-accounts.ts";
import { makeTenantRoutes } from "./tenant-routes.ts";
import { TenantSettingsStore } from "./tenant-settings.ts";

/** What the deployment decides about people and tenants. */
export interface PeopleOptions {
  /** Whether any signed-in person may make tenants; operators always may. Default no. */
  selfService?: boolean | undefined;
  /** Where links lead; without it where the inviter's browser sees us. */
  publicUrl?: string | undefined;
  /** Makes folders and the first agent of a new tenant; without it nothing is made. */
  prepareTenant?: PrepareTenant | undefined;
  /** Issuers of the deployment's sign-in providers; without it no invitation can be tied to an identity. */
  issuerOf?: IssuerOf | undefined;
}

/** What people is built from. */
export interface PeopleDeps {
  control: Database;
  clock: Clock;
  keys: AuthKeys;
  tenants: Tenants;
  members: Members;
  attempts: Attempts;
  feed: AccessFeed;
}

/** The parts. */
export interface People {
  invitations: Invitations;
  joinRequests: JoinRequests;
  offers: OwnershipOffers;
  serviceAccounts: ServiceAccounts;
  settings: TenantSettingsStore;
  /** Whether somebody may make a tenant. */
  mayFound(founder: Founder): boolean;
  routes: Route[];
}

/** Put people together. Reads and writes nothing yet. */
export function makePeople(deps: PeopleDeps, options: PeopleOptions): People {
  const { control, clock, keys, tenants, members, attempts, feed } = deps;
  const { selfService = false, publicUrl, prepareTenant = async () => {} } = options;
  const invitations = new Invitations(control, clock, keys, options.issuerOf ?? (() => undefined));
  const joinRequests = new JoinRequests(control, clock);
  const offers = new OwnershipOffers(control, clock);
  const serviceAccounts = new ServiceAccounts(control, clock);
  const settings = new TenantSettingsStore(control, clock);
  return {
    invitations,
    joinRequests,
    offers,
    serviceAccounts,
    settings,
    mayFound: (founder) => mayFound({ selfService }, founder),
    routes: [
      ...makeMemberRoutes({ members, invitations, joinRequests, offers, serviceAccounts, settings, feed }),
      ...makeJoiningRoutes({ invitations, joinRequests, attempts, publicUrl: originOf(publicUrl) }),
      ...makeOwnershipRoutes({ offers, feed }),
      ...makeTenantRoutes({ control, clock, tenants, selfService, prepareTenant, settings, attempts }),
    ],
  };
}

function originOf(url: string | undefined): string | null {
  return url === undefined ? null : new URL(url).origin;
}
