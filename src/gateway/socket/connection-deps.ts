/**
 * What every connection of a gateway shares. Owns: the type. Refuses to know: how the parts are made.
 */
import type { WebSocket } from "ws";
import type { ConnectAuthenticator } from "../../auth/connect.ts";
import type { Epochs } from "../../auth/guard/epochs.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MethodRegistry } from "../../protocol/methods.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { TenantDoor } from "../../tenancy/scoped.ts";
import type { Dispatcher } from "../dispatch.ts";
import type { Meters } from "../metrics.ts";
import type { Traffic } from "../traffic/traffic.ts";
import type { Rooms } from "./rooms.ts";

/** See the head of this file. */
export interface ConnectionDeps {
  authenticator: ConnectAuthenticator;
  dispatcher: Dispatcher;
  registry: MethodRegistry;
  rooms: Rooms;
  door: TenantDoor;
  clock: Clock;
  log: Log;
  meters: Meters;
  traffic: Traffic;
  /** Shown to clients as `server.version`. */
  version: string;
  startedAtMs: number;
  epochs: Epochs;
  isLive(principal: Principal): Promise<boolean>;
  nextRequestId(): string;
  /** Allow frames of the size that is advertised, once the peer is known. */
  raiseFrameLimit(socket: WebSocket): void;
  onClosed(connectionId: string): void;
}
