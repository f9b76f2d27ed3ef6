/**
 * The form of a plan, the same in the configuration file, in the shipped examples and in what an operator sends.
 * Owns: fields, bounds, what a missing one means (no limit). Refuses to know: who is on which plan, who enforces it.
 */
import { z } from "zod";

const COUNT = z.int().min(0).max(1_000_000_000).nullable().default(null);
const RATE = z.int().min(1).max(100_000_000).nullable().default(null);
const MICROS = z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullable().default(null);

/** A plan's name in addresses and pins: 1 to 40 of `a-z 0-9 -`. */
export const PLAN_ID = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,39}$/, "a plan's id has 1 to 40 of a-z, 0-9 and '-'");

/** SECURITY: strict, so that a misspelt limit stops the start instead of quietly limiting nothing. */
export const planSchema = z.strictObject({
  version: z.int().min(1).max(1_000_000).default(1),
  name: z.string().trim().min(1).max(60),
  currency: z.enum(["USD", "CNY"]).default("USD"),
  /** What a calendar month may cost, in micro-units. */
  monthlyBudgetMicros: MICROS,
  /** The part of it that work nobody waits for (schedules, hooks) may use. */
  backgroundBudgetMicros: MICROS,
  /** People; service accounts are none. */
  seats: COUNT,
  agents: COUNT,
  channels: COUNT,
  storageBytes: MICROS,
  /** Calls by HTTP and frames together; of one person and of one token within that. */
  requestsPerMinute: RATE,
  requestsPerMinutePerUser: RATE,
  requestsPerMinutePerKey: RATE,
  /** Of these, calls that change something, and calls that begin a turn. */
  writesPerMinute: RATE,
  turnsPerMinute: RATE,
  concurrentTurns: RATE,
  tokensPerMinute: RATE,
  /** Share of the machine while turns wait, relative to other tenants. */
  weight: z.int().min(1).max(1_000).default(1),
  /** `provider/model`, or `provider/` and a star for all of one; null for every model. */
  models: z
    .array(
      z
        .string()
        .regex(/^[\w.-]{1,64}\/(?:\*|\S{1,200})$/, "a model is written as provider/model or provider/*"),
    )
    .max(200)
    .nullable()
    .default(null),
});

/** What a plan allows; null is no limit. */
export type PlanTerms = z.output<typeof planSchema>;

/** What may be said about a plan; what is left out is no limit. */
export type PlanDraft = z.input<typeof planSchema>;
