/**
 * List prices of models in a file: the one that comes with the product, or an operator's own in its place. Owns: the
 * file's form, reading it, whether its figures may be used here. Refuses to know: which price holds when.
 */
import { readFileSync } from "node:fs";
import json5 from "json5";
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import shippedFile from "../prices.json" with { type: "json" };

/** A row of the table, micro-units per million tokens; a missing cache price means that cached tokens cost what fresh ones do. */
export interface PriceEntry {
  provider: string;
  model: string;
  /** First day (UTC, `YYYY-MM-DD`) on which it holds, until a later row of the same model. */
  from: string;
  input: number;
  output: number;
  cacheRead?: number | undefined;
  cacheWrite?: number | undefined;
  source: string;
}

/** A whole table; its amounts are of one currency. */
export interface PriceTable {
  currency: string;
  /** Names the table in the origin of each price; raised with every change. */
  version: string;
  isShipped: boolean;
  entries: readonly PriceEntry[];
}

/** No model costs more than this per million tokens; keeps every product within exact integers. */
export const HIGHEST_PRICE = 100_000_000_000;

const MICROS = z.int().min(0).max(HIGHEST_PRICE);
const isDay = (day: string) => {
  const atMs = Date.parse(`${day}T00:00:00Z`);
  return !Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(day);
};
const DAY = z
  .string()
  .refine((day) => /^\d{4}-\d{2}-\d{2}$/.test(day) && isDay(day), "must be a day, e.g. 2026-01-31");

/** SECURITY: strict, so that a misspelt price stops the start instead of quietly being another. */
const fileSchema = z.strictObject({
  about: z.string().max(2_000).optional(),
  currency: z.enum(["USD", "CNY"]),
  version: z
    .string()
    .regex(/^[A-Za-z0-9][\w.-]{0,39}$/, "must be 1 to 40 of letters, digits, '.', '_' and '-'"),
  prices: z
    .array(
      z.strictObject({
        provider: z.string().trim().min(1).max(64),
        model: z.string().trim().min(1).max(256),
        from: DAY,
        input: MICROS,
        output: MICROS,
        cacheRead: MICROS.optional(),
        cacheWrite: MICROS.optional(),
        source: z.string().trim().min(1).max(300),
      }),
    )
    .max(20_000),
});

/** The table that comes with the product. */
export const SHIPPED_TABLE: PriceTable = {
  ...{ currency: shippedFile.currency, version: shippedFile.version, isShipped: true },
  entries: shippedFile.prices,
};

/** Read an operator's own table; throws `invalid_request` naming the file, the place in it and what is wrong. */
export function readPriceFile(path: string): PriceTable {
  const parsed = fileSchema.safeParse(parse(path));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")}: `;
    throw refusal(path, `${where}${issue?.message ?? "is not valid"}`);
  }
  const { currency, version, prices } = parsed.data;
  const seen = new Map<string, number>();
  for (const [index, row] of prices.entries()) {
    const key = [row.provider, row.model, row.from].join("\n").toLowerCase();
    const earlier = seen.get(key);
    if (earlier !== undefined)
      throw refusal(path, `prices.${index} is of the same model and day as prices.${earlier}`);
    seen.set(key, index);
  }
  return { currency, version, isShipped: false, entries: prices };
}

/**
 * The table that holds in a deployment whose prices are in `currency`. Figures of another currency are never used: an own
 * file in it throws `invalid_request`; of the shipped table, which nobody chose, no row is left and the log says so.
 */
export function chooseTable(file: string | undefined, currency: string, log: Pick<Log, "warn">): PriceTable {
  if (file !== undefined) {
    const table = readPriceFile(file);
    if (table.currency === currency) return table;
    throw refusal(
      file,
      `its prices are in ${table.currency}, and prices here are in ${currency} (plans.default)`,
    );
  }
  if (SHIPPED_TABLE.currency === currency) return SHIPPED_TABLE;
  log.warn(
    { shipped: SHIPPED_TABLE.currency, currency },
    "the shipped prices are in another currency than plans.default and are not used: models have no price until you set billing.pricesFile, their own cost, or prices as an operator",
  );
  return { ...SHIPPED_TABLE, entries: [] };
}

function parse(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw refusal(path, "the file cannot be read", cause);
  }
  try {
    return json5.parse(text);
  } catch (cause) {
    throw refusal(path, `not valid JSON5: ${cause instanceof Error ? cause.message : ""}`, cause);
  }
}

function refusal(path: string, problem: string, cause?: unknown): AppError {
  return new AppError("invalid_request", `billing.pricesFile: ${path}: ${problem}.`, { cause });
}
