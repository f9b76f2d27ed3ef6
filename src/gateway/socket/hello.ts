/**
 * The answer to a good `connect`. Owns: hello-ok (PROTOCOL.md 2.1): the tenant's own view and nothing of the host.
 * Refuses to know: how the caller was authenticated.
 */
import type { ConnectAccepted } from "../../auth/connect.ts";
import { LIMITS } from "../../kernel/limits.ts";
import { EVENT_NAMES } from "../../protocol/events.ts";
import type { ConnectionDeps } from "./connection-deps.ts";

/** Make the payload. */
export function makeHello(
  deps: ConnectionDeps,
  connectionId: string,
  accepted: ConnectAccepted,
): Record<string, unknown> {
  const { principal, deviceToken, protocol } = accepted;
  return {
    type: "hello-ok",
    protocol,
    server: { version: deps.version, connId: connectionId },
    features: { methods: deps.registry.names, events: EVENT_NAMES },
    snapshot: {
      presence: deps.rooms.presence(principal.tenantId),
      health: {},
      // SECURITY: constant: a counter shared by tenants would tell one of them how busy the others are.
      stateVersion: { presence: 0, health: 0 },
      uptimeMs: Math.max(1, deps.clock.nowMs() - deps.startedAtMs),
      authMode: "token",
      sessionDefaults: {
        defaultAgentId: "main",
        mainKey: "main",
        mainSessionKey: "agent:main:main",
        scope: "per-sender",
      },
    },
    auth: {
      role: "operator",
      scopes: [...principal.scopes],
      ...(deviceToken === undefined ? {} : { deviceToken, issuedAtMs: deps.clock.nowMs() }),
    },
    policy: {
      maxPayload: LIMITS.frameBytes,
      maxBufferedBytes: LIMITS.bufferedBytes,
      tickIntervalMs: LIMITS.tickMs,
      attachments: { maxBytes: 6 * 1024 * 1024, maxImageBytes: 6 * 1024 * 1024 },
    },
  };
}
