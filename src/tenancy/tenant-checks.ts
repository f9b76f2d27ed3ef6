/** What a tenant's fields may hold. Owns: the rules for names, hosts, time zones, reasons. Refuses to know: storage. */
import { isIP } from "node:net";
import { AppError } from "../kernel/errors.ts";
import { canonicalHost } from "./resolve.ts";

/** A name for people: 1-100 characters, no control characters. Throws `invalid_request`. */
export function checkDisplayName(text: string): string {
  const name = text.trim();
  if (name.length === 0 || name.length > 100 || /\p{Cc}/u.test(name)) {
    throw new AppError("invalid_request", "A name has 1 to 100 characters and no control characters.");
  }
  return name;
}

/** A name of an IANA time zone, as the runtime spells it. Throws `invalid_request`. */
export function checkTimeZone(name: string): string {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone;
  } catch (cause) {
    throw new AppError("invalid_request", `"${name}" is not an IANA time zone.`, { cause });
  }
}

/**
 * A host name of a tenant's own, in canonical form. Throws `invalid_request`, also for addresses and `localhost`: those
 * name the gateway itself, and a tenant would get everybody's requests.
 */
export function checkHost(text: string): string {
  const host = canonicalHost(text);
  if (host === "localhost" || isIP(host) !== 0 || host.startsWith("["))
    throw new AppError("invalid_request", `"${host}" names this gateway, not a tenant.`, {
      details: { field: "hosts" },
    });
  return host;
}

/** Why something was done: up to 500 characters, no control characters but line ends. Throws `invalid_request`. */
export function checkReason(text: string): string {
  const reason = text.trim();
  if (reason.length > 500 || /[^\P{Cc}\n]/u.test(reason))
    throw new AppError("invalid_request", "A reason has at most 500 characters and no control characters.", {
      details: { field: "reason" },
    });
  return reason;
}
