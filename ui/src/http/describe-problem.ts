/** From any error to words a person can act on. Owns: that mapping. Refuses to know: where the words are shown. */
import { GatewayProtocolRequestError } from "@openclaw/gateway-client/browser";
import type { Words } from "../i18n/en.ts";
import { HttpFailure } from "./request.ts";

interface Detailed {
  code?: unknown;
  requestId?: unknown;
}

/** A sentence in the reader's language when the code is known, else the server's own sentence. */
export function describeProblem(error: Error, words: Words): { hint: string; requestId: string | undefined } {
  if (error instanceof GatewayProtocolRequestError) {
    const details = (error.details ?? {}) as Detailed;
    const requestId = typeof details.requestId === "string" ? details.requestId : undefined;
    const known = words.problem.codes[String(details.code)];
    // The generic wire codes say less than the server's message does; they are the last resort.
    return {
      hint: known || error.message || words.problem.codes[error.gatewayCode] || error.gatewayCode,
      requestId,
    };
  }
  if (error instanceof HttpFailure) {
    return { hint: words.problem.codes[error.code] ?? error.message, requestId: error.requestId };
  }
  if (/not connected|gateway closed|client stopped/.test(error.message)) {
    return { hint: words.problem.codes["offline"] ?? error.message, requestId: undefined };
  }
  return { hint: error.message, requestId: undefined };
}
