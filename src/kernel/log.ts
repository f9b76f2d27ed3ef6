/**
 * Structured logging. Owns: the pino instance and what is redacted. Refuses to know: who calls.
 * Levels: error = someone must act (zero in a healthy process), warn = healed itself, info = lifecycle, debug = request.
 */
import { destination, type Logger, pino } from "pino";

/** A structured logger. */
export type Log = Logger;

/** What decides where and how much is logged. */
export interface LogOptions {
  level: "error" | "warn" | "info" | "debug" | "silent";
  /** Extra fields for every line, computed at the time of the line (request id, tenant). */
  fields?: () => Record<string, unknown>;
}

// SECURITY: a secret that reaches a log line by mistake is cut out by name, at two depths.
const SECRET_NAMES = ["token", "password", "apiKey", "authorization", "cookie", "secret", "deviceToken"];

/** Make the process logger: JSON lines on standard error, synchronous so that a crash loses none. */
export function makeLog(options: LogOptions): Log {
  const fields = options.fields;
  return pino(
    {
      level: options.level,
      ...(fields === undefined ? {} : { mixin: () => fields() }),
      redact: { paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`]), censor: "[redacted]" },
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ fd: 2, sync: true }),
  );
}
