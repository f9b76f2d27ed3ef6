/**
 * Slowing down guesses at a route. Owns: which refusals count as a guess, and what a guesser is told.
 * Refuses to know: what is guessed at (see attempts for how patient we are).
 */
import { AppError, type ErrorCode } from "../../kernel/errors.ts";
import type { Attempts } from "./attempts.ts";

/**
 * Do the work; a refusal with `code` counts against the address, and against the account if there is one. Throws
 * `rate_limited` with a time to wait: for an address before anything is looked up, for an account on further failures.
 */
export async function slowGuesses<Answer>(
  attempts: Attempts,
  who: { address: string; account: string | null },
  code: ErrorCode,
  work: () => Promise<Answer>,
): Promise<Answer> {
  const waitMs = attempts.addressWaitMs(who.address);
  if (waitMs > 0) throw tooMany(waitMs);
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof AppError) || thrown.code !== code) throw thrown;
    const account = who.account === null ? null : `${code}/${who.account}`;
    const furtherWaitMs = attempts.noteFailure(who.address, account);
    throw furtherWaitMs > 0 ? tooMany(furtherWaitMs) : thrown;
  }
}

function tooMany(retryAfterMs: number): AppError {
  return new AppError("rate_limited", "Too many failed attempts. Wait before you try again.", {
    retryAfterMs,
  });
}
