/**
 * Reading JSON from strangers. Owns: how much there may be in it, how deep, and under which keys, found by one pass over
 * the text before it is parsed; also where somebody else's code parses it, piece by piece. Refuses to know: schemas.
 *
 * Parsing costs by what is in the text and not by its length: 24 MB of `[],` take 1.3 s of everybody's thread, 24 MB in
 * one string 20 ms. The pass stops at the bound, and jumps over strings, so that it costs a few milliseconds at most.
 */
import { AppError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

/** How much JSON may hold. */
export interface JsonBounds {
  /** Brackets within brackets. */
  depth: number;
  /** Values, where a member of an object counts as five: each new key costs about that much more. */
  values: number;
}

const BOUNDS: JsonBounds = { depth: LIMITS.jsonDepth, values: LIMITS.jsonValues };

const NEWLINE = 10;
const RETURN = 13;
const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const BACKSLASH = 92;
/** What a key counts besides its value. */
const KEY_VALUES = 4;
/** Characters of a string that are looked at one by one before the rest of it is searched, which pays for longer ones. */
const NEAR_CHARS = 64;

/** What is too much in a text, found without parsing it; undefined when all is within the bounds. */
export function excessOf(text: string, { depth: mostDepth, values: mostValues }: JsonBounds = BOUNDS) {
  let depth = 0;
  let values = 0;
  let inStrings = 0;
  if (text.length > LIMITS.jsonLooseChars && hasManyEscapes(text)) return "values" as const;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = endOfString(text, at);
      inStrings += end - at;
      at = end;
    } else if (code === COMMA) values++;
    else if (code === COLON) values += KEY_VALUES;
    else if (code === 91 || code === 123) {
      values++;
      depth++;
      if (depth > mostDepth) return "depth" as const;
    } else if (code === 93 || code === 125) depth--;
    if (values > mostValues) return "values" as const;
    if (at - inStrings > LIMITS.jsonLooseChars) return "values" as const;
  }
  return undefined;
}

/** Reading `\\n` takes five times as long as two letters; what is sent as a large text, e.g. base64, has few of these. */
function hasManyEscapes(text: string): boolean {
  let at = text.indexOf("\\");
  for (let count = 0; at !== -1; count++) {
    if (count > LIMITS.jsonEscapes) return true;
    at = text.indexOf("\\", at + 2);
  }
  return false;
}

/** Where a string ends that begins at `start`; the text's end when it does not. */
function endOfString(text: string, start: number): number {
  const { length } = text;
  let at = start + 1;
  while (at < length) {
    for (const near = Math.min(length, at + NEAR_CHARS); at < near; at++) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) return at;
      if (code === BACKSLASH) at++;
    }
    if (at >= length) return length;
    const from = at;
    const quote = text.indexOf('"', at);
    if (quote === -1) return length;
    let slashes = 0;
    while (quote - slashes > from && text.charCodeAt(quote - 1 - slashes) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return quote;
    at = quote + 1;
  }
  return length;
}

/**
 * Parse JSON that a stranger sent; throws `invalid_request` on bad syntax, depth or prototype keys, `too_large` when it
 * holds too many values.
 */
export function parseUntrusted(text: string, bounds: Partial<JsonBounds> = {}): unknown {
  const { depth, values } = { ...BOUNDS, ...bounds };
  const excess = excessOf(text, { depth, values });
  if (excess === "depth") throw new AppError("invalid_request", `JSON nests deeper than ${depth} levels.`);
  if (excess === "values")
    throw new AppError(
      "too_large",
      `JSON holds too much: at most ${values} values, where a member of an object is five.`,
    );
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

/**
 * SECURITY: tenants name endpoints of their own, and what these answer is parsed on everybody's thread.
 * A `fetch` whose answers end with `provider_failed` where an event of a stream, or an answer without any, holds too
 * much.
 */
export function fetchBoundedJson(inner: typeof fetch): typeof fetch {
  return async (input, init) => {
    const answer = await inner(input, init);
    if (answer.body === null) return answer;
    const meter = new PieceMeter(answer.ok);
    const body = answer.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(bytes, to) {
          meter.push(bytes);
          to.enqueue(bytes);
        },
      }),
    );
    const { status, statusText, headers } = answer;
    return new Response(body, { status, statusText, headers: [...headers] });
  };
}

/** Counts what a piece holds while its bytes pass. */
export class PieceMeter {
  /** Whether blank lines end a piece, as in a stream of events; a refusal is parsed as one. */
  private readonly hasEvents: boolean;
  private bytes = 0;
  private values = 0;
  private isInText = false;
  private isEscaped = false;
  private isLineEmpty = true;

  constructor(hasEvents: boolean) {
    this.hasEvents = hasEvents;
  }

  /** Throws `provider_failed` once a piece holds too much. */
  push(bytes: Uint8Array): void {
    for (const code of bytes) {
      this.bytes++;
      if (code === NEWLINE) this.endLine();
      else if (code !== RETURN) {
        this.isLineEmpty = false;
        this.read(code);
      }
      if (this.values > LIMITS.jsonValues || this.bytes > LIMITS.jsonLooseChars)
        throw new AppError("provider_failed", "The model's endpoint answered with too much JSON at once.");
    }
  }

  private endLine(): void {
    if (this.isLineEmpty && this.hasEvents) {
      this.bytes = 0;
      this.values = 0;
    }
    this.isLineEmpty = true;
    // No text goes on in the next line.
    this.isInText = false;
    this.isEscaped = false;
  }

  private read(code: number): void {
    if (this.isEscaped) this.isEscaped = false;
    else if (code === QUOTE) this.isInText = !this.isInText;
    else if (this.isInText) this.isEscaped = code === BACKSLASH;
    else if (code === COMMA || code === 91 || code === 123) this.values++;
    else if (code === COLON) this.values += KEY_VALUES;
  }
}
