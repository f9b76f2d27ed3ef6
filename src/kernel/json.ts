/**
 * Reading JSON from strangers. Owns: depth and key checks. Refuses to know: schemas.
 */
import { AppError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

const QUOTE = 34;
const BACKSLASH = 92;

/** Whether brackets nest deeper than `limit`, found by one pass over the text without parsing it. */
export function isTooDeep(text: string, limit: number = LIMITS.jsonDepth): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      i = endOfString(text, i);
    } else if (code === 91 || code === 123) {
      depth++;
      if (depth > limit) return true;
    } else if (code === 93 || code === 125) {
      depth--;
    }
  }
  return false;
}

function endOfString(text: string, start: number): number {
  let at = text.indexOf('"', start + 1);
  while (at !== -1) {
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return at;
    at = text.indexOf('"', at + 1);
  }
  return text.length;
}

/** Parse JSON that a stranger sent; throws `invalid_request` on bad syntax, depth or prototype keys. */
export function parseUntrusted(text: string, limit: number = LIMITS.jsonDepth): unknown {
  if (isTooDeep(text, limit))
    throw new AppError("invalid_request", `JSON nests deeper than ${limit} levels.`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError("invalid_request", "The text is not valid JSON.", { cause });
  }
  // SECURITY: an own "__proto__" key turns any later merge into prototype pollution; it may be spelt with escapes.
  if ((text.includes("__proto__") || text.includes("\\u")) && hasPrototypeKey(value)) {
    throw new AppError("invalid_request", 'The key "__proto__" is not allowed.');
  }
  return value;
}

function hasPrototypeKey(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some(hasPrototypeKey);
  return Object.hasOwn(value, "__proto__") || Object.values(value).some(hasPrototypeKey);
}
