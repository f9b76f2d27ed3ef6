/**
 * The end of a line on which a large body comes that nobody reads. Owns: that the answer arrives, and that the rest is
 * neither read nor kept. Refuses to know: why it is not read.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../kernel/clock.ts";
import { LIMITS } from "../../kernel/limits.ts";

/** Bytes of the body that a request says it brings; undefined when it does not say how many. */
export function declaredBytes(request: IncomingMessage): number | undefined {
  if (request.headers["transfer-encoding"] !== undefined) return undefined;
  return Number(request.headers["content-length"] ?? 0) || 0;
}

/** Before the answer is sent: when a good part of the body has not come yet, let this be the line's last. */
export function endUnread(request: IncomingMessage, answer: ServerResponse, clock: Clock): void {
  if (request.complete || answer.headersSent) return;
  if ((declaredBytes(request) ?? Number.POSITIVE_INFINITY) <= LIMITS.callBytes) return;
  answer.setHeader("connection", "close");
  // Node reads the rest of what nobody read, to use the line again; once something was read it does not.
  request.read(0);
  // ORDER: not at once: cutting a line that still brings bytes resets it, and the reset may overtake the answer.
  const { socket } = request;
  socket.destroySoon = () => void clock.after(LIMITS.lingerMs, () => socket.destroy());
}
