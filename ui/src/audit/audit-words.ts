/** What a line of the log says in the reader's language. Owns: sentences for known actions. Refuses to know: layout. */
import type { AuditEvent } from "../http/audit.ts";
import type { Words } from "../i18n/en.ts";

/** The action in words; an unknown one as the server names it. */
export function actionWords(action: string, words: Words): string {
  return words.audit.actions[action] ?? action;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The target as people read it; nothing when it is the actor, or has no name but an id that tells nobody anything. */
export function targetWords({ target, actor }: AuditEvent): string {
  if (target === null || target.id === actor.id || target.name === actor.name) return "";
  return target.name || (UUID.test(target.id) ? "" : target.id);
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

/** Details as short pairs, without those that say nothing; times (`…AtMs`, `…UntilMs`) as `time` writes them. */
export function detailPairs(
  details: Record<string, unknown>,
  time: (date: Date) => string,
): [string, string][] {
  return Object.entries(details)
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => {
      const isTime = typeof value === "number" && /(?:At|After|Until)Ms$/.test(name);
      return [name, isTime ? time(new Date(value)) : valueText(value)];
    });
}
