/**
 * All parts of pairing, put together. Owns: that they share one store of devices and one hub.
 * Refuses to know: who calls.
 */
import type { EventHub } from "../../events/hub.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Method } from "../../protocol/methods.ts";
import type { Route } from "../../protocol/routes.ts";
import type { Database } from "../../storage/database.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import type { Authenticator } from "../authenticate.ts";
import type { Devices } from "../devices.ts";
import type { AccessFeed } from "../guard/access-feed.ts";
import type { AuthKeys } from "../keys.ts";
import { DeviceCare } from "./device-care.ts";
import { makePairingMethods } from "./methods.ts";
import { PairingDoor } from "./pairing-door.ts";
import { PairingEvents } from "./pairing-events.ts";
import { PairingRequests } from "./pairing-requests.ts";
import { Pairings } from "./pairings.ts";
import { makePairingRoutes } from "./routes.ts";
import { makeSetupMethods } from "./setup/methods.ts";
import { SetupCodes } from "./setup/setup-codes.ts";

/** What pairing is built from. */
export interface PairingOptions {
  control: Database;
  clock: Clock;
  keys: AuthKeys;
  tenants: Tenants;
  devices: Devices;
  feed: AccessFeed;
  authenticator: Authenticator;
  hub: EventHub;
  /** Where the operator says that the gateway is reached. */
  publicUrl: string | undefined;
}

/** The parts of pairing. */
export interface Pairing {
  requests: PairingRequests;
  pairings: Pairings;
  setupCodes: SetupCodes;
  care: DeviceCare;
  door: PairingDoor;
  methods: Method[];
  routes: Route[];
}

/** Put pairing together. Reads and writes nothing yet. */
export function makePairing(options: PairingOptions): Pairing {
  const { control, clock, keys, tenants, devices, feed, authenticator, hub, publicUrl } = options;
  const requests = new PairingRequests(control, clock, keys);
  const pairings = new Pairings(control, clock, devices, requests);
  const setupCodes = new SetupCodes(control, clock, keys, devices);
  const care = new DeviceCare(control, clock, devices);
  const events = new PairingEvents(hub);
  return {
    ...{ requests, pairings, setupCodes, care },
    door: new PairingDoor({ control, clock, tenants, authenticator, requests, pairings, setupCodes, events }),
    methods: [
      ...makePairingMethods({ clock, feed, devices, requests, pairings, care, events }),
      ...makeSetupMethods({ setupCodes, publicUrl }),
    ],
    routes: makePairingRoutes({ devices, requests, care, events, feed }),
  };
}
