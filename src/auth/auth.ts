/**
 * All parts of auth, put together in order. Owns: that they share one set of keys and one feed.
 * Refuses to know: transports; who calls (the app and the commands do).
 */
import { EventHub } from "../events/hub.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Method } from "../protocol/methods.ts";
import type { Route } from "../protocol/routes.ts";
import type { Database } from "../storage/database.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import { Authenticator } from "./authenticate.ts";
import { ensureFirstRun, type FirstRun } from "./bootstrap.ts";
import { BrowserSessions } from "./browser/browser-sessions.ts";
import { LoginLinks } from "./browser/login-links.ts";
import { RecordSigner } from "./browser/record-signer.ts";
import { SigningKeys } from "./browser/signing-keys.ts";
import { SocketTokens } from "./browser/socket-tokens.ts";
import { ConnectAuthenticator } from "./connect.ts";
import { type Credentials, makeCredentials } from "./credentials/credentials.ts";
import { Devices } from "./devices.ts";
import { AccessFeed } from "./guard/access-feed.ts";
import { type AttemptLimits, Attempts } from "./guard/attempts.ts";
import { Epochs } from "./guard/epochs.ts";
import { type AuthKeys, makeAuthKeys } from "./keys.ts";
import { Members } from "./members.ts";
import { makeAuthMethods } from "./methods.ts";
import { makeOidc, type Oidc, type OidcOptions, withoutProviders } from "./oidc/oidc.ts";
import { BreakGlass } from "./operators/break-glass.ts";
import { makeBreakGlassRoutes } from "./operators/break-glass-routes.ts";
import { Operators } from "./operators/operators.ts";
import { listSessionTenants } from "./operators/session-tenants.ts";
import { makePairing, type Pairing } from "./pairing/pairing.ts";
import { makePeople, type People, type PeopleOptions } from "./people/people.ts";
import { Preferences } from "./profile/preferences.ts";
import { makeAuthRoutes } from "./routes.ts";
import { Tokens } from "./tokens.ts";
import { Users } from "./users.ts";

/** What auth is built from. */
export interface AuthOptions extends PeopleOptions {
  control: Database;
  tenants: Tenants;
  clock: Clock;
  /** At least 32 bytes. */
  masterKey: Uint8Array;
  /** Names this deployment in signed tokens; default `creel`. */
  issuer?: string;
  attemptLimits?: AttemptLimits;
  /** Providers that people sign in with; without it there are none. */
  oidc?: OidcOptions;
  /** Where a tenant's connections hear of devices that ask; without it nobody hears. */
  hub?: EventHub;
  /** Where the operator says that the gateway is reached; setup codes name it. */
  publicUrl?: string | undefined;
}

/** The parts of auth. */
export interface Auth {
  keys: AuthKeys;
  users: Users;
  members: Members;
  /** Invitations, requests, offers, service accounts, settings of tenants. */
  people: People;
  tokens: Tokens;
  /** Providers that people sign in with, and who they are known as there. */
  oidc: Oidc;
  links: LoginLinks;
  sessions: BrowserSessions;
  signingKeys: SigningKeys;
  socketTokens: SocketTokens;
  credentials: Credentials;
  /** Signs what people keep: audit heads, receipts. */
  signer: RecordSigner;
  devices: Devices;
  /** Devices that come without a credential. */
  pairing: Pairing;
  operators: Operators;
  /** Operators looking into tenants; see there. */
  breakGlass: BreakGlass;
  attempts: Attempts;
  /** News of authority taken away; `start` it in a server, `subscribe` to close what it hits. */
  feed: AccessFeed;
  /** How new the knowledge of everybody's authority is; compared before every send. */
  epochs: Epochs;
  authenticator: Authenticator;
  connect: ConnectAuthenticator;
  routes: Route[];
  methods: Method[];
  /** See bootstrap. */
  ensureFirstRun(options: {
    tenantSlug: string;
    operatorName?: string;
    timeZone?: string;
  }): Promise<FirstRun>;
}

/** Names this deployment in signed tokens unless it is said. */
const ISSUER = "creel";

type Stores = ReturnType<typeof makeStores>;

/** What needs only the database, the clock and the keys. */
function makeStores({ control, clock, masterKey, issuer, attemptLimits }: AuthOptions) {
  const keys = makeAuthKeys(masterKey);
  const links = new LoginLinks(control, clock, keys);
  const signingKeys = new SigningKeys(control, clock, keys);
  const feed = new AccessFeed(control, clock);
  return {
    keys,
    links,
    signingKeys,
    feed,
    users: new Users(control, clock),
    members: new Members(control, clock),
    tokens: new Tokens(control, clock, keys),
    sessions: new BrowserSessions(control, clock, keys, links),
    socketTokens: new SocketTokens(signingKeys, clock, issuer ?? ISSUER),
    signer: new RecordSigner(signingKeys, clock, issuer ?? ISSUER),
    devices: new Devices(control, clock, keys),
    operators: new Operators(control, clock),
    breakGlass: new BreakGlass(control, clock),
    attempts: new Attempts(clock, attemptLimits),
    // ORDER: the first to hear of changes: whoever hears of one later asks what is stale.
    epochs: new Epochs(feed),
  };
}

/** Put auth together. Reads and writes nothing yet. */
export function makeAuth(options: AuthOptions): Auth {
  const { control, tenants, clock, publicUrl } = options;
  const stores = makeStores(options);
  const parts = { ...stores, control, tenants, clock, publicUrl };
  const credentials = makeCredentials(parts);
  const authenticator = new Authenticator({ ...parts, ...credentials });
  const pairing = makePairing({ ...parts, authenticator, hub: options.hub ?? new EventHub() });
  const oidc = makeOidc(parts, options.oidc ?? withoutProviders(options.masterKey));
  const people = makePeople(parts, options);
  return {
    ...stores,
    people,
    oidc,
    credentials,
    pairing,
    authenticator,
    connect: new ConnectAuthenticator({ ...parts, authenticator, pairing: pairing.door }),
    routes: [
      ...makeAuthRoutes({
        ...parts,
        authenticator,
        sessionTenants: (userId) => listSessionTenants(parts, userId),
        mayFound: people.mayFound,
      }),
      ...credentials.routes,
      ...people.routes,
      ...oidc.routes,
      ...makeBreakGlassRoutes(stores),
      ...pairing.routes,
    ],
    methods: [...ownMethods(stores, clock), ...pairing.methods],
    ensureFirstRun: (first) => ensureFirstRun(parts, first),
  };
}

function ownMethods({ members, keys }: Stores, clock: Clock): Method[] {
  return makeAuthMethods({ members, keys, preferences: new Preferences(clock) });
}
