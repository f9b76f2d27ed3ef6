/**
 * Events that leave for clients. Owns: names, and which connections each may reach (PROTOCOL.md 7.5).
 * Refuses to know: sockets, who publishes.
 */
import type { SessionKey } from "../kernel/ids.ts";

/** Event names Creel sends, as advertised in `hello-ok.features.events`. */
export const EVENT_NAMES = [
  "connect.challenge",
  "agent",
  "chat",
  "session.message",
  "session.tool",
  "sessions.changed",
  "device.pair.requested",
  "device.pair.resolved",
  "device.pair.changed",
  "device.pair.setup.completed",
  "billing.alert",
  "tick",
  "shutdown",
] as const;

/** One of the names above. */
export type EventName = (typeof EVENT_NAMES)[number];

/**
 * Who may get an event, within its tenant and, but for `pairing`, always with `operator.read`:
 * `run` all connections, but those with the cap `session-scoped-events` only if subscribed to the session;
 * `run-tools` connections with the cap `tool-events` that started the run;
 * `session-rows` those subscribed to all sessions or to this one's messages;
 * `session-list` those subscribed to all sessions;
 * `tenant` all connections;
 * `pairing` those with `operator.pairing`; `admin` those with `operator.admin`.
 */
export type Delivery = "run" | "run-tools" | "session-rows" | "session-list" | "tenant" | "pairing" | "admin";

/** An event on its way to one tenant's connections. */
export interface GatewayEvent {
  event: EventName;
  payload: Record<string, unknown>;
  delivery: Delivery;
  sessionKey?: SessionKey | undefined;
  runId?: string | undefined;
  /** May be dropped for a slow reader, because a later event carries the same and more. */
  isDroppable?: boolean | undefined;
}
