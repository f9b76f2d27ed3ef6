/**
 * Frames of OpenClaw gateway protocol v4. Owns: their shape, reading and writing them.
 * Refuses to know: sockets, methods' meaning. Source: PROTOCOL.md 2-4, recorded on the wire.
 */
import { AppError, type ErrorCode, toAppError } from "../kernel/errors.ts";
import { type JsonBounds, parseUntrusted } from "../kernel/json.ts";

/** The protocol version served; probes may speak 3. */
export const PROTOCOL_VERSION = 4;
/** The lowest version a client in probe mode may ask for. */
export const PROBE_VERSION = 3;

/** A call from a client. */
export interface RequestFrame {
  id: string;
  method: string;
  params: unknown;
}

/** The protocol's error object. `code` and `message` are never empty: clients drop such frames. */
export interface WireError {
  code: string;
  message: string;
  details?: Record<string, unknown>;
  retryable?: boolean;
  retryAfterMs?: number;
}

/** What came in: a request, something to answer with an error, or something to pass over in silence. */
export type ReadFrame =
  | { kind: "request"; frame: RequestFrame }
  | { kind: "malformed"; id: string; problem: string }
  | { kind: "not-a-request" }
  | { kind: "not-json" };

/** Longest request id that is taken; it is echoed. */
const ID_CHARS = 256;

/** Bytes of a frame in which its id is looked for without parsing it; clients write it first. */
const HEAD_BYTES = 2_048;
/** A member at the beginning of a frame whose value is a text. */
const HEAD_MEMBER = /[\s{,]*"(type|id|method)"\s*:\s*("(?:[^"\\]|\\.)*")/y;

/**
 * Read one text frame; throws `invalid_request` when it nests too deep or holds prototype keys, `too_large` when it holds
 * too much.
 */
export function readFrame(text: string, bounds: Partial<JsonBounds> = {}): ReadFrame {
  let value: unknown;
  try {
    value = parseUntrusted(text, bounds);
  } catch (thrown) {
    if (thrown instanceof AppError && thrown.cause instanceof SyntaxError) return { kind: "not-json" };
    throw thrown;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { kind: "not-json" };
  const { type, id, method, params } = value as Record<string, unknown>;
  if (type !== "req") return { kind: "not-a-request" };
  if (id === undefined) return malformed("invalid", "must have required property 'id'");
  if (typeof id !== "string" || id.length === 0 || id.length > ID_CHARS) {
    return malformed("invalid", "at /id: must be a short string");
  }
  if (method === undefined) return malformed(id, "must have required property 'method'");
  if (typeof method !== "string" || method.length === 0 || method.length > 128) {
    return malformed(id, "at /method: must be a short string");
  }
  return { kind: "request", frame: { id, method, params } };
}

/** Id of a frame that is refused unread, or `invalid`, as for every frame without one. */
export function peekId(bytes: Buffer): string {
  const head = bytes.toString("utf8", 0, HEAD_BYTES);
  HEAD_MEMBER.lastIndex = 0;
  for (let found = HEAD_MEMBER.exec(head); found !== null; found = HEAD_MEMBER.exec(head)) {
    if (found[1] !== "id") continue;
    const id = readText(found[2] ?? "");
    return id.length > 0 && id.length <= ID_CHARS ? id : "invalid";
  }
  return "invalid";
}

function readText(json: string): string {
  try {
    return String(JSON.parse(json));
  } catch {
    return "";
  }
}

function malformed(id: string, problem: string): ReadFrame {
  return { kind: "malformed", id, problem: `invalid request frame: ${problem}` };
}

/** Write a successful answer. */
export function writeResult(id: string, payload: unknown): string {
  return `{"type":"res","id":${JSON.stringify(id)},"ok":true,"payload":${JSON.stringify(payload ?? null)}}`;
}

/** Write a failed answer; a failed replay carries its payload too (PROTOCOL.md 7.6). */
export function writeError(id: string, error: WireError, payload?: unknown): string {
  return JSON.stringify({ type: "res", id, ok: false, ...(payload === undefined ? {} : { payload }), error });
}

/** Write an event whose payload is already JSON text, so that many connections share one serialisation. */
export function writeEvent(event: string, payloadJson: string, seq: number | null): string {
  const tail = seq === null ? "}" : `,"seq":${seq}}`;
  return `{"type":"event","event":"${event}","payload":${payloadJson}${tail}`;
}

/** An error as a client may see it; the request id lets people quote it. */
export function toWireError(thrown: unknown, requestId: string): WireError {
  const error = toAppError(thrown);
  const isOurs = error.code === "internal" || error.code === "storage_uncertain";
  return {
    code: error.rule.wire,
    message: error.publicMessage,
    details: { code: wireDetail(error.code), ...error.details, ...(isOurs ? { requestId } : {}) },
    ...(error.rule.retryable ? { retryable: true } : {}),
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  };
}

function wireDetail(code: ErrorCode): string {
  return code.toUpperCase();
}
