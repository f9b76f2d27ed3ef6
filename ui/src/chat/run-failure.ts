/**
 * Why a model did not answer, in the reader's language. Owns: recognizing the server's classes of failure.
 * Refuses to know: markup. Stored messages carry the server's sentence and no code, so the class is read from its fixed form:
 * `⚠️ provider/model request failed (class, HTTP 401). …`.
 */
import type { Words } from "../i18n/en.ts";

/** The server's words for each class, as src/agents/models/failure.ts writes them. */
const CLASSES: Readonly<Record<string, string>> = {
  "authentication failed": "auth",
  "the account has no credit": "billing",
  "rate limit reached": "rate_limit",
  "the provider has problems": "overloaded",
  "the provider took too long": "timeout",
  "the provider could not be reached": "unreachable",
  "the answer was not understood": "format",
  "the conversation is too long for this model": "context_overflow",
  "unknown model or address": "not_found",
  "the answer broke off": "interrupted",
  "the request was refused": "unknown",
};

/** What the server advises at the end; the dictionary's sentence has its own advice. */
const ADVICE =
  / (?:Check this provider's .*|Please tell the operator .*|Try again in a moment\.|Start a new chat .*|Check the model id .*)$/;

const FORM = /^(\S+) request failed \(([^),]+)(?:, (HTTP \d{3}))?\)\./;

/** The server's sentence, or the dictionary's for its class with model and status behind it. */
export function failureText(said: string, words: Words): string {
  const plain = said.replace(/^⚠️?\s*/u, "");
  const [, model, why, status] = FORM.exec(plain) ?? [];
  const kind = CLASSES[why ?? ""] ?? "";
  // Whoever was lent the key cannot mend it.
  const lent = plain.endsWith("tell the operator of this service.")
    ? words.failures[`${kind}_lent`]
    : undefined;
  const known = lent ?? words.failures[kind];
  if (known === undefined) return plain;
  const itsWords = / It says: (.*)$/.exec(plain.replace(ADVICE, ""))?.[1];
  return [known, itsWords, `(${[model, status].filter(Boolean).join(", ")})`].filter(Boolean).join(" ");
}
