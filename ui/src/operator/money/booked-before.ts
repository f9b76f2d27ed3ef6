/** A form about credit that is sent again with other words. Owns: what is said of it. Refuses to know: the forms. */
import { HttpFailure } from "../../http/request.ts";

/**
 * What to show of a failure: when the form's key was booked before, `say` makes the sentence from the amount that was
 * booked, micro-units (undefined when the server does not say); anything else as it is.
 */
export function bookedBefore(failure: unknown, say: (micros: number | undefined) => string): unknown {
  if (!(failure instanceof HttpFailure) || failure.code !== "idempotency_conflict") return failure;
  const micros = failure.details["amountMicros"];
  return new Error(say(typeof micros === "number" ? micros : undefined), { cause: failure });
}
