/**
 * Operators' prices in control.db. Owns: adding rows, reading them into the book again and again.
 * Refuses to know: which row holds when (price-rows does), who may change prices.
 */
import type { Clock, Timer } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { PriceBook } from "../prices.ts";
import { type MarginRow, type PriceRow, PriceRows } from "./price-rows.ts";

/** A price to be added; what is left out of cached and reasoning tokens costs what input and output do. */
export type PriceDraft = Omit<PriceRow, "seq" | "cacheRead" | "cacheWrite" | "reasoning"> & {
  cacheRead?: number | undefined;
  cacheWrite?: number | undefined;
  reasoning?: number | undefined;
};

/** A margin to be set from a day on. */
export type MarginDraft = Omit<MarginRow, "seq">;

/** What the store needs. */
export interface PriceStoreDeps {
  control: Database;
  book: PriceBook;
  clock: Clock;
  log: Log;
}

/** How long a price set by another process takes to arrive. */
const REFRESH_MS = 15_000;
const MOST_ROWS = 20_000;

const ROWS = `SELECT seq, kind, tenant_id AS tenantId, provider, name, from_day AS fromDay, input, output,
  cache_read AS cacheRead, cache_write AS cacheWrite, reasoning, source FROM price_rows ORDER BY seq DESC LIMIT ?`;
const MARGINS = `SELECT seq, tenant_id AS tenantId, from_day AS fromDay, basis_points AS basisPoints
  FROM price_margins ORDER BY seq DESC LIMIT ?`;

/** See the head of this file. */
export class PriceStore {
  private readonly deps: PriceStoreDeps;
  private timer: Timer | undefined;
  private readUpTo = "";

  constructor(deps: PriceStoreDeps) {
    this.deps = deps;
  }

  /** Read the rows, and go on looking for new ones. Throws when they cannot be read: no price must be guessed. */
  async start(): Promise<void> {
    await this.refresh();
    this.timer = this.deps.clock.every(REFRESH_MS, () => {
      this.refresh().catch((thrown: unknown) =>
        this.deps.log.warn({ err: thrown }, "prices could not be read"),
      );
    });
  }

  close(): void {
    this.timer?.cancel();
  }

  /** All rows and margins, the newest first. */
  async list(): Promise<{ rows: PriceRow[]; margins: MarginRow[] }> {
    const [rows, margins] = await Promise.all([
      this.deps.control.list<PriceRow>(ROWS, [MOST_ROWS]),
      this.deps.control.list<MarginRow>(MARGINS, [MOST_ROWS]),
    ]);
    return { rows, margins };
  }

  /**
   * Add prices and margins together; they hold from their day on, at the earliest from today (UTC). Throws
   * `invalid_request` for a day that is past: what was charged stays charged.
   */
  async add(
    drafts: readonly PriceDraft[],
    margins: readonly MarginDraft[],
    by: string,
    also: readonly Statement[] = [],
  ): Promise<void> {
    const nowMs = this.deps.clock.nowMs();
    const today = new Date(nowMs).toISOString().slice(0, 10);
    if ([...drafts, ...margins].some(({ fromDay }) => fromDay < today))
      throw new AppError("invalid_request", `A price begins today (${today}, UTC) or later.`, {
        details: { field: "fromDay" },
      });
    await this.deps.control.write({
      statements: [
        ...drafts.map((draft) => insertRow(draft, nowMs, by)),
        ...margins.map((margin) => ({
          sql: "INSERT INTO price_margins (tenant_id, from_day, basis_points, made_at_ms, made_by) VALUES (?, ?, ?, ?, ?)",
          params: [margin.tenantId, margin.fromDay, margin.basisPoints, nowMs, by],
        })),
        ...also,
      ],
    });
    await this.refresh();
  }

  private async refresh(): Promise<void> {
    const head = await this.deps.control.find<{ head: string }>(
      "SELECT coalesce((SELECT max(seq) FROM price_rows), 0) || ' ' || coalesce((SELECT max(seq) FROM price_margins), 0) AS head",
    );
    if (head === undefined || head.head === this.readUpTo) return;
    const { rows, margins } = await this.list();
    this.deps.book.replaceRows(new PriceRows(rows, margins));
    this.readUpTo = head.head;
  }
}

/** A draft as the row that it becomes; what is left out costs what input and output do. */
export function rowOf(draft: PriceDraft, seq: number): PriceRow {
  const { input, output, cacheRead = input, cacheWrite = input, reasoning = output } = draft;
  return { ...draft, seq, cacheRead, cacheWrite, reasoning };
}

function insertRow(draft: PriceDraft, nowMs: number, by: string): Statement {
  const { kind, tenantId, provider, name, fromDay, input, output, source, cacheRead, cacheWrite, reasoning } =
    rowOf(draft, 0);
  return {
    sql: `INSERT INTO price_rows (kind, tenant_id, provider, name, from_day, input, output, cache_read, cache_write,
      reasoning, source, made_at_ms, made_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    params: [
      ...[kind, tenantId, provider, name, fromDay, input, output, cacheRead, cacheWrite],
      ...[reasoning, source, nowMs, by],
    ],
  };
}
