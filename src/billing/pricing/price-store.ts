/**
 * Operators' prices in control.db. Owns: adding rows, reading new ones into the book again and again.
 * Refuses to know: which row holds when (price-rows does), who may change prices.
 *
 * Rows are read in pages, so that however many there are none is left out and nobody waits long; once read they are kept,
 * since they never change, and only those that were added since are read again.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock, Timer } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { PriceBook } from "../prices.ts";
import { type MarginRow, type PriceRow, PriceRows } from "./price-rows.ts";
import type { PriceTable } from "./price-table.ts";

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
/** Some milliseconds of the event loop. */
const PAGE = 2_000;

const BETWEEN = `WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ${PAGE}`;
const ROWS = `SELECT seq, kind, tenant_id AS tenantId, provider, name, from_day AS fromDay, input, output,
  cache_read AS cacheRead, cache_write AS cacheWrite, reasoning, source FROM price_rows ${BETWEEN}`;
const MARGINS = `SELECT seq, tenant_id AS tenantId, from_day AS fromDay, basis_points AS basisPoints
  FROM price_margins ${BETWEEN}`;

/** Numbers of the last row and margin. */
interface Head {
  row: number;
  margin: number;
}

const NONE: Head = { row: 0, margin: 0 };

/** See the head of this file. */
export class PriceStore {
  private readonly deps: PriceStoreDeps;
  private timer: Timer | undefined;
  private known = new PriceRows();
  private readUpTo = NONE;
  private reading: Promise<void> = Promise.resolve();

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

  /** Prices of models that hold where no operator set one. */
  get table(): PriceTable {
    return this.deps.book.table;
  }

  /** All rows and margins, the newest first. */
  async list(): Promise<{ rows: PriceRow[]; margins: MarginRow[] }> {
    const { rows, margins } = await this.read(NONE, await this.head());
    return { rows: rows.reverse(), margins: margins.reverse() };
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

  /** One after the other, so that each row is added once and whoever added one finds it in the book. */
  private refresh(): Promise<void> {
    const read = this.reading.then(() => this.readNew());
    this.reading = read.catch(() => undefined);
    return read;
  }

  private async readNew(): Promise<void> {
    const head = await this.head();
    if (head.row === this.readUpTo.row && head.margin === this.readUpTo.margin) return;
    const { rows, margins } = await this.read(this.readUpTo, head);
    this.known = this.known.with(rows, margins);
    this.deps.book.replaceRows(this.known);
    this.readUpTo = head;
  }

  // ORDER: before the rows: what was added together is read together.
  private async head(): Promise<Head> {
    const sql = `SELECT coalesce((SELECT max(seq) FROM price_rows), 0) AS row,
      coalesce((SELECT max(seq) FROM price_margins), 0) AS margin`;
    return (await this.deps.control.find<Head>(sql)) ?? NONE;
  }

  /** Rows and margins after one head up to another, the oldest first. */
  private async read(after: Head, upTo: Head): Promise<{ rows: PriceRow[]; margins: MarginRow[] }> {
    return {
      rows: await this.pages<PriceRow>(ROWS, after.row, upTo.row),
      margins: await this.pages<MarginRow>(MARGINS, after.margin, upTo.margin),
    };
  }

  private async pages<Row extends { seq: number }>(sql: string, after: number, upTo: number): Promise<Row[]> {
    const rows: Row[] = [];
    for (let last = after; last < upTo; ) {
      const page = await this.deps.control.list<Row>(sql, [last, upTo]);
      for (const row of page) rows.push(row);
      if (page.length < PAGE) break;
      last = page.at(-1)?.seq ?? upTo;
      // Many rows are read while others are served.
      await nextTurn();
    }
    return rows;
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
