/**
 * Usage as it leaves the house. Owns: the CloudEvents form of an event (CloudEvents 1.0, JSON batch), what tells events
 * apart for ever, reading a run of events. Refuses to know: where messages go.
 *
 * A file that came from a backup gives numbers out a second time. So an event is told by its number and its key, which
 * is made of what it says, and ids of events and messages contain keys.
 */
import { sha256Hex } from "../../kernel/crypto.ts";
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
  /** A key for each event. */
  keys: string[];
}

/** Events of one message. */
export const MESSAGE_EVENTS = 100;

/** Characters of a key. */
export const KEY_CHARS = 12;

interface KeyRow {
  seq: number;
  run_id: string;
  step: number;
  kind: "model" | "tool";
  ordinal: number;
  cost_micros: number;
  at_ms: number;
}

interface EventRow extends KeyRow {
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
  reasoning_tokens: number;
  is_error: number;
  is_exact: number;
  /** What the provider counted above what was held back for the call; not the tenant's. */
  overrun_micros: number;
  price_origin: string;
  key_owner: string;
  day: string;
}

function keyOf({ run_id, step, kind, ordinal, at_ms, cost_micros }: KeyRow): string {
  return sha256Hex([run_id, step, kind, ordinal, at_ms, cost_micros].join("\n")).slice(0, KEY_CHARS);
}

/** Keys of the events from one number to another, by number; at most 1,000. */
export async function readKeys(
  scope: TenantScope,
  firstSeq: number,
  lastSeq: number,
): Promise<Map<number, string>> {
  const rows = await scope.db.list<KeyRow>(
    `SELECT seq, run_id, step, kind, ordinal, at_ms, cost_micros FROM usage_events
      WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT 1000`,
    [firstSeq, lastSeq],
  );
  return new Map(rows.map((row) => [row.seq, keyOf(row)]));
}

/** Key of one event; empty when there is none. */
export async function readKey(scope: TenantScope, seq: number): Promise<string> {
  return (await readKeys(scope, seq, seq)).get(seq) ?? "";
}

/** Number of the newest event, 0 for none. */
export async function newestSeq(scope: TenantScope): Promise<number> {
  const row = await scope.db.find<{ seq: number }>("SELECT coalesce(max(seq), 0) AS seq FROM usage_events");
  return row?.seq ?? 0;
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
  const keys = rows.map(keyOf);
  const digest = sha256Hex(keys.join()).slice(0, 8);
  return {
    // With the day that is put after it, an identifier at Stripe: at most 100 characters.
    id: `usage.${exportOf === "" ? "platform" : "tenant"}.${tenantId}.${first.seq}-${last.seq}.${digest}`,
    ...{ tenantId, slug: tenant.slug, firstSeq: first.seq, lastSeq: last.seq },
    events: rows.map((row, index) => toCloudEvent(tenantId, row, keys[index] ?? "", currency)),
    keys,
  };
}

function toCloudEvent(tenantId: TenantId, row: EventRow, key: string, currency: string): UsageCloudEvent {
  const isStorage = row.channel === "storage";
  return {
    specversion: "1.0",
    id: `${tenantId}.${row.seq}.${key}`,
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
      reasoningTokens: row.reasoning_tokens,
      ...{ cacheReadTokens: row.cache_read_tokens, cacheWriteTokens: row.cache_write_tokens },
      ...{ isError: row.is_error === 1, isExact: row.is_exact === 1, currency },
      costMicros: row.cost_micros,
      chargedMicros: row.key_owner === "tenant" ? 0 : row.cost_micros - row.overrun_micros,
      ...{ priceVersion: row.price_origin, keyOwner: row.key_owner },
      ...(isStorage ? { sizeBytes: Number(row.call_id) } : {}),
    },
  };
}
