/**
 * Which signed-in browsers were used inside a tenant, when and from where. Owns: writing that rarely, reading it.
 * Refuses to know: what the same browsers do in other tenants: that is none of this tenant's business.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Database } from "../../storage/database.ts";
import { agentName, SESSION_IDLE_MS } from "../browser/browser-sessions.ts";
import { LastUsed } from "../guard/last-used.ts";
import type { CredentialSource } from "../tokens.ts";

/** An open browser session as a tenant may see it. */
export interface UsedSession {
  id: string;
  userId: UserId;
  displayName: string;
  /** How the person signed in. */
  method: string;
  /** Here, not elsewhere. */
  lastSeenAtMs: number;
  address: string | null;
  agent: string | null;
}

interface Row {
  id: string;
  user_id: string;
  display_name: string;
  method: string;
  last_used_at_ms: number;
  address: string | null;
  agent: string | null;
}

const PERIOD_MS = 5 * 60 * 1000;

/** See the head of this file. */
export class SessionUses {
  private readonly control: Database;
  private readonly clock: Clock;
  private readonly lastUsed: LastUsed;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
    this.lastUsed = new LastUsed(control, clock, PERIOD_MS);
  }

  /** Note a use; at most one write in five minutes, never waited for. */
  note(tenantId: TenantId, sessionId: string, from: CredentialSource): void {
    this.lastUsed.touch(`${tenantId}/${sessionId}`, (nowMs) => ({
      sql: `INSERT INTO session_uses (tenant_id, session_id, last_used_at_ms, address, agent)
        SELECT ?, id, ?, ?, ? FROM browser_sessions WHERE id = ?
        ON CONFLICT DO UPDATE SET last_used_at_ms = excluded.last_used_at_ms, address = excluded.address,
          agent = excluded.agent`,
      params: [tenantId, nowMs, from.address, agentName(from.agent ?? undefined), sessionId],
    }));
  }

  /** Open sessions of the tenant's people that were used here and still count here, last used first. */
  async list(tenantId: TenantId): Promise<UsedSession[]> {
    const nowMs = this.clock.nowMs();
    const rows = await this.control.list<Row>(
      `SELECT s.id, s.user_id, u.display_name, s.method, x.last_used_at_ms, x.address, x.agent
        FROM session_uses x JOIN browser_sessions s ON s.id = x.session_id
        JOIN members m ON m.tenant_id = x.tenant_id AND m.user_id = s.user_id JOIN users u ON u.id = s.user_id
        WHERE x.tenant_id = ? AND s.revoked_at_ms IS NULL AND s.expires_at_ms > ? AND s.last_seen_at_ms > ?
          AND s.auth_at_ms >= m.valid_after_ms
        ORDER BY x.last_used_at_ms DESC, s.id DESC LIMIT ?`,
      [tenantId, nowMs, nowMs - SESSION_IDLE_MS, LIMITS.listRows],
    );
    return rows.map((row) => ({
      id: row.id,
      userId: row.user_id as UserId,
      displayName: row.display_name,
      method: row.method,
      lastSeenAtMs: row.last_used_at_ms,
      address: row.address,
      agent: row.agent,
    }));
  }
}
