/**
 * What prices and margins that are not set yet would have changed in the last 30 days. Owns: whom a draft reaches, the
 * reckoning. Refuses to know: who asks, how prices are kept.
 *
 * Both sums are what tenants pay, with their margins. A tenant with a price or margin of its own is not reached by
 * everybody's. Sums of a month are priced at once, so that each is at most one micro-unit per event below the bill;
 * tokens that were thought are not told apart there and count as output. Storage is reckoned by what is kept now.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { addDays } from "../calendar.ts";
import { dayOfStorage } from "../storage/storage-price.ts";
import { type MarginRow, type PriceRow, PriceRows, toPrice } from "./price-rows.ts";
import { type MarginDraft, type PriceDraft, type PriceStore, rowOf } from "./price-store.ts";

/** What one draft would have changed. */
export interface PriceEffect {
  kind: PriceRow["kind"] | "margin";
  /** Empty for everybody. */
  tenantId: string;
  provider: string;
  /** Model or tool; empty for storage and margins. */
  name: string;
  /** Tenants that used it in the last 30 days and that the draft reaches. */
  tenants: number;
  /** What they paid for it, and would have paid, in micro-units. */
  beforeMicros: number;
  afterMicros: number;
}

/** What a trial needs. */
export interface PriceTrialDeps {
  control: Database;
  store: Pick<PriceStore, "list">;
  /** The tenant's scope; undefined when it is gone or going. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
}

const DAY_MS = 86_400_000;
const DAYS = 30;
const SLOT_MS = 900_000;
const MOST_TENANTS = 10_000;

type Tokens = Record<"input" | "output" | "read" | "write" | "before", number> & { tenantId: TenantId };

/** All that is known and wished, as one book; drafts are as if they were made last. */
interface Wish {
  rows: PriceRows;
  known: PriceRows;
  drafts: readonly PriceRow[];
  margins: readonly MarginRow[];
}

/** What each draft would have changed, prices first, in the order given. */
export async function tryPrices(
  deps: PriceTrialDeps,
  drafts: readonly PriceDraft[],
  margins: readonly MarginDraft[],
  nowMs: number,
): Promise<PriceEffect[]> {
  const { rows, margins: before } = await deps.store.list();
  const first = Math.max(0, ...rows.map(({ seq }) => seq), ...before.map(({ seq }) => seq)) + 1;
  const wished = drafts.map((draft, index) => rowOf(draft, first + index));
  const paid = margins.map((draft, index) => ({ ...draft, seq: first + index }));
  const wish: Wish = {
    rows: new PriceRows([...rows, ...wished], [...before, ...paid]),
    known: new PriceRows(rows, before),
    ...{ drafts: wished, margins: paid },
  };
  const effects: PriceEffect[] = [];
  for (const draft of wish.drafts) effects.push(await effectOf(deps, wish, draft, nowMs));
  for (const draft of wish.margins) effects.push(await marginEffect(deps, wish, draft, nowMs));
  return effects;
}

async function effectOf(deps: PriceTrialDeps, wish: Wish, draft: PriceRow, nowMs: number) {
  const { kind, tenantId, provider, name } = draft;
  const effect: PriceEffect = {
    ...{ kind, tenantId, provider, name },
    ...{ tenants: 0, beforeMicros: 0, afterMicros: 0 },
  };
  const reaches = (id: TenantId) => wish.rows.find(kind, draft, id, draft.fromDay)?.seq === draft.seq;
  const used = await USED[kind](deps, draft, nowMs, reaches);
  for (const { tenantId: id, before, ...amounts } of used) {
    if (!reaches(id)) continue;
    const price = wish.rows.withMargin(toPrice(draft), id, draft.fromDay);
    effect.tenants += 1;
    effect.beforeMicros += before;
    effect.afterMicros += WORTH[kind](amounts, price, nowMs);
  }
  return effect;
}

type Amounts = Omit<Tokens, "tenantId" | "before">;

type Prices = Record<"input" | "output" | "cacheRead" | "cacheWrite", number>;

/** What was used, by kind; of tools and storage, calls and bytes are `input`. */
const USED = { model: tokensOf, tool: callsOf, storage: bytesOf } as const;

const WORTH: Record<PriceRow["kind"], (amounts: Amounts, price: Prices, nowMs: number) => number> = {
  model: tokensWorth,
  tool: ({ input: calls }, { input: micros }) => calls * micros,
  storage: ({ input: sizeBytes }, { input: micros }, nowMs) => {
    const days = Array.from({ length: DAYS }, (_, back) => addDays(dayOf(nowMs), -1 - back));
    return days.reduce((sum, day) => sum + dayOfStorage(sizeBytes, micros, day), 0);
  },
};

function tokensWorth(amounts: Amounts, price: Prices): number {
  const exact =
    BigInt(amounts.input) * BigInt(price.input) +
    BigInt(amounts.output) * BigInt(price.output) +
    BigInt(amounts.read) * BigInt(price.cacheRead) +
    BigInt(amounts.write) * BigInt(price.cacheWrite);
  return Number((exact + 999_999n) / 1_000_000n);
}

/** Tokens of a model by tenant, where the platform's key was used. */
function tokensOf({ control }: PriceTrialDeps, draft: PriceRow, nowMs: number): Promise<Tokens[]> {
  return control.list<Tokens>(
    `SELECT tenant_id AS tenantId, sum(input_tokens) AS input, sum(output_tokens) AS output,
        sum(cache_read_tokens) AS read, sum(cache_write_tokens) AS write, sum(platform_cost_micros) AS before
      FROM usage_daily WHERE day >= ? AND lower(provider) = lower(?) AND lower(model) = lower(?)
        AND platform_cost_micros > 0 AND (? = '' OR tenant_id = ?) GROUP BY tenant_id LIMIT ${MOST_TENANTS}`,
    [startDay(nowMs), draft.provider, draft.name, draft.tenantId, draft.tenantId],
  );
}

/** Calls of a tool by tenant that can cost something, as `input`; read from the tenants' own sums, since the platform's do not name tools. */
async function callsOf(
  { control, scopeOf }: PriceTrialDeps,
  draft: PriceRow,
  nowMs: number,
  reaches: (id: TenantId) => boolean,
): Promise<Tokens[]> {
  const tenants = await control.list<{ tenantId: TenantId }>(
    `SELECT DISTINCT tenant_id AS tenantId FROM usage_daily
      WHERE day >= ? AND tool_calls > 0 AND (? = '' OR tenant_id = ?) LIMIT ${MOST_TENANTS}`,
    [startDay(nowMs), draft.tenantId, draft.tenantId],
  );
  const found: Tokens[] = [];
  const slot = Math.floor((nowMs - DAYS * DAY_MS) / SLOT_MS);
  for (const { tenantId } of tenants) {
    const scope = reaches(tenantId) ? await scopeOf(tenantId) : undefined;
    const row = await scope?.db.find<{ calls: number; before: number }>(
      `SELECT coalesce(sum(tool_calls), 0) - (SELECT count(*) FROM usage_events WHERE price_origin = 'uncharged'
          AND at_ms >= ? AND lower(tool_name) = lower(?)) AS calls,
          coalesce(sum(platform_cost_micros), 0) AS before
        FROM usage_quarters WHERE slot >= ? AND lower(tool_name) = lower(?)`,
      [slot * SLOT_MS, draft.name, slot, draft.name],
    );
    const none = { output: 0, read: 0, write: 0 };
    if (row && row.calls > 0) found.push({ tenantId, input: row.calls, before: row.before, ...none });
    // One tenant's sums at a time; whoever else waits goes first.
    await nextTurn();
  }
  return found;
}

/** What tenants keep now, as `input`, and what they paid for keeping. */
function bytesOf({ control }: PriceTrialDeps, draft: PriceRow, nowMs: number): Promise<Tokens[]> {
  return control.list<Tokens>(
    `SELECT s.tenant_id AS tenantId, s.file_bytes + s.database_bytes AS input, 0 AS output, 0 AS read, 0 AS write,
        coalesce((SELECT sum(u.platform_cost_micros) FROM usage_daily u
          WHERE u.tenant_id = s.tenant_id AND u.day >= ? AND u.agent_id = '' AND u.channel = 'storage'), 0) AS before
      FROM tenant_storage s JOIN tenants t ON t.id = s.tenant_id
      WHERE t.status <> 'deleting' AND (? = '' OR s.tenant_id = ?) LIMIT ${MOST_TENANTS}`,
    [startDay(nowMs), draft.tenantId, draft.tenantId],
  );
}

async function marginEffect({ control }: PriceTrialDeps, wish: Wish, draft: MarginRow, nowMs: number) {
  const { tenantId } = draft;
  const effect: PriceEffect = {
    ...{ kind: "margin", tenantId, provider: "", name: "" },
    ...{ tenants: 0, beforeMicros: 0, afterMicros: 0 },
  };
  const paid = await control.list<{ tenantId: TenantId; before: number }>(
    `SELECT tenant_id AS tenantId, sum(platform_cost_micros) AS before FROM usage_daily
      WHERE day >= ? AND platform_cost_micros > 0 AND (? = '' OR tenant_id = ?)
      GROUP BY tenant_id LIMIT ${MOST_TENANTS}`,
    [startDay(nowMs), tenantId, tenantId],
  );
  for (const { tenantId: id, before } of paid) {
    if (wish.rows.findMargin(id, draft.fromDay)?.seq !== draft.seq) continue;
    const held = wish.known.marginOf(id, dayOf(nowMs));
    effect.tenants += 1;
    effect.beforeMicros += before;
    effect.afterMicros += changeMargin(before, held, draft.basisPoints);
  }
  return effect;
}

/** An amount with one margin in it, with another; what nothing was paid for stays as it is. */
export function changeMargin(micros: number, from: number, to: number): number {
  if (from <= -10_000) return micros;
  const without = BigInt(micros) * 10_000n;
  const parts = BigInt(10_000 + from);
  return Number((without * BigInt(10_000 + to) + parts * 10_000n - 1n) / (parts * 10_000n));
}

/** The part of an amount that is margin, in micro-units; below zero for a discount. */
export function marginPart(micros: number, basisPoints: number): number {
  return micros - changeMargin(micros, basisPoints, 0);
}

function startDay(nowMs: number): string {
  return dayOf(nowMs - DAYS * DAY_MS);
}

function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}
