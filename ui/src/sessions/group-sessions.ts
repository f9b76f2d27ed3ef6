/** Sorts sessions under pinned, today, yesterday and earlier. Owns: that order. Refuses to know: words and pixels. */
import type { SessionRow } from "../gateway/wire.ts";

/** The headings of the list, in order. */
export type SessionGroup = "pinned" | "today" | "yesterday" | "week" | "earlier";

/** One line of the list: a heading or a session. */
export type SessionLine =
  | { kind: "heading"; group: SessionGroup; key: string }
  | { kind: "session"; row: SessionRow; key: string };

const DAY_MS = 86_400_000;

function groupOf(row: SessionRow, midnightMs: number): SessionGroup {
  if (row.pinned) return "pinned";
  const updatedMs = row.updatedAt ?? 0;
  if (updatedMs >= midnightMs) return "today";
  if (updatedMs >= midnightMs - DAY_MS) return "yesterday";
  return updatedMs >= midnightMs - 6 * DAY_MS ? "week" : "earlier";
}

/** Lines for rows already sorted by recency; archived rows are left out. */
export function groupSessions(rows: readonly SessionRow[], now: Date): SessionLine[] {
  const midnightMs = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  const groups = new Map<SessionGroup, SessionRow[]>();
  for (const row of rows) {
    if (row.archived) continue;
    const group = groupOf(row, midnightMs);
    const members = groups.get(group);
    if (members) members.push(row);
    else groups.set(group, [row]);
  }
  const order: SessionGroup[] = ["pinned", "today", "yesterday", "week", "earlier"];
  return order.flatMap((group) => {
    const members = groups.get(group);
    if (!members) return [];
    const heading: SessionLine = { kind: "heading", group, key: `heading:${group}` };
    return [heading, ...members.map((row): SessionLine => ({ kind: "session", row, key: row.key }))];
  });
}
