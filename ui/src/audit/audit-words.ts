/** What a line of the log says in the reader's language. Owns: sentences for known actions. Refuses to know: layout. */
import type { AuditEvent } from "../http/audit.ts";
import type { Words } from "../i18n/en.ts";

/** The action in words; an unknown one as the server names it. */
export function actionWords(action: string, words: Words): string {
  return words.audit.actions[action] ?? action;
}

/** The target as people read it, or nothing. */
export function targetWords(event: AuditEvent): string {
  return event.target === null ? "" : event.target.name || event.target.id;
}

/** A value as people read it: a change as `before → after`. */
function valueText(value: unknown): string {
  if (typeof value === "string") return value;
  const change = value as { from?: unknown; to?: unknown };
  if (typeof value === "object" && value !== null && "from" in value && "to" in value) {
    return `${valueText(change.from)} → ${valueText(change.to)}`;
  }
  return Array.isArray(value) ? value.map(valueText).join(", ") : JSON.stringify(value);
}

/** Details as short pairs, without those that say nothing. */
export function detailPairs(details: Record<string, unknown>): [string, string][] {
  return Object.entries(details)
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => [name, valueText(value)]);
}
