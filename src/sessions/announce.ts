/**
 * Telling a tenant's clients that a conversation changed. Owns: `sessions.changed` and `session.message` payloads.
 * Refuses to know: who listens. Call after the commit.
 */

import type { EventHub } from "../events/hub.ts";
import type { Clock } from "../kernel/clock.ts";
import type { SessionKey } from "../kernel/ids.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { type ModelDefaults, type SessionRow, toWireSession } from "./session.ts";
import { type TranscriptRow, toWireMessage } from "./transcript.ts";

/** Says which model sessions of a tenant use by default. */
export type DefaultsOf = (scope: TenantScope) => Promise<ModelDefaults>;

/** See the head of this file. */
export class SessionAnnouncer {
  private readonly hub: EventHub;
  private readonly clock: Clock;
  private readonly defaultsOf: DefaultsOf;

  constructor(hub: EventHub, clock: Clock, defaultsOf: DefaultsOf) {
    this.hub = hub;
    this.clock = clock;
    this.defaultsOf = defaultsOf;
  }

  /** A session's row changed; `why` carries `reason`, `phase` or `runId` as OpenClaw's events do. */
  async changed(scope: TenantScope, row: SessionRow, why: Record<string, unknown>): Promise<void> {
    const session = toWireSession(row, await this.defaultsOf(scope), this.clock.nowMs());
    this.hub.publish(scope.tenantId, {
      event: "sessions.changed",
      delivery: "session-list",
      sessionKey: row.key,
      payload: {
        sessionKey: row.key,
        agentId: row.agent_id,
        ...why,
        ts: this.clock.nowMs(),
        session,
        sessionId: row.session_id,
        status: session["status"],
        hasActiveRun: session["hasActiveRun"],
        activeRunIds: session["activeRunIds"],
        updatedAt: row.updated_at_ms,
      },
    });
  }

  /** A session is gone. */
  removed(scope: TenantScope, row: SessionRow): void {
    this.hub.publish(scope.tenantId, {
      event: "sessions.changed",
      delivery: "session-list",
      sessionKey: row.key,
      payload: {
        sessionKey: row.key,
        agentId: row.agent_id,
        reason: "delete",
        ts: this.clock.nowMs(),
        sessionId: row.session_id,
      },
    });
  }

  /** A transcript row is on disk. */
  async message(scope: TenantScope, session: SessionRow, row: TranscriptRow): Promise<void> {
    const wire = toWireSession(session, await this.defaultsOf(scope), this.clock.nowMs());
    this.hub.publish(scope.tenantId, {
      event: "session.message",
      delivery: "session-rows",
      sessionKey: session.key as SessionKey,
      payload: {
        sessionKey: session.key,
        agentId: session.agent_id,
        messageId: row.id,
        messageSeq: row.seq,
        message: toWireMessage(row),
        session: wire,
      },
    });
  }
}
