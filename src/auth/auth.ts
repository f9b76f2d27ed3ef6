/**
 * All parts of auth, put together in order. Owns: that they share one set of keys and one feed.
 * Refuses to know: transports; who calls (the app and the commands do).
 */
import type { Clock } from "../kernel/clock.ts";
import type { Method } from "../protocol/methods.ts";
import type { Route } from "../protocol/routes.ts";
import type { Database } from "../storage/database.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import { Authenticator } from "./authenticate.ts";
import { ensureFirstRun, type FirstRun } from "./bootstrap.ts";
import { BrowserSessions } from "./browser/browser-sessions.ts";
import { LoginLinks } from "./browser/login-links.ts";
import { SigningKeys } from "./browser/signing-keys.ts";
import { SocketTokens } from "./browser/socket-tokens.ts";
import { ConnectAuthenticator } from "./connect.ts";
import { Devices } from "./devices.ts";
import { AccessFeed } from "./guard/access-feed.ts";
import { type AttemptLimits, Attempts } from "./guard/attempts.ts";
import { type AuthKeys, makeAuthKeys } from "./keys.ts";
import { Members } from "./members.ts";
import { makeAuthMethods } from "./methods.ts";
import { Preferences } from "./profile/preferences.ts";
import { makeAuthRoutes } from "./routes.ts";
import { Tokens } from "./tokens.ts";
import { Users } from "./users.ts";

/** What auth is built from. */
export interface AuthOptions {
  control: Database;
  tenants: Tenants;
  clock: Clock;
  /** At least 32 bytes. */
  masterKey: Uint8Array;
  /** Names this deployment in signed tokens; default `creel`. */
  issuer?: string;
  attemptLimits?: AttemptLimits;
}

/** The parts of auth. */
export interface Auth {
  keys: AuthKeys;
  users: Users;
  members: Members;
  tokens: Tokens;
  links: LoginLinks;
  sessions: BrowserSessions;
  signingKeys: SigningKeys;
  socketTokens: SocketTokens;
  devices: Devices;
  attempts: Attempts;
  /** News of authority taken away; `start` it in a server, `subscribe` to close what it hits. */
  feed: AccessFeed;
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

/** Put auth together. Reads and writes nothing yet. */
export function makeAuth(options: AuthOptions): Auth {
  const { control, tenants, clock } = options;
  const keys = makeAuthKeys(options.masterKey);
  const users = new Users(control, clock);
  const members = new Members(control, clock);
  const tokens = new Tokens(control, clock, keys);
  const links = new LoginLinks(control, clock, keys);
  const sessions = new BrowserSessions(control, clock, keys, links);
  const signingKeys = new SigningKeys(control, clock, keys);
  const socketTokens = new SocketTokens(signingKeys, clock, options.issuer ?? "creel");
  const devices = new Devices(control, clock, keys);
  const attempts = new Attempts(clock, options.attemptLimits);
  const feed = new AccessFeed(control, clock);
  const parts = { clock, tenants, users, members, tokens, devices, sessions, socketTokens, attempts, feed };
  const authenticator = new Authenticator(parts);
  return {
    keys,
    users,
    members,
    tokens,
    links,
    sessions,
    signingKeys,
    socketTokens,
    devices,
    attempts,
    feed,
    authenticator,
    connect: new ConnectAuthenticator({ authenticator, devices, attempts, clock }),
    routes: makeAuthRoutes({ ...parts, authenticator }),
    methods: makeAuthMethods({ members, preferences: new Preferences(clock), keys }),
    ensureFirstRun: (first) => ensureFirstRun({ control, clock, tenants, users, links }, first),
  };
}
