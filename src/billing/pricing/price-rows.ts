/**
 * Prices that operators set, over those that come with the product. Owns: which of several rows holds on a day, what a
 * margin adds. Refuses to know: where rows are kept, the shipped table.
 *
 * A tenant's own row goes before everybody's; of rows of the same day the one made last holds. A margin is added to
 * whatever price holds, rounded up per price. Amounts are micro-units.
 */
import type { TenantId } from "../../kernel/ids.ts";
import type { Price } from "./price.ts";

/** What a row prices: tokens of a model (per million), a call of a tool, a GiB of storage for a month. */
export type PriceKind = "model" | "tool" | "storage";

/** A row; of tools and storage only `input` counts. */
export interface PriceRow {
  seq: number;
  kind: PriceKind;
  /** Empty for everybody. */
  tenantId: string;
  /** Empty for tools and storage. */
  provider: string;
  /** Model or tool; empty for storage. */
  name: string;
  /** First day (UTC, `YYYY-MM-DD`) on which it holds. */
  fromDay: string;
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  reasoning: number;
  source: string;
}

/** What is added to prices, in hundredths of a percent. */
export interface MarginRow {
  seq: number;
  /** Empty for everybody. */
  tenantId: string;
  fromDay: string;
  basisPoints: number;
}

/** What a row is on a day: it holds, it will, or another holds (or will) in its place. */
export type Standing = "in_force" | "later" | "replaced";

/** No price is above this per million tokens, margins included; keeps every product within exact integers. */
const HIGHEST_PRICE = 1_000_000_000_000;

/** See the head of this file. Never changes; `with` makes another. */
export class PriceRows {
  private readonly rows: ReadonlyMap<string, readonly PriceRow[]>;
  private readonly margins: ReadonlyMap<string, readonly MarginRow[]>;

  /** @param before what there was already */
  constructor(rows: readonly PriceRow[] = [], margins: readonly MarginRow[] = [], before?: PriceRows) {
    this.rows = merge(before?.rows, rows, (row) => keyOf(row.kind, row.tenantId, row));
    this.margins = merge(before?.margins, margins, ({ tenantId }) => tenantId);
  }

  /** These and further ones; costs what the further ones do, however many there are. */
  with(rows: readonly PriceRow[], margins: readonly MarginRow[]): PriceRows {
    return new PriceRows(rows, margins, this);
  }

  /** Whether there is a row of this kind that costs something, for anybody, now or ever. */
  hasKind(kind: PriceKind): boolean {
    return [...this.rows.values()].some((rows) => rows.some((row) => row.kind === kind && row.input > 0));
  }

  /** The row that holds for a tenant on a day, or undefined. */
  find(
    kind: PriceKind,
    of: { provider: string; name: string },
    tenantId: TenantId | "",
    day: string,
  ): PriceRow | undefined {
    for (const owner of tenantId === "" ? [""] : [tenantId, ""]) {
      const row = this.rows.get(keyOf(kind, owner, of))?.find(({ fromDay }) => fromDay <= day);
      if (row !== undefined) return row;
    }
    return undefined;
  }

  /** The margin that holds for a tenant on a day, or undefined. */
  findMargin(tenantId: TenantId | "", day: string): MarginRow | undefined {
    for (const owner of tenantId === "" ? [""] : [tenantId, ""]) {
      const row = this.margins.get(owner)?.find(({ fromDay }) => fromDay <= day);
      if (row !== undefined) return row;
    }
    return undefined;
  }

  /** Hundredths of a percent that the tenant pays on top on a day. */
  marginOf(tenantId: TenantId | "", day: string): number {
    return this.findMargin(tenantId, day)?.basisPoints ?? 0;
  }

  /** What a row is on a day, among those of the same thing and owner. */
  standingOf(row: PriceRow, day: string): Standing {
    return standingIn(this.rows.get(keyOf(row.kind, row.tenantId, row)), row, day);
  }

  /** The same of a margin, among those of the same owner. */
  marginStandingOf(row: MarginRow, day: string): Standing {
    return standingIn(this.margins.get(row.tenantId), row, day);
  }

  /** The price with the tenant's margin; its origin names both. */
  withMargin(price: Price, tenantId: TenantId | "", day: string): Price {
    const basisPoints = this.marginOf(tenantId, day);
    if (basisPoints === 0 || price.origin === "unknown") return price;
    const add = (micros: number) => addMargin(micros, basisPoints);
    return {
      input: add(price.input),
      output: add(price.output),
      cacheRead: add(price.cacheRead),
      cacheWrite: add(price.cacheWrite),
      ...(price.reasoning === undefined ? {} : { reasoning: add(price.reasoning) }),
      origin: `${price.origin}${basisPoints > 0 ? "+" : "-"}${Math.abs(basisPoints)}bp`,
    };
  }
}

/** An amount and its margin, rounded up to a whole micro-unit. */
export function addMargin(micros: number, basisPoints: number): number {
  const exact = BigInt(micros) * BigInt(10_000 + basisPoints);
  return Math.min(HIGHEST_PRICE, Number((exact + 9_999n) / 10_000n));
}

/** A row as the price of a model. */
export function toPrice(row: PriceRow): Price {
  const { input, output, cacheRead, cacheWrite, reasoning } = row;
  return { input, output, cacheRead, cacheWrite, reasoning, origin: `row:${row.seq}` };
}

/** @param rows of one thing and owner, the newest first */
function standingIn(
  rows: readonly { seq: number; fromDay: string }[] = [],
  row: { seq: number; fromDay: string },
  day: string,
): Standing {
  if (rows.find(({ fromDay }) => fromDay <= day)?.seq === row.seq) return "in_force";
  const ofItsDay = rows.find(({ fromDay }) => fromDay === row.fromDay);
  return row.fromDay > day && ofItsDay?.seq === row.seq ? "later" : "replaced";
}

function keyOf(
  kind: PriceKind,
  tenantId: string,
  { provider, name }: { provider: string; name: string },
): string {
  return [kind, tenantId, provider.toLowerCase(), name.toLowerCase()].join("\n");
}

/** Lists of one thing and owner each, the newest first; those that nothing is added to are shared. */
function merge<Row extends { seq: number; fromDay: string }>(
  before: ReadonlyMap<string, readonly Row[]> = new Map(),
  rows: readonly Row[],
  keyOfRow: (row: Row) => string,
): ReadonlyMap<string, readonly Row[]> {
  const merged = new Map(before);
  for (const [key, added] of Map.groupBy(rows, keyOfRow))
    merged.set(key, [...(before.get(key) ?? []), ...added].sort(newestFirst));
  return merged;
}

function newestFirst(
  left: { fromDay: string; seq: number },
  right: { fromDay: string; seq: number },
): number {
  return left.fromDay === right.fromDay ? right.seq - left.seq : left.fromDay < right.fromDay ? 1 : -1;
}
