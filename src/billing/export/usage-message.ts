/**
 * Usage as it leaves the house. Owns: the CloudEvents form of an event (CloudEvents 1.0, JSON batch), reading a run of
 * events. Refuses to know: where messages go.
 */
import type { TenantId } from "../../kernel/ids.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";

/** One event; `data` holds micro-units of `currency`. */
export interface UsageCloudEvent {
  specversion: "1.0";
  /** Unique within `source`, and the same whenever the event is sent again. */
  id: string;
  source: string;
  type: "creel.usage.model.v1" | "creel.usage.tool.v1" | "creel.usage.storage.v1";
  subject: string;
  time: string;
  datacontenttype: "application/json";
  data: Record<string, string | number | boolean | null>;
}

/** Consecutive events of one tenant, sent as one. */
export interface UsageMessage {
  /** The same whenever the same events are sent again. */
  id: string;
  tenantId: TenantId;
  slug: string;
  firstSeq: number;
  lastSeq: number;
  events: UsageCloudEvent[];
}

/** Events of one message. */
export const MESSAGE_EVENTS = 100;

interface EventRow {
  seq: number;
  run_id: string;
  step: number;
  kind: "model" | "tool";
  purpose: string;
  agent_id: string;
  session_key: string;
  session_id: string;
  user_id: string;
  channel: string;
  provider: string;
  model: string;
  tool_name: string;
  /** Of a day of storage the number of bytes. */
  call_id: string;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  is_error: number;
  is_exact: number;
  cost_micros: number;
  /** What the provider counted above what was held back for the call; not the tenant's. */
  overrun_micros: number;
  price_origin: string;
  key_owner: string;
  at_ms: number;
  day: string;
}

/** The events after `afterSeq`, up to `untilSeq` when it is given; undefined when there are none. */
export async function readMessage(
  scope: TenantScope,
  exportOf: string,
  afterSeq: number,
  untilSeq: number | null,
  currency: string,
): Promise<UsageMessage | undefined> {
  const rows = await scope.db.list<EventRow>(
    `SELECT e.*, coalesce((SELECT r.overrun_micros FROM reservations r WHERE r.run_id = e.run_id AND r.step = e.step
        AND r.ordinal = e.ordinal AND r.state = 'settled' AND e.kind = 'model'), 0) AS overrun_micros
      FROM usage_events e WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
    [afterSeq, untilSeq ?? Number.MAX_SAFE_INTEGER, MESSAGE_EVENTS],
  );
  const first = rows[0];
  const last = rows.at(-1);
  if (first === undefined || last === undefined) return undefined;
  const { tenantId, tenant } = scope;
  return {
    id: `usage.${exportOf === "" ? "platform" : "tenant"}.${tenantId}.${first.seq}-${last.seq}`,
    ...{ tenantId, slug: tenant.slug, firstSeq: first.seq, lastSeq: last.seq },
    events: rows.map((row) => toCloudEvent(tenantId, row, currency)),
  };
}

function toCloudEvent(tenantId: TenantId, row: EventRow, currency: string): UsageCloudEvent {
  const isStorage = row.channel === "storage";
  return {
    specversion: "1.0",
    id: `${tenantId}.${row.seq}`,
    source: `urn:creel:tenant:${tenantId}`,
    type: isStorage ? "creel.usage.storage.v1" : `creel.usage.${row.kind}.v1`,
    subject: row.run_id,
    time: new Date(row.at_ms).toISOString(),
    datacontenttype: "application/json",
    data: {
      ...{ tenantId, seq: row.seq, runId: row.run_id, step: row.step, purpose: row.purpose, day: row.day },
      ...{ agentId: row.agent_id, sessionKey: row.session_key, sessionId: row.session_id },
      ...{ userId: row.user_id, channel: row.channel, provider: row.provider, model: row.model },
      toolName: row.tool_name === "" ? null : row.tool_name,
      ...{ inputTokens: row.input_tokens, outputTokens: row.output_tokens },
      ...{ cacheReadTokens: row.cache_read_tokens, cacheWriteTokens: row.cache_write_tokens },
      ...{ isError: row.is_error === 1, isExact: row.is_exact === 1, currency },
      costMicros: row.cost_micros,
      chargedMicros: row.key_owner === "tenant" ? 0 : row.cost_micros - row.overrun_micros,
      ...{ priceVersion: row.price_origin, keyOwner: row.key_owner },
      ...(isStorage ? { sizeBytes: Number(row.call_id) } : {}),
    },
  };
}
