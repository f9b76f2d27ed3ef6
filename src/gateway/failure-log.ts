/**
 * What the log says of a call that failed. Owns: how loudly, with how much, what is left out.
 * Refuses to know: transports, what callers are told.
 */
import type { AppError } from "../kernel/errors.ts";
import type { Log } from "../kernel/log.ts";
import { OverLimit } from "./traffic/traffic.ts";

/**
 * Write a failed call down. SECURITY: lines are written before anything else goes on, so whoever is refused a thousand
 * times a second must not cause a thousand lines; and where an expected refusal was made says nothing.
 */
export function logFailure(log: Log, error: AppError, call: Readonly<Record<string, unknown>>): void {
  if (error instanceof OverLimit && !error.isFirst) return;
  const { level } = error.rule;
  const isExpected = error.cause === undefined && (level === "info" || level === "debug");
  const problem = isExpected ? { code: error.code, problem: error.message } : { err: error };
  log[level]({ ...problem, ...call }, "a request failed");
}
