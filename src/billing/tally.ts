/**
 * Adding usage up. Owns: the measures a stored row carries, their exact sums, and their form on the wire
 * (PROTOCOL.md 8.3). Refuses to know: which rows are added, and why.
 */
import { toCurrency } from "./prices.ts";

/** The measures of a row of `usage_quarters`; integers. */
export interface UsageRow {
  model_calls: number;
  tool_calls: number;
  user_messages: number;
  assistant_messages: number;
  errors: number;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  input_cost_micros: number;
  output_cost_micros: number;
  cache_read_cost_micros: number;
  cache_write_cost_micros: number;
  cost_micros: number;
  missing_costs: number;
}

const MEASURES = [
  "model_calls",
  "tool_calls",
  "user_messages",
  "assistant_messages",
  "errors",
  "input_tokens",
  "output_tokens",
  "cache_read_tokens",
  "cache_write_tokens",
  "input_cost_micros",
  "output_cost_micros",
  "cache_read_cost_micros",
  "cache_write_cost_micros",
  "cost_micros",
  "missing_costs",
] as const satisfies readonly (keyof UsageRow)[];

/** The SQL that sums every measure of `usage_quarters q`. */
export const SUMS = MEASURES.map((measure) => `sum(q.${measure}) AS ${measure}`).join(", ");

/** Tokens and cost as OpenClaw's clients read them; cost in whole units of currency. */
export type WireTotals = {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  totalTokens: number;
  totalCost: number;
  inputCost: number;
  outputCost: number;
  cacheReadCost: number;
  cacheWriteCost: number;
  missingCostEntries: number;
};

/** Messages and tool calls as OpenClaw's clients read them. */
export type WireMessageCounts = {
  total: number;
  user: number;
  assistant: number;
  toolCalls: number;
  toolResults: number;
  errors: number;
};

const ZERO = Object.freeze(
  Object.fromEntries(MEASURES.map((measure) => [measure, 0])),
) as unknown as UsageRow;

/** A sum of rows, kept in integers and turned into currency only when it is read. */
export class Tally {
  private readonly sums: UsageRow = { ...ZERO };

  add(row: UsageRow): void {
    for (const measure of MEASURES) this.sums[measure] += row[measure];
  }

  /** Add what another one holds. */
  include(other: Tally): void {
    this.add(other.sums);
  }

  /** Model calls. */
  get calls(): number {
    return this.sums.model_calls;
  }

  get toolCalls(): number {
    return this.sums.tool_calls;
  }

  get costMicros(): number {
    return this.sums.cost_micros;
  }

  get tokens(): number {
    const { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens } = this.sums;
    return input_tokens + output_tokens + cache_read_tokens + cache_write_tokens;
  }

  /** Whole units of currency, for showing. */
  get cost(): number {
    return toCurrency(this.sums.cost_micros);
  }

  totals(): WireTotals {
    const { sums } = this;
    return {
      input: sums.input_tokens,
      output: sums.output_tokens,
      cacheRead: sums.cache_read_tokens,
      cacheWrite: sums.cache_write_tokens,
      totalTokens: this.tokens,
      totalCost: this.cost,
      inputCost: toCurrency(sums.input_cost_micros),
      outputCost: toCurrency(sums.output_cost_micros),
      cacheReadCost: toCurrency(sums.cache_read_cost_micros),
      cacheWriteCost: toCurrency(sums.cache_write_cost_micros),
      missingCostEntries: sums.missing_costs,
    };
  }

  messages(): WireMessageCounts {
    const { sums } = this;
    return {
      total: sums.user_messages + sums.assistant_messages,
      user: sums.user_messages,
      assistant: sums.assistant_messages,
      toolCalls: sums.tool_calls,
      toolResults: sums.tool_calls,
      errors: sums.errors,
    };
  }
}

/** Tallies by a key, in the order in which keys first came. */
export class Tallies<Key extends string | number> {
  private readonly byKey = new Map<Key, Tally>();
  private readonly empty = new Tally();

  add(key: Key, row: UsageRow): void {
    this.at(key).add(row);
  }

  /** The tally of a key; an empty one is made where there is none. */
  at(key: Key): Tally {
    let tally = this.byKey.get(key);
    if (tally === undefined) {
      tally = new Tally();
      this.byKey.set(key, tally);
    }
    return tally;
  }

  /** The tally of a key, for reading; an empty one where there is none. */
  read(key: Key): Tally {
    return this.byKey.get(key) ?? this.empty;
  }

  entries(): [Key, Tally][] {
    return [...this.byKey];
  }

  /** Largest cost first, then most tokens, then by name: a stable order for lists. */
  ranked(): [Key, Tally][] {
    return this.entries().sort(
      ([leftKey, left], [rightKey, right]) =>
        right.costMicros - left.costMicros || right.tokens - left.tokens || (leftKey < rightKey ? -1 : 1),
    );
  }
}
