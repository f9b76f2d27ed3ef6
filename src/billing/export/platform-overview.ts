/**
 * How the operator's export stands with every tenant. Owns: the listing, from control.db alone. Refuses to know: sending,
 * changing anything.
 */
import type { TenantId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";
import type { PlatformExport } from "./usage-sink.ts";

/** One tenant. Amounts are micro-units of its currency. */
export interface TenantStanding {
  tenantId: TenantId;
  /** Null when the tenant is gone. */
  slug: string | null;
  name: string | null;
  cursor: number;
  /** Newest event that control.db has heard of. */
  newest: number;
  failures: number;
  nextAtMs: number | null;
  lastSentAtMs: number | null;
  lastError: string | null;
  /** For a meter: who is billed; null for nobody. */
  customer: string | null;
  /** Nobody said who is billed: its usage is kept until somebody does. */
  isHeld: boolean;
  /** Charges on their way. */
  waiting: { count: number; amountMicros: number };
  /** Charges that an operator has to decide about. */
  setAside: { count: number; amountMicros: number };
}

/** Which tenants. */
export interface OverviewQuery {
  /** Those after this id. */
  after: string;
  tenantId: string | null;
  /** Only those with something that is not as it should be. */
  isTroubled: boolean;
}

/** Tenants of one page. */
export const OVERVIEW_ROWS = 200;

interface Row extends Omit<TenantStanding, "nextAtMs" | "isHeld" | "waiting" | "setAside" | "customer"> {
  nextAtMs: number;
  isHeld: 0 | 1;
  waitingCount: number;
  waitingMicros: number;
  asideCount: number;
  asideMicros: number;
}

const sumOf = (what: string, test: string) =>
  `(SELECT coalesce(${what}, 0) FROM usage_charges u WHERE u.tenant_id = k.tenant_id AND u.set_aside_at_ms ${test})`;

const LIST = `SELECT * FROM (SELECT k.tenant_id AS tenantId, t.slug, t.display_name AS name,
  coalesce(c.cursor_seq, 0) AS cursor,
  (SELECT coalesce(max(m.as_of_seq), 0) FROM usage_daily_marks m WHERE m.tenant_id = k.tenant_id) AS newest,
  coalesce(c.failures, 0) AS failures, coalesce(c.next_at_ms, 0) AS nextAtMs,
  c.last_sent_at_ms AS lastSentAtMs, c.last_error AS lastError,
  ? AND t.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM json_each(?) WHERE value IN (t.id, t.slug)) AS isHeld,
  ${sumOf("count(*)", "IS NULL")} AS waitingCount, ${sumOf("sum(amount_micros)", "IS NULL")} AS waitingMicros,
  ${sumOf("count(*)", "IS NOT NULL")} AS asideCount, ${sumOf("sum(amount_micros)", "IS NOT NULL")} AS asideMicros
  FROM (SELECT tenant_id FROM usage_news UNION SELECT tenant_id FROM usage_charges) k
  LEFT JOIN tenants t ON t.id = k.tenant_id
  LEFT JOIN usage_export_cursors c ON c.export_of = '' AND c.tenant_id = k.tenant_id
  WHERE k.tenant_id > ? AND (? IS NULL OR k.tenant_id = ?))
  WHERE ? = 0 OR failures > 0 OR isHeld OR asideCount > 0 ORDER BY tenantId LIMIT ?`;

/** One page of tenants that ever used something, or still owe something, by id. */
export async function listStandings(
  control: Database,
  platform: PlatformExport,
  { after, tenantId, isTroubled }: OverviewQuery,
): Promise<TenantStanding[]> {
  const meter = platform.kind === "charges" ? platform.meter : null;
  const rows = await control.list<Row>(LIST, [
    ...[meter === null ? 0 : 1, JSON.stringify(meter?.known ?? [])],
    ...[after, tenantId, tenantId, isTroubled ? 1 : 0, OVERVIEW_ROWS],
  ]);
  return rows.map(({ waitingCount, waitingMicros, asideCount, asideMicros, ...row }) => ({
    ...row,
    nextAtMs: row.nextAtMs === 0 ? null : row.nextAtMs,
    customer: row.slug === null ? null : (meter?.customerOf({ id: row.tenantId, slug: row.slug }) ?? null),
    isHeld: row.isHeld === 1,
    waiting: { count: waitingCount, amountMicros: waitingMicros },
    setAside: { count: asideCount, amountMicros: asideMicros },
  }));
}
