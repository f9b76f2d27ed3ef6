/**
 * Bytes that are no request. Owns: the one answer to a line that the HTTP parser gave up on, and its end.
 * Refuses to know: routes; no request was made.
 */
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { newId } from "../../kernel/ids.ts";

const STATUS_OF: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/**
 * Answer and cut the line. SECURITY: a line on which an answer already went out is cut without another: a proxy would
 * take it for the answer to somebody's next request.
 */
export function endBrokenLine(error: { code?: string }, line: Duplex & { bytesWritten?: number }): void {
  if (line.destroyed || !line.writable || (line.bytesWritten ?? 0) > 0) {
    line.destroy();
    return;
  }
  const status = STATUS_OF[error.code ?? ""] ?? 400;
  const requestId = newId();
  const message = STATUS_CODES[status] ?? "Bad Request";
  const body = JSON.stringify({
    error: { code: "invalid_request", type: "invalid_request_error", message, requestId },
  });
  line.once("finish", () => line.destroy());
  line.end(
    `HTTP/1.1 ${status} ${message}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: ${requestId}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
